"""Integer arrays that index a parameter, and the smallest and largest entry they may hold.

An index out of range is silent on some backends (nan, a neighbour's value, or the last level), so it is refused
before any compiled function sees it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

import numpy as np
from pytensor.graph.basic import Variable
from pytensor.graph.traversal import ancestors
from pytensor.tensor.elemwise import DimShuffle, Elemwise
from pytensor.tensor.subtensor import AdvancedSubtensor, indices_from_subtensor

from bayesrepair.bridges.pymc.graph import RowInput
from bayesrepair.bridges.pymc.vectorised import NUMPY, Compiled


def with_spans(
    sources: Mapping[str, RowInput],
    inputs: Mapping[str, Variable],
    outputs: Sequence[Variable],
    given: Mapping[Variable, np.ndarray],
) -> dict[str, RowInput]:
    """The sources, with the span of those that index something.

    Parameters
    ----------
    sources : mapping of str to RowInput
    inputs : mapping of str to Variable
    outputs : sequence of Variable
        Graphs to search.
    given : mapping of Variable to array
        Values at which the length of an indexed axis can be computed.
    """
    names = {variable: name for name, variable in inputs.items()}
    spans: dict[str, tuple[int, int]] = {}
    for index, length in _lookups(outputs):
        direct = _direct(index)
        if direct in names:
            name = names[direct]
            low, high = _allowed(sources[name].training, int(evaluated(length, given)))
        else:
            found = [
                names[v] for v in ancestors([index]) if v in names and sources[names[v]].training.dtype.kind in "iu"
            ]
            if len(found) != 1:
                continue
            name = found[0]
            low, high = int(sources[name].training.min()), int(sources[name].training.max())
        old = spans.get(name, (low, high))
        spans[name] = max(low, old[0]), min(high, old[1])
    return {name: replace(source, span=spans.get(name)) for name, source in sources.items()}


def evaluated(variable: Variable, given: Mapping[Variable, np.ndarray]) -> np.ndarray:
    """Value of a graph at given inputs."""
    function = Compiled(list(given), variable, mode=NUMPY)
    return np.asarray(function(*given.values()))


def _lookups(outputs: Sequence[Variable]) -> Iterator[tuple[Variable, Variable]]:
    """Index arrays, and the length of the axis that each of them indexes."""
    seen = set()
    for variable in ancestors(list(outputs)):
        node = variable.owner
        if node is None or node in seen or not isinstance(node.op, AdvancedSubtensor):
            continue
        seen.add(node)
        array, *flat = node.inputs
        for axis, index in enumerate(indices_from_subtensor(flat, node.op.idx_list)):
            if isinstance(index, Variable) and index.type.ndim and index.type.dtype.startswith(("int", "uint")):
                yield index, array.shape[axis]


def _direct(index: Variable) -> Variable:
    """The variable behind casts and added axes."""
    while index.owner is not None:
        op = index.owner.op
        cast = isinstance(op, Elemwise) and op.scalar_op.__class__.__name__ in ("Cast", "Identity")
        if not (cast or isinstance(op, DimShuffle)):
            break
        index = index.owner.inputs[0]
    return index


def _allowed(training: np.ndarray, length: int) -> tuple[int, int]:
    lowest = 0 if training.min() >= 0 else -length
    return lowest, length - 1
