"""Every result prints as a table, shows one in a notebook with what users named escaped, and gives its frame."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from bs4 import BeautifulSoup
from matplotlib import pyplot

import bayesrepair as br
from bayesrepair.model import Outcome
from bayesrepair.oracles import Logistic

BAD, GOOD = "<script>alert('class')</script>", "good & $5"
COLUMN = "<img src=x onerror=alert(1)>"
CELL = "</td><script>alert('cell')</script>"


class Named(Logistic):
    """Logistic regression whose classes have names."""

    outcome = Outcome("y", "class", (BAD, GOOD))


def _rows(rng, count):
    x = rng.normal(size=(count, 3))
    y = (x[:, 0] + 0.5 * x[:, 1] + 0.4 * rng.normal(size=count) > 0).astype(int)
    return {"x": x, "y": y}


@pytest.fixture(scope="module")
def fit():
    rng = np.random.default_rng(5)
    rows = br.Rows(_rows(rng, 120), np.array([f"<i>{i}</i>" for i in range(120)], dtype=object))
    model = Named(3, 2.0)
    return br.Fit(model, rows, model.train(rows, start=model.laplace(rows).draws(400, rng), rng=rng))


@pytest.fixture(scope="module")
def failures(fit):
    return br.find_failures(fit, br.Rows(_rows(np.random.default_rng(6), 90), np.arange(90)))


@pytest.fixture(scope="module")
def causes(fit, failures):
    return br.find_causes(fit, failures, top=10, progressbar=False)


@pytest.fixture(scope="module")
def repaired(fit, causes):
    return br.repair(fit, causes.top(10), method="retrain", random_seed=0)


def _hostile_rule(judged):
    return judged["log_score"].to_numpy() < -1


_hostile_rule.__name__ = CELL


def test_results_print_as_tables_and_escape_what_users_named(fit, failures, causes, repaired):
    rows = failures.holdout
    wrong = br.find_failures(fit, rows, rule=_hostile_rule)
    groups = causes.by(pd.Series(np.where(np.arange(120) < 60, BAD, GOOD), index=fit.rows.index, name=COLUMN))
    hostile = replace(br.receipt(repaired), status=BAD)
    choice = br.choose_top(causes, failures, sizes=[4], method="retrain", progressbar=False)
    results = [
        wrong, replace(causes, method=BAD), causes.top(10), groups, repaired, br.verify(repaired, random_seed=1),
        choice, causes.joint(causes.top(3)), hostile,
    ]  # fmt: skip
    for result in results:
        name = type(result).__name__
        soup = BeautifulSoup(result._repr_html_(), "html.parser")
        assert soup.find("table"), name
        assert not soup.find_all(["script", "img", "i"]), name
        assert isinstance(result.frame(), pd.DataFrame), name
        assert "\n" in repr(result), name
        assert f"{name}(" not in repr(result)
    choice.plot()
    pyplot.close("all")
    assert CELL in BeautifulSoup(wrong._repr_html_(), "html.parser").text
    assert COLUMN in BeautifulSoup(groups._repr_html_(), "html.parser").text
