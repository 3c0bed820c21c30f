"""A PyTensor graph as one Python function of NumPy calls.

PyTensor's own way to run a graph without compiling it looks up, checks and stores what every node takes and gives,
copies what it sums, and computes twice what it computes in place. Here each node becomes one line of a function: a
ufunc that writes where the graph says that it may, a sum that copies nothing; and a value is dropped after its last
use, so that the next one finds its memory still in the cache. A node without such a line is performed by its own
Python code. A graph with a node that cannot be (a branch, a loop) is left to PyTensor as a whole.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
import pytensor.scalar as ps
from pytensor.compile.inner_function import HasInnerFunction
from pytensor.graph.basic import Constant
from pytensor.graph.op import Op
from pytensor.link.basic import JITLinker
from pytensor.link.c.op import COp
from pytensor.link.vm import VMLinker
from pytensor.tensor.elemwise import CAReduce, DimShuffle, Elemwise
from pytensor.tensor.subtensor import Subtensor, unflatten_index_variables

from bayesrepair.bridges.pymc.cell_loops import CellLoop, cell_loops

_SHORT = 32  # numbers along the last axis, up to which they are reduced one after the other

Step = Callable[..., Any]
"""What a node does: its inputs in order to its output, or a tuple of its outputs."""


class NumpyLinker(JITLinker):
    """Makes one Python function of a graph."""

    incompatible_rewrites: tuple[str, ...] = ("cxx_only", "BlasOpt")

    def make_all(
        self, input_storage: Any = None, output_storage: Any = None, storage_map: Any = None
    ) -> tuple[Any, ...]:
        """As PyTensor asks for it."""
        assert self.fgraph is not None  # a linker has accepted one before it links
        if all(_is_plain(node.op) for node in self.fgraph.apply_nodes):
            return super().make_all(input_storage, output_storage, storage_map)
        whole = VMLinker(allow_gc=self.allow_gc, use_cloop=False, c_thunks=False)
        return whole.accept(self.fgraph).make_all(
            input_storage=input_storage, output_storage=output_storage, storage_map=storage_map
        )

    def fgraph_convert(
        self, fgraph: Any, order: Any, input_storage: Any, output_storage: Any, storage_map: Any, **others: Any
    ) -> Step:
        """The function: values of the inputs to a tuple of those of the outputs."""
        return as_function(fgraph, order)

    def jit_compile(self, fn: Step) -> Step:
        """Nothing is compiled."""
        return fn

    def create_thunk_inputs(self, storage_map: dict) -> list:
        """The storage of the inputs, as it is."""
        assert self.fgraph is not None
        return [storage_map[variable] for variable in self.fgraph.inputs]


class LoopLinker(NumpyLinker):
    """Makes one Python function of a graph, with compiled loops for what is elementwise over draws and rows."""

    incompatible_rewrites = (*NumpyLinker.incompatible_rewrites, "inplace")

    def fgraph_convert(
        self, fgraph: Any, order: Any, input_storage: Any, output_storage: Any, storage_map: Any, **others: Any
    ) -> Step:
        """The function: values of the inputs to a tuple of those of the outputs."""
        return as_function(fgraph, order, cell_loops(fgraph, order))


def as_function(fgraph: Any, order: Sequence[Any], loops: Sequence[CellLoop] = ()) -> Step:
    """A graph as a function: values of its inputs to a tuple of those of its outputs.

    A loop stands where its last node stood; nothing may be written in place then.
    """
    variables = dict.fromkeys([*fgraph.inputs, *fgraph.variables])  # an input that is not used is no variable
    names = {variable: f"v{k}" for k, variable in enumerate(variables)}
    known: dict[str, Any] = {names[v]: v.data for v in variables if isinstance(v, Constant) and v not in fgraph.inputs}
    by_last = {loop.nodes[-1]: loop for loop in loops}
    within = {node for loop in loops for node in loop.nodes[:-1]}
    steps = [by_last.get(node, node) for node in order if node not in within]
    last = {v: node for node in steps for v in node.inputs if v.owner is not None}
    kept = set(fgraph.outputs)
    lines = []
    for k, node in enumerate(steps):
        known[f"f{k}"], inputs = step(node)
        given = ", ".join(names[node.inputs[i]] for i in inputs)
        lines.append(f"{', '.join(names[v] for v in node.outputs)} = f{k}({given})")
        dead = [names[v] for v in dict.fromkeys(node.inputs) if last.get(v) is node and v not in kept]
        lines += [f"del {', '.join(dead)}"] if dead else []
    taken = ", ".join(names[v] for v in fgraph.inputs)
    returned = "".join(f"{names[v]}, " for v in fgraph.outputs)
    body = "\n    ".join([*lines, f"return ({returned})"])
    exec(compile(f"def run({taken}):\n    {body}\n", "<graph>", "exec"), known)  # names alone, made here
    return known["run"]


def step(node: Any) -> tuple[Step, Sequence[int]]:
    """What a node does, and which of its inputs that takes."""
    every = range(len(node.inputs))
    if isinstance(node, CellLoop):
        return node.function(), every
    op = node.op
    if isinstance(op, Elemwise) and (made := _elementwise(node)) is not None:
        return made, every
    if isinstance(op, CAReduce):
        return _reduction(node), every
    if isinstance(op, DimShuffle) and op.is_expand_dims:
        return partial(_indexed, index=_new_axes(op)), every
    if isinstance(op, Subtensor) and all(isinstance(v, Constant) for v in node.inputs[1:]):
        index = unflatten_index_variables([int(v.data) for v in node.inputs[1:]], op.idx_list)
        return partial(_indexed, index=index), [0]
    if isinstance(op, HasInnerFunction):
        return _inner(op), every
    return _performed(node), every


def _is_plain(op: Op) -> bool:
    if isinstance(op, HasInnerFunction):
        return type(op).make_thunk is HasInnerFunction.make_thunk and all(
            _is_plain(n.op) for n in op.fgraph.apply_nodes
        )
    return type(op).make_thunk in (Op.make_thunk, COp.make_thunk)


def _inner(op: Any) -> Step:
    """A graph that the graph holds as one node."""
    inner = op.fgraph.unfreeze()
    function = as_function(inner, inner.toposort())
    return function if len(inner.outputs) > 1 else lambda *values: function(*values)[0]


def _elementwise(node: Any) -> Step | None:
    """A ufunc that writes into what the graph gives it to destroy; None where NumPy and SciPy have no such ufunc."""
    scalar, output = node.op.scalar_op, node.outputs[0]
    if isinstance(scalar, ps.Cast):
        return partial(_cast, dtype=output.dtype) if output.ndim else None
    if isinstance(scalar, ps.Sigmoid) and output.dtype == node.inputs[0].dtype == "float64" and output.ndim:
        return _sigmoid
    spec = getattr(scalar, "nfunc_spec", None)
    if spec is None or len(node.outputs) > 1 or not output.ndim:
        return None
    module, _, name = spec[0].rpartition(".")
    function = getattr(importlib.import_module(module or "numpy"), name)
    if output.dtype != "bool" and (output.dtype != "float64" or all(v.dtype != "float64" for v in node.inputs)):
        return None  # NumPy may choose another type than the graph
    into = node.op.inplace_pattern.get(0)
    into = into if isinstance(function, np.ufunc) else None
    if isinstance(scalar, ps.Add | ps.Mul) and len(node.inputs) > 2:
        return partial(_folded, function, into, output.dtype)
    if spec[1] != len(node.inputs):
        return None
    return function if into is None else partial(_in_place, function, into)


def _cast(x: np.ndarray, *, dtype: str) -> np.ndarray:
    return x.astype(dtype)  # a copy even of the same type: the graph may destroy it


def _sigmoid(x: np.ndarray) -> np.ndarray:
    """Exact in both tails, in a quarter of the time SciPy takes."""
    small = np.abs(x)
    np.exp(np.negative(small, out=small), out=small)
    share = np.where(x > 0, 1.0, small)
    return np.divide(share, np.add(small, 1.0, out=small), out=share)


def _in_place(function: Any, into: int, *values: np.ndarray) -> np.ndarray:
    return function(*values, out=values[into])


def _folded(function: Any, into: int | None, dtype: str, *values: np.ndarray) -> np.ndarray:
    """A sum or product of many: the destroyed operand first, later ones into the first result that is full size.

    The first two may be whole numbers or flags where a later one is not: they too are taken in the type of the result.
    """
    if into is not None:
        out = values[into]
        for k, value in enumerate(values):
            if k != into:
                function(out, value, out=out)
        return out
    result = function(values[0], values[1], dtype=dtype)
    shape = np.broadcast_shapes(*(v.shape for v in values))
    for value in values[2:]:
        result = function(result, value, out=result if result.shape == shape else None)
    return result


def _reduction(node: Any) -> Step:
    op, dtype = node.op, node.outputs[0].type.dtype
    within = op.acc_dtype or dtype
    ufunc, axes = op.ufunc, op.axis
    last = axes is not None and tuple(axes) == (node.inputs[0].ndim - 1,) and node.inputs[0].ndim > 1

    def reduced(x: np.ndarray) -> np.ndarray:
        if last and 1 < x.shape[-1] <= _SHORT and x.dtype == within == dtype:
            # over few classes NumPy's own loop is all overhead
            total = ufunc(x[..., 0], x[..., 1])
            for k in range(2, x.shape[-1]):
                ufunc(total, x[..., k], out=total)
            return total
        return np.asarray(ufunc.reduce(x, axis=axes, dtype=within), dtype=dtype)

    return reduced


def _new_axes(op: DimShuffle) -> tuple[Any, ...]:
    return tuple(None if axis == "x" else slice(None) for axis in op.new_order)


def _indexed(x: np.ndarray, *, index: tuple[Any, ...]) -> np.ndarray:
    return np.asarray(x[index])


def _performed(node: Any) -> Step:
    """The node's own Python code."""
    op, count = node.op, len(node.outputs)
    op.prepare_node(node, storage_map=None, compute_map=None, impl="py")
    perform = op.perform

    def performed(*values: Any) -> Any:
        storage: list[list[Any]] = [[None] for _ in range(count)]
        perform(node, list(values), storage)
        return storage[0][0] if count == 1 else tuple(cell[0] for cell in storage)

    return performed
