"""Running a graph without compiling it: NumPy over whole blocks, exact in the tails."""

from __future__ import annotations

from typing import Any

import pytensor.scalar as ps
import pytensor.tensor as pt
from pytensor.compile.mode import Mode
from pytensor.graph.rewriting.basic import dfs_rewriter, node_rewriter
from pytensor.graph.rewriting.db import RewriteDatabaseQuery
from pytensor.link.vm import VMLinker
from pytensor.tensor.elemwise import Elemwise

_AFTER_SPECIALISATION = 48.0  # later than every rewrite that would fold the pieces together again


@node_rewriter([Elemwise])
def _in_numpy(fgraph: Any, node: Any) -> Any:
    """Softplus and log(1 − eˣ) from NumPy's own functions; PyTensor would loop over their elements in Python."""
    kind = type(node.op.scalar_op)
    if kind is ps.Softplus:
        [x] = node.inputs
        return [(pt.maximum(x, 0) + pt.log1p(pt.exp(-pt.abs(x)))).astype(node.outputs[0].dtype)]
    if kind is ps.Log1mexp:
        [x] = node.inputs
        near_zero = pt.log(-pt.expm1(pt.maximum(x, -1)))
        return [pt.switch(x > -0.6931471805599453, near_zero, pt.log1p(-pt.exp(x))).astype(node.outputs[0].dtype)]
    return None


NUMPY_MODE = Mode(
    VMLinker(use_cloop=False, c_thunks=False),
    # every rewrite that keeps log densities exact (FAST_COMPILE gives log(sigmoid(-800)) = -inf), without the fusion
    # of elementwise operations, which would loop in Python
    RewriteDatabaseQuery(include=["fast_run", "py_only"], exclude=["fusion"]),
).register((dfs_rewriter(_in_numpy), _AFTER_SPECIALISATION))
