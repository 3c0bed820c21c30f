"""Failures: what counts as wrong, and how held-out rows are dealt out."""

import numpy as np
import pandas as pd
import pytest
from scipy.stats import norm

import bayesrepair as br
from bayesrepair.oracles import Logistic, NormalNormal
from bayesrepair.posterior import Draws
from bayesrepair.status import DataError, MethodError


@pytest.fixture
def classifier():
    oracle = Logistic(n_features=1)
    theta = np.full((200, 1), 2.0)
    rows = br.Rows({"x": np.ones((1, 1)), "y": np.ones(1, int)}, np.arange(1))
    return br.Fit(oracle, rows, Draws.plain(theta))


@pytest.fixture
def normal():
    oracle = NormalNormal(noise_sd=2.0)
    rows = br.Rows({"y": np.zeros(1)}, np.arange(1))
    return br.Fit(oracle, rows, Draws.plain(np.zeros((4000, 1))))


def test_wrong_classes_are_failures(classifier):
    data = pd.DataFrame({"a": [1.0, -1.0, 3.0], "y": [1, 1, 0]}, index=["right", "wrong", "badly"])
    failures = br.find_failures(classifier, data)
    frame = failures.frame()
    assert list(frame.index) == ["badly", "wrong"]  # worst first
    assert list(frame.columns) == ["given", "predicted", "prob_given", "log_score"]
    p = 1 / (1 + np.exp(-np.array([-6.0, -2.0])))
    np.testing.assert_allclose(frame["prob_given"].to_numpy(dtype=float), p)
    np.testing.assert_allclose(frame["log_score"].to_numpy(dtype=float), np.log(p))
    assert frame["predicted"].tolist() == [1, 0]
    assert len(failures) == 2
    assert failures.rows.row.tolist() == ["wrong", "badly"]
    assert failures.handled.row.tolist() == ["right"]


def test_outcomes_outside_the_interval_are_failures(normal):
    y = np.array([0.0, 3.2, 4.8, -4.8])  # ±1.96 × 2 = ±3.92
    failures = br.find_failures(normal, {"y": y})
    assert failures.rows.row.tolist() == [2, 3]
    tail = failures.judged["prob_given"].to_numpy()
    truth = 2 * norm.sf(np.abs(y) / 2)
    np.testing.assert_allclose(tail, truth, atol=4 * np.sqrt(0.25 / 4000) * 2)


def test_a_rule_of_the_users_own(normal):
    failures = br.find_failures(
        normal, {"y": np.array([0.0, 1.0])}, rule=lambda frame: (frame["given"] > 0.5).to_numpy()
    )
    assert failures.rows.row.tolist() == [1]
    with pytest.raises(MethodError, match="2 bools"):
        br.find_failures(normal, {"y": np.zeros(2)}, rule=lambda frame: np.zeros(3))


@pytest.mark.parametrize(
    ("options", "words"),
    [({"rule": "class"}, "classification"), ({"rule": "magic"}, "'interval'"), ({"level": 1.0}, "between 0 and 1")],
)
def test_rules_that_do_not_apply_are_refused(normal, options, words):
    with pytest.raises((MethodError, DataError), match=words):
        br.find_failures(normal, {"y": np.zeros(2)}, **options)


def test_parts_hold_failures_and_handled_rows_evenly(normal):
    y = np.concatenate([np.zeros(60), np.full(31, 9.0)])
    failures = br.find_failures(normal, {"y": y})
    parts = failures.split(3, random_seed=0)
    assert sorted(np.concatenate([p.holdout.row for p in parts]).tolist()) == list(range(91))
    assert max(map(len, parts)) - min(map(len, parts)) <= 1
    assert [p.holdout.row.tolist() for p in failures.split(3, random_seed=0)] == [p.holdout.row.tolist() for p in parts]


def test_predictions_of_weighted_draws_use_the_weights():
    oracle = Logistic(n_features=1)
    rows = br.Rows({"x": np.ones((1, 1)), "y": np.ones(1, int)}, np.arange(1))
    theta = np.repeat([[0.0], [3.0]], 500, axis=0)
    draws = Draws(theta, np.repeat([np.log(3.0), 0.0], 500), np.zeros(1000, int))
    frame = br.predictive.predict(br.Fit(oracle, rows, draws), rows)
    np.testing.assert_allclose(frame[1].to_numpy(), [0.75 * 0.5 + 0.25 / (1 + np.exp(-3))])
