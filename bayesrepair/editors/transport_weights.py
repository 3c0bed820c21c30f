"""Scores of maps on draws that did not fit them, and the weights of the draws that the chosen one moves.

For every map, draws of p that it moves have a density q, and ``log p_edited(T(θ)) − log q(T(θ)) + log p(θ)`` is the
score of a draw. Its mean is minus the Kullback–Leibler divergence of q from the edited posterior, up to a constant
that all maps share; for a single affine map it is ``log p_edited(T(θ)) + log|det A|``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np

from bayesrepair.editors.transport_maps import Fits, Source, sample
from bayesrepair.fit import Change
from bayesrepair.numerics.affine import AffineMap
from bayesrepair.numerics.piecewise import PiecewiseMap
from bayesrepair.numerics.psis import effective_share
from bayesrepair.posterior import Draws
from bayesrepair.target import Target

STANDARD_ERRORS = 2.0
STAYING = 0.05  # of the draws where each region has a map of its own
ALIGNED = 20  # draws at which the constant of a log density that the sampler kept is found


@dataclass(frozen=True, eq=False)
class Weighing:
    """The densities of an edit, and that of the draws which it starts from.

    Parameters
    ----------
    before, after : Target
        The posterior that the draws came from, and the one that the edit asks for.
    changed : Target
        What the rows that change contribute: the difference of the two.
    source : array, shape (S,)
        Log density of the draws where they are; up to a constant, unless there are regions.
    """

    before: Target
    after: Target
    changed: Target
    source: np.ndarray

    @classmethod
    def of(cls, change: Change, source: Source) -> Self:
        """Densities of a change; those of the draws are computed where the sampler did not keep them."""
        before, changed = Target.before(change), Target.changed(change)
        return cls(before, Target.after(change), changed, _log_density(source, before))

    @property
    def log_lik_evals(self) -> int:
        """Row × draw evaluations so far."""
        return self.before.log_lik_evals + self.after.log_lik_evals + self.changed.log_lik_evals

    def score(self, transport: AffineMap | PiecewiseMap, theta: np.ndarray, source: np.ndarray) -> np.ndarray:
        """Score of a map at some draws, of log density ``source``; −inf outside the support."""
        if isinstance(transport, AffineMap):
            return _density(self.after, transport(theta))[0] + transport.log_det
        moved, origin = transport(theta), transport.regions(theta)
        pushed = transport.log_pushed(moved, self.before.log_density, origin=origin, known=source)
        return _density(self.after, moved)[0] - pushed + source

    def moved(self, source: Source, maps: Sequence[AffineMap | PiecewiseMap], rng: np.random.Generator) -> Draws:
        """Each half of the draws moved by the map that the other fitted, with raw weights."""
        draws = source.draws
        theta, gradient = np.empty_like(draws.theta), np.empty_like(draws.theta)
        value, log_ratio = np.empty(len(draws)), np.empty(len(draws))
        for h in (0, 1):
            at, transport = source.at(h), maps[1 - h]
            if isinstance(transport, AffineMap):
                theta[at] = transport(draws.theta[at])
                value[at], gradient[at] = _density(self.after, theta[at])
                log_ratio[at] = value[at] + transport.log_det - self.source[at]
            else:
                theta[at], value[at], log_q, gradient[at] = self._moved_apart(source, at, transport, rng)
                log_ratio[at] = value[at] - log_q
        log_weights = draws.log_weights + log_ratio
        return Draws(theta, log_weights, draws.chain, draws.r_eff, log_density=value, gradient=gradient)

    def _moved_apart(
        self, source: Source, at: np.ndarray, transport: PiecewiseMap, rng: np.random.Generator
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Draws moved region by region: where they are, ``log p_edited`` and ``log q``, and the former's gradient.

        Images of regions that move apart leave a hole, which no weight could ever make up for. So a few draws stay
        where they are: ``q = (1 − ε) Σ_j … + ε p`` is nowhere zero where p is not.
        """
        theta, known = source.draws.theta[at], self.source[at]
        stays = rng.random(len(at)) < STAYING
        moved = np.where(stays[:, None], theta, transport(theta))
        value, gradient = _density(self.after, moved)
        origin = np.where(stays, -1, source.label[at])
        pushed = transport.log_pushed(moved, self.before.log_density, origin=origin, known=known)
        unmoved = known.copy()
        there = np.flatnonzero(~stays & np.isfinite(value))
        unmoved[there] = value[there] - self.changed.log_likelihood(moved[there])
        log_q = np.logaddexp(np.log1p(-STAYING) + pushed, np.log(STAYING) + unmoved)
        return moved, value, log_q, gradient


@dataclass(frozen=True, eq=False)
class Probes:
    """Some draws of each half, on which the maps that the other half fitted are compared.

    Parameters
    ----------
    source : Source
    at : tuple of array of int
        Positions of the draws of each half.
    """

    source: Source
    at: tuple[np.ndarray, np.ndarray]

    @classmethod
    def of(cls, source: Source, size: int, rng: np.random.Generator) -> Self:
        """At most ``size`` draws of each half."""
        first, second = (sample(source.draws, source.at(h), size, rng) for h in (0, 1))
        return cls(source, (first, second))

    def scores(self, weighing: Weighing, names: Sequence[str], fits: Sequence[Fits]) -> dict[str, np.ndarray]:
        """Score of each draw under each kind of map, by name."""
        theta, known = self.source.draws.theta, weighing.source
        maps = [fit.candidates(tuple(names), self.source) for fit in fits]
        return {
            name: np.concatenate(
                [weighing.score(maps[1 - h][name], theta[self.at[h]], known[self.at[h]]) for h in (0, 1)]
            )
            for name in names
        }

    def share(self, weighing: Weighing, score: np.ndarray) -> float:
        """Share of the draws that stay effective under a map with these scores."""
        return effective_share(score - weighing.source[np.concatenate(self.at)])


def choose(scores: Mapping[str, np.ndarray]) -> str:
    """The first, that is the simplest, map whose held-out score is as good as the best one's."""
    best = max(scores, key=lambda name: scores[name].mean())
    for name, score in scores.items():
        if name == best:
            break
        gain = scores[best] - score
        if gain.mean() <= STANDARD_ERRORS * gain.std() / np.sqrt(len(gain)):
            return name
    return best


def _density(target: Target, theta: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Log density, −inf outside the support, and gradient."""
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):  # outside the support: weight zero
        value, gradient = target.value_and_gradient(theta)
    return np.where(np.isnan(value), -np.inf, value), gradient


def _log_density(source: Source, before: Target) -> np.ndarray:
    """Of the draws; with the constant that ``before`` has where it is compared with values from there."""
    draws = source.draws
    if draws.log_density is None:
        return before.log_density(draws.theta)
    if source.regions is None:
        return draws.log_density
    some = np.linspace(0, len(draws) - 1, min(ALIGNED, len(draws))).astype(int)
    return draws.log_density + np.median(before.log_density(draws.theta[some]) - draws.log_density[some])
