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
