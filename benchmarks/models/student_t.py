"""Robust regression with planted outliers."""

from __future__ import annotations

import numpy as np
import pymc as pm

from bayesrepair.posterior import Draws
from benchmarks.models.problem import Problem, fitted


def student_t(seed: int, posterior: Draws | None = None) -> Problem:
    """N = 400, P = 8 (degrees of freedom too), 20 outliers of 6 to 12 noise sds; 80 rows held out."""
    rng = np.random.default_rng([seed, 8])
    x = rng.standard_normal((480, 5))
    clean = 1 + x @ rng.normal(0, 1, 5) + rng.standard_normal(480)
    train, bad = np.arange(400), rng.choice(400, 20, replace=False)
    y = clean[:400].copy()
    y[bad] += rng.choice([-1, 1], 20) * rng.uniform(6, 12, 20)
    with pm.Model(coords={"row": train, "feature": np.arange(5)}) as model:
        features = pm.Data("x", x[:400], dims=("row", "feature"))
        intercept, slope = pm.Normal("intercept", 0, 2), pm.Normal("slope", 0, 2, dims="feature")
        scale, nu = pm.HalfNormal("scale", 2), pm.Gamma("nu", 2, 0.1)
        pm.StudentT("y", nu=nu, mu=intercept + features @ slope, sigma=scale, observed=y, dims="row")
    fit = fitted(model, seed, posterior)
    holdout = fit.model.rows({"x": x[400:], "y": clean[400:]})
    return Problem(fit, holdout, bad, clean[:400])
