"""Hierarchical radon model, non-centred, with planted gross errors."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pymc as pm

import bayesrepair as br
from bayesrepair.posterior import Draws
from benchmarks.models.problem import Problem, fitted


def radon(seed: int, posterior: Draws | None = None) -> Problem:
    """919 homes in 85 counties, 60 of 839 training homes with errors of ±3; 80 homes held out; P = 90."""
    homes = br.datasets.load("radon").frame
    rng = np.random.default_rng(seed)
    # No county loses its last home to the held-out part.
    spare = homes.groupby("county_id").cumcount() > 0
    out = rng.choice(homes.index[spare], 80, replace=False)
    train, test = homes.drop(out), homes.loc[out]
    bad = rng.choice(train.index, 60, replace=False)
    y = train["log_radon"].copy()
    y[bad] += rng.choice([-3, 3], 60)
    counties = int(homes["county_id"].max())
    with pm.Model(coords={"row": train.index, "county": np.arange(1, counties + 1)}) as model:
        columns = _columns(train)
        county, floor, uranium = (pm.Data(name, values, dims="row") for name, values in columns.items())
        intercept, on_floor, on_uranium = (pm.Normal(n, 0, 2) for n in ("intercept", "on_floor", "on_uranium"))
        spread, noise = pm.HalfNormal("spread", 1), pm.HalfNormal("noise", 2)
        z = pm.Normal("z", 0, 1, dims="county")
        mean = intercept + spread * z[county] + on_floor * floor + on_uranium * uranium
        pm.Normal("y", mean, noise, observed=y.to_numpy(), dims="row")
    fit = fitted(model, seed, posterior)
    holdout = fit.model.rows({**_columns(test), "y": test["log_radon"].to_numpy()})
    return Problem(fit, holdout, bad, train["log_radon"].to_numpy(), train["county_id"].to_numpy())


def _columns(homes: pd.DataFrame) -> dict[str, np.ndarray]:
    return {
        "county_index": homes["county_id"].to_numpy() - 1,
        "floor": homes["floor"].to_numpy(dtype=float),
        "uranium": homes["log_uranium"].to_numpy(),
    }
