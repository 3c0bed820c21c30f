"""A PyMC model as a `bayesrepair.model.Model`."""

from __future__ import annotations

from collections.abc import Mapping
from copy import copy
from functools import cached_property
from typing import Any

import numpy as np
import pymc as pm
from pymc.distributions.continuous import FlatRV, HalfFlatRV

from bayesrepair.arithmetic import KERNELS, MOMENTS, Arithmetic, Precision
from bayesrepair.bridges.pymc import refusals
from bayesrepair.bridges.pymc.backend import Choice, chosen, is_here
from bayesrepair.bridges.pymc.evaluation import RowFunctions
from bayesrepair.bridges.pymc.extraction import row_graph
from bayesrepair.bridges.pymc.fingerprint import structure
from bayesrepair.bridges.pymc.glm import Kernels
from bayesrepair.bridges.pymc.graph import RowGraph
from bayesrepair.bridges.pymc.intake import POSITION, rows_of, training_rows
from bayesrepair.bridges.pymc.vectorised import NUMPY
from bayesrepair.numerics.blocks import row_blocks
from bayesrepair.numerics.normal_moments import NormalMoments
from bayesrepair.rows import Rows
from bayesrepair.status import DataError, MethodError, UnsupportedModelError

_SIMULATIONS = 64  # outcomes averaged for a mean without a closed form
_SEED = 20240229  # so that such a mean is the same each time


def pymc_model(model: pm.Model, *, data: Any = None, outcome: str | None = None, mode: str = NUMPY) -> PyMCModel:
    """Read a PyMC model; the result has gradients unless a free variable is discrete.

    Parameters
    ----------
    model : pymc.Model
        Never written.
    data : DataFrame, mapping or Dataset, optional
        The table it was built on: arrays inside the model take the names of the columns that hold their values.
    outcome : str, optional
        Which observed variable is predicted; the first by default.
    mode : str
        ``"NUMPY"`` runs at once; ``"NUMBA"``, or another mode of PyTensor, compiles first.

    Returns
    -------
    PyMCModel

    Raises
    ------
    UnsupportedModelError
        If the rows are not conditionally independent given the parameters; the message names the reason.

    Examples
    --------
    >>> with pm.Model() as coin:
    ...     p = pm.Beta("p", 1, 1)
    ...     y = pm.Bernoulli("y", p, observed=np.array([1, 0, 1]))
    >>> bridge = pymc_model(coin)
    >>> theta = np.array([[0.0], [np.log(3)]])  # logit p = 0 and log 3, so p = 1/2 and 3/4
    >>> np.exp(bridge.log_lik(theta, bridge.training)).round(2)
    array([[0.5 , 0.5 , 0.5 ],
           [0.75, 0.25, 0.75]])
    """
    graph = row_graph(model, data=data, outcome=outcome)
    kind = PyMCModel if graph.discrete else DifferentiablePyMCModel
    return kind(model, graph, mode=mode)


class PyMCModel:
    """Pointwise likelihood, predictions and simulations of a PyMC model, for its own and for new rows.

    Parameters
    ----------
    model : pymc.Model
        Kept as ``pymc``; never written, and changed later it has no effect here.
    graph : RowGraph
    mode : str
        How functions are run, each of them made at its first use; see `pymc_model`.

    Attributes
    ----------
    n_params : int
    names : tuple of str
        One for each entry of theta.
    outcome : Outcome
    dims, coords : mapping
        Of what `constrain` returns, as ArviZ wants them.
    training : Rows
        The rows inside the model.
    improper : tuple of str
        Parameters whose prior does not integrate.
    lacks : dict of str to str
        Protocols that it does not satisfy, and why.
    kernels : Kernels
        Fused loops for the likelihood where it is recognised; printed, it says whether they serve and why not.
    """

    def __init__(self, model: pm.Model, graph: RowGraph, *, mode: str = NUMPY) -> None:
        self.pymc = model
        self.graph = graph
        self.mode = mode
        self.functions = RowFunctions(graph, mode)
        self.kernels = Kernels(graph, self.functions, mode)
        self._by_backend: dict[str, PyMCModel] = {}
        self.outcome = graph.outcome
        self.training = training_rows(graph)
        self.names = tuple(_names(graph))
        self.n_params = len(self.names)
        self.dims, self.coords = _dims_and_coords(model, graph)
        self.improper = tuple(
            str(rv.name)
            for rv in model.free_RVs
            if rv.owner is not None and isinstance(rv.owner.op, FlatRV | HalfFlatRV)
        )
        self.lacks: dict[str, str] = {}
        if graph.discrete:
            names = ", ".join(map(repr, graph.discrete))
            self.lacks["Differentiable"] = refusals.NO_GRADIENT.format(names=names)

    def __repr__(self) -> str:
        arrays = ", ".join(self.graph.inputs)
        return (
            f"{type(self).__name__}({self.n_params} parameters, {self.graph.n_rows} rows of {arrays}; "
            f"outcome {self.outcome.name!r}, {self.outcome.kind}; likelihood by {self.kernels})"
        )

    @cached_property
    def structure(self) -> str:
        """Prior and likelihood as text, the same in every process; see `fingerprint.structure`."""
        return structure(self.graph)

    @property
    def initial(self) -> np.ndarray:
        """The model's initial point, shape (P,)."""
        return self.graph.initial

    def log_prior(self, theta: np.ndarray) -> np.ndarray:
        """Log prior density in the unconstrained space, log-Jacobian and Potentials included: (S, P) → (S,)."""
        return self.functions.log_prior(self._checked(theta))

    def log_prior_terms(self, theta: np.ndarray) -> Mapping[str, np.ndarray]:
        """Log prior of each free variable on its own scale, without the Jacobian: (S, P) → arrays (S, ...)."""
        return self.functions.log_prior_terms(self._checked(theta))

    def log_lik(self, theta: np.ndarray, rows: Rows) -> np.ndarray:
        """Pointwise log-likelihood: (S, P) → (S, N).

        Raises
        ------
        DataError
            If the rows lack an array (the outcome, for instance) or hold an index out of range.
        """
        theta = self._checked(theta)
        if not len(rows):
            return np.empty((len(theta), 0))
        arrays = self._arrays(rows, with_outcome=True)
        found = self.kernels.log_lik(theta, arrays)
        return self.functions.over_rows("log_lik", theta, *arrays) if found is None else found

    def for_scoring(
        self, theta: np.ndarray, rows: Rows, *, cells: int, precision: Precision = "double", backend: str = ""
    ) -> tuple[PyMCModel, Arithmetic]:
        """The same model with what computes the log-likelihoods of a pass over many rows fastest, and what that is.

        Kernels where the likelihood is recognised, and moments of the draws where it is normal; otherwise the backend
        that was fastest on one block, as `bayesrepair.bridges.pymc.backend` says. A ``mode`` other than NumPy is the
        user's choice and stays.

        Parameters
        ----------
        theta : array, shape (S, P)
        rows : Rows
            Some of the rows.
        cells : int
            Draws × rows of the whole pass.
        precision : {"double", "single"}
        backend : str
            One that was chosen before; empty to choose.

        Raises
        ------
        MethodError
            If the backend is not there, or the precision is single and there are no kernels.
        """
        theta = self._checked(theta)
        if backend not in ("", KERNELS, MOMENTS) and not is_here(backend):
            raise MethodError(
                f"{backend!r}, with which this was begun", "a machine without it", "Install it, or begin anew."
            )
        arrays = self._scored(rows)
        if backend in ("", KERNELS, MOMENTS) and self.kernels.serve(theta, arrays):
            if precision == "single":
                return self._with_kernels(single=True), Arithmetic(KERNELS, precision)
            if backend != KERNELS and self.kernels.have_moments(len(theta)):
                return self._with_kernels(by_moments=True), Arithmetic(MOMENTS)
            return self, Arithmetic(KERNELS)
        if precision == "single":
            raise MethodError(
                "a likelihood that has kernels, for precision='single'", str(self.kernels), "Leave out precision=."
            )
        if backend in (KERNELS, MOMENTS):
            raise MethodError(f"{backend}, with which this was begun", str(self.kernels), "Begin anew.")
        if not backend and self.mode != NUMPY:
            return self, Arithmetic(self.mode)
        choice = Choice(backend, {}) if backend else chosen(self.functions, self.structure, theta, arrays, cells)
        return self._run_by(choice.backend), Arithmetic(choice.backend, "double", choice.speeds)

    def log_lik_moments(self, theta: np.ndarray, rows: Rows) -> NormalMoments | None:
        """What ``A @`` multiplies in place of `log_lik` (S, N), in fewer steps; None where nothing does.

        Of a model from `for_scoring` whose likelihood is normal.
        """
        if not self.kernels.by_moments or not len(rows):
            return None
        return self.kernels.moments(self._checked(theta), self._scored(rows))

    def _with_kernels(self, *, single: bool = False, by_moments: bool = False) -> PyMCModel:
        other = copy(self)
        other.kernels = self.kernels.set_to(single=single, by_moments=by_moments)
        return other

    def _run_by(self, backend: str) -> PyMCModel:
        if backend == self.mode:
            return self
        if backend not in self._by_backend:
            other = copy(self)
            other.mode, other.functions = backend, RowFunctions(self.graph, backend)
            self._by_backend[backend] = other
        return self._by_backend[backend]

    def summed_log_lik(self, theta: np.ndarray, rows: Rows, weight: np.ndarray) -> np.ndarray:
        """``Σ weight · log_lik``: (S, P), (N,) → (S,); rows of weight 0 take no part.

        Raises
        ------
        DataError
            If the weights have another shape, or as `log_lik`.
        """
        theta, weight = self._checked(theta), checked_weights(weight, rows)
        found = self.kernels.weighted(theta, rows, weight, self._scored)
        if found is not None:
            functions, likelihood = found
            return functions.summed(theta, likelihood)
        used, total = np.flatnonzero(weight), np.zeros(len(theta))
        weight = weight[used]
        for where, block in row_blocks(rows.at(used), len(theta)):
            total += self.log_lik(theta, block) @ weight[where]
        return total

    def predict(self, theta: np.ndarray, rows: Rows) -> np.ndarray:
        """Class probabilities, or the mean of the outcome: (S, P) → (S, N, K).

        K is the number of classes (two for a Bernoulli outcome), the number of columns of a multivariate outcome,
        else 1. A mean without a closed form is the average of 64 simulated outcomes, always the same ones; for a
        Cauchy outcome, which has no mean, its centre stands in.
        """
        theta = self._checked(theta)
        arrays, position = self._arrays(rows, with_outcome=False)
        if self.graph.predicted is not None and len(rows):
            return self.functions.over_rows("predicted", theta, arrays, position)
        rng = np.random.default_rng(_SEED)
        total = self.simulate(theta, rows, rng).astype(float)
        for _ in range(_SIMULATIONS - 1):
            total += self.simulate(theta, rows, rng)
        return (total / _SIMULATIONS).reshape(len(theta), len(rows), -1)

    def simulate(self, theta: np.ndarray, rows: Rows, rng: np.random.Generator) -> np.ndarray:
        """One outcome a draw and row from the predictive: (S, P) → (S, N), or (S, N, D) if it is multivariate.

        Raises
        ------
        UnsupportedModelError
            If the outcome's distribution cannot be drawn from.
        """
        theta = self._checked(theta)
        if not len(rows):
            return np.empty((len(theta), 0))
        arrays, position = self._arrays(rows, with_outcome=False)
        try:
            return self.functions.simulated(theta, arrays, position, rng)
        except NotImplementedError as error:
            raise UnsupportedModelError(
                f"a distribution of {self.outcome.name!r} that can be drawn from",
                f"none ({error})",
                "Pass random= to pm.CustomDist.",
            ) from error

    def constrain(self, theta: np.ndarray) -> Mapping[str, np.ndarray]:
        """Free variables, and Deterministics that do not vary over rows: (S, P) → arrays (S, ...)."""
        return self.functions.constrained(self._checked(theta))

    def rows(self, data: Any) -> Rows:
        """Rows from a DataFrame, a mapping of arrays or a Dataset; the outcome may be absent.

        Raises
        ------
        DataError
            If an array is absent or has another shape, or holds a level or class unseen in training.
        UnsupportedModelError
            If the model knows its training rows only.
        """
        return data if isinstance(data, Rows) else rows_of(self.graph, data)

    def _checked(self, theta: np.ndarray) -> np.ndarray:
        theta = np.asarray(theta, dtype=float)
        if theta.ndim != 2 or theta.shape[1] != self.n_params:
            raise DataError(f"theta of shape (S, {self.n_params})", f"shape {theta.shape}")
        return theta

    def _scored(self, rows: Rows) -> tuple[dict[str, np.ndarray], np.ndarray]:
        return self._arrays(rows, with_outcome=True)

    def _arrays(self, rows: Rows, *, with_outcome: bool) -> tuple[dict[str, np.ndarray], np.ndarray]:
        """The row-aligned arrays, checked, and the position of each row."""
        graph = self.graph
        wanted = [name for name in graph.inputs if with_outcome or name not in graph.observed]
        absent = [name for name in wanted if name not in rows.values]
        if absent:
            raise DataError(
                f"rows with {', '.join(map(repr, wanted))}",
                f"no {', '.join(map(repr, absent))}",
                "Rows without an outcome can be predicted, not scored." if with_outcome else "Use model.rows(data).",
            )
        for name in wanted:
            _refuse_out_of_range(graph, name, rows.values[name])
        if not graph.latents:
            return {name: rows.values[name] for name in wanted}, np.arange(len(rows))
        if POSITION not in rows.values:
            raise DataError(f"rows of this model, with {POSITION!r}", "rows without it", "Use model.rows(data).")
        return {name: rows.values[name] for name in wanted}, rows.values[POSITION]


class DifferentiablePyMCModel(PyMCModel):
    """A PyMC model whose free variables are all continuous."""

    def log_target_and_grad(self, theta: np.ndarray, rows: Rows, weight: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """``log_prior + Σ weight · log_lik`` and its gradient: (S, P), (N,) → (S,), (S, P).

        Rows of weight 0 take no part, whatever their likelihood. Memory does not grow with S × N.
        """
        theta, weight = self._checked(theta), checked_weights(weight, rows)
        found = self._by_kernels(theta, rows, weight)
        if found is not None:
            return found
        used = np.flatnonzero(weight)
        some = rows if len(used) == len(rows) else rows.at(used)
        arrays, position = self._arrays(some, with_outcome=True)
        return self.functions.target_and_grad(theta, arrays, position, weight[used])

    def _by_kernels(self, theta: np.ndarray, rows: Rows, weight: np.ndarray) -> tuple[np.ndarray, np.ndarray] | None:
        """The same where the likelihood is recognised and these rows suit the kernels."""
        found = self.kernels.weighted(theta, rows, weight, self._scored)
        if found is None:
            return None
        functions, likelihood = found
        return functions.target_and_grad(theta, likelihood)


def checked_weights(weight: np.ndarray, rows: Rows) -> np.ndarray:
    """One weight a row, as floats.

    Raises
    ------
    DataError
        If there are more or fewer.
    """
    weight = np.asarray(weight, dtype=float)
    if weight.shape != (len(rows),):
        raise DataError(f"weights of shape ({len(rows)},)", f"shape {weight.shape}")
    return weight


def _refuse_out_of_range(graph: RowGraph, name: str, values: np.ndarray) -> None:
    span = graph.sources[name].span
    if span is not None and len(values) and not span[0] <= values.min() <= values.max() <= span[1]:
        raise DataError(
            f"{name!r} from {span[0]} to {span[1]}, the levels seen in training",
            f"values from {values.min()} to {values.max()}",
            "A level unseen in training has no parameter: drop those rows, or refit with them in the data.",
        )


def _names(graph: RowGraph) -> list[str]:
    names = []
    for variable, shape in zip(graph.value_vars, graph.shapes, strict=True):
        for index in np.ndindex(*shape):
            at = f"[{', '.join(map(str, index))}]" if shape else ""
            names.append(f"{variable.name}{at}")
    return names


def _dims_and_coords(
    model: pm.Model, graph: RowGraph
) -> tuple[Mapping[str, tuple[str, ...]], Mapping[str, np.ndarray]]:
    """Declared dims, or ``name_dim_0`` … as ArviZ calls them."""
    dims: dict[str, tuple[str, ...]] = {}
    coords: dict[str, np.ndarray] = {}
    for name, variable in graph.constrained.items():
        declared = model.named_vars_to_dims.get(name) or (None,) * variable.type.ndim
        dims[name] = tuple(str(d) if d is not None else f"{name}_dim_{i}" for i, d in enumerate(declared))
        for dim in dims[name]:
            if model.coords.get(dim) is not None:
                coords[dim] = np.asarray(model.coords[dim])
    return dims, coords
