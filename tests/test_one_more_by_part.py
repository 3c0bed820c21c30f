"""Intervals for one more run, part by part."""

import numpy as np
import pytest

from bayesrepair.numerics.one_more_by_part import next_shares


@pytest.mark.parametrize(("parts", "runs", "size"), [(4, 3, 8), (2, 5, 12)])
def test_intervals_by_part_cover_one_more_run(parts, runs, size):
    rng = np.random.default_rng(3)
    inside = []
    for _ in range(500):
        chance = np.sin(np.clip(rng.normal(0.9, 0.25, parts), 0.05, 1.5)) ** 2
        hits = rng.binomial(size, chance, (runs + 1, parts))
        _, low, high = next_shares(hits[:runs], np.full((runs, parts), size), np.full(parts, size)).T
        inside.append((hits[-1] / size >= low - 1e-9) & (hits[-1] / size <= high + 1e-9))
    np.testing.assert_allclose(np.mean(inside), 0.9, atol=0.03)


def test_a_part_with_few_errors_is_drawn_towards_the_others():
    hits, sizes = np.array([[18, 19, 1]]), np.array([[20, 20, 2]])
    mean, low, high = next_shares(hits, sizes, sizes[0]).T
    assert 0.5 < mean[2] < mean[0] < 0.93
    assert high[2] - low[2] > high[0] - low[0]


def test_nothing_that_could_be_found_is_refused():
    with pytest.raises(ValueError, match="no run"):
        next_shares(np.zeros((2, 2)), np.zeros((2, 2)), np.ones(2))
