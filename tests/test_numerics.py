"""Numerics against closed forms: HMC, Stein identities, sign flips, affine maps."""

import numpy as np
import pytest
from scipy import special, stats

from bayesrepair.numerics import hmc
from bayesrepair.numerics.affine import AffineMap
from bayesrepair.numerics.batches import batches
from bayesrepair.numerics.covariance import covariance_factor
from bayesrepair.numerics.diagonal_map import fit_diagonal
from bayesrepair.numerics.discrepancy import stein_figures
from bayesrepair.numerics.efficiency import relative_efficiency
from bayesrepair.numerics.glm import Design, Grouped
from bayesrepair.numerics.gradient_regression import _acceptable, fit_full, regress
from bayesrepair.numerics.least_squares import SquaredError
from bayesrepair.numerics.log_sum_exp import log_sum_exp, softmax
from bayesrepair.numerics.psis import effective_share, khat_threshold, smooth
from bayesrepair.numerics.short_axis import largest
from bayesrepair.numerics.sign_flip import flip_test, sum_by
from bayesrepair.numerics.stein import mean_terms, parameter_terms, scale_terms

MEAN = np.array([1.0, -2.0, 0.5])
COVARIANCE = np.array([[1.0, 0.6, 0.0], [0.6, 2.0, -0.3], [0.0, -0.3, 0.5]])
PRECISION = np.linalg.inv(COVARIANCE)
NARROW = np.full((3, 3), 0.99) + 0.01 * np.eye(3)  # correlations of .99


def gaussian(theta):
    """Log density and gradient of N(MEAN, COVARIANCE)."""
    pull = -(theta - MEAN) @ PRECISION
    return np.einsum("sp,sp->s", theta - MEAN, pull) / 2, pull


def exact(size, seed=0):
    return MEAN + np.random.default_rng(seed).standard_normal((size, 3)) @ np.linalg.cholesky(COVARIANCE).T


def equal(size):
    return np.full(size, 1 / size)


# --- HMC


def test_hmc_reaches_a_gaussian_from_a_single_point():
    rng = np.random.default_rng(1)
    moved = hmc.sample(
        gaussian, np.tile(MEAN + 1.0, (3000, 1)), factor=np.linalg.cholesky(COVARIANCE), rng=rng, moves=15
    )
    np.testing.assert_allclose(moved.theta.mean(0), MEAN, atol=0.12)
    np.testing.assert_allclose(np.cov(moved.theta.T), COVARIANCE, atol=0.15)
    assert 0.6 < moved.acceptance.mean() < 0.97


@pytest.mark.parametrize("seed", range(5))
def test_a_trajectory_is_as_long_as_asked_for(seed):
    start = MEAN + 3 * np.diag(COVARIANCE) ** 0.5
    moved = hmc.sample(
        gaussian,
        np.tile(start, (2000, 1)),
        factor=np.linalg.cholesky(COVARIANCE),
        rng=np.random.default_rng(seed),
        moves=1,
        length=np.pi / 2,
    )
    came = moved.acceptance > 0.999  # the others may have stayed
    left = (moved.theta[came].mean(0) - MEAN) / (start - MEAN)
    assert np.abs(left).max() < 0.45  # the cosine of its length: nothing is left; as far again would mirror the start


@pytest.mark.parametrize("scale", [0.3, 1.0, 4.0])
def test_a_step_is_found_whose_acceptance_is_near_the_goal(scale):
    """Whatever the scale that the factor claims: at four times the true one the first trial accepts nothing."""
    rng = np.random.default_rng(0)
    found = [
        hmc.sample(
            lambda theta: (-np.square(theta).sum(1) / 2, -theta),
            rng.standard_normal((1000, 60)),
            factor=np.full(60, scale),
            rng=rng,
            moves=1,
            length=100.0,
        ).acceptance.mean()
        for _ in range(10)
    ]
    assert 0.7 < np.mean(found) < 0.92
    assert min(found) > 0.5


def test_hmc_leaves_exact_draws_exact():
    moved = hmc.sample(gaussian, exact(4000), factor=np.sqrt(np.diag(COVARIANCE)), rng=np.random.default_rng(1))
    for j in range(3):
        p = stats.kstest(moved.theta[:, j], stats.norm(MEAN[j], COVARIANCE[j, j] ** 0.5).cdf).pvalue
        assert p > 0.001


def test_hmc_rejects_what_leaves_the_support():
    def positive(theta):  # an exponential distribution without its transform
        value = np.where(theta[:, 0] > 0, -theta[:, 0], -np.inf)
        return value, np.where(theta > 0, -1.0, np.nan)

    start = np.random.default_rng(0).exponential(size=(2000, 1))
    moved = hmc.sample(positive, start, factor=np.ones(1), rng=np.random.default_rng(1))
    assert (moved.path > 0).all()
    assert abs(moved.theta.mean() - 1) < 0.12


# --- Stein identities


def test_stein_terms_vanish_for_exact_draws_and_measure_planted_errors():
    theta = exact(20_000)
    weights, half = equal(20_000), np.arange(20_000) % 2
    shift, scale = 0.2 * np.sqrt(np.diag(COVARIANCE)), 1.2
    gradient = gaussian(theta)[1]
    means = mean_terms(theta, theta, gradient, weights, half)
    np.testing.assert_allclose(means.mean(0), 0, atol=0.03)
    np.testing.assert_allclose(scale_terms(theta, means, weights, half).mean(0), 0, atol=0.05)
    shifted = theta + shift
    found = mean_terms(shifted, shifted, gaussian(shifted)[1], weights, half).mean(0)
    assert np.abs(found + 0.2).max() < 0.03  # the correction: minus the planted shift
    wide = MEAN + scale * (theta - MEAN)
    means = mean_terms(wide, wide, gaussian(wide)[1], weights, half)
    np.testing.assert_allclose(scale_terms(wide, means, weights, half).mean(0), 1 - scale**2, atol=0.06)


def test_terms_of_parameters_measure_shifts_and_are_less_noisy_where_there_are_many():
    few = exact(20_000) + 0.2 * np.sqrt(np.diag(COVARIANCE))
    weights, half = equal(20_000), np.arange(20_000) % 2
    found = parameter_terms(few, gaussian(few)[1], weights, half).mean(0)
    assert np.abs(found + 0.2).max() < 0.03  # the correction: minus the planted shift
    many = np.random.default_rng(1).standard_normal((1000, 400)) + 0.2
    weights, half = equal(1000), np.arange(1000) % 2
    ours, plain = parameter_terms(many, -many, weights, half), mean_terms(many, many, -many, weights, half)
    assert abs(ours.mean() + 0.2) < 0.02
    assert np.mean(ours.var(0)) < 1.1 < 1.6 < np.mean(plain.var(0))  # 1, and 1 + 400/500


def test_terms_of_variances_are_less_skewed_than_those_of_squares():
    theta = np.random.default_rng(2).standard_normal((40_000, 1))
    weights, half = equal(40_000), np.arange(40_000) % 2
    terms = scale_terms(theta, -theta, weights, half)
    assert -1.2 < stats.skew(terms[:, 0]) < -0.7  # that of 1 − z² is −2.8


def test_stein_means_agree_with_the_truth_under_weights():
    theta = exact(20_000) + np.array([0.5, 0, 0])  # the wrong draws with the right weights
    log_w = gaussian(theta)[0] - gaussian(theta - np.array([0.5, 0, 0]))[0]
    weights = np.exp(log_w - log_w.max())
    weights /= weights.sum()
    half = np.arange(20_000) % 2
    terms = mean_terms(theta, theta, gaussian(theta)[1], weights, half)
    assert np.abs(weights @ terms).max() < 0.05


def test_stein_figures_have_honest_p_values():
    p = []
    for seed in range(60):
        theta = exact(1000, seed)
        figures = stein_figures(
            theta, gaussian(theta)[1], equal(1000), theta[:, :1], np.repeat(np.arange(4), 250),
            rng=np.random.default_rng(seed),
        )  # fmt: skip
        p.append((figures["p_stein"], figures["p_direction"]))
    assert (np.array(p) < 0.05).mean(0).max() < 0.2
    assert (np.array(p) < 0.5).mean(0).min() > 0.25


# --- sign flips


def test_flip_test_knows_its_size():
    rng = np.random.default_rng(0)
    p = [flip_test(rng.standard_normal((50, 20)), rng=rng, flips=199).p_largest for _ in range(200)]
    assert 0.01 < np.mean(np.array(p) <= 0.05) < 0.11


def test_batches_stay_within_chains_and_sums_are_complete():
    chain = np.repeat([3, 1, 2], [40, 50, 60])
    label = batches(chain, count=9)
    assert set(label) == set(range(9))
    for one in range(9):
        assert len(set(chain[label == one])) == 1
    terms = np.random.default_rng(0).normal(size=(150, 2))
    np.testing.assert_allclose(sum_by(label, terms).sum(0), terms.sum(0))
    np.testing.assert_allclose(sum_by(label, terms)[4], terms[label == 4].sum(0))


# --- affine maps


def test_affine_map_knows_its_determinant():
    shear = AffineMap(np.ones(3), np.zeros(3), COVARIANCE)
    assert shear.log_det == pytest.approx(np.log(np.linalg.det(COVARIANCE)))
    np.testing.assert_allclose(shear(np.ones((1, 3))), 0)
    assert AffineMap.identity(3).log_det == 0
    np.testing.assert_array_equal(AffineMap.identity(3)(exact(5)), exact(5))


def test_diagonal_fit_finds_an_independent_gaussian():
    def target(theta):
        return -0.5 * np.square((theta - 3) / 0.5).sum(1), -(theta - 3) / 0.25

    theta = np.random.default_rng(0).standard_normal((300, 2)) * [1.0, 4.0] - 7
    moved = fit_diagonal(target, theta, iterations=60, negligible=1e-9)(theta)
    np.testing.assert_allclose(moved.mean(0), 3, atol=1e-3)
    np.testing.assert_allclose(moved.std(0), 0.5, atol=1e-3)


def test_a_known_density_changes_nothing_but_the_number_of_gradients():
    theta = exact(200)
    made = [
        hmc.sample(gaussian, theta, factor=np.ones(3), rng=np.random.default_rng(1), moves=2, known=known)
        for known in (None, gaussian(theta))
    ]
    np.testing.assert_array_equal(made[0].theta, made[1].theta)
    np.testing.assert_array_equal(made[0].value, gaussian(made[0].theta)[0])
    assert made[0].gradients - made[1].gradients == len(theta)


def test_blocks_of_draws_are_all_moved_and_know_where_they_are():
    """More than one block, the last of them short; the factor's upper half is not looked at."""
    theta, factor = exact(hmc.BLOCK + 300), np.linalg.cholesky(COVARIANCE)
    moved = hmc.sample(
        gaussian, theta, factor=factor + np.triu(np.ones((3, 3)), 1), rng=np.random.default_rng(1), moves=2
    )
    value, gradient = gaussian(moved.theta)
    np.testing.assert_allclose(moved.value, value, rtol=1e-12)
    np.testing.assert_allclose(moved.path_gradient[-1], gradient, rtol=1e-9, atol=1e-12)
    assert moved.acceptance.min() > 0
    for part in (slice(hmc.BLOCK), slice(hmc.BLOCK, None)):
        still = np.all(moved.theta[part] == theta[part], axis=1)
        assert still.mean() < 0.15
        np.testing.assert_allclose(np.cov(moved.theta[part].T), COVARIANCE, atol=0.25)


def test_shifts_along_correlated_directions_take_fewer_steps():
    """With the covariance's factor the target is asked less often for the same map."""
    calls = {}
    theta = np.random.default_rng(0).standard_normal((200, 3)) @ np.linalg.cholesky(NARROW).T

    def target(x):
        calls[name] = calls.get(name, 0) + 1
        pulled = np.linalg.solve(NARROW, (x - 5.0).T).T
        return -0.5 * np.einsum("sp,sp->s", x - 5.0, pulled), -pulled

    fitted = {}
    for name, factor in (("sds", None), ("factor", np.linalg.cholesky(NARROW))):
        fitted[name] = fit_diagonal(target, theta, factor=factor, iterations=200, negligible=1e-9)
    np.testing.assert_allclose(fitted["factor"].image, 5.0, atol=1e-2)
    np.testing.assert_allclose(fitted["factor"].image, fitted["sds"].image, atol=1e-2)
    np.testing.assert_allclose(fitted["factor"].matrix, fitted["sds"].matrix, rtol=1e-2)
    assert calls["factor"] < 0.8 * calls["sds"]


def test_a_step_that_gains_far_less_than_it_promised_is_refused():
    gain = np.random.default_rng(0).normal(0.5, 0.1, size=400)
    assert _acceptable(gain, 1.0, 3)
    assert not _acceptable(gain, 6.0, 3)
    assert not _acceptable(-gain, 1.0, 3)


def test_a_full_fit_ends_where_the_weights_are_good_already():
    theta = exact(500)
    calls = []

    def target(x):
        calls.append(len(x))
        return gaussian(x)

    there = {"start": AffineMap.identity(3), "settled": 0.0, "rounds": 3}
    fit_full(target, theta, gaussian(theta)[1], source_value=gaussian(theta)[0] + 7.0, **there)
    assert len(calls) == 1
    far = fit_full(target, theta - 3.0, gaussian(theta)[1], source_value=gaussian(theta)[0], **there)
    assert len(calls) > 2
    assert effective_share(gaussian(far(theta - 3.0))[0] - gaussian(theta)[0]) >= 0.7
    assert effective_share(gaussian(theta - 3.0)[0] - gaussian(theta)[0]) < 0.1  # before


@pytest.mark.parametrize("few", [0, 200], ids=["sparse", "dense"])
@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_squared_error_of_group_terms_and_its_slope(monkeypatch, few, sign):
    monkeypatch.setattr("bayesrepair.numerics.least_squares._FEW_COLUMNS", few)
    rng = np.random.default_rng(0)
    groups = tuple(Grouped(rng.integers(size, size=60), rng.normal(size=60), size) for size in (12, 5))
    design, y = Design(np.c_[np.ones(60), rng.normal(size=60)], groups, rng.normal(size=(60, 1))), rng.normal(size=60)
    weight = np.where(np.arange(60) < 40, 1.0, sign * 0.5)  # a difference of two data sets has weights of both signs
    error = SquaredError.of(design, y, weight)
    at = [rng.normal(size=(size, 3)) for size in design.sizes]
    residual = y[:, None] - design.eta(at)  # the offset is in η
    value, slopes = error(at)
    np.testing.assert_allclose(value, weight @ np.square(residual), rtol=1e-9)
    for slope, exact_slope in zip(slopes, design.pull_back(weight[:, None] * residual), strict=True):
        np.testing.assert_allclose(slope, exact_slope, atol=1e-8)


def test_gradient_regression_is_exact_between_gaussians():
    theta = np.random.default_rng(0).standard_normal((3000, 3))
    fitted = fit_full(gaussian, theta, -theta, start=AffineMap.identity(3), rounds=8, settled=1e-5)
    np.testing.assert_allclose(fitted.matrix @ fitted.matrix.T, COVARIANCE, atol=0.06)
    np.testing.assert_allclose(fitted(np.zeros((1, 3)))[0], MEAN, atol=0.06)
    log_weights = gaussian(fitted(theta))[0] + fitted.log_det + np.square(theta).sum(1) / 2
    assert log_weights.std() < 0.06  # 4 orders below what the identity gives


def test_regression_recovers_a_low_rank_change_from_few_draws():
    rng = np.random.default_rng(0)
    direction = rng.standard_normal(60) / np.sqrt(60)
    white = rng.standard_normal((120, 60))  # two draws a parameter
    drift, curvature = regress(white, 0.3 - 2 * np.outer(white @ direction, direction))
    np.testing.assert_allclose(curvature, 2 * np.outer(direction, direction), atol=0.05)
    assert np.abs(drift - 0.3).max() < 0.2


def test_regression_shrinks_noise_away():
    rng = np.random.default_rng(0)
    drift, curvature = regress(rng.standard_normal((500, 40)), rng.standard_normal((500, 40)))
    assert (curvature == 0).mean() > 0.9
    assert np.abs(drift).max() < 0.25


def test_covariance_is_shrunk_when_draws_are_few():
    rng = np.random.default_rng(0)
    theta = rng.standard_normal((20, 40))  # fewer draws than parameters
    factor = covariance_factor(theta)
    np.testing.assert_allclose(factor @ factor.T, np.diag(theta.var(0)), atol=1e-6)
    assert np.linalg.cond(covariance_factor(np.zeros((5, 2)))) < 1e12


# --- weights and efficiency


def test_the_sign_of_pareto_smoothing():
    """The largest log ratio gets the largest weight: ArviZ's psislw would give it the smallest."""
    log_ratio = np.random.default_rng(0).standard_normal(1000)
    log_weights, khat = smooth(log_ratio)
    assert np.argmax(log_weights) == np.argmax(log_ratio)
    assert np.exp(log_weights).sum() == pytest.approx(1)
    assert khat < khat_threshold(1000)


def test_relative_efficiency_falls_with_autocorrelation():
    rng = np.random.default_rng(0)
    noise = rng.standard_normal((4000, 2))
    walk = np.array(noise)
    for i in range(1, 4000):
        walk[i] = 0.9 * walk[i - 1] + np.sqrt(1 - 0.81) * noise[i]
    chain = np.repeat(np.arange(4), 1000)
    assert relative_efficiency(noise, chain) > 0.8
    assert 0.02 < relative_efficiency(walk, chain) < 0.1  # (1 − ρ) / (1 + ρ) = .053
    assert relative_efficiency(np.ones((4000, 1)), chain) == 1.0


@pytest.mark.parametrize("classes", [2, 3, 8, 9, 20])
def test_sums_over_few_and_many_classes_are_those_of_scipy(classes):
    values = 300 * np.random.default_rng(classes).standard_normal((7, 5, classes))
    values[0, 0, 1:] = -np.inf
    np.testing.assert_allclose(log_sum_exp(values), special.logsumexp(values, axis=2), rtol=1e-14)
    np.testing.assert_allclose(softmax(values), special.softmax(values, axis=2), rtol=1e-13, atol=1e-300)
    np.testing.assert_array_equal(largest(values)[..., 0], values.max(axis=2))
