"""The covariance score: the first-order influence of each row on the failures."""

from __future__ import annotations

import numpy as np

from bayesrepair.numerics.scoring import LogLik, Scored, Side


class CovarianceScore:
    """``−Cov_D(log p_i, log p_F)``: the derivative of the influence at power zero of F.

    Parameters
    ----------
    side : Side
        The posterior given D.
    failures : array, shape (S, G)
        Log-likelihood of each group of failures at each draw.
    """

    def __init__(self, side: Side, failures: np.ndarray) -> None:
        self.side = side
        centred = failures - side.weight @ failures
        coefficient = side.weight * centred.sum(axis=1)
        self._batch_weight = side.batch_rows(side.weight)
        batch_rows = side.batch_rows(coefficient)
        self._batch_total = batch_rows.sum(axis=1)
        groups = (side.weight[:, None] * centred).T
        self._A = np.concatenate([side.weight[None], batch_rows, groups])

    def __call__(self, log_lik: LogLik, where: slice) -> Scored:
        """Scores of one block of rows."""
        product = self._A @ log_lik(self.side.theta, where)
        B = len(self._batch_total)
        mean, by_batch, groups = product[0], product[1 : 1 + B], product[1 + B :]
        covariance = by_batch.sum(axis=0)
        weight = self._batch_weight.sum(axis=1)
        influence = by_batch - np.outer(self._batch_total, mean) - np.outer(weight, covariance)
        return Scored(-covariance, -influence.T, -groups.T)
