"""Suspects from in-sample and out-of-sample class probabilities together."""

import numpy as np
import pytest
from scipy.special import softmax
from sklearn.metrics import average_precision_score

import bayesrepair as br
from bayesrepair.in_sample import calibrated
from bayesrepair.status import DataError, RepairWarning


def blurred(logits, sd, rng):
    """A classifier that sees the logits through noise, as sharp as it is right."""
    seen = logits + sd * rng.normal(size=logits.shape)
    return softmax(seen * logits.var() / (logits.var() + sd**2), axis=1)


def made(rows, seed):
    """Given labels, which are wrong, out-of-sample probabilities, and the better ones of more training rows."""
    rng = np.random.default_rng(seed)
    logits = 6.0 * rng.normal(size=(rows, 3))
    true = (rng.random(rows)[:, None] > softmax(logits, axis=1).cumsum(axis=1)[:, :-1]).sum(axis=1)
    wrong = rng.random(rows) < 0.12
    given = np.where(wrong, (true + rng.integers(1, 3, rows)) % 3, true)
    return given, wrong, blurred(logits, 2.0, rng), blurred(logits, 0.5, rng)


@pytest.fixture(scope="module")
def world():
    return made(1500, seed=0)


@pytest.fixture(scope="module")
def alone(world):
    given, _, folds, _ = world
    return br.suspects_from_predictions(given, folds)


def prob_wrong(suspects):
    return suspects.frame()["prob_wrong"].sort_index().to_numpy()


def test_a_better_classifier_orders_better(world, alone):
    given, wrong, folds, every = world
    both = br.suspects_from_predictions(given, folds, in_sample=every)
    before, after = (average_precision_score(wrong, prob_wrong(some)) for some in (alone, both))
    assert after > before + 0.03, (before, after)
    assert prob_wrong(both)[wrong].mean() > 5 * prob_wrong(both)[~wrong].mean()  # canary of the sign
    count = both.expected_count
    assert count.low <= wrong.sum() <= count.high


def test_intervals_of_90_per_cent_hold_the_precision_in_nine_worlds_of_ten():
    inside, width, apart = [], [], []
    for seed in range(10):
        given, wrong, folds, every = made(400, seed)
        both, k = br.suspects_from_predictions(given, folds, in_sample=every), int(wrong.sum())
        expected, found = both.expected_precision(k), wrong[both.frame().index[:k]].mean()
        inside.append(bool(expected.low <= found <= expected.high))
        width.append(expected.high - expected.low)
        apart.append(found - expected.mean)
    assert sum(inside) >= 9, inside
    assert np.median(width) < 0.4  # one that is everything holds anything
    assert abs(np.mean(apart)) < 0.08  # a claim that is always too low could lie inside each time


def test_the_noise_is_that_of_the_folds(world, alone):
    given, _, folds, every = world
    both = br.suspects_from_predictions(given, folds, in_sample=every)
    np.testing.assert_allclose(both.noise_matrix["mean"], alone.noise_matrix["mean"], atol=0.01)
    assert both.noise_evidence.difference.tolist() == alone.noise_evidence.difference.tolist()
    np.testing.assert_array_equal(both.frame()["surprise"].sort_index(), alone.frame()["surprise"].sort_index())


def test_the_status_says_that_the_classifier_has_seen_the_labels(world, alone):
    given, _, folds, every = world
    both = br.suspects_from_predictions(given, folds, in_sample=every)
    assert both.status.level == "checked"
    assert "has seen the labels" in both.status.message
    assert "has seen the labels" not in alone.status.message


def test_the_same_probabilities_twice_change_nothing(world, alone):
    given, _, folds, _ = world
    twice = br.suspects_from_predictions(given, folds, in_sample=folds)
    np.testing.assert_allclose(prob_wrong(twice), prob_wrong(alone), atol=0.08)


def test_calibrated_draws_are_those_of_a_gaussian_at_each_mode(world, alone):
    """At noise held fixed the mean of the draws is where the gradient of the design's values vanishes."""
    model, rows = alone.fit.model, alone.fit.rows
    noise = alone.fit.draws.theta[:1]
    draws = calibrated(model, rows, np.repeat(noise, 50, axis=0)).theta
    count = len(model.design.names)
    np.testing.assert_array_equal(draws[:, count:], np.repeat(noise[:, count:], len(draws), axis=0))
    mean = draws.mean(axis=0, keepdims=True)
    _, gradient = model.log_target_and_grad(mean, rows, np.ones(len(rows)))
    covariance = np.cov(draws[:, :count].T)
    off = gradient[0, :count] @ covariance @ gradient[0, :count]  # in posterior sds, squared: chi² / number of draws
    assert off < 30 / len(draws)
    curvature = model.curvature(mean[0], rows, np.ones(len(rows)))[:count, :count]
    np.testing.assert_allclose(np.diag(covariance @ curvature), 1.0, atol=0.3)


def test_labels_that_were_learned_by_heart_are_noticed(world):
    given, _, folds, _ = world
    by_heart = 0.97 * np.eye(3)[given] + 0.01
    with pytest.warns(RepairWarning, match="by heart"):
        found = br.suspects_from_predictions(given, folds, in_sample=by_heart)
    assert found.status.level == "unreliable"


def test_what_is_refused(world):
    given, _, folds, every = world
    with pytest.raises(DataError, match="in-sample probabilities for each of 1500"):
        br.suspects_from_predictions(given, folds, in_sample=every[:-1])
    with pytest.raises(DataError, match="shape"):
        br.suspects_from_predictions(given, folds, in_sample=every[:, :2])
