"""Laplace approximations nested in a grid over one parameter, for posteriors that are skew along it.

The joint mode of a model and of the rate of its errors lies far from the mass of the posterior: at a high rate there is
more room for the other parameters, and a mode does not count room. Given the rate the rest is nearly Gaussian (Rue,
Martino, Chopin 2009, doi:10.1111/j.1467-9868.2008.00700.x); what is not, such as how rarely one class is taken for
another, importance resampling puts right.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from bayesrepair.model import Curved
from bayesrepair.numerics.newton import find_mode
from bayesrepair.numerics.psis import effective_sample_size, smooth
from bayesrepair.posterior import GAUSSIAN_CHAINS, GAUSSIAN_DRAWS, Draws
from bayesrepair.rows import Rows
from bayesrepair.status import MethodError
from bayesrepair.target import Target

STEEP = 2.0  # nats between neighbours of the best node, beyond which another node goes in between
NARROWEST = 0.01  # distance of neighbours, in units of the parameter
MOST_ROUNDS = 16
PROPOSED = 4  # for each draw that is kept
FREEDOM = 7.0  # of Student's t: proposals with wider tails than the posterior's are worth the same
MOST_LOOKS, MOST_PARAMETERS = 50_000_000, 50  # rows × proposals, and beyond how many weights hang on a few proposals


@dataclass(frozen=True, eq=False)
class Node:
    """The Laplace approximation of the other parameters at one value of the parameter.

    Parameters
    ----------
    at : float
    theta : array, shape (P,)
        The mode given that value, which it contains.
    precision : array, shape (P − 1, P − 1)
        Of the other parameters.
    log_mass : float
        Log of the density of the value itself, up to a constant; −inf where there is no mode.
    """

    at: float
    theta: np.ndarray
    precision: np.ndarray
    log_mass: float


def nested_laplace(
    model: Curved,
    rows: Rows,
    start: np.ndarray,
    index: int,
    grid: Sequence[float],
    *,
    size: int = GAUSSIAN_DRAWS,
    rng: np.random.Generator,
) -> Draws:
    """Draws of a mixture of Laplace approximations over a grid of one parameter, finer where the mass is.

    Up to four times as many are proposed, with wider tails, and those kept are taken by Pareto-smoothed importance
    weights. The approximation itself stands where the weights have no mean (k̂ ≥ 1), for more than 50 parameters, and
    for more than 12 500 rows, where it is close and the weights cost seconds.

    Parameters
    ----------
    model : Curved
    rows : Rows
    start : array, shape (P,)
        Where the search for the first mode starts; the others start from the mode of their neighbour.
    index : int
        The parameter.
    grid : sequence of float
        Increasing; its ends bound the parameter.
    size : int
        Draws.
    rng : Generator

    Returns
    -------
    Draws

    Raises
    ------
    MethodError
        If there is no mode anywhere.

    References
    ----------
    Magnusson, Andersen, Jonasson, Vehtari (2019), arXiv:1904.10679 (leave-one-out scores of an approximation need its
    weights). Vehtari et al. (2024), arXiv:1507.02646 (their smoothing).

    Examples
    --------
    A funnel, l ~ N(0, 1) and x ~ N(0, e²ˡ), has its joint mode at l = −1; the draws have the mean 0 and sd 1 of l.

    >>> class Funnel:
    ...     def log_prior(self, theta):
    ...         l, x = theta.T
    ...         return -(l**2) / 2 - l - x**2 * np.exp(-2 * l) / 2
    ...     def log_lik(self, theta, rows):
    ...         return np.zeros((len(theta), len(rows)))
    ...     def log_target_and_grad(self, theta, rows, weight):
    ...         l, x = theta.T
    ...         s = np.exp(-2 * l)
    ...         return self.log_prior(theta), np.stack([-l - 1 + x**2 * s, -x * s], axis=1)
    ...     def curvature(self, theta, rows, weight):
    ...         l, x = theta
    ...         s = np.exp(-2 * l)
    ...         return np.array([[1 + 2 * x**2 * s, -2 * x * s], [-2 * x * s, s]])
    >>> rows, grid = Rows({"y": np.zeros(1)}, np.zeros(1)), np.linspace(-4, 4, 17)
    >>> draws = nested_laplace(Funnel(), rows, np.zeros(2), 0, grid, rng=np.random.default_rng(0)).theta[:, 0]
    >>> bool(abs(draws.mean()) < 0.06), bool(abs(draws.std() - 1) < 0.06)
    (True, True)
    """
    target = Target(model, rows, np.ones(len(rows)))
    nodes: list[Node] = []
    for value in grid:
        known = [node for node in nodes if np.isfinite(node.log_mass)]
        nodes.append(_node(model, target, known[-1].theta if known else start, index, float(value)))
    nodes = [node for node in nodes if np.isfinite(node.log_mass)]
    if len(nodes) < 2:
        raise MethodError("a mode of the posterior at each rate of errors", "none", "Sample it instead: method='nuts'.")
    for _ in range(MOST_ROUNDS):
        between = _missing(nodes)
        if not between:
            break
        more = [_node(model, target, left.theta, index, (left.at + right.at) / 2) for left, right in between]
        nodes = sorted([*nodes, *(node for node in more if np.isfinite(node.log_mass))], key=lambda node: node.at)
    chain = np.arange(size) * GAUSSIAN_CHAINS // size
    proposed = min(PROPOSED * size, MOST_LOOKS // max(len(rows), 1))
    if proposed >= size and len(start) <= MOST_PARAMETERS:
        theta, log_q = _proposals(nodes, index, proposed, FREEDOM, rng)
        log_p = target.log_density(theta)
        log_w, khat = smooth(np.where(np.isfinite(log_p), log_p, -np.inf) - log_q)
        if khat < 1:
            weight = np.exp(log_w)
            taken = np.sort(rng.choice(len(theta), size, p=weight))  # so that no proposal is in two batches of draws
            return Draws.plain(theta[taken], chain, 1 / (1 + size / effective_sample_size(weight)))
    return Draws.plain(_proposals(nodes, index, size, np.inf, rng)[0], chain)


def _node(model: Curved, target: Target, start: np.ndarray, index: int, value: float) -> Node:
    theta = np.array(start, dtype=float)
    theta[index] = value
    others = np.arange(len(theta)) != index

    def full(x: np.ndarray) -> np.ndarray:
        point = theta.copy()
        point[others] = x
        return point

    def value_and_gradient(x: np.ndarray) -> tuple[float, np.ndarray]:
        density, gradient = target.value_and_gradient(full(x)[None])
        return float(density[0]), gradient[0][others]

    def curvature(x: np.ndarray) -> np.ndarray:
        return model.curvature(full(x), target.rows, target.weight)[np.ix_(others, others)]

    mode = find_mode(value_and_gradient, curvature, theta[others])
    sign, logdet = np.linalg.slogdet(mode.curvature)
    usable = mode.converged and sign > 0 and np.isfinite(mode.value)
    return Node(value, full(mode.theta), mode.curvature, mode.value - 0.5 * float(logdet) if usable else -np.inf)


def _missing(nodes: list[Node]) -> list[tuple[Node, Node]]:
    """Neighbours of the best node that are too far from it, each with it, in order."""
    best = int(np.argmax([node.log_mass for node in nodes]))
    pairs = [(nodes[k], nodes[k + 1]) for k in (best - 1, best) if 0 <= k < len(nodes) - 1]
    top = nodes[best].log_mass
    return [
        (left, right)
        for left, right in pairs
        if right.at - left.at > NARROWEST and top - min(left.log_mass, right.log_mass) > STEEP
    ]


def _proposals(
    nodes: list[Node], index: int, size: int, freedom: float, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Draws (S, P) and their log density: a node by its mass, the parameter in its cell, the others about its mode.

    The others have Student's t of so many degrees of freedom; of infinitely many they are Gaussian.
    """
    at = np.array([node.at for node in nodes])
    middle = (at[1:] + at[:-1]) / 2
    low, high = np.concatenate([at[:1], middle]), np.concatenate([middle, at[-1:]])
    log_mass = np.array([node.log_mass for node in nodes])
    share = np.exp(log_mass - log_mass.max()) * (high - low)
    share /= share.sum()
    count = rng.multinomial(size, share)
    parts, densities = [], []
    for k in np.flatnonzero(count):
        factor = np.linalg.cholesky(nodes[k].precision)
        noise = rng.standard_normal((len(factor), count[k]))
        if np.isfinite(freedom):
            noise *= np.sqrt(freedom / rng.chisquare(freedom, count[k]))
        theta = np.tile(nodes[k].theta, (count[k], 1))
        theta[:, index] = rng.uniform(low[k], high[k], count[k])
        theta[:, np.arange(theta.shape[1]) != index] += np.linalg.solve(factor.T, noise).T
        square = np.square(noise).sum(axis=0)
        tail = (freedom + len(factor)) * np.log1p(square / freedom) if np.isfinite(freedom) else square
        here = np.log(share[k] / (high[k] - low[k])) + np.log(np.diag(factor)).sum()
        parts.append(theta)
        densities.append(here - tail / 2)
    order = rng.permutation(size)
    return np.concatenate(parts)[order], np.concatenate(densities)[order]
