"""Likelihoods of a linear predictor: log p of each row, and weighted sums with their derivatives.

A family works on tiles, rows × draws. Its parameters are arrays of one number a draw (B,); ``sums`` leaves
``weight · ∂ log p / ∂η`` in the tile, and ``total`` turns what was summed over all tiles into the weighted
log-likelihood and its derivatives by the parameters. Letters: η linear predictor, w row weight.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Protocol

import numpy as np
from scipy.special import digamma, gammaln

from bayesrepair.numerics import glm_kernels as kernels
from bayesrepair.numerics import glm_kernels_single as of_single

_STIRLING = 8  # counts from here on
_LOG_2PI = float(np.log(2 * np.pi))


Array = np.ndarray
At = tuple[np.ndarray, ...]
"""Parameters of a family, one number a draw each."""


class Family(Protocol):
    """What `WeightedLikelihood` asks of a likelihood."""

    parameters: ClassVar[tuple[str, ...]]
    accumulators: ClassVar[int]

    @property
    def width(self) -> int:
        """Linear predictors of one row."""
        ...

    def suits(self, y: Array) -> bool:
        """Whether all outcomes lie in the support."""
        ...

    def sums(self, eta: Array, y: Array, weight: Array, unit: int, at: At, into: Array) -> None:
        """Add what `total` needs to ``into`` (A, B); η (n, width · B) becomes its own derivative."""
        ...

    def total(self, into: Array, at: At, y: Array, weight: Array) -> tuple[Array, At]:
        """Σ w log p (S,), and its derivative by each parameter (S,)."""
        ...

    def constants(self, at: At, y: Array) -> At:
        """What `log_lik` needs of parameters and outcomes, once for all rows: (B,) each, or two-dimensional."""
        ...

    def log_lik(self, eta: Array, y: Array, constants: At, out: Array) -> None:
        """Log p (n, B) into ``out``, which of one predictor in double precision is η itself.

        Of several predictors η holds the differences of all but the first from the first, (n, (width − 1) · B). Where
        it is in single precision, so are the constants, and ``out`` is in double precision.
        """
        ...


@dataclass(frozen=True)
class BernoulliLogit:
    """``y ∈ {0, 1}``, ``P(y = 1) = 1/(1 + exp(−η))``.

    Parameters
    ----------
    limit : float
        η is clipped at ± this, as models do that keep probabilities away from zero and one.
    """

    limit: float = np.inf
    parameters: ClassVar[tuple[str, ...]] = ()
    accumulators: ClassVar[int] = 1
    width: ClassVar[int] = 1

    def suits(self, y: Array) -> bool:
        """Zeros and ones."""
        return bool(np.isin(y, (0, 1)).all())

    def sums(self, eta: Array, y: Array, weight: Array, unit: int, at: At, into: Array) -> None:
        """See `Family`."""
        outside = np.abs(eta) > self.limit if self.limit < np.inf else None
        if outside is None or not outside.any():
            kernels.bernoulli_sums(eta, y, weight, unit, into)
            return
        np.clip(eta, -self.limit, self.limit, out=eta)
        kernels.bernoulli_sums(eta, y, weight, unit, into)
        eta[outside] = 0.0

    def total(self, into: Array, at: At, y: Array, weight: Array) -> tuple[Array, At]:
        """See `Family`."""
        return into[0], ()

    def constants(self, at: At, y: Array) -> At:
        """See `Family`."""
        return ()

    def log_lik(self, eta: Array, y: Array, constants: At, out: Array) -> None:
        """See `Family`."""
        if self.limit < np.inf:
            np.clip(eta, -self.limit, self.limit, out=eta)
        if eta.dtype == np.float32:
            of_single.bernoulli_log_lik(eta, y, out)
        else:
            kernels.bernoulli_log_lik(eta, y)


@dataclass(frozen=True)
class PoissonLog:
    """``y ~ Poisson(exp η)``."""

    parameters: ClassVar[tuple[str, ...]] = ()
    accumulators: ClassVar[int] = 1
    width: ClassVar[int] = 1

    def suits(self, y: Array) -> bool:
        """Counts."""
        return _counts(y)

    def sums(self, eta: Array, y: Array, weight: Array, unit: int, at: At, into: Array) -> None:
        """See `Family`."""
        kernels.poisson_sums(eta, y, weight, into)

    def total(self, into: Array, at: At, y: Array, weight: Array) -> tuple[Array, At]:
        """See `Family`."""
        return into[0] - weight @ gammaln(y + 1), ()

    def constants(self, at: At, y: Array) -> At:
        """See `Family`."""
        return ()

    def log_lik(self, eta: Array, y: Array, constants: At, out: Array) -> None:
        """See `Family`."""
        if eta.dtype == np.float32:
            of_single.poisson_log_lik(eta, y, -gammaln(y + 1), out)
        else:
            kernels.poisson_log_lik(eta, y, -gammaln(y + 1))


@dataclass(frozen=True)
class NegativeBinomialLog:
    """``log p = log Γ(y + α)/(Γ(α) y!) + y t − (y + α) log(1 + exp t)`` with ``t = η − log α``: mean ``exp η``."""

    parameters: ClassVar[tuple[str, ...]] = ("alpha",)
    accumulators: ClassVar[int] = 3
    width: ClassVar[int] = 1

    def suits(self, y: Array) -> bool:
        """Counts."""
        return _counts(y)

    def sums(self, eta: Array, y: Array, weight: Array, unit: int, at: At, into: Array) -> None:
        """See `Family`."""
        [alpha] = at
        kernels.negative_binomial_sums(eta, y, weight, np.log(alpha), alpha, into)

    def total(self, into: Array, at: At, y: Array, weight: Array) -> tuple[Array, At]:
        """See `Family`."""
        [alpha] = at
        constant, slope = _rising(alpha, y, weight)
        value = into[0] + constant - weight @ gammaln(y + 1)
        return value, (slope - into[1] - into[2] / alpha,)

    def constants(self, at: At, y: Array) -> At:
        """See `Family`."""
        [alpha] = at
        base, slope = np.zeros(len(alpha)), np.zeros(len(alpha))
        kernels.stirling(alpha, np.array([float(_STIRLING)]), np.ones(1), base, slope)
        kernels.rising(alpha, np.append(np.zeros(_STIRLING), -1.0), base, slope)
        counts = np.unique(y)
        binomial = np.empty((len(counts), len(alpha)))
        kernels.binomial_logs(alpha, base, counts, gammaln(counts + 1), binomial)
        return np.log(alpha), alpha, binomial, counts[:, None]

    def log_lik(self, eta: Array, y: Array, constants: At, out: Array) -> None:
        """See `Family`."""
        log_alpha, alpha, binomial, counts = constants
        where = np.searchsorted(counts[:, 0], y)
        if eta.dtype == np.float32:
            of_single.negative_binomial_log_lik(eta, y, log_alpha, alpha, binomial, where, out)
        else:
            kernels.negative_binomial_log_lik(eta, y, log_alpha, alpha, binomial, where)


@dataclass(frozen=True)
class StudentT:
    """``y = η + σ t_ν``."""

    parameters: ClassVar[tuple[str, ...]] = ("nu", "sigma")
    accumulators: ClassVar[int] = 2
    width: ClassVar[int] = 1

    def suits(self, y: Array) -> bool:
        """Finite numbers."""
        return bool(np.isfinite(y).all())

    def sums(self, eta: Array, y: Array, weight: Array, unit: int, at: At, into: Array) -> None:
        """See `Family`."""
        nu, sigma = at
        kernels.student_t_sums(eta, y, weight, unit, 1 / (nu * np.square(sigma)), nu, into)

    def total(self, into: Array, at: At, y: Array, weight: Array) -> tuple[Array, At]:
        """See `Family`."""
        nu, sigma = at
        size, logs, shares = weight.sum(), into[0], into[1]
        height = gammaln((nu + 1) / 2) - gammaln(nu / 2) - np.log(nu * np.pi) / 2 - np.log(sigma)
        # a share that is nan stands for an infinite residual, which the product of residuals cannot hold
        value = size * height - (nu + 1) / 2 * logs + 0 * shares
        by_sigma = ((nu + 1) * shares - size) / sigma
        height_slope = (digamma((nu + 1) / 2) - digamma(nu / 2) - 1 / nu) / 2
        by_nu = size * height_slope - logs / 2 + (nu + 1) / (2 * nu) * shares
        return value, (by_nu, by_sigma)

    def constants(self, at: At, y: Array) -> At:
        """See `Family`."""
        nu, sigma = at
        height = gammaln((nu + 1) / 2) - gammaln(nu / 2) - np.log(nu * np.pi) / 2 - np.log(sigma)
        return 1 / (nu * np.square(sigma)), (nu + 1) / 2, height

    def log_lik(self, eta: Array, y: Array, constants: At, out: Array) -> None:
        """See `Family`."""
        if eta.dtype == np.float32:
            of_single.student_t_log_lik(eta, y, *constants, out)
        else:
            kernels.student_t_log_lik(eta, y, *constants)


@dataclass(frozen=True)
class Normal:
    """``y = η + σ ε``; sums are made of the rows' own moments, see `least_squares.SquaredError`.

    The logarithm of σ is a parameter of its own: a model may have computed it in single precision.
    """

    parameters: ClassVar[tuple[str, ...]] = ("sigma", "log_sigma")
    accumulators: ClassVar[int] = 1
    width: ClassVar[int] = 1

    def suits(self, y: Array) -> bool:
        """Finite numbers."""
        return bool(np.isfinite(y).all())

    def sums(self, eta: Array, y: Array, weight: Array, unit: int, at: At, into: Array) -> None:
        """See `Family`."""
        residual = y[:, None] - eta
        np.multiply(weight[:, None], residual, out=eta)
        into[0] += np.einsum("nb,nb->b", eta, residual)
        eta /= np.square(at[0])

    def total(self, into: Array, at: At, y: Array, weight: Array) -> tuple[Array, At]:
        """See `Family`; ``into[0]`` is Σ w (y − η)²."""
        sigma, log_sigma = at
        squares, size = into[0], weight.sum()
        value = -squares / (2 * np.square(sigma)) - size * (log_sigma + _LOG_2PI / 2)
        return value, (squares / sigma**3, np.full(len(sigma), -size))

    def constants(self, at: At, y: Array) -> At:
        """See `Family`."""
        sigma, log_sigma = at
        return 0.5 / np.square(sigma), -log_sigma - _LOG_2PI / 2

    def log_lik(self, eta: Array, y: Array, constants: At, out: Array) -> None:
        """See `Family`."""
        if eta.dtype == np.float32:
            of_single.normal_log_lik(eta, y, *constants, out)
        else:
            kernels.normal_log_lik(eta, y, *constants)


@dataclass(frozen=True)
class CategoricalSoftmax:
    """``P(y = k) = exp η_k / Σ_j exp η_j``.

    Parameters
    ----------
    width : int
        Number of classes.
    """

    width: int
    parameters: ClassVar[tuple[str, ...]] = ()
    accumulators: ClassVar[int] = 1

    def suits(self, y: Array) -> bool:
        """Codes of the classes."""
        return bool(((y == np.floor(y)) & (y >= 0) & (y < self.width)).all())

    def sums(self, eta: Array, y: Array, weight: Array, unit: int, at: At, into: Array) -> None:
        """See `Family`."""
        kernels.categorical_sums(eta, y.astype(np.int64), weight, self.width, into)

    def total(self, into: Array, at: At, y: Array, weight: Array) -> tuple[Array, At]:
        """See `Family`."""
        return into[0], ()

    def constants(self, at: At, y: Array) -> At:
        """See `Family`."""
        return ()

    def log_lik(self, eta: Array, y: Array, constants: At, out: Array) -> None:
        """See `Family`."""
        single = eta.dtype == np.float32
        (of_single if single else kernels).categorical_log_lik(eta, y.astype(np.int64), out)


def _counts(y: Array) -> bool:
    return bool(((y == np.floor(y)) & (y >= 0) & (y < 2.0**52)).all())


def _rising(alpha: Array, y: Array, weight: Array) -> tuple[Array, Array]:
    """Σ w log Γ(y + α)/Γ(α) and its derivative by α, each (B,)."""
    counts, where = np.unique(y, return_inverse=True)
    tally = np.bincount(where, weight, minlength=len(counts))
    value, slope = np.zeros(len(alpha)), np.zeros(len(alpha))
    few = counts < _STIRLING
    by_count = np.zeros(_STIRLING)
    by_count[counts[few].astype(int)] = tally[few]
    kernels.rising(alpha, by_count, value, slope)
    if not few.all():
        kernels.stirling(alpha, counts[~few], tally[~few], value, slope)
        # log Γ(α) = log Γ(α + 8) − log of the product: the same two kernels with the weight turned round
        against = np.array([-tally[~few].sum()])
        kernels.stirling(alpha, np.array([float(_STIRLING)]), against, value, slope)
        kernels.rising(alpha, np.append(np.zeros(_STIRLING), -against), value, slope)
    return value, slope
