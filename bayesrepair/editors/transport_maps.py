"""The maps among which transport chooses, each fitted on one half of the draws."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Self
from weakref import WeakKeyDictionary

import numpy as np

from bayesrepair.numerics.affine import AffineMap
from bayesrepair.numerics.covariance import covariance_factor
from bayesrepair.numerics.diagonal_map import fit_diagonal
from bayesrepair.numerics.gradient_regression import fit_full
from bayesrepair.numerics.piecewise import PiecewiseMap
from bayesrepair.numerics.regions import Regions, find_regions
from bayesrepair.posterior import Draws
from bayesrepair.target import Target

MOST_CORRELATED = 200  # parameters whose covariance is cheap to factor
COVARIANCE_DRAWS = 1000
BLOCKS = 10  # of a single chain (of a region), dealt out in turn to the two halves
_FOUND: WeakKeyDictionary[Draws, Regions | None] = WeakKeyDictionary()  # looked for once a fit, not once an edit


def regions_of(draws: Draws) -> Regions | None:
    """Regions with a cluster of draws each; None where the draws do not clearly fall into several."""
    if draws not in _FOUND:
        _FOUND[draws] = find_regions(draws.theta)
    return _FOUND[draws]


@dataclass(frozen=True, eq=False)
class Source:
    """Draws that are to be moved, in two halves: the maps that move one are fitted on the other.

    Parameters
    ----------
    draws : Draws
    half : array of int, shape (S,)
        Whole chains, or blocks of a single chain; with regions blocks of each region, because a chain may never
        have left one of them.
    regions : Regions or None
    label : array of int, shape (S,)
        Region of each draw.
    """

    draws: Draws
    half: np.ndarray
    regions: Regions | None
    label: np.ndarray

    @classmethod
    def of(cls, draws: Draws, regions: Regions | None) -> Self:
        """Deal the draws out to halves."""
        if regions is None:
            return cls(draws, _halves(draws.chain), None, np.zeros(len(draws), dtype=int))
        label, half = regions(draws.theta), np.empty(len(draws), dtype=int)
        for k in range(len(regions)):
            half[label == k] = _halves(np.zeros(np.sum(label == k)))
        return cls(draws, half, regions, label)

    def at(self, h: int, region: int | None = None) -> np.ndarray:
        """Positions of the draws of a half, or of those in one region."""
        return np.flatnonzero(self.half == h if region is None else (self.half == h) & (self.label == region))


@dataclass(frozen=True, eq=False)
class Pair:
    """Maps fitted on the same draws; ``full`` is None where it was not asked for."""

    diagonal: AffineMap
    full: AffineMap | None

    @property
    def richest(self) -> AffineMap:
        """The full map, or the diagonal one."""
        return self.diagonal if self.full is None else self.full


@dataclass(frozen=True, eq=False)
class Fits:
    """What was fitted on a half: maps of all its draws, and of those in each region."""

    whole: Pair | None
    parts: tuple[Pair, ...]

    def candidates(self, names: tuple[str, ...], source: Source) -> dict[str, AffineMap | PiecewiseMap]:
        """The maps by name, from simple to rich."""
        maps: dict[str, AffineMap | PiecewiseMap] = {"identity": AffineMap.identity(source.draws.theta.shape[1])}
        if self.whole is not None:
            maps["diagonal"], maps["full"] = self.whole.diagonal, self.whole.richest
        if source.regions is not None:
            maps["modes"] = PiecewiseMap(source.regions, tuple(part.richest for part in self.parts))
        return {name: maps[name] for name in names}


@dataclass(frozen=True)
class Fitting:
    """How maps are fitted; the parameters are those of `Transport`, here as numbers of draws that are used."""

    diagonal_draws: int
    regression_draws: int
    full: bool
    iterations: int
    rounds: int

    def fits(
        self,
        before: Target,
        after: Target,
        source: Source,
        h: int,
        rng: np.random.Generator,
        *,
        whole: bool,
        start: Fits | None = None,
    ) -> Fits:
        """Fit on a half, from the identity or from the maps of an earlier target."""
        pair = None
        if whole:
            pair = self._pair(before, after, source.draws, source.at(h), rng, None if start is None else start.whole)
        count = 0 if source.regions is None else len(source.regions)
        parts = [
            self._pair(before, after, source.draws, source.at(h, k), rng, None if start is None else start.parts[k])
            for k in range(count)
        ]
        return Fits(pair, tuple(parts))

    def enriched(
        self, fits: Fits, before: Target, after: Target, source: Source, h: int, rng: np.random.Generator
    ) -> Fits:
        """A full map in addition to a half's diagonal one."""
        assert fits.whole is not None  # there is something to start from
        diagonal = fits.whole.diagonal
        return replace(fits, whole=self._full(before, after, source.draws, source.at(h), rng, diagonal, diagonal))

    def _pair(
        self, before: Target, after: Target, draws: Draws, at: np.ndarray, rng: np.random.Generator, start: Pair | None
    ) -> Pair:
        diagonal = fit_diagonal(
            after.value_and_gradient,
            _representative(draws, at, self.diagonal_draws, rng),
            factor=_axes(draws, at),
            start=None if start is None else start.diagonal,
            iterations=self.iterations,
        )
        if not self.full:
            return Pair(diagonal, None)
        return self._full(before, after, draws, at, rng, diagonal, diagonal if start is None else start.richest)

    def _full(
        self,
        before: Target,
        after: Target,
        draws: Draws,
        at: np.ndarray,
        rng: np.random.Generator,
        diagonal: AffineMap,
        start: AffineMap,
    ) -> Pair:
        """A full map that starts from another one, beside the diagonal one."""
        some = sample(draws, at, self.regression_draws, rng)
        fitted = fit_full(
            after.value_and_gradient,
            draws.theta[some],
            before.value_and_gradient(draws.theta[some])[1],
            start=start,
            source_value=None if draws.log_density is None else draws.log_density[some],
            rounds=self.rounds,
        )
        return Pair(diagonal, fitted)


def sample(draws: Draws, at: np.ndarray, size: int, rng: np.random.Generator) -> np.ndarray:
    """At most ``size`` of some positions, without repetition; by the weights of the draws where they have any."""
    if not draws.is_weighted:
        return at if len(at) <= size else np.sort(rng.choice(at, size, replace=False))
    weights = draws.weights[at] / draws.weights[at].sum()
    return rng.choice(at, min(size, len(at)), p=weights)


def _halves(chain: np.ndarray) -> np.ndarray:
    """Which half each draw belongs to: whole chains, or blocks of a single chain, dealt out in turn."""
    names, where = np.unique(chain, return_inverse=True)
    return where % 2 if len(names) > 1 else (np.arange(len(chain)) * BLOCKS // len(chain)) % 2


def _axes(draws: Draws, at: np.ndarray) -> np.ndarray | None:
    """Cholesky factor of the covariance of some draws at the positions; None where parameters are too many for it."""
    if draws.theta.shape[1] > MOST_CORRELATED:
        return None
    some = at[:: max(1, len(at) // COVARIANCE_DRAWS)]
    return covariance_factor(draws.theta[some], draws.weights[some] / draws.weights[some].sum())


def _representative(draws: Draws, at: np.ndarray, size: int, rng: np.random.Generator) -> np.ndarray:
    """A sample shifted and stretched, coordinate by coordinate, to the means and sds of all draws at the positions."""
    some = draws.theta[sample(draws, at, size, rng)]
    weights = draws.weights[at] / draws.weights[at].sum()
    mean = weights @ draws.theta[at]
    sd = np.sqrt(weights @ np.square(draws.theta[at] - mean))
    own = some.std(axis=0)
    return mean + (some - some.mean(axis=0)) * np.where(own > 0, sd / np.where(own > 0, own, 1.0), 1.0)
