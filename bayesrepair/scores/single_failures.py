"""The sum over single failures: each is inserted alone, so that the weights never collapse."""

from __future__ import annotations

import numpy as np

from bayesrepair.numerics.psis import smooth
from bayesrepair.numerics.scoring import LogLik, Scored, Side


class SingleFailuresScore:
    """``Σ_f (E_D − E_{D+f})[log p_i]``.

    Parameters
    ----------
    side : Side
        The posterior given D.
    failures : array, shape (S, F)
        Log-likelihood of each failure at each draw.
    group : array, shape (F,)
        Group 0 … G−1 of each failure.
    r_eff : float
    """

    def __init__(self, side: Side, failures: np.ndarray, group: np.ndarray, *, r_eff: float = 1.0) -> None:
        self.side, self._group = side, group
        log_base = np.log(np.maximum(side.weight, np.finfo(float).tiny))
        smoothed = [smooth(log_base + column, r_eff=r_eff) for column in failures.T]
        self._weights = np.exp([log_w for log_w, _ in smoothed])  # (F, S)
        self.khat = np.array([khat for _, khat in smoothed])
        self._in_batch = side.batch_rows(np.ones(len(side.batch)))
        self._base = side.batch_rows(side.weight)
        self._total = side.batch_rows(self._weights.sum(axis=0))

    def __call__(self, log_lik: LogLik, where: slice) -> Scored:
        """Scores of one block of rows."""
        L = log_lik(self.side.theta, where)
        F, B, G = len(self._weights), len(self._base), int(self._group.max()) + 1
        product = np.concatenate([self.side.weight[None], self._weights, self._base, self._total]) @ L
        mean, single, base, total = (
            product[0],
            product[1 : 1 + F],
            product[1 + F : 1 + F + B],
            product[1 + F + B :],
        )
        share = mean - single  # (F, n): E_D − E_{D+f}
        centre_base = np.outer(self._base.sum(axis=1), mean)
        centre_total = (self._in_batch @ self._weights.T) @ single  # Σ_f W_fb · l̄_f
        batch = F * (base - centre_base) - (total - centre_total)
        group = np.zeros((G, L.shape[1]))
        np.add.at(group, self._group, share)
        return Scored(share.sum(axis=0), batch.T, group.T)
