"""Coordinates that are sampled instead of the parameters themselves."""

from dataclasses import replace

import numpy as np
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


def test_jacobian_against_differences():
    whitening = Whitening.of(draws_of(3), np.array([0.0, 2.0, 0.5]))
    z, step = np.array([0.3, -1.0, 0.8]), 1e-6
    columns = [(whitening.theta(z + e) - whitening.theta(z - e)) / (2 * step) for e in step * np.eye(3)]
    expected = np.linalg.slogdet(np.array(columns))[1] - np.log(np.diag(whitening.factor)).sum()
    np.testing.assert_allclose(whitening.log_jacobian(whitening.theta(z)), expected, rtol=1e-6)


def test_machine_code_is_the_density_in_other_coordinates():
    sampler = RefitSampler(static_graph(8))
    sampler.compiled_for(8)
    gradient = sampler.gradient({"y": Y}, AT, ONES)
    whitening = Whitening(np.array([1.0]), np.array([[1.7]]), np.array([2.0]))
    start = draws_of(1)
    target = CompiledGradient(whitened_target(gradient, sampler.graph, start, whitening))
    z = np.array([[-2.0], [0.1], [3.0]])
    theta = np.array([whitening.theta(each) for each in z])
    value, slope = target(z)
    np.testing.assert_allclose(value, gradient(theta)[0] + whitening.log_jacobian(theta), rtol=1e-12)
    step = 1e-5
    np.testing.assert_allclose(slope[:, 0], (target(z + step)[0] - target(z - step)[0]) / (2 * step), rtol=1e-6)


@pytest.mark.parametrize("backend", BACKENDS)
def test_bent_coordinates_leave_the_posterior_what_it_is(backend):
    sampler = RefitSampler(static_graph(8), replace(SETTINGS, backend=backend))
    mean, sd = Y.sum() / 9, 9**-0.5
    start = replace(draws_of(1), theta=mean + draws_of(1).theta)
    rng = np.random.default_rng(1)
    whitening = Whitening.of(start, np.array([2.0]))
    draws = sampler.sample({"y": Y}, AT, weights=ONES, start=start, rng=rng, coordinates=whitening)
    error = sd / np.sqrt(draws.sampling.ess_min)
    assert abs(draws.theta.mean() - mean) < 4 * error
    np.testing.assert_allclose(draws.theta.std(), sd, rtol=0.1)
    exact = stats.norm.logpdf(draws.theta[:, 0], mean, sd)
    apart = draws.log_density - exact
    np.testing.assert_allclose(apart, apart[0], atol=1e-8)
