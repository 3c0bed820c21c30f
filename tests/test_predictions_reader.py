"""Suspects from out-of-sample class probabilities of any classifier."""

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import average_precision_score

import bayesrepair as br
from bayesrepair.status import DataError, NumericsWarning, RepairWarning


def world(count=1500, classes=3, rate=0.1, seed=0, sharpness=4.0):
    """Calibrated probabilities, true classes drawn from them, and labels of which some are wrong."""
    rng = np.random.default_rng(seed)
    logits = sharpness * rng.normal(size=(count, classes))
    p = np.exp(logits - logits.max(axis=1, keepdims=True))
    p = np.maximum(p / p.sum(axis=1, keepdims=True), 1e-9)
    p /= p.sum(axis=1, keepdims=True)
    true = (rng.random(count)[:, None] > p.cumsum(axis=1)[:, :-1]).sum(axis=1)
    wrong = rng.random(count) < rate
    given = np.where(wrong, (true + rng.integers(1, classes, count)) % classes, true)
    return given, p, wrong


@pytest.fixture(scope="module")
def found():
    given, p, wrong = world()
    return br.suspects_from_predictions(given, p), wrong


def test_wrong_labels_come_first(found):
    suspects, wrong = found
    frame = suspects.frame().sort_index()
    loss = average_precision_score(wrong, frame["surprise"])
    ours = average_precision_score(wrong, frame["prob_wrong"])
    assert ours > max(0.75, loss - 0.03)
    assert frame["prob_wrong"][wrong].mean() > 5 * frame["prob_wrong"][~wrong].mean()  # canary of the sign


def test_probabilities_are_calibrated(found):
    suspects, wrong = found
    frame = suspects.frame()
    low, high = suspects.expected_count.low, suspects.expected_count.high
    assert low <= wrong.sum() <= high
    k = int(wrong.sum())
    expected = suspects.expected_precision(k)
    assert expected.low <= wrong[frame.index[:k]].mean() <= expected.high
    parts = np.array_split(frame.index.to_numpy(), 10)
    claimed = [frame.loc[part, "prob_wrong"].mean() for part in parts]
    np.testing.assert_allclose(claimed, [wrong[part].mean() for part in parts], atol=0.12)


def test_an_overconfident_classifier_convicts_nobody_by_its_confidence():
    given, p, _ = world(seed=3)
    sharper = p**3 / (p**3).sum(axis=1, keepdims=True)
    honest, loud = br.suspects_from_predictions(given, p), br.suspects_from_predictions(given, sharper)
    np.testing.assert_allclose(loud.expected_count.mean, honest.expected_count.mean, rtol=0.1)
    slope = [s.plain.draws.theta[:, 0].mean() for s in (honest, loud)]
    np.testing.assert_allclose(slope[0] / slope[1], 3.0, rtol=0.1)


def test_order_and_names_of_the_rows_do_not_matter():
    given, p, _ = world(300)
    names = np.array(["ant", "bee", "cow"])
    ids = [f"r{i}" for i in range(300)]
    first = br.suspects_from_predictions(pd.Series(names[given], index=ids), p, classes=names)
    order = np.random.default_rng(1).permutation(300)
    columns = pd.DataFrame(p, index=ids, columns=names)[["cow", "ant", "bee"]]
    again = br.suspects_from_predictions(pd.Series(names[given], index=ids).iloc[order], columns.iloc[order])
    one, two = (s.frame().loc[ids, "prob_wrong"] for s in (first, again))
    np.testing.assert_allclose(one, two, atol=0.02)  # their draws differ
    assert set(again.frame()["suggested"]) <= set(names)


def test_trusted_rows_and_groups():
    given, p, _ = world(900, rate=0.0, seed=2)
    rng = np.random.default_rng(0)
    who = pd.Series(np.where(np.arange(900) % 3 == 0, "bob", "eve"), name="annotator")
    careless = (who == "bob").to_numpy() & (rng.random(900) < 0.3)
    given = np.where(careless, (given + 1) % 3, given)
    trusted = np.flatnonzero(careless)[:5]
    suspects = br.suspects_from_predictions(given, p, groups=who, trusted=trusted)
    np.testing.assert_array_equal(suspects.frame().loc[trusted, "prob_wrong"], 0.0)
    assert suspects.groups.index[0] == "bob"
    assert suspects.groups.loc["bob", "low"] > suspects.groups.loc["eve", "high"]


def test_saturated_probabilities_are_bounded_and_said():
    given, p, _ = world(200)
    p[:7] = np.eye(3)[given[:7]]
    with pytest.warns(NumericsWarning, match="7 of 200 rows"):
        suspects = br.suspects_from_predictions(given, p)
    assert np.isfinite(suspects.frame()[["prob_wrong", "surprise"]]).all(axis=None)


def test_predictions_of_training_rows_are_pointed_out():
    given, _, _ = world(200)
    p = np.full((200, 3), 0.01)
    p[np.arange(200), given] = 0.98
    with pytest.warns(RepairWarning, match="out-of-sample"):
        br.suspects_from_predictions(given, p)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda y, p: (y[:-1], p), "for each of 9 row ids|each of 9 labels"),
        (lambda y, p: (y, p * 2), "sum to 1"),
        (lambda y, p: (y, np.log(p)), "softmax"),
        (lambda y, p: (y, p[:, 0]), "column_stack"),
        (lambda y, p: (y, np.where(p == p, np.nan, p)), "finite"),
        (lambda y, p: (["a", "b"] * 5, p), "classes="),
        (lambda y, p: ([None] * 10, p), "a label in every row"),
        (lambda y, p: (pd.Series(y), pd.DataFrame(p).iloc[::-1]), "loc"),
    ],
)
def test_errors_say_what_to_do(change, message):
    given, p, _ = world(10)
    with pytest.raises(DataError, match=message):
        br.suspects_from_predictions(*change(given, p))


def test_new_predictions_are_recalibrated(found):
    suspects, _ = found
    frame = suspects.fit.predict(np.array([[0.7, 0.2, 0.1]]))
    assert frame["predicted"].tolist() == [0]
    np.testing.assert_allclose(frame[[0, 1, 2]].sum(axis=1), 1.0)


@pytest.mark.slow
def test_many_rows_and_ten_classes():
    given, p, wrong = world(100_000, 10)
    suspects = br.suspects_from_predictions(given, p)
    assert average_precision_score(wrong, suspects.frame().sort_index()["prob_wrong"]) > 0.75
