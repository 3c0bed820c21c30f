"""Graphs over many draws at once, compiled."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
import pymc as pm
import pytensor.tensor as pt
from pytensor.graph.basic import Variable
from pytensor.graph.replace import vectorize_graph


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
        return pm.compile(
            list(inputs), outputs, mode=mode, trust_input=True, on_unused_input="ignore", random_seed=False
        )
