"""Weights of models, from their leave-one-out log scores."""

from __future__ import annotations

import numpy as np
from scipy.special import softmax

REPLICATES = 1000
_SEED = 20240229  # the same bootstrap each time
_CELLS = 10_000_000  # numbers held at once


def bootstrap_weight(difference: np.ndarray, *, replicates: int = REPLICATES) -> float:
    """Pseudo-BMA+ weight of the first of two models: ``E_b[1 / (1 + exp(−Σ_i b_i d_i))]``, b ~ N · Dirichlet(1, …, 1).

    Parameters
    ----------
    difference : array, shape (N,)
        Log score of each row under the first model, less that under the second, nats.
    replicates : int
        Of the Bayesian bootstrap, which stands for which rows happened to be seen.

    Returns
    -------
    float
        Between 0 and 1; one half without rows.

    References
    ----------
    Yao, Vehtari, Simpson, Gelman (2018), Using stacking to average Bayesian predictive distributions,
    doi:10.1214/17-BA1091, §3.4.

    Examples
    --------
    Two nats in favour of the first, the same in each row: 1 / (1 + e⁻²).

    >>> round(bootstrap_weight(np.full(100, 0.02)), 3)
    0.881
    """
    if not len(difference):
        return 0.5
    return float(bootstrap_weights(np.stack([difference, np.zeros_like(difference)]), replicates=replicates)[0])


def bootstrap_weights(
    score: np.ndarray, log_prior: np.ndarray | None = None, *, replicates: int = REPLICATES
) -> np.ndarray:
    """Pseudo-BMA+ weights of several models: ``E_b[softmax_m(Σ_i b_i s_mi + log prior_m)]``, b as above.

    Parameters
    ----------
    score : array, shape (M, N)
        Log score of each left-out row under each model, nats.
    log_prior : array, shape (M,), optional
        Up to a constant; equal by default.
    replicates : int

    Returns
    -------
    array, shape (M,)
        Sums to one.

    Examples
    --------
    >>> bootstrap_weights(np.array([np.full(100, 0.02), np.zeros(100)]), np.log([0.5, 0.5])).round(3)
    array([0.881, 0.119])
    """
    rng = np.random.default_rng(_SEED)
    prior = 0.0 if log_prior is None else log_prior
    count, total = score.shape[1], np.zeros(len(score))
    size = max(1, _CELLS // count)
    for start in range(0, replicates, size):
        share = rng.standard_exponential((min(size, replicates - start), count))
        share *= count / share.sum(axis=1, keepdims=True)
        total += softmax(share @ score.T + prior, axis=1).sum(axis=0)
    return total / replicates
