"""Softmax regression on handwritten digits."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pymc as pm
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from bayesrepair.datasets import flip_labels
from bayesrepair.posterior import Draws
from benchmarks.models.problem import Problem, fitted


def digits(seed: int, posterior: Draws | None = None) -> Problem:
    """900 of the 1797 images, ten classes, P = 650 (no reference class: the prior identifies them); 5 % flipped."""
    x, y = load_digits(return_X_y=True)
    x, x_test, y, y_test = train_test_split(x / 16, y, train_size=900, test_size=200, stratify=y, random_state=seed)
    labels, flipped = flip_labels(pd.Series(y), rate=0.05, rng=np.random.default_rng(seed))
    with pm.Model(coords={"row": labels.index, "pixel": np.arange(64), "digit": np.arange(10)}) as model:
        pixels = pm.Data("x", x, dims=("row", "pixel"))
        bias = pm.Normal("bias", 0, 1, dims="digit")
        slope = pm.Normal("slope", 0, 1, dims=("pixel", "digit"))
        pm.Categorical("y", logit_p=bias + pixels @ slope, observed=labels.to_numpy(), dims="row")
    fit = fitted(model, seed, posterior)
    holdout = fit.model.rows({"x": x_test, "y": y_test})
    return Problem(fit, holdout, np.flatnonzero(flipped.to_numpy()), y, short=True)
