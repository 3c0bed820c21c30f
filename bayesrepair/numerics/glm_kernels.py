"""Loops over a tile of linear predictors, rows first and draws last, so that one instruction serves several draws.

Every ``*_sums`` overwrites the tile of η (n, B) with ``weight · ∂ log p / ∂η`` and adds to what its family needs of
each draw, ``sums`` (A, B). The first ``unit`` rows have weight one: where the log-likelihood holds a logarithm, they
multiply its arguments up and take one logarithm of the product.
"""

from __future__ import annotations

import numpy as np

from bayesrepair.numerics.simd import (
    LN2,
    exp,
    exp_falling,
    exponent,
    kernel,
    log,
    log1p_unit,
    mantissa,
    stirling_series,
)

FAR = 1e250  # sum of exponentials beyond which they are taken relative to the largest
PRODUCT_ROWS = 512  # factors from 1 to 2 whose product is far from overflow


@kernel
def gather(eta, coefficient, index, column):
    """Add ``column[r] · coefficient[index[r]]`` to each row of the tile."""
    for r in range(eta.shape[0]):
        i, x = index[r], column[r]
        for b in range(eta.shape[1]):
            eta[r, b] += x * coefficient[i, b]


@kernel
def scatter(residual, gradient, index, column):
    """Add ``column[r] · residual[r]`` to row ``index[r]`` of the gradient."""
    for r in range(residual.shape[0]):
        i, x = index[r], column[r]
        for b in range(residual.shape[1]):
            gradient[i, b] += x * residual[r, b]


@kernel
def bernoulli_sums(eta, y, weight, unit, sums):
    """Logit η; ``sums[0]`` is Σ weight · log p."""
    n, B = eta.shape
    product = np.ones(B)
    for start in range(0, unit, PRODUCT_ROWS):
        product[:] = 1.0
        for r in range(start, min(start + PRODUCT_ROWS, unit)):
            sign = 2.0 * y[r] - 1.0
            for b in range(B):
                e = sign * eta[r, b]
                u = exp_falling(-abs(e))
                share = 1.0 / (1.0 + u)
                sums[0, b] += e if e < 0.0 else 0.0
                product[b] *= 1.0 + u
                eta[r, b] = sign * (u * share if e > 0.0 else share)
        for b in range(B):
            sums[0, b] -= log(product[b])
    for r in range(unit, n):
        sign, w = 2.0 * y[r] - 1.0, weight[r]
        for b in range(B):
            e = sign * eta[r, b]
            u = exp_falling(-abs(e))
            share = 1.0 / (1.0 + u)
            sums[0, b] += w * ((e if e < 0.0 else 0.0) - log1p_unit(u))
            eta[r, b] = w * sign * (u * share if e > 0.0 else share)


@kernel
def bernoulli_log_lik(eta, y):
    """η becomes log p."""
    for r in range(eta.shape[0]):
        sign = 2.0 * y[r] - 1.0
        for b in range(eta.shape[1]):
            e = sign * eta[r, b]
            eta[r, b] = (e if e < 0.0 else 0.0) - log1p_unit(exp_falling(-abs(e)))


@kernel
def poisson_sums(eta, y, weight, sums):
    """Log rate η; ``sums[0]`` is Σ weight · (y η − exp η)."""
    for r in range(eta.shape[0]):
        count, w = y[r], weight[r]
        for b in range(eta.shape[1]):
            rate = exp(eta[r, b])
            sums[0, b] += w * (count * eta[r, b] - rate)
            eta[r, b] = w * (count - rate)


@kernel
def poisson_log_lik(eta, y, constant):
    """η becomes log p; ``constant`` is −log y!."""
    for r in range(eta.shape[0]):
        count, c = y[r], constant[r]
        for b in range(eta.shape[1]):
            eta[r, b] = count * eta[r, b] - exp(eta[r, b]) + c


@kernel
def negative_binomial_sums(eta, y, weight, log_alpha, alpha, sums):
    """Log mean η: with ``t = η − log α`` and ``f = log(1 + exp t)``, sums of ``y t − (y + α) f``, f, and residuals."""
    for r in range(eta.shape[0]):
        count, w = y[r], weight[r]
        for b in range(eta.shape[1]):
            t = eta[r, b] - log_alpha[b]
            u = exp_falling(-abs(t))
            softplus = (t if t > 0.0 else 0.0) + log1p_unit(u)
            share = 1.0 / (1.0 + u)
            residual = w * (count - (count + alpha[b]) * (share if t > 0.0 else u * share))
            sums[0, b] += w * (count * t - (count + alpha[b]) * softplus)
            sums[1, b] += w * softplus
            sums[2, b] += residual
            eta[r, b] = residual


@kernel
def negative_binomial_log_lik(eta, y, log_alpha, alpha, binomial, where):
    """η becomes log p; ``binomial[where[r]]`` (B,) is the logarithm of the row's binomial coefficient."""
    for r in range(eta.shape[0]):
        count, own = y[r], where[r]
        for b in range(eta.shape[1]):
            t = eta[r, b] - log_alpha[b]
            softplus = (t if t > 0.0 else 0.0) + log1p_unit(exp_falling(-abs(t)))
            eta[r, b] = count * t - (count + alpha[b]) * softplus + binomial[own, b]


@kernel
def student_t_sums(eta, y, weight, unit, inverse, nu, sums):
    """Location η, with ``q = (y − η)²/(ν σ²)`` and ``inverse = 1/(ν σ²)``: sums of log(1 + q) and of q/(1 + q)."""
    n, B = eta.shape
    product, twos = np.ones(B), np.zeros(B)
    for r in range(unit):
        outcome = y[r]
        for b in range(B):
            e = outcome - eta[r, b]
            scaled = e * inverse[b]
            a = 1.0 + e * scaled
            p = product[b] * a
            twos[b] += exponent(p)
            product[b] = mantissa(p)
            slope = scaled / a
            sums[1, b] += e * slope
            eta[r, b] = (nu[b] + 1.0) * slope
    for b in range(B):
        sums[0, b] += twos[b] * LN2 + log(product[b])
    for r in range(unit, n):
        outcome, w = y[r], weight[r]
        for b in range(B):
            e = outcome - eta[r, b]
            scaled = e * inverse[b]
            a = 1.0 + e * scaled
            slope = scaled / a
            sums[0, b] += w * log(a)
            sums[1, b] += w * e * slope
            eta[r, b] = w * (nu[b] + 1.0) * slope


@kernel
def student_t_log_lik(eta, y, inverse, half, constant):
    """η becomes log p; ``inverse`` is 1/(ν σ²), ``half`` (ν + 1)/2, ``constant`` the log density at η."""
    for r in range(eta.shape[0]):
        outcome = y[r]
        for b in range(eta.shape[1]):
            e = outcome - eta[r, b]
            eta[r, b] = constant[b] - half[b] * log(1.0 + e * e * inverse[b])


@kernel
def normal_log_lik(eta, y, precision, constant):
    """η becomes log p; ``precision`` is 1/(2 σ²)."""
    for r in range(eta.shape[0]):
        outcome = y[r]
        for b in range(eta.shape[1]):
            e = outcome - eta[r, b]
            eta[r, b] = constant[b] - e * e * precision[b]


@kernel
def categorical_sums(eta, y, weight, classes, sums):
    """η (n, K · B), classes before draws, is a softmax's argument; ``sums[0]`` is Σ weight · log p."""
    B = eta.shape[1] // classes
    top, total = np.empty(B), np.empty(B)
    for r in range(eta.shape[0]):
        w, own = weight[r], y[r] * B
        for b in range(B):
            top[b], total[b] = eta[r, b], 0.0
        for k in range(1, classes):
            for b in range(B):
                e = eta[r, k * B + b]
                top[b] = top[b] if top[b] > e else e
        for b in range(B):
            sums[0, b] += w * (eta[r, own + b] - top[b])
        for k in range(classes):
            for b in range(B):
                e = exp_falling(eta[r, k * B + b] - top[b])
                total[b] += e
                eta[r, k * B + b] = e
        for b in range(B):
            sums[0, b] -= w * log(total[b])
            total[b] = w / total[b]
        for k in range(classes):
            for b in range(B):
                eta[r, k * B + b] *= -total[b]
        for b in range(B):
            eta[r, own + b] += w


@kernel
def categorical_log_lik(eta, y, out):
    """Log p of the given class, (n, B): −log Σ_k exp(η_k − η_y), an exponential less than there are classes.

    η (n, (K − 1) · B), classes before draws, holds what classes 1 … K − 1 have above class 0.
    """
    B = out.shape[1]
    others = eta.shape[1] // B
    total, nothing = np.empty(B), np.zeros(B)
    for r in range(eta.shape[0]):
        given, place, own = y[r], out[r], nothing
        total[:] = 1.0
        if given > 0:
            own = eta[r, (given - 1) * B : given * B]
            for b in range(B):
                total[b] += exp(-own[b])
        last = others if given < others else others - 1
        for k in range(1, last):
            if k != given:
                other = eta[r, (k - 1) * B : k * B]
                for b in range(B):
                    total[b] += exp(other[b] - own[b])
        if last > 0:  # the last one and the logarithm in one pass
            other = eta[r, (last - 1) * B : last * B]
            for b in range(B):
                total[b] += exp(other[b] - own[b])
                place[b] = -log(total[b])
        else:
            for b in range(B):
                place[b] = -log(total[b])
        if not total.max() < FAR:
            for b in range(B):
                place[b] = _far_log_lik(eta[r, b::B], given)


@kernel
def _far_log_lik(above, given):
    """The same of one draw, the exponentials taken relative to the largest."""
    own = above[given - 1] if given > 0 else 0.0
    top = max(0.0, above.max())
    total = exp(-top)
    for e in above:
        total += exp(e - top)
    return own - top - log(total)


@kernel
def rising(alpha, weight, value, slope):
    """Add Σ_u weight[u] · log Γ(u + α)/Γ(α) and its derivative by α: logarithms of products, for u from 1 on."""
    product, derivative = np.ones(alpha.size), np.zeros(alpha.size)
    for u in range(1, weight.size):
        w = weight[u]
        for b in range(alpha.size):
            factor = alpha[b] + (u - 1)
            derivative[b] = derivative[b] * factor + product[b]
            product[b] *= factor
        if w != 0.0:
            for b in range(alpha.size):
                value[b] += w * log(product[b])
                slope[b] += w * derivative[b] / product[b]


@kernel
def binomial_logs(alpha, base, count, log_factorial, out):
    """Log Γ(count + α)/(Γ(α) count!) for ascending counts, (U, B); ``base`` is log Γ(α)."""
    product = np.ones(alpha.size)
    reached = 0
    for u in range(count.size):
        c, less = count[u], log_factorial[u]
        if c < 8.0:
            while reached < c:
                for b in range(alpha.size):
                    product[b] *= alpha[b] + reached
                reached += 1
            for b in range(alpha.size):
                out[u, b] = log(product[b]) - less
        else:
            for b in range(alpha.size):
                x = alpha[b] + c
                inverse = 1.0 / x
                t = inverse * inverse
                series = stirling_series(t)
                whole = (x - 0.5) * log(x) - x + 0.9189385332046727 + series * inverse
                out[u, b] = whole - base[b] - less


@kernel
def stirling(alpha, count, weight, value, slope):
    """Add Σ weight · log Γ(count + α) and its derivative by α, for counts from 8, by Stirling's series."""
    for u in range(count.size):
        w, c = weight[u], count[u]
        for b in range(alpha.size):
            x = alpha[b] + c
            inverse = 1.0 / x
            t = inverse * inverse
            log_x = log(x)
            series = stirling_series(t)
            slopes = -3617.0 / 8160.0
            slopes = slopes * t + 1.0 / 12.0
            slopes = slopes * t - 691.0 / 32760.0
            slopes = slopes * t + 1.0 / 132.0
            slopes = slopes * t - 1.0 / 240.0
            slopes = slopes * t + 1.0 / 252.0
            slopes = slopes * t - 1.0 / 120.0
            slopes = slopes * t + 1.0 / 12.0
            value[b] += w * ((x - 0.5) * log_x - x + 0.9189385332046727 + series * inverse)
            slope[b] += w * (log_x - 0.5 * inverse - slopes * t)
