"""Bayesian linear regression with known and with unknown noise (Gelman et al. 2013, Bayesian Data Analysis, ch. 14)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from scipy.special import gammaln
from scipy.stats import norm

from bayesrepair.model import Outcome
from bayesrepair.oracles.base import ConjugateOracle, gaussian_quadratic
from bayesrepair.posterior import Draws, Gaussian
from bayesrepair.rows import Rows

LOG_2PI = np.log(2 * np.pi)


@dataclass(frozen=True)
class LinearKnownNoise(ConjugateOracle):
    """``y_i ~ N(x_iᵀ beta, noise_sd²)``, ``beta ~ N(0, prior_sd² I)``; P = d.

    Parameters
    ----------
    n_features : int
    prior_sd, noise_sd : float

    Examples
    --------
    >>> oracle = LinearKnownNoise(n_features=1)
    >>> rows = oracle.rows({"x": np.array([[1.0], [2.0]]), "y": np.array([1.0, 2.0])})
    >>> oracle.posterior(rows).mean  # 5 / (1 + 5)
    array([0.83333333])
    """

    n_features: int
    prior_sd: float = 1.0
    noise_sd: float = 1.0

    outcome: ClassVar[Outcome] = Outcome("y", "continuous")
    has_features: ClassVar[bool] = True

    @property
    def names(self) -> tuple[str, ...]:
        """One coefficient a feature."""
        return tuple(f"beta[{j}]" for j in range(self.n_features))

    @property
    def prior(self) -> Gaussian:
        """The prior as a Gaussian."""
        return Gaussian(np.zeros(self.n_features), np.eye(self.n_features) / self.prior_sd**2)

    def update(self, posterior: Gaussian, rows: Rows, power: np.ndarray) -> Gaussian:
        """Add ``power · x xᵀ / noise_sd²`` to the precision, and ``power · x y / noise_sd²`` to precision × mean."""
        x, y = rows.values["x"], rows.values["y"]
        weighted = x.T * (np.asarray(power) / self.noise_sd**2)
        precision = posterior.precision + weighted @ x
        return Gaussian(np.linalg.solve(precision, posterior.precision @ posterior.mean + weighted @ y), precision)

    def log_prior(self, theta: np.ndarray) -> np.ndarray:
        """Log density of the prior."""
        return norm.logpdf(theta, 0.0, self.prior_sd).sum(1)

    def log_lik(self, theta: np.ndarray, rows: Rows) -> np.ndarray:
        """Normal log densities."""
        return norm.logpdf(rows.values["y"], theta @ rows.values["x"].T, self.noise_sd)

    def log_target_and_grad(self, theta: np.ndarray, rows: Rows, weight: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Log density under row weights, and its gradient."""
        value = self.log_prior(theta) + self.log_lik(theta, rows) @ weight
        x, y = rows.values["x"], rows.values["y"]
        residual = (y - theta @ x.T) * (weight / self.noise_sd**2)
        return value, residual @ x - theta / self.prior_sd**2

    def curvature(self, theta: np.ndarray, rows: Rows, weight: np.ndarray) -> np.ndarray:
        """Minus the Hessian, the same everywhere."""
        x = rows.values["x"]
        return (x.T * (np.asarray(weight) / self.noise_sd**2)) @ x + np.eye(self.n_features) / self.prior_sd**2

    def predict(self, theta: np.ndarray, rows: Rows) -> np.ndarray:
        """Means of the rows."""
        return (theta @ rows.values["x"].T)[:, :, None]

    def simulate(self, theta: np.ndarray, rows: Rows, rng: np.random.Generator) -> np.ndarray:
        """Normal outcomes."""
        return rng.normal(theta @ rows.values["x"].T, self.noise_sd)

    def constrain(self, theta: np.ndarray) -> dict[str, np.ndarray]:
        """Coefficients are unconstrained."""
        return {"beta": theta}


@dataclass(frozen=True, eq=False)
class NormalInverseGamma:
    """``beta | σ² ~ N(mean, σ² precision⁻¹)``, ``σ² ~ InverseGamma(shape, rate)``.

    Parameters
    ----------
    mean : array, shape (d,)
    precision : array, shape (d, d)
        In units of 1/σ².
    shape, rate : float
    """

    mean: np.ndarray
    precision: np.ndarray
    shape: float
    rate: float

    def draws(self, size: int, rng: np.random.Generator) -> Draws:
        """Independent draws of (beta, log σ²), shape (size, d + 1)."""
        variance = self.rate / rng.gamma(self.shape, 1.0, size)
        factor = np.linalg.cholesky(self.precision)
        noise = np.linalg.solve(factor.T, rng.standard_normal((len(self.mean), size))).T
        return Draws.plain(np.column_stack([self.mean + np.sqrt(variance)[:, None] * noise, np.log(variance)]))


@dataclass(frozen=True)
class LinearUnknownNoise(ConjugateOracle):
    """``y_i ~ N(x_iᵀ beta, σ²)`` with a normal-inverse-gamma prior; θ = (beta, log σ²), P = d + 1.

    Parameters
    ----------
    n_features : int
    prior_precision : float
        Of each coefficient, in units of 1/σ².
    shape, rate : float
        Of the inverse-gamma prior of σ².

    Examples
    --------
    >>> oracle = LinearUnknownNoise(n_features=1, shape=1.0, rate=1.0)
    >>> rows = oracle.rows({"x": np.array([[1.0], [2.0]]), "y": np.array([1.0, 2.0])})
    >>> posterior = oracle.posterior(rows)
    >>> posterior.shape, round(float(posterior.rate), 4)  # 1 + 2/2, 1 + (5 − 25/6)/2
    (2.0, 1.4167)
    """

    n_features: int
    prior_precision: float = 1.0
    shape: float = 2.0
    rate: float = 2.0

    outcome: ClassVar[Outcome] = Outcome("y", "continuous")
    has_features: ClassVar[bool] = True

    @property
    def names(self) -> tuple[str, ...]:
        """The coefficients, then the log variance."""
        return (*(f"beta[{j}]" for j in range(self.n_features)), "log_variance")

    @property
    def prior(self) -> NormalInverseGamma:
        """The prior."""
        d = self.n_features
        return NormalInverseGamma(np.zeros(d), self.prior_precision * np.eye(d), self.shape, self.rate)

    def update(self, posterior: NormalInverseGamma, rows: Rows, power: np.ndarray) -> NormalInverseGamma:
        """Weighted sums of x xᵀ, x y and y² into the four statistics."""
        x, y, power = rows.values["x"], rows.values["y"], np.asarray(power, dtype=float)
        old = posterior
        precision = old.precision + (x.T * power) @ x
        pull = old.precision @ old.mean + (x.T * power) @ y
        mean = np.linalg.solve(precision, pull)
        squares = old.mean @ old.precision @ old.mean + power @ np.square(y) - mean @ pull
        return NormalInverseGamma(mean, precision, float(old.shape + power.sum() / 2), float(old.rate + squares / 2))

    def log_prior(self, theta: np.ndarray) -> np.ndarray:
        """Normal-inverse-gamma density times σ², the Jacobian of the logarithm."""
        beta, log_variance = theta[:, :-1], theta[:, -1]
        precision = np.exp(-log_variance)
        prior = self.prior
        quadratic = gaussian_quadratic(beta, prior.mean, prior.precision) * precision
        normal = quadratic + self.n_features / 2 * (np.log(self.prior_precision) - LOG_2PI - log_variance)
        gamma = self.shape * np.log(self.rate) - gammaln(self.shape)
        return normal + gamma - self.shape * log_variance - self.rate * precision

    def log_lik(self, theta: np.ndarray, rows: Rows) -> np.ndarray:
        """Normal log densities."""
        mean = theta[:, :-1] @ rows.values["x"].T
        return norm.logpdf(rows.values["y"], mean, np.exp(theta[:, -1:] / 2))

    def log_target_and_grad(self, theta: np.ndarray, rows: Rows, weight: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Log density under row weights, and its gradient."""
        beta, log_variance = theta[:, :-1], theta[:, -1]
        x, y, precision = rows.values["x"], rows.values["y"], np.exp(-log_variance)
        residual = y - beta @ x.T
        to_beta = ((residual * weight) @ x - self.prior_precision * beta) * precision[:, None]
        half_squares = (np.square(residual) @ weight + self.prior_precision * np.square(beta).sum(1)) / 2
        freedom = self.shape + (self.n_features + weight.sum()) / 2
        to_variance = (half_squares + self.rate) * precision - freedom
        value = self.log_prior(theta) + self.log_lik(theta, rows) @ weight
        return value, np.column_stack([to_beta, to_variance])

    def curvature(self, theta: np.ndarray, rows: Rows, weight: np.ndarray) -> np.ndarray:
        """Minus the Hessian in (beta, log σ²)."""
        beta, precision = theta[:-1], np.exp(-theta[-1])
        x, prior = rows.values["x"], self.prior_precision
        residual = rows.values["y"] - x @ beta
        block = ((x.T * weight) @ x + prior * np.eye(self.n_features)) * precision
        cross = ((residual * weight) @ x - prior * beta) * precision
        corner = ((np.square(residual) @ weight + prior * beta @ beta) / 2 + self.rate) * precision
        return np.block([[block, cross[:, None]], [cross[None], np.array([[corner]])]])

    def predict(self, theta: np.ndarray, rows: Rows) -> np.ndarray:
        """Means of the rows."""
        return (theta[:, :-1] @ rows.values["x"].T)[:, :, None]

    def simulate(self, theta: np.ndarray, rows: Rows, rng: np.random.Generator) -> np.ndarray:
        """Normal outcomes."""
        return rng.normal(theta[:, :-1] @ rows.values["x"].T, np.exp(theta[:, -1:] / 2))

    def constrain(self, theta: np.ndarray) -> dict[str, np.ndarray]:
        """Coefficients, and the noise's standard deviation."""
        return {"beta": theta[:, :-1], "sigma": np.exp(theta[:, -1] / 2)}
