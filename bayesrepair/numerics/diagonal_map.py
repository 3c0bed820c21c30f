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
NEGLIGIBLE = 1e-4  # less than the noise of so few draws


def fit_diagonal(
    target: Target,
    theta: np.ndarray,
    *,
    start: AffineMap | None = None,
    iterations: int = 20,
    negligible: float = NEGLIGIBLE,
) -> AffineMap:
    """Fit shift and log-scales by L-BFGS.

    Parameters
    ----------
    target : callable
        (S, P) → log density (S,) and gradient (S, P).
    theta : array, shape (S, P)
        Draws of the original posterior, some ten or more (each draw tells of every coordinate).
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
    centred, spread = (theta - mean) * scale, sd * scale
    base = 0.0

    def loss(x: np.ndarray) -> tuple[float, np.ndarray]:
        stretch = np.exp(x[size:])
        with np.errstate(over="ignore", invalid="ignore"):
            value, gradient = target(image + x[:size] * spread + centred * stretch)
        if not (np.isfinite(value).all() and np.isfinite(gradient).all()):
            return PENALTY, np.zeros(2 * size)  # higher than anything acceptable: the line search turns back
        slope = np.concatenate([gradient.mean(0) * spread, (gradient * centred * stretch).mean(0) + 1])
        return base - (float(value.mean()) + float(x[size:].sum())), -slope

    base = -loss(np.zeros(2 * size))[0]  # so that gains count from zero, and not from the size of the density
    bounds = [(None, None)] * size + [(-LARGEST_LOG_SCALE, LARGEST_LOG_SCALE)] * size
    options = {"maxiter": iterations, "maxfun": 2 * iterations, "ftol": negligible}
    best = minimize(loss, np.zeros(2 * size), jac=True, method="L-BFGS-B", bounds=bounds, options=options)
    return AffineMap(mean, image + best.x[:size] * spread, scale * np.exp(best.x[size:]))
