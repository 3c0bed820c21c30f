"""Products of a matrix of data and a vector of parameters, as plain loops.

PyTensor's numba backend calls BLAS for them, through wrappers for every layout and size: to compile two of these takes
thirty seconds, most of what a regression takes to compile. The loops here compile in half a second. What is compiled
is vectorised, and either way the speed is that of reading the matrix.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any

import numpy as np
import pytensor.tensor as pt
from pytensor.graph.basic import Apply, Variable
from pytensor.graph.op import Op
from pytensor.graph.rewriting.basic import dfs_rewriter, node_rewriter
from pytensor.graph.rewriting.utils import rewrite_graph
from pytensor.graph.traversal import ancestors
from pytensor.link.numba.dispatch.basic import numba_njit, register_funcify_default_op_cache_key
from pytensor.tensor.blockwise import Blockwise
from pytensor.tensor.math import Dot


class MatrixVector(Op):
    """``x v``, or ``xᵀ v``, of a matrix x (n, k) that is data.

    Parameters
    ----------
    transposed : bool
    """

    __props__ = ("transposed",)

    def __init__(self, *, transposed: bool = False) -> None:
        self.transposed = transposed

    def make_node(self, *inputs: Any) -> Apply:
        """Of a matrix and a vector, both float64."""
        x, v = map(pt.as_tensor, inputs)
        return Apply(self, [x, v], [pt.tensor(dtype="float64", shape=(x.type.shape[int(self.transposed)],))])

    def perform(self, node: Any, inputs: Any, output_storage: Any) -> None:
        """By NumPy, where nothing is compiled."""
        x, v = inputs
        output_storage[0][0] = (x.T if self.transposed else x) @ v

    def pullback(self, inputs: Any, outputs: Any, output_grads: Any) -> list[Any]:
        """Of both arguments: ``g vᵀ`` (transposed ``v gᵀ``) and the other product."""
        (x, v), (g,) = inputs, output_grads
        left, right = (v, g) if self.transposed else (g, v)
        return [pt.outer(left, right), MatrixVector(transposed=not self.transposed)(x, g)]


@register_funcify_default_op_cache_key(MatrixVector)
def _loops(op: MatrixVector, **kwargs: Any) -> Callable:
    if op.transposed:

        @numba_njit
        def product(x, v):
            out = np.zeros(x.shape[1])
            whole = x.shape[0] // 4 * 4
            for i in range(0, whole, 4):  # four rows at once: the result is read and written a quarter as often
                a, b, c, d = v[i], v[i + 1], v[i + 2], v[i + 3]
                for j in range(x.shape[1]):
                    out[j] += x[i, j] * a + x[i + 1, j] * b + x[i + 2, j] * c + x[i + 3, j] * d
            for i in range(whole, x.shape[0]):
                for j in range(x.shape[1]):
                    out[j] += x[i, j] * v[i]
            return out
    else:

        @numba_njit
        def product(x, v):
            out = np.empty(x.shape[0])
            for i in range(x.shape[0]):
                total = 0.0
                for j in range(x.shape[1]):
                    total += x[i, j] * v[j]
                out[i] = total
            return out

    return product


def with_loops(output: Variable, parameters: Collection[Variable]) -> Variable:
    """The same graph, its products of data and a single column of parameters as `MatrixVector`.

    Parameters
    ----------
    output : Variable
    parameters : collection of Variable
        What everything that is no data depends on.

    Returns
    -------
    Variable
    """
    free = set(parameters)

    @node_rewriter([Dot, Blockwise])
    def as_loops(fgraph: Any, node: Any) -> Any:
        if not _is_dot(node):
            return None
        x, b = node.inputs
        if b.type.shape[1] != 1 or {x.type.dtype, b.type.dtype} != {"float64"} or not free.isdisjoint(ancestors([x])):
            return None
        product: Any = MatrixVector()(x, b[:, 0])
        return [product[:, None]]

    rewritten: Any = rewrite_graph(output, include=(), custom_rewrite=dfs_rewriter(as_loops), clone=True)
    return rewritten


def _is_dot(node: Apply) -> bool:
    """Whether it is a product of two matrices; ``@`` makes one for stacks of matrices, which these may be."""
    op = node.op.core_op if isinstance(node.op, Blockwise) else node.op
    return isinstance(op, Dot) and node.outputs[0].type.ndim == 2
