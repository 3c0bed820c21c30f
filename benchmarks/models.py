"""The models of B1 that this benchmark runs: logistic regression on breast cancer, hierarchical radon."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd
import pymc as pm
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import StandardScaler

import bayesrepair as br
from bayesrepair.datasets import flip_labels


@dataclass(frozen=True, eq=False)
class Problem:
    """A fitted model, held-out rows, and rows known to be bad."""

    fit: br.Fit
    holdout: br.Rows
    bad: np.ndarray
    groups: np.ndarray | None = None


def breast_cancer(seed: int, **sampling: object) -> Problem:
    """N = 320 rows, P = 31, 10 % of the labels flipped."""
    data = br.datasets.load("breast_cancer")
    y = (data.frame[data.target] == "malignant").astype(int)
    x = data.frame[data.features]
    x, x_test, y, y_test = train_test_split(x, y, train_size=320, stratify=y, random_state=seed)
    scaler = StandardScaler().fit(x)
    x, x_test = scaler.transform(x), scaler.transform(x_test)
    y, truth = flip_labels(y, rate=0.1, rng=np.random.default_rng(seed))
    with pm.Model(coords={"row": y.index, "feature": data.features}) as model:
        features = pm.Data("x", x, dims=("row", "feature"))
        bias = pm.Normal("bias", 0, 2.5)
        slope = pm.Normal("slope", 0, 1, dims="feature")
        pm.Bernoulli("y", logit_p=bias + features @ slope, observed=y.to_numpy(), dims="row")
    fit = _fit(model, sampling, seed)
    holdout = fit.model.rows({"x": x_test, "y": y_test.to_numpy()})
    return Problem(fit, holdout, y.index[truth.to_numpy()].to_numpy())


def radon(seed: int, **sampling: object) -> Problem:
    """919 homes in 85 counties, 60 of 839 training homes with gross errors; 80 homes held out; P = 90, non-centred."""
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
        columns = _radon_columns(train)
        county, floor, uranium = (pm.Data(name, values, dims="row") for name, values in columns.items())
        intercept, on_floor, on_uranium = (pm.Normal(n, 0, 2) for n in ("intercept", "on_floor", "on_uranium"))
        spread, noise = pm.HalfNormal("spread", 1), pm.HalfNormal("noise", 2)
        z = pm.Normal("z", 0, 1, dims="county")
        mean = intercept + spread * z[county] + on_floor * floor + on_uranium * uranium
        pm.Normal("y", mean, noise, observed=y.to_numpy(), dims="row")
    fit = _fit(model, sampling, seed)
    holdout = fit.model.rows({**_radon_columns(test), "y": test["log_radon"].to_numpy()})
    return Problem(fit, holdout, bad, train["county_id"].to_numpy())


def _radon_columns(homes: pd.DataFrame) -> dict[str, np.ndarray]:
    return {
        "county_index": homes["county_id"].to_numpy() - 1,
        "floor": homes["floor"].to_numpy(dtype=float),
        "uranium": homes["log_uranium"].to_numpy(),
    }


def _fit(model: pm.Model, sampling: dict, seed: int) -> br.Fit:
    settings = {"draws": 1000, "tune": 500, "chains": 4, "cores": 1, "progressbar": False} | sampling
    return br.from_pymc(model, random_seed=seed, **settings)


MODELS: dict[str, Callable[..., Problem]] = {"breast cancer": breast_cancer, "radon": radon}
