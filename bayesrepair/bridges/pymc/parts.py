"""A PyMC model taken apart: values, constrained parameters, prior, and observed variables."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pymc as pm
from pytensor.compile import SharedVariable
from pytensor.graph.basic import Constant, Variable
from pytensor.graph.replace import clone_replace
from pytensor.graph.traversal import ancestors

from bayesrepair.bridges.pymc import refusals
from bayesrepair.bridges.pymc.checks import checked_apart
from bayesrepair.bridges.pymc.lowering import dims_of, like, placeholder, substituted
from bayesrepair.bridges.pymc.vectorised import NUMPY, compiled


@dataclass(frozen=True, eq=False)
class Observed:
    """An observed variable of the model.

    Parameters
    ----------
    rv : Variable
        The random variable, in the user's graph.
    value : Variable
        Its value, in the user's graph.
    name : str
        Without the suffix that PyMC adds where some entries are missing.
    training : array, shape (N, ...)
        Row axis first.
    axis : int
        Row axis in the user's graph.
    dims : tuple of str or None
        Declared dims.
    present : array of bool, shape (N_all,), or None
        Where some entries are missing: which of all records are observed.
    """

    rv: Variable
    value: Variable
    name: str
    training: np.ndarray
    axis: int
    dims: tuple[str, ...] | None
    present: np.ndarray | None

    @property
    def row_dim(self) -> str | None:
        """Declared dim of the rows."""
        return self.dims[self.axis] if self.dims else None


@dataclass(frozen=True, eq=False)
class Parts:
    """A model taken apart; ``free``, ``observed`` are in the user's graph, everything else is not.

    Parameters
    ----------
    model : pymc.Model
    free : tuple of Variable
    constrained_inputs : tuple of Variable
        A placeholder for each free variable on its own scale.
    value_vars : tuple of Variable
        Unconstrained values (ours), in theta order.
    start : tuple of array
        Initial point, value by value.
    constrained : tuple of Variable
        Each free variable as a function of ``value_vars``.
    log_prior : Variable
    log_prior_terms : dict of str to Variable
        Log prior of each free variable on its own scale, without the Jacobian.
    observed : tuple of Observed
        The outcome first.
    """

    model: pm.Model
    free: tuple[Variable, ...]
    constrained_inputs: tuple[Variable, ...]
    value_vars: tuple[Variable, ...]
    start: tuple[np.ndarray, ...]
    constrained: tuple[Variable, ...]
    log_prior: Variable
    log_prior_terms: dict[str, Variable]
    observed: tuple[Observed, ...]

    @property
    def n_rows(self) -> int:
        """Number of training rows."""
        return len(self.observed[0].training)

    @property
    def own_values(self) -> dict[Variable, Variable]:
        """Replacements of the user's value variables by ours."""
        theirs = self.model.value_vars
        return {v: like(own, v) for v, own in zip(theirs, self.value_vars, strict=True)}


def dissect(model: pm.Model, outcome: str | None = None) -> Parts:
    """Take a model apart without writing to it.

    Raises
    ------
    UnsupportedModelError
        If the model has no pointwise likelihood.
    """
    refusals.before_dissection(model)
    point = model.initial_point(0)
    theirs = model.value_vars
    start = tuple(np.asarray(point[v.name]) for v in theirs)
    own = tuple(placeholder(v, shape=s.shape) for v, s in zip(theirs, start, strict=True))
    free = tuple(model.free_RVs)
    values = {v: like(o, v) for v, o in zip(theirs, own, strict=True)}
    prior = model.logp(vars=[*free, *model.potentials])
    terms = model.logp(vars=list(free), jacobian=False, sum=False)
    constrained = model.replace_rvs_by_values(list(free))
    log_prior, *both = substituted([prior, *terms, *constrained], values)
    log_prior, *terms = checked_apart([log_prior, *both[: len(free)]], ())
    return Parts(
        model=model,
        free=free,
        constrained_inputs=tuple(placeholder(rv) for rv in free),
        value_vars=own,
        start=start,
        constrained=tuple(both[len(free) :]),
        log_prior=log_prior,
        log_prior_terms={str(rv.name): term for rv, term in zip(free, terms, strict=True)},
        observed=_observed(model, outcome),
    )


def _observed(model: pm.Model, outcome: str | None) -> tuple[Observed, ...]:
    all_observed = [_one_observed(model, rv) for rv in model.observed_RVs]
    refusals.different_rows(all_observed)
    if outcome is None:
        return tuple(all_observed)
    names = [o.name for o in all_observed]
    if outcome not in names:
        refusals.unknown_outcome(outcome, names)
    all_observed.sort(key=lambda o: o.name != outcome)
    return tuple(all_observed)


def _one_observed(model: pm.Model, rv: Variable) -> Observed:
    value = model.rvs_to_values[rv]
    training = value_of(value)
    name, present = str(rv.name), None
    if name.endswith("_observed") and f"{name.removesuffix('_observed')}_unobserved" in model.named_vars:
        name = name.removesuffix("_observed")
        present = _present(model, name, len(training))
    if training.ndim == 0:
        refusals.single_observation(name)
    dims = dims_of(rv) or model.named_vars_to_dims.get(name)
    return Observed(rv, value, name, training, 0, tuple(dims) if dims else None, present)


def _present(model: pm.Model, name: str, n_observed: int) -> np.ndarray:
    """Mask of the observed records, read off the Deterministic that joins them with the missing ones."""
    n_missing = model[f"{name}_unobserved"].type.shape[0]
    for leaf in ancestors([model[name]]):
        if isinstance(leaf, Constant) and getattr(leaf.type, "dtype", "") == "bool":
            mask = np.asarray(leaf.data)
            if mask.shape == (n_observed + n_missing,) and mask.sum() == n_observed:
                return mask
    return refusals.missing_cells(name)


def value_of(variable: Variable) -> np.ndarray:
    """Present value of a variable without free inputs."""
    if isinstance(variable, Constant):
        return np.asarray(variable.data)
    if isinstance(variable, SharedVariable):
        return np.asarray(variable.get_value())
    [plain] = substituted([variable], {})
    return np.asarray(compiled([], plain, mode=NUMPY)())


def at_constrained(parts: Parts, outputs: list[Variable]) -> list[Variable]:
    """Graphs of the constrained placeholders as graphs of the unconstrained values."""
    pairs = dict(zip(parts.constrained_inputs, parts.constrained, strict=True))
    return list(clone_replace(outputs, pairs, rebuild_strict=False))
