"""How many rows to remove where failures are few: cross-fitted."""

import numpy as np
import pytest

import bayesrepair as br
from bayesrepair.choice import cross_fitted_top
from bayesrepair.oracles import LinearKnownNoise, Logistic
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
    with pytest.raises(DataError, match="each of a failure"):
        choose(fit, one)
    with pytest.raises(DataError, match="sizes below 160"):
        choose(fit, failures, sizes=[160])


@pytest.mark.slow
@pytest.mark.parametrize("folds", [2, 5])
def test_on_clean_rows_nothing_is_removed_in_nine_runs_of_ten(folds):
    oracle = LinearKnownNoise(n_features=5, prior_sd=2.0, noise_sd=1.0)
    chosen = []
    for seed in range(150):
        rng = np.random.default_rng(seed)
        x = rng.normal(size=(350, 5))
        y = x @ np.array([1.0, -1.0, 0.5, 0.0, 0.0]) + rng.normal(size=350)
        rows = br.Rows({"x": x[:200], "y": y[:200]}, np.arange(200))
        test = br.Rows({"x": x[200:], "y": y[200:]}, np.arange(150))
        fit = br.Fit(oracle, rows, oracle.posterior(rows).draws(1000, rng))
        worst = br.find_failures(fit, test, rule=lambda judged: (judged["log_score"].rank() <= 37).to_numpy())
        options = {"method": "retrain", "progressbar": False, "sizes": [4, 10, 20, 40]}
        chosen.append(br.cross_fitted_top(fit, worst, folds=folds, **options).k)
    assert np.mean(np.array(chosen) == 0) >= 0.9
