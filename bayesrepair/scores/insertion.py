"""The insertion score: what a row loses when the failures are learned (Tanno et al. 2022, arXiv:2207.04806)."""

from __future__ import annotations

import numpy as np

from bayesrepair.numerics.scoring import LogLik, Scored, Side, batch_influence


class InsertionScore:
    """``E_D[log p_i] − E_{D+F}[log p_i]`` from two sets of draws.

    Where the draws of D+F are the draws of D moved or weighted, batch b of the one is batch b of the other, and the
    errors that both share cancel. Where they were drawn afresh, ``paired=False`` adds the two errors.

    Parameters
    ----------
    before, after : Side
    failures : array, shape (S', G)
        Log-likelihood of each group of failures at each draw of D+F.
    paired : bool
    """

    def __init__(self, before: Side, after: Side, failures: np.ndarray, *, paired: bool) -> None:
        self.before, self.after, self.paired = before, after, paired
        self._same_draws = before.theta is after.theta
        self._A_before = np.concatenate([before.weight[None], before.batch_rows(before.weight)])
        self._A_after = np.concatenate([after.weight[None], after.batch_rows(after.weight)])
        centred = failures - after.weight @ failures
        self._A_groups = (after.weight[:, None] * centred).T

    def __call__(self, log_lik: LogLik, where: slice) -> Scored:
        """Scores of one block of rows."""
        L = log_lik(self.before.theta, where)
        L_after = L if self._same_draws else log_lik(self.after.theta, where)
        mean_before, batch_before = batch_influence(self._A_before @ L, self._A_before)
        mean_after, batch_after = batch_influence(self._A_after @ L_after, self._A_after)
        combine = np.subtract if self.paired else _independent
        batch = combine(batch_before, batch_after)
        return Scored(mean_before - mean_after, batch.T, -(self._A_groups @ L_after).T)


def _independent(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Influences of two independent samples side by side, each with its own degrees of freedom."""
    a, b = len(first), len(second)
    total = a + b
    shrink = (total - 1) / total  # `batch_error` multiplies by total / (total − 1)
    parts = [first * np.sqrt(a / (a - 1) * shrink), -second * np.sqrt(b / (b - 1) * shrink)]
    return np.concatenate(parts)
