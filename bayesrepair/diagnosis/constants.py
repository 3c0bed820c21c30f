"""Columns whose smallest or largest value looks like a mark for a missing one."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pandas as pd

FEWEST_VALUES = 10  # distinct values; with fewer the column is a code
FEWEST_TIMES = 3
OFTEN = 5.0  # times as often as any other value


def suspicious_constants(frame: pd.DataFrame, names: Iterable[str]) -> list[str]:
    """Name constants that stand apart from the other values of their column and come up again and again.

    The smallest or largest value is named when it occurs at least 3 times and its distance to the next value exceeds
    the interquartile range of the others; or when it is 5 times as frequent as any other value and its distance to
    the next exceeds 3 times the usual one. Zeros that stand for a missing blood pressure, or 999, are found so.

    Parameters
    ----------
    frame : DataFrame
    names : iterable of str
        Columns to look at; only numbers are.

    Returns
    -------
    list of str
        One sentence a constant. Nothing is changed: what they mean is for the user to say.

    Examples
    --------
    >>> pressure = pd.DataFrame({"pressure": [0, 0, 0, *range(60, 100)]})
    >>> suspicious_constants(pressure, ["pressure"])
    ["'pressure' is 0 in 3 rows, far from its other values (60 to 99): does 0 stand for a missing value?"]
    """
    found = []
    for name in names:
        values = frame[name].dropna()
        if pd.api.types.is_numeric_dtype(values) and not pd.api.types.is_bool_dtype(values):
            found += _in_column(str(name), values.to_numpy(dtype=float))
    return found


def _in_column(name: str, values: np.ndarray) -> list[str]:
    distinct, counts = np.unique(values[np.isfinite(values)], return_counts=True)
    if len(distinct) < FEWEST_VALUES:
        return []
    return [_sentence(name, distinct, counts, end) for end in (0, -1) if _stands_apart(distinct, counts, end)]


def _stands_apart(distinct: np.ndarray, counts: np.ndarray, end: int) -> bool:
    others, times = np.delete(distinct, end), np.delete(counts, end)
    gap = abs(distinct[end] - others[end])
    quarters = np.quantile(np.repeat(others, times), [0.25, 0.75])
    far = counts[end] >= FEWEST_TIMES and gap > quarters[1] - quarters[0]
    piled = counts[end] >= OFTEN * times.max() and gap > 3 * np.median(np.diff(others))
    return bool(far or piled)


def _sentence(name: str, distinct: np.ndarray, counts: np.ndarray, end: int) -> str:
    others = np.delete(distinct, end)
    constant = f"{distinct[end]:g}"
    return (
        f"{name!r} is {constant} in {counts[end]} rows, far from its other values ({others[0]:g} to {others[-1]:g}): "
        f"does {constant} stand for a missing value?"
    )
