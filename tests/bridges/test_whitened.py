"""Coordinates that are sampled instead of the parameters themselves."""

from dataclasses import replace

import numpy as np
import pytensor.tensor as pt
import pytest
from scipy import stats

from bayesrepair.bridges.pymc.compiled_gradient import CompiledGradient
from bayesrepair.bridges.pymc.sampling import NutsSettings, RefitSampler
from bayesrepair.bridges.pymc.whitened import Whitening, whitened_target
from bayesrepair.posterior import Draws
from tests.bridges.test_sampling import static_graph

BACKENDS = ["numba", pytest.param("jax", marks=pytest.mark.jax)]
Y, ONES, AT = np.arange(8.0), np.ones(8), np.arange(8)
SETTINGS = NutsSettings(draws=1000, tune=300, chains=4, cores=1)


def grouped_graph():
    """Three means of eight rows."""
    one = static_graph(8)
    means = pt.TensorType("float64", shape=(3,))("means")
    log_lik = -0.5 * (one.inputs["y"] - means[one.position % 3]) ** 2
    prior = -0.5 * (means**2).sum() - 0.3 * means[0] * means[2]
    parts = {"value_vars": (means,), "shapes": ((3,),), "initial": np.zeros(3), "constrained": {"means": means}}
    return replace(one, log_prior=prior, log_lik=log_lik, **parts)


def draws_of(size, *, n=200):
    theta = np.random.default_rng(0).normal(size=(n, size)) @ np.triu(np.ones((size, size)))
    return Draws.plain(theta, np.zeros(n, dtype=int))


def test_whitened_draws_and_back():
    start = draws_of(3)
    whitening = Whitening.of(start, np.array([0.0, 2.0, 0.5]))
    z = np.array([whitening.z(theta) for theta in start.theta])
    np.testing.assert_allclose([whitening.theta(each) for each in z], start.theta, rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(z.mean(axis=0), 0, atol=1e-9)
    np.testing.assert_allclose(np.cov(z.T, bias=True), np.eye(3), atol=0.05)  # correlations are shrunk


@pytest.mark.parametrize("diagonal", [False, True])
def test_jacobian_against_differences(diagonal):
    whitening = Whitening.of(draws_of(3), np.array([0.0, 2.0, 0.5]), diagonal=diagonal)
    z, step = np.array([0.3, -1.0, 0.8]), 1e-6
    factor = np.diag(whitening.factor) if diagonal else whitening.factor
    columns = [(whitening.theta(z + e) - whitening.theta(z - e)) / (2 * step) for e in step * np.eye(3)]
    expected = np.linalg.slogdet(np.array(columns))[1] - np.log(np.diag(factor)).sum()
    np.testing.assert_allclose(whitening.log_jacobian(whitening.theta(z)), expected, rtol=1e-6)


@pytest.mark.parametrize("factor", [[[1.7]], [1.7]], ids=["triangle", "diagonal"])
def test_machine_code_is_the_density_in_other_coordinates(factor):
    sampler = RefitSampler(static_graph(8))
    sampler.compiled_for(8)
    gradient = sampler.gradient({"y": Y}, AT, ONES)
    whitening = Whitening(np.array([1.0]), np.array(factor), np.array([2.0]))
    start = draws_of(1)
    target = CompiledGradient(whitened_target(gradient, sampler.graph, start, whitening))
    z = np.array([[-2.0], [0.1], [3.0]])
    theta = np.array([whitening.theta(each) for each in z])
    value, slope = target(z)
    np.testing.assert_allclose(value, gradient(theta)[0] + whitening.log_jacobian(theta), rtol=1e-12)
    step = 1e-5
    np.testing.assert_allclose(slope[:, 0], (target(z + step)[0] - target(z - step)[0]) / (2 * step), rtol=1e-6)


@pytest.mark.parametrize("diagonal", [False, True])
@pytest.mark.parametrize("backend", BACKENDS)
def test_bent_coordinates_leave_the_posterior_what_it_is(backend, diagonal):
    sampler = RefitSampler(static_graph(8), replace(SETTINGS, backend=backend))
    mean, sd = Y.sum() / 9, 9**-0.5
    start = replace(draws_of(1), theta=mean + draws_of(1).theta)
    rng = np.random.default_rng(1)
    whitening = Whitening.of(start, np.array([2.0]), diagonal=diagonal)
    draws = sampler.sample({"y": Y}, AT, weights=ONES, start=start, rng=rng, coordinates=whitening)
    error = sd / np.sqrt(draws.sampling.ess_min)
    assert abs(draws.theta.mean() - mean) < 4 * error
    np.testing.assert_allclose(draws.theta.std(), sd, rtol=0.1)
    exact = stats.norm.logpdf(draws.theta[:, 0], mean, sd)
    apart = draws.log_density - exact
    np.testing.assert_allclose(apart, apart[0], atol=1e-8)


def test_a_diagonal_is_that_of_the_spreads():
    start = draws_of(3)
    whitening = Whitening.of(start, diagonal=True)
    assert whitening.is_diagonal
    np.testing.assert_allclose(whitening.factor, start.theta.std(axis=0), rtol=1e-6)
    z, slope = np.array([0.3, -1.0, 0.8]), np.array([1.0, 2.0, 3.0])
    np.testing.assert_allclose(whitening.z(whitening.theta(z)), z)
    np.testing.assert_allclose(whitening.pulled_back(slope), slope * whitening.factor)


def test_a_diagonal_of_several_parameters_in_machine_code():
    sampler = RefitSampler(grouped_graph())
    sampler.compiled_for(8)
    gradient = sampler.gradient({"y": Y}, AT, ONES)
    size = len(sampler.graph.initial)
    start = draws_of(size)
    z = np.random.default_rng(3).normal(size=(4, size))
    for diagonal in (False, True):
        whitening = Whitening.of(start, np.arange(float(size)), diagonal=diagonal)
        value, slope = CompiledGradient(whitened_target(gradient, sampler.graph, start, whitening))(z)
        theta = np.array([whitening.theta(each) for each in z])
        plain, pull = gradient(theta)
        np.testing.assert_allclose(value, plain + whitening.log_jacobian(theta), rtol=1e-11)
        narrow, bent = whitening.slope(theta), whitening.bend > 0
        pull[:, bent] -= np.tanh(theta[:, bent] / whitening.bend[bent]) / whitening.bend[bent]
        np.testing.assert_allclose(slope, [whitening.pulled_back(row) for row in pull * narrow], rtol=1e-9, atol=1e-12)
