"""Transport: move all draws by an affine map fitted to the edited posterior, then weight them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from bayesrepair.edit import Info
from bayesrepair.fit import Change
from bayesrepair.model import Differentiable
from bayesrepair.numerics.affine import AffineMap
from bayesrepair.numerics.diagonal_map import fit_diagonal
from bayesrepair.numerics.efficiency import relative_efficiency
from bayesrepair.numerics.gradient_regression import fit_full
from bayesrepair.posterior import Draws
from bayesrepair.target import Target

BLOCKS = 10  # of a single chain, dealt out in turn to the two halves
TIED_ESS = 0.9  # of the best
STANDARD_ERRORS = 2.0


@dataclass(frozen=True)
class Transport:
    """Move draws by an affine map, cross-fitted, and weight them by the exact density ratio.

    ``log w = log p_edited(T(θ)) − log p(θ | D) + log|det A|``. Each half of the chains is moved by the map that the
    other half fitted; the expectation of w is the same ratio of normalisers for every map, so that the halves pool
    on one scale. Three maps are compared on draws that did not fit them: the identity (plain weights), a diagonal
    one, and a full one; first by effective sample size, among equals by the mean of
    ``log p_edited(T(θ)) + log|det A|`` with its paired standard error, and the simpler one wins a tie.

    Parameters
    ----------
    maps : tuple of {"identity", "diagonal", "full"}
        The candidates, from simple to rich.
    fit_draws : int
        Draws of a half that fit the diagonal map. A draw tells of every coordinate, so 200 are plenty for two
        numbers a coordinate.
    regression_draws : int
        Draws of a half that fit the full map, or 12 P where that is more: each row of the matrix is a regression
        with P + 1 coefficients.
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
    fit_draws: int = 200
    regression_draws: int = 700
    iterations: int = 20
    rounds: int = 6

    accepts: ClassVar[tuple[type, ...]] = (Draws,)
    needs: ClassVar[tuple[type, ...]] = (Differentiable,)
    directions: ClassVar[frozenset[str]] = frozenset({"insert", "delete"})

    def __call__(self, change: Change, rng: np.random.Generator) -> tuple[Draws, Info]:
        """Return the moved draws with raw weights."""
        draws = change.posterior
        assert isinstance(draws, Draws)  # `edit` refuses the others
        before, after = Target.before(change), Target.after(change)
        source = before.log_density(draws.theta)
        half = _halves(draws.chain)
        fitted = [self._fit(before, after, draws, np.flatnonzero(half == h), rng) for h in (0, 1)]
        candidates = {name: _moved(draws, after, source, half, [fits[name] for fits in fitted]) for name in self.maps}
        chosen = _choose(candidates)
        moved = candidates[chosen]
        posterior = Draws(moved.theta, moved.log_weights, draws.chain, relative_efficiency(moved.theta, draws.chain))
        info = Info(
            "transport",
            khat=posterior.khat,
            ess=posterior.ess,
            log_lik_evals=before.log_lik_evals + after.log_lik_evals,
            details={"map": chosen, "held_out": _compared(candidates)},
        )
        return posterior, info

    def _fit(
        self, before: Target, after: Target, draws: Draws, at: np.ndarray, rng: np.random.Generator
    ) -> dict[str, AffineMap]:
        """Every candidate map, fitted on the draws at some positions."""
        size = draws.theta.shape[1]
        fits = {"identity": AffineMap.identity(size)}
        if {"diagonal", "full"} & set(self.maps):
            some = _sample(draws, at, self.fit_draws, rng)
            fits["diagonal"] = fit_diagonal(after.value_and_gradient, some, iterations=self.iterations)
        if "full" in self.maps:
            some = _sample(draws, at, max(self.regression_draws, 12 * size), rng)
            gradient = before.value_and_gradient(some)[1]
            fits["full"] = fit_full(
                after.value_and_gradient, some, gradient, start=fits["diagonal"], rounds=self.rounds
            )
        return fits


@dataclass(frozen=True, eq=False)
class _Candidate:
    """Draws moved by one kind of map: raw log weights, and ``log p_edited(T(θ)) + log|det A|``."""

    theta: np.ndarray
    log_weights: np.ndarray
    score: np.ndarray
    ess: float
    khat: float


def _halves(chain: np.ndarray) -> np.ndarray:
    """Which half each draw belongs to: whole chains, or blocks of a single chain, dealt out in turn."""
    names, where = np.unique(chain, return_inverse=True)
    return where % 2 if len(names) > 1 else (np.arange(len(chain)) * BLOCKS // len(chain)) % 2


def _sample(draws: Draws, at: np.ndarray, size: int, rng: np.random.Generator) -> np.ndarray:
    """At most ``size`` draws at some positions, without repetition; by their weights where they have any."""
    if not draws.is_weighted:
        return draws.theta[at if len(at) <= size else np.sort(rng.choice(at, size, replace=False))]
    weights = draws.weights[at] / draws.weights[at].sum()
    return draws.theta[rng.choice(at, min(size, len(at)), p=weights)]


def _moved(draws: Draws, after: Target, source: np.ndarray, half: np.ndarray, maps: list[AffineMap]) -> _Candidate:
    """Each half moved by the map of the other."""
    theta, score = np.empty_like(draws.theta), np.empty(len(draws))
    for h in (0, 1):
        at, transport = half == h, maps[1 - h]
        theta[at] = transport(draws.theta[at])
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):  # outside the support: weight zero
            score[at] = after.log_density(theta[at]) + transport.log_det
    score = np.where(np.isnan(score), -np.inf, score)
    pooled = Draws(theta, draws.log_weights + score - source, draws.chain, draws.r_eff)
    return _Candidate(theta, pooled.log_weights, score, pooled.ess, pooled.khat)


def _choose(candidates: Mapping[str, _Candidate]) -> str:
    """The simplest map that is as good as any, by effective sample size and then by held-out log density."""
    most = max(candidate.ess for candidate in candidates.values())
    tied = [name for name, candidate in candidates.items() if candidate.ess >= TIED_ESS * most]
    best = max(tied, key=lambda name: candidates[name].score.mean())
    for name in tied:
        gain = candidates[best].score - candidates[name].score
        if name == best or gain.mean() <= STANDARD_ERRORS * gain.std() / np.sqrt(len(gain)):
            return name
    return best


def _compared(candidates: Mapping[str, _Candidate]) -> dict[str, dict[str, Any]]:
    return {
        name: {"ess": candidate.ess, "khat": candidate.khat, "log_density": float(candidate.score.mean())}
        for name, candidate in candidates.items()
    }
