"""Leave-one-out log scores by PSIS, for blocks of rows (Vehtari, Gelman, Gabry 2017, arXiv:1507.04544)."""

from __future__ import annotations

import numpy as np

from bayesrepair.numerics.psis import FEWEST_DRAWS, flat_tail_size, tail_size


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
        Nats; low is surprising. −inf for a row that is impossible under some draw.
    khat : array, shape (N,)
        −inf where nothing needs smoothing, inf where nothing can be smoothed.

    Examples
    --------
    >>> log_lik = np.log([[0.5], [0.25]])  # harmonic mean 1/3
    >>> np.exp(loo_log_score(log_lik, np.zeros(2))[0]).round(6)
    array([0.333333])
    """
    from bayesrepair.numerics.loo_kernel import loo_scores  # numba takes long to load

    size, count = log_lik.shape
    score, khat = np.zeros(count), np.zeros(count)
    if not size or not count:
        return score, khat
    enough = size >= FEWEST_DRAWS
    tail, looked_at = tail_size(size, r_eff) if enough else 0, flat_tail_size(size, r_eff)
    by_row = np.ascontiguousarray(log_lik.T, dtype=float)  # no copy where kernels made the block
    loo_scores(by_row, log_weight - log_weight.max(), tail, looked_at, enough, score, khat)
    return score, khat
