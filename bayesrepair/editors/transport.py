"""Transport: move all draws by a map fitted to the edited posterior, then weight them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np

from bayesrepair.editors.transport_maps import Fits, Fitting, Source, regions_of
from bayesrepair.editors.transport_weights import Probes, Weighing, choose
from bayesrepair.fit import Change
from bayesrepair.judgement import Info
from bayesrepair.model import Differentiable
from bayesrepair.numerics.psis import effective_sample_size
from bayesrepair.posterior import Draws
from bayesrepair.target import Target

DRAWS_PER_PARAMETER = 6
SHARE_OF_REFIT = 0.05  # of the gradients that sampling took, for the regressions
FEWEST_DRAWS, MOST_DRAWS = 100, 700
MOST_FIT_DRAWS = 200
FIT_EVALUATIONS, ROUND_EVALUATIONS = 15, 4  # of each draw, as a rule: to predict the cost
PATH = (0.25, 0.5, 0.75, 1.0)  # shares of the edit at which maps are fitted where one fit does not reach it
SMALLEST_SHARE = 0.05  # of the draws that must stay effective, or the path is tried
GOOD_SHARE = 0.6  # of the draws left effective by a diagonal map: no full one is fitted


@dataclass(frozen=True)
class Transport:
    """Move draws by an affine map, cross-fitted, and weight them by the exact density ratio.

    ``log w = log p_edited(T(θ)) − log p(θ | D) + log|det A|``. Each half of the chains is moved by the map that the
    other half fitted; the expectation of w is the same ratio of normalisers for every map, so that the halves pool
    on one scale. Maps are compared on some draws that did not fit them by the mean of
    ``log p_edited(T(θ)) + log|det A|`` (minus the Kullback–Leibler divergence of the moved draws, up to a constant)
    with its paired standard error; the simplest map that is as good as the best moves all draws. Where the diagonal map
    leaves three fifths of them effective, no full one is fitted.

    Where the draws clearly fall into clusters (see `bayesrepair.numerics.regions`), a map for each is one more
    candidate. Moved draws then have the density ``q(θ') = Σ_j p(T_j⁻¹θ' | D) 1[T_j⁻¹θ' ∈ R_j] / |det A_j|``, and
    ``log w = log p_edited(θ') − log q(θ')`` accounts for the weight of every mode that the draws have seen. A
    twentieth of the draws stays where it is, so that nothing between the images is missed.

    Where next to no draws stay effective, maps are fitted once more along a path, to targets with a quarter, a half,
    three quarters and all of the edit, each from the one before; the weights with the larger effective sample size are
    kept. That is left out where it would take more than a quarter of the gradients that sampling took, and given up
    where not even a quarter of the edit is reached.

    Parameters
    ----------
    maps : tuple of {"identity", "diagonal", "full", "modes"}
        The candidates, from simple to rich. In the full map the matrix is the diagonal map's plus low rank where
        parameters are too many for the draws. "modes" counts only where there are several; alone, it is "full" else.
    fit_draws : int
        Draws of a half that fit the diagonal map, or as many as there are parameters where that is more (at most
        200). Their means and sds are those of the whole half, so that few draws are enough for two numbers a
        coordinate.
    regression_draws : int, optional
        Draws of a half that fit the full map. Each row of the matrix is a regression with P + 1 coefficients, so 6 P
        at least; beyond that from 100 to 700 by default, so that four rounds take a twentieth of the gradients that
        sampling took (700 where that is unknown).
    probe_draws : int
        Draws of a half on which maps are compared.
    iterations, rounds : int
        Of L-BFGS, and of gradient regression (at most).

    Examples
    --------
    >>> from bayesrepair.fit import Factor, Fit
    >>> from bayesrepair.oracles import NormalNormal
    >>> oracle = NormalNormal(prior_mean=0.0, prior_sd=1.0, noise_sd=1.0)
    >>> rows = oracle.rows({"y": np.array([1.0, 2.0, 9.0])})
    >>> rng = np.random.default_rng(0)
    >>> fit = Fit(oracle, rows, oracle.posterior(rows).draws(1000, rng))
    >>> posterior, info = Transport()(fit.change(Factor(rows.take([2]), -1.0)), rng)
    >>> abs(posterior.weights @ posterior.theta[:, 0] - 1.0) < 0.1  # 3 before, 1 after
    np.True_
    """

    maps: tuple[str, ...] = ("identity", "diagonal", "full", "modes")
    fit_draws: int = 50
    regression_draws: int | None = None
    probe_draws: int = 100
    iterations: int = 20
    rounds: int = 5

    accepts: ClassVar[tuple[type, ...]] = (Draws,)
    needs: ClassVar[tuple[type, ...]] = (Differentiable,)
    directions: ClassVar[frozenset[str]] = frozenset({"insert", "delete"})

    def __call__(self, change: Change, rng: np.random.Generator) -> tuple[Draws, Info]:
        """Return the moved draws with raw weights."""
        draws = change.posterior
        assert isinstance(draws, Draws)  # `edit` refuses the others
        source = Source.of(draws, regions_of(draws) if "modes" in self.maps else None)
        weighing = Weighing.of(change, source)
        probes = Probes.of(source, self.probe_draws, rng)
        fits, scores = self._fitted(weighing, source, probes, rng)
        posterior, details = _best(weighing, source, fits, scores, rng)
        details["regions"] = 1 if source.regions is None else len(source.regions)
        evals = 0
        if set(scores) != {"identity"} and _share(posterior) < SMALLEST_SHARE and self._path_is_worth_it(draws):
            along, evals = self._along_path(change, weighing, source, probes, rng)
            details["tempered"] = False
            if along is not None:
                again, its_details = _best(weighing, source, along, self._scores(weighing, probes, along), rng)
                if _share(again) > _share(posterior):
                    posterior, details = again, details | its_details | {"tempered": True}
        evals += weighing.log_lik_evals
        return posterior, Info(
            "transport", khat=posterior.khat, ess=posterior.ess, log_lik_evals=evals, details=details
        )

    def _fitted(
        self, weighing: Weighing, source: Source, probes: Probes, rng: np.random.Generator
    ) -> tuple[list[Fits], dict[str, np.ndarray]]:
        """Maps of both halves and their scores; the full one only where the diagonal one leaves few draws."""
        names, fitting = self._names(source.draws), self._fitting(source.draws)
        stepwise = source.regions is None and {"diagonal", "full"} <= set(names)
        first = replace(fitting, full=False) if stepwise else fitting
        whole = bool({"diagonal", "full"} & set(names))
        fits = [first.fits(weighing.before, weighing.after, source, h, rng, whole=whole) for h in (0, 1)]
        if not stepwise:
            return fits, self._scores(weighing, probes, fits)
        simple = tuple(name for name in names if name != "full")
        scores = probes.scores(weighing, simple, fits)
        if max(probes.share(weighing, score) for score in scores.values()) >= GOOD_SHARE:
            return fits, scores
        fits = [fitting.enriched(fits[h], weighing.before, weighing.after, source, h, rng) for h in (0, 1)]
        return fits, scores | probes.scores(weighing, ("full",), fits)

    def _scores(self, weighing: Weighing, probes: Probes, fits: Sequence[Fits]) -> dict[str, np.ndarray]:
        """Of all candidates; a single one needs none."""
        names = self._names(probes.source.draws)
        return {names[0]: np.zeros(1)} if len(names) == 1 else probes.scores(weighing, names, fits)

    def gradients(self, change: Change) -> int:
        """Gradients of all rows that this will take, about, unless it has to go along a path."""
        draws = change.posterior
        assert isinstance(draws, Draws)  # `edit` refuses the others
        return self._fitting_gradients(draws) + 2 * len(self._names(draws)) * self.probe_draws + len(draws)

    def _fitting_gradients(self, draws: Draws) -> int:
        """Of the fits of both halves to one target."""
        names, fitting = self._names(draws), self._fitting(draws)
        regions = regions_of(draws) if "modes" in names else None
        sizes = [] if regions is None else (np.bincount(regions(draws.theta)) // 2).tolist()
        if {"diagonal", "full"} & set(names):
            sizes.append(len(draws) // 2)
        return 2 * sum(
            FIT_EVALUATIONS * min(size, fitting.diagonal_draws)
            + ROUND_EVALUATIONS * min(size, fitting.regression_draws) * fitting.full
            for size in sizes
        )

    def _names(self, draws: Draws) -> tuple[str, ...]:
        """The candidates here."""
        several = "modes" in self.maps and regions_of(draws) is not None
        return tuple(name for name in self.maps if name != "modes" or several) or ("full",)

    def _fitting(self, draws: Draws) -> Fitting:
        """How many draws fit the maps."""
        size = draws.theta.shape[1]
        regressed = _affordable(draws) if self.regression_draws is None else self.regression_draws
        return Fitting(
            diagonal_draws=max(self.fit_draws, min(size, MOST_FIT_DRAWS)),
            regression_draws=min(len(draws) // 2, max(regressed, DRAWS_PER_PARAMETER * size)),
            full="full" in self._names(draws) or not {"diagonal", "full"} & set(self.maps),
            iterations=self.iterations,
            rounds=self.rounds,
        )

    def _along_path(
        self, change: Change, weighing: Weighing, source: Source, probes: Probes, rng: np.random.Generator
    ) -> tuple[list[Fits] | None, int]:
        """Maps fitted to growing shares of the edit, each from the one before, and what the targets between cost.

        None where those of the first part leave next to no draws there: those of larger parts would not do better.
        """
        last, evals = self._fitting(source.draws), 0
        names = self._names(source.draws)
        whole = bool({"diagonal", "full"} & set(names))
        few = max(FEWEST_DRAWS, DRAWS_PER_PARAMETER * source.draws.theta.shape[1])
        between = replace(last, regression_draws=min(last.regression_draws, few))
        fits: list[Fits] = []
        for share in PATH:
            weight = change.before + share * (change.after - change.before)
            target = weighing.after if share == 1 else Target(change.model, change.rows, weight)
            fitting = last if share == 1 else between
            starts: Sequence[Fits | None] = fits or [None, None]
            fits = [fitting.fits(weighing.before, target, source, h, rng, whole=whole, start=starts[h]) for h in (0, 1)]
            evals += 0 if share == 1 else target.log_lik_evals
            if share == PATH[0]:
                there = replace(weighing, after=target)
                scores = probes.scores(there, names, fits)
                if max(probes.share(there, score) for score in scores.values()) < SMALLEST_SHARE:
                    return None, evals
        return fits, evals

    def _path_is_worth_it(self, draws: Draws) -> bool:
        """Whether the path takes a quarter of the gradients of sampling at most; where that is unknown, it does."""
        taken = None if draws.sampling is None else draws.sampling.gradients
        return taken is None or len(PATH) * self._fitting_gradients(draws) + len(draws) <= taken / 4


def _best(
    weighing: Weighing,
    source: Source,
    fits: Sequence[Fits],
    scores: Mapping[str, np.ndarray],
    rng: np.random.Generator,
) -> tuple[Draws, dict[str, object]]:
    """All draws moved by the map that does best at some draws that did not fit it."""
    chosen = choose(scores)
    maps = [fit.candidates((chosen,), source)[chosen] for fit in fits]
    posterior = weighing.moved(source, maps, rng)
    return posterior, {"map": chosen, "log_density": {name: float(score.mean()) for name, score in scores.items()}}


def _affordable(draws: Draws) -> int:
    """Draws of a half whose gradients, in four rounds, are a small share of what sampling took."""
    taken = None if draws.sampling is None else draws.sampling.gradients
    return MOST_DRAWS if taken is None else int(np.clip(SHARE_OF_REFIT * taken / 8, FEWEST_DRAWS, MOST_DRAWS))


def _share(draws: Draws) -> float:
    """Share of the draws that is effective; zero where no weight is positive."""
    return effective_sample_size(draws.weights) / len(draws) if np.isfinite(draws.log_weights).any() else 0.0
