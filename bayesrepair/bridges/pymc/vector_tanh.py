"""Hyperbolic tangent as arithmetic that a compiler runs on several numbers at once.

PyTensor's numba backend calls the C library for one number at a time. A rational function
below .625 and ``1 − 2/(1 + exp 2x)`` above (Moshier's Cephes) have no branches and no calls.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numba
import numpy as np
import pytensor.tensor as pt
from pytensor.graph.basic import Apply, Variable
from pytensor.graph.op import Op
from pytensor.graph.rewriting.basic import dfs_rewriter, node_rewriter
from pytensor.graph.rewriting.utils import rewrite_graph
from pytensor.link.numba.dispatch.basic import numba_njit, register_funcify_default_op_cache_key
from pytensor.scalar.basic import Tanh
from pytensor.tensor.elemwise import Elemwise

from bayesrepair.numerics.simd import exp_falling

_SMALL = 0.625
_VERSION = 1  # of the arithmetic, that of `exp_falling` included: part of the name under which machine code is kept


@numba.njit(error_model="numpy", fastmath={"contract"}, forceinline=True)
def tanh(x):
    """Hyperbolic tangent of a float64, to a relative error of 5e-16; nan stays nan.

    Inlined by LLVM, not by numba: PyTensor lets the compiler sum in another order, which the rounding inside exp does
    not bear; so compiled, every instruction keeps its own rules.
    """
    size = abs(x)
    z = x * x if size < _SMALL else 0.0
    above = (-9.643991794250523e-01 * z - 9.928772310019185e01) * z - 1.6146876844170845e03
    below = ((z + 1.1281167849163293e02) * z + 2.2354883906010045e03) * z + 4.844063053251255e03
    small = x + x * z * (above / below)
    e = exp_falling(-2.0 * size)
    large = 1.0 - 2.0 * e / (1.0 + e)
    large = -large if x < 0.0 else large
    return small if size < _SMALL else large


@numba.njit(error_model="numpy", fastmath={"contract"})
def _each(x, out):
    for i in range(x.size):
        out[i] = tanh(x[i])


class VectorTanh(Op):
    """``tanh`` of every number of a float64 tensor, for graphs whose gradient is taken already.

    An operation of its own: a compiler sees one plain loop, where PyTensor's loops over several arrays of any layout
    stay scalar.
    """

    __props__ = ()

    def make_node(self, *inputs: Any) -> Apply:
        """Of one tensor."""
        (x,) = map(pt.as_tensor, inputs)
        return Apply(self, [x], [x.type()])

    def perform(self, node: Any, inputs: Any, output_storage: Any) -> None:
        """By NumPy, where nothing is compiled."""
        output_storage[0][0] = np.tanh(inputs[0])


@register_funcify_default_op_cache_key(VectorTanh)
def _compiled(op: VectorTanh, **kwargs: Any) -> tuple[Callable, int]:
    @numba_njit
    def vector_tanh(x):
        flat = np.ascontiguousarray(x).reshape(x.size)
        out = np.empty(x.size)
        _each(flat, out)
        return out.reshape(x.shape)

    return vector_tanh, _VERSION


@node_rewriter([Elemwise])
def _as_vector_tanh(fgraph: Any, node: Any) -> Any:
    if isinstance(node.op.scalar_op, Tanh) and node.inputs[0].type.dtype == "float64":
        return [VectorTanh()(*node.inputs)]
    return None


def with_vector_tanh(outputs: Sequence[Variable]) -> list[Variable]:
    """The same graphs, their ``tanh`` of float64 as `VectorTanh`."""
    rewritten: Any = rewrite_graph(list(outputs), include=(), custom_rewrite=dfs_rewriter(_as_vector_tanh), clone=True)
    return rewritten
