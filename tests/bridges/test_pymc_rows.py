"""The user's own data at the door of a bridged PyMC model: names, labels, and every way to be wrong."""

from collections.abc import Callable
from functools import cache

import cloudpickle
import models
import numpy as np
import pandas as pd
import pymc as pm
import pytensor.tensor as pt
import pytest
import xarray as xr

from bayesrepair.bridges.pymc.model import DifferentiablePyMCModel, PyMCModel, pymc_model
from bayesrepair.fit import Factor, Fit
from bayesrepair.posterior import Draws
from bayesrepair.rows import Rows
from bayesrepair.status import DataError, NumericsWarning

N = models.N


def table() -> pd.DataFrame:
    rng = np.random.default_rng(11)
    return pd.DataFrame(
        {
            "age": rng.normal(50, 10, N),
            "dose": rng.normal(size=N),
            "site": np.array(["oslo", "lima", "bonn"])[np.r_[0, 1, 2, rng.integers(0, 3, N - 3)]],
            "ill": np.array(["no", "yes"])[np.r_[0, 1, rng.integers(0, 2, N - 2)]],
        },
        index=[f"patient {i}" for i in range(N)],
    )


@cache
def clinic() -> PyMCModel:
    df = table()
    codes, sites = pd.factorize(df.site)
    with pm.Model(coords={"place": sites}) as model:
        a = pm.Normal("a", 0, 1, dims="place")
        b = pm.Normal("b", 0, 1, shape=2)
        x = df[["age", "dose"]].to_numpy()
        pm.Bernoulli("ill", logit_p=a[codes] + x @ b / 10 + 0.1 * np.ones(N), observed=(df.ill == "yes").astype(int))
    return pymc_model(model, data=df, mode="NUMPY")


def points(bridge: PyMCModel) -> np.ndarray:
    return np.random.default_rng(0).normal(size=(2, bridge.n_params))


def test_arrays_take_the_names_of_columns() -> None:
    bridge = clinic()
    assert list(bridge.graph.inputs) == ["ill", "site", "age,dose"]
    assert bridge.outcome.classes == ("no", "yes")
    assert bridge.graph.sources["site"].levels == ("oslo", "lima", "bonn")
    np.testing.assert_array_equal(bridge.training.row, table().index)


def test_a_column_serves_a_matrix_of_one_column() -> None:
    df = table()
    with pm.Model() as model:
        b = pm.Normal("b", 0, 1, shape=(2, 3))
        x, z = df["dose"].to_numpy()[:, None], pm.Data("z", df[["age"]].to_numpy())
        pm.Categorical("kind", logit_p=x * b[0] + z * b[1] / 50, observed=np.arange(N) % 3)
    bridge = pymc_model(model, data=df, mode="NUMPY")
    new = df.iloc[[7, 2]].assign(kind=[1, 2], z=df["age"])
    full = bridge.log_lik(points(bridge), bridge.training)
    np.testing.assert_allclose(bridge.log_lik(points(bridge), bridge.rows(new)), full[:, [7, 2]])


def test_a_repeated_constant_is_not_asked_for() -> None:
    rows = clinic().rows(table().iloc[[3, 8]])  # the column of ones is filled in
    full = clinic().log_lik(points(clinic()), clinic().training)
    np.testing.assert_allclose(clinic().log_lik(points(clinic()), rows), full[:, [3, 8]])
    np.testing.assert_array_equal(rows.row, ["patient 3", "patient 8"])


def test_dataset_and_mapping_serve_like_a_frame() -> None:
    df = table().iloc[:5]
    frame = clinic().rows(df)
    dataset = clinic().rows(xr.Dataset.from_dataframe(df.rename_axis("patient")))
    mapping = clinic().rows({name: df[name].to_numpy() for name in df})
    for rows in (dataset, mapping):
        for name in frame.values:
            np.testing.assert_array_equal(rows.values[name], frame.values[name])
    np.testing.assert_array_equal(dataset.row, df.index)
    np.testing.assert_array_equal(mapping.row, np.arange(5))


def test_codes_serve_where_the_model_holds_codes() -> None:
    df = table().iloc[:4].assign(site=[2, 1, 0, 0], ill=[1, 0, 1, 0])
    rows = clinic().rows(df)
    np.testing.assert_array_equal(rows.values["site"], [2, 1, 0, 0])
    np.testing.assert_array_equal(rows.values["ill"], [1, 0, 1, 0])


def test_unseen_level_is_an_error_never_nan() -> None:
    with pytest.raises(DataError, match=r"levels of 'site' seen in training .*unseen 'rome'"):
        clinic().rows(table().iloc[:2].assign(site=["rome", "oslo"]))
    with pytest.raises(DataError, match="index into a parameter from 0 to 2"):
        clinic().rows(table().iloc[:2].assign(site=[3, 0]))
    rows = clinic().training.replace(site=np.full(N, 3))
    for call in (clinic().predict, clinic().log_lik):
        with pytest.raises(DataError, match="'site' from 0 to 2"):
            call(points(clinic()), rows)


def test_unseen_class() -> None:
    with pytest.raises(DataError, match="classes of 'ill' seen in training"):
        clinic().rows(table().iloc[:2].assign(ill=["maybe", "no"]))


def test_missing_array_is_listed_with_its_shape() -> None:
    with pytest.raises(DataError, match=r"'age,dose' \(shape \(rows, 2\) from age, dose\)") as caught:
        clinic().rows(table().drop(columns="dose"))
    assert "no 'age,dose' among 'age', 'site', 'ill'" in str(caught.value)


def test_rows_without_outcome_are_predicted_not_scored() -> None:
    rows = clinic().rows(table().drop(columns="ill"))
    np.testing.assert_allclose(
        clinic().predict(points(clinic()), rows), clinic().predict(points(clinic()), clinic().training)
    )
    with pytest.raises(DataError, match="predicted, not scored"):
        clinic().log_lik(points(clinic()), rows)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"age": np.nan}, "finite values"),
        ({"age": np.inf}, "finite values"),
        ({"age": "old"}, "numbers in 'age,dose'"),
        ({"site": 0.5}, "levels of 'site'"),
    ],
)
def test_bad_values(change: dict, words: str) -> None:
    with pytest.raises(DataError, match=words):
        clinic().rows(table().assign(**change))


def test_wrong_shape() -> None:
    bridge = pymc_model(models.mixed(), mode="NUMPY")
    arrays = dict(bridge.training.values)
    with pytest.raises(DataError, match=r"'x' of shape \(rows, 3\); got shape \(24, 2\)"):
        bridge.rows({**arrays, "x": models.PAIRS})
    with pytest.raises(DataError, match="24 rows in 'x'"):
        bridge.rows({**arrays, "x": models.X[:5]})
    with pytest.raises(DataError, match="DataFrame"):
        bridge.rows([1, 2])


def test_a_column_on_another_scale_is_noticed() -> None:
    df = table()
    with pm.Model() as model:
        age = pm.Data("age", (df.age - df.age.mean()).to_numpy())
        pm.Normal("dose", age * pm.Normal("b", 0, 1), 1.0, observed=df.dose)
    bridge = pymc_model(model, data=df, mode="NUMPY")
    with pytest.raises(DataError, match="'age' on the scale that the model holds"):
        bridge.rows(df)


def test_table_of_other_rows() -> None:
    with pytest.raises(DataError, match="24 rows that the model was built on"):
        pymc_model(models.mixed(), data=pd.DataFrame({"a": [1.0, 2.0]}), mode="NUMPY")


def test_theta_and_weights_are_checked() -> None:
    bridge = clinic()
    assert isinstance(bridge, DifferentiablePyMCModel)
    with pytest.raises(DataError, match=r"theta of shape \(S, 5\)"):
        bridge.log_prior(np.zeros(5))
    with pytest.raises(DataError, match="weights of shape"):
        bridge.log_target_and_grad(points(bridge), bridge.training, np.ones(3))


def test_weight_zero_shields_from_an_impossible_row() -> None:
    with pm.Model() as model:
        pm.Uniform("y", 0, pm.HalfNormal("top", 5), observed=np.array([0.1, 0.2, 50.0]))
    bridge = pymc_model(model, mode="NUMPY")
    assert isinstance(bridge, DifferentiablePyMCModel)
    theta = np.zeros((1, 1))  # top = 1, so the last row is impossible
    value, grad = bridge.log_target_and_grad(theta, bridge.training, np.array([1.0, 1.0, 0.0]))
    assert np.isfinite(value).all()
    assert np.isfinite(grad).all()
    impossible, _ = bridge.log_target_and_grad(theta, bridge.training, np.ones(3))
    assert impossible[0] == -np.inf


def test_data_set_later_leave_the_bridge_alone() -> None:
    model = models.mixed()
    bridge = pymc_model(model, mode="NUMPY")
    theta = points(bridge)
    before = bridge.log_prior(theta), bridge.log_lik(theta, bridge.training)
    with model:
        pm.set_data({"prior_scale": 99.0, "x": np.zeros((N, 3))})
    fresh = pymc_model(models.mixed(), mode="NUMPY")
    np.testing.assert_array_equal(before[0], fresh.log_prior(theta))
    again = DifferentiablePyMCModel(model, bridge.graph, mode="NUMPY")
    np.testing.assert_array_equal(again.log_prior(theta), before[0])
    np.testing.assert_array_equal(again.log_lik(theta, again.training), before[1])


def test_outcome_can_be_chosen() -> None:
    bridge = pymc_model(models.two_likelihoods(), outcome="count", mode="NUMPY")
    assert (bridge.outcome.name, bridge.outcome.kind) == ("count", "count")
    with pytest.raises(DataError, match="outcome= one of the observed variables 'y', 'count'"):
        pymc_model(models.two_likelihoods(), outcome="z", mode="NUMPY")


def test_missing_outcomes_leave_their_rows_out() -> None:
    bridge = pymc_model(models.missing_outcomes(), mode="NUMPY")
    assert len(bridge.training) == N - 2
    assert not set(bridge.training.row) & {2, 9}
    rows = bridge.rows({"y": models.REAL[:3], "constant_0": models.X[:3]})  # row 2 was missing; a new row is not
    assert np.isfinite(bridge.log_lik(points(bridge), rows)).all()


def test_travels_through_cloudpickle() -> None:
    bridge = clinic()
    theta = points(bridge)
    before = bridge.log_lik(theta, bridge.training)
    copy = cloudpickle.loads(cloudpickle.dumps(bridge))
    assert isinstance(copy, DifferentiablePyMCModel)
    np.testing.assert_array_equal(copy.log_lik(theta, copy.training), before)
    assert copy.outcome == bridge.outcome


@pytest.mark.parametrize("regime", ["dynamic", "static"])
def test_an_edit_accepts_it(regime: str) -> None:
    build = {"dynamic": models.centred, "static": models.mv_normal_rows}[regime]
    bridge = pymc_model(build(), mode="NUMPY")
    assert bridge.graph.regime == regime
    fit = Fit(bridge, bridge.training, Draws.plain(points(bridge)))
    change = fit.change(Factor(bridge.training.take([4, 7]), -1.0))
    rows, weight = change.retained
    assert isinstance(bridge, DifferentiablePyMCModel)
    value, _ = bridge.log_target_and_grad(fit.draws.theta, rows, weight)
    log_lik = np.delete(bridge.log_lik(fit.draws.theta, bridge.training), [4, 7], axis=1)
    np.testing.assert_allclose(value, bridge.log_prior(fit.draws.theta) + log_lik.sum(axis=1))


def test_overflow_is_minus_infinity_without_a_warning() -> None:
    bridge = pymc_model(models.poisson())
    theta = np.full((1, bridge.n_params), 400.0)
    log_lik = bridge.log_lik(theta, bridge.training)
    assert (log_lik < 0).all()


def test_extreme_logits_stay_finite() -> None:
    with pm.Model() as model:
        pm.Bernoulli("y", logit_p=pm.Normal("b", 0, 1) * np.array([1.0, 2.0]), observed=[0, 0])
    bridge = pymc_model(model, mode="NUMPY")
    np.testing.assert_allclose(bridge.log_lik(np.array([[400.0]]), bridge.training), [[-400.0, -800.0]])


def test_numba_agrees_with_numpy() -> None:
    slow, fast = (pymc_model(models.centred(), mode=mode) for mode in ("NUMPY", "NUMBA"))
    assert isinstance(slow, DifferentiablePyMCModel)
    assert isinstance(fast, DifferentiablePyMCModel)
    theta, rows = points(slow), slow.training
    weight = np.linspace(0, 2, len(rows))
    np.testing.assert_allclose(fast.log_lik(theta, rows), slow.log_lik(theta, rows), rtol=1e-10)
    for ours, theirs in zip(
        fast.log_target_and_grad(theta, rows, weight),
        slow.log_target_and_grad(theta, rows, weight),
        strict=True,
    ):
        np.testing.assert_allclose(ours, theirs, rtol=1e-9)


def test_what_numba_cannot_compile_runs_in_numpy(monkeypatch: pytest.MonkeyPatch) -> None:
    from bayesrepair.bridges.pymc import vectorised

    real = vectorised.compiled

    def refusing(inputs: list, outputs: list, *, mode: str) -> Callable:
        if mode == "NUMPY":
            return real(inputs, outputs, mode=mode)
        raise NotImplementedError("no kernel for Strange")

    bridge = pymc_model(models.centred(), mode="NUMBA")
    monkeypatch.setattr(vectorised, "compiled", refusing)
    with pytest.warns(NumericsWarning, match="no kernel for Strange"):
        assert np.isfinite(bridge.log_lik(points(bridge), bridge.training)).all()


def test_blocks_do_not_change_results(monkeypatch: pytest.MonkeyPatch) -> None:
    from bayesrepair.bridges.pymc import evaluation

    bridge = pymc_model(models.two_columns(), mode="NUMPY")
    assert isinstance(bridge, DifferentiablePyMCModel)
    theta, rows = points(bridge), bridge.training
    whole = bridge.log_lik(theta, rows), *bridge.log_target_and_grad(theta, rows, np.ones(N))
    monkeypatch.setattr(evaluation, "_CELLS", 5)
    monkeypatch.setattr(evaluation, "_MANY_ROWS", 7)
    blocks = bridge.log_lik(theta, rows), *bridge.log_target_and_grad(theta, rows, np.ones(N))
    for a, b in zip(whole, blocks, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-12)


def test_canary_of_the_sign() -> None:
    """Twice the weight of a surprising row must lower the density; a flipped sign would raise it."""
    with pm.Model() as model:
        pm.Normal("y", pm.Normal("mu", 0, 1), 1.0, observed=np.array([0.0, 5.0]))
    bridge = pymc_model(model, mode="NUMPY")
    assert isinstance(bridge, DifferentiablePyMCModel)
    theta = np.zeros((1, 1))
    once, _ = bridge.log_target_and_grad(theta, bridge.training, np.array([1.0, 1.0]))
    twice, grad = bridge.log_target_and_grad(theta, bridge.training, np.array([1.0, 2.0]))
    np.testing.assert_allclose(twice - once, -0.5 * 25 - 0.5 * np.log(2 * np.pi))
    np.testing.assert_allclose(grad, [[10.0]])  # 2 rows' worth of pull towards 5


def test_same_column_twice_is_one_input() -> None:
    x = models.X[:, 0]
    with pm.Model() as model:
        curve = pm.Normal("b", 0, 1) * pt.as_tensor(x) + pm.Normal("c", 0, 1) * pt.as_tensor(x.copy()) ** 2
        pm.Normal("y", curve, 1.0, observed=models.REAL)
    assert list(pymc_model(model, mode="NUMPY").graph.inputs) == ["y", "constant_0"]
    rows = Rows({"y": models.REAL, "constant_0": x}, np.arange(N))
    bridge = pymc_model(model, data={"x": x}, mode="NUMPY")
    assert list(bridge.graph.inputs) == ["y", "x"]
    with pytest.raises(DataError, match="rows with 'y', 'x'"):
        bridge.log_lik(points(bridge), rows)


def test_an_impossible_draw_or_row_harms_no_other() -> None:
    """PyMC's guard is one scalar for all rows; over draws and rows it would spread."""
    x = np.linspace(0, 1, 6)
    with pm.Model() as model:
        slope, sigma = pm.Flat("slope"), pm.Flat("sigma")
        pm.Bernoulli("y", p=0.5 + slope * x, observed=np.array([0, 1, 1, 0, 1, 1]))
        pm.Normal("z", 0, sigma, observed=x)
    bridge = pymc_model(model, mode="NUMPY")
    good, bad_rows, bad_draw = [0.4, 1.0], [1.0, 1.0], [0.4, -1.0]
    alone = bridge.log_lik(np.array([good]), bridge.training)
    log_lik = bridge.log_lik(np.array([good, bad_rows, bad_draw]), bridge.training)
    assert np.isfinite(alone).all()
    np.testing.assert_allclose(log_lik[:1], alone)
    np.testing.assert_array_equal(np.isfinite(log_lik[1]), 0.5 + x <= 1)
    assert (log_lik[2] == -np.inf).all()


def test_parameters_without_a_proper_prior_are_named():
    with pm.Model() as model:
        pm.Normal("y", pm.Flat("mu"), pm.HalfNormal("sigma", 1), observed=np.arange(10.0))
    assert pymc_model(model).improper == ("mu",)
