"""The loops of `glm_kernels` that give log p, in single precision: η (n, B) float32 in, ``out`` (n, B) float64."""

from __future__ import annotations

import numpy as np

from bayesrepair.numerics.simd import kernel
from bayesrepair.numerics.simd_single import F, exp, log, log1p_unit

FAR = F(1e37)  # sum of exponentials beyond which they are taken relative to the largest
_ZERO, _ONE, _TWO = F(0), F(1), F(2)


@kernel
def bernoulli_log_lik(eta, y, out):
    """See `glm_kernels.bernoulli_log_lik`."""
    for r in range(eta.shape[0]):
        sign = F(_TWO * F(y[r]) - _ONE)
        for b in range(eta.shape[1]):
            e = sign * eta[r, b]
            out[r, b] = (e if e < _ZERO else _ZERO) - log1p_unit(exp(-abs(e)))


@kernel
def poisson_log_lik(eta, y, constant, out):
    """See `glm_kernels.poisson_log_lik`."""
    for r in range(eta.shape[0]):
        count, c = F(y[r]), F(constant[r])
        for b in range(eta.shape[1]):
            out[r, b] = count * eta[r, b] - exp(eta[r, b]) + c


@kernel
def negative_binomial_log_lik(eta, y, log_alpha, alpha, binomial, where, out):
    """See `glm_kernels.negative_binomial_log_lik`; the binomial coefficients are float64."""
    for r in range(eta.shape[0]):
        count, own = F(y[r]), binomial[where[r]]
        for b in range(eta.shape[1]):
            t = eta[r, b] - log_alpha[b]
            softplus = (t if t > _ZERO else _ZERO) + log1p_unit(exp(-abs(t)))
            out[r, b] = own[b] + (count * t - (count + alpha[b]) * softplus)


@kernel
def student_t_log_lik(eta, y, inverse, half, constant, out):
    """See `glm_kernels.student_t_log_lik`."""
    for r in range(eta.shape[0]):
        outcome = F(y[r])
        for b in range(eta.shape[1]):
            e = outcome - eta[r, b]
            out[r, b] = constant[b] - half[b] * log(_ONE + e * e * inverse[b])


@kernel
def normal_log_lik(eta, y, precision, constant, out):
    """See `glm_kernels.normal_log_lik`."""
    for r in range(eta.shape[0]):
        outcome = F(y[r])
        for b in range(eta.shape[1]):
            e = outcome - eta[r, b]
            out[r, b] = constant[b] - e * e * precision[b]


@kernel
def categorical_log_lik(eta, y, out):
    """See `glm_kernels.categorical_log_lik`."""
    B = out.shape[1]
    others = eta.shape[1] // B
    total, nothing = np.empty(B, F), np.zeros(B, F)
    for r in range(eta.shape[0]):
        given, place, own = y[r], out[r], nothing
        total[:] = _ONE
        if given > 0:
            own = eta[r, (given - 1) * B : given * B]
            for b in range(B):
                total[b] += exp(-own[b])
        for k in range(1, others + 1):
            if k != given:
                other = eta[r, (k - 1) * B : k * B]
                for b in range(B):
                    total[b] += exp(other[b] - own[b])
        for b in range(B):
            place[b] = -log(total[b])
        if not total.max() < FAR:
            for b in range(B):
                place[b] = _far_log_lik(eta[r, b::B], given)


@kernel
def _far_log_lik(above, given):
    """The same of one draw, the exponentials taken relative to the largest."""
    own = above[given - 1] if given > 0 else _ZERO
    top = max(_ZERO, above.max())
    total = exp(-top)
    for e in above:
        total += exp(e - top)
    return own - top - log(total)
