"""Stein identities: what the gradient of a log density says about draws that should come from it.

For draws of p with g = ∇log p: ``E[g] = 0`` and ``E[(θ − m) gᵀ] = −I``. With β = cov(θ, h) the first gives, for a
near-Gaussian p, how far the mean of any h lies from the truth: ``E_p[h] − E_q[h] ≈ βᵀ E_q[g]``, the step that Newton's
method would take (Gorham and Mackey 2015, arXiv:1506.03039; Mira et al. 2013 for β as a control variate).
"""

from __future__ import annotations

import numpy as np

BEND = 4.0  # sds², at which the function that tests a variance turns down again
LEAST_SLOPE = 0.1  # of a mean that is .63 for a Gaussian: no error is enlarged beyond reason


def mean_terms(
    values: np.ndarray, theta: np.ndarray, gradient: np.ndarray, weights: np.ndarray, half: np.ndarray
) -> np.ndarray:
    """Terms whose weighted mean estimates the error of each mean, in posterior sds.

    Parameters
    ----------
    values : array, shape (S, H)
        Functions of the draws: parameters, predictions.
    theta, gradient : array, shape (S, P)
    weights : array, shape (S,)
        They sum to one.
    half : array of int, shape (S,)
        0 or 1: the coefficients β applied to one half come from the other, so that the terms keep mean zero.

    Returns
    -------
    array, shape (S, H)
        ``βᵀ g / sd(h)``. Mean zero where the draws come from the target.

    Examples
    --------
    >>> theta = np.array([[-1.0], [1.0], [-1.0], [1.0]]) + 0.5  # the target is N(0, 1): the mean is .5 too high
    >>> mean_terms(theta, theta, -theta, np.full(4, 0.25), np.array([0, 0, 1, 1])).mean(0)
    array([-0.5])
    """
    terms = np.empty(values.shape)
    for h in (0, 1):
        use, fit = half == h, half != h
        slope, variance = slopes(values[fit], theta[fit], weights[fit])
        terms[use] = gradient[use] @ (slope / np.sqrt(variance))
    return terms


def parameter_terms(theta: np.ndarray, gradient: np.ndarray, weights: np.ndarray, half: np.ndarray) -> np.ndarray:
    """`mean_terms` of the parameters themselves, less noisy where there are many of them.

    Terms of any fixed β have mean zero. Those of a covariance of 400 parameters from 500 draws would have twice the
    variance of those of the true one, so its correlations are shrunk towards zero by as much as their sampling errors
    call for (Schäfer and Strimmer 2005, doi:10.2202/1544-6115.1175, with the errors of Gaussian draws).

    Parameters
    ----------
    theta, gradient : array, shape (S, P)
    weights : array, shape (S,)
    half : array of int, shape (S,)

    Returns
    -------
    array, shape (S, P)
        ``(Σ̃ g)_j / sd_j``, with the variances of Σ on the diagonal of Σ̃.

    Examples
    --------
    >>> theta = np.array([[-1.0], [1.0], [-1.0], [1.0]]) + 0.5  # the target is N(0, 1): the mean is .5 too high
    >>> parameter_terms(theta, -theta, np.full(4, 0.25), np.array([0, 0, 1, 1])).mean(0)
    array([-0.5])
    """
    terms = np.empty(theta.shape)
    for h in (0, 1):
        use, fit = half == h, half != h
        covariance, variance = slopes(theta[fit], theta[fit], weights[fit])
        sd = np.sqrt(variance)
        correlation = covariance / np.outer(sd, sd)
        shrunk = (1 - _noise_share(correlation, weights[fit])) * correlation
        np.fill_diagonal(shrunk, np.diag(correlation))
        terms[use] = gradient[use] @ (sd[:, None] * shrunk)
    return terms


def _noise_share(correlation: np.ndarray, weights: np.ndarray) -> float:
    """Share of the squared correlations that sampling error explains, from 0 to 1."""
    other = ~np.eye(len(correlation), dtype=bool)
    square = np.square(correlation[other])
    draws = np.square(weights.sum()) / np.square(weights).sum()
    noise = np.square(1 - np.minimum(square, 1.0)).sum() / draws
    return float(min(1.0, noise / square.sum())) if square.any() else 0.0


def scale_terms(theta: np.ndarray, terms: np.ndarray, weights: np.ndarray, half: np.ndarray) -> np.ndarray:
    """Terms whose weighted mean is the relative error of each parameter's variance, with the sign of the correction.

    With ``z = (θ_j − m_j)/sd_j`` and any bounded h, ``E[h'(z) + h(z) (Σ g)_j / sd_j] = 0``. ``h(z) = z`` is the
    diagonal of the second identity; its terms, ``1 − z²`` for a Gaussian, are so skewed (−2.8) that the largest of
    hundreds looks significant where nothing is wrong. ``h(z) = z / (1 + z²/4)`` has a skewness of −.9 and 85 % of
    the efficiency. Divided by the mean of h', they estimate the same: Gaussian draws of a variance s² times too large
    give ``1 − s²``.

    Parameters
    ----------
    theta : array, shape (S, P)
    terms : array, shape (S, P)
        What `parameter_terms` gives, ``(Σ g)_j / sd_j``.
    weights : array, shape (S,)
    half : array of int, shape (S,)
        m, sd and Σ come from the other half.

    Returns
    -------
    array, shape (S, P)

    Examples
    --------
    >>> theta = 2 * np.random.default_rng(0).standard_normal((4000, 1))  # of N(0, 1): the variance is 4 times too large
    >>> weights, half = np.full(4000, 1 / 4000), np.arange(4000) % 2
    >>> scale_terms(theta, parameter_terms(theta, -theta, weights, half), weights, half).mean(0).round(1)
    array([-3.])
    """
    scaled = np.empty(theta.shape)
    for h in (0, 1):
        use, fit = half == h, half != h
        share = weights[fit] / weights[fit].sum()
        centre = share @ theta[fit]
        sd = np.sqrt(share @ np.square(theta[fit] - centre))
        z = (theta[use] - centre) / np.where(sd > 0, sd, 1.0)
        bend = 1 + np.square(z) / BEND
        slope = (2 - bend) / np.square(bend)
        scaled[use] = (slope + z / bend * terms[use]) / np.maximum(
            weights[use] @ slope / weights[use].sum(), LEAST_SLOPE
        )
    return scaled


def slopes(values: np.ndarray, theta: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """``cov(θ, h)`` (P, H) and ``var(h)`` (H,) under the weights; a constant gets variance 1, its terms are zero."""
    weights = weights / weights.sum()
    centred = values - weights @ values
    variance = weights @ np.square(centred)
    slope = (theta - weights @ theta).T @ (weights[:, None] * centred)
    constant = variance <= 1e-24 * (1 + np.square(weights @ values))
    return np.where(constant, 0.0, slope), np.where(constant, 1.0, variance)
