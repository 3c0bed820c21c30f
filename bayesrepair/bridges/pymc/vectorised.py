"""Graphs over many draws at once, compiled."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
import pymc as pm
import pytensor.tensor as pt
from numba.core.errors import NumbaError
from pytensor.compile.mode import Mode
from pytensor.graph.basic import Variable
from pytensor.graph.replace import vectorize_graph
from pytensor.graph.rewriting.db import RewriteDatabaseQuery
from pytensor.link.vm import VMLinker

from bayesrepair.status import NumericsWarning

PYTHON = "PYTHON"
"""Mode without compilation but with every rewrite that keeps log densities exact in the tails (unlike PyTensor's
FAST_COMPILE, where log(sigmoid(-800)) is -inf); elementwise fusion would loop in Python, so it is left out."""
_PYTHON = Mode(
    VMLinker(use_cloop=False, c_thunks=False),
    # Sums stay sums of two: NumPy takes 32 operands at most, and a model of 40 parameters has 40 log priors.
    RewriteDatabaseQuery(
        include=["fast_run", "py_only"],
        exclude=["fusion", "add_mul_fusion", "local_add_canonizer"],
    ),
)


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
            mode=_PYTHON if mode == PYTHON else mode,
            trust_input=True,
            on_unused_input="ignore",
            random_seed=False,
        )


class Compiled:
    """A function compiled in the mode asked for, or in Python where numba cannot compile it.

    Parameters
    ----------
    inputs, outputs : sequence of Variable
    mode : str
    """

    def __init__(self, inputs: Sequence[Variable], outputs: Any, *, mode: str) -> None:
        self._graph = list(inputs), outputs
        self.mode = mode
        try:
            self._function = compiled(inputs, outputs, mode=mode)
        except (NotImplementedError, NumbaError) as error:
            self._in_python(error)
        self._tried = False

    def __call__(self, *arguments: np.ndarray) -> Any:
        """Call it; numba compiles at the first call, so that is where it can fail."""
        if self._tried:
            return self._function(*arguments)
        try:
            result = self._function(*arguments)
        except NumbaError as error:
            self._in_python(error)
            result = self._function(*arguments)
        self._tried = True
        return result

    def _in_python(self, error: Exception) -> None:
        if self.mode == PYTHON:
            raise error
        reason = str(error).strip().splitlines()[0]
        warnings.warn(
            f"{self.mode} cannot compile a part of this model ({reason}); it runs in Python, slower.",
            NumericsWarning,
            stacklevel=2,
        )
        self.mode = PYTHON
        self._function = compiled(*self._graph, mode=PYTHON)
