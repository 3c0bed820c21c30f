"""One draw of a few coordinates from each of many densities that were just integrated."""

from __future__ import annotations

import numpy as np
from scipy.interpolate import Akima1DInterpolator

from bayesrepair.numerics.conditional_mode import Located, LogDensity
from bayesrepair.numerics.quadrature import DEGREES, Integral, Rule, log_student

FINER = 8  # points of the distribution function for each node
LOWEST = -40.0  # nats below the highest node: no mass worth drawing
STEPS = 40  # the ratio of a Gaussian to the t is at most about 2 in few dimensions: 2⁻⁴⁰ of the start is left


def drawn(
    log_density: LogDensity, located: Located, nodes: Rule, integral: Integral, rng: np.random.Generator
) -> tuple[np.ndarray, float]:
    """Draw once from each density.

    In one dimension by the inverse of the distribution function, whose log density is interpolated between the nodes
    (of a rule of level 1 at least); in more dimensions by independence Metropolis steps from a Student-t (Tierney 1994,
    doi:10.1214/aos/1176325750).

    Parameters
    ----------
    log_density : callable
    located : Located
    nodes : Rule
    integral : Integral
    rng : Generator

    Returns
    -------
    u : array, shape (S, d)
    acceptance : float
        Of the Metropolis steps; 1 in one dimension.

    Examples
    --------
    >>> from bayesrepair.numerics.conditional_mode import locate
    >>> from bayesrepair.numerics.quadrature import integrate, rule
    >>> rng = np.random.default_rng(0)
    >>> gaussian = lambda u: -np.square((u[:, 0] - 3) / 0.5) / 2
    >>> found, nodes = locate(gaussian, np.ones((4000, 1)), np.ones(1)), rule(1, 1, rng)
    >>> u, _ = drawn(gaussian, found, nodes, integrate(gaussian, found, nodes), rng)
    >>> bool(abs(u.mean() - 3) < 0.03 and abs(u.std() - 0.5) < 0.02)
    True
    """
    if nodes.t is not None:
        return located.points(np.sinh(_inverse(nodes.t, integral.log_mass, rng))[:, None]), 1.0
    return _metropolis(log_density, located, rng)


def _inverse(t: np.ndarray, log_mass: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Draws on the equidistant scale t from log densities (n, S), shape (S,)."""
    fine = np.linspace(t[0], t[-1], FINER * (len(t) - 1) + 1)
    level = np.maximum(log_mass - log_mass.max(axis=0), LOWEST)
    density = np.exp(Akima1DInterpolator(t, level, axis=0)(fine))
    mass = np.cumsum((density[1:] + density[:-1]) / 2, axis=0)
    wanted = rng.random(mass.shape[1]) * mass[-1]
    cell = np.minimum((mass < wanted).sum(axis=0), len(mass) - 1)
    each = np.arange(mass.shape[1])
    before = np.where(cell > 0, mass[cell - 1, each], 0.0)
    share = (wanted - before) / (mass[cell, each] - before)
    return fine[cell] + share * (fine[1] - fine[0])


def _metropolis(log_density: LogDensity, located: Located, rng: np.random.Generator) -> tuple[np.ndarray, float]:
    """Independence Metropolis steps, each draw a chain of its own."""
    z, value, acceptance = np.zeros_like(located.centre), np.full(len(located.centre), -np.inf), 0.0
    for step in range(STEPS + 1):
        gamma = rng.chisquare(DEGREES, len(z)) / DEGREES
        trial = rng.standard_normal(z.shape) / np.sqrt(gamma)[:, None]
        reached = log_density(located.points(trial)) - log_student(trial)
        reached = np.where(np.isnan(reached), -np.inf, reached)
        accepted = np.log(rng.random(len(z))) < np.where(np.isneginf(value), np.inf, reached - value)
        z, value = np.where(accepted[:, None], trial, z), np.where(accepted, reached, value)
        acceptance += accepted.mean() / STEPS if step else 0.0
    return located.points(z), float(acceptance)
