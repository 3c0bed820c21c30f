"""What a softmax model is linear in: features of a row, or the logarithms of somebody else's class probabilities."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from scipy.stats import norm

from bayesrepair.rows import Rows


class Design(Protocol):
    """A linear predictor η (N, K) of P values θ: η_i = A_i θ, with a normal prior on θ."""

    @property
    def classes(self) -> int:
        """K."""
        ...

    @property
    def names(self) -> tuple[str, ...]:
        """One for each value."""
        ...

    @property
    def mean(self) -> np.ndarray:
        """Of the prior, (P,)."""
        ...

    @property
    def sd(self) -> np.ndarray:
        """Of the prior, (P,)."""
        ...

    def predictor(self, theta: np.ndarray, rows: Rows) -> np.ndarray:
        """(S, P) → (S, N, K)."""
        ...

    def pulled(self, residual: np.ndarray, rows: Rows) -> np.ndarray:
        """Σ_i A_iᵀ residual_i, (S, N, K) → (S, P)."""
        ...

    def squared(self, blocks: np.ndarray, rows: Rows) -> np.ndarray:
        """Σ_i A_iᵀ B_i A_i, (N, K, K) → (P, P)."""
        ...


@dataclass(frozen=True)
class Features:
    """Multinomial logistic regression: ``η_ik = x̃_iᵀ w_k + b_k``; w ~ N(0, ½ ``scale``²), b ~ N(0, ½ 2.5²).

    Every class has coefficients of its own, so that no class is a reference; the difference between two classes has
    the prior sd ``scale``, 2.5 of the intercepts.

    Parameters
    ----------
    features : int
        d; rows hold an array ``x`` (N, d), best standardised.
    classes : int
    scale : float
    """

    features: int
    classes: int
    scale: float = 1.0

    @property
    def names(self) -> tuple[str, ...]:
        """Coefficients of the first feature for each class, of the second, …, intercepts."""
        labels = [*(f"coefficient[{j}" for j in range(self.features)), "intercept["]
        return tuple(f"{label}{', ' if label[-1] != '[' else ''}{k}]" for label in labels for k in range(self.classes))

    @property
    def mean(self) -> np.ndarray:
        """Zero."""
        return np.zeros((self.features + 1) * self.classes)

    @property
    def sd(self) -> np.ndarray:
        """Of the prior."""
        each = np.append(np.full(self.features, self.scale), 2.5) / np.sqrt(2)
        return np.repeat(each, self.classes)

    def _with_one(self, rows: Rows) -> np.ndarray:
        x = np.asarray(rows.values["x"], dtype=float)
        return np.column_stack([x, np.ones(len(x))])

    def predictor(self, theta: np.ndarray, rows: Rows) -> np.ndarray:
        """(S, P) → (S, N, K)."""
        return self._with_one(rows) @ theta.reshape(len(theta), -1, self.classes)

    def pulled(self, residual: np.ndarray, rows: Rows) -> np.ndarray:
        """Σ_i A_iᵀ residual_i, (S, N, K) → (S, P)."""
        return (self._with_one(rows).T @ residual).reshape(len(residual), -1)

    def squared(self, blocks: np.ndarray, rows: Rows) -> np.ndarray:
        """Σ_i A_iᵀ B_i A_i, (N, K, K) → (P, P)."""
        x, K = self._with_one(rows), self.classes
        d = x.shape[1]
        out = np.empty((d, K, d, K))
        for k in range(K):
            for j in range(k + 1):
                out[:, k, :, j] = (x * blocks[:, k, j, None]).T @ x
                out[:, j, :, k] = out[:, k, :, j].T
        return out.reshape(d * K, d * K)


@dataclass(frozen=True)
class Calibration:
    """Another model's class probabilities, recalibrated: ``η_ik = β log p_ik + b_k``.

    β ~ N(``slope``, ``slope_sd``²), b ~ N(0, 1).

    Temperature scaling with a bias for each class (Guo et al. 2017, arXiv:1706.04599; Alexandari et al. 2020,
    arXiv:1901.06852). A classifier trained on wrong labels is too unsure of the true ones: β grows above 1.

    Parameters
    ----------
    classes : int
        K; rows hold an array ``log_p`` (N, K).
    slope, slope_sd : float
    """

    classes: int
    slope: float = 1.0
    slope_sd: float = 0.5

    @property
    def names(self) -> tuple[str, ...]:
        """The slope, then a bias for each class."""
        return ("slope", *(f"bias[{k}]" for k in range(self.classes)))

    @property
    def mean(self) -> np.ndarray:
        """Of the prior."""
        return np.append(self.slope, np.zeros(self.classes))

    @property
    def sd(self) -> np.ndarray:
        """Of the prior."""
        return np.append(self.slope_sd, np.ones(self.classes))

    def predictor(self, theta: np.ndarray, rows: Rows) -> np.ndarray:
        """(S, P) → (S, N, K)."""
        return theta[:, :1, None] * rows.values["log_p"] + theta[:, None, 1:]

    def pulled(self, residual: np.ndarray, rows: Rows) -> np.ndarray:
        """Σ_i A_iᵀ residual_i, (S, N, K) → (S, P)."""
        slope = np.tensordot(residual, rows.values["log_p"], axes=2)
        return np.column_stack([slope, residual.sum(axis=1)])

    def squared(self, blocks: np.ndarray, rows: Rows) -> np.ndarray:
        """Σ_i A_iᵀ B_i A_i, (N, K, K) → (P, P)."""
        log_p = rows.values["log_p"]
        across = np.einsum("nkj,nj->nk", blocks, log_p)
        out = np.empty((self.classes + 1, self.classes + 1))
        out[0, 0] = (across * log_p).sum()
        out[0, 1:] = out[1:, 0] = across.sum(axis=0)
        out[1:, 1:] = blocks.sum(axis=0)
        return out


def normal_log_prior(design: Design, theta: np.ndarray) -> np.ndarray:
    """(S, P) → (S,)."""
    return norm.logpdf(theta, design.mean, design.sd).sum(axis=1)
