"""Rows that somebody looked at: their true class, and the class that stood in the table before."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from bayesrepair.fit import Fit
from bayesrepair.predictive import class_names
from bayesrepair.rows import Rows
from bayesrepair.status import DataError

type Reviewed = Mapping[Any, Any] | pd.Series | Iterable[Any]


@dataclass(frozen=True, eq=False)
class Review:
    """What a review says.

    Parameters
    ----------
    ids : Index
        Rows that were looked at.
    counts : array of int, shape (G + 1, K, K)
        By group, true class and given class.
    stood : Rows, optional
        Rows of numbers that were found wrong, with the numbers that stood there.
    """

    ids: pd.Index
    counts: np.ndarray
    stood: Rows | None = None


def review_of_classes(fit: Fit, rows: Rows, reviewed: Reviewed, group: np.ndarray, groups: int) -> Review:
    """Which rows were reviewed, and how often each given class was found to be which true one.

    A review looks at rows *because* they are suspicious. Taking them for right and forgetting what stood there would
    leave a table that looks cleaner than it is. Given the true class t of a row, its label y has the probability
    ``T_gty``: the counts n carry ``Σ n_gty log T_gty`` into the noise, and how rows were chosen, by labels and features
    that the model has, no longer matters (Little and Rubin 2019, Statistical analysis with missing data, §6.2).

    Parameters
    ----------
    fit : Fit
    rows : Rows
        Its training rows, with the classes that they have now.
    reviewed : ids, or mapping of id to class
        The class that stood in the table before the review; of mere ids it is the one that the fit was made with.
    group : array of int, shape (N,)
        Code of each row's group; G where unknown.
    groups : int

    Returns
    -------
    Review

    Raises
    ------
    DataError
        If an id or a class is unknown.
    """
    outcome = fit.model.outcome
    names = list(class_names(fit))
    if isinstance(reviewed, Mapping | pd.Series):
        stood: dict[Any, Any] = dict(reviewed)
        unknown = [name for name in stood.values() if name not in names]
        if unknown:
            raise DataError(f"classes among {', '.join(map(repr, map(str, names)))}", repr(unknown[0]))
        ids = pd.Index(list(stood))
        before = np.asarray([names.index(name) for name in stood.values()], dtype=np.int64)
    else:
        ids = pd.Index(list(reviewed))
        before = np.asarray(fit.rows.take(ids).values[outcome.name]).astype(np.int64)
    at = rows.positions(ids)
    now = np.asarray(rows.values[outcome.name]).astype(np.int64)[at]
    counts = np.zeros((groups + 1, len(names), len(names)), dtype=np.int64)
    for cell in zip(group[at], now, before, strict=True):
        counts[cell] += 1
    return Review(ids, counts)


def as_stood(reviewed: Any) -> dict[Any, Any] | None:
    """Reviewed rows of a table that is fitted anew: what stood there before must be told, no fit remembers it.

    Raises
    ------
    DataError
        If only row ids are given.

    Examples
    --------
    >>> as_stood(pd.Series(["no"], index=["row 7"]))
    {'row 7': 'no'}
    """
    if reviewed is None:
        return None
    if not isinstance(reviewed, Mapping | pd.Series):
        expected = "a mapping of each reviewed row to the class that stood there before the review"
        raise DataError(expected, f"a {type(reviewed).__name__}", "Pass reviewed={row: 'old class', ...}.")
    return dict(reviewed)
