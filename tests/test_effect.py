"""Better or worse on held-out rows: by the log score, by accuracy, and what is said where they disagree."""

import numpy as np
import pandas as pd
import pytest

import bayesrepair as br
from bayesrepair.diagnosis.result import _change
from bayesrepair.evaluation import Effect, held_out
from bayesrepair.oracles import LinearKnownNoise, Logistic
from bayesrepair.posterior import Draws
from bayesrepair.reporting.sections.effect import _table
from bayesrepair.reporting.sections.verdict import effect_sentence


def line(gain, change, *, name="accuracy"):
    """A line of the table of held-out rows; both errors are .1."""
    return pd.Series(
        {
            "rows": 100,
            f"{name}_before": 0.9,
            f"{name}_after": 0.9 + change,
            f"{name}_change": change,
            f"{name}_change_se": 0.1,
            "log_score_before": -0.3,
            "log_score_after": -0.3 + gain,
            "log_score_gain": gain,
            "gain_se": 0.1,
        }
    )


WORDS = [
    (0.3, 0.0, "better", "good"),
    (0.3, 0.3, "better", "good"),
    (0.3, -0.05, "better", "good"),  # within the noise of the accuracy
    (0.3, -0.15, "better by the log score, worse by accuracy", "fair"),
    (0.0, 0.0, "no clear change", "plain"),
    (0.0, -0.15, "no clear change by the log score, worse by accuracy", "bad"),
    (0.0, 0.15, "no clear change", "plain"),  # praise takes two standard errors
    (0.0, 0.25, "no clear change by the log score, better by accuracy", "fair"),
    (-0.3, -0.3, "worse", "bad"),
    (-0.3, 0.0, "worse", "bad"),
    (-0.3, 0.25, "worse by the log score, better by accuracy", "fair"),
]


@pytest.mark.parametrize(("gain", "change", "words", "tone"), WORDS)
def test_report_and_verdict_say_the_same(gain, change, words, tone):
    figures = line(gain, change)
    assert Effect.of(figures).words == words
    assert effect_sentence("all held-out rows", figures).endswith(f"({words}).")
    assert _change(figures, "all held-out rows").endswith(f": {words}.")
    badge = _table(figures.to_frame("all held-out rows").T).lines[0][-1]
    assert (badge.text, badge.tone) == (words, tone)


def test_a_smaller_error_is_better():
    assert Effect.of(line(0.3, 0.25, name="rmse")).words == "better by the log score, worse by rmse"
    assert Effect.of(line(0.0, -0.25, name="rmse")).words == "no clear change by the log score, better by rmse"


def test_without_the_change_of_accuracy_the_log_score_speaks_alone():
    figures = line(0.3, -0.9).drop(["accuracy_change", "accuracy_change_se"])
    assert Effect.of(figures).words == "better"


def test_nothing_done_is_called_unchanged():
    figures = line(0.0, 0.0)
    figures[["gain_se", "accuracy_change_se"]] = 0.0
    assert Effect.of(figures).words == "unchanged"


def two_fits(model, y):
    """Two posteriors of one draw each, the second further from the truth."""
    x = np.random.default_rng(3).normal(size=(200, 2))
    rows = br.Rows({"x": x, "y": y(x)}, np.arange(200))
    return rows, [br.Fit(model, rows, Draws.plain(np.array([slope]))) for slope in ([1.0, -1.0], [0.2, -1.0])]


def test_the_change_of_accuracy_is_counted_row_by_row():
    rows, (before, after) = two_fits(Logistic(n_features=2), lambda x: (x[:, 0] - x[:, 1] > 0).astype(int))
    figures = held_out(before, after, {"all": rows}).loc["all"]
    lost = round(200 * (1 - figures["accuracy_after"]))
    assert lost > 5
    np.testing.assert_allclose(figures["accuracy_before"], 1.0)
    np.testing.assert_allclose(figures["accuracy_change"], -lost / 200)
    share = lost / 200
    np.testing.assert_allclose(figures["accuracy_change_se"], np.sqrt(share * (1 - share) / 199))


def test_the_error_of_a_change_of_rmse_is_that_of_the_jackknife():
    noise = np.random.default_rng(4).normal(size=200)
    rows, fits = two_fits(LinearKnownNoise(n_features=2), lambda x: x[:, 0] - x[:, 1] + noise)
    figures = held_out(*fits, {"all": rows}).loc["all"]
    slopes = [fit.posterior.theta[0] for fit in fits]
    square = np.array([np.square(rows.values["x"] @ slope - rows.values["y"]) for slope in slopes])
    rmse = np.sqrt(square.mean(axis=1))
    np.testing.assert_allclose(figures[["rmse_before", "rmse_after"]].astype(float), rmse)
    np.testing.assert_allclose(figures["rmse_change"], rmse[1] - rmse[0])
    without_one = np.sqrt((square.sum(axis=1, keepdims=True) - square) / 199)
    left = without_one[1] - without_one[0]
    jackknife = np.sqrt(199 / 200 * np.square(left - left.mean()).sum())
    np.testing.assert_allclose(figures["rmse_change_se"], jackknife, rtol=0.02)
