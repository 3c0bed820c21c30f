"""The row graph of a PyMC model: every reading tried in turn, and none believed before it is proved."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pymc as pm
from pytensor.graph.basic import Variable
from pytensor.graph.traversal import ancestors

from bayesrepair.bridges.pymc import refusals
from bayesrepair.bridges.pymc.alignment import Reading, likelihood_ancestors, readings
from bayesrepair.bridges.pymc.assembly import Assembled, Labelled, assemble, label, outcome_enters_itself
from bayesrepair.bridges.pymc.checks import checked_apart
from bayesrepair.bridges.pymc.graph import Regime, RowGraph
from bayesrepair.bridges.pymc.indices import evaluated, with_spans
from bayesrepair.bridges.pymc.lowering import frozen, substituted
from bayesrepair.bridges.pymc.naming import columns_of
from bayesrepair.bridges.pymc.parts import Parts, at_constrained, dissect
from bayesrepair.bridges.pymc.prediction import class_probabilities, closed_mean, n_classes, outcome_of
from bayesrepair.bridges.pymc.verification import Proof, culprits, index_sets, probe_points, verify_sum
from bayesrepair.status import DataError, UnsupportedModelError


def row_graph(model: pm.Model, *, data: Any = None, outcome: str | None = None) -> RowGraph:
    """Lay the rows of a PyMC model open as inputs, and prove the result against the model itself.

    Parameters
    ----------
    model : pymc.Model
        Never written.
    data : DataFrame, mapping or Dataset, optional
        The user's own table; arrays inside the model take the names of the columns that hold their values.
    outcome : str, optional
        Which observed variable is predicted; the first by default.

    Returns
    -------
    RowGraph

    Raises
    ------
    UnsupportedModelError
        If the rows are not conditionally independent given the parameters; the message names the reason.
    """
    parts = dissect(model, outcome)
    columns, ids = _table(parts, data)
    theta = probe_points(parts)
    failed: list[tuple[Proof | None, str]] = []
    for reading in readings(parts):
        labelled = label(parts, reading, columns)
        if outcome_enters_itself(parts, labelled):
            refusals.outcome_in_mean(parts.observed[0].name)
        for regime in ("dynamic", "static"):
            graph, proof, why = _attempt(parts, reading, labelled, regime, theta, ids)
            if graph is not None and proof is not None:
                _refuse_potentials(parts, reading)
                verify_sum(parts, graph, proof)
                return graph
            failed.append((proof, why))
    whole = next((proof for proof, _ in failed if proof is not None), None)
    found = culprits(whole) if whole is not None else []
    refusals.dependent_rows(parts.observed[0].name, found, failed[0][1])


def _attempt(
    parts: Parts, reading: Reading, labelled: Labelled, regime: Regime, theta: np.ndarray, ids: np.ndarray
) -> tuple[RowGraph | None, Proof | None, str]:
    """A graph and its proof, or the reason why this reading does not serve."""
    try:
        assembled = assemble(parts, reading, labelled, regime)
        graph = _graph(parts, reading, labelled, assembled, regime, ids)
        proof = Proof(graph, theta)
    except UnsupportedModelError:
        raise
    except Exception as error:  # noqa: BLE001 - PyTensor raises many kinds; the next reading is tried, the reason told
        return None, None, _first_line(error)
    try:
        checks = [proof.agrees(index) for index in index_sets(parts.n_rows, regime)]
    except Exception as error:  # noqa: BLE001 - as above
        return None, proof, _first_line(error)
    if not all(check[0] for check in checks):
        return None, proof, "rows handed in alone give another log-likelihood"
    if graph.predicted is not None and not all(check[1] for check in checks):
        graph = replace(graph, predicted=None)
    return graph, proof, ""


def _first_line(error: Exception) -> str:
    text = str(error).strip().splitlines()
    return f"{type(error).__name__}: {text[0] if text else 'no message'}"


def _graph(
    parts: Parts, reading: Reading, labelled: Labelled, assembled: Assembled, regime: Regime, ids: np.ndarray
) -> RowGraph:
    rv = assembled.outcome_rv
    given = _given(parts, labelled, assembled)
    classes = n_classes(rv, lambda variable: evaluated(variable, given))
    position: Any = assembled.position
    n = position.shape[0]
    predicted = class_probabilities(rv, classes, n) if classes else closed_mean(rv, n)
    sources = with_spans(labelled.sources, assembled.inputs, [assembled.log_lik, rv], given)
    name = parts.observed[0].name
    if classes:
        sources[name] = replace(sources[name], span=(0, classes - 1))
    outputs = [assembled.log_lik, rv, *([] if predicted is None else [predicted])]
    outputs = checked_apart(outputs, [assembled.position, *assembled.inputs.values()])
    log_lik, draw, *rest = frozen(at_constrained(parts, outputs))
    return RowGraph(
        value_vars=parts.value_vars,
        shapes=tuple(s.shape for s in parts.start),
        initial=np.concatenate([np.ravel(s).astype(float) for s in parts.start]),
        inputs=assembled.inputs,
        sources=sources,
        position=assembled.position,
        log_prior=parts.log_prior,
        log_lik=log_lik,
        predicted=rest[0] if rest else None,
        draw=draw,
        constrained=_constrained(parts, reading),
        regime=regime,
        n_rows=parts.n_rows,
        row_ids=ids,
        outcome=outcome_of(sources[name], rv, classes, _class_labels(parts, classes)),
        observed=tuple(o.name for o in parts.observed),
        latents=tuple(str(rv.name) for rv in parts.free if rv in reading.latents),
        log_prior_terms=parts.log_prior_terms,
        discrete=tuple(str(rv.name) for rv in parts.free if np.dtype(rv.type.dtype).kind != "f"),
    )


def _given(parts: Parts, labelled: Labelled, assembled: Assembled) -> dict[Variable, np.ndarray]:
    """Training rows and the initial point, for what has to be computed once."""
    at = dict(zip(parts.value_vars, parts.start, strict=True))
    start = [evaluated(variable, at) for variable in parts.constrained]
    given = dict(zip(parts.constrained_inputs, start, strict=True))
    given |= {assembled.inputs[name]: source.training for name, source in labelled.sources.items()}
    return given | {assembled.position: np.arange(parts.n_rows)}


def _constrained(parts: Parts, reading: Reading) -> dict[str, Variable]:
    """Free variables, and the Deterministics that do not vary over rows."""
    row_wise = {*reading.axis, *(o.rv for o in parts.observed)}
    kept = []
    for variable in parts.model.deterministics:
        if not row_wise & set(ancestors([variable])) and not _row_dims(parts, variable):
            kept.append(variable)
    graphs = parts.model.replace_rvs_by_values(kept) if kept else []
    lowered = substituted(graphs, parts.own_values) if kept else []
    named = dict(zip((str(rv.name) for rv in parts.free), parts.constrained, strict=True))
    return named | dict(zip((str(v.name) for v in kept), lowered, strict=True))


def _row_dims(parts: Parts, variable: Variable) -> bool:
    dims = parts.model.named_vars_to_dims.get(variable.name, ())
    return any(o.row_dim is not None and o.row_dim in dims for o in parts.observed)


def _class_labels(parts: Parts, classes: int | None) -> tuple | None:
    """Class names from a declared dim of the right length, where exactly one is in sight."""
    if not classes:
        return None
    model, found = parts.model, {}
    for variable in likelihood_ancestors(parts, parts.observed[0]):
        for dim in model.named_vars_to_dims.get(getattr(variable, "name", None) or "", ())[-1:]:
            labels = model.coords.get(dim)
            if labels is not None and len(labels) == classes and dim != parts.observed[0].row_dim:
                found[dim] = tuple(labels)
    return next(iter(found.values())) if len(found) == 1 else None


def _refuse_potentials(parts: Parts, reading: Reading) -> None:
    """A Potential that uses row-aligned data would keep its share of a deleted row."""
    for potential in parts.model.potentials:
        used = [v for v in _below(parts, potential) if v in reading.axis or v in _row_values(parts)]
        if used:
            refusals.potential_of_rows(potential.name, [v.name or "a constant" for v in used])


def _row_values(parts: Parts) -> set[Variable]:
    return {variable for o in parts.observed for variable in (o.rv, o.value)}


def _below(parts: Parts, variable: Variable) -> list[Variable]:
    return list(ancestors([variable], blockers=list(parts.free)))


def _table(parts: Parts, data: Any) -> tuple[Mapping[str, Any], np.ndarray]:
    """Columns to recognise arrays in, and the ids of the training rows."""
    observed = parts.observed[0]
    n_all = parts.n_rows if observed.present is None else len(observed.present)
    ids = _own_ids(parts, n_all)
    columns: dict[str, Any] = {}
    if data is not None:
        columns = {name: values for name, values in columns_of(data).items() if np.ndim(values)}
        wrong = {name: len(values) for name, values in columns.items() if len(values) != n_all}
        if isinstance(data, pd.DataFrame):
            if wrong:
                raise DataError(f"the {n_all} rows that the model was built on", f"{len(data)} rows")
            ids = data.index.to_numpy()
        columns = {name: values for name, values in columns.items() if name not in wrong}
    return columns, ids if observed.present is None else ids[observed.present]


def _own_ids(parts: Parts, n_all: int) -> np.ndarray:
    labels = parts.model.coords.get(parts.observed[0].row_dim or "")
    if labels is not None and len(labels) == n_all and pd.Index(labels).is_unique:
        return np.asarray(labels)
    return np.arange(n_all)
