"""Models with two modes whose posteriors are known by quadrature on a grid."""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
from scipy.special import expit, logsumexp
from scipy.stats import norm

from bayesrepair.fit import Factor, Fit
from bayesrepair.model import Outcome
from bayesrepair.posterior import Draws
from bayesrepair.rows import Rows

CHAINS = 4


class Bimodal:
    """What the two models share."""

    outcome = Outcome("y", "continuous")
    dims = coords = MappingProxyType({})

    @property
    def n_params(self):
        return len(self.names)

    def rows(self, data):
        return Rows({name: np.asarray(value, dtype=float) for name, value in data.items()}, np.arange(len(data["y"])))

    def log_prior(self, theta):
        return norm.logpdf(theta, self.prior_mean, self.prior_sd).sum(axis=1)

    def _prior_pull(self, theta):
        return (np.asarray(self.prior_mean) - theta) / self.prior_sd**2

    def simulate(self, theta, rows, rng):
        return rng.normal(self.predict(theta, rows)[:, :, 0], 1.0)

    def constrain(self, theta):
        return {name: theta[:, k] for k, name in enumerate(self.names)}

    def posterior(self, rows, weight):
        """Grid points, their probabilities, and the log normaliser."""
        axes = [np.linspace(*ends, self.grid) for ends in self.box]
        points = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, len(axes))
        cell = np.prod([axis[1] - axis[0] for axis in axes])
        blocks = [points[a : a + 20_000] for a in range(0, len(points), 20_000)]
        used = np.flatnonzero(weight)
        log_density = np.concatenate(
            [self.log_prior(block) + self.log_lik(block, rows.at(used)) @ weight[used] for block in blocks]
        )
        log_z = logsumexp(log_density)
        return points, np.exp(log_density - log_z), log_z + np.log(cell)

    def fit(self, rows, size, seed):
        """Independent draws of the posterior: grid points, moved at random within their cells."""
        rng = np.random.default_rng(seed)
        points, probability, _ = self.posterior(rows, np.ones(len(rows)))
        step = [(high - low) / (self.grid - 1) for low, high in self.box]
        theta = points[rng.choice(len(points), size, p=probability)] + (rng.random((size, self.n_params)) - 0.5) * step
        return Fit(self, rows, Draws.plain(theta, np.arange(size) * CHAINS // size))


@dataclass(frozen=True)
class Square(Bimodal):
    """``y ~ N(θ² + slope x θ, 1)``: the data know θ up to its sign, but for the prior and a little of x."""

    prior_mean: float = 0.3
    prior_sd: float = 1.5
    slope: float = 0.1
    names = ("theta",)
    grid = 40_001
    box = ((-8.0, 8.0),)

    def predict(self, theta, rows):
        return (np.square(theta) + self.slope * theta * rows.values["x"])[:, :, None]

    def log_lik(self, theta, rows):
        return norm.logpdf(rows.values["y"], self.predict(theta, rows)[:, :, 0])

    def log_target_and_grad(self, theta, rows, weight):
        pull = (rows.values["y"] - self.predict(theta, rows)[:, :, 0]) * (2 * theta + self.slope * rows.values["x"])
        value = self.log_prior(theta) + self.log_lik(theta, rows) @ weight
        return value, self._prior_pull(theta) + (pull @ weight)[:, None]


@dataclass(frozen=True)
class Mixture(Bimodal):
    """``y ~ .5 N(μ₁, 1) + .5 N(μ₂, 1)``: only the prior knows which mean is which."""

    prior_mean: tuple[float, float] = (0.4, 0.0)
    prior_sd: float = 3.0
    names = ("first", "second")
    grid = 401
    box = ((-5.0, 7.0), (-5.0, 7.0))

    def predict(self, theta, rows):
        return np.repeat(theta.mean(axis=1)[:, None, None], len(rows), axis=1)

    def log_lik(self, theta, rows):
        first, second = (norm.logpdf(rows.values["y"], theta[:, k : k + 1]) for k in (0, 1))
        return np.logaddexp(first, second) - np.log(2)

    def log_target_and_grad(self, theta, rows, weight):
        y = rows.values["y"]
        first, second = (norm.logpdf(y, theta[:, k : k + 1]) for k in (0, 1))
        share = expit(first - second)
        pull = np.stack([(share * (y - theta[:, :1])) @ weight, ((1 - share) * (y - theta[:, 1:])) @ weight], axis=1)
        value = self.log_prior(theta) + (np.logaddexp(first, second) - np.log(2)) @ weight
        return value, self._prior_pull(theta) + pull


def square(size=4000, seed=0):
    """Sixty rows near 2.25 = 1.5²; the deletion of those far above it moves the modes towards each other."""
    rng = np.random.default_rng(5)
    model, x = Square(), rng.choice([-1.0, 1.0], size=60)
    rows = model.rows({"x": x, "y": 2.25 + rng.normal(size=60)})
    worst = np.sort(np.argsort(rows.values["y"] + 0.5 * x)[20:])
    return model.fit(rows, size, seed), Factor(rows.at(worst), -1.0)


def mixture(size=4000, seed=0):
    """Fifty rows around −1 and 3; the deletion of the largest ones leaves few of the upper component."""
    rng = np.random.default_rng(5)
    model = Mixture()
    rows = model.rows({"y": np.r_[rng.normal(-1.0, 1.0, 25), rng.normal(3.0, 1.0, 25)]})
    return model.fit(rows, size, seed), Factor(rows.at(np.argsort(rows.values["y"])[30:]), -1.0)
