"""Which arrays inside a model have a row axis.

Declared dims decide where there are any; otherwise an axis as long as the data does, and where several readings are
possible (as many columns as rows, a parameter with one entry for each row) they are tried in turn: whether a reading
is right is proved by `verification`, never assumed.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice, product

import numpy as np
from pytensor.compile import SharedVariable
from pytensor.graph.basic import Constant, Variable
from pytensor.graph.traversal import walk
from pytensor.tensor.shape import Shape, Shape_i

from bayesrepair.bridges.pymc.lowering import dims_of
from bayesrepair.bridges.pymc.parts import Observed, Parts, value_of

_MOST_READINGS = 24


@dataclass(frozen=True, eq=False)
class Leaf:
    """An array inside the likelihood that may have a row axis.

    Parameters
    ----------
    variable : Variable
        In the user's graph.
    value : array
    axes : tuple of int
        Possible row axes, the likeliest first; −1 means none.
    """

    variable: Variable
    value: np.ndarray
    axes: tuple[int, ...]

    @property
    def named(self) -> bool:
        """Whether the user named it."""
        return bool(self.variable.name)


@dataclass(frozen=True, eq=False)
class Reading:
    """One way to read the row axes of a model.

    Parameters
    ----------
    axis : dict of Variable to int
        Row axis of each aligned leaf.
    values : dict of Variable to array
        Its training values, row axis first.
    masks : frozenset of Variable
        Leaves that select the observed records where some are missing.
    latents : frozenset of Variable
        Free variables with one entry for each row.
    """

    axis: dict[Variable, int]
    values: dict[Variable, np.ndarray]
    masks: frozenset[Variable]
    latents: frozenset[Variable]


def readings(parts: Parts) -> Iterator[Reading]:
    """Possible readings, the likeliest first, at most 24."""
    masks, leaves = _leaves(parts)
    sure, unsure = _latents(parts)
    ambiguous = bool(unsure) or any(sum(a >= 0 for a in leaf.axes) > 1 for leaf in leaves)
    choices = [leaf.axes if ambiguous else leaf.axes[:1] for leaf in leaves]
    ranked = product(*(range(len(axes)) for axes in choices))
    few = sorted(islice(ranked, 4096), key=sum)
    count = 0
    for extra in ([], unsure) if unsure else ([],):
        for pick in few:
            if count == _MOST_READINGS:
                return
            count += 1
            axis = {leaf.variable: axes[i] for leaf, axes, i in zip(leaves, choices, pick, strict=True)}
            yield _reading(parts, leaves, axis, masks, frozenset([*sure, *extra]))


def _reading(
    parts: Parts,
    leaves: list[Leaf],
    axis: dict[Variable, int],
    masks: frozenset[Variable],
    latents: frozenset[Variable],
) -> Reading:
    present = parts.observed[0].present
    aligned = {leaf.variable: axis[leaf.variable] for leaf in leaves if axis[leaf.variable] >= 0}
    values = {}
    for leaf in leaves:
        if leaf.variable in aligned:
            rows_first = np.moveaxis(leaf.value, aligned[leaf.variable], 0)
            values[leaf.variable] = rows_first if present is None else rows_first[present]
    return Reading(aligned, values, masks, latents)


def likelihood_ancestors(parts: Parts, observed: Observed, *, contents: bool = False) -> set[Variable]:
    """Variables that an observed variable's distribution depends on, down to the free variables.

    With ``contents``, what only lends its shape is left out.
    """
    stop = {*parts.free, *(o.rv for o in parts.observed if o is not observed)}

    def expand(variable: Variable) -> list[Variable]:
        if variable.owner is None or variable in stop:
            return []
        if contents and isinstance(variable.owner.op, Shape | Shape_i):
            return []
        return list(variable.owner.inputs)

    return set(walk([observed.rv], expand, bfs=False))


def _leaves(parts: Parts) -> tuple[frozenset[Variable], list[Leaf]]:
    masks: list[Variable] = []
    leaves: dict[Variable, Leaf] = {}
    for observed in parts.observed:
        for variable in _ordered(likelihood_ancestors(parts, observed)):
            if variable in leaves or not isinstance(variable, Constant | SharedVariable):
                continue
            if getattr(variable.type, "ndim", 0) == 0 or not hasattr(variable.type, "dtype"):
                continue
            value = value_of(variable)
            if observed.present is not None and _is_mask(value, observed.present):
                masks.append(variable)
                continue
            axes = _axes(parts, observed, variable, value)
            if axes:
                leaves[variable] = Leaf(variable, value, axes)
    return frozenset(masks), list(leaves.values())


def _ordered(variables: set[Variable]) -> list[Variable]:
    """Same order in every process, so that names such as ``constant_0`` mean the same thing."""
    leaves = [v for v in variables if v.owner is None]
    numbers = {v: getattr(v, "auto_name", "") for v in leaves}
    return sorted(leaves, key=lambda v: (len(numbers[v]), numbers[v]))


def _is_mask(value: np.ndarray, present: np.ndarray) -> bool:
    return np.array_equal(value, present) or np.array_equal(value, np.flatnonzero(present))


def _axes(parts: Parts, observed: Observed, variable: Variable, value: np.ndarray) -> tuple[int, ...]:
    n_all = parts.n_rows if observed.present is None else len(observed.present)
    long = [a for a, length in enumerate(value.shape) if length == n_all]
    if not long:
        return ()
    dims = dims_of(variable) or parts.model.named_vars_to_dims.get(variable.name or "")
    if dims and observed.row_dim is not None:
        return (dims.index(observed.row_dim),) if observed.row_dim in dims else ()
    return (*long, -1)


def _latents(parts: Parts) -> tuple[list[Variable], list[Variable]]:
    """Free variables that surely, and that possibly, have one entry for each row along their first axis."""
    sure, unsure = [], []
    for rv, start in zip(parts.free, parts.start, strict=True):
        for observed in parts.observed:
            if rv not in likelihood_ancestors(parts, observed):
                continue
            dims = dims_of(rv) or parts.model.named_vars_to_dims.get(rv.name)
            if dims and observed.row_dim is not None:
                if dims[0] == observed.row_dim:
                    sure.append(rv)
            elif start.ndim and start.shape[0] == parts.n_rows:
                unsure.append(rv)
    return list(dict.fromkeys(sure)), list(dict.fromkeys(unsure))
