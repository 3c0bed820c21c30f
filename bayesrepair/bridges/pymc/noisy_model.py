"""A PyMC model whose given outcomes may be wrong, as a `bayesrepair.noise.Noisy`."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, replace
from math import ceil
from typing import Any

import numpy as np
import pytensor.tensor as pt

from bayesrepair.bridges.pymc.diagnostics import diagnosed
from bayesrepair.bridges.pymc.fit import TrainablePyMCModel
from bayesrepair.bridges.pymc.graph import RowGraph
from bayesrepair.bridges.pymc.intake import columns_of
from bayesrepair.bridges.pymc.noisy_graph import noisy_graph
from bayesrepair.bridges.pymc.vectorised import Compiled, over_draws
from bayesrepair.bridges.pymc.whitened import Whitening
from bayesrepair.noise import HIGH, JITTER, LOW, SOURCE, Flips, Noise, with_source
from bayesrepair.numerics.label_posterior import true_class, wrong
from bayesrepair.posterior import MANY_DIVERGE, Draws
from bayesrepair.rows import Rows
from bayesrepair.status import SamplingWarning

SHORT_STEPS, RARELY = 0.98, 5e-4  # what is aimed at instead once more than this share of the draws has diverged
BEND = 2.0  # of what the noise takes the hyperbolic sine of; see `Whitening`
FURTHER = 1 / 5  # tuning of each further run, in that of the plain fit
FEWEST_TUNED = 100  # … and at least so many steps, if the plain fit has them
GROWTH = 1 / 2  # draws of a further run, in those of all runs before it
MOST_DRAWS = 100_000  # of all chains together, beyond which no further run is begun
WIDE = 200  # parameters beyond which only their spreads are taken from draws: correlations cost P² a gradient


@dataclass(frozen=True)
class Pace:
    """How the first run is sampled.

    Parameters
    ----------
    accept : float
        The target of step sizes.
    tune, draws : float
        In those of the plain fit.
    """

    accept: float
    tune: float
    draws: float


@dataclass(frozen=True)
class _Goal:
    """What every parameter should reach, and within how many gradients."""

    rhat: float
    ess: float
    gradients: float


class NoisyPyMCModel(TrainablePyMCModel):
    """The user's model with one more step between the true and the given outcome.

    Its parameters are those of the user's model, then those of the noise. ``predict`` and ``simulate`` are about the
    true outcome, ``log_lik`` about the given one.

    Parameters
    ----------
    clean : TrainablePyMCModel
        Reads the user's data; nothing else of it is used.
    noise : Noise
    """

    # at .8 one draw in some hundreds diverges where few labels are wrong
    pace = Pace(accept=0.9, tune=1 / 3, draws=1.0)

    def __init__(self, clean: TrainablePyMCModel, noise: Noise) -> None:
        graph, self.transition = self._noisy(clean.graph, noise)
        super().__init__(clean.pymc, graph, settings=clean.sampler.settings, mode=clean.mode)
        self.clean = clean
        self.noise = noise
        self.names = (*clean.names, *self.names[len(clean.names) :])
        self.dims, self.coords = {**self.dims, **clean.dims}, {**self.coords, **clean.coords}
        self._flips: tuple[np.ndarray, Flips] | None = None

    def _noisy(self, graph: RowGraph, noise: Any) -> tuple[RowGraph, Any]:
        return noisy_graph(graph, noise)

    def __getstate__(self) -> dict[str, Any]:
        # neither do functions of the noise
        return {**super().__getstate__(), "_flips": None}

    @property
    def told_apart(self) -> bool:
        """Whether rows say where their outcome is from."""
        return SOURCE in self.graph.inputs

    def rows(self, data: Any) -> Rows:
        """Rows as the user's model reads them; their outcomes are from nowhere known unless `SOURCE` says it."""
        if isinstance(data, Rows):
            return data
        rows = self.clean.rows(data)
        if not self.told_apart:
            return rows
        columns = columns_of(data)
        return with_source(rows, columns[SOURCE] if SOURCE in columns else np.full(len(rows), self.noise.groups))

    def flips(self, theta: np.ndarray) -> Flips:
        """The transition from the true to the given class: (S, P) → S draws; those of the last theta are kept."""
        if self._flips is None or self._flips[0] is not theta:
            self._flips = (theta, self._flips_at(theta))
        return self._flips[1]

    def flip_prior(self, size: int, rng: np.random.Generator) -> Flips:
        """The transition from its prior."""
        theta = np.tile(self.initial, (size, 1))
        theta[:, self.clean.n_params :] = self.transition.prior_draws(size, rng)
        return self._flips_at(theta)

    def started(self, draws: Draws, rng: np.random.Generator, *, high: bool = False) -> Draws:
        """Points to start from: draws of the model without noise, and low noise, or high noise."""
        sizes = [int(np.prod(shape)) for shape in self.transition.shapes]
        starts = [prior.start(HIGH if high else LOW) for prior in self.transition.priors]
        start = np.tile(np.repeat(starts, sizes), (len(draws), 1))
        start += JITTER * rng.uniform(-1, 1, start.shape)
        return Draws(np.hstack([draws.theta, start]), draws.log_weights, draws.chain, draws.r_eff)

    def sampled(
        self,
        rows: Rows,
        *,
        start: Draws,
        rng: np.random.Generator,
        draws: int | None,
        rhat: float,
        ess: float,
        gradients: float,
    ) -> Draws:
        """Draws of the posterior; chains that do not agree yet go on from where they ended.

        What is sampled are coordinates z in which draws at hand have covariance I, θ = centre + L z (`Whitening`, which
        bends some parameters): at first those of the plain fit, with the prior of the noise, then all draws so far. So
        little tuning is needed, and for further runs less still. The mass matrix of the first run is diagonal plus low
        rank, for rates of errors go along with the size of coefficients; later L knows that. Of many parameters L has
        the spreads alone, and the mass matrix stays as it is.

        Parameters
        ----------
        rows : Rows
        start : Draws
            Where chains start.
        rng : Generator
        draws : int, optional
            Of each chain in the first run; by default as many as the plain fit has, times the share of `Pace`.
        rhat, ess : float
            What every parameter should reach.
        gradients : float
            No further run is begun that would take more of them in all. (Not a time: the same seed is to give the same
            draws on a busy machine.) Nor is one where many trajectories diverge, or beyond `MOST_DRAWS`.

        Where a few diverge, more than two of 4000, all is done again with shorter steps, if that many gradients are
        left: draws near what they could not enter are too few.

        Warns
        -----
        SamplingWarning
            If there were divergences, or if r̂ exceeds 1.05 at the end.
        """
        goal, coordinates = _Goal(rhat, ess, gradients), self._first_coordinates(start, rng)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", SamplingWarning)  # the last word is what counts
            result = self._agreed(rows, start, coordinates, rng, draws, goal, self.pace.accept)
        done = result.sampling
        assert done is not None  # as the sampler made it
        spent = done.gradients or np.inf
        if not RARELY < done.divergent <= MANY_DIVERGE or 2 * spent > gradients:
            return diagnosed(result, done)
        start = _ends(result, done.chains)
        coordinates = Whitening.of(result, coordinates.bend, diagonal=coordinates.is_diagonal)
        goal = replace(goal, gradients=gradients - spent)
        result = self._agreed(rows, start, coordinates, rng, draws, goal, SHORT_STEPS)
        again = result.sampling
        assert again is not None
        total = None if again.gradients is None else again.gradients + int(spent)
        return replace(result, sampling=replace(again, seconds=done.seconds + again.seconds, gradients=total))

    def _agreed(
        self,
        rows: Rows,
        start: Draws,
        coordinates: Whitening,
        rng: np.random.Generator,
        draws: int | None,
        goal: _Goal,
        accept: float,
    ) -> Draws:
        """Runs of the same chains until they agree, or have taken too many gradients."""
        settings = self.clean.sampler.settings  # as they are now
        accept = max(settings.target_accept, accept)
        size = ceil(self.pace.draws * settings.draws) if draws is None else draws
        shares = self.pace.tune, FURTHER
        first, further = (max(ceil(share * settings.tune), min(settings.tune, FEWEST_TUNED)) for share in shares)
        settings = replace(settings, adaptation="low_rank", target_accept=accept, draws=size, tune=first)
        arrays, position = self._arrays(rows, with_outcome=True)
        weights = np.ones(len(rows))
        result: Draws | None = None
        while True:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", SamplingWarning)  # the last word is what counts
                more = self.sampler.sample(
                    arrays,
                    position,
                    weights=weights,
                    start=start,
                    rng=rng,
                    settings=settings,
                    coordinates=coordinates,
                )
                result = more if result is None else joined(result, more)
            so_far, last = result.sampling, more.sampling
            assert so_far is not None  # as the sampler made them
            assert last is not None
            good = not so_far.rhat_max > goal.rhat and so_far.ess_min >= goal.ess  # of one chain r̂ is nan
            if not coordinates.is_diagonal:
                settings = replace(settings, adaptation="diag", tune=further)
            settings = replace(settings, draws=max(ceil(GROWTH * so_far.draws), further))
            share = (settings.draws + settings.tune) / (last.draws + last.tune)  # of the last run's gradients
            spent = (so_far.gradients or np.inf) + share * (last.gradients or np.inf)
            if good or so_far.divergent > MANY_DIVERGE or spent > goal.gradients or len(result) > MOST_DRAWS:
                return diagnosed(result, so_far)
            start = _ends(result, settings.chains)
            coordinates = Whitening.of(result, coordinates.bend, diagonal=coordinates.is_diagonal)

    def _first_coordinates(self, start: Draws, rng: np.random.Generator) -> Whitening:
        """Those of draws of the user's parameters, and of the noise under its prior."""
        theta = start.theta.copy()
        theta[:, self.clean.n_params :] = self.transition.prior_draws(len(theta), rng)
        sizes = [int(np.prod(shape)) for shape in self.transition.shapes]
        bend = np.repeat([BEND if prior.is_bent else 0.0 for prior in self.transition.priors], sizes)
        bend = np.concatenate([np.zeros(self.clean.n_params), bend])
        return Whitening.of(replace(start, theta=theta), bend, diagonal=self.n_params > WIDE)

    def truth(self, theta: np.ndarray, rows: Rows) -> np.ndarray:
        """Probability of each true class, given the parameters and the given outcome: (S, P) → (S, N, K)."""
        flips = self.flips(theta)
        groups = self.noise.groups
        source = np.asarray(rows.values[SOURCE]) if SOURCE in rows.values else np.full(len(rows), groups)
        given = np.asarray(rows.values[self.outcome.name]).astype(int)
        return true_class(self.predict(theta, rows), flips.rate[:, source], flips.target, given)

    def wrong(self, theta: np.ndarray, rows: Rows) -> np.ndarray:
        """Probability that each given outcome is wrong, given the parameters: (S, P) → (S, N)."""
        given = np.asarray(rows.values[self.outcome.name]).astype(int)
        return wrong(self.truth(theta, rows), given)

    def _flips_at(self, theta: np.ndarray) -> Flips:
        rate, target = self._flip_function()(np.ascontiguousarray(theta, dtype=float))
        known = np.zeros((len(theta), 1, rate.shape[2]))
        return Flips(np.concatenate([rate, known], axis=1), target)

    def _flip_function(self) -> Any:
        made = self.functions._made
        if "flips" not in made:
            theta: Any = pt.tensor("theta", dtype="float64", shape=(None, self.n_params))
            outputs = [self.transition.rate, self.transition.target]
            graph = self.graph
            made["flips"] = Compiled(
                [theta], over_draws(outputs, theta, graph.value_vars, graph.shapes), mode=self.mode
            )
        return made["flips"]

    def _arrays(self, rows: Rows, *, with_outcome: bool) -> tuple[dict[str, np.ndarray], np.ndarray]:
        if self.told_apart and SOURCE not in rows.values:
            rows = with_source(rows, np.full(len(rows), self.noise.groups))
        return super()._arrays(rows, with_outcome=with_outcome)


def joined(first: Draws, second: Draws) -> Draws:
    """Two runs of the same chains, one after the other."""
    a, b = first.sampling, second.sampling
    assert a is not None  # runs of a sampler
    assert b is not None
    by_chain = [draws.theta.reshape(a.chains, -1, draws.theta.shape[1]) for draws in (first, second)]
    theta = np.concatenate(by_chain, axis=1)
    sampling = replace(
        a,
        draws=theta.shape[1],
        tune=a.tune + b.tune,
        divergences=a.divergences + b.divergences,
        seconds=a.seconds + b.seconds,
        gradients=None if a.gradients is None or b.gradients is None else a.gradients + b.gradients,
    )
    chain = np.repeat(np.arange(a.chains), theta.shape[1])
    return diagnosed(Draws.plain(theta.reshape(-1, theta.shape[2]), chain), sampling)


def _ends(draws: Draws, chains: int) -> Draws:
    """The last draw of each chain."""
    last = draws.theta.reshape(chains, -1, draws.theta.shape[1])[:, -1]
    return Draws.plain(last, np.arange(chains))
