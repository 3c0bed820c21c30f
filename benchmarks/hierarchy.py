"""A hierarchical normal model whose posterior is not conjugate, yet can be drawn exactly."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from scipy.special import gammaln, logsumexp

from bayesrepair.model import Outcome
from bayesrepair.oracles.base import DRAWS, Oracle
from bayesrepair.posterior import Draws, Posterior
from bayesrepair.rows import Rows

LOG_2PI = np.log(2 * np.pi)
LOG_HALF_NORMAL = np.log(2 / np.pi) / 2
GRID = np.linspace(-9.0, 3.0, 601)  # of log ratio; its prior has no mass to speak of beyond


@dataclass(frozen=True)
class Hierarchy(Oracle):
    """``y_i ~ N(level + σ ratio z_{g(i)}, σ²)`` with standard normal z: groups that differ by ``ratio`` noise sds.

    ``level ~ N(0, level_sd² σ²)``, ``ratio ~ HalfNormal(1)``, ``σ² ~ InverseGamma(shape, rate)``; θ = (level,
    log ratio, z, log σ²), P = n_groups + 3. Given the ratio the model is a linear regression on (1, ratio · e_g) with a
    normal-inverse-gamma prior, so that the posterior of the ratio needs one quadrature and the rest follows in closed
    form (Gelman et al. 2013, Bayesian Data Analysis, ch. 5 and 14). Rows hold ``y`` and the group number ``x`` (N, 1).

    Parameters
    ----------
    n_groups : int
    level_sd : float
    shape, rate : float
    """

    n_groups: int
    level_sd: float = 1.0
    shape: float = 3.0
    rate: float = 3.0

    outcome: ClassVar[Outcome] = Outcome("y", "continuous")
    has_features: ClassVar[bool] = True

    @property
    def names(self) -> tuple[str, ...]:
        """The level, the log ratio, the groups' standardised effects, the log variance."""
        return ("level", "log_ratio", *(f"z[{j}]" for j in range(self.n_groups)), "log_variance")

    def prior_draws(self, size: int, rng: np.random.Generator) -> np.ndarray:
        """Independent draws of the prior, (size, P)."""
        log_variance = np.log(self.rate / rng.gamma(self.shape, 1.0, size))
        level = np.exp(log_variance / 2) * self.level_sd * rng.standard_normal(size)
        ratio = np.abs(rng.standard_normal(size))
        return np.column_stack([level, np.log(ratio), rng.standard_normal((size, self.n_groups)), log_variance])

    def log_prior(self, theta: np.ndarray) -> np.ndarray:
        """Log prior density, log-Jacobians included."""
        level, log_ratio, z, log_variance = self._parts(theta)
        log_gamma = self.shape * np.log(self.rate) - gammaln(self.shape) - self.shape * log_variance
        squares = np.square(z).sum(1) + (level / self.level_sd) ** 2 * np.exp(-log_variance) + np.exp(2 * log_ratio)
        normal = -(squares + log_variance + (self.n_groups + 1) * LOG_2PI) / 2 - np.log(self.level_sd)
        return normal + LOG_HALF_NORMAL + log_ratio + log_gamma - self.rate * np.exp(-log_variance)

    def log_lik(self, theta: np.ndarray, rows: Rows) -> np.ndarray:
        """Normal log densities."""
        residual = (rows.values["y"] - self.predict(theta, rows)[:, :, 0]) * np.exp(-theta[:, -1:] / 2)
        return -(np.square(residual) + theta[:, -1:] + LOG_2PI) / 2

    def log_target_and_grad(self, theta: np.ndarray, rows: Rows, weight: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Log density under row weights, and its gradient."""
        level, log_ratio, z, log_variance = self._parts(theta)
        per_sd, ratio, group = np.exp(-log_variance / 2), np.exp(log_ratio), _group(rows)
        centred = (rows.values["y"] - level[:, None]) * per_sd[:, None]
        residual = centred - ratio[:, None] * z[:, group]
        weighted = residual * weight
        by_group = weighted @ np.eye(self.n_groups)[group]
        standard_level = level * per_sd / self.level_sd
        to_level = (weighted.sum(1) - standard_level / self.level_sd) * per_sd
        to_ratio = ratio * np.einsum("sg,sg->s", by_group, z) + 1 - ratio**2
        to_z = by_group * ratio[:, None] - z
        to_variance = (np.einsum("sn,sn->s", weighted, centred) - weight.sum() + standard_level**2 - 1) / 2
        to_variance = to_variance - self.shape + self.rate * np.exp(-log_variance)
        squares = np.einsum("sn,sn->s", weighted, residual)
        value = self.log_prior(theta) - (squares + weight.sum() * (log_variance + LOG_2PI)) / 2
        return value, np.column_stack([to_level, to_ratio, to_z, to_variance])

    def train(
        self,
        rows: Rows,
        *,
        start: Posterior | None = None,
        rng: np.random.Generator,
        weights: np.ndarray | None = None,
    ) -> Draws:
        """Independent draws: the ratio by inversion of its distribution function, the rest in closed form."""
        weights = np.ones(len(rows)) if weights is None else np.asarray(weights, dtype=float)
        size = len(start) if isinstance(start, Draws) else DRAWS
        density = self._given_ratio(rows, weights, GRID)[0] - np.exp(2 * GRID) / 2 + GRID
        middle = np.logaddexp(density[1:], density[:-1])  # trapezes
        cumulated = np.append(0.0, np.cumsum(np.exp(middle - logsumexp(middle))))
        log_ratio = np.interp(rng.random(size), cumulated, GRID)
        _, mean, precision, shape, rate = self._given_ratio(rows, weights, log_ratio)
        variance = rate / rng.gamma(shape, 1.0, size)
        noise = rng.standard_normal((size, self.n_groups + 1, 1))
        spread = np.linalg.solve(np.linalg.cholesky(precision).transpose(0, 2, 1), noise)[:, :, 0]
        beta = mean / np.sqrt(variance)[:, None] + spread  # in units of σ
        return Draws.plain(np.column_stack([beta[:, 0] * np.sqrt(variance), log_ratio, beta[:, 1:], np.log(variance)]))

    def _given_ratio(self, rows: Rows, weights: np.ndarray, log_ratio: np.ndarray) -> tuple:
        """Log marginal likelihood, and the normal-inverse-gamma posterior of the coefficients, for each ratio."""
        y, scale = rows.values["y"], np.column_stack([np.ones(len(log_ratio)), *[np.exp(log_ratio)] * self.n_groups])
        x = np.column_stack([np.ones(len(y)), np.eye(self.n_groups)[_group(rows)]])
        prior = np.diag(np.append(self.level_sd**-2.0, np.ones(self.n_groups)))
        precision = scale[:, :, None] * ((x.T * weights) @ x) * scale[:, None, :] + prior
        right = scale * (x.T @ (weights * y))
        mean = np.linalg.solve(precision, right[:, :, None])[:, :, 0]
        shape = self.shape + weights.sum() / 2
        rate = self.rate + (weights @ y**2 - np.einsum("rp,rp->r", right, mean)) / 2
        return -np.linalg.slogdet(precision)[1] / 2 - shape * np.log(rate), mean, precision, shape, rate

    def predict(self, theta: np.ndarray, rows: Rows) -> np.ndarray:
        """Means of the rows."""
        level, log_ratio, z, log_variance = self._parts(theta)
        return (level[:, None] + np.exp(log_variance / 2 + log_ratio)[:, None] * z[:, _group(rows)])[:, :, None]

    def simulate(self, theta: np.ndarray, rows: Rows, rng: np.random.Generator) -> np.ndarray:
        """Normal outcomes."""
        return rng.normal(self.predict(theta, rows)[:, :, 0], np.exp(theta[:, -1:] / 2))

    def constrain(self, theta: np.ndarray) -> dict[str, np.ndarray]:
        """Level, ratio, standardised effects and noise sd."""
        level, log_ratio, z, log_variance = self._parts(theta)
        return {"level": level, "ratio": np.exp(log_ratio), "z": z, "sigma": np.exp(log_variance / 2)}

    def _parts(self, theta: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        return theta[:, 0], theta[:, 1], theta[:, 2:-1], theta[:, -1]


def _group(rows: Rows) -> np.ndarray:
    return rows.values["x"][:, 0].astype(int)
