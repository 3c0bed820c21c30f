"""The density that was compiled for sampling, evaluated at many draws: one compilation serves refits and edits."""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from bayesrepair.bridges.pymc.graph import RowGraph

_SIGNATURE = ctypes.CFUNCTYPE(
    ctypes.c_int64, ctypes.c_uint64, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p
)
_FLOAT = 8  # bytes
_RAISED = 1  # nutpie's code for an exception inside; 3 and 4 (not finite) come with their values


@dataclass(frozen=True, eq=False)
class CompiledGradient:
    """Log density and gradient at many draws from the function that nutpie samples.

    Draw by draw, fused loops in machine code: seven times as fast as whole blocks in NumPy for a hierarchical normal
    model, three times for a softmax, and no slower for a logistic regression.

    Parameters
    ----------
    compiled : nutpie.compile_pymc.CompiledPyMCModel
        With the data in place.
    """

    compiled: Any
    _function: Any = field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_function", _SIGNATURE(self.compiled.compiled_logp_func.address))

    @property
    def inputs(self) -> Collection[str]:
        """Names of the data; what the density does not depend on was simplified away."""
        return {variable.name for variable in self.compiled.shared_var_keys}

    def with_data(self, data: Mapping[str, np.ndarray]) -> CompiledGradient:
        """The same density of other data, of any length."""
        return CompiledGradient(self.compiled.with_data(**data))

    def target(self, graph: RowGraph, start: Callable[[Any], np.ndarray]) -> Any:
        """What `nutpie.sample` takes, with the starting point (P,) of a chain by its seed."""
        return replace(self.compiled, initial_point_func=start)

    def __call__(self, theta: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(S, P) → (S,), (S, P); where the density cannot be evaluated −inf and nan."""
        theta = np.ascontiguousarray(theta, dtype=float)
        size = theta.shape[1]
        value, gradient = np.empty(len(theta)), np.empty(theta.shape)
        data, step = self.compiled.user_data.ctypes.data, _FLOAT * size
        at, slope, result = theta.ctypes.data, gradient.ctypes.data, value.ctypes.data
        function = self._function
        for i in range(len(theta)):
            if function(size, at + step * i, slope + step * i, result + _FLOAT * i, data) == _RAISED:
                value[i], gradient[i] = -np.inf, np.nan
        return value, gradient
