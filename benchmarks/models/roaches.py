"""Roaches after a pest treatment: the classic hard case for importance weights.

Poisson without an over-dispersion term: single flats have log-likelihoods in the hundreds. Negative binomial: the
Poisson whose Gamma effect of each flat is integrated out (a latent of each row would be refused for new rows), and on
top of it random intercepts. The table has no groups of its own; the deciles of the count before the treatment serve.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
import pymc as pm

import bayesrepair as br
from bayesrepair.posterior import Draws
from benchmarks.models.problem import Problem, fitted

_HELD_OUT = 60


def poisson(seed: int, posterior: Draws | None = None) -> Problem:
    """202 flats, P = 4; 60 flats held out; no errors planted."""
    train, test = _split(seed)
    with pm.Model(coords={"row": train.index}) as model:
        rate = _rate(_data(train))
        pm.Poisson("y", rate, observed=train["y"].to_numpy(), dims="row")
    return _problem(model, train, test, seed, posterior)


def negative_binomial(seed: int, posterior: Draws | None = None) -> Problem:
    """The same flats, P = 16: random intercepts of ten groups, non-centred, and a dispersion."""
    train, test = _split(seed)
    with pm.Model(coords={"row": train.index, "decile": np.arange(10)}) as model:
        data = _data(train)
        group = pm.Data("decile_index", train["decile"].to_numpy(), dims="row")
        spread, z = pm.HalfNormal("spread", 1), pm.Normal("z", 0, 1, dims="decile")
        rate = _rate(data) * pm.math.exp(spread * z[group])
        pm.NegativeBinomial("y", mu=rate, alpha=pm.Exponential("alpha", 1), observed=train["y"].to_numpy(), dims="row")
    return _problem(model, train, test, seed, posterior, groups=train["decile"].to_numpy())


def _split(seed: int) -> tuple[pd.DataFrame, pd.DataFrame]:
    flats = br.datasets.load("roaches").frame.copy()
    # Many flats had none before: ranks break the ties, so that the groups are of equal size.
    flats["decile"] = pd.qcut(flats["roach1"].rank(method="first"), 10, labels=False)
    out = np.random.default_rng(seed).choice(flats.index, _HELD_OUT, replace=False)
    return flats.drop(out), flats.loc[out]


def _columns(flats: pd.DataFrame) -> dict[str, np.ndarray]:
    return {
        "before": flats["roach1"].to_numpy() / 100,
        "treated": flats["treatment"].to_numpy(dtype=float),
        "senior": flats["senior"].to_numpy(dtype=float),
        "exposure": flats["exposure2"].to_numpy(dtype=float),
    }


def _data(flats: pd.DataFrame) -> dict[str, pm.Data]:
    return {name: pm.Data(name, values, dims="row") for name, values in _columns(flats).items()}


def _rate(data: dict[str, pm.Data]) -> object:
    intercept = pm.Normal("intercept", 0, 5)
    slope = pm.Normal("slope", 0, 2.5, shape=3)
    linear = intercept + slope[0] * data["before"] + slope[1] * data["treated"] + slope[2] * data["senior"]
    return data["exposure"] * pm.math.exp(linear)


def _problem(
    model: pm.Model,
    train: pd.DataFrame,
    test: pd.DataFrame,
    seed: int,
    posterior: Draws | None,
    groups: np.ndarray | None = None,
) -> Problem:
    fit = fitted(model, seed, posterior)
    columns = {**_columns(test), "decile_index": test["decile"].to_numpy(), "y": test["y"].to_numpy()}
    wanted = fit.rows.values
    holdout = fit.model.rows({name: value for name, value in columns.items() if name in wanted})
    return Problem(fit, holdout, np.array([], dtype=fit.rows.row.dtype), groups=groups)
