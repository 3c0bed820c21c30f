"""Regions of clustered draws: found where there are several, never where a single one is skewed or heavy-tailed."""

import numpy as np
import pytest

from bayesrepair.numerics.regions import Regions, depth, find_regions


def funnel(rng):
    log_sd = 1.5 * rng.standard_normal(4000)
    return np.c_[log_sd, rng.standard_normal((4000, 9)) * np.exp(log_sd)[:, None]]


def correlated(rng):
    return rng.standard_normal((4000, 10)) @ np.linalg.cholesky(0.95 + 0.05 * np.eye(10)).T


def slow(rng):
    """Four chains with autocorrelation .95."""
    draws = rng.standard_normal((4, 1000, 5))
    for i in range(1, 1000):
        draws[:, i] = 0.95 * draws[:, i - 1] + np.sqrt(1 - 0.95**2) * draws[:, i]
    return draws.reshape(-1, 5)


def repeated(rng):
    """As resampling leaves them."""
    return rng.standard_normal((2000, 3))[rng.integers(2000, size=2000)]


ONE_MODE = {
    "gaussian": lambda rng: rng.standard_normal((4000, 3)),
    "gaussian, few draws": lambda rng: rng.standard_normal((1000, 5)),
    "correlated": correlated,
    "slow": slow,
    "funnel": funnel,
    "Student t": lambda rng: rng.standard_t(3, size=(4000, 5)),
    "Cauchy": lambda rng: rng.standard_t(1, size=(2000, 3)),
    "exponential": lambda rng: rng.exponential(size=(4000, 5)),
    "lognormal": lambda rng: np.exp(1.5 * rng.standard_normal((4000, 5))),
    "repeated": repeated,
    "uniform": lambda rng: rng.random((4000, 20)),
}


def two_modes(rng, size, apart, share):
    """Normal draws, a share of them shifted by so many sds along the diagonal."""
    shifted = rng.random(2000) < share
    return rng.standard_normal((2000, size)) + apart / np.sqrt(size) * shifted[:, None], shifted


@pytest.mark.parametrize("name", ONE_MODE)
def test_one_mode_is_never_split(name):
    found = [find_regions(ONE_MODE[name](np.random.default_rng(seed))) is not None for seed in range(100)]
    assert np.mean(found) <= 0.01


def test_many_parameters_with_one_mode_are_not_split():
    assert all(find_regions(np.random.default_rng(seed).standard_normal((4000, 90))) is None for seed in range(20))


@pytest.mark.parametrize(
    ("size", "apart", "share"), [(1, 5, 0.5), (2, 5, 0.4), (10, 5, 0.2), (10, 7, 0.1), (90, 5, 0.3)]
)
def test_two_modes_are_told_apart(size, apart, share):
    right = []
    for seed in range(20):
        theta, shifted = two_modes(np.random.default_rng(seed), size, apart, share)
        regions = find_regions(theta)
        right.append(regions is not None and len(regions) == 2 and np.mean(regions(theta) == shifted))
    right = np.maximum(right, 1 - np.array(right))  # which region has which number means nothing
    assert np.mean(right > 0.97) >= 0.95


def test_modes_across_a_long_axis_that_they_share():
    """Neither parameter shows them: each alone has one peak."""
    rng = np.random.default_rng(0)
    along, shifted = 10 * rng.standard_normal(4000), rng.random(4000) < 0.4
    across = rng.standard_normal(4000) + 6 * shifted
    regions = find_regions(np.c_[along + across, along - across])
    assert len(regions) == 2
    agreement = np.mean(regions(np.c_[along + across, along - across]) == shifted)
    assert max(agreement, 1 - agreement) > 0.98


def test_four_modes_are_four_regions_and_of_five_one_is_shared():
    rng = np.random.default_rng(0)
    corners = 8 * np.array([[0, 0], [0, 1], [1, 0], [1, 1], [2, 2]])
    for count in (4, 5):
        which = rng.integers(count, size=4000)
        theta = corners[which] + rng.standard_normal((4000, 2))
        label = find_regions(theta)(theta)
        assert label.max() == 3
        assert sum(np.bincount(label[which == k], minlength=4).max() for k in range(count)) > 0.99 * 4000


def test_a_mode_of_few_draws_is_no_region():
    theta, _ = two_modes(np.random.default_rng(0), 2, 9, 0.03)
    assert find_regions(theta) is None


def test_parameters_that_never_move_and_too_few_draws_are_no_modes():
    rng = np.random.default_rng(0)
    fixed = np.c_[np.ones(2000), rng.standard_normal(2000)]
    assert find_regions(fixed) is None
    assert find_regions(np.ones((2000, 2))) is None
    assert find_regions(rng.standard_normal((30, 2))) is None


def test_the_regions_do_not_depend_on_units():
    theta, _ = two_modes(np.random.default_rng(1), 3, 6, 0.4)
    scale, shift = np.array([1e-6, 1.0, 1e4]), np.array([3.0, -1e3, 0.0])
    np.testing.assert_array_equal(
        find_regions(theta)(theta), find_regions(theta * scale + shift)(theta * scale + shift)
    )


def test_depth_against_a_known_valley():
    """Uniform on [0, 1] and [2, 3] at nine tenths of the draws, on [1, 2] at a tenth: 4.5 times lower."""
    rng = np.random.default_rng(0)
    draws = np.r_[rng.random(9000), 2 + rng.random(9000), 1 + rng.random(2000)]
    deep, cut = depth(np.sort(draws)[None], 1000)
    assert 4 < deep[0] < 6
    assert 1 < cut[0] < 2


def test_regions_are_a_partition():
    quarters = Regions((0, 0), np.array([[1.0, 0.0], [0.0, 1.0]]), np.zeros(2))
    points = np.array([[-1.0, -1.0], [1.0, -1.0], [1.0, 1.0], [-1.0, 1.0]])
    np.testing.assert_array_equal(quarters(points), [0, 1, 1, 2])
