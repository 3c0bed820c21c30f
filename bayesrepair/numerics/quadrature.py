"""Integrals over a few coordinates, one for each of many draws at once.

In one and two dimensions the trapezoidal rule on ``u = c + L sinh t``: it converges geometrically on analytic
integrands (Trefethen & Weideman 2014, doi:10.1137/130932132), ``sinh`` reaches heavy tails, and every other node makes
a second rule for nothing, from which the error is known. In more dimensions importance sampling from a Student-t at a
scrambled Sobol sequence (Owen 1997, doi:10.1214/aos/1031594731).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import gammaincinv, gammaln, logsumexp, ndtri

from bayesrepair.numerics.conditional_mode import Located, LogDensity

GRIDS = {1: (7, 3.5), 2: (7, 3.0)}  # intervals on either side, and how far: sinh 3.5 = 17 own sds
POINTS = 512  # of importance sampling
DEGREES = 5.0  # of freedom of the Student-t
TOLERANCE = 0.05  # nats: a weight off by 5 % is less than what the weights' own noise hides
STRAGGLERS = 0.001  # share of the draws that may miss it
LEVELS = {1: 5}  # 3 in more dimensions: 3249 nodes in two


@dataclass(frozen=True, eq=False)
class Rule:
    """Where an integrand is evaluated, in units of its own scale, and with what weight.

    Parameters
    ----------
    z : array, shape (n, d)
    log_weight : array, shape (n,)
    coarse : array of bool, shape (n,)
        The nodes of a second, coarser rule.
    log_coarse : float
        What the log weights of the coarser rule have more.
    edge : array of bool, shape (n,)
        The outermost nodes: their share bounds what lies beyond.
    t : array, shape (n,), optional
        In one dimension: the equidistant nodes, ``z = sinh t``.
    """

    z: np.ndarray
    log_weight: np.ndarray
    coarse: np.ndarray
    log_coarse: float
    edge: np.ndarray
    t: np.ndarray | None = None

    @property
    def is_random(self) -> bool:
        """Whether it is importance sampling."""
        return self.z.shape[1] not in GRIDS


@dataclass(frozen=True, eq=False)
class Integral:
    """An integral for each draw.

    Parameters
    ----------
    log_value : array, shape (S,)
    error : array, shape (S,)
        Of ``log_value``, nats: the difference to the coarser rule and the share of the outermost nodes, which bound
        the error from above on smooth integrands; of importance sampling its standard error.
    log_mass : array, shape (n, S)
        Log share of each node.
    """

    log_value: np.ndarray
    error: np.ndarray
    log_mass: np.ndarray


def rule(dimension: int, level: int, rng: np.random.Generator) -> Rule:
    """A rule for so many dimensions; each level halves the step (or doubles the points of importance sampling).

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> [len(rule(d, 0, rng).z) for d in (1, 2, 3)]
    [15, 225, 512]
    """
    if dimension not in GRIDS:
        return _student(dimension, POINTS * 2**level, rng)
    half, reach = GRIDS[dimension][0] * 2**level, GRIDS[dimension][1]
    t = np.linspace(-reach, reach, 2 * half + 1)
    single = np.log(reach / half) + np.log(np.cosh(t))
    even, edge = np.arange(len(t)) % 2 == 0, np.abs(t) == reach
    if dimension == 1:
        return Rule(np.sinh(t)[:, None], single, even, np.log(2), edge, t)
    z = np.stack(np.meshgrid(np.sinh(t), np.sinh(t), indexing="ij"), axis=-1).reshape(-1, 2)
    weight = np.add.outer(single, single).ravel()
    coarse, outer = np.logical_and.outer(even, even).ravel(), np.logical_or.outer(edge, edge).ravel()
    return Rule(z, weight, coarse, 2 * np.log(2), outer)


def _student(dimension: int, size: int, rng: np.random.Generator) -> Rule:
    """Points of a standard Student-t, and minus their log density."""
    from scipy.stats import qmc

    uniform = qmc.Sobol(dimension + 1, rng=rng).random(size)
    uniform = np.clip(uniform, 1e-12, 1 - 1e-12)
    chi_squared = 2 * gammaincinv(DEGREES / 2, uniform[:, -1:])
    z = ndtri(uniform[:, :-1]) / np.sqrt(chi_squared / DEGREES)
    none = np.zeros(size, dtype=bool)
    return Rule(z, -np.log(size) - log_student(z), np.arange(size) < size // 2, np.log(2), none)


def log_student(z: np.ndarray) -> np.ndarray:
    """Log density of a standard Student-t in so many dimensions, (n, d) → (n,)."""
    d = z.shape[1]
    constant = gammaln((DEGREES + d) / 2) - gammaln(DEGREES / 2) - d / 2 * np.log(DEGREES * np.pi)
    return constant - (DEGREES + d) / 2 * np.log1p(np.square(z).sum(axis=1) / DEGREES)


def integrate(log_density: LogDensity, located: Located, nodes: Rule) -> Integral:
    """``log ∫ exp(log_density(u)) du`` for each draw.

    Parameters
    ----------
    log_density : callable
        (S, d), one point a draw → (S,); unnormalised.
    located : Located
    nodes : Rule

    Returns
    -------
    Integral

    Examples
    --------
    >>> from bayesrepair.numerics.conditional_mode import locate
    >>> gaussian = lambda u: -np.square(u[:, 0] / 0.5) / 2
    >>> found = locate(gaussian, np.ones((1, 1)), np.ones(1))
    >>> integral = integrate(gaussian, found, rule(1, 1, np.random.default_rng(0)))
    >>> round(float(np.exp(integral.log_value[0])), 6)  # 0.5 √(2 π)
    1.253314
    """
    value = np.stack([log_density(located.points(z)) for z in nodes.z])
    value = np.where(np.isnan(value), -np.inf, value) + nodes.log_weight[:, None]
    with np.errstate(divide="ignore", invalid="ignore"):  # an integrand that is zero everywhere
        total = logsumexp(value, axis=0)
        coarse = logsumexp(value[nodes.coarse], axis=0) + nodes.log_coarse
        error = np.abs(total - coarse)
        log_mass = value - total
        error = np.maximum(error, np.exp(log_mass[nodes.edge]).sum(axis=0))
        if nodes.is_random:  # the standard error of importance sampling
            share = np.exp(2 * log_mass).sum(axis=0) - 1 / len(nodes.z)
            error = np.maximum(error, np.sqrt(np.maximum(share, 0.0)))
    error = np.where(np.isnan(error), np.inf, error)
    return Integral(total + located.log_det, error, log_mass)


def integrate_to_tolerance(
    log_density: LogDensity, located: Located, rng: np.random.Generator, *, level: int = 0
) -> tuple[Integral, Located, Rule]:
    """Integrate with finer and finer rules, each centred on the moments that the last one found.

    Parameters
    ----------
    log_density : callable
    located : Located
    rng : Generator
        For the Sobol sequence.
    level : int
        Of the first rule.

    Returns
    -------
    integral : Integral
        Its errors exceed ``TOLERANCE`` where even the finest rule does not reach it.
    located : Located
        What the last rule was centred on.
    nodes : Rule
    """
    dimension = located.centre.shape[1]
    nodes = rule(dimension, level, rng)
    integral = integrate(log_density, located, nodes)
    for finer in range(level + 1, LEVELS.get(dimension, 3)):
        if integral.error.max() <= TOLERANCE:
            break
        located = _recentred(located, nodes, integral)
        nodes = rule(dimension, finer, rng)
        integral = integrate(log_density, located, nodes)
    return integral, located, nodes


def worst_error(integral: Integral) -> float:
    """The error that all draws but one in a thousand keep, nats."""
    return float(np.quantile(integral.error, 1 - STRAGGLERS))


def _recentred(located: Located, nodes: Rule, integral: Integral) -> Located:
    """The mean and covariance under the last rule, where it found any."""
    share = np.exp(integral.log_mass).T
    mean = share @ nodes.z
    second = np.einsum("sn,ni,nj->sij", share, nodes.z, nodes.z) - mean[:, :, None] * mean[:, None, :]
    spread, axes = np.linalg.eigh(np.where(np.isfinite(second), second, np.eye(mean.shape[1])))
    spread = np.clip(spread, 1e-3, 1e3)  # a factor of 30 at a time
    stretch = axes * np.sqrt(spread)[:, None, :]
    found = np.isfinite(mean).all(axis=1)
    centre = np.where(found[:, None], located.points(np.where(np.isfinite(mean), mean, 0.0)), located.centre)
    return Located(centre, located.factor @ stretch, located.log_det + 0.5 * np.log(spread).sum(axis=1))
