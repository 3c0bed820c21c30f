"""Rows in pieces: where they lie, and how a piece is loaded where it is scored."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol

import numpy as np
import pandas as pd
import xarray as xr

from bayesrepair.rows import Rows
from bayesrepair.status import DataError

PIECE_ROWS = 2**16
MANY_ROWS = 1_000_000


def is_long(rows: int) -> bool:
    """Whether results that are not one number a row stay on disk."""
    return rows > MANY_ROWS


class Segment(Protocol):
    """A stretch of rows that is read in one go: a row group of a file, a partition."""

    @property
    def key(self) -> str:
        """Different for each segment."""
        ...

    def __len__(self) -> int: ...

    def load(self) -> Any:
        """The rows as a DataFrame, or as a Dataset whose first dimension is that of the rows."""
        ...


class Piece(Protocol):
    """Rows ``start`` to ``stop`` of a source; light to send, loaded where it is needed."""

    @property
    def start(self) -> int:
        """Position of its first row."""
        ...

    @property
    def stop(self) -> int:
        """One more than that of its last row."""
        ...

    def load(self) -> Any:
        """`Rows`, or data that a model makes rows of."""
        ...


class Source(Protocol):
    """Rows to be scored, in pieces that depend on nothing but the source."""

    @property
    def index(self) -> pd.Index:
        """A different id for each row; its name is ``row``."""
        ...

    @property
    def pieces(self) -> Sequence[Piece]:
        """The rows in their order, cut up."""
        ...

    @property
    def fingerprint(self) -> str:
        """Another one where the rows are others."""
        ...

    def __len__(self) -> int: ...


@dataclass(frozen=True, eq=False)
class RowsPiece:
    """A piece of rows in memory."""

    start: int
    stop: int
    rows: Rows

    def load(self) -> Rows:
        """The rows."""
        return self.rows


@dataclass(frozen=True, eq=False)
class SegmentedPiece:
    """A piece out of one segment or several.

    Parameters
    ----------
    start, stop : int
    index : Index
        Ids of its rows.
    parts : tuple of (Segment, int, int)
        Segments with the first row and the one after the last.
    """

    start: int
    stop: int
    index: pd.Index
    parts: tuple[tuple[Segment, int, int], ...]

    def load(self) -> Any:
        """One DataFrame or Dataset, with the ids of the source."""
        loaded = [_cut(_held(segment, first, last), first, last) for segment, first, last in self.parts]
        if isinstance(loaded[0], xr.Dataset):
            rows = row_dim(loaded[0])
            whole = loaded[0] if len(loaded) == 1 else xr.concat(loaded, dim=rows)
            return whole.assign_coords({rows: self.index.to_numpy()})
        whole = loaded[0] if len(loaded) == 1 else pd.concat(loaded)
        return whole.set_axis(self.index)


@dataclass(frozen=True, eq=False)
class SegmentedSource:
    """Rows that lie in segments, one after another.

    Parameters
    ----------
    segments : tuple of Segment
    index : Index
    mark : callable
        Tells other rows apart by a text; called when a run is to be resumed, and not before.

    Raises
    ------
    DataError
        If there is no row, or an id occurs twice.
    """

    segments: tuple[Segment, ...]
    index: pd.Index
    mark: Callable[[], str]

    def __post_init__(self) -> None:
        if not len(self.index):
            raise DataError("at least one row to score", "none")
        if not self.index.is_unique:
            twice = self.index[self.index.duplicated()].unique()
            raise DataError(
                "a different id for each row",
                f"{len(twice)} ids more than once, such as {', '.join(map(repr, twice[:3].tolist()))}",
                "Write the file anew with reset_index(drop=True): a table without an index is numbered 0, 1, 2, ….",
            )

    def __len__(self) -> int:
        return len(self.index)

    @cached_property
    def fingerprint(self) -> str:
        """Another one where the rows are others."""
        return self.mark()

    @cached_property
    def _ends(self) -> np.ndarray:
        return np.cumsum([len(segment) for segment in self.segments])

    @cached_property
    def pieces(self) -> tuple[SegmentedPiece, ...]:
        """Pieces of `PIECE_ROWS` rows, the last one shorter, wherever the segments end."""
        return tuple(self._piece(a, min(a + PIECE_ROWS, len(self))) for a in range(0, len(self), PIECE_ROWS))

    def _piece(self, start: int, stop: int) -> SegmentedPiece:
        first, last = np.searchsorted(self._ends, [start, stop - 1], side="right")
        parts = []
        for k in range(int(first), int(last) + 1):
            end = int(self._ends[k])
            begin = end - len(self.segments[k])
            if end > begin:
                parts.append((self.segments[k], max(start, begin) - begin, min(stop, end) - begin))
        return SegmentedPiece(start, stop, self.index[start:stop], tuple(parts))

    def at(self, positions: np.ndarray) -> Any:
        """The rows at some positions, in the order given; a segment at a time is in memory."""
        order = np.argsort(positions, kind="stable")
        wanted = np.asarray(positions)[order]
        owner = np.searchsorted(self._ends, wanted, side="right")
        loaded = []
        for k in np.unique(owner):
            segment = self.segments[int(k)]
            begin = int(self._ends[k]) - len(segment)
            loaded.append(_at(segment.load(), wanted[owner == k] - begin))
        back = np.argsort(order, kind="stable")
        if isinstance(loaded[0], xr.Dataset):
            rows = row_dim(loaded[0])
            return (
                xr.concat(loaded, dim=rows).isel({rows: back}).assign_coords({rows: self.index[positions].to_numpy()})
            )
        return pd.concat(loaded).iloc[back].set_axis(self.index[positions])


@dataclass(frozen=True, eq=False)
class RowsSource:
    """Rows in memory.

    Parameters
    ----------
    rows : Rows
    """

    rows: Rows

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def index(self) -> pd.Index:
        """Ids of the rows."""
        return self.rows.index

    @cached_property
    def pieces(self) -> tuple[RowsPiece, ...]:
        """Pieces of `PIECE_ROWS` rows, the last one shorter; views."""
        return tuple(RowsPiece(where.start, where.stop, part) for where, part in self.rows.blocks(PIECE_ROWS))

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 of cells and ids."""
        from bayesrepair.hashes import data_hash

        return data_hash(self.rows)

    def at(self, positions: np.ndarray) -> Rows:
        """The rows at some positions."""
        return self.rows.at(positions)


def row_dim(data: xr.Dataset) -> str:
    """The dimension that stands for the rows: the first one of the first variable."""
    return str(next(iter(data.data_vars.values())).dims[0])


_last: dict[str, Any] = {}  # the segment read last, in this process: the next piece may lie in it, too


def _held(segment: Segment, first: int, last: int) -> Any:
    """A segment's rows, kept for the next piece where this one does not take all."""
    if segment.key in _last:
        return _last[segment.key]
    loaded = segment.load()
    _last.clear()
    if last < len(segment):
        _last[segment.key] = loaded
    return loaded


def forget() -> None:
    """Let go of the segment that was read last."""
    _last.clear()


def _cut(data: Any, first: int, last: int) -> Any:
    if isinstance(data, xr.Dataset):
        return data.isel({row_dim(data): slice(first, last)})
    return data.iloc[first:last]


def _at(data: Any, positions: np.ndarray) -> Any:
    if isinstance(data, xr.Dataset):
        return data.isel({row_dim(data): positions})
    return data.iloc[positions]
