"""Graphs over many draws at once, compiled."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
import pymc as pm
import pytensor.tensor as pt
from pytensor.compile.mode import Mode
from pytensor.graph.basic import Variable
from pytensor.graph.replace import vectorize_graph
from pytensor.graph.rewriting.db import RewriteDatabaseQuery
from pytensor.link.vm import VMLinker

PYTHON = "PYTHON"
"""Mode without compilation but with every rewrite that keeps log densities exact in the tails (unlike PyTensor's
FAST_COMPILE, where log(sigmoid(-800)) is -inf); elementwise fusion would loop in Python, so it is left out."""
_PYTHON = Mode(
    VMLinker(use_cloop=False, c_thunks=False),
    RewriteDatabaseQuery(include=["fast_run", "py_only"], exclude=["fusion"]),
)


def unpacked(theta: Variable, value_vars: Sequence[Variable], shapes: Sequence[tuple[int, ...]]) -> dict:
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
    theta: Variable,
    value_vars: Sequence[Variable],
    shapes: Sequence[tuple[int, ...]],
) -> list[Variable]:
    """The graphs with a leading axis of draws, whether or not they depend on the parameters."""
    batched = vectorize_graph(list(outputs), unpacked(theta, value_vars, shapes))
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
