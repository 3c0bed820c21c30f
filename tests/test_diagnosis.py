"""The parts of a diagnosis that need no sampling: which rows do what, suspicious constants, suggested classes."""

import numpy as np
import pandas as pd
import pytest

import bayesrepair as br
from bayesrepair.diagnosis import divide, prepare, suggested_classes, suspicious_constants
from bayesrepair.oracles import LinearKnownNoise, Logistic
from bayesrepair.status import DataError, MethodError, RepairWarning


def failures(count, total=200):
    holdout = br.Rows({"y": np.zeros(total)}, np.arange(total))
    return br.Failures(holdout, pd.DataFrame({"failed": np.arange(total) < count}, index=holdout.index), "by hand")


def ids(part):
    return set(part.holdout.row.tolist())


def test_many_failures_are_dealt_into_three_parts():
    parts = divide(failures(60), choosing=True, repairing=True)
    assert [len(p) for p in (parts.scoring, parts.choosing, parts.reporting)] == [20, 20, 20]
    assert not parts.cross_fitted
    assert ids(parts.scoring) | ids(parts.choosing) | ids(parts.reporting) == set(range(200))
    assert not ids(parts.scoring) & ids(parts.choosing)
    assert not (ids(parts.scoring) | ids(parts.choosing)) & ids(parts.reporting)


def test_fewer_failures_choose_where_they_rank_and_report_elsewhere():
    parts = divide(failures(59), choosing=True, repairing=True)
    assert parts.cross_fitted
    assert not ids(parts.scoring) & ids(parts.reporting)
    assert next(iter(parts.shown(failures(59)))) == "failures held apart"


def test_nothing_to_choose_needs_two_parts_and_nothing_to_repair_one():
    parts = divide(failures(100), choosing=False, repairing=True)
    assert parts.choosing is None
    assert len(parts.reporting) == 50
    alone = divide(failures(100), choosing=True, repairing=False)
    assert alone.reporting is None
    assert len(alone.scoring) == 100


def test_a_handful_of_failures_is_not_split():
    parts = divide(failures(3), choosing=True, repairing=True)
    assert parts.choosing is None
    assert parts.reporting is None
    assert "too few failures" in parts.described
    assert list(parts.shown(failures(3))) == ["failures", "other rows", "all held-out rows"]


def test_constants_that_stand_for_missing_values_are_named():
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(
        {
            "pressure": np.where(rng.random(300) < 0.05, 0, rng.integers(40, 120, 300)),
            "insulin": np.where(rng.random(300) < 0.5, 0, rng.integers(14, 600, 300)),
            "income": np.where(rng.random(300) < 0.03, 9999, rng.integers(100, 900, 300)),
            "visits": rng.poisson(3, 300),
            "height": rng.normal(170, 10, 300),
            "binary": rng.integers(0, 2, 300),
        }
    )
    found = suspicious_constants(frame, frame.columns)
    assert [text.split("'")[1] for text in found] == ["pressure", "insulin", "income"]
    assert "9999" in found[2]


def test_prepared_tables_share_no_row_and_see_every_level():
    frame = pd.DataFrame({"x": np.arange(200.0), "w": ["a", "b", "c", "d"] * 50, "y": ["no", "yes"] * 100})
    frame.loc[[0, 1], "w"] = ["rare", "rarer"]
    tables = prepare(frame, target="y", share=0.5, random_seed=3)
    assert not set(tables.train.index) & set(tables.held_out.index)
    assert {"rare", "rarer"} <= set(tables.train["w"])
    assert tables.recipe.target.family == "bernoulli"


def test_ids_in_words_do_not_stop_rows_from_being_held_out():
    frame = pd.DataFrame({"name": [f"n{k}" for k in range(100)], "x": np.arange(100.0), "y": [0, 1] * 50})
    tables = prepare(frame, target="y", share=0.3)
    assert len(tables.held_out) == 30
    assert any("'name' is left out" in note for note in tables.notes)


def test_rare_words_do_not_stop_rows_from_being_held_out():
    rng = np.random.default_rng(1)
    towns = [f"town {k}" for k in rng.integers(0, 60, 200)]
    frame = pd.DataFrame({"town": towns, "x": np.arange(200.0), "y": [0, 1] * 100})
    tables = prepare(frame, target="y", share=0.3)
    assert len(tables.held_out) == 60
    assert any("pooled" in note for note in tables.notes)


def test_levels_unseen_in_training_are_refused_before_sampling():
    frame = pd.DataFrame({"w": ["a", "b"] * 20, "x": np.arange(40.0), "y": [0, 1] * 20})
    with pytest.raises(DataError, match="levels of 'w' seen in training"):
        prepare(frame, frame.assign(w="c"), target="y")


@pytest.fixture(scope="module")
def logistic():
    rng = np.random.default_rng(2)
    oracle = Logistic(n_features=2, prior_sd=2.0)
    x = rng.normal(size=(120, 2))
    y = (rng.random(120) < 1 / (1 + np.exp(-4 * x[:, 0]))).astype(int)
    wrong = np.argsort(-np.abs(x[:, 0]))[:4]
    y[wrong] = 1 - (x[wrong, 0] > 0)
    rows = br.Rows({"x": x, "y": y}, np.arange(120))
    return br.Fit(oracle, rows, oracle.train(rows, rng=rng)), rows.index[wrong]


def test_suggested_classes_are_other_classes_and_come_with_a_warning(logistic):
    fit, wrong = logistic
    names = fit.model.outcome.classes
    with pytest.warns(RepairWarning, match="self-training"):
        suggested = suggested_classes(fit, wrong, method="retrain", random_seed=0)
    given = fit.rows.take(wrong).values["y"]
    assert [suggested[row] for row in wrong] == [names[1 - code] for code in given]


def test_classes_are_suggested_for_classes_only():
    oracle = LinearKnownNoise(n_features=1, prior_sd=1.0, noise_sd=1.0)
    rows = br.Rows({"x": np.ones((20, 1)), "y": np.arange(20.0)}, np.arange(20))
    fit = br.Fit(oracle, rows, oracle.posterior(rows).draws(100, np.random.default_rng(0)))
    with pytest.raises(MethodError, match="--action delete"):
        suggested_classes(fit, rows.index[:2])
