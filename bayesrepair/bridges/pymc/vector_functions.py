"""Functions of single numbers that a compiled density runs on several numbers at once.

PyTensor's numba backend calls the C library for one number at a time. The arithmetic of `simd_math` has no branches
and no calls, so that a compiler makes vector instructions of a loop over it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numba
import numpy as np
import pytensor.tensor as pt
from pytensor.graph.basic import Apply, Variable
from pytensor.graph.op import Op
from pytensor.graph.rewriting.basic import dfs_rewriter, node_rewriter
from pytensor.graph.rewriting.utils import rewrite_graph
from pytensor.link.numba.dispatch.basic import numba_njit, register_funcify_default_op_cache_key
from pytensor.scalar import Exp, Log, Sigmoid, Softplus, Tanh
from pytensor.tensor.elemwise import Elemwise

from bayesrepair.numerics import simd_math

_VERSION = 2  # of the arithmetic: part of the name under which machine code is kept


def _each(function: Callable) -> Callable:
    """A plain loop, compiled on its own.

    Numba does not inline it, so that PyTensor's leave to sum in another order, which the rounding inside `exp` does not
    bear, ends at the call.
    """

    @numba.njit(error_model="numpy", fastmath={"contract"})
    def each(x, out):
        for i in range(x.size):
            out[i] = function(x[i])

    return each


_NAMES: Mapping[type, str] = {Exp: "exp", Log: "log", Sigmoid: "sigmoid", Softplus: "softplus", Tanh: "tanh"}
_LOOPS: Mapping[str, Callable] = {name: _each(getattr(simd_math, name)) for name in _NAMES.values()}


class VectorFunction(Op):
    """A function of every number of a float64 tensor, for graphs whose gradient is taken already.

    An operation of its own: a compiler sees one plain loop, where PyTensor's loops over several arrays of any layout
    stay scalar.

    Parameters
    ----------
    name : {"exp", "log", "sigmoid", "softplus", "tanh"}
    """

    __props__ = ("name",)

    def __init__(self, name: str) -> None:
        self.name = name

    def make_node(self, *inputs: Any) -> Apply:
        """Of one tensor."""
        (x,) = map(pt.as_tensor, inputs)
        return Apply(self, [x], [x.type()])

    def perform(self, node: Any, inputs: Any, output_storage: Any) -> None:
        """The same loop, where the graph around it is not compiled."""
        (x,) = inputs
        out = np.empty(x.size)
        _LOOPS[self.name](np.ascontiguousarray(x).reshape(x.size), out)
        output_storage[0][0] = out.reshape(x.shape)


@register_funcify_default_op_cache_key(VectorFunction)
def _compiled(op: VectorFunction, **kwargs: Any) -> tuple[Callable, int]:
    each = _LOOPS[op.name]

    @numba_njit
    def vector_function(x):
        flat = np.ascontiguousarray(x).reshape(x.size)
        out = np.empty(x.size)
        each(flat, out)
        return out.reshape(x.shape)

    return vector_function, _VERSION


@node_rewriter([Elemwise])
def _as_vector_function(fgraph: Any, node: Any) -> Any:
    name = _NAMES.get(type(node.op.scalar_op))
    if name is None or node.inputs[0].type.dtype != "float64" or node.inputs[0].type.ndim == 0:
        return None
    return [VectorFunction(name)(*node.inputs)]


def with_vector_functions(outputs: Sequence[Variable]) -> list[Variable]:
    """The same graphs, with `VectorFunction` for what is in ``_NAMES``, of float64 tensors with axes."""
    rewritten: Any = rewrite_graph(
        list(outputs), include=(), custom_rewrite=dfs_rewriter(_as_vector_function), clone=True
    )
    return rewritten
