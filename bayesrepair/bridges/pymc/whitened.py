"""The compiled density in coordinates in which some draws have covariance I: what a short run starts from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.linalg import solve_triangular

from bayesrepair.bridges.pymc.callable_target import callable_target
from bayesrepair.bridges.pymc.compiled_gradient import CompiledGradient
from bayesrepair.bridges.pymc.graph import RowGraph
from bayesrepair.bridges.pymc.jax_gradient import JaxGradient
from bayesrepair.numerics.covariance import covariance_factor
from bayesrepair.posterior import Draws


@dataclass(frozen=True, eq=False)
class Whitening:
    """``θ = centre + L z``.

    Parameters
    ----------
    centre : array, shape (P,)
    factor : array, shape (P, P)
        Lower triangular L.
    """

    centre: np.ndarray
    factor: np.ndarray

    @classmethod
    def of(cls, draws: Draws) -> Whitening:
        """The coordinates in which weighted draws have mean 0 and covariance I."""
        return cls(draws.weights @ draws.theta, covariance_factor(draws.theta, draws.weights))

    def theta(self, z: np.ndarray) -> np.ndarray:
        """Back from z, (P,) → (P,)."""
        return self.centre + self.factor @ z

    def z(self, theta: np.ndarray) -> np.ndarray:
        """Whitened coordinates, (P,) → (P,)."""
        return solve_triangular(self.factor, theta - self.centre, lower=True)


def whitened_target(gradient: CompiledGradient | JaxGradient, graph: RowGraph, start: Draws) -> Any:
    """A model for nutpie whose variables are those of the graph, sampled in the coordinates of some draws.

    Parameters
    ----------
    gradient : CompiledGradient or JaxGradient
    graph : RowGraph
    start : Draws
        Chains start from some of them.

    Returns
    -------
    nutpie.compiled_pyfunc.PyFuncModel
    """
    whitening = Whitening.of(start)

    def density(z: np.ndarray) -> tuple[float, np.ndarray]:
        value, slope = gradient(whitening.theta(z)[None])
        return float(value[0]), slope[0] @ whitening.factor

    def first(seed: Any = None) -> np.ndarray:
        return whitening.z(start.theta[np.random.default_rng(seed).choice(len(start), p=start.weights)])

    return callable_target(graph, density, whitening.theta, first)
