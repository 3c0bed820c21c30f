"""The structure of a PyMC model as text that is the same in every process."""

from __future__ import annotations

import hashlib
import re
from typing import Any

import numpy as np
from pytensor.compile.sharedvalue import SharedVariable
from pytensor.graph.basic import Constant, Variable

from bayesrepair.bridges.pymc.graph import RowGraph

_ADDRESS = re.compile(r" at 0x[0-9a-fA-F]+")


def structure(graph: RowGraph) -> str:
    """Prior and likelihood, one operation a line, in the order in which they are reached from the results.

    Parameters, row-aligned arrays and constants are numbered leaves (constants by their values), so that any change of
    a distribution, a prior's constant, a transform or a shape changes the text, and the data of the rows do not. It
    depends on how this version of PyMC and PyTensor writes a density.
    """
    leaves = {v: f"value {v.name}" for v in graph.value_vars}
    leaves |= {v: f"rows {name}" for name, v in graph.inputs.items()} | {graph.position: "position"}
    return _text([graph.log_prior, graph.log_lik], leaves)


def _text(outputs: list[Variable], leaves: dict[Variable, str]) -> str:
    numbers: dict[str, int] = {}  # equal lines are one: whether two equal constants are one object must not matter
    known: dict[Variable, int] = {}
    pending = list(reversed(outputs))
    while pending:  # depth first, without recursion: graphs can be deeper than the stack
        variable = pending[-1]
        node = None if variable in leaves else variable.owner
        unknown = [] if node is None or variable in known else [v for v in node.inputs if v not in known]
        if unknown:
            pending.extend(reversed(unknown))
            continue
        pending.pop()
        if variable in known:
            continue
        if node is None:
            known[variable] = numbers.setdefault(_leaf(variable, leaves), len(numbers))
            continue
        line = f"{_operation(node.op)}({', '.join(str(known[v]) for v in node.inputs)})"
        at = numbers.setdefault(line, len(numbers))
        for k, output in enumerate(node.outputs):
            known[output] = numbers.setdefault(f"{at}.{k} {_type(output)}", len(numbers))
    return "\n".join([*numbers, f"results {', '.join(str(known[v]) for v in outputs)}"])


def _leaf(variable: Variable, leaves: dict[Variable, str]) -> str:
    if variable in leaves:
        return f"{leaves[variable]} {_type(variable)}"
    if isinstance(variable, Constant):
        return f"constant {_type(variable)} {_content(variable.data)}"
    if isinstance(variable, SharedVariable):
        return f"shared {_type(variable)} {_content(variable.get_value(borrow=True))}"
    return f"input {_type(variable)}"


def _content(value: Any) -> str:
    if isinstance(value, (np.ndarray, np.generic, int, float)):
        return hashlib.sha256(np.ascontiguousarray(value).tobytes()).hexdigest()
    return _ADDRESS.sub("", str(value))


def _operation(op: Any) -> str:
    props = {name: getattr(op, name) for name in getattr(op, "__props__", None) or ()}
    inside = ", ".join(f"{name}={_ADDRESS.sub('', str(value))}" for name, value in props.items())
    inner = getattr(op, "fgraph", None)
    body = ""
    if inner is not None and hasattr(inner, "outputs"):  # a graph of its own: Scan, OpFromGraph
        body = "{" + _text(list(inner.outputs), {v: f"argument {k}" for k, v in enumerate(inner.inputs)}) + "}"
    return f"{type(op).__name__}[{inside or _ADDRESS.sub('', str(op))}]{body}"


def _type(variable: Variable) -> str:
    return _ADDRESS.sub("", str(variable.type))
