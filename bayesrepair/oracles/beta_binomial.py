"""Bernoulli rows with a beta prior on their common probability, on the logit scale."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from scipy.special import betaln, expit, log_expit, logit

from bayesrepair.model import Outcome
from bayesrepair.oracles.base import ConjugateOracle
from bayesrepair.posterior import Draws
from bayesrepair.rows import Rows

LARGEST_LOGIT = 700.0  # a beta draw of exactly 0 or 1 in floating point stays finite


@dataclass(frozen=True)
class Beta:
    """A beta distribution of a probability, drawn on the logit scale.

    Parameters
    ----------
    a, b : float
    """

    a: float
    b: float

    def draws(self, size: int, rng: np.random.Generator) -> Draws:
        """Independent draws of the logit, shape (size, 1)."""
        return Draws.plain(np.clip(logit(rng.beta(self.a, self.b, (size, 1))), -LARGEST_LOGIT, LARGEST_LOGIT))


@dataclass(frozen=True)
class BetaBinomial(ConjugateOracle):
    """``y_i ~ Bernoulli(p)``, ``p ~ Beta(a, b)``; θ = logit p, P = 1.

    Parameters
    ----------
    a, b : float

    Examples
    --------
    >>> oracle = BetaBinomial(a=1.0, b=1.0)
    >>> oracle.posterior(oracle.rows({"y": np.array([1, 1, 0])}))
    Beta(a=np.float64(3.0), b=np.float64(2.0))
    """

    a: float = 1.0
    b: float = 1.0

    outcome: ClassVar[Outcome] = Outcome("y", "class", (0, 1))

    @property
    def names(self) -> tuple[str, ...]:
        """The logit is the only parameter."""
        return ("logit_p",)

    @property
    def prior(self) -> Beta:
        """The prior."""
        return Beta(self.a, self.b)

    def update(self, posterior: Beta, rows: Rows, power: np.ndarray) -> Beta:
        """Add the powers of the ones to ``a`` and those of the zeros to ``b``."""
        y = rows.values["y"]
        return Beta(posterior.a + np.sum(power * y), posterior.b + np.sum(power * (1 - y)))

    def log_prior(self, theta: np.ndarray) -> np.ndarray:
        """Log density of the logit: the beta density and the log-Jacobian ``log p + log(1 − p)``."""
        return (self.a * log_expit(theta) + self.b * log_expit(-theta))[:, 0] - betaln(self.a, self.b)

    def log_lik(self, theta: np.ndarray, rows: Rows) -> np.ndarray:
        """Bernoulli log probabilities."""
        return log_expit(theta * (2 * rows.values["y"] - 1))

    def log_target_and_grad(self, theta: np.ndarray, rows: Rows, weight: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Log density under row weights, and its derivative."""
        value = self.log_prior(theta) + self.log_lik(theta, rows) @ weight
        y = rows.values["y"]
        ones, all_rows = self.a + weight @ y, self.a + self.b + weight.sum()
        return value, ones - all_rows * expit(theta)

    def curvature(self, theta: np.ndarray, rows: Rows, weight: np.ndarray) -> np.ndarray:
        """Minus the second derivative, ``(a + b + Σ weight) p (1 − p)``."""
        p = expit(theta)
        return ((self.a + self.b + np.sum(weight)) * p * (1 - p))[:, None]

    def predict(self, theta: np.ndarray, rows: Rows) -> np.ndarray:
        """Probabilities of 0 and 1, the same for every row."""
        p = np.broadcast_to(expit(theta), (len(theta), len(rows)))
        return np.stack([1 - p, p], axis=2)

    def simulate(self, theta: np.ndarray, rows: Rows, rng: np.random.Generator) -> np.ndarray:
        """Zeros and ones."""
        return (rng.random((len(theta), len(rows))) < expit(theta)).astype(int)

    def constrain(self, theta: np.ndarray) -> dict[str, np.ndarray]:
        """The probability."""
        return {"p": expit(theta[:, 0])}
