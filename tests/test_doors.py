"""One model through three doors: a CSV file, Bambi, and hand-written PyMC give the same scores."""

import bambi as bmb
import numpy as np
import pandas as pd
import pymc as pm
import pytest

import bayesrepair as br
from bayesrepair.reading import read_table

SAMPLING = {"draws": 1000, "tune": 500, "chains": 4, "cores": 1, "progressbar": False}
FORMULA = "sick ~ dose + age"


def patients(n, rng):
    table = pd.DataFrame({"dose": rng.normal(3.0, 2.0, n), "age": rng.normal(50.0, 10.0, n)})
    risk = 1 / (1 + np.exp(-(1.2 * (table["dose"] - 3.0) - 0.1 * (table["age"] - 50.0))))
    table["sick"] = np.where(rng.random(n) < risk, "yes", "no")
    return table.rename_axis("row")


def by_hand(train, bambi_model):
    """The same density in plain PyMC: Bambi centres the predictors below the intercept."""
    term = bambi_model.parameters["p"]
    sigma = {name: float(np.ravel(t.prior.args["sigma"])[0]) for name, t in term.common_terms.items()}
    level = term.intercept_term.prior.args
    with pm.Model() as model:
        x = pm.Data("x", train[["dose", "age"]].to_numpy())
        intercept = pm.Normal("intercept", float(level["mu"]), float(level["sigma"]))
        slope = pm.Normal("slope", 0.0, np.array([sigma["dose"], sigma["age"]]), shape=2)
        centre = train[["dose", "age"]].mean().to_numpy()
        yes = pm.Data("sick_yes", (train["sick"] == "yes").to_numpy().astype(int))
        pm.Bernoulli("sick", logit_p=intercept + (x - centre) @ slope, observed=yes)
    return model


@pytest.fixture(scope="module")
def doors(tmp_path_factory):
    rng = np.random.default_rng(8)
    train, test = patients(120, rng), patients(60, rng)
    path = tmp_path_factory.mktemp("csv") / "train.csv"
    train.to_csv(path, index=False)
    from_csv = br.from_table(read_table(path).frame, target="sick", formula=FORMULA, random_seed=1, **SAMPLING)
    bambi_model = bmb.Model("sick['yes'] ~ dose + age", train, family="bernoulli")
    from_bambi = br.from_bambi(bambi_model, data=train, random_seed=2, **SAMPLING)
    from_pymc = br.from_pymc(by_hand(train, bambi_model), random_seed=3, **SAMPLING)
    arrays = {"x": test[["dose", "age"]].to_numpy(), "sick_yes": (test["sick"] == "yes").to_numpy().astype(int)}
    held_out = {"csv": test, "bambi": test, "pymc": arrays}
    fits = {"csv": from_csv, "bambi": from_bambi, "pymc": from_pymc}
    return {name: (fit, br.find_failures(fit, held_out[name])) for name, fit in fits.items()}


@pytest.mark.parametrize("other", ["bambi", "pymc"])
def test_doors_agree_on_the_failures_and_the_scores(doors, other):
    (csv_fit, csv_failures), (other_fit, other_failures) = doors["csv"], doors[other]
    gap = np.abs(csv_failures.judged["log_score"].to_numpy() - other_failures.judged["log_score"].to_numpy())
    assert gap.max() < 0.1
    shared = csv_failures.rows.row  # the same rows count as failures on both sides, close calls included
    one = br.find_causes(csv_fit, csv_failures.holdout.take(shared), progressbar=False).frame()
    two = br.find_causes(other_fit, other_failures.holdout.take(shared), progressbar=False).frame()
    two = two.reindex(one.index)
    error = np.hypot(one["mcse"], two["mcse"]).to_numpy()
    z = (one["score"] - two["score"]).to_numpy() / error
    assert np.abs(z).max() < 4.5
    np.testing.assert_allclose(one["surprise"], two["surprise"], atol=0.06)
    assert np.std(one["score"]) > 10 * np.median(error)  # the agreement is about something
