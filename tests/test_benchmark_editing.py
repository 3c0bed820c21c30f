"""The yardstick of the editing benchmark: distances, the parts of an error, the rules, and a peer on a closed form."""

import numpy as np
import pandas as pd
import pytest

import bayesrepair as br
from bayesrepair.oracles import NormalNormal
from bayesrepair.posterior import Draws
from benchmarks.distances import bias_and_noise, distance, reference, summaries
from benchmarks.edits import edits
from benchmarks.models import Problem
from benchmarks.peers import moment_matching
from benchmarks.verdict import failed, judge, refits

METRICS = ("e", "max", "log_sd", "q05", "q95")


def draws(theta):
    return Draws.plain(np.reshape(theta, (-1, 1)), np.repeat(np.arange(4), len(theta) // 4))


@pytest.fixture(scope="module")
def problem():
    rng = np.random.default_rng(0)
    oracle = NormalNormal(prior_mean=0.0, prior_sd=10.0, noise_sd=1.0)
    rows = oracle.rows({"y": np.append(rng.standard_normal(39), 20.0)})
    holdout = oracle.rows({"y": rng.standard_normal(60)})
    fit = br.Fit(oracle, rows, draws(oracle.posterior(rows).draws(4000, rng).theta[:, 0]))
    return Problem(fit, holdout, np.array([39]))


@pytest.fixture(scope="module")
def pool(problem):
    rng = np.random.default_rng(1)
    return reference(problem, [draws(rng.standard_normal(4000)) for _ in range(5)])


def test_a_shift_and_a_stretch_are_measured_in_posterior_sds(problem, pool):
    rng = np.random.default_rng(2)
    found = distance(summaries(problem, draws(0.5 + 1.2 * rng.standard_normal(4000)))["natural"], pool["natural"])
    np.testing.assert_allclose(found["e"], 0.5, atol=0.08)
    np.testing.assert_allclose(found["log_sd"], np.log(1.2), atol=0.05)
    np.testing.assert_allclose(found["q05"], abs(0.5 - 0.2 * 1.645), atol=0.15)
    np.testing.assert_allclose(found["q95"], 0.5 + 0.2 * 1.645, atol=0.15)


def test_noise_of_refits_is_that_of_independent_draws(pool):
    expected = np.sqrt(2 / np.pi * (1 / 4000 + 1 / 16000))
    np.testing.assert_allclose(pool["natural noise"]["e"].mean(), expected, rtol=0.9)
    np.testing.assert_allclose(pool["natural"]["sd"], 1, atol=0.05)


def test_weighted_draws_are_summarised_with_their_weights(problem):
    theta = np.random.default_rng(3).standard_normal(4000)
    shifted = Draws(theta[:, None], 0.3 * theta, np.repeat(np.arange(4), 1000))  # N(0, 1) · exp(.3 θ) is N(.3, 1)
    found = summaries(problem, shifted)["natural"]
    np.testing.assert_allclose(found["mean"], 0.3, atol=0.08)
    np.testing.assert_allclose(found["sd"], 1, atol=0.06)
    np.testing.assert_allclose(found["q95"], 0.3 + 1.645, atol=0.15)


def test_bias_and_noise_add_up_to_the_squared_distance():
    pool = {"mean": np.zeros(3), "sd": np.ones(3), "error": np.full(3, 0.03)}
    found = bias_and_noise({"mean": np.full(3, 0.3), "error": np.full(3, 0.1)}, pool)
    np.testing.assert_allclose(found["bias"] ** 2 + found["mc"] ** 2 + 0.03**2, 0.3**2)
    np.testing.assert_allclose(found["ess_seen"], 100)
    assert bias_and_noise({"mean": np.full(3, 0.1), "error": np.full(3, 0.2)}, pool)["bias"] == 0


def test_error_of_the_mean_is_seen_in_the_chains(problem):
    rng = np.random.default_rng(4)
    errors = [summaries(problem, draws(rng.standard_normal(400)))["natural"]["error"][0] for _ in range(60)]
    np.testing.assert_allclose(np.sqrt(np.mean(np.square(errors))), 1 / np.sqrt(400), rtol=0.25)


def line(**values):
    noise = {f"{prefix}{name}_noise": 0.02 for prefix in ("", "natural_") for name in METRICS}
    each = {f"{prefix}{name}_each": [0.02, 0.3] for prefix in ("", "natural_") for name in METRICS}
    good = {f"{prefix}{name}": 0.02 for prefix in ("", "natural_") for name in METRICS}
    about = {"model": "m", "seed": 0, "edit": "e", "rung": "auto", "status": "ok"}
    times = {"seconds": 1, "cpu": 1, "refit_seconds": 2, "refit_wall": 2, "refit_cpu": 2}
    return about | noise | each | good | times | values


@pytest.mark.parametrize("name", METRICS)
def test_each_part_of_the_strict_rule_can_fail_alone(name):
    frame = pd.DataFrame([line(), line(**{name: 0.21}), line(**{name: np.nan})])
    np.testing.assert_array_equal(failed(frame)[name], [False, True, True])
    np.testing.assert_array_equal(judge(frame)["strict"], [True, False, False])
    assert judge(frame)["fails"].tolist() == ["", name, name]


def test_false_ok_and_false_alarm():
    frame = judge(pd.DataFrame([line(e=0.07), line(e=0.09), line(status="unreliable"), line(e=0.09, status="checked")]))
    np.testing.assert_array_equal(frame["false_ok"], [False, True, False, False])
    np.testing.assert_array_equal(frame["false_alarm"], [False, False, True, False])
    np.testing.assert_allclose(frame["cost"], 0.5)


def test_refits_are_judged_by_the_same_rule():
    np.testing.assert_array_equal(refits(pd.DataFrame([line(), line(rung="weights")]))["strict"], [True, False])


def test_moment_matching_deletes_an_outlier(problem):
    change = [br.Factor(problem.fit.rows.take([39]), -1.0)]
    after, found = moment_matching(problem.fit, change, 0)
    truth = problem.fit.model.posterior(problem.fit.rows.drop([39])).mean[0]
    before = problem.fit.draws.theta.mean()
    plain = br.edit(problem.fit, change, method="weights", random_seed=0)
    assert plain.info.khat > 0.7 > found["khat"]
    assert abs(before - truth) > 0.4
    np.testing.assert_allclose(after.weights @ after.theta[:, 0], truth, atol=0.02)


def test_edits_leave_no_weight_below_zero_and_relabel_in_place(problem):
    found = edits(problem, 0)
    for edit in found.values():
        problem.fit.change(*edit)  # raises where a weight falls below zero
    before, after = found["relabel 20"]
    np.testing.assert_array_equal(before.rows.row, after.rows.row)
    np.testing.assert_array_equal(before.powers + after.powers, 0)
