"""Causes and suspects joined, and the words about which list to believe."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import average_precision_score

import bayesrepair as br
from bayesrepair.fit import Fit
from bayesrepair.oracles import Logistic
from bayesrepair.posterior import Draws
from bayesrepair.regime import regime
from bayesrepair.rows import Rows
from bayesrepair.status import DataError

N, HELD_OUT, FREQUENCIES = 400, 400, 50


class Found:
    """Suspects as a join reads them."""

    def __init__(self, scores):
        self.scores = scores

    def __len__(self):
        return len(self.scores)


def problem(kind, seed=11):
    """A logistic regression, plain or on random Fourier features, with wrong labels; clean held-out rows."""
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((N + HELD_OUT, 2))
    if kind == "overlap":
        chance = 1 / (1 + np.exp(-3 * x[:, 0] - 2 * x[:, 1]))
        features, y = x, (rng.random(len(x)) < chance).astype(int)
        wrong = rng.choice(N, 40, replace=False)
    else:
        frequency, phase = rng.standard_normal((2, FREQUENCIES)) / 0.8, rng.uniform(0, 2 * np.pi, FREQUENCIES)
        features = 3 * np.sqrt(2 / FREQUENCIES) * np.cos(x @ frequency + phase)
        y = (np.hypot(x[:, 0], x[:, 1]) > 1.1).astype(int)
        ones = np.flatnonzero(y[:N])
        wrong = rng.choice(ones, round(0.3 * len(ones)), replace=False) if kind == "class" else rng.choice(N, 12)
    given = y.copy()
    given[wrong] = 1 - given[wrong]
    oracle = Logistic(features.shape[1])
    rows = Rows({"x": features[:N], "y": given[:N]}, np.array([f"r{i}" for i in range(N)]))
    holdout = Rows({"x": features[N:], "y": y[N:]}, np.arange(HELD_OUT))
    theta = oracle.train(rows, start=Draws.plain(np.zeros((1000, oracle.n_params))), rng=rng).theta
    fit = Fit(oracle, rows, Draws.plain(theta, np.arange(1000) * 4 // 1000))
    is_wrong = pd.Series(np.isin(np.arange(N), wrong), index=rows.index)
    return SimpleNamespace(fit=fit, wrong=is_wrong, failures=br.find_failures(fit, holdout))


@pytest.fixture(scope="module")
def class_flips():
    """Flips of one class that cause failures, with the causes."""
    some = problem("class")
    some.causes = br.find_causes(some.fit, some.failures, progressbar=False)
    return some


def suspects_like(causes, prob):
    """Suspects of the same rows."""
    frame = pd.DataFrame({"prob_wrong": prob, "given": "<a>", "suggested": "<b>"}, index=causes.rows.index)
    return Found(frame.sort_values("prob_wrong", ascending=False))


def test_fused_is_the_sum_of_two_ranks(class_flips):
    causes = class_flips.causes
    prob = np.random.default_rng(0).random(N).round(1)  # with ties
    joined = causes.with_suspects(suspects_like(causes, prob)).frame()
    ranks = causes.scores["score"].rank(ascending=False) + pd.Series(prob, causes.rows.index).rank(ascending=False)
    np.testing.assert_allclose(joined["fused"], 1 - (ranks.loc[joined.index] - 2) / (2 * (N - 1)))
    assert joined["fused"].is_monotonic_decreasing
    assert joined["fused"].max() <= 1


def test_a_list_joined_with_itself_keeps_its_order(class_flips):
    causes = class_flips.causes
    prob = 1 / (1 + np.exp(-causes.scores["score"].reindex(causes.rows.index)))
    joined = causes.with_suspects(suspects_like(causes, prob.to_numpy()))
    np.testing.assert_array_equal(joined.frame().index, causes.scores.index)
    np.testing.assert_allclose(joined.frame()["fused"].iloc[[0, -1]], [1.0, 0.0])
    np.testing.assert_array_equal(joined.top(5).index, causes.scores.index[:5])


def test_joining_with_surprise_finds_more_than_either(class_flips):
    causes = class_flips.causes
    surprise = causes.scores["surprise"].reindex(causes.rows.index)
    joined = causes.with_suspects(suspects_like(causes, -np.expm1(-surprise.to_numpy()))).frame()
    wrong = class_flips.wrong
    fused, score, loss = (
        average_precision_score(wrong.reindex(index), column)
        for index, column in (
            (joined.index, joined["fused"]),
            (causes.scores.index, causes.scores["score"]),
            (causes.scores.index, causes.scores["surprise"]),
        )
    )
    assert fused > max(score, loss)


def test_suspects_of_other_rows_are_refused(class_flips):
    few = Found(pd.DataFrame({"prob_wrong": [0.1], "given": 0}, index=["r0"]))
    with pytest.raises(DataError, match="same fit"):
        class_flips.causes.with_suspects(few)


def test_html_escapes_class_names(class_flips):
    joined = class_flips.causes.with_suspects(suspects_like(class_flips.causes, np.linspace(0, 1, N)))
    assert "<a>" not in joined._repr_html_()
    assert "&lt;a&gt;" in joined._repr_html_()
    assert "For wrong outcomes believe" in repr(joined)


def test_plot_marks_the_first_rows(class_flips):
    joined = class_flips.causes.with_suspects(suspects_like(class_flips.causes, np.linspace(0, 1, N)))
    ax = joined.plot(7)
    assert "of the first 7 rows" in ax.get_title(loc="left").replace("\n", " ")
    assert ax.get_xlabel() == "cause score (right = harmful)"


def test_flips_of_a_class_that_cause_failures_call_for_both_lists(class_flips):
    found = class_flips.causes.regime
    failed = class_flips.failures.frame()["given"]
    assert found.believe == "both"
    np.testing.assert_allclose(found.kind_share, failed.value_counts(normalize=True).iloc[0])
    assert f"{found.kind_share:.0%} of the failures are" in found.why
    assert found.failures == len(class_flips.failures)
    assert "against='held_out'" in found.why


def test_natural_failures_call_for_the_suspects_and_causes_do_worse_there():
    some = problem("overlap")
    causes = br.find_causes(some.fit, some.failures, progressbar=False)
    assert causes.regime.believe == "suspects"
    assert "look natural" in repr(causes)
    wrong = some.wrong.reindex(causes.scores.index)
    by_score, by_surprise = (average_precision_score(wrong, causes.scores[name]) for name in ("score", "surprise"))
    assert by_surprise > by_score + 0.2


def test_few_failures_call_for_the_suspects():
    some = problem("few")
    causes = br.find_causes(some.fit, some.failures, progressbar=False)
    assert len(some.failures) < 30
    assert causes.regime.believe == "suspects"


def test_scores_against_all_held_out_rows_are_joined(class_flips):
    causes = br.find_causes(class_flips.fit, class_flips.failures, against="held_out", progressbar=False)
    found = causes.regime
    assert found.believe == "both"
    assert found.failures == len(class_flips.failures)  # the failures themselves, not the handled rows


def test_figures_of_the_regime(class_flips):
    causes = class_flips.causes
    score = causes.scores["score"]
    prob = pd.Series(np.linspace(0, 1, N), index=causes.rows.index)
    found = regime(causes, suspects_like(causes, prob.to_numpy()))
    np.testing.assert_allclose(found.positive, (score > 0).mean())
    np.testing.assert_allclose(found.concentrated, score.clip(lower=0).nlargest(40).sum() / score.clip(lower=0).sum())
    np.testing.assert_allclose(found.agreement, score.corr(causes.scores["surprise"], method="spearman"))
    np.testing.assert_allclose(found.with_suspects, score.corr(prob.reindex(score.index), method="spearman"))
    assert 0 < found.alike < 1
    assert len(found.frame()) == 7


def test_numbers_say_which_side_failed():
    from bayesrepair.oracles import LinearUnknownNoise

    oracle, rng = LinearUnknownNoise(1, shape=3.0, rate=3.0), np.random.default_rng(0)
    rows = oracle.rows({"x": np.ones((100, 1)), "y": rng.normal(size=100)})
    fit = Fit(oracle, rows, oracle.train(rows, start=Draws.plain(np.zeros((1000, oracle.n_params))), rng=rng))
    held_out = {"x": np.ones((6, 1)), "y": np.array([0.0, 0.1, -0.1, 4.0, 5.0, 6.0])}
    causes = br.find_causes(fit, br.find_failures(fit, oracle.rows(held_out)), progressbar=False)
    assert (causes.regime.kind, causes.regime.kind_share, causes.regime.kind_base) == ("above", 1.0, 4 / 6)
