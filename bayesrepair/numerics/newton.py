"""The mode of a smooth log density by Newton's method, damped where the density is not log-concave.

Levenberg (1944, doi:10.1090/qam/10666) and Marquardt (1963, doi:10.1137/0111030): where the curvature H is not positive
definite, or a full step overshoots, the step solves ``(H + c diag|H|) s = g`` for a larger c. At a saddle, where that
leads nowhere, the step follows the most negative curvature (Moré and Sorensen 1979, doi:10.1007/BF01582091).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.linalg import LinAlgError, cho_factor, cho_solve, eigh

ValueAndGradient = Callable[[np.ndarray], tuple[float, np.ndarray]]
Curvature = Callable[[np.ndarray], np.ndarray]

MOST_STEPS = 200
AT_THE_MODE = 1e-10  # posterior sds left to go: nothing is gained by another step
ROUNDING = 1e-5  # below this the gradient may be nothing but rounding, and the decrement stops falling
FIRST_DAMPING, LARGEST_DAMPING = 1e-3, 1e12
FLATTEST = 1e-8  # curvature along an axis, relative to the largest: a flatter one is damped as if it were that curved
GAIN = 1e-4  # share of the predicted gain that a step must realise
STANDSTILL, MOST_HALVINGS = 1e-3, 30  # nats gained by a step, below which a saddle may be near
SLACK = 1e-12  # relative; a loss within rounding is none


@dataclass(frozen=True, eq=False)
class Mode:
    """Where a search ended.

    Parameters
    ----------
    theta : array, shape (P,)
    value : float
        Log density there.
    curvature : array, shape (P, P)
        Minus the Hessian there.
    decrement : float
        ``√(gᵀ H⁻¹ g)``: distance left to the mode, in posterior sds; inf where the curvature is not positive definite.
    converged : bool
    steps : int
    damped : int
        Steps that needed damping.
    gradients, curvatures : int
        Evaluations.
    """

    theta: np.ndarray
    value: float
    curvature: np.ndarray
    decrement: float
    converged: bool
    steps: int
    damped: int
    gradients: int
    curvatures: int


def find_mode(
    value_and_gradient: ValueAndGradient,
    curvature: Curvature,
    start: np.ndarray,
    *,
    most_steps: int = MOST_STEPS,
) -> Mode:
    """Climb to a mode.

    Parameters
    ----------
    value_and_gradient : callable
        (P,) → log density and its gradient (P,).
    curvature : callable
        (P,) → minus its Hessian (P, P), symmetric.
    start : array, shape (P,)
    most_steps : int

    Returns
    -------
    Mode
        ``converged`` is False where the steps ran out, where no step goes up, or where nothing finite is there.

    Examples
    --------
    >>> def poisson(theta):  # 3 events, rate e^θ: the mode is log 3 and the curvature there 3
    ...     return 3 * theta[0] - np.exp(theta[0]), 3 - np.exp(theta)
    >>> mode = find_mode(poisson, lambda theta: np.diag(np.exp(theta)), np.zeros(1))
    >>> mode.converged, float(np.exp(mode.theta[0]).round(12)), float(mode.curvature[0, 0].round(12))
    (True, 3.0, 3.0)
    """
    theta = np.array(start, dtype=float)
    value, gradient = value_and_gradient(theta)
    search = _Search(value_and_gradient)
    damping, damped, last, gain = 0.0, 0, np.inf, np.inf
    for step in range(most_steps + 1):
        H = curvature(theta)
        decrement = _decrement(H, gradient)
        settled = decrement <= AT_THE_MODE or (decrement < ROUNDING and damping == 0 and decrement > last / 2)
        ended = settled or step == most_steps or not (np.isfinite(H).all() and np.isfinite(value))
        if not ended:
            stuck = np.isinf(decrement) and (gain < STANDSTILL or not gradient.any())
            found = search.away_from_saddle(theta, value, H) if stuck else None
            found = found or search(theta, value, gradient, H, damping)
            ended = found is None
            settled = ended and decrement < ROUNDING
        if ended:
            return Mode(theta, value, H, decrement, settled, step, damped, 1 + search.gradients, step + 1)
        assert found is not None  # a search that found nothing has ended
        gain, last = found[1] - value, decrement
        theta, value, gradient, used, damping = found
        damped += used > 0
    raise AssertionError("the loop returns")


@dataclass(eq=False)
class _Search:
    """One step up, damped as far as it needs to be."""

    value_and_gradient: ValueAndGradient
    gradients: int = 0

    def __call__(
        self, theta: np.ndarray, value: float, gradient: np.ndarray, H: np.ndarray, damping: float
    ) -> tuple[np.ndarray, float, np.ndarray, float, float] | None:
        """The next point, value, gradient, the damping that it took, and that of the next step."""
        size = np.abs(np.diag(H))
        scale = np.maximum(size, FLATTEST * max(size.max(), 1.0))
        while damping <= LARGEST_DAMPING:
            step = _solved(H + damping * np.diag(scale), gradient)
            if step is not None:
                predicted = gradient @ step - step @ H @ step / 2
                new = theta + step
                new_value, new_gradient = self.value_and_gradient(new)
                self.gradients += 1
                finite = np.isfinite(new_value) and np.isfinite(new_gradient).all()
                gain = new_value - value if finite else -np.inf
                if predicted > 0 and gain >= GAIN * predicted - SLACK * (1 + abs(value)):
                    relaxed = damping / 10 if gain > predicted / 2 else damping
                    return new, new_value, new_gradient, damping, relaxed if relaxed >= FIRST_DAMPING / 10 else 0.0
            damping = max(FIRST_DAMPING, 10 * damping)
        return None

    def away_from_saddle(
        self, theta: np.ndarray, value: float, H: np.ndarray
    ) -> tuple[np.ndarray, float, np.ndarray, float, float] | None:
        """A step along the most negative curvature, to whichever side is higher; None where there is none."""
        curvatures, directions = eigh(H, subset_by_index=[0, 0])
        lowest, direction = float(curvatures[0]), directions[:, 0]
        length = 1 / np.sqrt(-lowest) if lowest < 0 else 0.0
        for _ in range(MOST_HALVINGS if length else 0):
            ends = [theta + side * length * direction for side in (1.0, -1.0)]
            found = [(end, *self.value_and_gradient(end)) for end in ends]
            self.gradients += 2
            end, new_value, new_gradient = max(found, key=lambda one: one[1] if np.isfinite(one[1]) else -np.inf)
            if new_value - value > -lowest * length**2 / 8 and np.isfinite(new_gradient).all():
                return end, new_value, new_gradient, FIRST_DAMPING, 0.0
            length /= 2
        return None


def _solved(matrix: np.ndarray, right: np.ndarray) -> np.ndarray | None:
    """``matrix⁻¹ right``; None where the matrix is not positive definite."""
    try:
        return cho_solve(cho_factor(matrix, lower=True), right)
    except (LinAlgError, ValueError):  # ValueError: nan or infinity in the matrix
        return None


def _decrement(H: np.ndarray, gradient: np.ndarray) -> float:
    step = _solved(H, gradient)
    return np.inf if step is None else float(np.sqrt(max(gradient @ step, 0.0)))
