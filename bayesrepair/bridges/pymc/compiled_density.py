"""A density compiled for nutpie, whose machine code numba keeps on disk.

Nutpie's own way from a PyMC model freezes the data of the process into the function that it hands to its sampler, so
that numba has to compile it anew in every process. Here the function is written out as text that says where in nutpie's
record of shared data each array lies. Text, graph and versions make up the name under which PyTensor's cache, in the
user's own folder, keeps the machine code.
"""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import version
from typing import Any

import numba
import numpy as np
import pandas as pd
import pymc as pm
import pytensor
import pytensor.tensor as pt
from numba.core import types
from pytensor.graph.basic import Variable
from pytensor.graph.replace import clone_replace
from pytensor.graph.rewriting.utils import rewrite_graph
from pytensor.link.numba.cache import CACHED_SRC_FUNCTIONS, compile_numba_function_src

from bayesrepair.bridges.pymc.lowering import flattened
from bayesrepair.bridges.pymc.vector_functions import with_vector_functions

_DOUBLES = types.CPointer(types.double)
DENSITY = types.int64(types.uint64, _DOUBLES, _DOUBLES, _DOUBLES, types.voidptr)
EXPANDED = types.int64(types.uint64, types.uint64, _DOUBLES, _DOUBLES, types.voidptr)
_WORD = 8  # bytes of each entry of nutpie's record
_PACKAGES = ("bayesrepair", "numba", "llvmlite", "pytensor", "nutpie")
_SOURCE = """\
def log_density(size, x_, gradient_, value_, data_):
    if size != {size}:
        return -1
    try:
        x = carray(x_, ({size},))
        {record}
        value, slope = inner(x{arrays})
        value_[0] = value[()]
        finite = True
        for i in range({size}):
            gradient_[i] = slope[i]
            finite = finite and np.isfinite(slope[i])
        if not finite:
            return 3
        if not np.isfinite(value_[0]):
            return 4
    except Exception:
        return 1
    return 0
"""


def compiled_density(
    log_density: Variable, parameters: Mapping[str, Variable], start: Callable[[Any], np.ndarray]
) -> Any:
    """Compile a log density and its gradient for `nutpie.sample`.

    Parameters
    ----------
    log_density : Variable
        A scalar. Its shared variables, of unique names, can be exchanged by ``with_data``.
    parameters : mapping of str to Variable
        Tensors of static shapes; their flat values, one after the other, are what is sampled.
    start : callable
        From a seed to a chain's starting point, shape (P,).

    Returns
    -------
    nutpie.compile_pymc.CompiledPyMCModel

    Examples
    --------
    >>> x = pt.vector("x", shape=(2,))
    >>> model = compiled_density(-0.5 * (x**2).sum(), {"x": x}, lambda seed: np.zeros(2))
    >>> model.n_dim, model.shapes
    (2, {'x': (2,)})
    """
    from nutpie.compile_pymc import CompiledPyMCModel, make_user_data

    shapes = {name: tuple(variable.type.shape) for name, variable in parameters.items()}
    size = sum(int(np.prod(shape)) for shape in shapes.values())
    function = _with_gradient(log_density, list(parameters.values()))
    keys = {variable: f"shared {i}" for i, variable in enumerate(function.get_shared())}
    data = {key: _unwritable(variable.get_value()) for variable, key in keys.items()}
    user_data = make_user_data(keys, data)
    return CompiledPyMCModel(
        dims={},
        compiled_logp_func=_machine_code(function.vm.jit_fn, size, user_data.dtype, data),
        compiled_expand_func=numba.cfunc(EXPANDED, cache=True)(_drawn),
        initial_point_func=start,
        shared_data=data,
        shared_var_keys=keys,
        user_data=user_data,
        n_expanded=size,
        shape_info=(list(shapes), [], list(shapes.values())),
        logp_func=function,
        expand_func=None,
        _n_dim=size,
        _shapes=shapes,
        _coords={"unconstrained_parameter": pd.RangeIndex(size)},
    )


def _with_gradient(log_density: Variable, parameters: Sequence[Any]) -> Any:
    """PyTensor's function (P,) → (), (P,), in numba."""
    stable: Any = rewrite_graph(log_density, include=("canonicalize", "stabilize"))
    slopes: Any = pt.grad(stable, parameters)
    gradient = pt.concatenate([slope.ravel() for slope in slopes])
    joined, pieces = flattened(parameters)
    with pm.Model():  # whatever model the caller has open, parameters out of bounds have density zero
        graphs = with_vector_functions(clone_replace([stable, gradient], pieces))
        return pm.compile([joined], graphs, mode="NUMBA")


def _unwritable(values: Any) -> np.ndarray:
    copy = np.array(values, order="C", copy=True)
    copy.flags.writeable = False
    return copy


def _machine_code(inner: Any, size: int, record: np.dtype, data: Mapping[str, np.ndarray]) -> Any:
    """The C function that nutpie calls; read from the cache where it lies there."""
    from nutpie.compile_pymc import address_as_void_pointer

    arrays = "".join(f", a{i}" for i in range(len(data)))
    text = _SOURCE.format(size=size, record="\n        ".join(_reads(record, data)), arrays=arrays)
    graph = CACHED_SRC_FUNCTIONS.get(inner.py_func)
    names = {
        "__name__": __name__,  # of the module that numba imports when it reads the cache
        "carray": numba.carray,
        "address": address_as_void_pointer,
        "np": np,
        "inner": inner,
        **{f"dtype_{i}": values.dtype for i, values in enumerate(data.values())},
    }
    keeps = graph is not None and pytensor.config.numba__cache
    depends = (text, graph, [values.dtype.str for values in data.values()], [version(name) for name in _PACKAGES])
    function: Any = compile_numba_function_src(
        text, "log_density", names, cache_key=hashlib.sha256(repr(depends).encode()).hexdigest() if keeps else None
    )
    with warnings.catch_warnings():  # large constants inside the graph: compiled in every process
        warnings.filterwarnings("ignore", "Cannot cache compiled function", category=numba.NumbaWarning)
        return numba.cfunc(DENSITY, cache=keeps)(function)


def _reads(record: np.dtype, data: Mapping[str, np.ndarray]) -> list[str]:
    """Lines that make an array of each entry of nutpie's record: its address, and its shape of today."""
    if not data:
        return []
    shared = record["shared"]
    lines = [f"record = carray(data_, ({record.itemsize // _WORD},), np.uint64)"]
    for i, (key, values) in enumerate(data.items()):
        address = _offset(shared, "data", key)
        lengths = range(_offset(shared, "shape", key), _offset(shared, "shape", key) + values.ndim)
        shape = "".join(f"int(record[{at}]), " for at in lengths)
        lines.append(f"a{i} = carray(address(record[{address}]), ({shape}), dtype_{i})")
    return lines


def _offset(shared: np.dtype, part: str, key: str) -> int:
    """Where an entry lies, in words."""
    fields, inner = shared.fields, shared[part].fields
    assert fields is not None  # nutpie's record is a structure of structures
    assert inner is not None
    return (fields[part][1] + inner[key][1]) // _WORD


def _drawn(size: Any, _size: Any, x: Any, out: Any, _data: Any) -> int:
    """What is recorded of a draw: the draw itself."""
    for i in range(size):
        out[i] = x[i]
    return 0
