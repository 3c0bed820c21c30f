"""Leave-one-out log scores by PSIS, one row after another in compiled code: nothing is allocated a row.

The steps are those of ``arviz_stats`` (`array_stats.psislw`), to which a test holds them; the fit of the generalised
Pareto distribution is Zhang and Stephens' (2009, doi:10.1198/tech.2009.08017) with the prior of Vehtari et al. (2024,
arXiv:1507.02646, appendix C). Sums of logarithms are taken as logarithms of products, mantissas and exponents apart.
"""

from __future__ import annotations

import math

import numba
import numpy as np

from bayesrepair.numerics.simd import LN2, exp, exponent, kernel, mantissa

_BINS = 512
_FLAT = 1e-12  # a tail whose log ratios differ by less is one repeated value
_PRIOR_B, _PRIOR_K, _PRIOR_MEAN = 3.0, 10.0, 0.5
_EPS = float(np.finfo(float).eps)
_SMALL_K = 1e-3
_RENORMALISED = 512  # factors in [1/2, 1) that a product of float64 holds without underflow
_LOWEST, _NOTHING = -700.0, -1e9  # a logarithm that stands for 0, and one whose exponential is 0

# A sum in any order, and comparisons of numbers: the compiler may then take several at once.
_reduction = numba.njit(nogil=True, error_model="numpy", fastmath={"contract", "reassoc"})
_comparison = numba.njit(nogil=True, error_model="numpy", fastmath={"nnan", "nsz"})


@_reduction
def _sum(values):
    total = 0.0
    for s in range(len(values)):
        total += values[s]
    return total


@_comparison
def _extent(values):
    low, high = values[0], values[0]
    for s in range(len(values)):
        low, high = min(low, values[s]), max(high, values[s])
    return low, high


@kernel
def loo_scores(log_lik, log_weight, tail, flat_tail, smoothed, score, khat):
    """Fill in ``score`` and ``khat`` of each row.

    Parameters
    ----------
    log_lik : array, shape (N, S)
    log_weight : array, shape (S,)
        Their largest is 0.
    tail : int
        Draws that are smoothed.
    flat_tail : int
        Draws that are looked at to see whether they differ at all.
    smoothed : bool
        Whether there are enough draws to smooth any.
    score, khat : array, shape (N,)
    """
    N, S = log_lik.shape
    size = 30 + int(math.sqrt(tail))
    ratio, weight = np.empty(S), np.exp(log_weight)
    x, work = np.empty(tail), np.empty((4, size))
    quantile = np.log1p(-(np.arange(tail) + 0.5) / tail) if tail else np.empty(0)
    for i in range(N):
        for s in range(S):
            ratio[s] = log_weight[s] - log_lik[i, s]
        score[i], khat[i] = _one_row(ratio, weight, log_weight, tail, flat_tail, smoothed, x, work, quantile)


@kernel
def _one_row(r, weight, log_weight, tail, flat_tail, smoothed, x, work, quantile):
    """LOO score and k̂ from the log ratios of one row, which are overwritten."""
    S = len(r)
    if not math.isfinite(_sum(r)):
        return (math.nan if np.isnan(r).any() else -math.inf), math.inf
    low, high = _extent(r)
    for s in range(S):
        r[s] -= high
    wanted = min(max(tail, flat_tail) + 1, S)
    order = _largest(r, low - high, wanted)
    is_flat = r[order[-1]] - r[order[-min(flat_tail + 1, S)]] < _FLAT
    k = -math.inf if is_flat else math.inf
    fitted, sigma, cut = False, math.nan, 0.0
    if smoothed and not is_flat:
        cut = math.exp(r[order[-tail - 1]])
        for j in range(tail):
            x[j] = r[order[j - tail]]
        for j in range(tail):
            x[j] = exp(x[j]) - cut
        k, sigma = _pareto(x, work)
        fitted = math.isfinite(k) and sigma > 0
        k = k if fitted else math.inf
    # what is not smoothed has w · p = weight: the likelihood that divides it multiplies it again
    kept = weight.sum()
    if not fitted:
        return math.log(kept) - high - math.log(_sum_exp(r)), k
    mass = _quantiles(quantile, k, sigma, cut, x)
    top = 0.0
    for j in range(tail):
        s = order[j - tail]
        x[j] += log_weight[s] - r[s]
        top = max(top, x[j])
        kept -= weight[s]
        r[s] = _NOTHING
    norm, kept = _sum_exp(r) + mass, max(kept, 0.0) * math.exp(-top)
    for j in range(tail):
        x[j] -= top
    return top + math.log(kept + _sum_exp(x)) - high - math.log(norm), k


@kernel
def _quantiles(quantile, k, sigma, cut, out):
    """Logarithms of the smoothed weights, at most 0; returns the sum of the weights.

    ``quantile`` holds ``log(1 − p)``. Where k is small, ``exp(−k log(1 − p)) − 1`` loses its digits.
    """
    if abs(k) < _SMALL_K:
        for j in range(len(out)):
            value = quantile[j]
            out[j] = -sigma * value if k == 0 else sigma * math.expm1(-k * value) / k
    else:
        for j in range(len(out)):
            out[j] = sigma * (exp(-k * quantile[j]) - 1.0) / k
    for j in range(len(out)):
        out[j] = min(cut + out[j], 1.0)
    mass = _sum(out)
    for j in range(len(out)):
        out[j] = math.log(out[j]) if out[j] > 0 else _LOWEST
    return mass


@kernel
def _sum_exp(r):
    """``Σ exp(r)``; r is overwritten."""
    for s in range(len(r)):
        r[s] = exp(r[s])
    return _sum(r)


@kernel
def _largest(r, low, wanted):
    """Positions of at least the ``wanted`` largest values, all of them ``≤ 0 and ≥ low``, in ascending order."""
    scale = (_BINS - 1) / low if low < -_FLAT else 0.0
    count = np.zeros(_BINS, dtype=np.int64)
    for s in range(len(r)):
        count[int(r[s] * scale)] += 1
    last, found = 0, count[0]
    while found < wanted:
        last += 1
        found += count[last]
    where, values = np.empty(found, dtype=np.int64), np.empty(found)
    n = 0
    for s in range(len(r)):
        if int(r[s] * scale) <= last:
            where[n], values[n] = s, r[s]
            n += 1
    return where[np.argsort(values)]


@kernel
def _pareto(x, work):
    """Shape and scale of a generalised Pareto distribution from an ascending sample; nan or inf where there is none."""
    n, (_, size) = len(x), work.shape
    b, product, power, weight = work[0], work[1], work[2], work[3]
    quartile = x[int(n / 4 + 0.5) - 1]
    if not quartile > x[0]:
        return math.nan, math.nan
    for j in range(size):
        b[j] = (1.0 - math.sqrt(size / (j + 0.5))) / (_PRIOR_B * quartile) + 1.0 / x[n - 1]
        product[j], power[j] = 1.0, 0.0
    for t in range(n):
        value = x[t]
        for j in range(size):
            factor = 1.0 - b[j] * value
            product[j] *= mantissa(factor)
            power[j] += exponent(factor)
        if t % _RENORMALISED == _RENORMALISED - 1:
            for j in range(size):
                power[j] += exponent(product[j])
                product[j] = mantissa(product[j])
    most = -math.inf
    for j in range(size):
        k = (math.log(product[j]) + power[j] * LN2) / n
        weight[j] = n * (math.log(-b[j] / k) - k - 1.0)
        most = max(most, weight[j])
    total = 0.0
    for j in range(size):
        weight[j] = math.exp(weight[j] - most)
        total += weight[j]
    used, mean = 0.0, 0.0
    for j in range(size):
        if weight[j] >= 10 * _EPS * total:
            used += weight[j]
            mean += b[j] * weight[j]
    mean /= used
    k = 0.0
    for t in range(n):
        k += math.log1p(-mean * x[t])
    k /= n
    return (n * k + _PRIOR_K * _PRIOR_MEAN) / (n + _PRIOR_K), -k / mean
