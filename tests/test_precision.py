"""Scoring in single precision: what it changes, what it says of that, and what it refuses."""

import numpy as np
import pymc as pm
import pytest
from streamed import assert_same_bits, logistic_problem

import bayesrepair as br
from bayesrepair.bridges.pymc.model import pymc_model
from bayesrepair.numerics.scoring import batch_error
from bayesrepair.status import DataError, MethodError, NumericsWarning

N, S = 700, 800


@pytest.fixture(scope="module")
def problem():
    """A logistic regression in PyMC with draws of a Gaussian, and failures."""
    rng = np.random.default_rng(0)
    x, beta = rng.normal(size=(N, 3)), rng.normal(size=3)
    y = (rng.random(N) < 1 / (1 + np.exp(-x @ beta))).astype(int)
    with pm.Model() as model:
        pm.Bernoulli("y", logit_p=pm.Data("x", x) @ pm.Normal("b", 0, 1, shape=3), observed=y)
    bridge = pymc_model(model)
    theta = beta + 0.1 * rng.normal(size=(S, 3))
    fit = br.Fit(bridge, bridge.training, br.posterior.Draws.plain(theta, np.repeat(np.arange(4), S // 4)))
    return fit, bridge.training.at(np.arange(12))


def scored(problem, **more):
    return br.find_causes(*problem, progressbar=False, **more)


def test_scores_are_nearly_those_of_double_precision_and_the_error_says_how_nearly(problem):
    double, single = scored(problem), scored(problem, precision="single")
    error = np.abs(single.scored.score - double.scored.score) / batch_error(double.scored.batch)
    assert double.arithmetic.error is None
    assert 0 < error.max() < 1e-3
    stated = single.arithmetic.error
    assert stated.rows == 256
    at = np.unique(np.linspace(0, N - 1, 256).astype(int))
    np.testing.assert_allclose([stated.median, stated.largest], [np.median(error[at]), error[at].max()], rtol=1e-6)
    assert error.max() < 10 * stated.largest


def test_it_says_so(problem):
    single = scored(problem, precision="single")
    assert single.arithmetic.identity == "kernels, single"
    assert "In single precision: scores differ" in repr(single)
    assert "In single precision" in single._repr_html_()
    assert "single precision" not in repr(scored(problem))


def test_the_fit_stays_in_double_precision(problem):
    fit, _ = problem
    before = fit.model.log_lik(fit.draws.theta, fit.rows)
    scored(problem, precision="single")
    np.testing.assert_array_equal(fit.model.log_lik(fit.draws.theta, fit.rows), before)


def test_a_store_has_one_precision(problem, tmp_path):
    first = scored(problem, precision="single", store=tmp_path / "store")
    assert_same_bits(first, scored(problem, precision="single", store=tmp_path / "store"))
    with pytest.raises(DataError, match="how log-likelihoods are computed"):
        scored(problem, store=tmp_path / "store")


def test_too_large_an_error_is_warned_of(problem, monkeypatch):
    monkeypatch.setattr("bayesrepair.streaming.scoring_model.TOLERATED", 1e-12)
    with pytest.warns(NumericsWarning, match="too little"):
        scored(problem, precision="single")


def test_what_has_no_kernel_is_refused():
    y = np.random.default_rng(0).gumbel(size=30)
    with pm.Model() as model:
        pm.Gumbel("y", pm.Normal("m", 0, 1), 1.0, observed=y)
    bridge = pymc_model(model)
    fit = br.Fit(bridge, bridge.training, br.posterior.Draws.plain(np.random.default_rng(1).normal(size=(40, 1))))
    with pytest.raises(MethodError, match="Leave out precision="):
        br.find_causes(fit, bridge.training.at(np.arange(3)), precision="single", progressbar=False)


def test_other_models_and_other_words_are_refused(problem):
    with pytest.raises(MethodError, match="PyMC model"):
        scored(logistic_problem(), precision="single")
    with pytest.raises(MethodError, match="'double' or 'single'"):
        scored(problem, precision="half")


def test_fewer_rows_than_the_sample_are_all_scored_twice(problem):
    causes = scored(problem, rows=problem[0].rows.at(np.arange(100)), precision="single")
    assert causes.arithmetic.error.rows == 100
