"""Stein identities: what the gradient of a log density says about draws that should come from it.

For draws of p with g = ∇log p: ``E[g] = 0`` and ``E[(θ − m) gᵀ] = −I``. With β = cov(θ, h) the first gives, for a
near-Gaussian p, how far the mean of any h lies from the truth: ``E_p[h] − E_q[h] ≈ βᵀ E_q[g]``, the step that Newton's
method would take (Gorham and Mackey 2015, arXiv:1506.03039; Mira et al. 2013 for β as a control variate).
"""

from __future__ import annotations

import numpy as np


def mean_terms(
    values: np.ndarray, theta: np.ndarray, gradient: np.ndarray, weights: np.ndarray
) -> np.ndarray:
    """Terms whose weighted mean estimates the error of each mean, in posterior sds.

    Parameters
    ----------
    values : array, shape (S, H)
        Functions of the draws: parameters, predictions.
    theta, gradient : array, shape (S, P)
    weights : array, shape (S,)
        They sum to one.

    Returns
    -------
    array, shape (S, H)
        ``βᵀ g / sd(h)``. Mean zero where the draws come from the target.

    Examples
    --------
    >>> theta = np.array([[-1.0], [1.0]]) + 0.5  # the target is N(0, 1): the mean is .5 too high
    >>> mean_terms(theta, theta, -theta, np.array([0.5, 0.5])).mean(0)
    array([-0.5])
    """
    centred, sd = standardise(values, weights)
    slope = (theta - weights @ theta).T @ (weights[:, None] * centred)
    return gradient @ (slope / sd)


def scale_terms(theta: np.ndarray, gradient: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Terms whose weighted mean is the relative error of each parameter's variance, with the sign of the correction.

    ``1 + (θ_j − m_j)(Σ g)_j / Σ_jj``: the diagonal of the second identity, preconditioned by the covariance Σ of the
    draws. Variances s² times too large give ``1 − s²``.

    Examples
    --------
    >>> theta = 2 * np.array([[-1.0], [1.0]])  # the target is N(0, 1): the variance is 4 times too large
    >>> scale_terms(theta, -theta, np.array([0.5, 0.5])).mean(0)
    array([-3.])
    """
    centred, sd = standardise(theta, weights)
    return 1 + centred / sd * mean_terms(theta, theta, gradient, weights)


def standardise(values: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Centred values (S, H) and their weighted sds (H,); a constant gets sd 1, so that its terms are zero."""
    centred = values - weights @ values
    sd = np.sqrt(weights @ np.square(centred))
    return centred, np.where(sd > 1e-12 * (1 + np.abs(weights @ values)), sd, 1.0)
