"""Fits that are edited already: what the next step sees is the data as they stand now."""

import numpy as np
import pytest

import bayesrepair as br
from bayesrepair.oracles import Logistic
from bayesrepair.posterior import Draws


@pytest.fixture(scope="module")
def fit():
    rng = np.random.default_rng(0)
    oracle = Logistic(n_features=3)
    x = rng.normal(size=(80, 3))
    rows = oracle.rows({"x": x, "y": (x[:, 2] + rng.logistic(size=80) > 0).astype(int)})
    draws = oracle.train(rows, start=Draws.plain(np.zeros((1000, 3))), rng=rng)
    return br.Fit(oracle, rows, draws)


@pytest.fixture(scope="module")
def relabelled(fit):
    other = {i: 1 - int(fit.rows.values["y"][i]) for i in (4, 7)}
    return br.repair(fit, [4, 7], relabel=other, method="weights", random_seed=0).after


def test_a_relabelled_row_is_deleted_with_the_outcome_it_has_now(fit, relabelled):
    edited = br.repair(relabelled, [4], method="weights", random_seed=0).after
    directly = br.repair(fit, [4], method="weights", random_seed=0).after
    directly = br.repair(directly, [7], relabel={7: 1 - int(fit.rows.values["y"][7])}, method="weights").after
    assert edited.net()[1].sum() == 79
    np.testing.assert_allclose(edited.draws.weights, directly.draws.weights, rtol=1e-8)


def test_a_relabelled_row_is_weakened_and_labelled_back(fit, relabelled):
    weaker = br.repair(relabelled, [4], weight=0.5, method="weights").after
    assert weaker.net()[1].sum() == 79.5
    back = br.repair(relabelled, [4, 7], relabel={i: int(fit.rows.values["y"][i]) for i in (4, 7)}).after
    np.testing.assert_array_equal(back.row_weights, 1.0)
    assert not back.draws.is_weighted


def test_an_inserted_row_of_the_same_id_is_no_relabelled_row(fit):
    gone = br.repair(fit, [4], method="weights").after
    stranger = br.Rows({name: value[[9]] for name, value in fit.rows.values.items()}, np.array([4]))
    inserted = br.edit(gone, br.Factor(stranger, 1.0), method="weights").after
    assert inserted.current()[1][4] == 0


def test_causes_of_a_relabelled_fit_show_the_new_outcomes(fit, relabelled):
    frame = br.find_causes(relabelled, fit.rows.at(np.arange(5)), progressbar=False).frame()
    assert len(frame) == 80
    assert frame.loc[4, "given"] == 1 - fit.rows.values["y"][4]


def test_deleting_a_weakened_row_takes_away_what_is_left_of_it(fit):
    weak = br.repair(fit, [4, 7], weight=0.5, method="weights").after
    failures = fit.rows.at(np.arange(20, 24))
    causes = br.find_causes(weak, failures, method="weights", progressbar=False)
    choice = br.choose_top(causes, fit.rows.at(np.arange(30)), sizes=[79], method="weights", progressbar=False)
    assert 79 in choice.curve.index
    draws, after = weak.draws, causes.after
    lik = weak.model.log_lik(draws.theta, fit.rows.take([4]))[:, 0] / 2
    exact = np.log(after.weights @ np.exp(-lik)) - np.log(draws.weights @ np.exp(-lik))
    np.testing.assert_allclose(causes.joint([4]).score, exact, atol=1e-3)
    by = causes.by(alone(causes))
    np.testing.assert_allclose(by.groups.loc["four", "joint"], exact, atol=1e-3)


def alone(causes):
    """Row 4 alone, and the others together."""
    frame = causes.frame()
    return frame["given"].astype(str).where(frame.index != 4, "four").where(frame.index == 4, "rest")
