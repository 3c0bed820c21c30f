"""Sampled fits shared by the whole run: one compilation costs several seconds."""

import numpy as np
import pandas as pd
import pytest

SAMPLING = {"draws": 500, "tune": 500, "chains": 4, "cores": 1, "progressbar": False}


@pytest.fixture(scope="session")
def counts() -> pd.DataFrame:
    """Eighty counts with two predictors, of ids that are no positions."""
    rng = np.random.default_rng(11)
    table = pd.DataFrame(rng.normal(size=(80, 2)), columns=["x", "z"], index=[f"row {i}" for i in range(80)])
    table["y"] = rng.poisson(np.exp(0.5 + 0.4 * table["x"] - 0.3 * table["z"]))
    return table


def poisson_model(table: pd.DataFrame):
    """Build a Poisson regression on NumPy columns."""
    import pymc as pm

    with pm.Model() as model:
        spread = pm.HalfNormal("spread", 1.0)
        slope = pm.Normal("slope", 0.0, spread, shape=2)
        level = pm.Normal("level", 0.0, 1.0)
        pm.Poisson("y", pm.math.exp(level + table[["x", "z"]].to_numpy() @ slope), observed=table["y"].to_numpy())
    return model


@pytest.fixture(scope="session")
def poisson_fit(counts):
    """Fit of `poisson_model`, sampled by the library."""
    import bayesrepair as br

    sampling = SAMPLING | {"target_accept": 0.95}
    return br.from_pymc(poisson_model(counts), data=counts, random_seed=3, **sampling)


@pytest.fixture(scope="session")
def cancer() -> pd.DataFrame:
    """Two hundred rows and six columns of breast cancer, classes as words."""
    from sklearn.datasets import load_breast_cancer

    data = load_breast_cancer(as_frame=True)
    table = data.data.iloc[:200, :6].copy()
    table["diagnosis"] = np.where(data.target[:200] == 1, "benign", "malignant")
    return table


@pytest.fixture(scope="session")
def cancer_fit(cancer):
    """Fit of a table."""
    import bayesrepair as br

    return br.from_table(cancer.iloc[:150], target="diagnosis", random_seed=5, **SAMPLING)
