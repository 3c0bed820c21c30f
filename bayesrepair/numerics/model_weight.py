"""Weights of models, from their leave-one-out log scores."""

from __future__ import annotations

import numpy as np
from scipy.special import softmax

REPLICATES = 1000
PROPOSED, ROUNDS = 4000, 5  # weights drawn in each round of importance sampling
_WIDER = 0.7  # concentration of a proposal, of that which the last round found
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


def stacking_weights(score: np.ndarray) -> np.ndarray:
    """Bayesian stacking: the posterior mean of the weights of a mixture of predictive distributions.

    ``p(w | data) ∝ Π_i Σ_m w_m exp(s_mi)``, w uniform on the simplex. Models that predict about equally well, each its
    own rows, keep about equal weights; one that predicts worse everywhere loses its own, if the rows suffice to tell.
    By importance sampling from Dirichlet distributions, each fitted to what the one before found; the density is
    log-concave.

    Parameters
    ----------
    score : array, shape (M, N)
        Log score of each left-out row under each model, nats.

    Returns
    -------
    array, shape (M,)
        Sums to one.

    References
    ----------
    Yao, Pirš, Vehtari, Gelman (2022), doi:10.1214/21-BA1287. Cappé et al. (2004), doi:10.1198/106186004X12803 (the
    sampling).

    Examples
    --------
    One row, which the first predicts infinitely better: ``∫ w · 2w dw``.

    >>> stacking_weights(np.array([[0.0], [-50.0]])).round(2)
    array([0.67, 0.33])
    """
    density = np.exp(score - score.max(axis=0))
    rng, models = np.random.default_rng(_SEED), len(score)
    concentration = np.ones(models)
    for _ in range(ROUNDS):
        drawn = np.maximum(rng.dirichlet(concentration, PROPOSED), 1e-300)
        weight = softmax(_mixture_log(drawn, density) - np.log(drawn) @ (concentration - 1))
        mean = weight @ drawn
        variance = weight @ (drawn - mean) ** 2
        size = float(np.median(mean * (1 - mean) / np.maximum(variance, 1e-12))) - 1
        concentration = np.maximum(_WIDER * max(size, models) * mean, 0.5)
    return np.asarray(mean)


def _mixture_log(drawn: np.ndarray, density: np.ndarray) -> np.ndarray:
    """Σ_i log Σ_m w_m p_mi of each w, (S, M), (M, N) → (S,)."""
    total, size = np.zeros(len(drawn)), max(1, _CELLS // len(drawn))
    for start in range(0, density.shape[1], size):
        total += np.log(drawn @ density[:, start : start + size]).sum(axis=1)
    return total
