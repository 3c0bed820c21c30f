"""Monte Carlo errors of weighted and of moved draws, by repeated simulation."""

import numpy as np
import pytest
from scipy.stats import norm

from bayesrepair.numerics.psis import smooth
from bayesrepair.numerics.weighted_error import khat_of_means, weighted_mcse

CHAINS, LENGTH, RUNS = 4, 500, 300
CHAIN = np.repeat(np.arange(CHAINS), LENGTH)
SIZE = CHAINS * LENGTH


def chains(rho, rng):
    """Stationary standard normal AR(1) chains, shape (S,)."""
    noise = rng.standard_normal((CHAINS, LENGTH))
    x = np.empty_like(noise)
    x[:, 0] = noise[:, 0]
    for t in range(1, LENGTH):
        x[:, t] = rho * x[:, t - 1] + np.sqrt(1 - rho**2) * noise[:, t]
    return x.ravel()


@pytest.mark.parametrize("rho", [0.0, 0.5, 0.9])
def test_nominal_intervals_of_weighted_draws_cover(rho):
    """Weights exp(x/2) turn N(0, 1) into N(1/2, 1); the second column has nothing to do with them."""
    rng = np.random.default_rng(4)
    error, stated, plain = [], [], []
    for _ in range(RUNS):
        values = np.stack([chains(rho, rng), chains(rho, rng)], axis=1)
        weights = np.exp(smooth(0.5 * values[:, 0], r_eff=(1 - rho) / (1 + rho))[0])
        error.append(weights @ values - [0.5, 0.0])
        stated.append(weighted_mcse(values, weights, CHAIN).mcse)
        plain.append(np.sqrt(1 / SIZE))
    covered = np.abs(error) < norm.ppf(0.95) * np.array(stated)
    rate = covered.mean()  # 600 intervals, correlated within a run at most a little
    np.testing.assert_array_less(0.86, rate)
    np.testing.assert_array_less(rate, 0.94)
    # The error of as many independent, unweighted draws covers less.
    naive = (np.abs(error) < norm.ppf(0.95) * np.array(plain)[:, None]).mean()
    np.testing.assert_array_less(naive, rate - 0.03)


def moved(keep, rng):
    """Four draws of each of S/4 ancestors, tied to it by the correlation ``keep``."""
    ancestor = np.repeat(np.arange(SIZE // 4) * 4, 4)
    start = rng.standard_normal(SIZE)[ancestor]
    return np.sqrt(keep) * start + np.sqrt(1 - keep) * rng.standard_normal(SIZE), ancestor


@pytest.mark.parametrize("keep", [0.0, 0.5, 1.0])
def test_nominal_intervals_of_moved_draws_cover(keep):
    """Descendants of one ancestor count as one where they stayed, as four where they moved freely."""
    rng = np.random.default_rng(5)
    error, stated, ess = [], [], []
    shuffle = rng.permutation(SIZE)  # the order of the draws says nothing: their ancestors do
    for _ in range(RUNS):
        values, ancestor = moved(keep, rng)
        values, ancestor = values[shuffle], ancestor[shuffle]
        result = weighted_mcse(values[:, None], np.full(SIZE, 1 / SIZE), ancestor // LENGTH, ancestor=ancestor)
        error.append(values.mean())
        stated.append(result.mcse[0])
        ess.append(result.ess[0])
    rate = (np.abs(error) < norm.ppf(0.95) * np.array(stated)).mean()
    np.testing.assert_array_less(0.85, rate)
    np.testing.assert_array_less(rate, 0.95)
    np.testing.assert_allclose(np.median(ess), SIZE / (1 + 3 * keep), rtol=0.1)


def test_a_chain_that_carries_all_the_weight_counts_as_one():
    """Two modes: the weights move from one pair of chains to a single chain."""
    rng = np.random.default_rng(6)
    values = rng.standard_normal((SIZE, 1)) + 10 * (CHAIN[:, None] < 2)
    weights = np.where(CHAIN < 2, 0.2, 0.8)
    result = weighted_mcse(values, weights / weights.sum(), CHAIN)
    np.testing.assert_array_less(result.ess, 20)  # within the chains alone it would be beyond 1000


def test_unequal_chains_constants_and_short_chains():
    rng = np.random.default_rng(7)
    values = rng.standard_normal((900, 1))
    chain = np.repeat([0, 1], [300, 600])
    result = weighted_mcse(np.hstack([values, np.ones((900, 1))]), np.full(900, 1 / 900), chain)
    np.testing.assert_allclose(result.mcse, [1 / 30, 0.0], rtol=0.15)
    np.testing.assert_allclose(result.ess[1], 900)
    weights = np.array([0.5, 0.25, 0.25])
    short = weighted_mcse(np.array([[0.0], [1.0], [2.0]]), weights, np.zeros(3))
    np.testing.assert_allclose(short.mcse, np.sqrt(np.square(weights) @ np.square(np.array([0.0, 1.0, 2.0]) - 0.75)))


def test_khat_sees_a_heavy_product_behind_light_weights():
    """Weights x^-.45 of x uniform have k = .45; times h = x^-.5 the product has k = .95."""
    x = np.random.default_rng(8).random(20_000)
    log_weights = -0.45 * np.log(x)
    values = np.stack([x**-0.5, x, np.ones_like(x)], axis=1)
    heavy, light, constant = khat_of_means(values, log_weights)
    np.testing.assert_allclose([heavy, light, constant], [0.95, 0.45, 0.45], atol=0.15)
    np.testing.assert_array_equal(khat_of_means(values[:10], log_weights[:10]), np.inf)
    np.testing.assert_array_equal(khat_of_means(values[:, 2:], np.zeros(len(x))), -np.inf)
    balanced = np.tile([-2.0, -1.0, 1.0, 2.0], 100)[:, None] * np.linspace(1, 2, 100).repeat(4)[:, None]
    assert np.isfinite(khat_of_means(balanced, np.zeros(400))).all()  # values that sum to zero
