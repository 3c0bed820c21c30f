"""The elementwise part of a graph over draws and rows as one compiled loop over cells, one cell a draw and row.

What has draws on its first axis, rows on its second, and at most a few numbers a cell on a third, is computed for one
cell after another, in registers; sums over the third axis are written out. So no temporary array is ever made, and
`simd_math` computes several cells at once. All else (products of matrices, what belongs to a draw or a row alone)
stays a line of NumPy and is an input of the loop.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numba
import numpy as np
import pytensor.scalar as ps
from pytensor.graph.basic import Constant, Variable
from pytensor.tensor.elemwise import CAReduce, DimShuffle, Elemwise
from pytensor.tensor.special import LogSoftmax, Softmax
from pytensor.tensor.subtensor import AdvancedSubtensor

from bayesrepair.numerics import simd, simd_math

MOST_IN_A_CELL = 16
_FEWEST_NODES = 2

_EXPRESSIONS: dict[type, str] = {
    ps.Sub: "{0} - {1}",
    ps.TrueDiv: "{0} / {1}",
    ps.Neg: "-{0}",
    ps.Abs: "abs({0})",
    ps.Sqr: "{0} * {0}",
    ps.Sqrt: "math.sqrt({0})",
    ps.Reciprocal: "1.0 / {0}",
    ps.Exp: "exp({0})",
    ps.Expm1: "expm1({0})",
    ps.Log: "log({0})",
    ps.Log1p: "log1p({0})",
    ps.Log1mexp: "log1mexp({0})",
    ps.Softplus: "softplus({0})",
    ps.Sigmoid: "sigmoid({0})",
    ps.GammaLn: "gammaln({0})",
    ps.Switch: "({1} if {0} else {2})",
    ps.LT: "{0} < {1}",
    ps.GT: "{0} > {1}",
    ps.LE: "{0} <= {1}",
    ps.GE: "{0} >= {1}",
    ps.EQ: "{0} == {1}",
    ps.NEQ: "{0} != {1}",
    ps.IsNan: "{0} != {0}",
    ps.IsInf: "abs({0}) == math.inf",
    ps.ScalarMaximum: "larger({0}, {1})",
    ps.ScalarMinimum: "smaller({0}, {1})",
    ps.AND: "{0} & {1}",
    ps.OR: "{0} | {1}",
    ps.Invert: "not {0}",
    ps.Identity: "{0}",
}
_FOLDED: dict[type, str] = {ps.Add: " + ", ps.Mul: " * ", ps.AND: " & ", ps.OR: " | "}
_OF_FLAGS = (ps.AND, ps.OR, ps.Invert)
_FUNCTIONS = ("expm1", "log", "log1p", "log1mexp", "softplus", "sigmoid", "gammaln", "larger", "smaller")
_KNOWN = {"math": math, "exp": simd.exp, **{name: getattr(simd_math, name) for name in _FUNCTIONS}}


@dataclass(frozen=True, eq=False)
class CellLoop:
    """Nodes of a graph that are computed cell by cell.

    Parameters
    ----------
    nodes : tuple of Apply
        In an order in which they can be computed; the last one's output leaves the loop.
    inputs : tuple of Variable
        What they need of the rest of the graph.
    roles : tuple of str
        How the loop reads each input: ``cell``, ``draw`` or ``row`` (what it has one of), ``numbers`` (the same for
        all), ``number`` (without axes), ``table`` and ``index`` (what a row looks up among the numbers of a draw).
    """

    nodes: tuple[Any, ...]
    inputs: tuple[Variable, ...]
    roles: tuple[str, ...]

    @property
    def output(self) -> Variable:
        """(S, n), or (S, n, K) with a static K."""
        return self.nodes[-1].outputs[0]

    @property
    def outputs(self) -> list[Variable]:
        """As a node has them."""
        return [self.output]

    def function(self) -> Callable[..., np.ndarray]:
        """Values of the inputs to that of the output."""
        return _Runner(self)


def cell_loops(fgraph: Any, order: Sequence[Any]) -> list[CellLoop]:
    """Loops of at least two nodes, every node in one of them at most.

    A loop grows from the node whose output leaves it towards the inputs, by nodes whose output nothing outside needs.
    """
    owner: dict[Any, int] = {}
    members: list[list[Any]] = []
    outputs = set(fgraph.outputs)
    for node in reversed(order):
        if not _suits(node):
            continue
        [variable] = node.outputs
        users = {owner.get(client) for client, _ in fgraph.clients[variable]}
        if variable not in outputs and len(users) == 1 and (only := next(iter(users))) is not None:
            owner[node] = only
            members[only].append(node)
        elif variable.type.dtype == "float64":
            owner[node] = len(members)
            members.append([node])
    return [_loop(nodes[::-1]) for nodes in members if len(nodes) >= _FEWEST_NODES]


def _loop(nodes: Sequence[Any]) -> CellLoop:
    own = {v for node in nodes for v in node.outputs}
    found: dict[tuple[Variable, str], None] = {}
    for node in nodes:
        looked_up = ("table", "index") if isinstance(node.op, AdvancedSubtensor) else ()
        for k, v in enumerate(node.inputs):
            if looked_up or not (v in own or _inline(v)):
                found[v, looked_up[k] if looked_up else _role(v)] = None
    return CellLoop(tuple(nodes), tuple(v for v, _ in found), tuple(role for _, role in found))


def _inline(variable: Variable) -> bool:
    return isinstance(variable, Constant) and np.size(variable.data) == 1


def _is_full(variable: Any) -> bool:
    """One number, or a static few, for each draw and row."""
    kind = variable.type
    if kind.ndim not in (2, 3) or kind.dtype not in ("float64", "bool") or 1 in kind.shape[:2]:
        return False
    return kind.ndim == 2 or (kind.shape[2] is not None and kind.shape[2] <= MOST_IN_A_CELL)


def _suits(node: Any) -> bool:
    op = node.op
    if len(node.outputs) != 1 or not node.inputs or not _is_full(node.outputs[0]):
        return False
    if isinstance(op, Elemwise):
        kind = type(op.scalar_op)
        if kind in _OF_FLAGS and any(v.type.dtype != "bool" for v in node.inputs):
            return False
        known = kind in _EXPRESSIONS or kind in _FOLDED or (kind is ps.Cast and node.outputs[0].type.dtype == "float64")
        return known and all(_readable(v) for v in node.inputs)
    x: Any = node.inputs[0]
    if isinstance(op, CAReduce):
        known = type(op.scalar_op) in _FOLDED or type(op.scalar_op) in (ps.ScalarMaximum, ps.ScalarMinimum)
        return bool(known and _within_cells(node) and x.type.dtype == node.outputs[0].type.dtype)
    if isinstance(op, Softmax | LogSoftmax):
        return _within_cells(node)
    if isinstance(op, AdvancedSubtensor):
        return _looks_up(node)
    if isinstance(op, DimShuffle):
        return op.new_order in ((0, 1, "x"), (0, 1)) and _is_full(x)
    return False


def _looks_up(node: Any) -> bool:
    """Whether each row looks up one of the numbers of a draw."""
    types = [v.type for v in node.inputs]
    along_rows = node.op.idx_list == (slice(None), 0) and len(types) == 2 and types[0].dtype == "float64"
    return bool(along_rows and types[0].ndim == 2 and types[1].ndim == 1 and types[1].dtype.startswith("int"))


def _within_cells(node: Any) -> bool:
    """Whether an operation along an axis goes along the third."""
    [x] = node.inputs
    return bool(_is_full(x) and x.type.ndim == 3 and node.op.axis in (2, -1, (2,), (-1,)))


def _readable(variable: Any) -> bool:
    kind = variable.type
    if kind.dtype not in ("float64", "float32", "bool", "int8", "int16", "int32", "int64", "uint8"):
        return False
    return kind.ndim in (0, 2) or (kind.ndim == 3 and kind.shape[2] is not None and kind.shape[2] <= MOST_IN_A_CELL)


class _Runner:
    """A compiled loop with draws outside and one with rows outside: which one, the layout of the inputs says."""

    def __init__(self, loop: CellLoop) -> None:
        self._loop = loop
        self._width = loop.output.type.shape[2] if loop.output.type.ndim == 3 else 0
        self._has_gamma = any(isinstance(getattr(n.op, "scalar_op", None), ps.GammaLn) for n in loop.nodes)
        at = {(v, role): k for k, (v, role) in enumerate(zip(loop.inputs, loop.roles, strict=True))}
        lookups = [n.inputs for n in loop.nodes if isinstance(n.op, AdvancedSubtensor)]
        self._looked_up = [(at[table, "table"], at[index, "index"]) for table, index in lookups]
        self._made: dict[tuple[bool, bool], Any] = {}

    def __call__(self, *values: np.ndarray) -> np.ndarray:
        roles = self._loop.roles
        shape = _shape(values, roles)
        for table, index in self._looked_up:
            _refuse_beyond(values[table], values[index])
        full = [v for v, role in zip(values, roles, strict=True) if role == "cell"]
        turned = any(abs(v.strides[0]) < abs(v.strides[1]) for v in full if min(v.shape[:2]) > 1)
        given = [_laid_out(v, role, turned) for v, role in zip(values, roles, strict=True)]
        first = (self._width,) if self._width else ()
        out = np.empty((*first, *(shape[::-1] if turned else shape)))
        self._compiled(turned)(out, *given)
        if self._has_gamma and np.isnan(out).any():  # of a negative number, perhaps, which takes a slower function
            self._compiled(turned, any_gamma=True)(out, *given)
        out = out.swapaxes(-1, -2) if turned else out
        return np.moveaxis(out, 0, 2) if self._width else out

    def _compiled(self, turned: bool, *, any_gamma: bool = False) -> Any:
        if (turned, any_gamma) not in self._made:
            known = {**_KNOWN, "gammaln": math.lgamma} if any_gamma else dict(_KNOWN)
            text = _source(self._loop, turned)
            exec(compile(text, "<cells>", "exec"), known)  # names and numbers alone, made here
            options: dict[str, Any] = {"nogil": True, "error_model": "numpy", "fastmath": {"contract"}}
            self._made[turned, any_gamma] = numba.njit(**options)(known["cells"])
        return self._made[turned, any_gamma]


def _shape(values: Sequence[np.ndarray], roles: Sequence[str]) -> tuple[int, int]:
    """Draws and rows, and an error where an input has others: a compiled loop does not look where an array ends."""
    given = list(zip(values, roles, strict=True))
    draws = max(v.shape[0] for v, role in given if role not in ("number", "index"))
    rows = max(v.shape[0] if role == "index" else v.shape[1] for v, role in given if role not in ("number", "table"))
    wanted = {"cell": (draws, rows), "draw": (draws, 1), "row": (1, rows), "numbers": (1, 1), "index": (rows,)}
    for value, role in given:
        misfit = value.shape[0] != draws if role == "table" else role in wanted and value.shape[:2] != wanted[role]
        if misfit:
            raise ValueError(f"operands could not be broadcast together: {draws} draws, {rows} rows and {value.shape}")
    return draws, rows


def _refuse_beyond(table: np.ndarray, index: np.ndarray) -> None:
    size = table.shape[1]
    if len(index) and not -size <= index.min() <= index.max() < size:
        raise IndexError(f"indices from {index.min()} to {index.max()} into {size} numbers")


def _role(variable: Any) -> str:
    if variable.type.ndim == 0:
        return "number"
    by_draw, by_row = (length != 1 for length in variable.type.shape[:2])
    return "cell" if by_draw and by_row else "draw" if by_draw else "row" if by_row else "numbers"


def _laid_out(value: np.ndarray, role: str, turned: bool) -> Any:
    """Neighbours in memory are neighbours in the inner loop; the third axis comes first."""
    if role == "number":
        return np.asarray(value).item()
    if role == "index":
        return np.ascontiguousarray(value, dtype=np.int64)
    if value.ndim == 3:
        value = np.moveaxis(value, 2, 0)
    if role in ("cell", "table"):
        return np.ascontiguousarray(value.swapaxes(-1, -2) if turned else value)
    return np.ascontiguousarray(value[..., 0] if role == "draw" else value[..., 0, :])


def _source(loop: CellLoop, turned: bool) -> str:
    """Text of the loop: ``cells(out, x0, x1, …)``."""
    outer, inner = ("j", "i") if turned else ("i", "j")
    where = {"draw": "i", "row": "j", "cell": f"{outer}, {inner}", "numbers": "0"}
    names: dict[tuple[Variable, int], str] = {}
    looked_up: dict[tuple[Variable, str], str] = {}
    before: list[str] = []
    within: list[str] = []
    for k, (variable, role) in enumerate(zip(loop.inputs, loop.roles, strict=True)):
        if role in ("table", "index"):
            looked_up[variable, role] = f"x{k}"
            continue
        for c in range(_count(variable)):
            name = names[variable, c] = f"a{k}_{c}"
            index = (f"{c}, " if variable.type.ndim == 3 else "") + where.get(role, "")
            text = f"x{k}[{index}]" if role != "number" else f"x{k}"
            text = text if variable.type.dtype == "bool" else f"float({text})"
            (within if role in ("cell", {"i": "draw", "j": "row"}[inner]) else before).append(f"{name} = {text}")
    for n, node in enumerate(loop.nodes):
        if isinstance(node.op, Softmax | LogSoftmax):
            within += _softmax_parts(f"v{n}", [names[node.inputs[0], c] for c in range(_count(node.outputs[0]))])
        if isinstance(node.op, AdvancedSubtensor):
            table, index = (looked_up[v, role] for v, role in zip(node.inputs, ("table", "index"), strict=True))
            within.append(f"v{n}_0 = {table}[{f'{index}[j], i' if turned else f'i, {index}[j]'}]")
            names[node.outputs[0], 0] = f"v{n}_0"
            continue
        for c, text in enumerate(_texts(node, names, f"v{n}")):
            name = names[node.outputs[0], c] = f"v{n}_{c}"
            within.append(f"{name} = {text}")
    cells = [names[loop.output, c] for c in range(_count(loop.output))]
    within += [
        f"out[{f'{c}, ' if loop.output.type.ndim == 3 else ''}{outer}, {inner}] = {v}" for c, v in enumerate(cells)
    ]
    lines = [
        f"def cells(out, {', '.join(f'x{k}' for k in range(len(loop.inputs)))}):",
        f"    for {outer} in range(out.shape[-2]):",
    ]
    lines += [f"        {line}" for line in before]
    lines += [f"        for {inner} in range(out.shape[-1]):"]
    lines += [f"            {line}" for line in within]
    return "\n".join(lines) + "\n"


def _count(variable: Any) -> int:
    return variable.type.shape[2] if variable.type.ndim == 3 else 1


def _softmax_parts(name: str, given: list[str]) -> list[str]:
    """Lines that make the largest, what the others are below it, their exponentials, and the sum of these."""
    lines = [f"{name}_top = {_reduced(ps.ScalarMaximum, given)}"]
    lines += [f"{name}_below{c} = {x} - {name}_top" for c, x in enumerate(given)]
    lines += [f"{name}_exp{c} = exp({name}_below{c})" for c in range(len(given))]
    return [*lines, f"{name}_sum = {' + '.join(f'{name}_exp{c}' for c in range(len(given)))}"]


def _texts(node: Any, names: dict[tuple[Variable, int], str], name: str) -> list[str]:
    """What each number of a cell is made of."""
    op, width = node.op, _count(node.outputs[0])

    def operand(variable: Any, c: int) -> str:
        if _inline(variable):
            return _literal(variable)
        return names[variable, c if _count(variable) > 1 else 0]

    if isinstance(op, Softmax):
        return [f"{name}_exp{c} / {name}_sum" for c in range(width)]
    if isinstance(op, LogSoftmax):
        return [f"{name}_below{c} - log({name}_sum)" for c in range(width)]
    if isinstance(op, CAReduce):
        [x] = node.inputs
        return [_reduced(type(op.scalar_op), [names[x, c] for c in range(_count(x))])]
    if isinstance(op, DimShuffle):
        return [names[node.inputs[0], 0]]
    kind = type(op.scalar_op)
    return [_expression(kind, [operand(v, c) for v in node.inputs], node) for c in range(width)]


def _expression(kind: type, given: list[str], node: Any) -> str:
    flags = [v.type.dtype == "bool" for v in node.inputs]
    if kind is ps.Switch:
        given = [given[0] if flags[0] else f"({given[0]} != 0.0)", *given[1:]]
        flags = [False, *flags[1:]]
    if node.outputs[0].type.dtype == "float64":
        given = [f"(1.0 if {text} else 0.0)" if flag else text for text, flag in zip(given, flags, strict=True)]
    return _FOLDED[kind].join(given) if kind in _FOLDED else _EXPRESSIONS.get(kind, "{0}").format(*given)


def _reduced(kind: type, given: list[str]) -> str:
    if kind in _FOLDED:
        return _FOLDED[kind].join(given)
    text = given[0]
    for name in given[1:]:
        text = _EXPRESSIONS[kind].format(text, name)
    return text


def _literal(variable: Any) -> str:
    value = variable.data.item()
    if isinstance(value, bool):
        return repr(value)
    value = float(value)
    if np.isnan(value):
        return "math.nan"
    if np.isinf(value):
        return "math.inf" if value > 0 else "(-math.inf)"
    return f"({value!r})"
