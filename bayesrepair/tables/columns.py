"""One column of a table → what the model is handed, by constants of the training rows."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from bayesrepair.status import BayesRepairWarning, DataError

MISSING = "missing"
OTHER = "other"
_MANY_LEVELS = 10  # a column of more levels than this has its rare ones pooled
_RARE = 5  # rows; fewer say next to nothing about a level of their own


@dataclass(frozen=True)
class NumericColumn:
    """Numbers, booleans as 0 and 1, dates as days; missing ones filled in, then centred and scaled.

    Parameters
    ----------
    name : str
    fill : float
        Median of the training rows, in place of missing values.
    centre, scale : float
        Mean and standard deviation of the training rows; 0 and 1 where nothing is standardised.
    first : Timestamp, optional
        Day zero, where the column holds dates.
    holes : int
        Missing values in training.

    Examples
    --------
    >>> NumericColumn("age", fill=40.0, centre=30.0, scale=10.0).prepared(pd.Series([20, None, 50]))
    array([-1.,  1.,  2.])
    """

    name: str
    fill: float
    centre: float = 0.0
    scale: float = 1.0
    first: pd.Timestamp | None = None
    holes: int = 0

    @property
    def labels(self) -> tuple[str, ...]:
        """Name of its coefficient."""
        return (self.name,)

    def coded(self, values: pd.Series, *, training: bool = True) -> np.ndarray:
        """Return the columns of a design matrix, shape (N, 1)."""
        return self.prepared(values, training=training)[:, None]

    def prepared(self, values: pd.Series, *, training: bool = True) -> np.ndarray:
        """Return numbers, shape (N,).

        Raises
        ------
        DataError
            If a value is infinite, or no number (no date).
        """
        numbers = _days(values, self.name, self.first) if self.first is not None else _numbers(values, self.name)
        holes = np.isnan(numbers)
        if holes.any() and not training and not self.holes:
            said = f"{_times(holes, 'missing value')} of {self.name!r} filled in with the training median"
            warnings.warn(BayesRepairWarning(f"{said} {self.fill:g}; training had none missing."), stacklevel=5)
        return (np.where(holes, self.fill, numbers) - self.centre) / self.scale


@dataclass(frozen=True)
class TextColumn:
    """Words; missing ones and rare ones have a level of their own.

    Parameters
    ----------
    name : str
    levels : tuple of str
        Levels of the model, in alphabetical order.
    pooled : bool
        Whether rare levels were pooled in training; a level unseen in training then counts as rare.

    Examples
    --------
    >>> TextColumn("site", ("A", "B", "other"), pooled=True).prepared(pd.Series(["A", "Z"])).tolist()
    ['A', 'other']
    """

    name: str
    levels: tuple[str, ...]
    pooled: bool

    @property
    def labels(self) -> tuple[str, ...]:
        """Names of its coefficients: each level but the first, against the first."""
        return tuple(f"{self.name}[{level}]" for level in self.levels[1:])

    def coded(self, values: pd.Series, *, training: bool = True) -> np.ndarray:
        """Return the columns of a design matrix, 1 where a row has the level, shape (N, levels - 1)."""
        codes = self.prepared(values, training=training).codes
        return (codes[:, None] == np.arange(1, len(self.levels))).astype(float)

    def prepared(self, values: pd.Series, *, training: bool = True) -> pd.Categorical:
        """Return levels, shape (N,).

        Raises
        ------
        DataError
            If a level was not seen in training.
        """
        words = as_words(values)
        if self.pooled:
            words = words.where(words.isin(self.levels), OTHER)
        unseen = ~words.isin(self.levels)
        if unseen.any():
            rows = some(values.index[unseen])
            raise DataError(
                f"levels of {self.name!r} seen in training: {some(self.levels, 12)}",
                f"{some(words[unseen].unique())} in rows {rows}",
                "Leave these rows out, or train on rows that have the level.",
            )
        return pd.Categorical(words, categories=list(self.levels), ordered=True)


type Column = NumericColumn | TextColumn


def read_column(name: str, values: pd.Series, *, standardise: bool) -> tuple[Column | None, list[str]]:
    """Decide how a column enters the model, from its training values.

    Returns
    -------
    column : Column or None
        None where the column says nothing and is left out.
    notes : list of str
        What was decided that a user may want to know.

    Raises
    ------
    DataError
        If a value is infinite.
    """
    present = values.dropna()
    if present.empty:
        return None, [f"{name!r} is left out: it is missing in every row."]
    if pd.api.types.is_datetime64_any_dtype(values) or _all_of(present, pd.Timestamp):
        return _read_numbers(name, values, standardise=standardise, first=pd.to_datetime(present, utc=True).min())
    if pd.api.types.is_numeric_dtype(values) or _all_of(present, bool):
        return _read_numbers(name, values, standardise=standardise)
    return _read_words(name, values)


def _read_numbers(
    name: str, values: pd.Series, *, standardise: bool, first: pd.Timestamp | None = None
) -> tuple[Column | None, list[str]]:
    numbers = _numbers(values, name) if first is None else _days(values, name, first)
    holes = np.isnan(numbers)
    fill = float(np.median(numbers[~holes]))
    filled = np.where(holes, fill, numbers)
    if np.ptp(filled) == 0:
        return None, [f"{name!r} is left out: it is the same in every row."]
    notes = []
    if first is not None:
        notes.append(f"{name!r} enters as days since {first.date()}.")
    if holes.any():
        notes.append(f"{_times(holes, 'missing value')} of {name!r} filled in with the median {fill:g}.")
    centre, scale = (float(filled.mean()), float(filled.std())) if standardise else (0.0, 1.0)
    return NumericColumn(name, fill, centre, scale, first, int(holes.sum())), notes


def _read_words(name: str, values: pd.Series) -> tuple[Column | None, list[str]]:
    words = as_words(values)
    counts = words.value_counts()
    notes = []
    if len(counts) == 1:
        return None, [f"{name!r} is left out: it is the same in every row."]
    if counts.max() == 1 or (len(counts) > len(values) / 2 and values.nunique() == values.notna().sum()):
        note = f"{name!r} is left out: it is another word in every row, as an id would be."
        if pd.to_datetime(values, errors="coerce", format="mixed", utc=True).notna().all():
            note += " It reads like dates: convert it with pandas.to_datetime to have it enter as days."
        return None, [note]
    if MISSING in counts and values.isna().any():
        notes.append(f"{_times(values.isna(), 'missing value')} of {name!r} made a level of its own.")
    rare = [level for level, count in counts.items() if count < _RARE and level != MISSING]
    pooled = len(counts) > _MANY_LEVELS and len(rare) > 1
    if pooled:
        notes.append(f"{len(rare)} levels of {name!r} seen in fewer than {_RARE} rows are pooled as {OTHER!r}.")
        words = words.where(~words.isin(rare), OTHER)
        if len(words.unique()) == 1:
            return None, [f"{name!r} is left out: nearly every row has another word, as in free text."]
    return TextColumn(name, tuple(sorted(words.unique())), pooled), notes


def as_words(values: pd.Series) -> pd.Series:
    """Return values as text, missing ones as ``"missing"``."""
    words = [MISSING if absent else _word(v) for v, absent in zip(values, values.isna(), strict=True)]
    return pd.Series(words, index=values.index, dtype=object)


def _word(value: Any) -> str:
    """Text of a value; a whole number reads the same whether its column holds integers or, for a gap, floats."""
    return str(int(value)) if isinstance(value, (float, np.floating)) and value.is_integer() else str(value)


def _times(flags: Any, what: str) -> str:
    count = int(np.sum(flags))
    return f"{count} {what}{'s' * (count != 1)}"


def _all_of(values: pd.Series, kind: type) -> bool:
    return values.dtype == object and all(isinstance(v, kind) for v in values)


def _numbers(values: pd.Series, name: str) -> np.ndarray:
    numbers = pd.to_numeric(values, errors="coerce").to_numpy(dtype=float, na_value=np.nan)
    words = np.isnan(numbers) & values.notna().to_numpy()
    if words.any():
        raise DataError(
            f"numbers in the column {name!r}, as in training",
            f"{some(values[words])} in rows {some(values.index[words])}",
            "Correct these cells, or leave them empty.",
        )
    refuse_infinite(numbers, values, name)
    return numbers


def _days(values: pd.Series, name: str, first: pd.Timestamp) -> np.ndarray:
    dates = pd.to_datetime(values, errors="coerce", format="mixed", utc=True)
    words = dates.isna() & values.notna()
    if words.any():
        raise DataError(
            f"dates in the column {name!r}, as in training",
            f"{some(values[words])} in rows {some(values.index[words])}",
            "Correct these cells, or leave them empty.",
        )
    return ((dates - first) / pd.Timedelta(days=1)).to_numpy(dtype=float, na_value=np.nan)


def refuse_infinite(numbers: np.ndarray, values: pd.Series, name: str) -> None:
    """Raise a DataError where a number is infinite."""
    if np.isinf(numbers).any():
        raise DataError(
            f"finite values in the column {name!r}",
            f"infinity in rows {some(values.index[np.isinf(numbers)])}",
            "Correct these cells, or leave them empty.",
        )


def some(values: Any, count: int = 3) -> str:
    """The first few of some values, for a message."""
    listed = list(values)
    shown = ", ".join(repr(v.item() if isinstance(v, np.generic) else v) for v in listed[:count])
    return shown if len(listed) <= count else f"{shown} and {len(listed) - count} more"
