"""A diagonal affine map fitted to a target: variational inference with the draws themselves as the base.

Among ``T(θ) = image + a ⊙ (θ − centre)`` the fit maximises the draws' average of ``log p(T(θ)) + Σ log a``, which
is minus the Kullback–Leibler divergence of the moved draws from p up to a constant (Rezende and Mohamed 2015,
arXiv:1505.05770, with the original posterior instead of a Gaussian as the base).
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy.optimize import minimize

from bayesrepair.numerics.affine import AffineMap

Target = Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]
LARGEST_LOG_SCALE = 3.0  # a factor of 20 either way: beyond it one jump is too far
PENALTY = 1e6  # nats below the start that a step to where the density vanishes counts as
SCALE_STEP = float(np.sqrt(0.5))  # a log-scale is twice as curved as a shift by standard deviations
NEGLIGIBLE = 1e-4  # less than the noise of so few draws


def fit_diagonal(
    target: Target,
    theta: np.ndarray,
    *,
    factor: np.ndarray | None = None,
    start: AffineMap | None = None,
    iterations: int = 20,
    negligible: float = NEGLIGIBLE,
) -> AffineMap:
    """Fit shift and log-scales by L-BFGS, in coordinates in which the target is about as curved as a standard normal.

    Parameters
    ----------
    target : callable
        (S, P) → log density (S,) and gradient (S, P).
    theta : array, shape (S, P)
        Draws of the original posterior, some ten or more (each draw tells of every coordinate).
    factor : array, shape (P, P), optional
        Cholesky factor of the covariance that the target has roughly: shifts are sought along its columns, which
        takes fewer steps where parameters are correlated. The standard deviations of ``theta`` where left out.
    start : AffineMap, optional
        A diagonal map to improve; the identity where left out. No scale changes by more than a factor of 20.
    iterations : int
        At most.
    negligible : float
        Gain of an iteration, relative to that of all before it, at which the fit ends.

    Returns
    -------
    AffineMap

    Examples
    --------
    >>> def target(theta):  # N(3, 2²)
    ...     return -np.square(theta - 3).sum(1) / 8, -(theta - 3) / 4
    >>> moved = fit_diagonal(target, np.array([[-1.0], [1.0]]))(np.array([[-1.0], [0.0], [1.0]]))
    >>> moved[:, 0].round(1)  # mean 3, standard deviation 2
    array([1., 3., 5.])
    """
    mean, size = theta.mean(axis=0), theta.shape[1]
    sd = np.maximum(theta.std(axis=0), 1e-9 * (1 + np.abs(mean)))
    image = mean if start is None else start(mean[None])[0]
    scale = np.ones(size) if start is None else start.matrix
    centred = (theta - mean) * scale
    axes = np.diag(sd * scale) if factor is None else factor * scale[:, None]
    base = 0.0

    def loss(x: np.ndarray) -> tuple[float, np.ndarray]:
        stretch = np.exp(SCALE_STEP * x[size:])
        with np.errstate(over="ignore", invalid="ignore"):
            value, gradient = target(image + axes @ x[:size] + centred * stretch)
        if not (np.isfinite(value).all() and np.isfinite(gradient).all()):
            return PENALTY, np.zeros(2 * size)  # higher than anything acceptable: the line search turns back
        by_scale = SCALE_STEP * ((gradient * centred * stretch).mean(0) + 1)
        slope = np.concatenate([axes.T @ gradient.mean(0), by_scale])
        return base - (float(value.mean()) + SCALE_STEP * float(x[size:].sum())), -slope

    base = -loss(np.zeros(2 * size))[0]  # so that gains count from zero, and not from the size of the density
    largest = LARGEST_LOG_SCALE / SCALE_STEP
    bounds = [(None, None)] * size + [(-largest, largest)] * size
    options = {"maxiter": iterations, "maxfun": 2 * iterations, "ftol": negligible}
    best = minimize(loss, np.zeros(2 * size), jac=True, method="L-BFGS-B", bounds=bounds, options=options)
    return AffineMap(mean, image + axes @ best.x[:size], scale * np.exp(SCALE_STEP * best.x[size:]))
