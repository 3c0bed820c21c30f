"""Where nothing is known, nothing is claimed: one chain, constant predictions, missing outcomes."""

from dataclasses import replace

import numpy as np
import pytest

import bayesrepair as br
from bayesrepair.judgement import Info, judged
from bayesrepair.oracles import LinearKnownNoise
from bayesrepair.posterior import Sampling
from bayesrepair.refit_distances import Summary, spread, summary_distances
from bayesrepair.status import DataError


@pytest.fixture(scope="module")
def fit():
    rng = np.random.default_rng(0)
    oracle = LinearKnownNoise(n_features=2)
    x = rng.normal(size=(40, 2))
    rows = oracle.rows({"x": x, "y": x.sum(1) + rng.normal(size=40)})
    return br.Fit(oracle, rows, oracle.posterior(rows).draws(500, rng))


@pytest.mark.parametrize(("rhat", "level"), [(np.nan, "checked"), (1.01, "ok"), (1.2, "unreliable")])
def test_a_refit_of_one_chain_is_not_ok(fit, rhat, level):
    sampling = Sampling(1, 500, 500, 0, rhat, 400.0, 1.0, "nuts")
    draws = replace(fit.draws, sampling=sampling)
    change = fit.change(br.Factor(fit.rows.take([1]), -1.0))
    info = judged(change, draws, Info("retrain", exact=True), np.random.default_rng(0))
    assert info.status.level == level


def test_rounding_of_a_constant_prediction_is_no_distance():
    rng = np.random.default_rng(0)

    def summary(offset):
        mean, sd = np.full((5, 1), 1e5 + offset), np.full((5, 1), 3 * offset)
        mean[0], sd[0] = rng.normal(0, 0.01), 1.0
        return Summary(mean, spread(np.square(sd), mean), np.zeros(1), np.ones(1))

    frame = summary_distances(summary(1.5e-11), [summary(0.0), summary(1.5e-11)])
    assert frame.loc["prediction mean, largest |Δ|/sd", "distance"] < 0.1
    assert frame.loc["prediction sd, average |log ratio|", "distance"] == 0
    moved = Summary(np.ones((5, 1)), np.zeros((5, 1)), np.zeros(1), np.ones(1))
    still = Summary(np.zeros((5, 1)), np.zeros((5, 1)), np.zeros(1), np.ones(1))
    assert summary_distances(moved, [still, still]).loc["prediction mean, average |Δ|/sd", "distance"] > 1e6


def test_a_missing_outcome_is_no_failure(fit):
    y = np.array(fit.rows.values["y"])
    y[3] = np.nan
    with pytest.raises(DataError, match="1 rows without it, such as 3"):
        br.find_failures(fit, fit.rows.replace(y=y))
