"""Columns by name or position, and row ids from a column."""

from __future__ import annotations

import difflib

import pandas as pd

from bayesrepair.status import DataError


def column_named(frame: pd.DataFrame, name: str | int, *, what: str = "column") -> str:
    """Find a column by name, else by position: 1 is the first, −1 the last.

    Raises
    ------
    DataError
        If there is no such column; the message names close matches.

    Examples
    --------
    >>> frame = pd.DataFrame({"age": [1], "sex": [2]})
    >>> column_named(frame, "-1"), column_named(frame, 1)
    ('sex', 'age')
    """
    names = list(map(str, frame.columns))
    if str(name) in names:
        return str(name)
    position = _integer(name)
    if position is None:
        near = difflib.get_close_matches(str(name), names, n=3, cutoff=0.5)
        folded = [other for other in names if other.lower() == str(name).lower()]
        remedy = f"Did you mean {' or '.join(map(repr, dict.fromkeys([*folded, *near])))}?" if near or folded else ""
        raise DataError(f"a {what} among {_listed(names)}", repr(name), remedy)
    if not 1 <= abs(position) <= len(names):
        remedy = "Positions count from 1; -1 is the last column."
        raise DataError(f"a {what} at a position from 1 to {len(names)}", f"{position}", remedy)
    return names[position - 1 if position > 0 else position]


def with_row_ids(frame: pd.DataFrame, column: str) -> pd.DataFrame:
    """Take the row ids from a column, which then is no predictor.

    Raises
    ------
    DataError
        If an id is missing or occurs twice.
    """
    ids = frame[column]
    if ids.isna().any():
        where = frame.index[ids.isna()][:1].tolist()[0]
        raise DataError(f"an id in each row of {column!r}", f"{int(ids.isna().sum())} missing, such as row {where!r}")
    if not ids.is_unique:
        twice = ids[ids.duplicated()].tolist()[0]
        remedy = "Choose a column of unique ids, or leave --id out to number the rows from 0."
        raise DataError(f"a different id in each row of {column!r}", f"{twice!r} more than once", remedy)
    return frame.drop(columns=column).set_axis(pd.Index(ids.to_numpy(), name="row"))


def _integer(name: str | int) -> int | None:
    try:
        return int(name)
    except ValueError:
        return None


def _listed(names: list[str], most: int = 12) -> str:
    shown = ", ".join(names[:most])
    return f"{shown}, … ({len(names)} in all)" if len(names) > most else shown
