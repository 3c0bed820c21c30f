"""What the cells of a column are: missing, numbers, dates, truth values or words."""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np
import pandas as pd

MISSING = ("", "NA", "N/A", "n/a", "#N/A", "NaN", "nan", "NULL", "null", "?")
"""Cells that are read as missing; ``None`` and ``none`` are words, since tables use them as a category."""

_CODE = re.compile(r"[+-]?0\d+|[+-]?\d{16,}")  # a postcode or an id: as a number it would lose digits
_COMMA = re.compile(r"[+-]?\d+(,\d+)?([eE][+-]?\d+)?")
_TIME = r"([T ]\d{1,2}:\d{2}(:\d{2}(\.\d+)?)?(Z|[+-]\d{2}:?\d{2})?)?"
_YEAR_FIRST = re.compile(rf"\d{{4}}[-/.]\d{{1,2}}[-/.]\d{{1,2}}{_TIME}")
_YEAR_LAST = re.compile(rf"(\d{{1,2}})([-/.])(\d{{1,2}})[-/.]\d{{4}}{_TIME}")


@dataclass(frozen=True)
class Column:
    """A column as read.

    Parameters
    ----------
    values : Series
    kind : {"numbers", "dates", "truth values", "words"}
    day_first : bool
        For dates with the year last: whether the day comes before the month.
    note : str
        What had to be decided; empty where nothing was.
    """

    values: pd.Series
    kind: str
    day_first: bool = False
    note: str = ""


def is_number(cell: str) -> bool:
    """Whether a cell is a number, with a decimal point or comma.

    Examples
    --------
    >>> [is_number(cell) for cell in ("-1.5e3", "1,5", "A11", "nan")]
    [True, True, False, False]
    """
    if _COMMA.fullmatch(cell):
        return True
    try:
        return not np.isnan(float(cell)) and "_" not in cell
    except ValueError:
        return False


def as_date(cell: str) -> bool:
    """Whether a cell looks like a date, year first or last, with or without a time."""
    return bool(_YEAR_FIRST.fullmatch(cell) or _YEAR_LAST.fullmatch(cell))


def typed(cells: pd.Series, *, decimal_comma: bool, like: Column | None = None) -> Column:
    """Turn stripped text cells into numbers, dates, truth values or words.

    Parameters
    ----------
    cells : Series of str
        Missing cells are missing.
    decimal_comma : bool
        Whether ``1,5`` is a number (never where the comma divides the cells).
    like : Column, optional
        The same column of another table: words stay words, and dates are read in the same order.

    Returns
    -------
    Column
    """
    filled = cells.dropna()
    if like is not None and like.kind in ("words", "truth values") and filled.size:
        return Column(_truth(cells) if like.kind == "truth values" else cells, like.kind)
    numbers = _numbers(cells, filled, decimal_comma=decimal_comma)
    if numbers is not None:
        return numbers
    if all(as_date(cell) for cell in filled.unique()):
        return _dates(cells, filled, like)
    if set(filled.str.lower()) <= {"true", "false"}:
        return Column(_truth(cells), "truth values")
    return Column(cells, "words")


def _numbers(cells: pd.Series, filled: pd.Series, *, decimal_comma: bool) -> Column | None:
    note = ""
    if filled.empty:
        return Column(cells.astype(float), "numbers")
    if filled.str.fullmatch(_CODE.pattern).any():
        return None
    if decimal_comma and filled.str.contains(",", regex=False).any():
        if not filled.str.fullmatch(_COMMA.pattern).all():
            return None
        cells, note = cells.str.replace(",", ".", regex=False), "decimal commas"
    try:
        values = pd.to_numeric(cells.astype(object))
    except (ValueError, TypeError):
        return None
    return Column(values, "numbers", note=note) if pd.api.types.is_numeric_dtype(values) else None


def _dates(cells: pd.Series, filled: pd.Series, like: Column | None) -> Column:
    day_first, note = _day_first(filled)
    if like is not None and like.kind == "dates":
        day_first, note = like.day_first, ""
    try:
        values = pd.to_datetime(cells, format="mixed", dayfirst=day_first, utc=True).dt.tz_localize(None)
    except (ValueError, TypeError):  # such as the thirteenth month: words that only look like dates
        return Column(cells, "words")
    return Column(values, "dates", day_first, note)


def _day_first(filled: pd.Series) -> tuple[bool, str]:
    parts = [match for match in map(_YEAR_LAST.fullmatch, filled.unique()) if match]
    if not parts:
        return False, ""
    if any(int(match[1]) > 12 for match in parts):
        return True, ""
    if any(int(match[3]) > 12 for match in parts):
        return False, ""
    day_first = parts[0][2] == "."
    return day_first, f"dates read as {'day, month' if day_first else 'month, day'}, year"


def _truth(cells: pd.Series) -> pd.Series:
    """Truth values as the words True and False: a category of two levels, whatever the file's spelling."""
    return cells.str.capitalize() if set(cells.dropna().str.lower()) <= {"true", "false"} else cells
