"""Bayesian logistic regression: smooth, log-concave, without a closed form."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from scipy.special import expit, log_expit
from scipy.stats import norm

from bayesrepair.model import Outcome
from bayesrepair.numerics import hmc
from bayesrepair.oracles.base import DRAWS, Oracle
from bayesrepair.posterior import Draws, Gaussian, Posterior
from bayesrepair.rows import Rows

NEWTON_STEPS = 50


@dataclass(frozen=True)
class Logistic(Oracle):
    """``y_i ~ Bernoulli(expit(x_iᵀ beta))``, ``beta ~ N(0, prior_sd² I)``; P = d.

    Parameters
    ----------
    n_features : int
    prior_sd : float

    Examples
    --------
    >>> oracle = Logistic(n_features=1)
    >>> rows = oracle.rows({"x": np.array([[1.0], [-1.0]]), "y": np.array([1, 0])})
    >>> mode = oracle.laplace(rows).mean
    >>> bool(np.isclose(mode, 2 * expit(-mode)))  # stationary: beta = Σ x (y − p)
    True
    """

    n_features: int
    prior_sd: float = 1.0

    outcome: ClassVar[Outcome] = Outcome("y", "class", (0, 1))
    has_features: ClassVar[bool] = True

    @property
    def names(self) -> tuple[str, ...]:
        """One coefficient a feature."""
        return tuple(f"beta[{j}]" for j in range(self.n_features))

    def log_prior(self, theta: np.ndarray) -> np.ndarray:
        """Log density of the prior."""
        return norm.logpdf(theta, 0.0, self.prior_sd).sum(1)

    def log_lik(self, theta: np.ndarray, rows: Rows) -> np.ndarray:
        """Bernoulli log probabilities."""
        return log_expit((theta @ rows.values["x"].T) * (2 * rows.values["y"] - 1))

    def log_target_and_grad(self, theta: np.ndarray, rows: Rows, weight: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Log density under row weights, and its gradient."""
        x, y = rows.values["x"], rows.values["y"]
        linear = theta @ x.T
        value = self.log_prior(theta) + log_expit(linear * (2 * y - 1)) @ weight
        return value, ((y - expit(linear)) * weight) @ x - theta / self.prior_sd**2

    def curvature(self, theta: np.ndarray, rows: Rows, weight: np.ndarray) -> np.ndarray:
        """Minus the Hessian, ``Xᵀ diag(weight · p (1 − p)) X + I / prior_sd²``."""
        return self._precision(rows.values["x"], theta, np.asarray(weight, dtype=float))

    def laplace(self, rows: Rows, weights: np.ndarray | None = None) -> Gaussian:
        """The Gaussian at the mode with the curvature there, by Newton's method with halved steps."""
        weights = np.ones(len(rows)) if weights is None else np.asarray(weights, dtype=float)
        x, beta = rows.values["x"], np.zeros(self.n_features)
        for _ in range(NEWTON_STEPS):
            value, gradient = self.log_target_and_grad(beta[None], rows, weights)
            step = np.linalg.solve(self._precision(x, beta, weights), gradient[0])
            while self.log_target_and_grad((beta + step)[None], rows, weights)[0] < value - 1e-12:
                step = step / 2
            beta = beta + step
            if np.abs(step).max() < 1e-12:
                break
        return Gaussian(beta, self._precision(x, beta, weights))

    def train(
        self,
        rows: Rows,
        *,
        start: Posterior | None = None,
        rng: np.random.Generator,
        weights: np.ndarray | None = None,
    ) -> Posterior:
        """Independent draws: HMC chains of their own, started from the Laplace approximation.

        Where ``start`` is a Gaussian the Laplace approximation itself comes back.
        """
        weights = np.ones(len(rows)) if weights is None else np.asarray(weights, dtype=float)
        laplace = self.laplace(rows, weights)
        if isinstance(start, Gaussian):
            return laplace
        size = len(start) if isinstance(start, Draws) else DRAWS
        factor = np.linalg.cholesky(np.linalg.solve(laplace.precision, np.eye(self.n_features)))

        def target(theta: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
            return self.log_target_and_grad(theta, rows, weights)

        first = laplace.draws(size, rng).theta
        return Draws.plain(hmc.sample(target, first, factor=factor, rng=rng, moves=12).theta)

    def predict(self, theta: np.ndarray, rows: Rows) -> np.ndarray:
        """Probabilities of 0 and 1."""
        p = expit(theta @ rows.values["x"].T)
        return np.stack([1 - p, p], axis=2)

    def simulate(self, theta: np.ndarray, rows: Rows, rng: np.random.Generator) -> np.ndarray:
        """Zeros and ones."""
        p = expit(theta @ rows.values["x"].T)
        return (rng.random(p.shape) < p).astype(int)

    def constrain(self, theta: np.ndarray) -> dict[str, np.ndarray]:
        """Coefficients are unconstrained."""
        return {"beta": theta}

    def _precision(self, x: np.ndarray, beta: np.ndarray, weights: np.ndarray) -> np.ndarray:
        p = expit(x @ beta)
        return (x.T * (weights * p * (1 - p))) @ x + np.eye(self.n_features) / self.prior_sd**2
