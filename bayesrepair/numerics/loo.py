"""Leave-one-out log scores by PSIS, for blocks of rows (Vehtari, Gelman, Gabry 2017, arXiv:1507.04544)."""

from __future__ import annotations

import numpy as np
from arviz_stats.base import array_stats
from scipy.special import logsumexp

from bayesrepair.numerics.psis import FEWEST_DRAWS, flat_tail


def loo_log_score(log_lik: np.ndarray, log_weight: np.ndarray, *, r_eff: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    """Log predictive density of each row when it is left out, ``log Σ_s w_s p_i``, ``w_s ∝ weight_s / p_i``.

    Parameters
    ----------
    log_lik : array, shape (S, N)
        A block of rows.
    log_weight : array, shape (S,)
        Log weights of the draws; zero for plain draws.
    r_eff : float

    Returns
    -------
    score : array, shape (N,)
        Nats; low is surprising.
    khat : array, shape (N,)
    """
    ratio = log_weight[:, None] - log_lik
    if len(log_lik) == 0 or ratio.shape[1] == 0:
        return np.zeros(ratio.shape[1]), np.zeros(ratio.shape[1])
    flat = np.array([flat_tail(column, r_eff=r_eff) for column in ratio.T])
    log_w, khat = ratio - ratio.max(axis=0), np.full(ratio.shape[1], -np.inf)
    if len(log_lik) < FEWEST_DRAWS:
        khat[~flat] = np.inf
    elif (~flat).any():
        shifted = np.ascontiguousarray((ratio - ratio.max(axis=0))[:, ~flat].T)
        smoothed, k = array_stats.psislw(-shifted, r_eff=r_eff, axis=-1)
        log_w[:, ~flat], khat[~flat] = smoothed.T, np.where(np.isfinite(k), k, np.inf)
    log_w -= logsumexp(log_w, axis=0)
    return logsumexp(log_w + log_lik, axis=0), khat
