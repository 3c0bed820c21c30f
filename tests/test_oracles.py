"""Oracles: exact under streams of edits, gradients by finite differences, draws by their moments."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bayesrepair.model import Conjugate, Curved, Differentiable, Model, Trainable
from bayesrepair.oracles import Beta, NormalInverseGamma, NormalNormal
from bayesrepair.posterior import Gaussian
from bayesrepair.status import DataError
from tests.cases import PROBLEMS, moments, problem

CONJUGATE = [name for name in PROBLEMS if problem(name).conjugate]


def statistics(posterior):
    if isinstance(posterior, Beta):
        return np.array([posterior.a, posterior.b])
    if isinstance(posterior, Gaussian):
        return np.concatenate([posterior.mean, posterior.precision.ravel()])
    assert isinstance(posterior, NormalInverseGamma)
    return np.concatenate([posterior.mean, posterior.precision.ravel(), [posterior.shape, posterior.rate]])


@pytest.mark.parametrize("name", PROBLEMS)
def test_protocols(name):
    model = problem(name).model
    assert isinstance(model, Model)
    assert isinstance(model, Differentiable)
    assert isinstance(model, Curved)
    assert isinstance(model, Trainable)
    assert isinstance(model, Conjugate) == problem(name).conjugate
    assert len(model.names) == model.n_params


@pytest.mark.parametrize("name", CONJUGATE)
@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 10_000))
def test_a_stream_of_insertions_and_deletions_is_exact(name, seed):
    case, rng = problem(name), np.random.default_rng(seed)
    everything = case.rows.stacked(case.others)
    weight = np.where(np.arange(len(everything)) < len(case.rows), 1.0, 0.0)
    posterior = case.model.posterior(case.rows)
    for _ in range(30):
        at = rng.choice(len(everything), 3, replace=False)
        new = rng.choice([0.0, 0.5, 1.0, 2.0], 3)
        posterior = case.model.update(posterior, everything.at(at), new - weight[at])
        weight[at] = new
    np.testing.assert_allclose(
        statistics(posterior), statistics(case.model.posterior(everything, weight)), rtol=1e-8, atol=1e-8
    )


@pytest.mark.parametrize("name", CONJUGATE)
def test_the_posterior_is_prior_times_likelihood(name):
    """log prior + log-likelihood − log posterior is the same constant everywhere (the exact draws say where)."""
    case = problem(name)
    exact = case.model.posterior(case.rows)
    mean, sd, _ = moments(exact)
    theta = mean + sd * np.random.default_rng(0).standard_normal((20, case.model.n_params))
    target = case.model.log_prior(theta) + case.model.log_lik(theta, case.rows).sum(1)
    # The posterior's density is that of the model whose prior is the posterior, on no rows.
    step = case.rows.at(slice(0, 30)), case.rows.at(slice(30, None))
    half = case.model.posterior(step[0])
    np.testing.assert_allclose(
        statistics(case.model.update(half, step[1], np.ones(len(step[1])))), statistics(exact), rtol=1e-9
    )
    assert np.ptp(target - _log_density(exact, theta)) < 1e-8


def _log_density(posterior, theta):
    if isinstance(posterior, Gaussian):
        centred = theta - posterior.mean
        return -np.einsum("sp,pq,sq->s", centred, posterior.precision, centred) / 2
    if isinstance(posterior, Beta):
        return -posterior.a * np.log1p(np.exp(-theta[:, 0])) - posterior.b * np.log1p(np.exp(theta[:, 0]))
    beta, log_variance = theta[:, :-1], theta[:, -1]
    centred = beta - posterior.mean
    quadratic = np.einsum("sp,pq,sq->s", centred, posterior.precision, centred) / 2 + posterior.rate
    return -quadratic * np.exp(-log_variance) - (posterior.shape + len(posterior.mean) / 2) * log_variance


@pytest.mark.parametrize("name", PROBLEMS)
def test_gradients_against_finite_differences(name):
    case, rng = problem(name), np.random.default_rng(0)
    theta = rng.standard_normal((3, case.model.n_params))
    weight = rng.choice([0.0, 0.7, 1.0, 2.0], len(case.rows))
    value, gradient = case.model.log_target_and_grad(theta, case.rows, weight)
    by_hand = case.model.log_prior(theta) + case.model.log_lik(theta, case.rows) @ weight
    np.testing.assert_allclose(value, by_hand, rtol=1e-10)
    for j in range(case.model.n_params):
        up, down = theta.copy(), theta.copy()
        up[:, j] += 1e-5
        down[:, j] -= 1e-5
        ends = [case.model.log_target_and_grad(end, case.rows, weight)[0] for end in (up, down)]
        np.testing.assert_allclose(gradient[:, j], (ends[0] - ends[1]) / 2e-5, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", PROBLEMS)
def test_curvature_against_differences_of_gradients(name):
    case, rng = problem(name), np.random.default_rng(0)
    theta = rng.standard_normal(case.model.n_params)
    weight = rng.choice([0.0, 0.7, 1.0, 2.0], len(case.rows))
    curvature = case.model.curvature(theta, case.rows, weight)
    ends = theta + 1e-5 * np.concatenate([np.eye(len(theta)), -np.eye(len(theta))])
    gradient = case.model.log_target_and_grad(ends, case.rows, weight)[1]
    by_differences = (gradient[len(theta) :] - gradient[: len(theta)]) / 2e-5
    np.testing.assert_allclose(curvature, by_differences, rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(curvature, curvature.T, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("name", CONJUGATE)
def test_exact_draws_have_the_exact_moments(name):
    exact = problem(name).model.posterior(problem(name).rows)
    draws = exact.draws(20_000, np.random.default_rng(0))
    mean, sd, _ = moments(exact)
    assert np.abs((draws.theta.mean(0) - mean) / sd).max() < 0.04
    np.testing.assert_allclose(draws.theta.std(0), sd, rtol=0.05)


@pytest.mark.parametrize("name", PROBLEMS)
def test_predictions_are_the_means_of_what_is_simulated(name):
    case = problem(name)
    theta = np.repeat(case.fit(closed=False).posterior.theta[:1], 20_000, axis=0)
    few = case.rows.at(slice(0, 3))
    simulated = case.model.simulate(theta, few, np.random.default_rng(0)).mean(0)
    np.testing.assert_allclose(simulated, case.model.predict(theta[:1], few)[0, :, -1], atol=0.05)


def test_logistic_laplace_is_stationary_and_near_the_posterior():
    case = problem("logistic")
    laplace = case.model.laplace(case.rows)
    gradient = case.model.log_target_and_grad(laplace.mean[None], case.rows, np.ones(len(case.rows)))[1]
    np.testing.assert_allclose(gradient, 0, atol=1e-8)
    mean, sd, _ = moments(case.fit(closed=False).posterior)
    assert np.abs((mean - laplace.mean) / sd).max() < 0.4


def test_rows_come_from_tables_and_mappings():
    case = problem("linear_known")
    table = pd.DataFrame(np.zeros((2, 4)), columns=list("abcd"), index=["u", "v"]).assign(y=[1.0, 2.0])
    rows = case.model.rows(table)
    np.testing.assert_array_equal(rows.row, ["u", "v"])
    assert rows.values["x"].shape == (2, 4)
    assert list(case.model.rows({"x": np.zeros((2, 4))}).values) == ["x"]  # new rows have no outcome yet
    with pytest.raises(DataError, match="'x'"):
        case.model.rows({"y": np.zeros(2)})
    with pytest.raises(DataError, match="'y'"):
        NormalNormal().rows({"z": np.zeros(2)})
