"""From one reading of the row axes to the expressions of a row graph."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytensor.tensor as pt
from pymc.distributions.shape_utils import change_dist_size
from pymc.logprob.basic import conditional_logp
from pytensor.compile import SharedVariable
from pytensor.graph.basic import Variable
from pytensor.scalar.basic import Cast
from pytensor.tensor.random.basic import CategoricalRV

from bayesrepair.bridges.pymc import refusals
from bayesrepair.bridges.pymc.alignment import Reading, likelihood_ancestors
from bayesrepair.bridges.pymc.graph import Regime, RowInput
from bayesrepair.bridges.pymc.lowering import is_named, like, substituted
from bayesrepair.bridges.pymc.naming import Match, match, unique
from bayesrepair.bridges.pymc.parts import Observed, Parts


@dataclass(frozen=True, eq=False)
class Labelled:
    """Row inputs by name, and which input (or fill) stands for which leaf.

    Parameters
    ----------
    sources : dict of str to RowInput
    leaf_input : dict of Variable to str
        Input that stands for a leaf of the user's graph.
    fills : frozenset of Variable
        Leaves that repeat one row (``np.zeros(N)``): repeated for any rows, never asked for.
    """

    sources: dict[str, RowInput]
    leaf_input: dict[Variable, str]
    fills: frozenset[Variable]


def label(parts: Parts, reading: Reading, columns: Mapping[str, Any]) -> Labelled:
    """Name the row-aligned arrays: outcomes, the model's own names, columns of equal values, ``constant_0`` …."""
    sources: dict[str, RowInput] = {}
    leaf_input: dict[Variable, str] = {}
    fills: set[Variable] = set()
    by_content: dict[tuple, str] = {}
    for observed in parts.observed:
        sources[observed.name] = _outcome_input(observed, columns)
        leaf_input[observed.value] = leaf_input[uncast(observed.value)] = observed.name
    counter = 0
    for leaf, values in reading.values.items():
        if leaf in leaf_input:
            continue
        found = match(values, columns, prefer=leaf.name or "")
        key = (values.dtype.str, values.shape, values.tobytes(), "")
        if isinstance(leaf, SharedVariable) or leaf.name:
            key = (*key[:3], leaf.name or str(id(leaf)))
        elif found is None and len(values) > 1 and (values == values[:1]).all():
            fills.add(leaf)
            continue
        if key not in by_content:
            name = leaf.name or (found.name if found else f"constant_{counter}")
            counter += not leaf.name and not found
            by_content[key] = name = unique(name, sources)
            sources[name] = _input(name, values, found, conflicting=name in columns and found is None)
        leaf_input[leaf] = by_content[key]
    return Labelled(sources, leaf_input, frozenset(fills))


def uncast(value: Variable) -> Variable:
    """The user's own array behind an observed value: `pm.Data` holds narrow integers, which PyMC widens."""
    while value.owner is not None and isinstance(getattr(value.owner.op, "scalar_op", None), Cast):
        (value,) = value.owner.inputs
    return value


def _outcome_input(observed: Observed, columns: Mapping[str, Any]) -> RowInput:
    own = uncast(observed.value).name or ""
    aliases = (own,) if own and own != observed.name else ()
    present = observed.present
    if present is not None:
        columns = {k: np.asarray(v)[present] for k, v in columns.items() if len(v) == len(present)}
    found = match(observed.training, columns, prefer=observed.name)
    return _input(observed.name, observed.training, found, aliases=aliases)


def _input(name: str, values: np.ndarray, found: Match | None, **more: Any) -> RowInput:
    if found is None:
        return RowInput(name, values, **more)
    return RowInput(name, values, columns=found.columns, levels=found.levels, **more)


@dataclass(frozen=True, eq=False)
class Assembled:
    """Graphs of placeholders for the constrained parameters, and of row inputs.

    Parameters
    ----------
    position : Variable
    inputs : dict of str to Variable
    log_lik : Variable
        (n,).
    outcome_rv : Variable
        The outcome's random variable, its own value nowhere in it.
    """

    position: Variable
    inputs: dict[str, Variable]
    log_lik: Variable
    outcome_rv: Variable


def assemble(parts: Parts, reading: Reading, labelled: Labelled, regime: Regime) -> Assembled:
    """Likelihood and outcome as functions of rows.

    Raises
    ------
    UnsupportedModelError
        If the density is joint over rows, or has no closed form.
    """
    n_static = parts.n_rows if regime == "static" else None
    position: Any = pt.tensor("position", dtype="int64", shape=(n_static,))
    n = position.shape[0] if n_static is None else pt.constant(n_static)
    inputs: dict[str, Any] = {
        name: pt.TensorType(source.training.dtype.name, shape=(n_static, *source.tail))(name)
        for name, source in labelled.sources.items()
    }
    replacements = _replacements(parts, reading, labelled, inputs, position, n)
    terms: list[Any] = []
    for observed in parts.observed:
        rv = _rv(parts, observed, replacements, n if regime == "dynamic" else None)
        terms.append(_log_lik(observed, rv, inputs[observed.name]))
    blank = {
        leaf: like(pt.zeros((n, *tensor.type.shape[1:]), dtype=tensor.dtype), leaf)
        for leaf, name in labelled.leaf_input.items()
        for tensor in [inputs[name]]
        if name == parts.observed[0].name
    }
    outcome_rv = _rv(parts, parts.observed[0], {**replacements, **blank}, n if regime == "dynamic" else None)
    log_lik = terms[0]
    for term in terms[1:]:
        log_lik = log_lik + term
    return Assembled(position, inputs, log_lik, outcome_rv)


def _replacements(
    parts: Parts,
    reading: Reading,
    labelled: Labelled,
    inputs: Mapping[str, Any],
    position: Any,
    n: Any,
) -> dict[Variable, Variable]:
    replacements: dict[Variable, Variable] = {}
    own: Any
    for rv, own in zip(parts.free, parts.constrained_inputs, strict=True):
        replacements[rv] = like(own[position] if rv in reading.latents else own, rv)
    for leaf, name in labelled.leaf_input.items():
        rows_last = pt.moveaxis(inputs[name], 0, reading.axis.get(leaf, 0))
        replacements[leaf] = like(rows_last, leaf)
    for leaf in labelled.fills:
        row = pt.constant(reading.values[leaf][0])
        repeated: Any = pt.alloc(row, n, *row.type.shape)
        replacements[leaf] = like(pt.moveaxis(repeated, 0, reading.axis[leaf]), leaf)
    for mask in reading.masks:
        replacements[mask] = pt.arange(n)
    for observed in parts.observed:
        replacements.setdefault(observed.rv, like(inputs[observed.name], observed.rv))
    return replacements


def _rv(parts: Parts, observed: Observed, replacements: Mapping[Variable, Variable], n: Variable | None) -> Variable:
    """The observed random variable on row inputs, resized where any number of rows may come."""
    used = {k: v for k, v in replacements.items() if k is not observed.rv}
    if is_named(observed.rv) and observed.rv.type.dims[0] != observed.dims[observed.axis]:  # type: ignore[index]
        raise AssertionError("rows are the first dim")
    rv: Any
    [rv] = substituted([observed.rv], used)
    if n is None:
        return rv
    support = getattr(rv.owner.op, "ndim_supp", 0)
    batch = rv.type.ndim - support
    rest = [
        length if length is not None else rv.shape[axis] for axis, length in enumerate(rv.type.shape[1:batch], start=1)
    ]
    return change_dist_size(rv, (n, *rest)) if batch else rv


def _log_lik(observed: Observed, rv: Any, value: Any) -> Variable:
    if isinstance(rv.owner.op, CategoricalRV) and value.type.ndim == 1:
        [p] = rv.owner.op.dist_params(rv.owner)
        return categorical_log_lik(p, value)
    try:
        # not pm.logp, which skips the rewrites that tell, for instance, an infinite bound from a finite one
        term = conditional_logp({rv: value}, warn_rvs=False)[value]
    except (NotImplementedError, RuntimeError) as error:
        refusals.no_density(observed.name, f"none that PyMC can derive ({error})")
    if term.type.ndim == 0:
        refusals.joint_density(observed.rv, observed.name)
    if term.type.ndim > 1:
        term = term.sum(axis=tuple(range(1, term.type.ndim)))
    return term


def categorical_log_lik(p: Any, value: Any) -> Variable:
    """(n,) log probability of each class code, by comparison instead of by index.

    PyMC looks the probability up by index, which over many draws takes numba half a minute to compile; codes are
    checked to lie in range before they come here.
    """
    chosen = pt.eq(value[:, None], pt.arange(p.shape[-1]))
    log_p = pt.switch(chosen, pt.log(p), 0.0).sum(axis=-1)
    valid = (p >= 0).all(axis=-1) & (p <= 1).all(axis=-1) & pt.isclose(p.sum(axis=-1), 1)
    return pt.switch(valid, log_p, -np.inf)


def outcome_enters_itself(parts: Parts, labelled: Labelled) -> bool:
    """Whether the outcome's values (not only their number) are among its own parameters."""
    observed = parts.observed[0]
    used = likelihood_ancestors(parts, observed, contents=True)
    return any(leaf in used for leaf, name in labelled.leaf_input.items() if name == observed.name)
