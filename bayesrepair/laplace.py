"""The Laplace approximation of weighted rows: the Gaussian at the mode with the curvature there.

Tierney and Kadane (1986, doi:10.1080/01621459.1986.10478240), here for the posterior itself in the unconstrained space.
"""

from __future__ import annotations

import time

import numpy as np

from bayesrepair.model import Curved
from bayesrepair.numerics.newton import MOST_STEPS, find_mode
from bayesrepair.posterior import Gaussian, ModeSearch
from bayesrepair.rows import Rows
from bayesrepair.target import GRADIENT_COST, Target

CLOSED_FORM = "in closed form"


def laplace(
    model: Curved, rows: Rows, weight: np.ndarray, start: np.ndarray, *, most_steps: int = MOST_STEPS
) -> Gaussian:
    """The Laplace approximation of ``log_prior + Σ weight · log_lik``, by damped Newton steps.

    Parameters
    ----------
    model : Curved
    rows : Rows
    weight : array, shape (N,)
    start : array, shape (P,)
        Where the search starts; it need not be stationary for anything.
    most_steps : int

    Returns
    -------
    Gaussian
        Its ``search`` says whether a mode was reached; where none was, the last point and its curvature come back.

    Examples
    --------
    >>> from bayesrepair.oracles import NormalNormal
    >>> oracle = NormalNormal(prior_mean=0.0, prior_sd=1.0, noise_sd=1.0)
    >>> rows = oracle.rows({"y": np.array([1.0, 2.0, 9.0])})
    >>> found = laplace(oracle, rows, np.array([1.0, 1.0, 0.0]), np.array([50.0]))
    >>> found.mean, found.precision  # 3 / (1 + 2), 1 + 2
    (array([1.]), array([[3.]]))
    """
    started = time.perf_counter()
    target = Target(model, rows, weight)

    def value_and_gradient(theta: np.ndarray) -> tuple[float, np.ndarray]:
        value, gradient = target.value_and_gradient(theta[None])
        return float(value[0]), gradient[0]

    def curvature(theta: np.ndarray) -> np.ndarray:
        target.log_lik_evals += 2 * GRADIENT_COST * len(theta) * len(target.rows)
        return model.curvature(theta, target.rows, target.weight)

    mode = find_mode(value_and_gradient, curvature, start, most_steps=most_steps)
    search = ModeSearch(
        steps=mode.steps,
        damped=mode.damped,
        decrement=mode.decrement,
        converged=mode.converged,
        log_density=mode.value,
        second_derivatives=getattr(model, "second_derivatives", CLOSED_FORM),
        log_lik_evals=target.log_lik_evals,
        seconds=time.perf_counter() - started,
    )
    return Gaussian(mode.theta, mode.curvature, search)
