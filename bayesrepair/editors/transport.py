"""Transport: move all draws by an affine map fitted to the edited posterior, then weight them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from bayesrepair.edit import Info
from bayesrepair.fit import Change
from bayesrepair.model import Differentiable
from bayesrepair.numerics.affine import AffineMap
from bayesrepair.numerics.diagonal_map import fit_diagonal
from bayesrepair.numerics.gradient_regression import fit_full
from bayesrepair.posterior import Draws
from bayesrepair.target import Target

BLOCKS = 10  # of a single chain, dealt out in turn to the two halves
DRAWS_PER_PARAMETER = 6
SHARE_OF_REFIT = 0.05  # of the gradients that sampling took, for the regressions
FEWEST_DRAWS, MOST_DRAWS = 100, 1000
MOST_FIT_DRAWS = 200
FIT_EVALUATIONS, ROUND_EVALUATIONS = 15, 4  # of each draw, as a rule: to predict the cost
STANDARD_ERRORS = 2.0


@dataclass(frozen=True)
class Transport:
    """Move draws by an affine map, cross-fitted, and weight them by the exact density ratio.

    ``log w = log p_edited(T(θ)) − log p(θ | D) + log|det A|``. Each half of the chains is moved by the map that the
    other half fitted; the expectation of w is the same ratio of normalisers for every map, so that the halves pool
    on one scale. Maps are compared on some draws that did not fit them by the mean of
    ``log p_edited(T(θ)) + log|det A|`` (minus the Kullback–Leibler divergence of the moved draws, up to a constant)
    with its paired standard error; the simplest map that is as good as the best moves all draws.

    Parameters
    ----------
    maps : tuple of {"identity", "diagonal", "full"}
        The candidates, from simple to rich. In the full map the matrix is the diagonal map's plus low rank where
        parameters are too many for the draws.
    fit_draws : int
        Draws of a half that fit the diagonal map, or as many as there are parameters where that is more (at most
        200). Their means and sds are those of the whole half, so that few draws are enough for two numbers a
        coordinate.
    regression_draws : int, optional
        Draws of a half that fit the full map. Each row of the matrix is a regression with P + 1 coefficients, so 6 P
        at least; beyond that from 100 to 1000 by default, so that four rounds take a twentieth of the gradients that
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

    maps: tuple[str, ...] = ("identity", "diagonal", "full")
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
        before, after = Target.before(change), Target.after(change)
        half = _halves(draws.chain)
        fitted = [self._fit(before, after, draws, np.flatnonzero(half == h), rng) for h in (0, 1)]
        scores = self._probed(after, draws, half, fitted, rng)
        chosen = _choose(scores)
        posterior = _moved(draws, before, after, half, [fits[chosen] for fits in fitted])
        info = Info(
            "transport",
            khat=posterior.khat,
            ess=posterior.ess,
            log_lik_evals=before.log_lik_evals + after.log_lik_evals,
            details={"map": chosen, "log_density": {name: float(score.mean()) for name, score in scores.items()}},
        )
        return posterior, info

    def gradients(self, change: Change) -> int:
        """Gradients of all rows that this will take, about."""
        draws = change.posterior
        assert isinstance(draws, Draws)  # `edit` refuses the others
        fitting = (
            FIT_EVALUATIONS * self._fitted(draws.theta.shape[1]) * ("diagonal" in self.maps or "full" in self.maps)
        )
        if "full" in self.maps:
            fitting += ROUND_EVALUATIONS * self._regressed(draws)
        return 2 * (fitting + len(self.maps) * self.probe_draws) + len(draws)

    def _fitted(self, size: int) -> int:
        """Draws of a half that fit the diagonal map."""
        return max(self.fit_draws, min(size, MOST_FIT_DRAWS))

    def _regressed(self, draws: Draws) -> int:
        """Draws of a half that fit the full map."""
        count = _affordable(draws) if self.regression_draws is None else self.regression_draws
        return min(len(draws) // 2, max(count, DRAWS_PER_PARAMETER * draws.theta.shape[1]))

    def _fit(
        self, before: Target, after: Target, draws: Draws, at: np.ndarray, rng: np.random.Generator
    ) -> dict[str, AffineMap]:
        """Every candidate map, fitted on the draws at some positions."""
        size = draws.theta.shape[1]
        fits = {"identity": AffineMap.identity(size)}
        if {"diagonal", "full"} & set(self.maps):
            some = _representative(draws, at, self._fitted(size), rng)
            fits["diagonal"] = fit_diagonal(after.value_and_gradient, some, iterations=self.iterations)
        if "full" in self.maps:
            some = _sample(draws, at, self._regressed(draws), rng)
            gradient = before.value_and_gradient(some)[1]
            fits["full"] = fit_full(
                after.value_and_gradient, some, gradient, start=fits["diagonal"], rounds=self.rounds
            )
        return {name: fits[name] for name in self.maps}

    def _probed(
        self,
        after: Target,
        draws: Draws,
        half: np.ndarray,
        fitted: Sequence[Mapping[str, AffineMap]],
        rng: np.random.Generator,
    ) -> dict[str, np.ndarray]:
        """``log p_edited(T(θ)) + log|det A|`` of every candidate, at some draws that did not fit it."""
        if len(self.maps) == 1:
            return {self.maps[0]: np.zeros(1)}
        some = [_sample(draws, np.flatnonzero(half == h), self.probe_draws, rng) for h in (0, 1)]
        return {
            name: np.concatenate([_score(after, some[h], fitted[1 - h][name])[1] for h in (0, 1)]) for name in self.maps
        }


def _halves(chain: np.ndarray) -> np.ndarray:
    """Which half each draw belongs to: whole chains, or blocks of a single chain, dealt out in turn."""
    names, where = np.unique(chain, return_inverse=True)
    return where % 2 if len(names) > 1 else (np.arange(len(chain)) * BLOCKS // len(chain)) % 2


def _affordable(draws: Draws) -> int:
    """Draws of a half whose gradients, in four rounds, are a small share of what sampling took."""
    taken = None if draws.sampling is None else draws.sampling.gradients
    return 700 if taken is None else int(np.clip(SHARE_OF_REFIT * taken / 8, FEWEST_DRAWS, MOST_DRAWS))


def _sample(draws: Draws, at: np.ndarray, size: int, rng: np.random.Generator) -> np.ndarray:
    """At most ``size`` draws at some positions, without repetition; by their weights where they have any."""
    if not draws.is_weighted:
        return draws.theta[at if len(at) <= size else np.sort(rng.choice(at, size, replace=False))]
    weights = draws.weights[at] / draws.weights[at].sum()
    return draws.theta[rng.choice(at, min(size, len(at)), p=weights)]


def _representative(draws: Draws, at: np.ndarray, size: int, rng: np.random.Generator) -> np.ndarray:
    """A sample shifted and stretched, coordinate by coordinate, to the means and sds of all draws at the positions."""
    some = _sample(draws, at, size, rng)
    weights = draws.weights[at] / draws.weights[at].sum()
    mean = weights @ draws.theta[at]
    sd = np.sqrt(weights @ np.square(draws.theta[at] - mean))
    own = some.std(axis=0)
    return mean + (some - some.mean(axis=0)) * np.where(own > 0, sd / np.where(own > 0, own, 1.0), 1.0)


def _score(after: Target, theta: np.ndarray, transport: AffineMap) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Moved draws, ``log p_edited(T(θ)) + log|det A|`` (−inf outside the support) and the gradient there."""
    moved = transport(theta)
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):  # outside the support: weight zero
        value, gradient = after.value_and_gradient(moved)
    return moved, np.where(np.isnan(value), -np.inf, value) + transport.log_det, gradient


def _moved(draws: Draws, before: Target, after: Target, half: np.ndarray, maps: Sequence[AffineMap]) -> Draws:
    """Each half moved by the map of the other, with raw weights."""
    source = before.log_density(draws.theta) if draws.log_density is None else draws.log_density
    theta, gradient, score = np.empty_like(draws.theta), np.empty_like(draws.theta), np.empty(len(draws))
    for h in (0, 1):
        at = half == h
        theta[at], score[at], gradient[at] = _score(after, draws.theta[at], maps[1 - h])
    return Draws(theta, draws.log_weights + score - source, draws.chain, draws.r_eff, gradient=gradient)


def _choose(scores: Mapping[str, np.ndarray]) -> str:
    """The first, that is the simplest, map whose held-out log density is as good as the best one's."""
    best = max(scores, key=lambda name: scores[name].mean())
    for name, score in scores.items():
        if name == best:
            break
        gain = scores[best] - score
        if gain.mean() <= STANDARD_ERRORS * gain.std() / np.sqrt(len(gain)):
            return name
    return best
