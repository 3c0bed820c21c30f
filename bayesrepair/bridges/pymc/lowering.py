"""Graphs free of the user's model: named dims lowered to tensors, shared variables frozen, generators fresh."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast

import numpy as np
import pytensor
import pytensor.tensor as pt
from pytensor.compile import SharedVariable
from pytensor.compile.builders import SymbolicOp
from pytensor.graph.basic import Variable
from pytensor.graph.replace import clone_replace
from pytensor.graph.rewriting.utils import rewrite_graph
from pytensor.graph.traversal import ancestors, toposort
from pytensor.tensor.random.type import RandomGeneratorType
from pytensor.xtensor import as_xtensor
from pytensor.xtensor.type import XTensorType


def is_named(variable: Variable) -> bool:
    """Whether the variable carries named dims (`pymc.dims`)."""
    return isinstance(variable.type, XTensorType)


def dims_of(variable: Variable) -> tuple[str, ...] | None:
    """Dims that the variable's type carries; None for plain tensors."""
    return variable.type.dims if isinstance(variable.type, XTensorType) else None


def like(tensor: Variable, model_variable: Variable) -> Variable:
    """A tensor in the dress of a model variable: with its named dims where it has any."""
    dims = dims_of(model_variable)
    return tensor if dims is None else as_xtensor(tensor, dims=dims)


def placeholder(model_variable: Variable, name: str | None = None, shape: tuple | None = None) -> Variable:
    """A fresh tensor input of the same dtype and static shape."""
    kind = model_variable.type
    tensor = pt.tensor(dtype=kind.dtype, shape=kind.shape if shape is None else shape)
    tensor.name = name or model_variable.name  # set here: pt.tensor takes a name such as "1|site" for a dtype
    return tensor


def flattened(parameters: Sequence[Variable]) -> tuple[Variable, dict[Variable, Variable]]:
    """One vector (P,) in the place of several parameters: the vector, and each parameter as a part of it."""
    sizes = [int(np.prod(parameter.type.shape)) for parameter in parameters]
    joined: Any = pt.tensor("joined", dtype="float64", shape=(sum(sizes),))
    ends = np.cumsum(sizes)
    return joined, {
        parameter: joined[end - size : end].reshape(parameter.type.shape).astype(parameter.type.dtype)
        for parameter, size, end in zip(parameters, sizes, ends, strict=True)
    }


def substituted(outputs: Sequence[Variable], replacements: Mapping[Variable, Variable]) -> list[Variable]:
    """Clone of the graphs with replacements, then frozen and lowered to plain tensors."""
    clones: list[Any] = rebuilt(outputs, replacements)
    clones = [out.values if is_named(out) else out for out in clones]
    clones = frozen(clones)
    if any(is_named(v) for v in ancestors(clones)):
        clones = cast(list, rewrite_graph(clones, include=("lower_xtensor",), clone=True))
    return clones


def rebuilt(outputs: Sequence[Variable], replacements: Mapping[Variable, Variable]) -> list[Variable]:
    """Clone of the graphs in which every operation sees the shapes of its new inputs.

    Unlike ``clone_replace`` it also rebuilds operations that hold a graph of their own (softmax, logsumexp), which
    otherwise insist on the number of rows that they were first given.
    """
    new: dict[Variable, Variable] = dict(replacements)
    for node in toposort(list(outputs), blockers=list(replacements)):
        inputs = [new.get(v, v) for v in node.inputs]
        if all(a is b for a, b in zip(inputs, node.inputs, strict=True)):
            continue
        if isinstance(node.op, SymbolicOp):
            made = node.op(*inputs, return_list=True)
        else:
            made = node.clone_with_new_inputs(inputs, strict=False).outputs
        for old, fresh in zip(node.outputs, made, strict=True):
            new.setdefault(old, fresh)
    return [new.get(out, out) for out in outputs]


def frozen(outputs: Sequence[Variable]) -> list[Variable]:
    """Clone with each shared variable at its present value, and generators of its own.

    Later calls of ``pm.set_data`` on the user's model, and its random generators, are thereby left alone.
    """
    replacements: dict[Variable, Variable] = {}
    for leaf in shared_leaves(outputs):
        if isinstance(leaf.type, RandomGeneratorType):
            replacements[leaf] = pytensor.shared(np.random.default_rng(0))
        else:
            value = pt.constant(leaf.get_value(), name=leaf.name, dtype=leaf.type.dtype)
            replacements[leaf] = like(value, leaf)
    if not replacements:
        return list(outputs)
    return list(clone_replace(list(outputs), replacements, rebuild_strict=False))


def shared_leaves(outputs: Sequence[Variable]) -> list[SharedVariable]:
    """Shared variables that the graphs depend on."""
    return [v for v in ancestors(list(outputs)) if isinstance(v, SharedVariable)]


def generators(outputs: Sequence[Variable]) -> list[SharedVariable]:
    """Shared random generators that the graphs depend on."""
    return [v for v in shared_leaves(outputs) if isinstance(v.type, RandomGeneratorType)]
