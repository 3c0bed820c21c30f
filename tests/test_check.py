"""The independent check: catches planted errors, leaves exact draws in peace, says what it cannot see."""

import numpy as np
import pytest

from bayesrepair.check import independent_check
from bayesrepair.glance import Glance
from bayesrepair.posterior import Draws
from bayesrepair.target import Target
from benchmarks.check import PLANTS, PROBLEMS, exact_draws, planted
from tests.cases import problem

RUNS = 12


def drawn(name):
    rng = np.random.default_rng(0)
    change = PROBLEMS[name](rng)
    return change, exact_draws(change, 8000, rng)


@pytest.fixture(scope="module", params=["logistic P=10", "linear P=6"])
def edited(request):
    return drawn(request.param)


@pytest.fixture(scope="module")
def of_many_parameters():
    return drawn("linear P=90")


@pytest.mark.parametrize(("plant", "caught"), [("nothing", 0), ("shift of a parameter", 1), ("sd of a parameter", 1)])
def test_many_parameters_hide_no_error_and_feign_none(of_many_parameters, plant, caught):
    rng = np.random.default_rng(5)
    seen = [not planted(*of_many_parameters, plant, draws=1000, rng=rng).passed for _ in range(8)]
    assert abs(np.mean(seen) - caught) <= 1 / 8


@pytest.mark.parametrize("plant", ["nothing", "harmless shift"])
def test_exact_and_harmless_draws_pass(edited, plant):
    rng = np.random.default_rng(3)
    failed = sum(not planted(*edited, plant, draws=2000, rng=rng).passed for _ in range(RUNS))
    assert failed <= 2  # at a rate of 5 % more than two of twelve happen once in fifty times


@pytest.mark.parametrize("plant", [name for name in PLANTS if name not in ("nothing", "harmless shift")])
def test_planted_errors_are_caught(edited, plant):
    rng = np.random.default_rng(4)
    caught = sum(not planted(*edited, plant, draws=2000, rng=rng).passed for _ in range(RUNS))
    assert caught >= RUNS - 2  # at a rate of 90 %, fewer happen once in ten times; the rate is near 100 %


def test_weighted_draws_are_checked_with_their_weights():
    case = problem("linear_known")
    fit = case.fit(closed=False)
    change = fit.change(case.top(3))
    draws = fit.posterior
    log_ratio = Target(change.model, change.factor.rows, change.factor.powers).log_likelihood(draws.theta)
    right = Draws(draws.theta, log_ratio, draws.chain)
    wrong = Draws(draws.theta, -log_ratio, draws.chain)
    assert independent_check(change, right, rng=np.random.default_rng(0)).passed
    assert not independent_check(change, wrong, rng=np.random.default_rng(0)).passed


def test_the_price_is_counted():
    case = problem("logistic")
    fit = case.fit(closed=False)
    change = fit.change(case.top(3))
    check = independent_check(change, fit.posterior, rng=np.random.default_rng(0))
    assert check.log_lik_evals % (3 * int(change.after.sum())) == 0
    assert check.log_lik_evals >= 3 * len(fit.posterior) * change.after.sum()
    assert check.seconds > 0
    assert check.frame().loc["acceptance", "value"] == check.acceptance


def test_target_leaves_out_rows_of_weight_zero():
    """An impossible row that was deleted must not turn the density into nan."""
    case = problem("normal")
    values = {"y": np.append(case.rows.values["y"], np.nan)}
    rows = case.model.rows(values)
    weight = np.append(np.ones(len(case.rows)), 0.0)
    theta = np.zeros((2, 1))
    assert np.isfinite(Target(case.model, rows, weight).log_density(theta)).all()
    value, gradient = Target(case.model, rows, weight).value_and_gradient(theta)
    assert np.isfinite(value).all()
    assert np.isfinite(gradient).all()


def test_a_glance_counts_the_draws_that_predictions_rest_on_and_is_not_taken_twice(monkeypatch):
    case = problem("logistic")
    fit = case.fit(closed=False)
    change = fit.change(case.top(3))
    own, repeated = fit.posterior, np.repeat(np.arange(len(fit.posterior) // 8), 8)
    clustered = Draws.plain(own.theta[repeated], own.chain)
    seen = [Glance.of(change, draws, np.random.default_rng(0)) for draws in (own, clustered)]
    assert seen[0].predictions.shape[0] == len(own)
    for name in ("ess_mean", "ess_tails"):
        assert 5 < getattr(seen[0], name) / getattr(seen[1], name) < 12  # eight draws of one are one
    monkeypatch.setattr(Glance, "of", None)
    check = independent_check(change, own, rng=np.random.default_rng(0), glance=seen[0])
    assert (check.ess_mean, check.ess_tails) == (seen[0].ess_mean, seen[0].ess_tails)
