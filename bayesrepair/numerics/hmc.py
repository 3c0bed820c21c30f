"""Hamiltonian Monte Carlo for many draws at once (Neal 2011, arXiv:1206.1901).

Every draw is a chain of its own, a few moves long: the draws need no burn-in where they already come from the
target, and what the moves change in them measures how far they were from it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.linalg.blas import dtrmm
from scipy.special import ndtri

Target = Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]
ACCEPTANCE = 0.8
TUNING_DRAWS, TUNING_LEAPFROGS = 30, 3  # of the short trajectories on which the step is tuned
LONGEST = 1.5  # step, in units of the target's own scale
LEAST_LEAPFROGS = 2  # one alone is turned back too often where parameters are few, and costs next to nothing there
BLOCK = 1000  # draws at a time: arrays that stay in the cache
JITTER = 0.2  # the step varies by this share, so that no trajectory closes on itself


@dataclass(frozen=True, eq=False)
class Moved:
    """Draws after each of some moves.

    Parameters
    ----------
    path, path_gradient : array, shape (moves, S, P)
        Where the draws were after each move, and the gradient of the log density there.
    value : array, shape (S,)
        Log density where the draws are in the end.
    acceptance : array, shape (S,)
        Mean acceptance probability of each draw.
    step : float
    gradients : int
        Gradients evaluated.
    """

    path: np.ndarray
    path_gradient: np.ndarray
    value: np.ndarray
    acceptance: np.ndarray
    step: float
    gradients: int

    @property
    def theta(self) -> np.ndarray:
        """Where the draws are in the end, shape (S, P)."""
        return self.path[-1]


def sample(
    target: Target,
    theta: np.ndarray,
    *,
    factor: np.ndarray,
    rng: np.random.Generator,
    moves: int = 4,
    length: float = 1.5,
    most_leapfrogs: int = 16,
    known: tuple[np.ndarray, np.ndarray] | None = None,
) -> Moved:
    """Move every draw by some HMC trajectories at the target.

    Parameters
    ----------
    target : callable
        (S, P) → log density (S,) and gradient (S, P).
    theta : array, shape (S, P)
    factor : array, shape (P, P) or (P,)
        Cholesky factor of the covariance that the target has roughly, or its standard deviations: the inverse mass
        matrix is ``factor factorᵀ``.
    rng : Generator
    moves : int
    length : float
        Length of a trajectory in units of the target's own scale; about π/2 forgets the start of a Gaussian.
    most_leapfrogs : int
    known : tuple of arrays, shapes (S,) and (S, P), optional
        Log density and gradient at the draws, where the target was evaluated there already.

    Returns
    -------
    Moved

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> standard = lambda theta: (-np.square(theta).sum(1) / 2, -theta)
    >>> moved = sample(standard, np.full((2000, 1), 5.0), factor=np.ones(1), rng=rng, moves=20)
    >>> bool(abs(moved.theta.mean()) < 0.1 and abs(moved.theta.std() - 1) < 0.1)
    True
    """
    value, gradient = target(theta) if known is None else known
    step, gradients = _tuned_step(target, theta, value, gradient, factor, rng)
    gradients += len(theta) if known is None else 0
    leapfrogs = int(np.clip(np.ceil(length / step), LEAST_LEAPFROGS, most_leapfrogs))
    step = min(step, length / leapfrogs)  # a trajectory that is too long comes back
    acceptance, value = np.zeros(len(theta)), value.copy()
    path, path_gradient = np.empty((moves, *theta.shape)), np.empty((moves, *theta.shape))
    for move in range(moves):
        size = step * (1 + JITTER * (2 * rng.random() - 1))
        for a in range(0, len(theta), BLOCK):
            part = slice(a, a + BLOCK)
            at = theta[part], value[part], gradient[part]
            new, value[part], new_gradient, rate = _move(target, *at, factor, size, leapfrogs, rng)
            path[move, part], path_gradient[move, part] = new, new_gradient
            acceptance[part] += rate / moves
        theta, gradient = path[move], path_gradient[move]
    return Moved(path, path_gradient, value, acceptance, step, gradients + moves * leapfrogs * len(theta))


def usual_leapfrogs(length: float, size: int, most: int) -> int:
    """Steps of a trajectory of this length at a Gaussian of this many parameters, at most so many."""
    return int(np.clip(np.ceil(length / _usual_step(size)), LEAST_LEAPFROGS, most))


def _usual_step(size: int) -> float:
    """The step that parameters of this number call for (Beskos et al. 2013, doi:10.3150/12-BEJ414)."""
    return LONGEST / size**0.25


def _tuned_step(
    target: Target,
    theta: np.ndarray,
    value: np.ndarray,
    gradient: np.ndarray,
    factor: np.ndarray,
    rng: np.random.Generator,
    trials: int = 3,
) -> tuple[float, int]:
    """Step whose acceptance is near the goal, found on short trajectories that are thrown away.

    Where parameters are many, energy errors of a trajectory are about normal with a mean μ that grows as the fourth
    power of the step, and the acceptance is ``2 Φ(−√(μ / 2))`` (Beskos et al. 2013, doi:10.3150/12-BEJ414). So each
    trial says which step would have had the acceptance asked for; the step is what the last two say, on average.
    """
    some = rng.choice(len(theta), min(TUNING_DRAWS, len(theta)), replace=False)
    at = theta[some], value[some], gradient[some]
    tried = [np.log(_usual_step(theta.shape[1]))]
    for _ in range(trials):
        rate = _move(target, *at, factor, np.exp(tried[-1]), TUNING_LEAPFROGS, rng)[3].mean()
        off = np.log(ndtri(ACCEPTANCE / 2) / ndtri(np.clip(rate, 0.02, 0.98) / 2)) / 2
        tried.append(min(tried[-1] + off, np.log(LONGEST)))
    return float(np.exp(np.mean(tried[-2:]))), trials * TUNING_LEAPFROGS * len(some)


def _move(
    target: Target,
    theta: np.ndarray,
    value: np.ndarray,
    gradient: np.ndarray,
    factor: np.ndarray,
    step: float,
    leapfrogs: int,
    rng: np.random.Generator,
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """One trajectory a draw: new draws, values, gradients, and each acceptance probability."""
    scaled = step * factor
    momentum = rng.standard_normal(theta.shape)
    start = value - np.einsum("sp,sp->s", momentum, momentum) / 2
    new, new_gradient, new_value = theta, gradient, value
    p = momentum + _pull(gradient, scaled) / 2
    with np.errstate(over="ignore", invalid="ignore"):  # a diverging trajectory is rejected below
        for i in range(leapfrogs):
            new = new + _push(p, scaled)
            new_value, new_gradient = target(new)
            p += _pull(new_gradient, scaled) * (1.0 if i < leapfrogs - 1 else 0.5)
        log_rate = new_value - np.einsum("sp,sp->s", p, p) / 2 - start
    rate = np.exp(np.minimum(0.0, np.where(np.isfinite(log_rate), log_rate, -np.inf)))
    accepted = rng.random(len(theta)) < rate
    return (
        np.where(accepted[:, None], new, theta),
        np.where(accepted, new_value, value),
        np.where(accepted[:, None], new_gradient, gradient),
        rate,
    )


def _push(p: np.ndarray, factor: np.ndarray) -> np.ndarray:
    """Velocity of whitened momenta: ``L p``."""
    return p * factor if factor.ndim == 1 else _by_triangle(p, factor, transposed=False)


def _pull(gradient: np.ndarray, factor: np.ndarray) -> np.ndarray:
    """Gradient in whitened coordinates: ``Lᵀ g``."""
    return gradient * factor if factor.ndim == 1 else _by_triangle(gradient, factor, transposed=True)


def _by_triangle(rows: np.ndarray, factor: np.ndarray, *, transposed: bool) -> np.ndarray:
    """``L v`` or ``Lᵀ v`` for each row v; the upper half of L is not looked at, which saves a third of the time."""
    return dtrmm(1.0, factor, rows.T, lower=1, trans_a=int(transposed)).T
