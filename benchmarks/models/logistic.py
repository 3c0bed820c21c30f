"""Bayesian logistic regression: breast cancer, and generated data of two sizes."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pymc as pm
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import StandardScaler

import bayesrepair as br
from bayesrepair.datasets import flip_labels
from bayesrepair.posterior import Draws
from benchmarks.models.problem import Problem, fitted

_FLIPPED = 0.1


def breast_cancer(seed: int, posterior: Draws | None = None) -> Problem:
    """N = 320 rows, P = 31, 10 % of the labels flipped; 249 rows held out."""
    data = br.datasets.load("breast_cancer")
    y = (data.frame[data.target] == "malignant").astype(int)
    x = data.frame[data.features]
    x, x_test, y, y_test = train_test_split(x, y, train_size=320, stratify=y, random_state=seed)
    scaler = StandardScaler().fit(x)
    return _problem(scaler.transform(x), y, scaler.transform(x_test), y_test.to_numpy(), seed, posterior)


def synthetic(
    seed: int, posterior: Draws | None = None, *, n_rows: int = 2000, n_params: int = 10, slow: bool = False
) -> Problem:
    """Standard normal features, slopes of sd 2 / sqrt(d), 10 % of the labels flipped; 400 rows held out."""
    rng = np.random.default_rng([seed, n_rows])
    d = n_params - 1
    x = rng.standard_normal((n_rows + 400, d))
    slope = rng.normal(0, 2 / np.sqrt(d), d)
    y = (rng.random(len(x)) < 1 / (1 + np.exp(-(0.5 + x @ slope)))).astype(int)
    labels = pd.Series(y[:n_rows])
    return _problem(x[:n_rows], labels, x[n_rows:], y[n_rows:], seed, posterior, slow=slow)


def _problem(
    x: np.ndarray,
    clean: pd.Series,
    x_test: np.ndarray,
    y_test: np.ndarray,
    seed: int,
    posterior: Draws | None,
    *,
    slow: bool = False,
) -> Problem:
    y, flipped = flip_labels(clean, rate=_FLIPPED, rng=np.random.default_rng(seed))
    with pm.Model(coords={"row": y.index, "feature": np.arange(x.shape[1])}) as model:
        features = pm.Data("x", x, dims=("row", "feature"))
        bias = pm.Normal("bias", 0, 2.5)
        slope = pm.Normal("slope", 0, 1, dims="feature")
        pm.Bernoulli("y", logit_p=bias + features @ slope, observed=y.to_numpy(), dims="row")
    fit = fitted(model, seed, posterior)
    holdout = fit.model.rows({"x": x_test, "y": y_test})
    return Problem(fit, holdout, y.index[flipped.to_numpy()].to_numpy(), clean.to_numpy(), slow=slow, log_concave=True)
