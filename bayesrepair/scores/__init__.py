"""Row scores that are not edits.

A score is built from the posterior given D and the log-likelihood of the failures at its draws; it is then called on
blocks of rows. One line for each in `SCORES`.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from bayesrepair.numerics.scoring import LogLik, Scored, Side
from bayesrepair.scores.covariance import CovarianceScore
from bayesrepair.scores.single_failures import SingleFailuresScore

BlockScore = Callable[[LogLik, slice], Scored]


def _covariance(side: Side, failures: np.ndarray, group: np.ndarray, r_eff: float) -> BlockScore:
    by_group = np.zeros((len(failures), int(group.max()) + 1))
    np.add.at(by_group.T, group, failures.T)
    return CovarianceScore(side, by_group)


def _single(side: Side, failures: np.ndarray, group: np.ndarray, r_eff: float) -> BlockScore:
    return SingleFailuresScore(side, failures, group, r_eff=r_eff)


SCORES: dict[str, Callable[[Side, np.ndarray, np.ndarray, float], BlockScore]] = {
    "covariance": _covariance,
    "single": _single,
}
"""Scores by name: ``(side, failures (S, F), group (F,), r_eff) → score of a block``."""

__all__ = ["SCORES", "BlockScore"]
