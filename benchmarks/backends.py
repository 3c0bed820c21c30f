"""What compiles the density for refits: CPU microseconds of one gradient by numba and by JAX.

The density is that of `RefitSampler`, draw by draw as the sampler asks for it; for JAX the way through Python is part
of it. ``jax_over_numba`` above one: numba is the faster one. Best of some repetitions. Needs ``pip install '.[jax]'``.
"""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import pandas as pd

from bayesrepair.bridges.pymc.model import pymc_model
from bayesrepair.bridges.pymc.sampling import compile_target
from benchmarks.results import save
from benchmarks.scoring import KINDS, built

SIZES = (500, 8000, 50_000)
REPEATS = 5
CELLS = 4_000_000  # rows × gradients of one repetition


def microseconds(gradient: Any, theta: np.ndarray) -> float:
    """CPU time of one draw's density and gradient."""
    gradient(theta[:2])
    times = []
    for _ in range(REPEATS):
        started = time.process_time()
        gradient(theta)
        times.append(time.process_time() - started)
    return 1e6 * min(times) / len(theta)


def measured(kind: str, rows: int) -> dict[str, Any]:
    """One line of the table."""
    rng = np.random.default_rng(0)
    model = pymc_model(built(kind, np.random.default_rng(1), rows))
    theta = model.initial + 0.1 * rng.standard_normal((int(np.clip(CELLS // rows, 50, 2000)), model.n_params))
    line: dict[str, Any] = {"likelihood": kind, "rows": rows}
    values = {}
    for backend in ("numba", "jax"):
        gradient = compile_target(model.graph, 1, backend=backend).gradient
        values[backend] = gradient(theta[:5])
        line[backend] = microseconds(gradient, theta)
    for numba, jax in zip(values["numba"], values["jax"], strict=True):
        np.testing.assert_allclose(jax, numba, rtol=1e-8)
    return line | {"jax_over_numba": line["jax"] / line["numba"]}


def main(argv: list[str]) -> None:
    """Measure every likelihood and write the table."""
    lines = []
    for kind in KINDS:
        for rows in SIZES:
            lines.append(measured(kind, rows))
            print(lines[-1], flush=True)
    frame = pd.DataFrame(lines)
    table = frame.set_index(["likelihood", "rows"])
    print(f"written to {save('backends', frame, table=table, about=(__doc__ or '').strip())}")
