"""Where a rehearsal starts: outcomes that are wrong already are put right, and it is said where that cannot be done."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

import bayesrepair as br
from bayesrepair.fit import Fit
from bayesrepair.oracles import NormalNormal
from bayesrepair.posterior import Draws
from bayesrepair.rehearsal.standing import standing
from bayesrepair.rehearsal.truths import drawn_truth
from bayesrepair.status import Status

N = 160


@pytest.fixture(scope="module")
def wrong_already():
    """Laplace fit of two classes hardly overlapping, a tenth of the labels wrong, and which."""
    import pymc as pm

    rng = np.random.default_rng(4)
    x = rng.standard_normal((N, 2))
    true = (x @ np.array([6.0, -5.0]) + rng.logistic(size=N) > 0).astype(int)
    wrong = np.isin(np.arange(N), rng.choice(N, N // 10, replace=False))
    with pm.Model() as model:
        slope, level = pm.Normal("slope", 0.0, 4.0, shape=2), pm.Normal("level", 0.0, 2.0)
        pm.Bernoulli("y", logit_p=level + x @ slope, observed=np.where(wrong, 1 - true, true))
    return br.from_pymc(model, method="laplace"), wrong


@pytest.fixture(scope="module")
def suspects(wrong_already):
    """Of the fit with wrong labels, the first wrong one trusted."""
    fit, wrong = wrong_already
    return br.find_suspects(fit, trusted=fit.rows.index[[np.flatnonzero(wrong)[0]]])


def test_what_is_put_right_was_wrong(wrong_already, suspects):
    fit, wrong = wrong_already
    rng = np.random.default_rng(0)
    changed = [drawn_truth(suspects, fit.rows, rng).values["y"] != fit.rows.values["y"] for _ in range(20)]
    share = np.mean(changed, axis=0)
    assert share[wrong].mean() > 0.7
    assert share[~wrong].mean() < 0.05
    assert len({int(each.sum()) for each in changed}) > 2  # how many are wrong is not known
    assert share[np.flatnonzero(wrong)[0]] == 0  # it is trusted


def test_a_number_far_off_is_drawn_anew_and_others_stay():
    oracle = NormalNormal(0.0, 1.0, 1.0)
    rows = oracle.rows({"y": np.array([0.5, 40.0, -0.3])})
    found = SimpleNamespace(
        scores=pd.DataFrame({"prob_wrong": [0.01, 0.99, 0.01]}, index=rows.index),
        suspicion=SimpleNamespace(count=np.array([1])),
        fit=Fit(oracle, rows, Draws.plain(np.full((10, 1), 3.0))),
        prob_noise=1.0,
    )
    rng = np.random.default_rng(0)
    new = np.array([drawn_truth(found, rows, rng).values["y"] for _ in range(200)])
    np.testing.assert_array_equal(new[:, [0, 2]], np.tile([0.5, -0.3], (200, 1)))
    np.testing.assert_allclose([new[:, 1].mean(), new[:, 1].std()], [3.0, 1.0], atol=4 / np.sqrt(200))


def test_the_interval_covers_how_well_the_real_errors_are_found(wrong_already):
    fit, wrong = wrong_already
    top = fit.rows.positions(br.find_suspects(fit).top(N // 10).index)
    rehearsed = br.rehearse(fit, noise=0.1, runs=12, progressbar=False)
    share = rehearsed.expected("precision")
    assert share.low <= wrong[top].mean() <= share.high
    assert share.low > 0.5  # counted as false alarms, the real errors would halve the precision
    assert rehearsed.runs["corrected"].mean() > 0.6 * N / 10


def given(prob, *, weight=1.0, level="checked"):
    """Suspects, as far as `standing` reads them."""
    scores = pd.DataFrame({"prob_wrong": prob})
    return SimpleNamespace(scores=scores, prob_noise=weight, status=Status(level, "the chains do not agree", "More."))


@pytest.mark.parametrize(
    ("suspects", "level", "says"),
    [
        (given([0.99] * 9 + [0.001] * 90), "ok", "most can be named"),
        (given([0.01] * 90), "ok", "about 0.9 of the 90"),
        (given([0.1] * 90), "checked", "most of them cannot be named"),
        (given([0.99] * 9 + [0.001] * 90, weight=0.4), "checked", "1 of 3 runs took them as they stand"),
        (given([0.99] * 9, level="unreliable"), "unreliable", "the chains do not agree"),
    ],
)
def test_status_says_where_errors_cannot_be_named(suspects, level, says):
    found = standing(suspects, pd.Series([4, 0, 6]))
    assert found.level == level
    assert says in found.message
