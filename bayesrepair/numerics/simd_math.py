"""The functions of `simd` for any number, and those that log densities are made of, for loops made of graphs.

Each is arithmetic and choices only. What NumPy gives for zeros, negative numbers, infinities and nan is given here,
but for `gammaln` below zero, which is nan.
"""

from __future__ import annotations

import math

from bayesrepair.numerics.simd import exp, exp_falling, inline, log1p_unit, stirling_series
from bayesrepair.numerics.simd import log as log_normal

_TINY, _LIFT, _LOG_LIFT = 2.2250738585072014e-308, 18014398509481984.0, 37.42994775023705  # the lift is 2^54
_MOST = 1.7976931348623157e308
_HALF_LOG_2PI = 0.9189385332046727
_SMALL = 0.625  # below it, tanh is a rational function
_FAR = 8.0  # from where Stirling's series is good to the last digits


@inline
def log(x):
    """Natural logarithm: −inf at 0, nan below, inf at inf."""
    small = x < _TINY
    y = log_normal(x * _LIFT if small else x)
    y = y - _LOG_LIFT if small else y
    y = -math.inf if x == 0.0 else y
    y = math.nan if x < 0.0 else y
    return math.inf if x > _MOST else y


@inline
def log1p(x):
    """Natural logarithm of 1 + x, exact for small x."""
    u = 1.0 + x
    # what the sum lost, to first order
    y = log(u) + ((x - (u - 1.0)) / u if abs(x) < 1e15 and u > 0.0 else 0.0)
    return y


@inline
def expm1(x):
    """``exp(x) − 1``, exact for small x: by sinh and cosh of halves where the difference would lose digits."""
    t = x * x
    p = 1.0 / 6227020800.0
    p = p * t + 1.0 / 39916800.0
    p = p * t + 1.0 / 362880.0
    p = p * t + 1.0 / 5040.0
    p = p * t + 1.0 / 120.0
    p = p * t + 1.0 / 6.0
    odd = x + x * t * p
    q = 1.0 / 87178291200.0
    q = q * t + 1.0 / 479001600.0
    q = q * t + 1.0 / 3628800.0
    q = q * t + 1.0 / 40320.0
    q = q * t + 1.0 / 720.0
    q = q * t + 1.0 / 24.0
    q = q * t + 0.5
    return odd + t * q if abs(x) < 0.5 else exp(x) - 1.0


@inline
def softplus(x):
    """``log(1 + exp x)``."""
    return (0.0 if x < 0.0 else x) + log1p_unit(exp_falling(-abs(x)))


@inline
def sigmoid(x):
    """``1/(1 + exp(−x))``, exact in both tails."""
    u = exp_falling(-abs(x))
    return (u if x < 0.0 else 1.0) / (1.0 + u)


@inline
def tanh(x):
    """Hyperbolic tangent (the rational function of Moshier's Cephes near zero)."""
    size = abs(x)
    z = x * x if size < _SMALL else 0.0
    above = (-9.643991794250523e-01 * z - 9.928772310019185e01) * z - 1.6146876844170845e03
    below = ((z + 1.1281167849163293e02) * z + 2.2354883906010045e03) * z + 4.844063053251255e03
    small = x + x * z * (above / below)
    e = exp_falling(-2.0 * size)
    large = 1.0 - 2.0 * e / (1.0 + e)
    large = -large if x < 0.0 else large
    return small if size < _SMALL else large


@inline
def log1mexp(x):
    """``log(1 − exp x)`` for x below 0."""
    return log(-expm1(x)) if x > -0.6931471805599453 else log1p(-exp(x))


@inline
def gammaln(x):
    """Logarithm of the gamma function of a number from 0; nan below."""
    near = x < _FAR
    product = x * (x + 1.0) * (x + 2.0) * (x + 3.0) * (x + 4.0) * (x + 5.0) * (x + 6.0) * (x + 7.0)
    z = x + _FAR if near else x
    inverse = 1.0 / z
    t = inverse * inverse
    series = stirling_series(t)
    y = (z - 0.5) * log(z) - z + _HALF_LOG_2PI + series * inverse
    y = y - log(product if near else 1.0)
    y = math.inf if x > _MOST else y
    return math.nan if x < 0.0 else y


@inline
def larger(x, y):
    """The larger of two; nan if one is."""
    return x if (x > y) | (x != x) else y


@inline
def smaller(x, y):
    """The smaller of two; nan if one is."""
    return x if (x < y) | (x != x) else y
