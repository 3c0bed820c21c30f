"""Generalised linear models recognised in a row graph: the family of the outcome and its linear predictor."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytensor.tensor as pt
from pytensor.compile.ops import ViewOp
from pytensor.graph.basic import Constant, Variable
from pytensor.graph.traversal import ancestors
from pytensor.scalar import basic as ps
from pytensor.scalar.math import Sigmoid
from pytensor.tensor.elemwise import Elemwise
from pytensor.tensor.random import basic as random
from pytensor.tensor.special import Softmax

from bayesrepair.bridges.pymc.graph import RowGraph
from bayesrepair.bridges.pymc.linear_reading import LinearReader, NotLinearError, Term
from bayesrepair.numerics.glm_families import (
    BernoulliLogit,
    CategoricalSoftmax,
    Family,
    NegativeBinomialLog,
    Normal,
    PoissonLog,
    StudentT,
)


@dataclass(frozen=True, eq=False)
class Recognised:
    """A generalised linear model as graphs.

    Parameters
    ----------
    family : Family
    parameters : tuple of Variable
        Of the family, in its order; scalars.
    dense, groups : tuple of Term
        Terms of columns and of groups. A term is part of all linear predictors of a row or of some.
    columns : Variable
        (n, Q), of the dense terms one beside the other.
    index, factors : tuple of Variable
        (n,) each, for each group term.
    offset : Variable
        (n, K).
    """

    family: Family
    parameters: tuple[Variable, ...]
    dense: tuple[Term, ...]
    groups: tuple[Term, ...]
    columns: Variable
    index: tuple[Variable, ...]
    factors: tuple[Variable, ...]
    offset: Variable

    def __str__(self) -> str:
        names = {"BernoulliLogit": "Bernoulli-logit", "PoissonLog": "Poisson-log", "StudentT": "Student-t"}
        names |= {"NegativeBinomialLog": "negative binomial-log", "CategoricalSoftmax": "softmax", "Normal": "normal"}
        grouped = f" and {len(self.groups)} group term{'s' * (len(self.groups) > 1)}" if self.groups else ""
        return f"{names[type(self.family).__name__]} likelihood of columns{grouped}"


def recognise(graph: RowGraph) -> Recognised:
    """Read the outcome's distribution and its linear predictor.

    Raises
    ------
    NotLinearError
        If the model is not one of those recognised; the message says why.
    """
    if len(graph.observed) > 1:
        raise NotLinearError("several observed variables")
    if graph.regime == "static":
        raise NotLinearError("a graph for a fixed number of rows")
    if graph.discrete:
        raise NotLinearError("discrete parameters")
    node = graph.draw.owner
    if graph.sources[graph.observed[0]].training.ndim != 1 or not isinstance(node.op, random.RandomVariable):
        raise NotLinearError("an outcome that is not one number a row from a known distribution")
    _refuse_other_density(graph)
    reader = LinearReader(set(graph.value_vars), {graph.position, *graph.inputs.values()})
    for distribution, read in _READERS.items():
        if type(node.op) is distribution:
            family, parameters, terms = read(reader, *node.op.dist_params(node))
            return _gathered(graph, family, parameters, terms)
    raise NotLinearError(f"an outcome of {type(node.op).__name__}")


def _refuse_other_density(graph: RowGraph) -> None:
    """The log-likelihood must be that of the outcome's distribution: of the same parameters and the same rows."""
    leaves = {*graph.value_vars, *(v for name, v in graph.inputs.items() if name not in graph.observed)}
    if leaves.intersection(ancestors([graph.log_lik])) != leaves.intersection(ancestors([graph.draw])):
        raise NotLinearError("a log-likelihood that is not the outcome's own density")


_Read = tuple[Family, tuple[Any, ...], list[Term]]


def _bernoulli(reader: LinearReader, p: Any) -> _Read:
    p, limit = _unclipped(_bare(p))
    if _kind(p) is not Sigmoid:
        raise NotLinearError("a probability that is not the sigmoid of a linear predictor")
    return BernoulliLogit(limit), (), reader.terms(p.owner.inputs[0])


def _normal(reader: LinearReader, mu: Any, sigma: Any) -> _Read:
    sigma = reader.scalar(sigma)
    return Normal(), (sigma, pt.log(sigma)), reader.terms(mu)


def _student_t(reader: LinearReader, nu: Any, mu: Any, sigma: Any) -> _Read:
    return StudentT(), (reader.scalar(nu), reader.scalar(sigma)), reader.terms(mu)


def _poisson(reader: LinearReader, mu: Any) -> _Read:
    return PoissonLog(), (), _log_terms(reader, mu)


def _negative_binomial(reader: LinearReader, n: Any, p: Any) -> _Read:
    """PyMC writes ``p = sigmoid(log α − log μ)``."""
    p = _bare(p)
    inner = p.owner.inputs[0] if _kind(p) is Sigmoid else None
    if inner is None or _kind(inner) is not ps.Sub or _kind(inner.owner.inputs[1]) is not ps.Log:
        raise NotLinearError("a negative binomial that is not given by its mean and alpha")
    return NegativeBinomialLog(), (reader.scalar(n),), _log_terms(reader, inner.owner.inputs[1].owner.inputs[0])


def _categorical(reader: LinearReader, p: Any) -> _Read:
    p = _bare(p)
    softmax = p.owner is not None and isinstance(p.owner.op, Softmax)
    if not softmax or p.type.ndim != 2 or tuple(np.atleast_1d(p.owner.op.axis)) not in ((1,), (-1,)):
        raise NotLinearError("probabilities that are not the softmax of linear predictors")
    return CategoricalSoftmax(0), (), reader.terms(p.owner.inputs[0])


_READERS: dict[type, Callable[..., _Read]] = {
    random.BernoulliRV: _bernoulli,
    random.NormalRV: _normal,
    random.StudentTRV: _student_t,
    random.PoissonRV: _poisson,
    random.NegBinomialRV: _negative_binomial,
    random.CategoricalRV: _categorical,
}


def _kind(variable: Any) -> type | None:
    """The scalar operation behind an elementwise one."""
    op = getattr(variable.owner, "op", None)
    return type(op.scalar_op) if isinstance(op, Elemwise) else None


def _bare(variable: Any) -> Any:
    while variable.owner is not None and isinstance(variable.owner.op, ViewOp):
        variable = variable.owner.inputs[0]
    return variable


def _unclipped(p: Any) -> tuple[Any, float]:
    """A probability without Bambi's guard, which puts other numbers in the place of exactly 0 and exactly 1."""
    limit = np.inf
    while _kind(p) is ps.Switch:
        condition, instead, inner = p.owner.inputs
        if _kind(condition) is not ps.EQ or condition.owner.inputs[0] is not inner:
            break
        at, value = _number(condition.owner.inputs[1]), _number(instead)
        if at not in (0.0, 1.0) or not 0 < value < 1:
            break
        limit = min(limit, abs(float(np.log(value) - np.log1p(-value))))
        p = inner
    return p, limit


def _number(variable: Any) -> float:
    while variable.owner is not None and not variable.owner.inputs[1:]:
        variable = variable.owner.inputs[0]
    return float(variable.data.item()) if isinstance(variable, Constant) and variable.data.size == 1 else np.nan


def _log_terms(reader: LinearReader, mu: Any) -> list[Term]:
    """Terms of log μ, where μ is a product of exponentials, of columns and of parameters."""
    mu = _bare(mu)
    kind = _kind(mu)
    if kind is ps.Exp:
        return reader.terms(mu.owner.inputs[0])
    if kind is ps.Mul:
        return [term for factor in mu.owner.inputs for term in _log_terms(reader, factor)]
    if reader.mixed(mu):
        raise NotLinearError("a rate that is not the exponential of a linear predictor")
    return reader.terms(pt.log(mu))


def _gathered(graph: RowGraph, family: Family, parameters: tuple[Any, ...], terms: list[Term]) -> Recognised:
    """All columns in one matrix, all offsets in one."""
    if all(term.coefficient is None for term in terms):
        raise NotLinearError("no parameters in the linear predictor")
    n: Any = graph.position
    n = n.shape[0]
    classes = isinstance(family, CategoricalSoftmax)
    if classes:
        family = CategoricalSoftmax(len(graph.outcome.classes or ()))
    dense, groups = [], []
    columns: list[Any] = [pt.zeros((n, 0))]
    index, factors = [], []
    offset: Any = pt.zeros((n, family.width))
    for term in terms:
        if term.coefficient is None:
            known = term.known if classes else term.known[:, None]
            offset = pt.inc_subtensor(offset[:, term.classes], pt.broadcast_to(known, offset[:, term.classes].shape))
            continue
        if classes and term.coefficient.type.broadcastable[1]:
            count = len(range(family.width)[term.classes])
            broad = pt.broadcast_to(term.coefficient, (term.coefficient.shape[0], count))
            term = replace(term, coefficient=broad)
        if term.index is not None:
            groups.append(term)
            index.append(term.index)
            factors.append(pt.ones((n,)) if term.known is None else pt.broadcast_to(term.known, (n,)))
            continue
        known = pt.ones((n, 1)) if term.known is None else term.known
        dense.append(term)
        columns.append(pt.broadcast_to(known, (n, known.shape[1])))
    return Recognised(
        family,
        parameters,
        tuple(dense),
        tuple(groups),
        pt.concatenate(columns, axis=1),
        tuple(index),
        tuple(factors),
        offset,
    )
