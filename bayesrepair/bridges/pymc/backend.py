"""What runs a general graph over many rows: chosen by timing one block, once for a model on a machine.

Backends agree to rounding, not to the bit, and what is fastest on one block can depend on what else the machine does.
So a choice is made once: it is written into the user's cache beside what it depends on (the model's structure, the
versions, the processor), and whoever comes later reads it. A store of results keeps the choice too, and goes before
the cache. Small passes, and machines without a cache to write to, use NumPy and time nothing.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import time
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import platformdirs
import pytensor

from bayesrepair.bridges.pymc.evaluation import RowFunctions
from bayesrepair.bridges.pymc.vectorised import LOOPS, NUMPY, C
from bayesrepair.hashes import canonical
from bayesrepair.status import NumericsWarning

BACKENDS = (NUMPY, LOOPS, C, "NUMBA", "JAX")
WORTH_CELLS = 200_000_000  # draws × rows from which a second of compilation pays
WORTH_SECONDS = 60.0  # of the best so far, from which compilers are tried that take up to a minute
_SLOW_TO_COMPILE = ("NUMBA", "JAX")
_CLEARLY = 1.25  # times faster than one that comes earlier in the list
_REPEATS = 3
_AGREE: dict[str, Any] = {"rtol": 1e-7, "atol": 1e-8}
_PACKAGES = ("bayesrepair", "numpy", "numba", "pytensor", "pymc")


@dataclass(frozen=True)
class Choice:
    """A backend, and what was seen of all that were tried.

    Parameters
    ----------
    backend : str
    speeds : mapping of str to str
    """

    backend: str
    speeds: Mapping[str, str]


def is_here(backend: str) -> bool:
    """Whether a backend can be used on this machine at all."""
    if backend == "JAX":
        return find_spec("jax") is not None
    return bool(pytensor.config.cxx) if backend == C else backend in BACKENDS


def chosen(functions: RowFunctions, structure: str, theta: np.ndarray, arrays: Any, cells: int) -> Choice:
    """The backend for a pass over this many draws × rows, from the cache or by timing one block.

    Parameters
    ----------
    functions : RowFunctions
        By NumPy; what the others have to agree with.
    structure : str
        The model's structure as text.
    theta : array, shape (S, P)
    arrays : pair of dict and array
        Row-aligned arrays of a block of rows, and their positions.
    cells : int
    """
    if cells < WORTH_CELLS:
        return Choice(NUMPY, {})
    place = _place(structure, functions)
    known = _read(place)
    if known is not None:
        return known
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
    except OSError:
        return Choice(NUMPY, {"others": "not tried: no cache folder to remember the choice in"})
    return _kept(place, timed(functions, theta, arrays, cells))


def timed(functions: RowFunctions, theta: np.ndarray, arrays: Any, cells: int) -> Choice:
    """Time every backend that is here on one block; earlier ones win unless another is clearly faster."""
    reference = functions.over_rows("log_lik", theta, *arrays)
    best, least, speeds = NUMPY, np.inf, {}
    for backend in filter(is_here, BACKENDS):
        if backend in _SLOW_TO_COMPILE and least * cells < WORTH_SECONDS:
            speeds[backend] = "not tried: compiling it takes longer than it could save"
            continue
        own = functions if backend == NUMPY else RowFunctions(functions.graph, backend)
        seconds, reason = _measured(own, backend, theta, arrays, reference)
        speeds[backend] = reason or f"{1e-6 / seconds:.3g} million draws × rows a CPU second"
        if not reason and seconds * (1 if backend == NUMPY else _CLEARLY) < least:
            best, least = backend, seconds
    return Choice(best, speeds)


def _measured(
    functions: RowFunctions, backend: str, theta: np.ndarray, arrays: Any, reference: np.ndarray
) -> tuple[float, str]:
    """CPU seconds a cell, or why the backend is out."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", NumericsWarning)  # that NumPy runs it instead: said below, in the choice
            found = functions.over_rows("log_lik", theta, *arrays)
    except Exception as error:  # noqa: BLE001 - whatever a compiler says of a graph that NumPy runs, it is out
        return np.inf, f"cannot ({type(error).__name__})"
    if functions.mode_of("log_lik") != backend:
        return np.inf, "cannot compile a part of this model"
    if not np.allclose(found, reference, equal_nan=True, **_AGREE):
        return np.inf, "gives other numbers than NumPy"
    times = []
    for _ in range(_REPEATS):
        started = time.process_time()
        functions.over_rows("log_lik", theta, *arrays)
        times.append(time.process_time() - started)
    return max(min(times), 1e-9) / reference.size, ""


def _place(structure: str, functions: RowFunctions) -> Path:
    depends = {
        "structure": structure,
        "sizes": [functions.graph.regime, functions.n_params],
        "versions": {name: version(name) for name in _PACKAGES},
        "machine": [platform.machine(), platform.processor(), platform.node(), is_here(C), is_here("JAX")],
    }
    name = hashlib.sha256(canonical(depends).encode()).hexdigest()[:32]
    return platformdirs.user_cache_path("bayesrepair") / "backends" / f"{name}.json"


def _read(place: Path) -> Choice | None:
    try:
        found = json.loads(place.read_text())
        choice = Choice(str(found["backend"]), {str(k): str(v) for k, v in found["speeds"].items()})
    except (OSError, ValueError, KeyError, AttributeError):
        return None
    return choice if is_here(choice.backend) else None


def _kept(place: Path, choice: Choice) -> Choice:
    """Write a choice down; where another process was first, its choice is the one that counts."""
    written = place.with_name(f"{place.name}.{os.getpid()}")
    try:
        written.write_text(json.dumps({"backend": choice.backend, "speeds": dict(choice.speeds)}))
        try:
            os.link(written, place)  # fails where the place is taken, which renaming would not
        finally:
            written.unlink()
    except FileExistsError:
        return _read(place) or choice
    except OSError:
        return Choice(NUMPY, {"others": "not tried: no cache folder to remember the choice in"})
    return choice
