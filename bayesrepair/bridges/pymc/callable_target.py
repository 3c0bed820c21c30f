"""A density given by a function of Python, as `nutpie.sample` wants it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from bayesrepair.bridges.pymc.graph import RowGraph


def callable_target(
    graph: RowGraph,
    density: Callable[[np.ndarray], tuple[float, np.ndarray]],
    theta: Callable[[np.ndarray], np.ndarray],
    start: Callable[[Any], np.ndarray],
) -> Any:
    """A model for nutpie whose variables are those of the graph.

    Parameters
    ----------
    graph : RowGraph
    density : callable
        (P,) → log density and its gradient (P,), in the coordinates that are sampled.
    theta : callable
        From these coordinates to the parameters, (P,) → (P,).
    start : callable
        From a seed to a chain's starting point, (P,).

    Returns
    -------
    nutpie.compiled_pyfunc.PyFuncModel
    """
    from nutpie.compiled_pyfunc import from_pyfunc

    names = [str(value.name) for value in graph.value_vars]
    ends = np.cumsum([int(np.prod(shape)) for shape in graph.shapes])

    def variables(z: np.ndarray) -> dict[str, np.ndarray]:
        parts = np.split(theta(z), ends[:-1])
        return {name: part.reshape(shape) for name, part, shape in zip(names, parts, graph.shapes, strict=True)}

    return from_pyfunc(
        int(ends[-1]),
        lambda: density,
        lambda *seeds: variables,
        [np.dtype("float64")] * len(names),
        list(graph.shapes),
        names,
        make_initial_point_fn=start,
    )
