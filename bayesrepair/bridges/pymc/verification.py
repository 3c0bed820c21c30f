"""Proof that a reading of a model is right: rows one at a time, together, and in another order agree."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytensor.tensor as pt

from bayesrepair.bridges.pymc import refusals
from bayesrepair.bridges.pymc.graph import RowGraph
from bayesrepair.bridges.pymc.lowering import substituted
from bayesrepair.bridges.pymc.parts import Parts
from bayesrepair.bridges.pymc.vectorised import NUMPY, Compiled, over_draws

_TOLERANCE: dict[str, Any] = {"rtol": 1e-7, "atol": 1e-9, "equal_nan": True}
_DRAWS = 2


@dataclass(eq=False)
class Proof:
    """Log-likelihood and predictions of a candidate graph, evaluated without a C or numba compilation.

    Parameters
    ----------
    graph : RowGraph
    theta : array, shape (S, P)
    """

    graph: RowGraph
    theta: np.ndarray
    arrays: dict[str, np.ndarray] = field(init=False)

    def __post_init__(self) -> None:
        graph = self.graph
        theta = pt.matrix("theta", dtype="float64")
        outputs = [graph.log_lik, *([] if graph.predicted is None else [graph.predicted])]
        batched = over_draws(outputs, theta, graph.value_vars, graph.shapes)
        inputs = [theta, graph.position, *graph.inputs.values()]
        self._function = Compiled(inputs, batched, mode=NUMPY)
        self.arrays = {name: source.training for name, source in graph.sources.items()}
        self.full = self(np.arange(graph.n_rows))

    def __call__(self, index: np.ndarray, arrays: Mapping[str, np.ndarray] | None = None) -> list[np.ndarray]:
        """Log-likelihood (S, n) and predictions (S, n, K) of some rows, handed in as rows of their own."""
        arrays = self.arrays if arrays is None else arrays
        rows = {name: np.ascontiguousarray(values[index]) for name, values in arrays.items()}
        out = self._function(self.theta, index.astype("int64"), *rows.values())
        return [np.asarray(o) for o in out]

    def agrees(self, index: np.ndarray) -> list[bool]:
        """Whether the rows handed in alone give what they gave among all rows; one answer an output."""
        some = self(index)
        return [
            new.shape[:2] == (len(self.theta), len(index)) and np.allclose(new, old[:, index], **_TOLERANCE)
            for new, old in zip(some, self.full, strict=True)
        ]


def probe_points(parts: Parts) -> np.ndarray:
    """Two points near the initial one, shape (2, P)."""
    rng = np.random.default_rng(20240229)
    rows = []
    for scale in (0.1, 0.3):
        parts_of_theta = [
            np.ravel(s + scale * rng.standard_normal(s.shape) if s.dtype.kind == "f" else s) for s in parts.start
        ]
        rows.append(np.concatenate(parts_of_theta))
    return np.asarray(rows, dtype="float64")


def index_sets(n_rows: int, regime: str) -> list[np.ndarray]:
    """Selections of rows: any number of them, or reordered and repeated at full length."""
    rng = np.random.default_rng(20240229)
    if regime == "static":
        return [rng.permutation(n_rows), rng.integers(0, n_rows, n_rows), np.full(n_rows, n_rows - 1)]
    return [
        np.sort(rng.permutation(n_rows)[: max(2, n_rows // 2)]),
        rng.integers(0, n_rows, n_rows + 3),
        np.array([n_rows - 1]),
    ]


def verify_sum(parts: Parts, graph: RowGraph, proof: Proof) -> None:
    """Prior and pointwise likelihood add up to PyMC's own log density.

    Raises
    ------
    UnsupportedModelError
        If they do not.
    """
    theta = pt.matrix("theta", dtype="float64")
    [prior] = over_draws([graph.log_prior], theta, graph.value_vars, graph.shapes)
    ours = Compiled([theta], prior, mode=NUMPY)(proof.theta) + proof.full[0].sum(axis=1)
    # Term by term: one sum of them all can have more operands than NumPy takes.
    terms = substituted(parts.model.logp(sum=False), parts.own_values)
    density = Compiled(list(parts.value_vars), terms, mode=NUMPY)
    for point, total in zip(proof.theta, ours, strict=True):
        theirs = sum(float(term.sum()) for term in density(*as_point(parts, point).values()))
        if not np.isclose(total, theirs, rtol=1e-8, atol=1e-8, equal_nan=True):
            refusals.wrong_density(graph.outcome.name, float(total), theirs)


def as_point(parts: Parts, theta: np.ndarray) -> dict[str, np.ndarray]:
    """One row of theta as PyMC's dictionary of values."""
    point, start = {}, 0
    for variable, value in zip(parts.value_vars, parts.start, strict=True):
        point[str(variable.name)] = theta[start : start + value.size].reshape(value.shape).astype(value.dtype)
        start += value.size
    return point


def culprits(proof: Proof) -> Sequence[str]:
    """Inputs whose value in one row changes the likelihood of other rows."""
    names = []
    everyone = np.arange(proof.graph.n_rows)
    for name, values in proof.arrays.items():
        if len(np.unique(values, axis=0)) < 2:
            continue
        other = int(np.flatnonzero((values != values[0]).reshape(len(values), -1).any(axis=1))[0])
        changed = values.copy()
        changed[0] = values[other]
        new = proof(everyone, {**proof.arrays, name: changed})[0]
        if not np.allclose(new[:, 1:], proof.full[0][:, 1:], **_TOLERANCE):
            names.append(name)
    return names
