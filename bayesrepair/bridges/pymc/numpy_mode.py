"""Running a graph without compiling it: NumPy over whole blocks, exact in the tails."""

from __future__ import annotations

from typing import Any

import pytensor.scalar as ps
import pytensor.tensor as pt
from pytensor.compile.mode import Mode
from pytensor.graph.rewriting.basic import dfs_rewriter, node_rewriter
from pytensor.graph.rewriting.db import RewriteDatabaseQuery
from pytensor.tensor.elemwise import Elemwise

from bayesrepair.bridges.pymc.numpy_linker import LoopLinker, NumpyLinker

_MOST_OPERANDS = 32  # of a NumPy ufunc, the result among them; second derivatives have longer sums
_LATE = 48.5  # after every rewrite that would fold the pieces together; PyTensor flattens sums at 48


@node_rewriter([Elemwise])
def _in_numpy(fgraph: Any, node: Any) -> Any:
    """What NumPy has no function for: softplus and log(1 − eˣ), which PyTensor would loop over in Python; long sums."""
    kind = type(node.op.scalar_op)
    if kind is ps.Softplus:
        [x] = node.inputs
        return [(pt.maximum(x, 0) + pt.log1p(pt.exp(-pt.abs(x)))).astype(node.outputs[0].dtype)]
    if kind is ps.Log1mexp:
        [x] = node.inputs
        near_zero = pt.log(-pt.expm1(pt.maximum(x, -1)))
        return [pt.switch(x > -0.6931471805599453, near_zero, pt.log1p(-pt.exp(x))).astype(node.outputs[0].dtype)]
    if kind in (ps.Add, ps.Mul) and len(node.inputs) >= _MOST_OPERANDS:
        return [_in_parts(node.op, node.inputs)]
    return None


def _in_parts(op: Any, terms: Any) -> Any:
    """A sum or product of any length, of pieces that a ufunc takes."""
    if len(terms) < _MOST_OPERANDS:
        return op(*terms)
    half = len(terms) // 2
    return op(_in_parts(op, terms[:half]), _in_parts(op, terms[half:]))


NUMPY_MODE = Mode(
    NumpyLinker(),
    # every rewrite that keeps log densities exact (FAST_COMPILE gives log(sigmoid(-800)) = -inf), without the fusion
    # of elementwise operations, which would loop in Python
    RewriteDatabaseQuery(include=["fast_run", "py_only"], exclude=["fusion"]),
).register((dfs_rewriter(_in_numpy), _LATE))

LOOP_MODE = Mode(
    # nothing in place: a loop may read late what another node would have written over
    LoopLinker(),
    RewriteDatabaseQuery(include=["fast_run", "py_only"], exclude=["fusion", "inplace"]),
).register((dfs_rewriter(_in_numpy), _LATE))
