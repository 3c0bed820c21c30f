"""Graphs over many draws at once, compiled."""

from __future__ import annotations

import threading
import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
import pymc as pm
import pytensor.tensor as pt
from numba.core.errors import NumbaError
from pytensor.graph.basic import Variable
from pytensor.graph.replace import vectorize_graph

from bayesrepair.bridges.pymc.numpy_mode import LOOP_MODE, NUMPY_MODE
from bayesrepair.status import NumericsWarning

NUMPY = "NUMPY"
"""Mode that runs at once, without compilation; see `numpy_mode`."""


LOOPS = "LOOPS"
"""Mode that runs as `NUMPY` does, but for loops that numba compiles in a second or two; see `cell_loops`."""

C = "C"
"""Mode of PyTensor that compiles C code, where there is a compiler."""

_MODES = {NUMPY: NUMPY_MODE, LOOPS: LOOP_MODE, C: "CVM"}


def unpacked(theta: Any, value_vars: Sequence[Any], shapes: Sequence[tuple[int, ...]]) -> dict:
    """Each value variable as a slice of theta (S, P), with the draws in front."""
    slices, start = {}, 0
    for variable, shape in zip(value_vars, shapes, strict=True):
        size = int(np.prod(shape))
        part = theta[:, start : start + size].reshape((theta.shape[0], *shape))
        if variable.dtype != theta.dtype:
            part = pt.cast(pt.round(part), variable.dtype)
        slices[variable] = part
        start += size
    return slices


def over_draws(
    outputs: Sequence[Variable],
    theta: Any,
    value_vars: Sequence[Variable],
    shapes: Sequence[tuple[int, ...]],
) -> list[Variable]:
    """The graphs with a leading axis of draws, whether or not they depend on the parameters."""
    batched: list[Any] = vectorize_graph(list(outputs), unpacked(theta, value_vars, shapes))
    draws = theta.shape[0]
    return [
        new if new.type.ndim > old.type.ndim else pt.broadcast_to(new, (draws, *new.shape))
        for old, new in zip(outputs, batched, strict=True)
    ]


def compiled(inputs: Sequence[Variable], outputs: Any, *, mode: str) -> Any:
    """A compiled function that trusts its inputs (dtypes and shapes are checked by the caller)."""
    with warnings.catch_warnings():
        # an operation without a numba kernel runs in Python: slower, equally right
        warnings.filterwarnings("ignore", message="Numba will use object mode", category=UserWarning)
        # said when the C backend is looked at, which is not used here
        warnings.filterwarnings("ignore", message="PyTensor could not link to a BLAS", category=UserWarning)
        return pm.compile(
            list(inputs),
            outputs,
            mode=_MODES.get(mode, mode),
            trust_input=True,
            on_unused_input="ignore",
            random_seed=False,
        )


class Compiled:
    """A function compiled in the mode asked for, or run by NumPy where numba cannot compile it; one call at a time.

    Parameters
    ----------
    inputs, outputs : sequence of Variable
    mode : str
    """

    def __init__(self, inputs: Sequence[Variable], outputs: Any, *, mode: str) -> None:
        self._graph = list(inputs), outputs
        self._lock = threading.Lock()
        self.mode = mode
        try:
            self._function = compiled(inputs, outputs, mode=mode)
        except (NotImplementedError, NumbaError) as error:
            self._in_numpy(error)
        self._tried = False

    def __call__(self, *arguments: np.ndarray) -> Any:
        """Call it; numba compiles at the first call, so that is where it can fail."""
        with self._lock, np.errstate(all="ignore"):  # log(0) and exp(800) are answers here, not accidents
            if self._tried:
                return self._function(*arguments)
            try:
                result = self._function(*arguments)
            except NumbaError as error:
                self._in_numpy(error)
                result = self._function(*arguments)
        self._tried = True
        return result

    def _in_numpy(self, error: Exception) -> None:
        if self.mode == NUMPY:
            raise error
        reason = str(error).strip().splitlines()[0]
        warnings.warn(
            f"{self.mode} cannot compile a part of this model ({reason}); NumPy runs it instead.",
            NumericsWarning,
            stacklevel=2,
        )
        self.mode = NUMPY
        self._function = compiled(*self._graph, mode=NUMPY)
