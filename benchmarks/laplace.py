"""Laplace approximations: `method="laplace"` beside `pymc_extras.fit_laplace`, on the models of B1.

Both are compared with the Gaussian that NUTS draws of the same posterior would make, in the unconstrained space:
``mean`` is the largest distance of a mean in posterior sds, ``sd`` the mean |log| of the ratio of the sds. ``steepest``
is the largest slope of the log density at their mean, in units of its own sd (0 at a mode of the density of the
unconstrained parameters, whatever else was maximised), ``seconds`` are with what was left to compile. ``from there``
is what `from_pymc(model, tree, method="laplace")` makes of the other's result: Newton steps, and how far in sds it ends
from the mode found without it.

pymc-extras 0.15 asks for PyMC < 6.4 and cannot be installed beside 6.4 as a dependency, nor can it fit weighted rows:
an edit needs the library's own Newton steps. Here it is installed with ``pip install --no-deps pymc-extras``.
"""

from __future__ import annotations

import argparse
import time
import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
import pymc as pm
import xarray as xr
from pymc_extras import fit_laplace
from threadpoolctl import threadpool_limits

import bayesrepair as br
from bayesrepair.bridges.pymc.fit import TrainablePyMCModel
from bayesrepair.posterior import Draws, Gaussian
from benchmarks.editing import Bench
from benchmarks.models import MODELS
from benchmarks.results import save

SLOW = ("net", "logistic 20000 x 50")  # of no use here: many modes, and more of the same


def both(model: TrainablePyMCModel, draws: Draws) -> Iterator[dict[str, Any]]:
    """Lines of the two ways to the approximation of all rows."""
    user = model.pymc
    started = time.perf_counter()
    own = br.from_pymc(user, method="laplace", progressbar=False).posterior
    seconds = time.perf_counter() - started
    yield {"way": "bayesrepair", "seconds": seconds} | _told(model, own.mean, np.linalg.inv(own.precision), draws)
    started = time.perf_counter()
    try:
        tree = fit_laplace(model=user, random_seed=0, progressbar=False)
    except Exception as error:  # noqa: BLE001 - a peer that breaks is a line of the table
        yield {"way": "pymc-extras", "seconds": time.perf_counter() - started, "says": type(error).__name__}
        return
    seconds = time.perf_counter() - started
    mean, covariance = _gaussian(model, tree["fit"])
    says = "success" if bool(tree["optimizer_result"]["success"]) else "no success"
    line = {"way": "pymc-extras", "seconds": seconds, "says": says} | _told(model, mean, covariance, draws)
    yield line | {"from there": _from_there(user, tree, own)}


def _gaussian(model: TrainablePyMCModel, fitted: xr.DataTree) -> tuple[np.ndarray, np.ndarray]:
    """Mean and covariance of pymc-extras in this library's order of the parameters."""
    names = [str(name).split("[")[0] for name in fitted["rows"].to_numpy()]
    order = np.concatenate([np.flatnonzero(np.array(names) == var.name) for var in model.graph.value_vars])
    covariance = fitted["covariance_matrix"].to_numpy()
    return fitted["mean_vector"].to_numpy()[order], covariance[np.ix_(order, order)]


def _told(model: TrainablePyMCModel, mean: np.ndarray, covariance: np.ndarray, draws: Draws) -> dict[str, float]:
    rows = model.training
    slope = model.log_target_and_grad(mean[None], rows, np.ones(len(rows)))[1][0]
    sd, true = np.sqrt(np.diag(covariance)), draws.theta.std(axis=0)
    return {
        "mean": float(np.max(np.abs(mean - draws.theta.mean(axis=0)) / true)),
        "sd": float(np.mean(np.abs(np.log(sd / true)))),
        "steepest": float(np.max(np.abs(slope) * sd)),
    }


def _from_there(user: pm.Model, tree: xr.DataTree, own: Gaussian) -> str:
    try:
        found = br.from_pymc(user, tree, method="laplace", progressbar=False).posterior
    except br.BayesRepairError as error:
        return f"{type(error).__name__}: {error}".splitlines()[0]
    off = np.max(np.abs(found.mean - own.mean) / np.sqrt(np.diag(np.linalg.inv(own.precision))))
    assert found.search is not None  # it was searched for
    return f"{found.search.steps} steps, {off:.1e} sd off"


def main(argv: list[str]) -> None:
    """Run the models that are asked for, and write the table where all are."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks laplace", description=__doc__.splitlines()[0])
    every = [name for name in MODELS if name not in SLOW]
    parser.add_argument("--model", choices=every, action="append", help="one model; may be repeated")
    asked = parser.parse_args(argv).model or every
    lines = []
    for name in asked:
        with threadpool_limits(1), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            fit = Bench.of(name, 0).problem.fit
            assert isinstance(fit.model, TrainablePyMCModel)  # every model of B1 is one
            for line in both(fit.model, fit.draws):
                lines.append({"model": name} | line)
                print(lines[-1], flush=True)
    frame = pd.DataFrame(lines)
    if asked == every:
        save("laplace", frame, table=frame.fillna("").set_index(["model", "way"]), about=__doc__.strip())
