"""Labels made wrong on purpose: how many, which, and the truth beside them."""

import numpy as np
import pandas as pd
import pytest

from bayesrepair import status
from bayesrepair.datasets import flip_labels

WORDS = pd.Series(["no", "yes", "no", "maybe"] * 250, index=[f"id{i}" for i in range(1000)], name="answer")


def test_uniform_flips_hit_the_exact_share_and_spread_over_the_other_classes():
    labels, truth = flip_labels(WORDS, rate=0.3, rng=np.random.default_rng(0))
    assert truth.sum() == 300
    np.testing.assert_array_equal(labels != WORDS, truth)
    assert (labels.dtype, labels.name) == (WORDS.dtype, "answer")
    pd.testing.assert_index_equal(labels.index, WORDS.index)
    got = labels[truth & (WORDS == "no")].value_counts()
    n = got.sum()
    assert set(got.index) == {"yes", "maybe"}
    assert abs(got["yes"] - n / 2) < 4 * np.sqrt(n / 4)


def test_class_flips_hit_the_named_classes_only():
    pairs = {"no": "yes", "yes": "maybe"}
    labels, truth = flip_labels(WORDS, rate=0.2, rng=np.random.default_rng(0), kind="class", pairs=pairs)
    moves = pd.crosstab(WORDS[truth], labels[truth])
    assert moves.loc["no", "yes"] == 100
    assert moves.loc["yes", "maybe"] == 50
    assert truth.sum() == 150


def test_half_redrawn_leaves_a_quarter_wrong_with_two_classes():
    y = np.arange(20_000) % 2
    labels, truth = flip_labels(y, rate=0.5, rng=np.random.default_rng(0), kind="redrawn")
    assert abs(truth.mean() - 0.25) < 4 * np.sqrt(10_000 / 4) / 20_000
    np.testing.assert_array_equal(truth, labels.to_numpy() != y)
    assert labels.dtype == y.dtype


@pytest.mark.parametrize("dtype", [np.int64, bool, "category", "object"])
def test_type_of_the_labels_is_kept(dtype):
    y = pd.Series([0, 1] * 10).astype(dtype)
    before = y.copy()
    labels, _ = flip_labels(y, rate=0.5, rng=np.random.default_rng(0))
    assert labels.dtype == y.dtype
    pd.testing.assert_series_equal(y, before)


def test_same_seed_same_flips_and_no_flips_at_rate_zero():
    first, second = (flip_labels(WORDS, rate=0.1, rng=np.random.default_rng(7))[0] for _ in range(2))
    pd.testing.assert_series_equal(first, second)
    labels, truth = flip_labels(WORDS, rate=0.0, rng=np.random.default_rng(7))
    pd.testing.assert_series_equal(labels, WORDS)
    assert not truth.any()


@pytest.mark.parametrize(("y", "options", "message"), [
    (WORDS, {"rate": 1.5}, "between 0 and 1"),
    (WORDS, {"rate": float("nan")}, "between 0 and 1"),
    (WORDS, {"rate": 0.1, "kind": "other"}, "uniform, class, redrawn"),
    (WORDS, {"rate": 0.1, "kind": "class"}, "pairs"),
    (WORDS, {"rate": 0.1, "pairs": {"no": "yes"}}, "pairs"),
    (WORDS, {"rate": 0.1, "kind": "class", "pairs": {"no": "perhaps"}}, "'perhaps'"),
    (WORDS, {"rate": 0.1, "kind": "class", "pairs": {"no": "no"}}, "for itself"),
    (["a", "a"], {"rate": 0.1}, "two classes"),
    (pd.Series(["a", None, "b"]), {"rate": 0.1}, "1 missing"),
])  # fmt: skip
def test_bad_requests_are_refused(y, options, message):
    with pytest.raises(status.DataError, match=message):
        flip_labels(y, rng=np.random.default_rng(0), **options)
