"""Parameter checks that stay with the draw and the row they concern.

PyMC guards a log density by one scalar: are all parameters of all rows valid? Over many draws at once that scalar
would make every draw impossible because one is, and with blocks of rows the answer would depend on the block. Here a
check of rows decides row by row, any other check draw by draw.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

import numpy as np
import pytensor.tensor as pt
from pymc.logprob.utils import CheckParameterValue
from pytensor.graph.basic import Variable
from pytensor.graph.traversal import ancestors, toposort
from pytensor.tensor.basic import MakeVector, ScalarFromTensor
from pytensor.tensor.elemwise import DimShuffle
from pytensor.tensor.math import All

from bayesrepair.bridges.pymc.lowering import rebuilt


def checked_apart(outputs: Sequence[Variable], row_inputs: Collection[Variable]) -> list[Variable]:
    """The graphs with each parameter check turned into −inf for the rows or the draw that fail it.

    Parameters
    ----------
    outputs : sequence of Variable
        Graphs of one draw.
    row_inputs : collection of Variable
        What has a row axis; a condition that depends on any of it is a condition on rows.
    """
    rows = set(row_inputs)
    replacements: dict[Variable, Variable] = {}
    for node in toposort(list(outputs)):
        if not isinstance(node.op, CheckParameterValue) or not node.op.can_be_replaced_by_ninf:
            continue
        density: Any = node.inputs[0]
        for condition in node.inputs[1:]:
            for part in _conjuncts(condition):
                valid = part.all() if not rows & set(ancestors([part])) else _by_row(part, density.type.ndim)
                density = pt.switch(valid, density, -np.inf)
        replacements[node.outputs[0]] = density.astype(node.outputs[0].type.dtype)
    # the innermost check is replaced first, so that a check inside another's density is not lost
    out = list(outputs)
    for old in reversed(list(replacements)):
        out = rebuilt(out, {old: replacements[old]})
    return out


def _by_row(condition: Any, ndim: int) -> Any:
    """A condition with as many axes as the density; on fewer it cannot be told which they are."""
    if condition.type.ndim < ndim:
        return condition.all()
    extra = tuple(range(ndim, condition.type.ndim))
    return condition.all(axis=extra) if extra else condition


def _conjuncts(condition: Any) -> list[Any]:
    """The conditions before they were reduced to one."""
    node = condition.owner
    if node is None:
        return [condition]
    if isinstance(node.op, ScalarFromTensor):
        return _conjuncts(node.inputs[0])
    if isinstance(node.op, MakeVector):
        return [part for item in node.inputs for part in _conjuncts(item)]
    everything = isinstance(node.op, All) and (node.op.axis is None or len(node.op.axis) == node.inputs[0].type.ndim)
    if everything:
        return _conjuncts(node.inputs[0])
    if isinstance(node.op, DimShuffle) and condition.type.ndim == 0:
        return _conjuncts(node.inputs[0])
    return [condition]
