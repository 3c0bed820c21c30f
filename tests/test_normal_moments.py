"""Weighted sums of a normal log-likelihood from moments of the draws, against the draws × rows that they replace."""

import cloudpickle
import numpy as np
import pymc as pm
import pytest

import bayesrepair as br
from bayesrepair.bridges.pymc.model import pymc_model
from bayesrepair.numerics.glm import Design, Point, log_lik
from bayesrepair.numerics.glm_families import Normal
from bayesrepair.numerics.normal_moments import DrawMoments, are_fewer
from bayesrepair.posterior import Draws

RNG = np.random.default_rng(0)
S, N, Q = 400, 30, 3


@pytest.fixture(scope="module")
def rows():
    design = Design(RNG.normal(size=(N, Q)), (), RNG.normal(size=(N, 1)))
    return design, 50.0 + 3.0 * RNG.standard_normal(N)  # far from zero, as outcomes are


@pytest.fixture(scope="module")
def point():
    coefficient = np.array([40.0, -2.0, 0.0]) + 0.2 * RNG.normal(size=(S, Q))
    sigma = np.exp(0.3 * RNG.normal(size=S))
    return Point((coefficient,), (sigma, np.log(sigma)))


def factors():
    """Weighted means, and coefficients that sum to zero, as scores have them."""
    weight = RNG.dirichlet(np.ones(S), size=4)
    return np.concatenate([weight, weight[:2] - weight[2:]])


def test_sums_are_those_of_the_kernels(rows, point):
    design, y = rows
    L, moments = log_lik(Normal(), design, y, point), DrawMoments.of(point).at(design, y)
    assert moments.shape == L.shape
    for A in (factors(), factors()):
        scale = np.abs(A) @ np.abs(L)
        np.testing.assert_allclose((A @ moments) / scale, (A @ L) / scale, atol=1e-12)
        np.testing.assert_allclose(A[:4] @ moments, A[:4] @ L, rtol=1e-9)
        with pytest.raises(AssertionError):  # the canary: the other sign fails
            np.testing.assert_allclose(-A[:4] @ moments, A[:4] @ L, rtol=1e-9)


def test_many_columns_are_left_to_the_kernels():
    assert are_fewer(3, 20)
    assert not are_fewer(4, 20)


def regression(*, grouped=False):
    x, group = RNG.normal(size=(N, 2)), RNG.integers(0, 4, N)
    with pm.Model() as model:
        mean = pm.Normal("a", 0, 1) + pm.Data("x", x) @ pm.Normal("b", 0, 1, shape=2)
        if grouped:
            mean = mean + pm.Normal("u", 0, 1, shape=4)[pm.Data("group", group)]
        pm.Normal("y", mean, pm.HalfNormal("sigma", 1), observed=x @ [1.0, -1.0] + RNG.normal(size=N))
    return pymc_model(model)


@pytest.fixture(scope="module")
def fit():
    model = regression()
    theta = model.initial + 0.2 * RNG.normal(size=(S, model.n_params))
    return br.Fit(model, model.training, Draws.plain(theta, np.repeat(np.arange(4), S // 4)))


@pytest.mark.parametrize("method", ["covariance", "single", "weights"])
def test_causes_are_the_same_from_moments(fit, method, monkeypatch):
    failures = fit.rows.at(np.arange(5))
    found = br.find_causes(fit, failures, method=method, progressbar=False)
    assert found.arithmetic.identity == "moments, double"
    monkeypatch.setattr(type(fit.model.kernels), "have_moments", lambda self, draws: False)
    expected = br.find_causes(fit, failures, method=method, progressbar=False)
    assert expected.arithmetic.identity == "kernels, double"
    columns = ["score", "mcse", "surprise"]
    theirs = expected.frame()[columns]
    np.testing.assert_allclose(found.frame()[columns].reindex(theirs.index), theirs, rtol=1e-6, atol=1e-9)


def test_without_surprise_no_draw_is_looked_at_row_by_row(fit, monkeypatch):
    failures, seen = fit.rows.at(np.arange(5)), []
    original = type(fit.model.kernels).log_lik
    monkeypatch.setattr(
        type(fit.model.kernels), "log_lik", lambda self, *rest: seen.append(len(rest[1][1])) or original(self, *rest)
    )
    br.find_causes(fit, failures, surprise=False, progressbar=False)
    assert seen
    assert N not in seen
    br.find_causes(fit, failures, progressbar=False)
    assert N in seen


def test_run_that_was_begun_by_kernels_goes_on_with_them(fit):
    theta, some = fit.draws.theta, fit.rows
    model, arithmetic = fit.model.for_scoring(theta, some, cells=1, backend="kernels")
    assert arithmetic.backend == "kernels"
    assert model.log_lik_moments(theta, some) is None


def test_what_was_compiled_serves_every_pass(fit):
    models = [fit.model.for_scoring(fit.draws.theta, fit.rows, cells=1, precision=p)[0] for p in ("double", "single")]
    assert {id(model.kernels.functions) for model in models} == {id(fit.model.kernels.functions)}
    assert all(model.kernels.checked for model in models)


def test_moments_are_made_anew_where_a_model_travels_to(fit):
    theta, some = fit.draws.theta, fit.rows
    model, _ = fit.model.for_scoring(theta, some, cells=1)
    received = cloudpickle.loads(cloudpickle.dumps(model))
    A = factors()
    np.testing.assert_array_equal(A @ received.log_lik_moments(theta, some), A @ model.log_lik_moments(theta, some))


def test_group_terms_and_single_precision_are_left_to_the_kernels(fit):
    grouped = regression(grouped=True)
    theta = grouped.initial + 0.1 * RNG.normal(size=(S, grouped.n_params))
    assert grouped.for_scoring(theta, grouped.training, cells=1)[1].backend == "kernels"
    single = fit.model.for_scoring(fit.draws.theta, fit.rows, cells=1, precision="single")[1]
    assert single.identity == "kernels, single"
