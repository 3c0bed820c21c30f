"""The density for sampling, compiled by JAX: the user's choice (``backend="jax"``) where it is the faster one."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pymc as pm
from pytensor.graph.basic import Variable
from pytensor.graph.replace import clone_replace
from pytensor.graph.rewriting.utils import rewrite_graph

from bayesrepair.bridges.pymc.callable_target import callable_target
from bayesrepair.bridges.pymc.graph import RowGraph
from bayesrepair.bridges.pymc.lowering import flattened


@dataclass(frozen=True, eq=False)
class JaxGradient:
    """Log density and gradient at many draws, one after the other, by JAX.

    Parameters
    ----------
    function : callable
        (P,) and the data, in their order → log density and its gradient (P,).
    data : mapping of str to array
    """

    function: Callable[..., tuple[Any, Any]]
    data: Mapping[str, Any]

    @property
    def inputs(self) -> Collection[str]:
        """Names of the data."""
        return self.data.keys()

    def with_data(self, data: Mapping[str, np.ndarray]) -> JaxGradient:
        """The same density of other data, of any length."""
        import jax.numpy as jnp

        return replace(self, data={name: jnp.asarray(data.get(name, kept)) for name, kept in self.data.items()})

    def at(self, theta: np.ndarray) -> tuple[float, np.ndarray]:
        """(P,) → log density, gradient (P,)."""
        value, slope = self.function(theta, *self.data.values())
        return float(value), np.array(slope)  # JAX's own memory must not be written to

    def __call__(self, theta: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(S, P) → (S,), (S, P)."""
        values, slopes = zip(*map(self.at, np.asarray(theta, dtype=float)), strict=True)
        return np.array(values), np.array(slopes)

    def target(self, graph: RowGraph, start: Callable[[Any], np.ndarray]) -> Any:
        """What `nutpie.sample` takes, with the starting point (P,) of a chain by its seed."""
        return callable_target(graph, self.at, lambda theta: theta, start)


def jax_gradient(log_density: Variable, parameters: Sequence[Any]) -> JaxGradient:
    """Compile a log density for JAX, which differentiates it.

    Parameters
    ----------
    log_density : Variable
        A scalar. Its shared variables, of unique names, can be exchanged by ``with_data``.
    parameters : sequence of Variable
        Tensors of static shapes; their flat values, one after the other, are what is sampled.

    Returns
    -------
    JaxGradient
    """
    import jax

    joined, pieces = flattened(parameters)
    stable: Any = rewrite_graph(log_density, include=("canonicalize", "stabilize"))
    with pm.Model():  # whatever model the caller has open, parameters out of bounds have density zero
        function = pm.compile([joined], clone_replace([stable], pieces), mode="JAX")
    value = function.vm.jit_fn
    compiled = jax.jit(jax.value_and_grad(lambda theta, *data: value(theta, *data)[0]))
    shared = {str(variable.name): variable.get_value() for variable in function.get_shared()}
    return JaxGradient(compiled, shared).with_data({})
