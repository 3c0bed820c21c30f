"""The scikit-learn estimator: scikit-learn's own checks, and what it says of labels."""

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import average_precision_score
from sklearn.model_selection import cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import PolynomialFeatures
from sklearn.utils.estimator_checks import estimator_checks_generator

import bayesrepair as br


def checks_of_scikit_learn():
    """All of them but that of array libraries other than NumPy, which runs only where SciPy is told to expect them."""
    for estimator, check in estimator_checks_generator(br.LabelAuditor()):
        if "array_api" not in check.func.__name__:
            yield pytest.param(estimator, check, id=check.func.__name__)


@pytest.mark.parametrize(("estimator", "check"), list(checks_of_scikit_learn()))
def test_scikit_learn_has_nothing_to_complain(estimator, check):
    check(estimator)


def planted(n=240, classes=3, seed=0, rate=0.1):
    """Clusters of classes, some labels wrong."""
    rng = np.random.default_rng(seed)
    true = rng.integers(0, classes, n)
    angle = 2 * np.pi * true / classes
    X = 3 * np.column_stack([np.cos(angle), np.sin(angle)]) + rng.normal(size=(n, 2))
    wrong = rng.random(n) < rate
    names = np.array(["ant", "bee", "cow"])[:classes]
    return X, names[np.where(wrong, (true + 1) % classes, true)], wrong, names[true]


@pytest.fixture(scope="module")
def auditor():
    X, y, _, _ = planted()
    return br.LabelAuditor().fit(X, y)


def test_wrong_labels_stand_out(auditor):
    _, _, wrong, _ = planted()
    assert average_precision_score(wrong, auditor.prob_wrong_) > 0.95
    assert auditor.prob_wrong_[wrong].mean() > 10 * auditor.prob_wrong_[~wrong].mean()  # canary of the sign
    np.testing.assert_array_equal(auditor.suspects_.frame().sort_index()["prob_wrong"], auditor.prob_wrong_)


def test_predictions_are_of_the_true_class(auditor):
    X, _, wrong, true = planted()
    assert (auditor.predict(X) == true)[wrong].mean() > 0.85
    np.testing.assert_allclose(auditor.predict_proba(X).sum(axis=1), 1.0)
    assert list(auditor.classes_) == ["ant", "bee", "cow"]


def test_row_ids_groups_and_trusted_rows():
    X, y, _, true = planted(rate=0.0)
    rng = np.random.default_rng(1)
    who = np.where(np.arange(len(y)) % 4 == 0, "bob", "eve")
    y = np.where((who == "bob") & (rng.random(len(y)) < 0.4), np.roll(["ant", "bee", "cow"], 1)[_codes(true)], true)
    frame = pd.DataFrame(X, columns=["left", "right"], index=[f"r{i}" for i in range(len(y))])
    known = frame.index[y != true][:3]
    auditor = br.LabelAuditor().fit(frame, y, groups=who, trusted=known)
    np.testing.assert_array_equal(auditor.suspects_.frame().loc[known, "prob_wrong"], 0.0)
    assert auditor.suspects_.groups.index[0] == "bob"
    assert list(auditor.feature_names_in_) == ["left", "right"]


def _codes(names):
    return np.unique(names, return_inverse=True)[1]


def test_it_takes_part_in_pipelines_and_cross_validation():
    X, y, _, true = planted(120)
    pipeline = make_pipeline(PolynomialFeatures(2, include_bias=False), br.LabelAuditor())
    probability = cross_val_predict(pipeline, X, y, cv=2, method="predict_proba")
    assert (np.unique(y)[probability.argmax(axis=1)] == true).mean() > 0.9


def test_a_callable_makes_the_fit():
    X, y, _, _ = planted(120, classes=2)
    seen = []

    def made(table):
        seen.append(list(table.columns))
        return br.from_table(table, target="label", method="laplace")

    auditor = br.LabelAuditor(made, method="laplace").fit(X, y)
    assert seen == [["x0", "x1", "label"]]
    plain = br.LabelAuditor().fit(X, y)
    np.testing.assert_allclose(auditor.predict_proba(X), plain.predict_proba(X), atol=0.1)
    assert np.corrcoef(auditor.prob_wrong_, plain.prob_wrong_)[0, 1] > 0.95
    with pytest.raises(ValueError, match="a Fit of classes"):
        br.LabelAuditor(lambda table: None).fit(X, y)


@pytest.mark.slow
def test_a_formula_makes_a_bambi_model():
    X, y, wrong, _ = planted(120, classes=2)
    auditor = br.LabelAuditor("x0 + x1", method="laplace").fit(X, y)
    assert auditor.prob_wrong_[wrong].mean() > auditor.prob_wrong_[~wrong].mean() + 0.3
    assert auditor.predict_proba(X).shape == (120, 2)


def words(n=300, seed=3):
    """A table of numbers with gaps, words and dates that decide the class, some labels flipped."""
    rng = np.random.default_rng(seed)
    site, dose = rng.choice(["north", "south", "east"], n), rng.normal(size=n)
    when = pd.Timestamp("2025-01-01") + pd.to_timedelta(rng.integers(0, 400, n), "D")
    sick = 4 * dose + np.where(site == "north", 5.0, -2.0) + rng.logistic(size=n) > 0
    bad = rng.random(n) < 0.08
    frame = pd.DataFrame(
        {"dose": np.where(rng.random(n) < 0.03, np.nan, dose), "site": site, "when": when},
        index=[f"r{i}" for i in range(n)],
    )
    frame["kind"] = pd.Categorical(rng.choice(["a", "b"], n))
    return frame, np.where(sick ^ bad, "sick", "well"), bad, np.where(sick, "sick", "well")


def test_words_and_dates_enter_as_from_table_has_them():
    X, y, bad, true = words()
    auditor = br.LabelAuditor().fit(X, y)
    assert average_precision_score(bad, auditor.prob_wrong_) > 0.75
    assert auditor.n_features_in_ == 4
    assert list(auditor.feature_names_in_) == ["dose", "site", "when", "kind"]
    assert (auditor.predict(X) == true).mean() > 0.87
    alone = auditor.predict_proba(X.iloc[5:8])
    np.testing.assert_allclose(alone, auditor.predict_proba(X)[5:8], rtol=1e-12)  # by the constants of training
    by_hand = pd.get_dummies(X.drop(columns="when"), drop_first=True).astype(float)
    by_hand["dose"] = by_hand["dose"].fillna(by_hand["dose"].median())
    other = br.LabelAuditor().fit(by_hand, y)
    assert np.corrcoef(auditor.prob_wrong_, other.prob_wrong_)[0, 1] > 0.97
    with pytest.raises(ValueError, match="seen in training"):
        auditor.predict(X.assign(site="west"))
    with pytest.raises(ValueError, match="feature names"):
        auditor.predict(X.rename(columns={"site": "place"}))


def test_words_reach_a_callable():
    X, y, bad, _ = words()
    seen = []

    def made(table):
        seen.append(table.dtypes.map(str).to_dict())
        return br.from_table(table, target="label", method="laplace", progressbar=False)

    auditor = br.LabelAuditor(made, method="laplace").fit(X, y)
    assert average_precision_score(bad, auditor.prob_wrong_) > 0.75
    assert seen[0]["dose"] == "float64"
    assert seen[0]["when"].startswith("datetime64")
    np.testing.assert_allclose(auditor.predict_proba(X.iloc[:4]).sum(axis=1), 1.0)


def test_words_in_a_formula():
    X, y, bad, _ = words(200)
    auditor = br.LabelAuditor("dose + site", method="laplace").fit(X, y)
    assert average_precision_score(bad, auditor.prob_wrong_) > 0.7
    assert (auditor.predict(X.iloc[:50]) == y[:50]).mean() > 0.8


def test_tables_that_are_refused():
    X, y, _, _ = words(60)
    with pytest.raises(ValueError, match="no column 'label'"):
        br.LabelAuditor().fit(X.rename(columns={"kind": "label"}), y)
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        br.LabelAuditor().fit(X, y[:50])
    with pytest.raises(ValueError, match="NaN"):
        br.LabelAuditor().fit(X[["dose"]], y)
    with pytest.raises(ValueError, match="at least 10 rows"):
        br.LabelAuditor().fit(X.iloc[:6], np.array(["sick", "well"] * 3))
