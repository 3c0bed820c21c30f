"""How many rows to remove where failures are few: cross-fitted between two halves."""

import numpy as np
import pytest

import bayesrepair as br
from bayesrepair.choice import cross_fitted_top
from bayesrepair.oracles import Logistic
from bayesrepair.status import DataError

N, HELD, BAD = 160, 120, 20
SLOPE = np.array([5.0, -2.0, 0.0])


def story(*, bad):
    rng = np.random.default_rng(5)
    oracle = Logistic(n_features=3, prior_sd=2.0)
    x = rng.normal(size=(N + HELD, 3))
    x[:BAD, 0] = np.abs(x[:BAD, 0]) + 1.0
    y = (rng.random(len(x)) < 1 / (1 + np.exp(-x @ SLOPE))).astype(int)
    y[:bad] = 0
    rows = br.Rows({"x": x[:N], "y": y[:N]}, np.arange(N))
    fit = br.Fit(oracle, rows, oracle.train(rows, rng=np.random.default_rng(0)))
    return fit, br.find_failures(fit, br.Rows({"x": x[N:], "y": y[N:]}, np.arange(HELD)))


@pytest.fixture(scope="module")
def planted():
    return story(bad=BAD)


def choose(fit, failures, **options):
    return cross_fitted_top(fit, failures, against="held_out", method="retrain", progressbar=False, **options)


def test_cross_fitting_removes_the_planted_rows(planted):
    choice = choose(*planted, sizes=[5, 10, 20, 40, 100])
    assert 5 <= choice.k <= 40
    assert list(choice.frame().index) == [0, 5, 10, 20, 40, 100]
    assert choice.frame().loc[0, "gain"] == 0


def test_cross_fitting_leaves_clean_rows_alone():
    assert choose(*story(bad=0), sizes=[20, 40]).k == 0


def test_too_few_failures_are_refused(planted):
    fit, failures = planted
    one = br.Failures(failures.holdout, failures.judged.assign(failed=failures.judged.index == 0), "one")
    with pytest.raises(DataError, match="at least 2 failures"):
        choose(fit, one)
    with pytest.raises(DataError, match="sizes below 160"):
        choose(fit, failures, sizes=[160])
