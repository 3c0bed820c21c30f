"""exp and log in single precision, eight or sixteen numbers at once: see `simd`.

The polynomials are those of Cephes (S. L. Moshier, ``expf`` and ``logf``), the logarithm of 1 + u is a series in
``u/(u + 2)``; relative errors are below 3e-7.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from bayesrepair.numerics.simd import inline

F = np.float32
_LOG2_E, _LN2_HIGH, _LN2_LOW = F(1.4426950408889634), F(0.693359375), F(-2.12194440e-4)
_SHIFT = F(12582912.0)  # 1.5 · 2^23
_BELOW, _ABOVE = F(-87.0), F(88.72)
_ZERO, _HALF, _ONE, _TWO, _ROOT_HALF = F(0), F(0.5), F(1), F(2), F(0.70710678118)
_E0, _E1, _E2 = F(1.9875691500e-4), F(1.3981999507e-3), F(8.3334519073e-3)
_E3, _E4, _E5 = F(4.1665795894e-2), F(1.6666665459e-1), F(5.0000001201e-1)
_L0, _L1, _L2 = F(7.0376836292e-2), F(-1.1514610310e-1), F(1.1676998740e-1)
_L3, _L4, _L5 = F(-1.2420140846e-1), F(1.4249322787e-1), F(-1.6668057665e-1)
_L6, _L7, _L8 = F(2.0000714765e-1), F(-2.4999993993e-1), F(3.3333331174e-1)
_S3, _S5, _S7 = F(1 / 3), F(1 / 5), F(1 / 7)
_S9, _S11, _S13 = F(1 / 9), F(1 / 11), F(1 / 13)
_MANTISSA, _HALF_BITS = np.int32(0x007FFFFF), np.int32(0x3F000000)
_BIAS, _WIDTH = np.int32(127), np.int32(23)
_typed: Any = intrinsic


@_typed
def _bits(typing: Any, x: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.bitcast(arguments[0], ir.IntType(32))

    return types.int32(types.float32), generate


@_typed
def _from_bits(typing: Any, bits: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.bitcast(arguments[0], ir.FloatType())

    return types.float32(types.int32), generate


@inline
def exp(x):
    """Exponential function of a float32; 0 below −87, no more than 3.4e38."""
    y = _BELOW if x < _BELOW else x
    y = _ABOVE if y > _ABOVE else y
    k = y * _LOG2_E + _SHIFT
    whole = k - _SHIFT
    r = y - whole * _LN2_HIGH - whole * _LN2_LOW
    p = _E0 * r + _E1
    p = p * r + _E2
    p = p * r + _E3
    p = p * r + _E4
    p = p * r + _E5
    p = p * r * r + r + _ONE
    power = _from_bits(np.int32(np.int32(_bits(k) + _BIAS) << _WIDTH))
    return _ZERO if x < _BELOW else p * power


@inline
def log(x):
    """Natural logarithm of a positive normal float32; nan stays nan."""
    bits = _bits(x)
    m = _from_bits(np.int32((bits & _MANTISSA) | _HALF_BITS))
    e = F(np.int32(bits >> _WIDTH) - np.int32(126))
    small = m < _ROOT_HALF
    e = e - _ONE if small else e
    m = (m + m if small else m) - _ONE
    z = m * m
    p = _L0 * m + _L1
    p = p * m + _L2
    p = p * m + _L3
    p = p * m + _L4
    p = p * m + _L5
    p = p * m + _L6
    p = p * m + _L7
    p = p * m + _L8
    return m + (m * z * p + e * _LN2_LOW - _HALF * z) + e * _LN2_HIGH + _ZERO * x


@inline
def log1p_unit(u):
    """Natural logarithm of 1 + u for a float32 u from 0 to 1."""
    s = u / (u + _TWO)
    t = s * s
    p = _S13 * t + _S11
    p = p * t + _S9
    p = p * t + _S7
    p = p * t + _S5
    p = p * t + _S3
    return _TWO * (s + s * t * p)
