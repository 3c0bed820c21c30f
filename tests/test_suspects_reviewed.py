"""Rows that were looked at because they were suspicious: what they say of the noise, and of the rows that are left."""

import numpy as np
import pandas as pd
import pytest
from scipy.special import expit, softmax

import bayesrepair as br
from bayesrepair.model import Outcome
from bayesrepair.noise import LabelNoise
from bayesrepair.review import Decisions
from bayesrepair.rows import Rows
from bayesrepair.softmax import Features, SoftmaxModel, softmax_fit
from bayesrepair.softmax.transition import LabelTransition
from bayesrepair.status import DataError, MethodError

COUNTS = (((5, 1, 0), (2, 7, 0), (0, 3, 4)), ((1, 0, 0), (0, 2, 1), (0, 0, 0)), ((0, 0, 0), (0, 0, 0), (0, 0, 1)))


def planted(n=500, seed=0, rate=0.15):
    """Overlapping classes, labels as given, and their true ones; who gave them errs by nature alike."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, 3))
    true = (rng.random(n) < expit(3 * x @ [1.0, -0.7, 0.5])).astype(int)
    bad = rng.random(n) < rate
    return x, np.where(bad, 1 - true, true), true


def fitted(x, given):
    model = SoftmaxModel(Features(x.shape[1], 2, scale=3.0), Outcome("label", "class", ("no", "yes")))
    return softmax_fit(model, Rows({"x": x, "label": given}, np.array([f"r{i}" for i in range(len(x))])))


def reviewed_rows(found, given, true, k):
    """Decisions of somebody who never errs about the k most suspicious rows."""
    rows = list(found.frame().index[:k])
    at = np.array([int(row[1:]) for row in rows])
    names = np.array(["no", "yes"])
    wrong = {row: names[true[i]] for row, i in zip(rows, at, strict=True) if given[i] != true[i]}
    return Decisions(tuple(row for row in rows if row not in wrong), wrong, (), ())


def test_what_is_left_is_counted_rightly_after_the_worst_were_reviewed():
    inside, fooled = 0, []
    for seed in range(6):
        x, given, true = planted(seed=seed)
        fit = fitted(x, given)
        decisions = reviewed_rows(br.find_suspects(fit), given, true, 60)
        repaired = decisions.apply(fit, method="newton").after
        left = (given != true).sum() - len(decisions.relabel)
        counted = br.find_suspects(repaired, reviewed=decisions.trusted).expected_count
        inside += counted.low <= left <= counted.high
        fooled.append(br.find_suspects(repaired, trusted=decisions.trusted).expected_count.mean / left)
    assert inside >= 4
    assert np.mean(fooled) < 0.5  # as trusted rows they make the rest look cleaner than it is


def test_a_review_is_read_off_the_fit_or_told_by_a_mapping():
    x, given, true = planted(200)
    fit = fitted(x, given)
    decisions = reviewed_rows(br.find_suspects(fit), given, true, 20)
    repaired = decisions.apply(fit, method="newton").after
    found = br.find_suspects(repaired, reviewed=decisions.trusted)
    frame = found.frame()
    np.testing.assert_array_equal(frame.loc[decisions.trusted, "prob_wrong"], 0.0)
    assert (frame.loc[list(decisions.relabel), "given"] == pd.Series(decisions.relabel)).all()
    assert found.evidence.confirmed == len(decisions.relabel) > 0
    assert found.prob_noise == 1.0
    assert f"{len(decisions.relabel)} reviewed labels were wrong" in found.status.message
    names = np.array(["no", "yes"])
    stood = {row: names[given[int(row[1:])]] for row in decisions.trusted}
    anew = fitted(x, np.asarray(repaired.current()[0].values["label"]))
    for told in (stood, pd.Series(stood)):
        other = br.find_suspects(anew, reviewed=told)
        np.testing.assert_array_equal(other.evidence.reviewed, found.evidence.reviewed)
        np.testing.assert_allclose(other.frame()["prob_wrong"].reindex(frame.index), frame["prob_wrong"], atol=5e-3)


def test_reviewed_rows_teach_the_rate_of_their_group():
    x, given, true = planted(300, rate=0.0)
    who = np.where(np.arange(300) % 2, "ann", "bob")
    rng = np.random.default_rng(4)
    given = np.where((who == "bob") & (rng.random(300) < 0.3), 1 - given, given)
    rows = [f"r{i}" for i in range(80)]  # drawn by lot
    stood = {row: ("no", "yes")[given[i]] for i, row in enumerate(rows)}
    corrected = np.where(np.arange(300) < 80, true, given)
    found = br.find_suspects(fitted(x, corrected), reviewed=stood, groups=who)
    wrong = (given != true)[:80]
    by_hand = [[int((~wrong[who[:80] == g]).sum()), int(wrong[who[:80] == g].sum())] for g in ("ann", "bob")]
    counts = found.evidence.reviewed
    assert [[int(np.einsum("cc->", c)), int(c.sum() - np.einsum("cc->", c))] for c in counts[:2]] == by_hand
    assert found.groups.index[0] == "bob"
    assert found.groups.loc["bob", "low"] > found.groups.loc["ann", "high"]


def test_the_prior_after_a_review_is_the_formula_and_both_backends_agree():
    noise = LabelNoise(groups=2, trusted=True, reviewed=COUNTS)
    transition = LabelTransition(noise, 3)
    rng = np.random.default_rng(1)
    phi = 0.7 * rng.standard_normal((4, transition.size))
    plain = LabelTransition(LabelNoise(groups=2, trusted=True), 3).log_prior(phi)
    expected = [
        sum(
            COUNTS[g][c][d] * np.log(_probability(noise, values, g, c, d))
            for g in range(3)
            for c in range(3)
            for d in range(3)
            if COUNTS[g][c][d]
        )
        for values in phi
    ]
    np.testing.assert_allclose(transition.log_prior(phi) - plain, expected, rtol=1e-10)
    import pytensor

    from bayesrepair.bridges.pymc.label_transition import label_transition

    made = label_transition(noise, 3, {})
    function = pytensor.function(list(made.value_vars), made.log_prior, mode="FAST_COMPILE")
    ends = np.cumsum([int(np.prod(shape)) for shape in made.shapes])[:-1]
    found = [
        function(*(part.reshape(shape) for part, shape in zip(np.split(values, ends), made.shapes, strict=True)))
        for values in phi
    ]
    np.testing.assert_allclose(found, transition.log_prior(phi), rtol=1e-10)


def _probability(noise, values, g, c, d):
    """T_gcd from the values in their order: level, class, log spread, groups, targets."""
    effect = 0.0 if g == 2 else np.exp(values[4]) * values[5 + g]
    rate = 0.5 * expit(values[0] + np.sqrt(2) * noise.class_spread * np.sinh(values[1 + c]) + effect)
    if c == d:
        return 1 - rate
    others = [k for k in range(3) if k != c]
    return rate * softmax(np.sinh(values[7:].reshape(3, 2)[c]))[others.index(d)]


def test_derivatives_after_a_review():
    model = SoftmaxModel(Features(2, 3), Outcome("label", "class", ("a", "b", "c")))
    noisy = model.with_noise(LabelNoise(groups=2, trusted=True, reviewed=COUNTS))
    rng = np.random.default_rng(2)
    values = {"x": rng.normal(size=(30, 2)), "label": rng.integers(0, 3, 30), "label_source": rng.integers(0, 4, 30)}
    rows, weight = Rows(values, np.arange(30)), np.ones(30)
    theta = 0.5 * rng.standard_normal((1, noisy.n_params))
    _, gradient = noisy.log_target_and_grad(theta, rows, weight)
    curvature, step = noisy.curvature(theta[0], rows, weight), 1e-5
    for j in range(noisy.n_params):
        shift = step * np.eye(noisy.n_params)[[j]]
        (up, up_gradient), (down, down_gradient) = (
            noisy.log_target_and_grad(theta + sign * shift, rows, weight) for sign in (1, -1)
        )
        np.testing.assert_allclose(gradient[0, j], (up - down)[0] / (2 * step), rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(-curvature[j], (up_gradient - down_gradient)[0] / (2 * step), rtol=1e-4, atol=1e-5)


def test_what_is_refused():
    x, given, _ = planted(60)
    fit = fitted(x, given)
    with pytest.raises(DataError, match="'perhaps'"):
        br.find_suspects(fit, reviewed={"r1": "perhaps"})
    with pytest.raises(DataError):
        br.find_suspects(fit, reviewed=["nobody"])
    with pytest.raises(DataError, match="all 60"):
        br.find_suspects(fit, reviewed=list(fit.rows.row))
    from bayesrepair.oracles import NormalNormal

    oracle = NormalNormal()
    rows = oracle.rows({"y": np.zeros(3)})
    with pytest.raises(MethodError, match="fitted anew"):
        br.find_suspects(br.Fit(oracle, rows, oracle.posterior(rows)), reviewed=[0])


def test_other_doors_take_what_stood_there_before():
    x, given, true = planted(200)
    corrected = np.where(np.arange(200) < 60, true, given)
    stood = dict(enumerate(given[:60].tolist()))
    wrong = int((given != true)[:60].sum())
    p = np.column_stack([1 - expit(3 * x @ [1.0, -0.7, 0.5]), expit(3 * x @ [1.0, -0.7, 0.5])])
    for found in (
        br.suspects_from_predictions(corrected, p, reviewed=stood),
        br.LabelAuditor().fit(x, corrected, reviewed=pd.Series(stood)).suspects_,
    ):
        assert found.evidence.confirmed == wrong > 0
        np.testing.assert_array_equal(found.frame().loc[list(stood), "prob_wrong"], 0.0)
    with pytest.raises(DataError, match="class that stood there before"):
        br.suspects_from_predictions(corrected, p, reviewed=[1, 2])
    with pytest.raises(DataError, match="class that stood there before"):
        br.LabelAuditor().fit(x, corrected, reviewed=[1, 2])


def test_spreads_far_out_have_density_zero_and_no_warning():
    transition = LabelTransition(LabelNoise(groups=2), 3)
    phi = np.zeros((2, transition.size))
    phi[1, 4] = 800.0  # log τ_group, after the level and three classes: its square is beyond float64
    near, far = transition.log_prior(phi)
    assert np.isfinite(near)
    assert far == -np.inf
    assert transition.prior_gradient(phi)[1, 4] == -np.inf
