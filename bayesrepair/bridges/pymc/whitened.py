"""The compiled density in coordinates in which some draws have covariance I: what a short run starts from."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.linalg import solve_triangular

from bayesrepair.bridges.pymc.compiled_gradient import CompiledGradient
from bayesrepair.bridges.pymc.graph import RowGraph
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


def whitened_target(gradient: CompiledGradient, graph: RowGraph, start: Draws) -> Any:
    """A model for nutpie whose variables are those of the graph, sampled in the coordinates of some draws.

    Parameters
    ----------
    gradient : CompiledGradient
    graph : RowGraph
    start : Draws
        Chains start from some of them.

    Returns
    -------
    nutpie.compiled_pyfunc.PyFuncModel
    """
    from nutpie.compiled_pyfunc import from_pyfunc

    whitening = Whitening.of(start)
    names = [str(value.name) for value in graph.value_vars]

    def density() -> Callable[[np.ndarray], tuple[float, np.ndarray]]:
        def at(z: np.ndarray) -> tuple[float, np.ndarray]:
            value, slope = gradient(whitening.theta(z)[None])
            return float(value[0]), slope[0] @ whitening.factor

        return at

    def expanded(*seeds: int) -> Callable[[np.ndarray], dict[str, np.ndarray]]:
        def at(z: np.ndarray) -> dict[str, np.ndarray]:
            theta, parts, first = whitening.theta(z), {}, 0
            for name, shape in zip(names, graph.shapes, strict=True):
                size = int(np.prod(shape))
                parts[name] = theta[first : first + size].reshape(shape)
                first += size
            return parts

        return at

    def first(seed: Any = None) -> np.ndarray:
        return whitening.z(start.theta[np.random.default_rng(seed).choice(len(start), p=start.weights)])

    return from_pyfunc(
        len(whitening.centre),
        density,
        expanded,
        [np.dtype("float64")] * len(names),
        list(graph.shapes),
        names,
        make_initial_point_fn=first,
    )
