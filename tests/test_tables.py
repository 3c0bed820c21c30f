"""From a table and a target to a fit: what each column becomes, and what is refused."""

import cloudpickle
import numpy as np
import pandas as pd
import pytest
from scipy import stats

import bayesrepair as br
from bayesrepair.posterior import Draws
from bayesrepair.status import BayesRepairWarning, DataError
from bayesrepair.tables import read_recipe, read_target
from bayesrepair.tables.formula import used_columns

N = 60
RNG = np.random.default_rng(0)
MESSY = pd.DataFrame(
    {
        "mean radius": RNG.normal(5, 3, N),
        "p": RNG.normal(size=N),
        "x1": RNG.normal(size=N),
        "a-b|c": RNG.integers(0, 5, N),
        "flag": RNG.random(N) < 0.5,
        "when": pd.Timestamp("2024-01-01") + pd.to_timedelta(RNG.integers(0, 300, N), "D"),
        "same": 1,
        "none": np.nan,
        "site": RNG.choice(["A", "B", "C"], N),
        "id": [f"u{i}" for i in range(N)],
        "city": RNG.choice([f"c{i}" for i in range(25)], N),
        "hole": np.where(RNG.random(N) < 0.2, np.nan, RNG.normal(size=N)),
        "sick": RNG.choice(["no", "yes"], N),
    },
    index=[f"r{i}" for i in range(N)],
)
MESSY.loc["r5", "site"] = None
MESSY.loc["r7", "sick"] = None


@pytest.fixture(scope="module")
def messy():
    return read_recipe(MESSY, target="sick")


def test_columns_that_say_nothing_are_left_out_with_a_note(messy):
    recipe, _ = messy
    assert "same" not in recipe.columns
    notes = " ".join(recipe.notes)
    assert "'same' is left out: it is the same in every row" in notes
    assert "'none' is left out: it is missing in every row" in notes
    assert "'id' is left out: it is another word in every row" in notes
    assert "'sick' is modelled as bernoulli" in notes


def test_rows_without_an_outcome_are_left_out_with_a_note(messy):
    recipe, table = messy
    assert table.index.tolist() == MESSY.index.drop("r7").tolist()
    assert "1 row without an outcome 'sick' left out." in recipe.notes


def test_numbers_are_standardised_by_training_constants(messy):
    recipe, table = messy
    prepared = recipe.prepared(table, training=True)
    position = recipe.labels.index("mean radius")
    radius = table["mean radius"]
    np.testing.assert_allclose(prepared[f"x{position}"], (radius - radius.mean()) / radius.std(ddof=0), rtol=1e-12)
    some = recipe(MESSY.iloc[:3])
    np.testing.assert_allclose(some, prepared.iloc[:3], rtol=1e-12)


def test_missing_numbers_become_the_median(messy):
    recipe, table = messy
    column = recipe.columns["hole"]
    filled = table["hole"].fillna(table["hole"].median())
    expected = (filled - filled.mean()) / filled.std(ddof=0)
    np.testing.assert_allclose(column.prepared(table["hole"]), expected, rtol=1e-12)
    assert any(note.endswith(f"filled in with the median {column.fill:g}.") for note in recipe.notes)


def test_missing_number_where_training_had_none_is_filled_with_a_warning(messy):
    recipe, _ = messy
    with pytest.warns(BayesRepairWarning, match="1 missing value of 'p' filled in with the training median"):
        prepared = recipe(MESSY.iloc[:1].assign(p=np.nan))
    assert np.isfinite(prepared.drop(columns="sick").to_numpy(dtype=float)).all()


def test_dates_are_days_and_booleans_numbers(messy):
    recipe, table = messy
    days = (table["when"] - table["when"].min()) / pd.Timedelta(days=1)
    np.testing.assert_allclose(
        recipe.columns["when"].prepared(table["when"].astype(str)), (days - days.mean()) / days.std(ddof=0)
    )
    assert np.unique(recipe.columns["flag"].prepared(table["flag"])).size == 2


def test_words_are_coded_against_the_first_level(messy):
    recipe, table = messy
    assert [label for label in recipe.labels if label.startswith("site")] == ["site[B]", "site[C]", "site[missing]"]
    coded = recipe.columns["site"].coded(table["site"])
    np.testing.assert_array_equal(coded[:, 0], table["site"].eq("B"))
    np.testing.assert_array_equal(coded[:, 2], table["site"].isna())


def test_rare_levels_are_pooled_and_unseen_ones_are_rare(messy):
    recipe, table = messy
    city = recipe.columns["city"]
    counts = table["city"].value_counts()
    assert set(city.levels) == {*counts.index[counts >= 5], "other"}
    assert city.prepared(pd.Series(["nowhere"])).tolist() == ["other"]


def test_whole_numbers_as_words_read_the_same_with_a_gap():
    whole = pd.Series([3, 5, 9] * 10).astype("category")
    recipe, _ = read_recipe(pd.DataFrame({"g": whole, "y": [0, 1] * 15}), target="y")
    assert recipe.columns["g"].prepared(pd.Series([3.0, 9.0])).tolist() == ["3", "9"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"site": "Z"}, "levels of 'site' seen in training: 'A', 'B', 'C', 'missing'; got 'Z' in rows 'r0', 'r1'"),
        ({"p": "many"}, "numbers in the column 'p', as in training; got 'many'"),
        ({"p": np.inf}, "finite values in the column 'p'"),
        ({"sick": "maybe"}, "classes of 'sick' seen in training: 'no', 'yes'; got 'maybe'"),
        ({"sick": None}, "an outcome 'sick' in every row; got none in rows 'r0'"),
        ({"when": "soon"}, "dates in the column 'when'"),
    ],
)
def test_new_rows_that_do_not_fit_are_refused(messy, change, message):
    recipe, _ = messy
    with pytest.raises(DataError, match=message):
        recipe(MESSY.iloc[:2].assign(**change))


def test_new_table_without_a_column_is_refused_and_without_the_target_is_not(messy):
    recipe, _ = messy
    with pytest.raises(DataError, match="a table without 'p'"):
        recipe(MESSY.drop(columns="p"))
    assert "sick" not in recipe(MESSY.iloc[:2].drop(columns="sick"))


@pytest.mark.parametrize(
    ("table", "options", "message"),
    [
        (MESSY, {"target": "sickk"}, "Did you mean 'sick'"),
        (MESSY, {"target": "sick", "group": "sight"}, "Did you mean 'site'"),
        (MESSY.iloc[:9], {"target": "sick"}, "at least 10 rows with an outcome; got 8"),
        (
            MESSY.assign(sick="no"),
            {"target": "sick"},
            "at least two classes or values of 'sick'; got 'no' in every row",
        ),
        (MESSY.assign(p=np.inf), {"target": "sick"}, "finite values in the column 'p'"),
        (MESSY.assign(p=np.inf), {"target": "p"}, "at least two classes"),
        (pd.concat([MESSY, MESSY]), {"target": "sick"}, "60 ids more than once, such as 'r0'"),
        (MESSY[["sick", "same"]], {"target": "sick"}, "at least one column that predicts"),
        (MESSY, {"target": "id"}, "at most 50 classes; got 60"),
        (MESSY, {"target": "when"}, "got dates"),
        (MESSY, {"target": "sick", "family": "gaussian"}, "numbers in the target 'sick'"),
        (MESSY, {"target": "p", "family": "poisson"}, "counts 0, 1, 2, … in 'p'"),
        (MESSY, {"target": "city", "family": "bernoulli"}, "two classes in 'city'"),
        (MESSY, {"target": "sick", "family": "logistic"}, "a family among 'auto', 'bernoulli'"),
        (MESSY, {"target": "sick", "formula": "sock ~ p"}, "Write 'sick ~ p'"),
        (MESSY, {"target": "sick", "formula": "same + p"}, "'same' that varies"),
        (MESSY, {"target": "sick", "group": "same"}, "at least two groups in 'same'"),
        (MESSY.rename(columns={"p": 3}), {"target": "sick"}, "column names that are text; got 3"),
        ({"sick": [1, 2]}, {"target": "sick"}, "a DataFrame; got a dict"),
    ],
)
def test_tables_that_cannot_be_modelled_are_refused(table, options, message):
    with pytest.raises(DataError, match=message):
        read_recipe(table, **options)


@pytest.mark.parametrize(
    ("values", "family", "classes"),
    [
        (["b", "a", "b"], "bernoulli", ("a", "b")),
        ([2, 1, 1], "bernoulli", (1, 2)),
        ([True, False, True], "bernoulli", (False, True)),
        (["x", "y", "z"], "categorical", ("x", "y", "z")),
        ([0, 2, 1, 2], "categorical", (0, 1, 2)),
        (pd.Categorical(["lo", "hi", "mid"], ["lo", "mid", "hi"], ordered=True), "categorical", ("lo", "mid", "hi")),
        (list(range(11)), "negativebinomial", None),
        (list(range(-1, 11)), "gaussian", None),
        ([0.5, 1.5, 2.5], "gaussian", None),
    ],
)
def test_family_follows_the_values(values, family, classes):
    target, _ = read_target("y", pd.Series(values))
    assert (target.family, target.classes) == (family, classes)


def test_two_classes_are_coded_zero_and_one():
    target, _ = read_target("y", pd.Series([2, 1, 1]))
    assert target.prepared(pd.Series([1, 2])).tolist() == [0, 1]


def test_formula_speaks_of_columns_as_they_are():
    recipe, table = read_recipe(MESSY, target="sick", formula="p * site + `mean radius`", group="flag")
    assert recipe.formula == "`sick` ~ p * site + `mean radius` + (1|`flag`)"
    prepared = recipe.prepared(table, training=True)
    np.testing.assert_array_equal(prepared["p"], table["p"])
    assert set(prepared) == {"p", "site", "mean radius", "flag", "sick"}


def by_hand(fit, table):
    """Log-likelihood and log prior of a logistic regression on standardised columns, at the draws of the fit."""
    training = fit.table.drop(columns="diagnosis")
    design = (table.drop(columns="diagnosis") - training.mean()) / training.std(ddof=0)
    theta = fit.posterior.theta
    eta = theta[:, :1] + theta[:, 1:] @ design.to_numpy().T
    sign = np.where(table["diagnosis"] == "malignant", 1.0, -1.0)
    prior = stats.norm.logpdf(theta[:, 0], 0, 2.5) + stats.norm.logpdf(theta[:, 1:]).sum(axis=1)
    return -np.logaddexp(0, -sign * eta), prior


def test_fit_of_a_table_is_the_model_it_says(cancer, cancer_fit):
    assert cancer_fit.model.outcome.classes == ("benign", "malignant")
    assert cancer_fit.model.names[:2] == ("Intercept", "coefficient[mean radius]")
    assert cancer_fit.posterior.sampling.divergences == 0
    assert cancer_fit.posterior.sampling.rhat_max < 1.02
    log_lik, log_prior = by_hand(cancer_fit, cancer.iloc[:150])
    np.testing.assert_allclose(
        cancer_fit.model.log_lik(cancer_fit.posterior.theta, cancer_fit.rows), log_lik, rtol=1e-8, atol=1e-13
    )
    np.testing.assert_allclose(cancer_fit.model.log_prior(cancer_fit.posterior.theta), log_prior, rtol=1e-10)


def test_held_out_rows_are_scored_with_the_training_constants(cancer, cancer_fit):
    held = cancer.iloc[150:]
    log_lik, _ = by_hand(cancer_fit, held)
    rows = cancer_fit.model.rows(held)
    assert rows.row.tolist() == held.index.tolist()
    np.testing.assert_allclose(
        cancer_fit.model.log_lik(cancer_fit.posterior.theta, rows), log_lik, rtol=1e-8, atol=1e-13
    )
    failures = br.find_failures(cancer_fit, held)
    assert set(failures.frame()["given"]) <= {"benign", "malignant"}
    right = (failures.judged["predicted"] == held["diagnosis"]).mean()
    assert right > 0.85


def test_coefficients_carry_the_names_of_the_columns(cancer, cancer_fit):
    constrained = cancer_fit.model.constrain(cancer_fit.posterior.theta[:5])
    (dim,) = cancer_fit.model.dims["coefficient"]
    assert constrained["coefficient"].shape == (5, 6)
    assert cancer_fit.model.coords[dim].tolist() == list(cancer.columns[:6])


def test_fit_of_a_table_travels(cancer, cancer_fit):
    received = cloudpickle.loads(cloudpickle.dumps(cancer_fit))
    held = cancer.iloc[150:160]
    np.testing.assert_array_equal(
        received.model.rows(held).values["predictors"], cancer_fit.model.rows(held).values["predictors"]
    )


@pytest.mark.parametrize("family", ["categorical", "gaussian", "t", "poisson", "negativebinomial"])
def test_every_family_builds_a_model_of_finite_density(family):
    from bayesrepair.bridges.bambi import fit_of_formula
    from bayesrepair.bridges.pymc import fit as fit_module

    targets = {"categorical": "site", "gaussian": "mean radius", "t": "mean radius"}
    table = MESSY.drop(columns="none").dropna()[["mean radius", "p", "a-b|c", "flag", "site", "city"]]
    recipe, rows = read_recipe(table, target=targets.get(family, "a-b|c"), family=family, group="city")
    assert recipe.target.family == family
    with pytest.MonkeyPatch.context() as patched:
        at_start = lambda self, *a, **k: Draws.plain(self.initial[None])  # noqa: E731
        patched.setattr(fit_module.TrainablePyMCModel, "train", at_start)
        fit = fit_of_formula(
            rows, prepared=recipe.prepared(rows, training=True), formula=recipe.formula, family=family,
            priors=recipe.priors, classes=recipe.target.classes, labels=recipe.labels, preparation=recipe,
            method="nuts",
            random_seed=0, sample_kwargs={},
        )  # fmt: skip
    kind = {"categorical": "class", "gaussian": "continuous", "t": "continuous"}.get(family, "count")
    assert fit.model.outcome.kind == kind
    if family == "categorical":
        assert "coefficient[mean radius, B]" in fit.model.names
    start = fit.model.initial[None]
    assert np.isfinite(fit.model.log_prior(start)).all()
    log_lik = fit.model.log_lik(start, fit.rows)
    assert log_lik.shape == (1, len(rows))
    assert np.isfinite(log_lik).all()
    np.testing.assert_allclose(fit.model.log_lik(start, fit.model.rows(table.iloc[:3])), log_lik[:, :3], rtol=1e-10)


def test_columns_that_a_formula_uses():
    frame = pd.DataFrame(columns=["x", "log x", "group", "C", "y"])
    assert used_columns(frame, "y", formula=None, aside=["group"]) == ["x", "log x", "C"]
    assert used_columns(frame, "y", formula="y ~ x + (1|group)") == ["x", "group"]
    assert used_columns(frame, "y", formula="y ~ `log x`") == ["log x"]
    assert used_columns(frame, "y", formula="y ~ np.log(x) + bs(x, df=4) + C(group, Treatment('C'))") == ["x", "group"]
    assert used_columns(frame, "y", formula="y ~ I(x == 3)") == ["x"]
    with pytest.raises(DataError, match="Did you mean 'group'"):
        used_columns(frame, "y", formula="y ~ grup")


def test_a_formula_reads_only_the_columns_it_names():
    table = MESSY.rename(columns={"site": "C"})
    recipe, _ = read_recipe(table, target="sick", formula="C(city) + p")
    assert list(recipe.columns) == ["p", "city"]  # C is a function here
    with pytest.raises(DataError, match="Did you mean 'city'"):
        read_recipe(table, target="sick", formula="citty + p")


@pytest.mark.parametrize("options", [{"target": "a`b"}, {"target": "sick", "group": "a`b"}])
def test_a_column_name_never_becomes_code(options):
    code = "__import__('os').abort()"
    table = MESSY.rename(columns={"p": code, "flag": "a`b"})
    recipe, _ = read_recipe(table, **options)
    assert code in recipe.labels
    assert "`a_b`" in recipe.formula
    assert not {code, "a`b"} & set(recipe.formula.split())
    with pytest.raises(DataError, match="without backticks"):
        read_recipe(table, formula="x1", **options)


@pytest.mark.parametrize("formula", ["p +", "p + ((hole", "p $ hole", "cube(p)", "p ~ hole ~ p"])
def test_a_formula_that_cannot_be_read_is_refused(formula):
    with pytest.raises(DataError, match="formula"):
        br.from_table(MESSY, target="sick", formula=formula)
