"""A small Bayesian net on two moons: many modes."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pymc as pm
from sklearn.datasets import make_moons

from bayesrepair.datasets import flip_labels
from bayesrepair.posterior import Draws
from benchmarks.models.problem import Problem, fitted


def net(seed: int, posterior: Draws | None = None) -> Problem:
    """2-8-1 with tanh, P = 33, N = 300, 10 % of the labels flipped; 100 rows held out."""
    x, y = make_moons(400, noise=0.25, random_state=seed)
    labels, flipped = flip_labels(pd.Series(y[:300]), rate=0.1, rng=np.random.default_rng(seed))
    with pm.Model(coords={"row": labels.index, "feature": np.arange(2), "unit": np.arange(8)}) as model:
        features = pm.Data("x", x[:300], dims=("row", "feature"))
        into = pm.Normal("into", 0, 1.5, dims=("feature", "unit"))
        shift = pm.Normal("shift", 0, 1.5, dims="unit")
        out = pm.Normal("out", 0, 1.5, dims="unit")
        bias = pm.Normal("bias", 0, 1.5)
        hidden = pm.math.tanh(features @ into + shift)
        pm.Bernoulli("y", logit_p=bias + hidden @ out, observed=labels.to_numpy(), dims="row")
    fit = fitted(model, seed, posterior)
    holdout = fit.model.rows({"x": x[300:], "y": y[300:]})
    return Problem(fit, holdout, np.flatnonzero(flipped.to_numpy()), y[:300], slow=True)
