"""Mode and scale of a density of a few coordinates, for each of many draws at once, from values alone."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import combinations

import numpy as np

LogDensity = Callable[[np.ndarray], np.ndarray]  # (S, d), one point a draw → (S,); unnormalised

MOST_STEPS = 12
CLOSE = 0.5  # of the density's own sd: quadrature around the centre needs no more
STRAGGLERS = 0.002  # share of the draws that may still be on their way
DIFFERENCE = 0.25  # step of the differences, own sds
LARGEST_SD = 100.0  # in units of the scale handed in


@dataclass(frozen=True, eq=False)
class Located:
    """Where a density is, and how wide.

    Parameters
    ----------
    centre : array, shape (S, d)
    factor : array, shape (S, d, d)
        ``factor factorᵀ`` is the inverse of minus the Hessian, with negative curvatures taken as positive.
    log_det : array, shape (S,)
        Of the factor.
    """

    centre: np.ndarray
    factor: np.ndarray
    log_det: np.ndarray

    def points(self, z: np.ndarray) -> np.ndarray:
        """``centre + factor z``: one z for all draws (d,), or one a draw (S, d) → (S, d)."""
        return self.centre + np.einsum("sij,...j->si" if z.ndim == 1 else "sij,sj->si", self.factor, z)


def locate(log_density: LogDensity, start: np.ndarray, scale: np.ndarray) -> Located:
    """Climb to the mode by Newton steps inside a trust region, derivatives from differences.

    A negative curvature counts as positive (Dauphin et al. 2014, arXiv:1406.2572), so that steps always climb.

    Parameters
    ----------
    log_density : callable
    start : array, shape (S, d)
    scale : array, shape (d,)
        A length in each coordinate, such as the sd over all draws.

    Returns
    -------
    Located

    Examples
    --------
    >>> found = locate(lambda u: -np.square((u[:, 0] - 3.0) / 0.5) / 2, np.zeros((4, 1)), np.ones(1))
    >>> found.centre[0].round(3), found.factor[0].round(3)
    (array([3.]), array([[0.5]]))
    """
    where, value = np.array(start, dtype=float), _finite(log_density(start))
    radius, difference = np.full(len(start), 2.0), np.full(len(start), DIFFERENCE)
    for step_number in range(MOST_STEPS + 1):
        gradient, hessian = _derivatives(log_density, where, value, scale * difference[:, None], scale)
        curvature, axes = np.linalg.eigh(-hessian)
        curvature = np.maximum(np.abs(curvature), LARGEST_SD**-2)
        pull = np.einsum("sji,sj->si", axes, gradient)
        difference = np.clip(DIFFERENCE / np.sqrt(curvature.max(axis=1)), 1e-4, DIFFERENCE)
        away = np.linalg.norm(pull / np.sqrt(curvature), axis=1)
        if step_number == MOST_STEPS or np.mean(away > CLOSE) <= STRAGGLERS:
            break
        step = np.einsum("sij,sj->si", axes, pull / curvature)
        length = np.linalg.norm(step, axis=1)
        step *= np.minimum(1.0, radius / np.maximum(length, 1e-300))[:, None]
        trial = where + step * scale
        reached = _finite(log_density(trial))
        better = reached >= value
        radius = np.where(better, 2 * radius, np.minimum(radius, length) / 4)
        where, value = np.where(better[:, None], trial, where), np.where(better, reached, value)
    factor = scale[:, None] * axes / np.sqrt(curvature)[:, None, :]
    return Located(where, factor, np.log(scale).sum() - 0.5 * np.log(curvature).sum(axis=1))


def _derivatives(
    log_density: LogDensity, where: np.ndarray, value: np.ndarray, h: np.ndarray, scale: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Gradient (S, d) and Hessian (S, d, d) with respect to ``u / scale``, by central differences of steps ``h``."""
    size, d = where.shape
    gradient, hessian = np.empty((size, d)), np.empty((size, d, d))
    unit = np.eye(d)
    for j in range(d):
        up, down = (log_density(where + sign * h * unit[j]) for sign in (1, -1))
        gradient[:, j] = (up - down) / (2 * h[:, j]) * scale[j]
        hessian[:, j, j] = (up - 2 * value + down) / h[:, j] ** 2 * scale[j] ** 2
    for j, k in combinations(range(d), 2):
        corners = [s * r * log_density(where + h * (s * unit[j] + r * unit[k])) for s in (1, -1) for r in (1, -1)]
        mixed = sum(corners) / (4 * h[:, j] * h[:, k]) * scale[j] * scale[k]
        hessian[:, j, k] = hessian[:, k, j] = mixed
    bad = ~(np.isfinite(gradient).all(axis=1) & np.isfinite(hessian).all(axis=(1, 2)))
    gradient[bad], hessian[bad] = 0.0, -np.eye(d)  # at an edge of the support: stay, with the scale handed in
    return gradient, hessian


def _finite(value: np.ndarray) -> np.ndarray:
    return np.where(np.isnan(value), -np.inf, value)
