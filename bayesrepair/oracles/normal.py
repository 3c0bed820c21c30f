"""Normal observations of known noise with a normal prior on their mean."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from scipy.stats import norm

from bayesrepair.model import Outcome
from bayesrepair.oracles.base import ConjugateOracle
from bayesrepair.posterior import Gaussian
from bayesrepair.rows import Rows


@dataclass(frozen=True)
class NormalNormal(ConjugateOracle):
    """``y_i ~ N(mu, noise_sd²)``, ``mu ~ N(prior_mean, prior_sd²)``; P = 1.

    Parameters
    ----------
    prior_mean, prior_sd, noise_sd : float

    Examples
    --------
    >>> oracle = NormalNormal(prior_mean=0.0, prior_sd=1.0, noise_sd=1.0)
    >>> oracle.posterior(oracle.rows({"y": np.array([1.0, 2.0, 9.0])})).mean  # 12 / (1 + 3)
    array([3.])
    """

    prior_mean: float = 0.0
    prior_sd: float = 1.0
    noise_sd: float = 1.0

    outcome: ClassVar[Outcome] = Outcome("y", "continuous")

    @property
    def names(self) -> tuple[str, ...]:
        """The mean is the only parameter."""
        return ("mu",)

    @property
    def prior(self) -> Gaussian:
        """The prior as a Gaussian."""
        return Gaussian(np.array([self.prior_mean]), np.array([[self.prior_sd**-2.0]]))

    def update(self, posterior: Gaussian, rows: Rows, power: np.ndarray) -> Gaussian:
        """Add ``power / noise_sd²`` to the precision, and each outcome to the mean accordingly."""
        add = np.asarray(power) / self.noise_sd**2
        precision = posterior.precision + add.sum()
        shift = posterior.precision @ posterior.mean + add @ rows.values["y"]
        return Gaussian(np.linalg.solve(precision, shift), precision)

    def log_prior(self, theta: np.ndarray) -> np.ndarray:
        """Log density of the prior."""
        return norm.logpdf(theta[:, 0], self.prior_mean, self.prior_sd)

    def log_lik(self, theta: np.ndarray, rows: Rows) -> np.ndarray:
        """Normal log densities."""
        return norm.logpdf(rows.values["y"], theta, self.noise_sd)

    def log_target_and_grad(self, theta: np.ndarray, rows: Rows, weight: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Log density under row weights, and its derivative."""
        value = self.log_prior(theta) + self.log_lik(theta, rows) @ weight
        pull = (rows.values["y"] - theta) @ weight / self.noise_sd**2
        return value, ((self.prior_mean - theta[:, 0]) / self.prior_sd**2 + pull)[:, None]

    def curvature(self, theta: np.ndarray, rows: Rows, weight: np.ndarray) -> np.ndarray:
        """Minus the second derivative, the same everywhere."""
        return np.array([[self.prior_sd**-2.0 + np.sum(weight) / self.noise_sd**2]])

    def predict(self, theta: np.ndarray, rows: Rows) -> np.ndarray:
        """The mean, for every row."""
        return np.repeat(theta[:, :1, None], len(rows), axis=1)

    def simulate(self, theta: np.ndarray, rows: Rows, rng: np.random.Generator) -> np.ndarray:
        """Normal outcomes."""
        return rng.normal(theta[:, :1], self.noise_sd, (len(theta), len(rows)))

    def constrain(self, theta: np.ndarray) -> dict[str, np.ndarray]:
        """The mean is unconstrained."""
        return {"mu": theta[:, 0]}
