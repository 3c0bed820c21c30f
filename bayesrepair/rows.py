"""Rows: named arrays that share a row axis, addressed by row id."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from types import MappingProxyType

import numpy as np
import pandas as pd

from bayesrepair.status import DataError


@dataclass(frozen=True, eq=False)
class Rows:
    """Named arrays that share their first axis, each row with an id that survives selection.

    Parameters
    ----------
    values : mapping of str to array, shape (N, ...)
        The arrays. They are held as read-only views, never copied or written.
    row : array, shape (N,)
        Unique ids. Results speak of these, never of positions.

    Raises
    ------
    DataError
        If an array is shorter or longer than ``row``, or an id occurs twice.

    Examples
    --------
    >>> rows = Rows({"x": np.array([[1.0], [2.0], [3.0]]), "y": np.array([0, 1, 1])}, np.array(["a", "b", "c"]))
    >>> rows.take(["c", "a"]).values["y"]
    array([1, 0])
    >>> rows.drop(["b"]).row
    array(['a', 'c'], dtype='<U1')
    """

    values: Mapping[str, np.ndarray]
    row: np.ndarray

    def __post_init__(self) -> None:
        row = _readonly(np.asarray(self.row))
        if row.ndim != 1:
            raise DataError("one id a row (a one-dimensional array)", f"an array of shape {row.shape}")
        arrays = {str(name): _readonly(np.asarray(value)) for name, value in self.values.items()}
        for name, value in arrays.items():
            if value.ndim == 0 or len(value) != len(row):
                raise DataError(f"{len(row)} rows in {name!r}, one for each id", f"shape {value.shape}")
        object.__setattr__(self, "row", row)
        object.__setattr__(self, "values", MappingProxyType(arrays))
        if not self.index.is_unique:
            twice = self.index[self.index.duplicated()].unique()
            raise DataError(
                "a different id for each row",
                f"{len(twice)} ids more than once, such as {_some(twice)}",
                "Reset the index, or name a column of unique ids.",
            )

    def __repr__(self) -> str:
        some = f" ({_some(self.row)}{', …' if len(self) > 3 else ''})" if len(self) else ""
        return f"Rows({len(self)} rows{some} of {', '.join(self.values)})"

    def __reduce__(self) -> tuple[type[Rows], tuple[dict[str, np.ndarray], np.ndarray]]:
        return type(self), (dict(self.values), self.row)

    @cached_property
    def index(self) -> pd.Index:
        """The ids as a pandas index named ``row``."""
        return pd.Index(self.row, name="row")

    def __len__(self) -> int:
        return len(self.row)

    def positions(self, ids: Iterable) -> np.ndarray:
        """Positions of some ids, in the order given.

        Raises
        ------
        DataError
            If an id is not among the rows.
        """
        wanted = _as_ids(ids)
        where = self.index.get_indexer(pd.Index(wanted))
        if (where < 0).any():
            missing = np.asarray(wanted)[where < 0]
            raise DataError(
                f"row ids among the {len(self)} known rows (such as {_some(self.row)})",
                f"{len(missing)} unknown, such as {_some(missing)}",
                "Use the ids of the table's index.",
            )
        return where

    def at(self, positions: np.ndarray | slice) -> Rows:
        """Rows at some positions; a slice gives views."""
        return Rows({name: value[positions] for name, value in self.values.items()}, self.row[positions])

    def take(self, ids: Iterable) -> Rows:
        """Rows with these ids, in the order given."""
        return self.at(self.positions(ids))

    def drop(self, ids: Iterable) -> Rows:
        """All rows but those with these ids."""
        keep = np.ones(len(self), dtype=bool)
        keep[self.positions(ids)] = False
        return self.at(np.flatnonzero(keep))

    def replace(self, **values: np.ndarray) -> Rows:
        """Rows with some arrays exchanged; ids stay."""
        return Rows({**self.values, **values}, self.row)

    def blocks(self, size: int) -> Iterator[tuple[slice, Rows]]:
        """Consecutive blocks of at most ``size`` rows, with their slices."""
        for start in range(0, len(self), size):
            where = slice(start, min(start + size, len(self)))
            yield where, self.at(where)

    def stacked(self, *others: Rows) -> Rows:
        """Rows one under the other, with fresh ids 0, 1, … (an id may occur on both sides).

        Raises
        ------
        DataError
            If the others lack an array, or hold it with another shape.
        """
        parts = (self, *others)
        arrays = {}
        for name, value in self.values.items():
            columns = []
            for part in parts:
                if name not in part.values or part.values[name].shape[1:] != value.shape[1:]:
                    got = part.values[name].shape if name in part.values else "no such array"
                    raise DataError(f"an array {name!r} with rows of shape {value.shape[1:]}", f"{got}")
                columns.append(part.values[name])
            arrays[name] = np.concatenate(columns)
        return Rows(arrays, np.arange(sum(len(part) for part in parts)))

    def same_content(self, positions: np.ndarray, other: Rows, other_positions: np.ndarray) -> np.ndarray:
        """Whether rows hold equal values (missing equals missing), pair by pair; shape (n,)."""
        same = np.ones(len(positions), dtype=bool)
        for name, value in self.values.items():
            if name not in other.values:
                return np.zeros(len(positions), dtype=bool)
            a, b = value[positions], other.values[name][other_positions]
            equal = a == b
            if a.dtype.kind == "f" and b.dtype.kind == "f":
                equal |= np.isnan(a) & np.isnan(b)
            same &= np.asarray(equal).all(axis=tuple(range(1, a.ndim)))
        return same


def _readonly(array: np.ndarray) -> np.ndarray:
    view = array.view()
    view.flags.writeable = False
    return view


def _as_ids(ids: Iterable) -> np.ndarray | pd.Index:
    if isinstance(ids, (np.ndarray, pd.Index)):
        return ids
    if isinstance(ids, (str, bytes)):
        raise DataError("a list of row ids", f"the single value {ids!r}", f"Write [{ids!r}].")
    return pd.Index(list(ids))


def _some(values: Iterable, count: int = 3) -> str:
    shown = [repr(v.item() if isinstance(v, np.generic) else v) for v in list(values)[:count]]
    return ", ".join(shown)
