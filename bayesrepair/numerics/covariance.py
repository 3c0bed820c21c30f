"""Covariance of draws, shrunk where they are few against the parameters."""

from __future__ import annotations

import numpy as np


def covariance_factor(theta: np.ndarray, weights: np.ndarray | None = None) -> np.ndarray:
    """Cholesky factor of the draws' covariance, its correlations shrunk by ``min(1, P / ESS)``.

    Parameters
    ----------
    theta : array, shape (S, P)
    weights : array, shape (S,), optional
        They sum to one; equal where left out.

    Returns
    -------
    array, shape (P, P)
        Lower triangular. A parameter without any spread gets a tiny one, so that the factor stays invertible.

    Examples
    --------
    >>> theta = np.random.default_rng(0).normal(size=(100_000, 2)) * [1.0, 3.0]
    >>> covariance_factor(theta).round(1) + 0.0
    array([[1., 0.],
           [0., 3.]])
    """
    weights = np.full(len(theta), 1 / len(theta)) if weights is None else weights
    sd = spread(theta, weights)
    scaled = (theta - weights @ theta) / sd
    correlation = scaled.T @ (weights[:, None] * scaled)
    share = min(1.0, theta.shape[1] * float(np.square(weights).sum()))
    correlation *= 1 - share
    np.fill_diagonal(correlation, 1 + 1e-9)
    return sd[:, None] * np.linalg.cholesky(correlation)


def spread(theta: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Standard deviations of weighted draws, none of them zero, (S, P) → (P,)."""
    centre = weights @ theta
    sd = np.sqrt(weights @ np.square(theta - centre))
    return np.asarray(np.maximum(sd, 1e-9 * (1 + np.abs(centre))))
