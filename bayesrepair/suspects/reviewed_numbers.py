"""Numbers that somebody looked at because they were suspicious: what they say of errors, and of the rows that are left.

As `bayesrepair.suspects.reviewed_rows`, but that an error also has a size: what stood there is kept as a further row.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from bayesrepair.fit import Fit
from bayesrepair.posterior import Draws
from bayesrepair.rows import Rows
from bayesrepair.status import DataError
from bayesrepair.suspects.passes import INTERVAL_DRAWS
from bayesrepair.suspects.reviewed_rows import Review, Reviewed

BEFORE = "before its review: "


def review_of_numbers(fit: Fit, rows: Rows, reviewed: Reviewed, group: np.ndarray, groups: int) -> Review:
    """Which rows were reviewed, how many of them were wrong, and what stood in those.

    Of a reviewed row both the number y that stood there and the right one t are known. It was right with density
    ``(1 − ε) f(t)``, or wrong with ``ε q(y) f(t)``. So t counts as known to be right, the rows teach ε as so many draws
    by lot, and y teaches q how far off errors are. Which rows were looked at was chosen by numbers that the model has,
    and no longer matters (Little and Rubin 2019, Statistical analysis with missing data, §6.2).

    Errors are gross ones (`bayesrepair.number_noise.NumberNoise`): a row whose number was moved by less than the
    ordinary spread of right ones, half of the central 68 % predictive interval, counts as one that was right.

    Parameters
    ----------
    fit : Fit
    rows : Rows
        Its training rows, with the numbers that they have now.
    reviewed : ids, or mapping of id to number
        The number that stood in the table before the review; of mere ids it is the one that the fit was made with.
    group : array of int, shape (N,)
        Code of each row's group; G where unknown.
    groups : int

    Returns
    -------
    Review
        ``counts`` are by group, then ``[[right, wrong], [0, 0]]``.

    Raises
    ------
    DataError
        If an id is unknown, or a number missing.
    """
    name = fit.model.outcome.name
    if isinstance(reviewed, Mapping | pd.Series):
        stood = dict(reviewed)
        ids, before = pd.Index(list(stood)), _numbers(stood)
    else:
        ids = pd.Index(list(reviewed))
        before = np.asarray(fit.rows.take(ids).values[name], dtype=float)
    at = rows.positions(ids)
    looked_at = rows.at(at)
    now = np.asarray(looked_at.values[name])
    off = np.flatnonzero(before != now)
    wrong = np.zeros(len(ids), dtype=bool)
    wrong[off] = abs(before - now)[off] > _spread(fit, looked_at.at(off))
    counts = np.zeros((groups + 1, 2, 2), dtype=np.int64)
    for g, is_wrong in zip(group[at], wrong, strict=True):
        counts[g, 0, int(is_wrong)] += 1
    return Review(ids, counts, _as_they_stood(looked_at, name, before, wrong))


def _numbers(stood: Mapping[Any, Any]) -> np.ndarray:
    """What stood there, as numbers."""
    before = pd.to_numeric(pd.Series(list(stood.values()), dtype=object), errors="coerce").to_numpy(dtype=float)
    if not np.isfinite(before).all():
        row, value = list(stood.items())[int(np.flatnonzero(~np.isfinite(before))[0])]
        expected = "the number that stood in each reviewed row"
        raise DataError(expected, f"{value!r} in row {row!r}", "Leave that row out.")
    return before


def _spread(fit: Fit, rows: Rows) -> np.ndarray:
    """Half of the central 68 % predictive interval, (n,)."""
    if not len(rows):
        return np.zeros(0)
    draws: Draws = fit.draws
    some = np.linspace(0, len(draws) - 1, min(len(draws), INTERVAL_DRAWS)).astype(int)
    low, high = np.quantile(fit.model.simulate(draws.theta[some], rows, np.random.default_rng(0)), [0.16, 0.84], axis=0)
    return (high - low) / 2


def _as_they_stood(rows: Rows, name: str, before: np.ndarray, wrong: np.ndarray) -> Rows:
    """The rows found wrong, with the numbers that stood there and ids of their own."""
    found = rows.at(np.flatnonzero(wrong))
    kind = np.asarray(found.values[name]).dtype
    ids = np.empty(len(found), dtype=object)
    ids[:] = [f"{BEFORE}{row}" for row in found.row]
    return Rows({**found.values, name: before[wrong].astype(kind)}, ids)
