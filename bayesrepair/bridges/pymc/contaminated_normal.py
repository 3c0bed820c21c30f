"""The density of standardised measurements of which a few are grossly wrong, and its slopes, in one pass over the rows.

The same as the mixture of `bayesrepair.bridges.pymc.number_errors`, whose gradient PyTensor takes apart into dozens of
sums. Here all parts come from one exponential a row.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numba
import numpy as np
import pytensor.tensor as pt
from pytensor.graph.basic import Apply
from pytensor.graph.op import Op
from pytensor.link.numba.dispatch.basic import numba_njit, register_funcify_default_op_cache_key

from bayesrepair.numerics import simd_math
from bayesrepair.numerics.simd import exp

_VERSION = 1  # of the arithmetic: part of the name under which machine code is kept
_PEAK = 1 / math.sqrt(2 * math.pi)
_log = simd_math.log


@numba.njit(error_model="numpy", fastmath={"contract"})
def _pass(z, rate, share, median, value, by_z, by_rate, by_share, by_median):
    """Log density of each z, and its derivatives."""
    for i in range(z.size):
        x, e = z[i], rate[i]
        half = exp(-0.125 * x * x)
        square = half * half
        narrow, wide = _PEAK * square * square, 0.5 * _PEAK * half  # N(0, 1) and N(0, 2²)
        r = abs(x) / median
        cube = r * r * r
        fall = 1.0 / (1.0 + cube)
        once = 1.5 / median * r * fall * fall
        wrong = once * r
        right = (1.0 - share) * narrow + share * wide
        density = (1.0 - e) * right + e * wrong
        steep = 2.0 - 6.0 * cube * fall  # d log wrong / d log r
        inverse = 1.0 / density
        value[i] = _log(density)
        right_by_z = -x * ((1.0 - share) * narrow + 0.25 * share * wide)
        by_z[i] = inverse * ((1.0 - e) * right_by_z + e * once * steep * math.copysign(1.0, x) / median)
        by_rate[i] = inverse * (wrong - right)
        by_share[i] = inverse * (1.0 - e) * (wide - narrow)
        by_median[i] = -inverse * e * wrong * (1.0 + steep) / median


class ContaminatedNormal(Op):
    """``log((1 − ε)((1 − τ) N(z | 0, 1) + τ N(z | 0, 2²)) + ε q(z))`` of each z, for graphs that numba compiles.

    ``q(z) = 3 / (2 d) r² / (1 + r³)²`` with ``r = |z| / d``. Inputs: z (n,), ε (n,), τ (), d (). The other four outputs
    are the derivatives of the first, (n,) each; nothing differentiates them.
    """

    __props__ = ()

    def make_node(self, *inputs: Any) -> Apply:
        """Of four float64 tensors."""
        tensors = [pt.as_tensor(x) for x in inputs]
        return Apply(self, tensors, [pt.tensor(dtype="float64", shape=tensors[0].type.shape) for _ in range(5)])

    def perform(self, node: Any, inputs: Any, output_storage: Any) -> None:
        """The same pass, where the graph around it is not compiled."""
        z, rate, share, median = inputs
        found = [np.empty(len(z)) for _ in range(5)]
        _pass(np.ascontiguousarray(z), np.ascontiguousarray(rate), float(share), float(median), *found)
        for storage, values in zip(output_storage, found, strict=True):
            storage[0] = values

    def pullback(self, inputs: Any, outputs: Any, output_grads: Any) -> list[Any]:
        """The derivatives are outputs already."""
        weight = output_grads[0]
        by_z, by_rate, by_share, by_median = (weight * slope for slope in outputs[1:])
        return [by_z, by_rate, by_share.sum(), by_median.sum()]


@register_funcify_default_op_cache_key(ContaminatedNormal)
def _compiled(op: ContaminatedNormal, **kwargs: Any) -> tuple[Callable, int]:
    @numba_njit
    def contaminated_normal(z, rate, share, median):
        size = z.size
        value, by_z, by_rate = np.empty(size), np.empty(size), np.empty(size)
        by_share, by_median = np.empty(size), np.empty(size)
        z, rate = np.ascontiguousarray(z), np.ascontiguousarray(rate)
        _pass(z, rate, share.item(), median.item(), value, by_z, by_rate, by_share, by_median)
        return value, by_z, by_rate, by_share, by_median

    return contaminated_normal, _VERSION


def contaminated_normal(z: Any, rate: Any, share: Any, median: Any) -> Any:
    """(n,) log density of z (n,), with ε (n,) or the same for all (), τ () and d ().

    Examples
    --------
    >>> z = pt.as_tensor(np.array([0.0, 8.0]))
    >>> contaminated_normal(z, 0.1, 0.0, 5.0).eval().round(2)
    array([-1.02, -5.82])
    """
    one_each: Any = pt.alloc(pt.as_tensor(rate, dtype="float64"), z.shape[0]) if np.ndim(rate) == 0 else rate
    inputs = [z, one_each, *(pt.as_tensor(x, dtype="float64") for x in (share, median))]
    mixed: Any = ContaminatedNormal()(*inputs)
    return mixed[0]
