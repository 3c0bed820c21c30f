"""Poisson regression in NumPy, its posterior drawn from a Laplace approximation by importance resampling."""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
from scipy.special import gammaln
from scipy.stats import norm

from bayesrepair.fit import Factor, Fit
from bayesrepair.model import Outcome
from bayesrepair.posterior import Draws
from bayesrepair.rows import Rows

PROPOSED = 20  # times as many as are kept


@dataclass(frozen=True)
class Counts:
    """``y ~ Poisson(exp(x · θ))``, ``θ ~ N(0, prior_sd²)``."""

    n_params: int
    prior_sd: float = 10.0
    outcome = Outcome("y", "count")
    dims = coords = MappingProxyType({})

    @property
    def names(self):
        return tuple(f"slope {k}" for k in range(self.n_params))

    def rows(self, data):
        return Rows(data, np.arange(len(data["y"])))

    def log_prior(self, theta):
        return norm.logpdf(theta, 0.0, self.prior_sd).sum(axis=1)

    def log_lik(self, theta, rows):
        linear, y = theta @ rows.values["x"].T, rows.values["y"]
        return y * linear - np.exp(linear) - gammaln(y + 1)

    def log_target_and_grad(self, theta, rows, weight):
        pull = (rows.values["y"] - np.exp(theta @ rows.values["x"].T)) * weight
        value = self.log_prior(theta) + self.log_lik(theta, rows) @ weight
        return value, -theta / self.prior_sd**2 + pull @ rows.values["x"]

    def predict(self, theta, rows):
        return np.exp(theta @ rows.values["x"].T)[:, :, None]

    def simulate(self, theta, rows, rng):
        return rng.poisson(self.predict(theta, rows)[:, :, 0])

    def constrain(self, theta):
        return {"slopes": theta}

    def laplace(self, rows, weight):
        """Mode and precision."""
        x, y = rows.values["x"], rows.values["y"]
        importance = weight * np.sqrt(y + 0.5)
        theta = np.linalg.lstsq(x * importance[:, None], np.log(y + 0.5) * importance, rcond=None)[0]
        for _ in range(100):
            rate = weight * np.exp(x @ theta)
            precision = (x.T * rate) @ x + np.eye(self.n_params) / self.prior_sd**2
            theta = theta + np.linalg.solve(precision, x.T @ (weight * y - rate) - theta / self.prior_sd**2)
        return theta, precision

    def draws(self, rows, weight, size, rng):
        """As good as independent: few of the proposals are taken twice."""
        mode, precision = self.laplace(rows, weight)
        noise = rng.standard_normal((PROPOSED * size, self.n_params))
        theta = mode + np.linalg.solve(np.linalg.cholesky(precision).T, noise.T).T
        log_ratio = self.log_target_and_grad(theta, rows, weight)[0] + np.square(noise).sum(axis=1) / 2
        ratio = np.exp(log_ratio - log_ratio.max())
        return theta[rng.choice(len(theta), size, replace=False, p=ratio / ratio.sum())]


def jump(seed, *, n_params=3, many=290, few=10, by=10.0, size=4000):
    """A fit of many small counts and a few huge ones, and the deletion of the small ones."""
    rng = np.random.default_rng(seed)
    x = np.c_[np.ones(many + few), rng.standard_normal((many + few, n_params - 1))]
    linear = x @ np.r_[-1.0, np.full(n_params - 1, 0.3)] + by * (np.arange(many + few) >= many)
    model = Counts(n_params)
    rows = model.rows({"x": x, "y": rng.poisson(np.exp(linear)).astype(float)})
    theta = model.draws(rows, np.ones(len(rows)), size, rng)
    return Fit(model, rows, Draws.plain(theta, np.arange(size) % 4)), Factor(rows.at(np.arange(many)), -1.0)
