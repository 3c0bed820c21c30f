"""B4: speed of scoring, million row × draw a CPU-second, against the limit measured in the same run.

The limit is what any dense implementation has to do: a matrix product for the linear predictor, ``exp`` and ``log1p``
in place, and the reduction ``A @ L`` of `bayesrepair.numerics.scoring` (44 rows with error bars, 2 without). A
hierarchical normal model, whose predictor is no dense product, is measured against NumPy written by hand. ``share`` is
the library's speed divided by that of its limit; ``over_pymc`` by that of ``pm.compute_log_likelihood``, without any
reduction. ``limit_over_pymc`` is the same of the limit, which no dense implementation exceeds. ``moments`` is no dense
implementation: what is summed over the draws of a normal likelihood comes from second moments of the draws, which is
all that ``find_causes(surprise=False)`` needs; surprise needs every draw of a row. The general path is the same library
with the kernels switched off; ``backend`` is what runs it, chosen by timing one block. CPU time, best of some
repetitions.
"""

from __future__ import annotations

import argparse
import time
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pymc as pm
import xarray as xr
from threadpoolctl import threadpool_limits

from bayesrepair.bridges.pymc.model import PyMCModel, pymc_model
from bayesrepair.rows import Rows
from benchmarks.guard import guard
from benchmarks.results import save

DRAWS, FEATURES, ROWS, BLOCK, GROUPS = 2000, 20, 8000, 500, 85
REPEATS = 5
REDUCTIONS = {"without errors": 2, "with errors": 44}
FEW = 200  # draws for what is slow


def best(run: Callable[[], Any], repeats: int = REPEATS) -> float:
    """Least CPU seconds of some runs."""
    run()
    times = []
    for _ in range(repeats):
        started = time.process_time()
        run()
        times.append(time.process_time() - started)
    return min(times)


def built(kind: str, rng: np.random.Generator, rows: int = ROWS) -> pm.Model:
    """A model of a likelihood on 20 columns and an intercept, or on group-specific intercepts."""
    x = rng.standard_normal((rows, FEATURES))
    with pm.Model() as model:
        X = pm.Data("x", x)
        if kind == "hierarchical normal":
            group = pm.Data("group", rng.integers(0, GROUPS, rows))
            z = pm.Normal("z", 0, 1, shape=GROUPS)
            mean = pm.Normal("a", 0, 1) + pm.HalfNormal("spread", 1) * z[group] + pm.Normal("b", 0, 1) * X[:, 0]
            pm.Normal("y", mean, pm.HalfNormal("sigma", 1), observed=rng.standard_normal(rows))
            return model
        if kind == "softmax":
            eta = pm.Normal("a", 0, 1, shape=3) + X @ pm.Normal("w", 0, 0.2, shape=(FEATURES, 3))
            pm.Categorical("y", logit_p=eta, observed=rng.integers(0, 3, rows))
            return model
        eta = pm.Normal("a", 0, 1) + X @ pm.Normal("b", 0, 0.2, shape=FEATURES)
        counts, numbers = rng.poisson(3, rows), rng.standard_normal(rows)
        match kind:
            case "Bernoulli-logit":
                pm.Bernoulli("y", logit_p=eta, observed=rng.integers(0, 2, rows))
            case "Poisson-log":
                pm.Poisson("y", pm.math.exp(eta), observed=counts)
            case "negative binomial":
                pm.NegativeBinomial("y", mu=pm.math.exp(eta), alpha=pm.HalfNormal("alpha", 2), observed=counts)
            case "normal":
                pm.Normal("y", eta, pm.HalfNormal("sigma", 1), observed=numbers)
            case "Student-t":
                pm.StudentT("y", nu=pm.Gamma("nu", 2, 0.1), mu=eta, sigma=pm.HalfNormal("sigma", 1), observed=numbers)
    return model


KINDS = (
    "Bernoulli-logit",
    "Poisson-log",
    "negative binomial",
    "normal",
    "Student-t",
    "softmax",
    "hierarchical normal",
)


def limit(kind: str, A: np.ndarray, rng: np.random.Generator) -> float:
    """CPU seconds of one block by what cannot be avoided, or, for the hierarchical model, by hand in NumPy."""
    out = np.empty((DRAWS, BLOCK))
    if kind == "hierarchical normal":
        effect, index = rng.standard_normal((DRAWS, GROUPS)), rng.integers(0, GROUPS, BLOCK)
        x, y = rng.standard_normal(BLOCK), rng.standard_normal(BLOCK)
        slope, precision, constant = rng.random((3, DRAWS, 1))

        def by_hand() -> np.ndarray:
            np.take(effect, index, axis=1, out=out)
            np.subtract(y, out, out=out)
            np.subtract(out, slope * x, out=out)
            np.square(out, out=out)
            np.multiply(out, -precision, out=out)
            np.add(out, constant, out=out)
            return A @ out

        return best(by_hand)
    classes = 3 if kind == "softmax" else 1
    coefficient, x = rng.standard_normal((DRAWS, FEATURES + 1)), rng.standard_normal((FEATURES + 1, BLOCK))

    def unavoidable() -> np.ndarray:
        for _ in range(classes):
            np.matmul(coefficient, x, out=out)
            np.exp(out, out=out)
        np.log1p(out, out=out)
        return A @ out

    return best(unavoidable)


def blockwise(model: PyMCModel, theta: np.ndarray, rows: Rows, A: np.ndarray) -> Callable[[], None]:
    """Score all rows block by block, as `find_causes` does."""
    blocks = [rows.at(np.arange(start, start + BLOCK)) for start in range(0, len(rows), BLOCK)]

    def run() -> None:
        for block in blocks:
            moments = model.log_lik_moments(theta, block)
            A @ (model.log_lik(theta, block) if moments is None else moments)

    return run


def measured(kind: str) -> list[dict[str, Any]]:
    """Every line of one likelihood."""
    rng = np.random.default_rng(0)
    model, general = (pymc_model(built(kind, np.random.default_rng(1))) for _ in range(2))
    general.kernels.refused = "switched off"
    theta = model.initial + 0.1 * rng.standard_normal((DRAWS, model.n_params))
    some = general.training.at(np.arange(BLOCK))
    general, arithmetic = general.for_scoring(theta[:FEW], some, cells=10**9)
    summing, by_moments = model.for_scoring(theta, some, cells=10**9)
    million = DRAWS * ROWS / 1e6
    pymc, lines = by_pymc(model, theta), []
    for name, height in REDUCTIONS.items():
        A = rng.standard_normal((height, DRAWS))
        fastest = DRAWS * BLOCK / 1e6 / limit(kind, A, rng)
        kernels = million / best(blockwise(model, theta, model.training, A))
        slow = blockwise(general, theta[:FEW], model.training, A[:, :FEW])
        graph = FEW * ROWS / 1e6 / best(slow, 2)
        moments = np.nan
        if by_moments.backend == "moments":
            moments = million / best(blockwise(summing, theta, model.training, A))
        speeds = {"limit": fastest, "kernels": kernels, "moments": moments, "general": graph, "pymc": pymc}
        ratios = {
            "share": kernels / fastest,
            "over_pymc": kernels / pymc,
            "moments_over_pymc": moments / pymc,
            "general_over_pymc": graph / pymc,
            "limit_over_pymc": fastest / pymc,
        }
        lines.append({"likelihood": kind, "reduction": name} | speeds | ratios | {"backend": arithmetic.backend})
    assert model.kernels.checked, str(model.kernels)  # else the general graph was measured
    return lines


def by_pymc(model: PyMCModel, theta: np.ndarray) -> float:
    """Million row × draw a CPU-second of ``pm.compute_log_likelihood``, compilation excluded."""
    values = model.constrain(theta)
    posterior = xr.Dataset(
        {
            name: (("chain", "draw", *(f"{name}_{k}" for k in range(value.ndim - 1))), value[None])
            for name, value in values.items()
        }
    )
    tree = xr.DataTree.from_dict({"posterior": posterior})

    def seconds(draws: int) -> float:
        some = xr.DataTree.from_dict({"posterior": tree["posterior"].to_dataset().isel(draw=slice(draws))})
        started = time.process_time()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            pm.compute_log_likelihood(some, model=model.pymc, progressbar=False)
        return time.process_time() - started

    seconds(2)
    few, many = (min(seconds(draws) for _ in range(2)) for draws in (2, len(theta)))
    return (len(theta) - 2) * ROWS / 1e6 / (many - few)  # without compilation, which is the same for both


def main(argv: list[str]) -> None:
    """Measure every likelihood and write the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks scoring", description=__doc__.splitlines()[0])
    parser.add_argument("--likelihood", choices=KINDS, action="append", help="one; may be repeated")
    options = parser.parse_args(argv)
    lines: list[dict[str, Any]] = []
    with threadpool_limits(1):
        for kind in options.likelihood or KINDS:
            lines += measured(kind)
            print(pd.DataFrame(lines[-len(REDUCTIONS) :]).to_string(index=False, float_format="%.3g"), flush=True)
    frame = pd.DataFrame(lines)
    if not options.likelihood:
        table = frame.set_index(["likelihood", "reduction"])
        table = table.astype(object).where(table.notna(), "")
        print(f"written to {save('scoring', frame, table=table, about=__doc__.strip())}")
        guard("scoring", frame)
