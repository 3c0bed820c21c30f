"""Every editor and every problem of the conformance suite: one line each."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import numpy as np
from scipy.special import digamma, polygamma

from bayesrepair.fit import Factor, Fit
from bayesrepair.oracles import (
    Beta,
    BetaBinomial,
    LinearKnownNoise,
    LinearUnknownNoise,
    Logistic,
    NormalInverseGamma,
    NormalNormal,
)
from bayesrepair.posterior import Draws, Gaussian

CHAINS, DRAWS, REFERENCE = 4, 2000, 20_000


@dataclass(frozen=True)
class EditorCase:
    """What the suite knows of an editor.

    ``closed``: it edits the posterior in closed form, and is then exact to 1e-8. ``far``: it can follow edits of many
    rows. ``conjugate_only``: the problem must have a closed form. ``gaussian_only``: its posterior must be Gaussian.
    ``whole_groups``: it deletes groups that have latents of their own, which no problem here has (test_groups.py).
    """

    closed: bool = False
    far: bool = True
    conjugate_only: bool = False
    gaussian_only: bool = False
    whole_groups: bool = False

    def serves(self, problem: Problem) -> bool:
        """Whether the editor can be held to the truth of this problem."""
        if self.whole_groups:
            return False
        if self.gaussian_only:
            return problem.conjugate and isinstance(problem.fit(closed=True).posterior, Gaussian)
        return problem.conjugate or not self.conjugate_only


EDITOR_CASES = {
    "auto": EditorCase(),
    "weights": EditorCase(far=False),
    "marginal": EditorCase(whole_groups=True),
    "transport": EditorCase(),
    "moves": EditorCase(),
    "resample": EditorCase(),
    "newton": EditorCase(closed=True, gaussian_only=True),
    "retrain": EditorCase(),
    "conjugate": EditorCase(closed=True, conjugate_only=True),
}


@dataclass(frozen=True, eq=False)
class Problem:
    """An oracle, its training rows, and rows that may be inserted."""

    model: object
    rows: object
    others: object

    @property
    def conjugate(self) -> bool:
        """Whether the posterior has a closed form."""
        return hasattr(self.model, "update")

    def top(self, count: int) -> Factor:
        """Deletion of the rows with the largest outcomes: an edit with a direction."""
        return _top(self, count)

    def insertion(self, count: int) -> Factor:
        """Insertion of some of the other rows."""
        return _insertion(self, count)

    def reweighting(self) -> Factor:
        """One row deleted, one halved, one weakened a little, one strengthened: a power for each."""
        return _reweighting(self)

    def fit(self, *, closed: bool) -> Fit:
        """The fit, its posterior in closed form or as draws in four chains."""
        return _fit(self, closed)


@cache
def _fit(problem: Problem, closed: bool) -> Fit:
    model, rows = problem.model, problem.rows
    if closed:
        return Fit(model, rows, model.posterior(rows))
    draws = _train(problem, rows, None, seed=1)
    return Fit(model, rows, Draws.plain(draws.theta, np.arange(DRAWS) * CHAINS // DRAWS))


def _train(problem: Problem, rows: object, weight: np.ndarray | None, *, seed: int) -> Draws:
    start = Draws.plain(np.zeros((DRAWS, problem.model.n_params)))
    return problem.model.train(rows, start=start, rng=np.random.default_rng(seed), weights=weight)


@cache  # the same factor each time, so that its truth is computed once
def _top(problem: Problem, count: int) -> Factor:
    order = np.argsort(problem.rows.values["y"], kind="stable")[::-1]
    return Factor(problem.rows.at(np.sort(order[:count])), -1.0)


@cache
def _insertion(problem: Problem, count: int) -> Factor:
    return Factor(problem.others.at(slice(0, count)), 1.0)


@cache
def _reweighting(problem: Problem) -> Factor:
    return Factor(_top(problem, 4).rows, np.array([-1.0, -0.5, -0.25, 0.5]))


def _regression(model: object, n: int, classes: bool) -> Problem:
    rng = np.random.default_rng(2)
    x = rng.normal(size=(n + 20, model.n_features))
    linear = x @ np.linspace(-1, 1, model.n_features)
    noise = rng.logistic(size=n + 20) if classes else rng.normal(size=n + 20)
    y = (linear + noise > 0).astype(int) if classes else linear + noise
    both = model.rows({"x": x, "y": y})
    return Problem(model, both.at(slice(0, n)), both.at(slice(n, n + 20)))


def normal() -> Problem:
    """Sixty normal rows of known noise."""
    model, y = NormalNormal(0.0, 2.0, 1.0), np.random.default_rng(2).normal(1.0, 1.0, 80)
    both = model.rows({"y": y})
    return Problem(model, both.at(slice(0, 60)), both.at(slice(60, 80)))


def beta_binomial() -> Problem:
    """Eighty zeros and ones, a third of them ones."""
    model, y = BetaBinomial(2.0, 2.0), (np.random.default_rng(2).random(100) < 0.4).astype(int)
    both = model.rows({"y": y})
    return Problem(model, both.at(slice(0, 80)), both.at(slice(80, 100)))


PROBLEMS: dict[str, Callable[[], Problem]] = {
    "normal": normal,
    "beta_binomial": beta_binomial,
    "linear_known": lambda: _regression(LinearKnownNoise(n_features=4), 80, classes=False),
    "linear_unknown": lambda: _regression(LinearUnknownNoise(n_features=3), 80, classes=False),
    "logistic": lambda: _regression(Logistic(n_features=3), 120, classes=True),
}


@cache
def problem(name: str) -> Problem:
    """A problem by name, made once."""
    return PROBLEMS[name]()


def truth(problem: Problem, *factors: Factor) -> tuple[np.ndarray, np.ndarray]:
    """Exact mean and sd of every parameter after an edit, from the rows and their net weights."""
    rows, weight = problem.fit(closed=problem.conjugate).net(*factors)
    if problem.conjugate:
        return moments(problem.model.posterior(rows, weight))[:2]
    long = np.concatenate([_train(problem, rows, weight, seed=10 + k).theta for k in range(REFERENCE // DRAWS)])
    return moments(Draws.plain(long))[:2]


def moments(posterior: object) -> tuple[np.ndarray, np.ndarray, float]:
    """Mean and sd of every parameter, and the number of effective draws behind them (inf in closed form)."""
    if isinstance(posterior, Draws):
        mean = posterior.weights @ posterior.theta
        return mean, np.sqrt(posterior.weights @ np.square(posterior.theta - mean)), posterior.ess
    if isinstance(posterior, Gaussian):
        return posterior.mean, np.sqrt(np.diag(np.linalg.inv(posterior.precision))), np.inf
    if isinstance(posterior, Beta):
        mean = digamma(posterior.a) - digamma(posterior.b)
        sd = np.sqrt(polygamma(1, posterior.a) + polygamma(1, posterior.b))
        return np.array([mean]), np.array([sd]), np.inf
    assert isinstance(posterior, NormalInverseGamma)
    variance = posterior.rate / (posterior.shape - 1)
    spread = np.sqrt(variance * np.diag(np.linalg.inv(posterior.precision)))
    log_variance = np.log(posterior.rate) - digamma(posterior.shape)
    return (
        np.append(posterior.mean, log_variance),
        np.append(spread, np.sqrt(polygamma(1, posterior.shape))),
        np.inf,
    )
