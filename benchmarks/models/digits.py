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
    """400 of the 1797 images, ten classes, the mean ink of 16 squares (standardised), P = 170; 5 % flipped.

    No reference class: the prior identifies the coefficients.
    """
    images, y = load_digits(return_X_y=True)
    x = images.reshape(-1, 4, 2, 4, 2).mean(axis=(2, 4)).reshape(-1, 16)
    x, x_test, y, y_test = train_test_split(x, y, train_size=400, test_size=200, stratify=y, random_state=seed)
    mean, sd = x.mean(axis=0), x.std(axis=0)
    x, x_test = (x - mean) / sd, (x_test - mean) / sd
    labels, flipped = flip_labels(pd.Series(y), rate=0.05, rng=np.random.default_rng(seed))
    with pm.Model(coords={"row": labels.index, "square": np.arange(16), "digit": np.arange(10)}) as model:
        squares = pm.Data("x", x, dims=("row", "square"))
        bias = pm.Normal("bias", 0, 1, dims="digit")
        slope = pm.Normal("slope", 0, 0.5, dims=("square", "digit"))
        pm.Categorical("y", logit_p=bias + squares @ slope, observed=labels.to_numpy(), dims="row")
    fit = fitted(model, seed, posterior)
    holdout = fit.model.rows({"x": x_test, "y": y_test})
    return Problem(fit, holdout, np.flatnonzero(flipped.to_numpy()), y, slow=True, log_concave=True)
