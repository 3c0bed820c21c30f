"""Suspects of several models, pooled."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.metrics import average_precision_score

import bayesrepair as br
from bayesrepair.model import Outcome
from bayesrepair.numerics.model_weight import bootstrap_weights, stacking_weights
from bayesrepair.reporting.suspects_page import report_suspects
from bayesrepair.softmax import Features, SoftmaxModel, softmax_fit
from bayesrepair.status import DataError, RepairWarning
from bayesrepair.suspects.discriminant import cross_fitted, maximised, settled
from bayesrepair.suspects.forest import out_of_bag
from bayesrepair.suspects.opinion import features_of
from bayesrepair.suspects.pooling import _worst

CLASSES = ["ant", "bee", "cow"]


def probabilities(evidence):
    p = np.exp(2.5 * evidence)
    return p / p.sum(axis=1, keepdims=True)


@pytest.fixture(scope="module")
def world():
    """Two classifiers that see different halves of what tells the classes apart, and labels of which some are wrong."""
    rng = np.random.default_rng(0)
    left, right = rng.normal(size=(2, 600, 3))
    both = probabilities(left + right)
    true = (rng.random(600)[:, None] > both.cumsum(axis=1)[:, :-1]).sum(axis=1)
    wrong = rng.random(600) < 0.1
    codes = np.where(wrong, (true + rng.integers(1, 3, 600)) % 3, true)
    ids = pd.Index([f"row {i}" for i in range(600)])
    given = pd.Series(np.array(CLASSES)[codes], index=ids)
    each = [pd.DataFrame(probabilities(part), index=ids, columns=CLASSES) for part in (left, right)]
    return given, each, pd.Series(wrong, index=ids)


@pytest.fixture(scope="module")
def members(world):
    given, each, _ = world
    return dict(zip(("left", "right"), (br.suspects_from_predictions(given, p) for p in each), strict=True))


@pytest.fixture(scope="module")
def pooled(members):
    return br.pool_suspects(members)


def test_it_finds_more_than_each_member(pooled, world):
    _, _, wrong = world
    found = {name: average_precision_score(wrong, q.reindex(wrong.index)) for name, q in pooled.opinions.items()}
    assert found["pooled"] > max(found["left"], found["right"]) + 0.03
    turned = average_precision_score(wrong, -pooled.scores["prob_wrong"].reindex(wrong.index))
    assert turned < 0.1 < 0.3 < found["pooled"]  # canary of the sign


def test_probabilities_are_the_weighted_mean(pooled, members):
    ids, (a, b) = pooled.scores.index, pooled.weights
    left, right = (m.scores.loc[ids] for m in members.values())
    np.testing.assert_allclose(pooled.scores["prob_wrong"], a * left["prob_wrong"] + b * right["prob_wrong"])
    np.testing.assert_allclose(pooled.scores["mcse"], np.hypot(a * left["mcse"], b * right["mcse"]))
    surprise = -np.log(a * np.exp(-left["surprise"]) + b * np.exp(-right["surprise"]))
    np.testing.assert_allclose(pooled.scores["surprise"], surprise)
    assert pooled.scores["prob_wrong"].is_monotonic_decreasing


def test_weights_are_those_of_left_out_labels(members, pooled, world):
    scores = np.stack([m.suspicion.loo for m in members.values()])
    np.testing.assert_allclose(pooled.weights, stacking_weights(scores))
    given, each, _ = world
    noise = np.random.default_rng(1).normal(size=each[0].shape)
    guess = br.suspects_from_predictions(given, pd.DataFrame(probabilities(noise), given.index, CLASSES))
    assert br.pool_suspects({"guess": guess, **members}).weights[0] < 0.05
    assert br.pool_suspects({**members, "guess": guess}).weights[2] < 0.05
    chosen = br.pool_suspects(members, weights={"right": 3, "left": 1})
    assert chosen.weights == (0.25, 0.75)


def test_weights_are_the_posterior_mean_of_a_mixture(members):
    scores = np.stack([m.suspicion.loo for m in members.values()])
    w = (np.arange(4000) + 0.5) / 4000
    for some in (scores, scores[::-1], scores[:, :20], 40 * scores):
        density = np.exp(some - some.max(axis=0))
        log_mass = np.log(w[:, None] * density[0] + (1 - w)[:, None] * density[1]).sum(axis=1)
        mass = np.exp(log_mass - log_mass.max())
        mean = float(w @ mass / mass.sum())
        np.testing.assert_allclose(stacking_weights(some), [mean, 1 - mean], atol=0.01)
    np.testing.assert_allclose(stacking_weights(np.zeros((3, 50))), 1 / 3, atol=0.01)


def test_the_suggestion_is_the_most_probable_other_class_of_the_pool(pooled, members):
    ids, truth = pooled.fit.rows.index, 0.0
    for m, weight in zip(members.values(), pooled.weights, strict=True):
        truth = truth + weight * m.fit.model.truth(m.fit.draws.theta, m.fit.rows).mean(axis=0)
    given = pooled.scores.loc[ids, "given"].to_numpy()
    truth[np.arange(len(ids)), [CLASSES.index(name) for name in given]] = -1
    np.testing.assert_array_equal(pooled.scores.loc[ids, "suggested"], np.array(CLASSES)[truth.argmax(axis=1)])
    np.testing.assert_allclose(pooled.scores.loc[ids, "prob_suggested"], truth.max(axis=1), rtol=1e-9)


def test_counts_precisions_and_transitions_are_mixtures(pooled, members):
    a, b = pooled.weights
    left, right = members.values()
    count = a * left.suspicion.count.mean() + b * right.suspicion.count.mean()
    np.testing.assert_allclose(pooled.suspicion.count.mean(), count, rtol=0.03)
    np.testing.assert_allclose(pooled.expected_count.mean, pooled.prob_noise * count, rtol=0.1)
    top = pooled.scores.loc[pooled.scores.index[:40], "prob_wrong"]
    np.testing.assert_allclose(pooled.expected_precision(40).mean, pooled.prob_noise * top.mean(), atol=0.02)
    assert pooled.expected_precision(40).low < pooled.expected_precision(40).mean < pooled.expected_precision(40).high
    matrix = a * left.noise_matrix["mean"] + b * right.noise_matrix["mean"]
    np.testing.assert_allclose(pooled.noise_matrix["mean"], matrix, atol=0.01)
    np.testing.assert_allclose(pooled.noise_matrix["mean"].groupby("true").sum(), 1.0)


def test_the_order_of_classes_does_not_matter(world, members, pooled):
    given, each, _ = world
    turned = br.suspects_from_predictions(given, each[1][CLASSES[::-1]])
    other = br.pool_suspects({"left": members["left"], "right": turned})
    ids = pooled.scores.index
    np.testing.assert_allclose(other.scores.loc[ids, "prob_wrong"], pooled.scores["prob_wrong"], atol=0.02)
    assert (other.scores.loc[ids, "suggested"] == pooled.scores["suggested"]).mean() > 0.97
    np.testing.assert_allclose(other.noise_matrix["mean"], pooled.noise_matrix["mean"], atol=0.02)


def test_further_rows_may_be_known_to_be_right(world, members, pooled):
    given, each, _ = world
    more = pd.concat([given, given[:20].rename(lambda name: f"held out {name}")])
    wider = pd.concat([each[1], each[1][:20].rename(lambda name: f"held out {name}")])
    known = list(more.index[600:])
    other = br.suspects_from_predictions(more, wider, trusted=known)
    found = br.pool_suspects({"left": members["left"], "right": other})
    assert set(found.scores.index) == set(pooled.scores.index)
    doubtful = br.suspects_from_predictions(more, wider)
    with pytest.raises(DataError, match="known to be right"):
        br.pool_suspects({"left": members["left"], "right": doubtful})


def test_the_page_says_who_was_heard(pooled, tmp_path):
    page = report_suspects(pooled, tmp_path / "page.html").read_text()
    assert f"left-out labels: {pooled.heard}." in page


@pytest.mark.parametrize(
    ("rhats", "worst"), [((1.002, 1.03), 1.03), ((1.002, np.nan), np.nan), ((np.nan, 1.2), 1.2), ((1.0, 1.004), 1.004)]
)
def test_the_worst_chains_speak_for_the_pool(rhats, worst):
    sampled = [SimpleNamespace(rhat=rhat, ess=500.0 + k) for k, rhat in enumerate(rhats)]
    rhat, ess = _worst([*sampled, SimpleNamespace(rhat=np.nan, ess=np.nan)])  # the last was not sampled
    np.testing.assert_equal(rhat, worst)
    assert ess == 500.0


def test_what_is_said(pooled):
    assert repr(pooled).startswith("pooled: left ")
    assert np.isnan(pooled.rhat)
    assert pooled.status.level in ("ok", "checked")
    assert pooled.noise_evidence.difference.shape == (600,)
    assert list(pooled.opinions) == ["left", "right", "pooled"]
    assert pooled.plot(10).get_title(loc="left")
    edited = pooled.drop(5, method="retrain")
    _, weight = edited.after.current()
    assert set(pooled.plain.rows.index[weight == 0]) == set(pooled.scores.index[:5])


def bent(count=500, rate=0.1, seed=0):
    """Two classes inside and outside a ring, one of them on one side only, and labels of which some are wrong."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(count, 3))
    logit = 6 * (np.hypot(x[:, 0], x[:, 1]) - 1.2) + 2 * x[:, 2]
    true = (rng.random(count) < 1 / (1 + np.exp(-logit))).astype(int)
    wrong = rng.random(count) < rate
    return x, np.where(wrong, 1 - true, true), wrong


def straight(x, y):
    model = SoftmaxModel(Features(x.shape[1], 2), Outcome("y", "class", ("in", "out")))
    return softmax_fit(model, br.Rows({"x": x, "y": y}, np.arange(len(y))))


def test_a_forest_sees_what_is_bent():
    x, y, wrong = bent()
    alone = br.find_suspects(straight(x, y))
    both = alone.with_forest()
    found = [average_precision_score(wrong, s.scores["prob_wrong"].sort_index()) for s in (alone, both)]
    assert found[1] > found[0] + 0.2
    assert both.names == ("model", "forest")
    assert both.weights[1] > 0.8
    low, high = both.expected_count.low, both.expected_count.high
    assert low <= wrong.sum() <= high


def test_a_forest_is_not_heard_where_a_line_is_better():
    rng = np.random.default_rng(1)
    x = rng.normal(size=(500, 8))
    true = (x.sum(axis=1) > 0).astype(int)
    y = np.where(rng.random(500) < 0.1, 1 - true, true)
    assert br.find_suspects(straight(x, y)).with_forest().weights[0] > 0.85


def test_a_forest_knows_what_the_others_know():
    x, y, wrong = bent(seed=2)
    fit = straight(x[:400], y[:400])
    clean = np.where(wrong, 1 - y, y)
    known = [np.flatnonzero(~wrong[:100]), br.Rows({"x": x[400:], "y": clean[400:]}, np.arange(400, 500))]
    who = np.where(wrong[:400] | (np.arange(400) % 3 == 0), "bob", "ann")
    alone = br.find_suspects(fit, trusted=known, groups=who)
    both = alone.with_forest(random_seed=3)
    forest = both.members[1]
    np.testing.assert_array_equal(forest.evidence.trusted, alone.evidence.trusted)
    assert (forest.scores["prob_wrong"].reindex(known[0]) == 0).all()
    assert len(forest.fit.rows) == 500
    assert both.groups.index[0] == "bob"
    np.testing.assert_array_equal(both.scores.index.sort_values(), np.arange(400))


def test_a_fit_with_a_table_may_have_trusted_rows_from_outside():
    x, y, wrong = bent(seed=5)
    fit = straight(x[:300], y[:300])
    fit = br.Fit(fit.model, fit.rows, fit.posterior, table=pd.DataFrame({"who": "ann"}, index=np.arange(300)))
    outside = br.Rows({"x": x[300:], "y": np.where(wrong, 1 - y, y)[300:]}, np.arange(300, 500))
    both = br.find_suspects(fit, trusted=outside).with_forest()
    assert (both.frame()["who"] == "ann").all()
    assert len(both.members[1].fit.rows) == 500


def grouped(count=105, classes=3, width=12, rate=0.2, seed=0):
    """Few rows that fall into groups, and labels of which a fifth of the first class carry the second."""
    rng = np.random.default_rng(seed)
    true = np.arange(count) % classes
    middles = 2.2 * rng.normal(size=(classes, width)) / np.sqrt(width) * 2
    x = rng.normal(size=(count, width)) + middles[true]
    wrong = (true == 0) & (rng.random(count) < rate)
    return x, np.where(wrong, 1, true), wrong


def softmax_of(x, y, classes):
    model = SoftmaxModel(Features(x.shape[1], len(classes)), Outcome("y", "class", classes))
    return softmax_fit(model, br.Rows({"x": x, "y": y}, np.arange(len(y))))


@pytest.mark.parametrize("seed", [4, 6, 7])  # in most of the others the model alone is perfect already
def test_a_discriminant_sees_groups(seed):
    x, y, wrong = grouped(seed=seed)
    alone = br.find_suspects(softmax_of(x, y, ("ant", "bee", "cow")))
    both = alone.with_discriminant()
    assert both.names == ("model", "discriminant")
    found = [average_precision_score(wrong, s.scores["prob_wrong"].sort_index()) for s in (alone, both)]
    assert found[1] > max(found[0], 0.95)
    few = int(wrong.sum())
    truly = both.scores.index[:few].isin(np.flatnonzero(wrong)).mean()
    claimed = [s.scores["prob_wrong"].head(few).mean() for s in (alone, both)]
    assert claimed[0] < 0.6 < 0.75 < claimed[1] < 1.05 * truly + 0.1
    turned = average_precision_score(wrong, -both.scores["prob_wrong"].sort_index())
    assert turned < 0.15  # canary of the sign


def test_a_discriminant_is_not_heard_where_classes_are_bent():
    x, y, _ = bent(300)
    assert br.find_suspects(straight(x, y)).with_forest().with_discriminant().weights[2] < 0.02


def test_opinions_add_up():
    x, y, wrong = bent(260, seed=2)
    clean = np.where(wrong, 1 - y, y)
    known = [np.flatnonzero(~wrong[:60]), br.Rows({"x": x[200:], "y": clean[200:]}, np.arange(200, 260))]
    who = np.where(wrong[:200] | (np.arange(200) % 3 == 0), "bob", "ann")
    alone = br.find_suspects(straight(x[:200], y[:200]), trusted=known, groups=who)
    two = alone.with_discriminant()
    three = two.with_forest()
    assert three.names == ("model", "discriminant", "forest")
    np.testing.assert_allclose(sum(three.weights), 1.0)
    np.testing.assert_allclose(three.weights[0] / three.weights[1], two.weights[0] / two.weights[1])
    counted = ~alone.evidence.trusted[:200]
    by_model, by_discriminant, by_forest = (m.suspicion.loo[counted] for m in three.members)
    np.testing.assert_allclose(two.weights, bootstrap_weights(np.stack([by_model, by_discriminant])))
    before = np.log(two.weights @ np.exp([by_model, by_discriminant]))
    np.testing.assert_allclose(three.weights[2], stacking_weights(np.stack([before, by_forest]))[1])
    expected = sum(w * m.truth for w, m in zip(three.weights, three.members, strict=True))
    np.testing.assert_allclose(three.truth, expected)
    np.testing.assert_allclose(three.truth[200:], np.eye(2)[clean[200:]])  # these are known
    np.testing.assert_allclose(three.truth.sum(axis=1), 1.0)
    assert (three.members[1].scores["prob_wrong"].reindex(known[0]) == 0).all()
    assert three.members[1].evidence.groups == ("ann", "bob")
    assert three.groups.index[0] == "bob"
    with pytest.raises(DataError, match="not heard yet; got 'forest'"):
        three.with_forest()


def test_a_discriminant_agrees_with_that_of_right_labels():
    rng = np.random.default_rng(3)
    true = np.arange(3000) % 3
    x = rng.normal(size=(3000, 4)) @ rng.normal(size=(4, 4)) + 2 * rng.normal(size=(3, 4))[true]
    given = np.where(rng.random(3000) < 0.3, (true + 1) % 3, true)
    likelihood = np.array([[0.7, 0.3, 0.0], [0.0, 0.7, 0.3], [0.3, 0.0, 0.7]])[:, given].T
    found = settled(x, likelihood).probability(x)
    clean = LinearDiscriminantAnalysis(solver="lsqr").fit(x, true).predict_proba(x)
    misled = LinearDiscriminantAnalysis(solver="lsqr").fit(x, given).predict_proba(x)
    assert np.abs(found - clean).mean() < 0.02 < 0.1 < np.abs(misled - clean).mean()
    assert np.abs(maximised(x, np.eye(3)[true]).probability(x) - clean).mean() < 0.005


def test_each_row_is_judged_without_its_fold():
    x, _, _ = bent(seed=4)
    shuffled = np.random.default_rng(0).permutation(np.arange(500) % 2)
    wide = np.hstack([x, np.random.default_rng(1).normal(size=(500, 250))])
    likelihood = 0.1 + 0.8 * np.eye(2)[shuffled]
    guess = cross_fitted(wide, likelihood).argmax(axis=1)
    assert abs((guess == shuffled).mean() - 0.5) < 0.1
    learned = settled(wide, likelihood).probability(wide).argmax(axis=1)  # canary: these are known by heart
    assert (learned == shuffled).mean() > 0.7


def test_a_column_that_is_rarely_on_settles_nothing():
    rng = np.random.default_rng(0)
    y = np.r_[np.zeros(160, dtype=int), np.ones(40, dtype=int)]
    x = np.column_stack([rng.normal(size=200) + 4 * y, np.zeros((200, 3))])
    x[:3, 1:] = np.eye(3)  # a single row each
    found = cross_fitted(x, 0.1 + 0.8 * np.eye(2)[y])
    plain = cross_fitted(x[:, :1], 0.1 + 0.8 * np.eye(2)[y])
    np.testing.assert_allclose(found[:3], plain[:3], atol=0.05)
    assert plain[:3, 0].min() > 0.9


def test_no_label_is_known_by_heart_where_classes_are_far_apart(recwarn):
    y = np.arange(200) % 2
    x = np.random.default_rng(0).normal(size=(200, 3)) + 12 * y[:, None]
    both = br.find_suspects(straight(x, y)).with_discriminant()
    assert not [w for w in recwarn if issubclass(w.category, RepairWarning)]
    assert both.expected_count.mean < 5


def test_votes_are_those_of_other_trees():
    x, y, _ = bent(seed=4)
    votes = out_of_bag(x, np.eye(3)[y], trees=50)
    np.testing.assert_allclose(votes.sum(axis=1), 1.0)
    assert votes.min() > 0
    assert votes[:, 2].max() < 0.02  # a class that never occurs
    shuffled = np.random.default_rng(0).permutation(y)  # in-sample, a forest would learn these by heart
    guess = out_of_bag(x, np.eye(2)[shuffled], trees=200, leaf=1).argmax(axis=1)
    assert abs((guess == shuffled).mean() - 0.5) < 0.1


def test_features_may_be_others():
    x, y, _ = bent(seed=5)
    alone = br.find_suspects(straight(x[:, 2:], y))
    both = alone.with_forest(features=pd.DataFrame(x))
    assert both.weights[1] > alone.with_forest().weights[1]
    with pytest.raises(DataError, match=r"features of shape \(500, d\)"):
        alone.with_forest(features=x[:10])
    with pytest.raises(DataError, match="numbers as features"):
        alone.with_forest(features=np.full((500, 1), "word"))
    holed = x.copy()
    holed[7, 0] = np.nan
    with pytest.raises(DataError, match="finite features; got 1 rows without, such as row 7"):
        alone.with_discriminant(features=holed)


def test_features_are_those_of_the_rows():
    x, y, _ = bent(120, seed=5)
    alone = br.find_suspects(straight(x, y))
    frame = pd.DataFrame(x, columns=list("abc"))
    np.testing.assert_array_equal(features_of(alone, frame[::-1]), x)
    np.testing.assert_array_equal(features_of(alone, frame.set_axis(np.arange(500, 620))), x)  # other ids: by position
    coded = pd.get_dummies(pd.DataFrame({"size": x[:, 0], "word": np.where(x[:, 1] > 0, "up", "down")}))
    assert features_of(alone, coded).shape == (120, 3)
    with pytest.raises(DataError, match="in column 'word'"):
        features_of(alone, pd.DataFrame({"size": x[:, 0], "word": "up"}))


def test_class_probabilities_are_no_features_and_a_doubted_member_is_not_forgotten():
    rng = np.random.default_rng(2)
    true, table = np.arange(300) % 2, rng.normal(size=(300, 2))
    given = np.where(rng.random(300) < 0.15, 1 - true, true)
    out_of_sample, by_heart = (0.04 + 0.92 * np.eye(2)[codes] for codes in (true, given))
    with pytest.warns(RepairWarning, match="by heart"):
        doubted = br.suspects_from_predictions(given, out_of_sample, in_sample=by_heart)
    with pytest.raises(DataError, match="Pass features="):
        doubted.with_discriminant()
    both = doubted.with_discriminant(features=table)
    assert both.status.level == "unreliable"
    assert both.status.message.startswith("model: ")


REFUSED = {
    "one": (lambda m, w: br.pool_suspects({"left": m["left"]}), "at least two"),
    "weights": (lambda m, w: br.pool_suspects(m, weights={"left": 1.0}), "a positive weight for each"),
    "negative": (lambda m, w: br.pool_suspects(m, weights={"left": 1.0, "right": -1.0}), "a positive weight for each"),
    "rows": (
        lambda m, w: br.pool_suspects({**m, "few": br.suspects_from_predictions(w[0][:300], w[1][0][:300])}),
        "'few' without 300, such as 'row 300'",
    ),
    "labels": (
        lambda m, w: br.pool_suspects({**m, "rolled": br.suspects_from_predictions(_rolled(w[0]), w[1][0])}),
        "others in 'rolled', such as that of row",
    ),
    "classes": (
        lambda m, w: br.pool_suspects({**m, "codes": _renamed(w)}),
        r"the classes \['ant', 'bee', 'cow'\] of the first",
    ),
    "groups": (
        lambda m, w: br.pool_suspects(
            {**m, "who": br.suspects_from_predictions(*(w[0], w[1][0]), groups=["ann", "bob"] * 300)}
        ),
        r"the groups \(\) of the first; got \('ann', 'bob'\)",
    ),
}


def _rolled(given):
    return pd.Series(np.roll(given, 1), index=given.index)


def _renamed(world):
    given, each, _ = world
    return br.suspects_from_predictions(given.str.upper(), each[0].rename(columns=str.upper))


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_pooled_is_refused(case, members, world):
    call, words = REFUSED[case]
    with pytest.raises(DataError, match=words):
        call(members, world)
