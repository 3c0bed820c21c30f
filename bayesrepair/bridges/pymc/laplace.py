"""Second derivatives of a PyMC model, and Laplace approximations of its posterior."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pymc as pm
import pytensor.tensor as pt
from pymc.pytensorf import rewrite_pregrad
from pytensor.gradient import NullTypeGradError
from pytensor.graph.utils import MethodNotDefined

from bayesrepair.bridges.pymc.evaluation import RowFunctions
from bayesrepair.bridges.pymc.graph import RowGraph
from bayesrepair.bridges.pymc.model import DifferentiablePyMCModel
from bayesrepair.bridges.pymc.vectorised import NUMPY, Compiled
from bayesrepair.laplace import laplace
from bayesrepair.posterior import Gaussian
from bayesrepair.rows import Rows
from bayesrepair.status import DataError, MethodError

AUTOMATIC, DIFFERENCES = "by automatic differentiation", "from differences of gradients"
STEP = 1e-3  # of the differences, in units of max(1, |θ|): error of order STEP⁴, rounding of order 1e-16 / STEP
_CELLS = 2**17  # directions × rows of one call
_UNDEFINED = (NotImplementedError, NullTypeGradError, MethodNotDefined)


class CurvedPyMCModel(DifferentiablePyMCModel):
    """A PyMC model of continuous free variables with second derivatives.

    Parameters
    ----------
    model : pymc.Model
    graph : RowGraph
    mode : str

    Attributes
    ----------
    second_derivatives : str
        Where they come from: by automatic differentiation, or, where an operation of the model has no second
        derivative in PyTensor, from differences of gradients.
    """

    def __init__(self, model: pm.Model, graph: RowGraph, *, mode: str = NUMPY) -> None:
        super().__init__(model, graph, mode=mode)
        self.second = CurvatureFunctions(graph, mode)

    @property
    def second_derivatives(self) -> str:
        """Where the second derivatives come from."""
        return AUTOMATIC if self.second.defined else DIFFERENCES

    def curvature(self, theta: np.ndarray, rows: Rows, weight: np.ndarray) -> np.ndarray:
        """Minus the Hessian of ``log_prior + Σ weight · log_lik`` at one point: (P,), (N,) → (P, P).

        Rows of weight 0 take no part.

        Raises
        ------
        DataError
            If theta or the weights have another shape.
        """
        theta = self._checked(np.asarray(theta, dtype=float)[None])[0]
        weight = np.asarray(weight, dtype=float)
        if weight.shape != (len(rows),):
            raise DataError(f"weights of shape ({len(rows)},)", f"shape {weight.shape}")
        if not self.second.defined:
            return _by_differences(self, theta, rows, weight)
        used = np.flatnonzero(weight)
        arrays, position = self._arrays(rows.at(used), with_outcome=True)
        return self.second(theta, arrays, position, weight[used])

    def laplace(self, rows: Rows, weight: np.ndarray, *, start: np.ndarray | None = None) -> Gaussian:
        """The Laplace approximation of weighted rows: the higher of the modes found from two starting points.

        Parameters
        ----------
        rows : Rows
        weight : array, shape (N,)
        start : array, shape (P,), optional
            Tried beside the model's initial point.

        Returns
        -------
        Gaussian
            Where no mode was found its ``search`` says so, and the precision need not be positive definite.
        """
        starts = [self.initial, *([] if start is None else [start])]
        found = [laplace(self, rows, weight, point) for point in starts]
        return max(found, key=_worth)


def _worth(gaussian: Gaussian) -> tuple[bool, float]:
    search = gaussian.search
    assert search is not None  # `laplace` records it
    value = search.log_density
    return search.converged, value if np.isfinite(value) else -np.inf


def refuse_without_mode(gaussian: Gaussian) -> None:
    """Raise MethodError where the search found no mode."""
    search = gaussian.search
    if search is not None and not search.converged:
        raise MethodError(
            "a mode of the posterior in the unconstrained space",
            f"none after {search.steps} Newton steps ({search.damped} damped)",
            "Its density may have no maximum (a centred hierarchical model, an improper prior): write the model "
            "non-centred, or sample it with method='nuts'.",
        )


class CurvatureFunctions(RowFunctions):
    """Minus the Hessian of a row graph at a point, all its columns in one pass over the rows.

    The gradient of the scalar ``∇f(θ_d) · v_d`` with respect to ``θ_d`` is ``H v_d`` (Pearlmutter 1994,
    doi:10.1162/neco.1994.6.1.147). Draws are independent in a vectorised graph, so P copies of the point and the P unit
    vectors give the Hessian.
    """

    @property
    def defined(self) -> bool:
        """Whether PyTensor can differentiate the model twice."""
        if "defined" not in self._made:
            try:
                self._function("prior_curvature", self._prior_curvature)
                self._function("lik_curvature", self._lik_curvature)
            except _UNDEFINED:
                self._made["defined"] = False
            else:
                self._made["defined"] = True
        return self._made["defined"]

    def __call__(
        self, theta: np.ndarray, arrays: Mapping[str, np.ndarray], position: np.ndarray, weight: np.ndarray
    ) -> np.ndarray:
        """(P,) and rows → (P, P), symmetric."""
        P = len(theta)
        points, units = np.tile(theta, (P, 1)), np.eye(P)
        prior = self._function("prior_curvature", self._prior_curvature)
        total = prior(points, units)
        names = self._names("log_lik")
        for rows, padded in self._row_blocks(len(position)) if len(position) else ():
            function = self._function("lik_curvature", self._lik_curvature)
            block = self._arguments(names, arrays, position, padded)
            block_weight = np.zeros(len(padded))
            block_weight[: rows.stop - rows.start] = weight[rows]
            size = max(1, _CELLS // len(padded))
            for a in range(0, P, size):
                total[a : a + size] += function(points[a : a + size], units[a : a + size], block_weight, *block)
        return (total + total.T) / 2

    def _prior_curvature(self) -> Any:
        theta, [prior] = self._over_draws([self.graph.log_prior])
        direction = pt.matrix("direction", dtype="float64")
        return Compiled([theta, direction], _pushed(prior, theta, direction), mode=self.mode)

    def _lik_curvature(self) -> Any:
        theta, [log_lik] = self._over_draws([self.graph.log_lik])
        direction, weight = pt.matrix("direction", dtype="float64"), pt.vector("weight", dtype="float64")
        total = (weight * log_lik).sum(axis=1)
        inputs = [theta, direction, weight, *self._inputs("log_lik")]
        return Compiled(inputs, _pushed(total, theta, direction), mode=self.mode)


def _pushed(total: Any, theta: Any, direction: Any) -> Any:
    """``−H v`` for each point and direction; stabilised before each differentiation."""
    gradient = pt.grad(rewrite_pregrad(total).sum(), theta, disconnected_inputs="ignore")
    along: Any = (rewrite_pregrad(gradient) * direction).sum()
    pushed: Any = pt.grad(along, theta, disconnected_inputs="ignore")
    return -pushed


def _by_differences(model: CurvedPyMCModel, theta: np.ndarray, rows: Rows, weight: np.ndarray) -> np.ndarray:
    """Minus the Hessian from gradients at four points along each axis, (P, P)."""
    P, step = len(theta), STEP * np.maximum(1.0, np.abs(theta))
    shifts = np.array([-2.0, -1.0, 1.0, 2.0])
    points = theta + shifts[:, None, None] * np.diag(step)
    gradient = model.log_target_and_grad(points.reshape(-1, P), rows, weight)[1].reshape(4, P, P)
    columns = np.einsum("k,kpq->pq", np.array([1.0, -8.0, 8.0, -1.0]) / 12, gradient) / step[:, None]
    return -(columns + columns.T) / 2
