"""A classifier trained on what is probably right: what it trains on, what it never sees, and what it finds."""

from dataclasses import replace
from itertools import product

import numpy as np
import pandas as pd
import pytest
from scipy.sparse import coo_matrix
from scipy.stats import norm
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.compose import make_column_transformer
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import average_precision_score
from sklearn.model_selection import GroupKFold, StratifiedKFold, cross_val_predict
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import LinearSVC
from sklearn.tree import DecisionTreeClassifier

import bayesrepair as br
from bayesrepair.cross_fitting import cross_fit, levels
from bayesrepair.cross_fitting.levels import LEVELS, RATES, AtLevel, level_weights
from bayesrepair.cross_fitting.training import Folds, left_out, trained
from bayesrepair.laplace import laplace
from bayesrepair.noise import LabelNoise
from bayesrepair.status import DataError, MethodError

SHARE = np.array([[1.0, 0.0], [0.7, 0.3], [0.0, 1.0], [0.995, 0.005], [0.1, 0.9], [0.4, 0.6]])
POINTS = np.array([[-2.0], [-1.0], [2.0], [-1.5], [1.0], [0.5]])


def wide(seed=0, n=300, d=30, classes=5, rate=0.2):
    """Classes in many dimensions; a fifth of those of class 0 are taken for class 1."""
    rng = np.random.default_rng(seed)
    true = rng.integers(0, classes, n)
    X = rng.standard_normal((n, d))
    X[np.arange(n), true] += 4.0
    wrong = (true == 0) & (rng.random(n) < rate)
    names = np.array(["ant", "bee", "cow", "dog", "elk"])
    return X, names[np.where(wrong, 1, true)], wrong, names[true]


def _codes(names):
    return np.unique(names, return_inverse=True)[1]


def prob_wrong(suspects, n):
    return suspects.frame()["prob_wrong"].reindex(range(n)).to_numpy()


@pytest.fixture(scope="module")
def found():
    X, y, _, _ = wide()
    return cross_fit(LogisticRegression(max_iter=1000), X, y)


def test_wrong_labels_come_first_and_earlier_than_without_training_again(found):
    X, y, wrong, _ = wide()
    splits = StratifiedKFold(5, shuffle=True, random_state=0)
    once = cross_val_predict(LogisticRegression(max_iter=1000), X, y, cv=splits, method="predict_proba")
    ours, plain = prob_wrong(found.suspects, len(y)), prob_wrong(br.suspects_from_predictions(y, once), len(y))
    assert ours[wrong].mean() > 10 * ours[~wrong].mean()  # canary of the sign
    assert average_precision_score(wrong, ours) > max(0.85, average_precision_score(wrong, plain) + 0.05)


def test_status_is_about_a_classifier(found):
    status = found.suspects.status
    assert status.level == "checked"
    assert "too sure of single ones" in status.message
    assert "nuts" not in str(status)


def test_how_many_are_wrong_is_learned_from_left_out_labels():
    """Three quarters at least where a seventh of all labels are wrong, next to none where none is."""
    for seed, rate in product(range(2), (0.0, 0.15)):
        X, _, _, true = wide(seed, d=10)
        rng = np.random.default_rng([seed, 1])
        wrong = rng.random(len(true)) < rate
        y = np.where(wrong, np.unique(true)[(_codes(true) + rng.integers(1, 5, len(true))) % 5], true)
        count = br.suspects_from_classifier(LogisticRegression(), X, y).expected_count
        assert 0.75 * wrong.sum() <= count.mean <= max(2.0, 1.1 * wrong.sum())


def test_smoothing_is_no_evidence_of_wrong_labels():
    """Classes that overlap, no label wrong, and a classifier that is the better for training on smoother labels."""
    rng = np.random.default_rng(1)
    X = rng.standard_normal((300, 3))
    y = (rng.random(300) < 1 / (1 + np.exp(-2.2 * X[:, 0] - X[:, 1]))).astype(int)
    tree = DecisionTreeClassifier(max_depth=4, random_state=0)
    suspects = br.suspects_from_classifier(tree, X, y, rounds=2)
    assert suspects.status.level == "checked"
    assert suspects.expected_count.low == suspects.expected_precision(20).low == 0


def test_a_share_of_no_neighbours_is_no_certainty():
    X, y, _, _ = wide(n=100)
    codes = _codes(y)
    split = Folds(5, codes, 0).split()
    found = left_out(KNeighborsClassifier(3), X, np.eye(5)[codes], split)
    np.testing.assert_allclose(found.min(), 0.5 / 80, rtol=0.05)  # of 80 rows trained on
    linear = left_out(LogisticRegression(C=1e4), X, np.eye(5)[codes], split)
    assert linear.min() < 1e-4  # it can be sure


def test_weights_of_levels_are_prior_times_log_scores():
    noise = LabelNoise()
    score = np.zeros((len(RATES), 50))
    score[3] = 2 / 50  # two nats, the same in each row: no bootstrap matters
    ends = np.concatenate([[-np.inf], (LEVELS[1:] + LEVELS[:-1]) / 2, [np.inf]])
    mass = np.diff(norm.cdf(ends, noise.level, noise.level_sd)) * np.exp(2.0 * (np.arange(len(RATES)) == 3))
    mass[5] *= np.exp(1.5)
    empty = np.empty((0, 0))
    found = [AtLevel(empty, empty, empty, one, 1.5 * (k == 5)) for k, one in enumerate(score)]
    np.testing.assert_allclose(level_weights(found, noise), mass / mass.sum())


def test_a_search_that_got_lost_goes_on_from_beside_where_it_ended(monkeypatch):
    x, y, _, _ = wide(n=100, d=3, classes=2)
    starts, lost = [], {"first": True, "always": False}

    def search(model, rows, weights, start):
        starts.append(start)
        found = laplace(model, rows, weights, start)
        if not (lost["first"] or lost["always"]):
            return found
        lost["first"] = False
        return replace(found, precision=-found.precision)

    monkeypatch.setattr(levels, "laplace", search)
    given = pd.Series(y)
    p = cross_val_predict(LogisticRegression(), x, y, method="predict_proba")
    task = levels.Task(LogisticRegression(), x, given, tuple(sorted(set(y))), LabelNoise(), None, [])
    found = task._implied(p, LabelNoise(), np.random.default_rng(0))
    assert np.isfinite(found.score).all()
    assert len(starts) == 2
    assert np.abs(starts[1] - starts[0]).max() > 0
    lost["always"] = True
    with pytest.raises(MethodError, match=f"none after {levels.SEARCHES} searches"):
        task._implied(p, LabelNoise(), np.random.default_rng(0))
    assert len(starts) == 2 + levels.SEARCHES


def test_predictions_are_of_the_true_class(found):
    X, y, wrong, true = wide()
    probability = found.predict_proba(X)
    np.testing.assert_allclose(probability.sum(axis=1), 1.0)
    right = (np.unique(true)[probability.argmax(axis=1)] == true)[wrong].mean()
    assert right > (LogisticRegression(max_iter=1000).fit(X, y).predict(X) == true)[wrong].mean() + 0.3


def test_no_row_speaks_for_its_own_label():
    """Another label changes what is predicted for others, but not for the row itself, nor for those of its fold."""
    X, y, _, _ = wide(n=100)
    names, codes = np.unique(y, return_inverse=True)
    split = Folds(5, codes, 0).split()
    share = np.eye(len(names))[codes]
    other = share.copy()
    other[7] = np.roll(share[7], 1)
    before, after = (left_out(LogisticRegression(), X, some, split) for some in (share, other))
    fold = next(test for _, test in split if 7 in test)
    np.testing.assert_array_equal(before[fold], after[fold])
    assert np.abs(np.delete(before - after, fold, axis=0)).max() > 1e-3


def test_left_out_is_what_cross_validation_gives():
    X, y, _, _ = wide()
    names, codes = np.unique(y, return_inverse=True)
    split = Folds(StratifiedKFold(5, shuffle=True, random_state=3), codes, None).split()
    expected = cross_val_predict(LogisticRegression(max_iter=1000), X, codes, cv=split, method="predict_proba")
    found = left_out(LogisticRegression(max_iter=1000), X, np.eye(len(names))[codes], split)
    np.testing.assert_allclose(found, expected, atol=1e-9)


def test_rows_are_trained_on_as_each_class_that_they_may_have():
    model = trained(LogisticRegression(tol=1e-10), POINTS, SHARE)
    rows = [0, 1, 1, 2, 3, 4, 4, 5, 5]
    weights = [1.0, 0.7, 0.3, 1.0, 1.0, 0.1, 0.9, 0.4, 0.6]  # half a per cent is left out, and made up for
    expected = LogisticRegression(tol=1e-10).fit(POINTS[rows], [0, 0, 1, 1, 0, 0, 1, 0, 1], sample_weight=weights)
    np.testing.assert_allclose(model.coef_, expected.coef_, rtol=1e-6)
    np.testing.assert_allclose(model.intercept_, expected.intercept_, rtol=1e-6, atol=1e-8)


def test_weights_reach_the_last_step_of_a_pipeline():
    pipeline = trained(
        make_pipeline(StandardScaler(with_mean=False, with_std=False), LogisticRegression()), POINTS, SHARE
    )
    np.testing.assert_allclose(pipeline[-1].coef_, trained(LogisticRegression(), POINTS, SHARE).coef_, rtol=1e-6)


def test_what_takes_no_weights_is_trained_on_the_most_probable_class():
    model = trained(KNeighborsClassifier(1), POINTS, SHARE)
    np.testing.assert_array_equal(model.predict(POINTS), SHARE.argmax(axis=1))


def test_sparse_features_and_labels_of_any_kind():
    X, y, _, _ = wide(n=100, d=3, classes=2)
    plain = br.suspects_from_classifier(LogisticRegression(), X, y, cv=3, rounds=2)
    other = np.array([7, "bee"], dtype=object)[_codes(y)]  # in the same order
    sparse = br.suspects_from_classifier(LogisticRegression(), coo_matrix(X), other, cv=np.int64(3), rounds=2)
    np.testing.assert_allclose(prob_wrong(sparse, 100), prob_wrong(plain, 100), atol=1e-6)


def test_trees_on_a_table_with_gaps_and_a_class_of_few():
    rng = np.random.default_rng(1)
    n = 240
    true = np.where(rng.random(n) < 0.04, 2, rng.integers(0, 2, n))
    frame = pd.DataFrame(
        {"a": 3.0 * true + rng.normal(size=n), "b": rng.normal(size=n)}, index=[f"r{i}" for i in range(n)]
    )
    frame.loc[rng.random(n) < 0.1, "b"] = np.nan
    wrong = rng.random(n) < 0.1
    y = pd.Series(np.where(wrong & (true < 2), 1 - true, true), index=frame.index)
    wrong &= true < 2
    suspects = br.suspects_from_classifier(HistGradientBoostingClassifier(max_iter=20), frame, y, rounds=2)
    prob = suspects.frame()["prob_wrong"].reindex(frame.index)
    assert average_precision_score(wrong, prob) > 0.6
    auditor = br.LabelAuditor(HistGradientBoostingClassifier(max_iter=20)).fit(frame, y)
    assert auditor.prob_wrong_[wrong].mean() > 5 * auditor.prob_wrong_[~wrong].mean()
    assert (auditor.predict(frame) == true).mean() > 0.85


def test_trusted_reviewed_and_groups():
    X, y, wrong, true = wide(rate=0.4)
    who = np.where(np.isin(true, ["ant", "cow"]), "bob", "eve")
    at = np.flatnonzero(wrong)
    now = y.copy()
    now[at[:5]] = true[at[:5]]
    stood = {int(i): y[i] for i in at[:5]}
    trusted = np.flatnonzero(~wrong)[:20]
    classifier = LogisticRegression(max_iter=1000)
    suspects = br.suspects_from_classifier(
        classifier,
        X,
        now,
        groups=who,
        trusted=trusted,
        reviewed=stood,
        cv=GroupKFold(4).split(X, groups=np.arange(300)),
    )
    prob = prob_wrong(suspects, len(y))
    np.testing.assert_array_equal(prob[[*trusted, *at[:5]]], 0.0)
    assert prob[at[5:]].mean() > 0.5
    assert suspects.groups.index[0] == "bob"


def test_wide_logistic_regressions_are_cross_fitted():
    X, y, wrong, true = wide()
    auditor = br.LabelAuditor().fit(X, y)
    assert isinstance(auditor.classifier_, LogisticRegression)
    assert average_precision_score(wrong, auditor.prob_wrong_) > 0.9
    assert (auditor.predict(X) == true).mean() > 0.9
    narrow = br.LabelAuditor().fit(X[:, :2], np.where(true == "ant", "ant", "other"))
    assert not hasattr(narrow, "classifier_")
    alone = br.LabelAuditor().fit(X[:12], ["ant"] * 6 + ["bee"] * 5 + ["cow"])
    assert not hasattr(alone, "classifier_")
    assert np.isfinite(alone.prob_wrong_).all()


def test_pipelines_find_columns_of_numbers_by_name():
    X, y, _, _ = wide(n=100, d=3, classes=2)
    frame = pd.DataFrame(X, columns=["left", "right", "noise"])
    columns = make_column_transformer((StandardScaler(), ["left", "right"]))
    auditor = br.LabelAuditor(make_pipeline(columns, LogisticRegression())).fit(frame, y)
    assert auditor.classifier_[-1].n_features_in_ == 2
    np.testing.assert_allclose(auditor.predict_proba(frame.iloc[:9]), auditor.predict_proba(frame)[:9])


class Mute(ClassifierMixin, BaseEstimator):
    """No probabilities, but a fit."""

    def fit(self, X, y):
        return self


def test_what_cannot_be_done_is_said():
    X, y, _, _ = wide(n=100)
    with pytest.raises(MethodError, match=r"LinearSVC.*CalibratedClassifierCV"):
        br.suspects_from_classifier(LinearSVC(), X, y)
    with pytest.raises(MethodError, match="predict_proba"):
        br.LabelAuditor(Mute()).fit(X, y)
    with pytest.raises(MethodError, match="rounds of at least 2"):
        br.suspects_from_classifier(LogisticRegression(), X, y, rounds=1)
    with pytest.raises(DataError, match="ids of rows of X"):
        br.suspects_from_classifier(LogisticRegression(), X, y, trusted=pd.DataFrame(X))
    with pytest.raises(DataError, match="a label for each of 100 rows"):
        br.suspects_from_classifier(LogisticRegression(), X, y[:-1])
    with pytest.raises(DataError, match=r"rows of X, in their order; got another index.*y\.loc\[X\.index\]"):
        br.suspects_from_classifier(LogisticRegression(), pd.DataFrame(X, index=np.arange(100)[::-1]), pd.Series(y))
    with pytest.raises(DataError, match="one label a row"):
        br.suspects_from_classifier(LogisticRegression(), X, y[:, None])
    with pytest.raises(DataError, match="row 3"):
        br.suspects_from_classifier(LogisticRegression(), X, [None if i == 3 else v for i, v in enumerate(y)])
    with pytest.raises(DataError, match=r"two classes of at least two rows; got 2, the smallest of 1\."):
        br.suspects_from_classifier(LogisticRegression(), X, ["one"] + ["two"] * 99)
    with pytest.raises(DataError, match="50 rows never left out"):
        br.suspects_from_classifier(LogisticRegression(), X, y, cv=[(np.arange(50), np.arange(50, 100))])
