"""The compiled density in coordinates in which some draws have covariance I: what runs sample that start from draws."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import numba
import numpy as np
from llvmlite import ir
from numba.core import types
from numba.extending import intrinsic
from scipy.linalg import solve_triangular

from bayesrepair.bridges.pymc.callable_target import callable_target
from bayesrepair.bridges.pymc.compiled_density import DENSITY, EXPANDED
from bayesrepair.bridges.pymc.compiled_gradient import CompiledGradient
from bayesrepair.bridges.pymc.graph import RowGraph
from bayesrepair.bridges.pymc.jax_gradient import JaxGradient
from bayesrepair.numerics.covariance import covariance_factor, spread
from bayesrepair.numerics.simd import kernel
from bayesrepair.posterior import Draws

_WORDS = 7  # of the record that nutpie hands to a density: addresses, and whether L is a diagonal
_AT_ONCE = 4  # columns of L
_typed: Any = intrinsic  # a function of the typing context as well, which callers leave out


@dataclass(frozen=True, eq=False)
class Whitening:
    """``u = centre + L z``, and θ_i = u_i, or ``b_i asinh(u_i / b_i)`` where b_i is positive.

    A parameter that the model takes the hyperbolic sine of has, far out, next to no room for much to change; in u it
    has more, and near zero u is θ.

    Parameters
    ----------
    centre : array, shape (P,)
    factor : array, shape (P, P) or (P,)
        Lower triangular L, or its diagonal where there is nothing else.
    bend : array, shape (P,)
        b.
    """

    centre: np.ndarray
    factor: np.ndarray
    bend: np.ndarray

    @classmethod
    def of(cls, draws: Draws, bend: np.ndarray | None = None, *, diagonal: bool = False) -> Whitening:
        """The coordinates in which weighted draws have mean 0 and covariance I, or (``diagonal``) variances of 1."""
        bend = np.zeros(draws.theta.shape[1]) if bend is None else bend
        u = _stretched(draws.theta, bend)
        factor = spread if diagonal else covariance_factor
        return cls(draws.weights @ u, factor(u, draws.weights), bend)

    @property
    def is_diagonal(self) -> bool:
        """Whether correlations are left alone."""
        return self.factor.ndim == 1

    def theta(self, z: np.ndarray) -> np.ndarray:
        """Back from z, (P,) → (P,)."""
        theta = self.centre + (self.factor * z if self.is_diagonal else self.factor @ z)
        bent = self.bend > 0
        theta[bent] = self.bend[bent] * np.arcsinh(theta[bent] / self.bend[bent])
        return theta

    def z(self, theta: np.ndarray) -> np.ndarray:
        """Whitened coordinates, (P,) → (P,)."""
        apart = _stretched(theta, self.bend) - self.centre
        return apart / self.factor if self.is_diagonal else solve_triangular(self.factor, apart, lower=True)

    def pulled_back(self, slope: np.ndarray) -> np.ndarray:
        """``Lᵀ`` times a gradient in u, (P,) → (P,)."""
        return self.factor * slope if self.is_diagonal else slope @ self.factor

    def slope(self, theta: np.ndarray) -> np.ndarray:
        """``dθ/du = 1 / cosh(θ / b)``, (..., P) → (..., P)."""
        bent = self.bend > 0
        return np.where(bent, 1 / np.cosh(theta / np.where(bent, self.bend, np.inf)), 1.0)

    def log_jacobian(self, theta: np.ndarray) -> np.ndarray:
        """``log |dθ/dz|`` less the constant ``log |L|``, (..., P) → (...)."""
        return np.log(self.slope(theta)).sum(axis=-1)


def _stretched(theta: np.ndarray, bend: np.ndarray) -> np.ndarray:
    """``b sinh(θ / b)`` where b is positive."""
    bent = bend > 0
    u = np.array(theta, dtype=float)
    u[..., bent] = bend[bent] * np.sinh(u[..., bent] / bend[bent])
    return u


def whitened_target(
    gradient: CompiledGradient | JaxGradient, graph: RowGraph, start: Draws, whitening: Whitening
) -> Any:
    """A model for nutpie whose variables are those of the graph, sampled in other coordinates.

    Its density is that of θ times ``|dθ/du|``. Machine code is called by machine code; a density of JAX by way of
    Python.

    Parameters
    ----------
    gradient : CompiledGradient or JaxGradient
    graph : RowGraph
    start : Draws
        Chains start from some of them.
    whitening : Whitening

    Returns
    -------
    nutpie.compile_pymc.CompiledPyMCModel or nutpie.compiled_pyfunc.PyFuncModel
    """

    def first(seed: Any = None) -> np.ndarray:
        return whitening.z(start.theta[np.random.default_rng(seed).choice(len(start), p=start.weights)])

    if isinstance(gradient, CompiledGradient):
        return _compiled(gradient.compiled, whitening, first)

    def density(z: np.ndarray) -> tuple[float, np.ndarray]:
        theta = whitening.theta(z)
        value, slope = gradient.at(theta)
        narrow, curved = whitening.slope(theta), whitening.bend > 0
        slope[curved] -= np.tanh(theta[curved] / whitening.bend[curved]) / whitening.bend[curved]
        return value + float(np.log(narrow).sum()), whitening.pulled_back(slope * narrow)

    return callable_target(graph, density, whitening.theta, first)


def _compiled(model: Any, whitening: Whitening, first: Callable[[Any], np.ndarray]) -> Any:
    """The model with a step before and after its machine code; nothing is compiled anew."""
    parts = (whitening.centre, whitening.factor, whitening.bend, whitening.factor.T)
    arrays = [np.array(part, dtype=float, order="C") for part in parts]
    density, drawn = _machine_code()
    *addresses, turned = (part.ctypes.data for part in arrays)
    density_and_data = model.compiled_logp_func.address, model.user_data.ctypes.data
    record = np.array([*density_and_data, *addresses, whitening.is_diagonal, turned], dtype=np.uint64)
    return replace(
        model,
        compiled_logp_func=density,
        compiled_expand_func=drawn,
        initial_point_func=first,
        user_data=record,
        logp_func=(model, arrays),  # what lies at these addresses lives as long as the result
    )


@cache
def _machine_code() -> tuple[Any, Any]:
    """What nutpie calls for a density, and for a draw as it is recorded; one compilation for all models."""
    return numba.cfunc(DENSITY, cache=True)(_density), numba.cfunc(EXPANDED, cache=True)(_drawn)


@_typed
def _call(_typing: Any, address: Any, size: Any, x: Any, slope: Any, value: Any, data: Any) -> Any:
    """Call a density of nutpie's by its address."""

    def generate(_context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        word = ir.IntType(64)
        function = builder.inttoptr(arguments[0], ir.FunctionType(word, [word] * 5).as_pointer())
        return builder.call(function, arguments[1:])

    return types.int64(*[types.uint64] * 6), generate


@_typed
def _at(_typing: Any, address: Any) -> Any:
    """The doubles at an address."""

    def generate(_context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        return builder.inttoptr(arguments[0], ir.DoubleType().as_pointer())

    return types.CPointer(types.double)(types.uint64), generate


@kernel
def _theta(size: Any, z: Any, record: Any, out: Any) -> None:
    """θ of z; the record: addresses of density, its data, centre, L and b; whether L is a diagonal; address of Lᵀ."""
    centre, turned = numba.carray(_at(record[2]), (size,)), numba.carray(_at(record[6]), (size, size))
    bend, scale = numba.carray(_at(record[4]), (size,)), numba.carray(_at(record[3]), (size,))
    for i in range(size):
        out[i] = centre[i] + scale[i] * z[i] if record[5] else centre[i]
    if not record[5]:
        whole = size // _AT_ONCE * _AT_ONCE
        for j in range(0, whole, _AT_ONCE):  # columns of L, so that nothing is summed up along the innermost loop
            a, b, c, d = z[j], z[j + 1], z[j + 2], z[j + 3]
            for i in range(j, size):
                out[i] += turned[j, i] * a + turned[j + 1, i] * b + turned[j + 2, i] * c + turned[j + 3, i] * d
        for j in range(whole, size):
            for i in range(j, size):
                out[i] += turned[j, i] * z[j]
    for i in range(size):
        if bend[i] > 0:
            out[i] = bend[i] * np.arcsinh(out[i] / bend[i])


@kernel
def _pulled_back(size: Any, theta: Any, slope: Any, record: Any, out: Any) -> float:
    """The gradient in z from that in θ, and log |dθ/du|."""
    factor, scale = numba.carray(_at(record[3]), (size, size)), numba.carray(_at(record[3]), (size,))
    bend = numba.carray(_at(record[4]), (size,))
    log_jacobian = 0.0
    for j in range(size):
        out[j] = 0.0
    for i in range(size):
        pull = slope[i]
        if bend[i] > 0:
            wide = np.cosh(theta[i] / bend[i])
            log_jacobian -= np.log(wide)
            pull = (pull - np.tanh(theta[i] / bend[i]) / bend[i]) / wide
        if record[5]:
            out[i] = scale[i] * pull
        else:
            for j in range(i + 1):
                out[j] += factor[i, j] * pull
    return log_jacobian


def _density(size: Any, z: Any, gradient: Any, value: Any, data: Any) -> int:
    record = numba.carray(data, (_WORDS,), np.uint64)
    result = numba.carray(value, (1,))
    theta, slope = np.empty(size), np.empty(size)
    _theta(size, z, record, theta)
    at, to, out = np.uint64(theta.ctypes.data), np.uint64(slope.ctypes.data), np.uint64(result.ctypes.data)
    code = _call(record[0], np.uint64(size), at, to, out, record[1])
    result[0] += _pulled_back(size, theta, slope, record, gradient)
    return code


def _drawn(size: Any, _size: Any, z: Any, out: Any, data: Any) -> int:
    _theta(size, z, numba.carray(data, (_WORDS,), np.uint64), out)
    return 0
