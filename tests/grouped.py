"""Groups of normal rows with latent effects of their own: closed-form posteriors, centred and not."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar

import numpy as np
import pandas as pd

from bayesrepair.fit import Factor, Fit
from bayesrepair.model import Outcome
from bayesrepair.oracles.base import ConjugateOracle
from bayesrepair.posterior import Draws, Gaussian
from bayesrepair.rows import Rows


@dataclass(frozen=True)
class GroupedNormal(ConjugateOracle):
    """``y ~ N(x · effect_g, 1)``, ``effect_g ~ N(mean, spread²)`` a coordinate, ``mean ~ N(0, 2²)``.

    theta holds the mean, then group after group: the effects themselves (centred), or
    ``z = (effect − mean) / spread``. ``tie``: the prior's correlation of groups 0 and 1.
    """

    groups: int
    effects: int = 1
    spread: float = 1.0
    centred: bool = False
    tie: float = 0.0

    outcome: ClassVar[Outcome] = Outcome("y", "continuous")

    @property
    def names(self) -> tuple[str, ...]:
        """The mean, then each group's latents."""
        means = [f"mean[{k}]" for k in range(self.effects)]
        return (*means, *(f"u[{g},{k}]" for g in range(self.groups) for k in range(self.effects)))

    @property
    def to_effects(self) -> np.ndarray:
        """Matrix from theta to all effects, (groups · effects, P)."""
        means = np.tile(np.eye(self.effects), (self.groups, 1))
        own = np.eye(self.groups * self.effects)
        return np.hstack([0 * means, own]) if self.centred else np.hstack([means, self.spread * own])

    @cached_property
    def prior(self) -> Gaussian:
        """Gaussian in theta."""
        k, n = self.effects, self.groups * self.effects
        covariance = np.eye(n)
        if self.tie:
            at = np.arange(k)
            covariance[at, at + k] = covariance[at + k, at] = self.tie
        standard = np.block([[np.eye(k) / 4, np.zeros((k, n))], [np.zeros((n, k)), np.linalg.inv(covariance)]])
        if not self.centred:
            return Gaussian(np.zeros(k + n), standard)
        to_z = np.block([[np.eye(k), np.zeros((k, n))], [-np.tile(np.eye(k), (self.groups, 1)), np.eye(n)]])
        to_z[k:] /= self.spread
        return Gaussian(np.zeros(k + n), to_z.T @ standard @ to_z)

    def design(self, rows: Rows) -> np.ndarray:
        """Derivative of each row's mean with respect to theta, (N, P)."""
        effects = self.to_effects.reshape(self.groups, self.effects, -1)[rows.values["site"]]
        return np.einsum("nk,nkp->np", rows.values["x"], effects)

    def update(self, posterior: Gaussian, rows: Rows, power: np.ndarray) -> Gaussian:
        """Add weighted squares and products."""
        design = self.design(rows)
        precision = posterior.precision + design.T * power @ design
        shift = posterior.precision @ posterior.mean + design.T @ (power * rows.values["y"])
        return Gaussian(np.linalg.solve(precision, shift), precision)

    def log_prior(self, theta: np.ndarray) -> np.ndarray:
        """Not normalised."""
        return -0.5 * ((theta @ self.prior.precision) * theta).sum(axis=1)

    def mean(self, theta: np.ndarray, rows: Rows) -> np.ndarray:
        """(S, P) → (S, N); a row reads its own group's entries and no others, as an index does."""
        own = theta[:, self.effects :].reshape(-1, self.groups, self.effects)[:, rows.values["site"]]
        effect = own if self.centred else theta[:, None, : self.effects] + self.spread * own
        return np.einsum("snk,nk->sn", effect, rows.values["x"])

    def log_lik(self, theta: np.ndarray, rows: Rows) -> np.ndarray:
        """Normal log densities of sd 1, without the constant."""
        return -0.5 * np.square(rows.values["y"] - self.mean(theta, rows))

    def log_target_and_grad(self, theta: np.ndarray, rows: Rows, weight: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Log density under row weights, and its gradient."""
        residual = rows.values["y"] - self.mean(theta, rows)
        value = self.log_prior(theta) - 0.5 * np.square(residual) @ weight
        prior = self.prior
        return value, (prior.mean - theta) @ prior.precision + (residual * weight) @ self.design(rows)

    def predict(self, theta: np.ndarray, rows: Rows) -> np.ndarray:
        """The mean."""
        return self.mean(theta, rows)[:, :, None]

    def simulate(self, theta: np.ndarray, rows: Rows, rng: np.random.Generator) -> np.ndarray:
        """Normal outcomes."""
        return rng.normal(self.mean(theta, rows))

    def constrain(self, theta: np.ndarray) -> dict[str, np.ndarray]:
        """The means."""
        return {"mean": theta[:, : self.effects]}


def sites(model: GroupedNormal, sizes: list[int], *, seed: int = 0, shift: float = 0.0) -> Rows:
    """Rows of each group, drawn from the model; the last group lies ``shift`` further up."""
    rng = np.random.default_rng(seed)
    site = np.repeat(np.arange(model.groups), sizes)
    effect = 1.0 + model.spread * rng.normal(size=(model.groups, model.effects))
    effect[-1] += shift
    x = np.column_stack([np.ones(len(site)), rng.normal(size=(len(site), model.effects - 1))])
    y = (x * effect[site]).sum(axis=1) + rng.normal(size=len(site))
    return Rows({"y": y, "x": x, "site": site}, np.array([f"row {i}" for i in range(len(site))]))


def fitted(model: GroupedNormal, rows: Rows, *, draws: int = 4000, seed: int = 1) -> Fit:
    """Exact draws in four chains."""
    theta = model.posterior(rows).draws(draws, np.random.default_rng(seed)).theta
    table = pd.DataFrame({"site": [f"S{g}" for g in rows.values["site"]]}, index=rows.index)
    return Fit(model, rows, Draws.plain(theta, np.arange(draws) * 4 // draws), table=table)


def deletion(fit: Fit, *names: str) -> Factor:
    """All rows of some sites."""
    return Factor(fit.rows.take(fit.group("site", list(names))), -1.0)
