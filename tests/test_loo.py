"""Compiled leave-one-out scores against ArviZ's PSIS, row by row, and against closed forms."""

import numpy as np
import pytest
from arviz_stats.base import array_stats
from scipy.special import logsumexp
from scipy.stats import norm

from bayesrepair.numerics.loo import loo_log_score
from bayesrepair.numerics.psis import flat_tail

DRAWS = (25, 100, 225, 226, 400, 2000, 4000)


def by_arviz(log_lik, log_weight, r_eff):
    """One row: smoothed weights by ArviZ, and the log score that they give."""
    ratio = log_weight - log_lik
    if flat_tail(ratio - ratio.max(), r_eff=r_eff):
        log_w, khat = ratio, -np.inf
    else:
        log_w, khat = array_stats.psislw(ratio.max() - ratio, r_eff=r_eff)
    log_w = log_w - logsumexp(log_w)
    return logsumexp(log_w + log_lik), khat if not np.isnan(khat) else np.inf


@pytest.mark.parametrize("r_eff", [1.0, 0.4, 1.3])
@pytest.mark.parametrize("size", DRAWS)
@pytest.mark.parametrize("weighted", [False, True])
def test_scores_and_khat_are_those_of_arviz(size, r_eff, weighted):
    rng = np.random.default_rng(size)
    heavy = np.exp(rng.normal(-1, 1.5, 40))  # k̂ from below 0 to above 1
    log_lik = -heavy * rng.gamma(1, size=(size, 40))
    log_lik[:, 0] = -0.5
    log_lik[:, 1] = np.round(log_lik[:, 1], 1)  # ties
    log_lik[0, 2] = -800
    log_lik[:, 3] += 1e4
    log_lik[:, 4] *= 1e-5
    log_weight = 0.3 * rng.normal(size=size) if weighted else np.full(size, -np.log(size))
    score, khat = loo_log_score(log_lik, log_weight, r_eff=r_eff)
    expected = np.array([by_arviz(row, log_weight, r_eff) for row in log_lik.T])
    np.testing.assert_allclose(score, expected[:, 0], rtol=1e-11, atol=1e-11)
    np.testing.assert_allclose(khat, expected[:, 1], rtol=1e-7, atol=1e-9)
    np.testing.assert_array_equal(loo_log_score(np.asfortranarray(log_lik), log_weight, r_eff=r_eff)[0], score)


def test_scores_of_a_normal_mean_are_their_closed_form():
    rng = np.random.default_rng(0)
    y = rng.normal(size=30)
    draws = rng.normal(y.mean(), 1 / np.sqrt(30), 40_000)  # flat prior, unit noise
    score, khat = loo_log_score(norm.logpdf(y, draws[:, None]), np.zeros(len(draws)))
    others = (y.sum() - y) / 29
    np.testing.assert_allclose(score, norm.logpdf(y, others, np.sqrt(1 + 1 / 29)), atol=0.01)
    assert khat.max() < 0.5


def test_few_draws_are_not_smoothed():
    log_lik = np.log(np.random.default_rng(0).random((24, 3)))
    score, khat = loo_log_score(log_lik, np.zeros(24))
    np.testing.assert_allclose(score, -np.log(np.exp(-log_lik).mean(axis=0)))
    np.testing.assert_array_equal(khat, np.inf)


def test_impossible_rows_and_no_numbers_say_so():
    log_lik = np.log(np.random.default_rng(0).random((100, 4)))
    log_lik[3, 0], log_lik[3, 1] = -np.inf, np.nan
    score, khat = loo_log_score(log_lik, np.zeros(100))
    assert score[0] == -np.inf
    assert np.isnan(score[1])
    np.testing.assert_array_equal(khat[:2], np.inf)
    assert np.isfinite(score[2:]).all()


def test_no_rows_and_no_draws_have_empty_scores():
    assert loo_log_score(np.empty((5, 0)), np.zeros(5))[0].shape == (0,)
    np.testing.assert_array_equal(loo_log_score(np.empty((0, 3)), np.zeros(0))[0], 0.0)
