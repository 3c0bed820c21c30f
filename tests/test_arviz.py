"""ArviZ on edited posteriors of PyMC models tells the same as on a refit."""

import warnings

import arviz as az
import arviz_plots
import numpy as np
import pandas as pd
import pymc as pm
import pytest
import xarray as xr
from conftest import SAMPLING

import bayesrepair as br
from bayesrepair.datatree import posterior_tree
from bayesrepair.reporting import plots

GROUPS = ("observed_data", "log_likelihood", "log_prior", "posterior_predictive")
DELETED = 6


@pytest.fixture(scope="module")
def visits():
    """Ninety visits at three sites, the last six of them grossly wrong."""
    rng = np.random.default_rng(21)
    table = pd.DataFrame({"x": rng.normal(size=90)}, index=[f"visit {i}" for i in range(90)])
    table["site"] = np.arange(90) % 3
    table["y"] = 1.0 + 0.7 * table["x"] + 0.5 * table["site"] + rng.normal(size=90)
    table.iloc[-DELETED:, 2] += 2.5
    return table


@pytest.fixture(scope="module")
def normal(visits):
    """A normal regression with dims, and a Deterministic."""
    with pm.Model(coords={"place": ["north", "east", "west"]}) as model:
        level = pm.Normal("level", 0.0, 2.0, dims="place")
        slope = pm.Normal("slope", 0.0, 2.0)
        noise = pm.HalfNormal("noise", 2.0)
        pm.Deterministic("contrast", level - level.mean(), dims="place")
        mean = level[visits["site"].to_numpy()] + slope * visits["x"].to_numpy()
        pm.Normal("y", mean, noise, observed=visits["y"].to_numpy())
    return br.from_pymc(model, data=visits, random_seed=3, **(SAMPLING | {"draws": 1000}))


@pytest.fixture(scope="module")
def pair(normal, visits):
    """The edited fit, and refits without the rows."""
    edited = br.repair(normal, visits.index[-DELETED:], method="transport", random_seed=1)
    refits = [br.edit(normal, edited.factors, method="retrain", random_seed=seed) for seed in (2, 3)]
    return edited, refits


@pytest.fixture(scope="module")
def logistic(cancer_fit):
    """A table's edited fit, and refits without the rows: the five that the model finds least likely."""
    worst = br.find_failures(cancer_fit, cancer_fit.rows).judged["log_score"].nsmallest(5).index
    edited = br.repair(cancer_fit, worst, method="transport", random_seed=1)
    return edited, [br.edit(cancer_fit, edited.factors, method="retrain", random_seed=seed) for seed in (2, 3)]


def summary(edited):
    return az.summary(edited.datatree, round_to="none").apply(pd.to_numeric)


@pytest.mark.parametrize("name", ["pair", "logistic"])
def test_summary_tells_what_a_refit_tells(name, request):
    edited, refits = request.getfixturevalue(name)
    ours, theirs = summary(edited), summary(refits[0])
    assert ours.index.tolist() == theirs.index.tolist()
    error = np.hypot(ours["mcse_mean"], theirs["mcse_mean"]) + 0.02 * theirs["sd"]
    np.testing.assert_array_less(np.abs(ours["mean"] - theirs["mean"]), 4 * error)
    np.testing.assert_allclose(ours["sd"], theirs["sd"], rtol=0.15)
    stated = edited.summary().loc[ours.index]
    np.testing.assert_allclose(ours["mcse_mean"], stated["mcse"], rtol=0.3)
    np.testing.assert_allclose(ours["mean"], stated["mean"], atol=0.05 * stated["sd"].max())
    # Canary: before the edit the same comparison fails.
    before = az.summary(posterior_tree(edited.before), round_to="none").apply(pd.to_numeric)
    assert (np.abs(before["mean"] - theirs["mean"]) > 4 * error).any()


def test_dims_coords_and_deterministics_are_the_users(pair):
    tree = pair[0].to_datatree(groups=GROUPS)
    posterior = tree["posterior"]
    assert set(posterior.data_vars) == {"level", "slope", "noise", "contrast"}
    assert posterior["level"].dims == ("chain", "draw", "place")
    assert posterior["place"].values.tolist() == ["north", "east", "west"]
    assert tree["log_prior"]["level"].dims == ("chain", "draw", "place")
    assert tree["log_likelihood"]["y"]["row"].values.tolist() == [f"visit {i}" for i in range(84)]
    contrast = posterior["level"] - posterior["level"].mean("place")
    np.testing.assert_allclose(posterior["contrast"], contrast, atol=1e-12)


def test_groups_agree_with_pymc(normal):
    """Log prior and log-likelihood as PyMC computes them, on the user's scale."""
    tree = posterior_tree(normal, groups=GROUPS, draws=40)
    theirs = xr.DataTree.from_dict({"posterior": tree["posterior"].to_dataset()})
    with normal.model.pymc:
        pm.stats.compute_log_prior(theirs, progressbar=False)
        pm.stats.compute_log_likelihood(theirs, progressbar=False)
    for name in ("level", "slope", "noise"):
        np.testing.assert_allclose(tree["log_prior"][name], theirs["log_prior"][name], rtol=1e-10)
    np.testing.assert_allclose(tree["log_likelihood"]["y"].values, theirs["log_likelihood"]["y"].values, rtol=1e-10)


@pytest.mark.filterwarnings("ignore:Estimated shape parameter of Pareto:UserWarning")  # of a row, refits have it too
@pytest.mark.parametrize("name", ["pair", "logistic"])
def test_loo_and_psense_tell_what_a_refit_tells(name, request):
    edited, refits = request.getfixturevalue(name)
    groups = ("log_likelihood", "log_prior")
    ours = edited.to_datatree(groups=groups)
    first, second = (refit.to_datatree(groups=groups) for refit in refits)
    elpd, one, two = (float(az.loo(tree).elpd) for tree in (ours, first, second))
    np.testing.assert_allclose(elpd, (one + two) / 2, atol=4 * abs(one - two) + 0.3)
    size = ours["log_likelihood"].sizes["row"]
    assert az.loo(ours).n_data_points == size == first["log_likelihood"].sizes["row"]
    # Canary: the posterior before the edit predicts the same rows otherwise.
    whole = posterior_tree(edited.before, groups=groups)
    kept = whole["log_likelihood"].to_dataset().sel(row=ours["log_likelihood"]["row"].values)
    before = xr.DataTree.from_dict({"posterior": whole["posterior"].to_dataset(), "log_likelihood": kept})
    assert abs(float(az.loo(before).elpd) - one) > 4 * abs(one - two) + 0.3
    for group in ("prior", "likelihood"):
        scaled = [az.psense(tree, group=group) for tree in (ours, first, second)]
        for name_, value in scaled[0].data_vars.items():
            theirs = (scaled[1][name_] + scaled[2][name_]) / 2
            np.testing.assert_allclose(value, theirs, atol=0.03 + 0.2 * float(theirs.max()), err_msg=f"{group} {name_}")


def test_arviz_plots_take_the_tree(pair):
    edited, refits = pair
    trees = {"edited": edited.datatree, "refit": refits[0].datatree}
    for draw in (arviz_plots.plot_dist, arviz_plots.plot_forest):
        shown = draw(trees, var_names=["level", "noise"], backend="none")
        assert shown.data["level"].sizes["place"] == 3
    before = {"before": posterior_tree(edited.before), "after": edited.datatree}
    assert arviz_plots.plot_dist(before, backend="none").data.sizes["model"] == 2


@pytest.fixture(scope="module")
def verified(pair):
    return br.repair(pair[0].before, pair[0].factors[0].rows.row, method="transport", verify=True, random_seed=1)


def test_marginals_before_after_and_of_refits(pair, verified):
    """One plot a parameter, the largest shift first; a verified edit shows its refits."""
    shift = pair[0].summary()["shift"]
    shown = plots.plot_edit(pair[0], backend="none", most=3)
    assert shown.data["model"].values.tolist() == ["before", "after"]
    assert [name.rsplit(":", 1)[0] for name in shown.data.data_vars] == shift.index[:3].tolist()
    assert all(name.endswith(" sd") for name in shown.data.data_vars)
    heading = shown.viz["figure_title"].item()["string"]
    assert heading.startswith(f"6 rows removed (transport, {pair[0].status.level}): {shift.index[0]} moves most, by ")
    with_refits = plots.plot_edit(verified, backend="none")
    assert with_refits.data["model"].values.tolist() == ["before", "refit", "after"]
    word = "verified" if verified.verification.passed else "not verified"
    assert f"(transport, {word})" in with_refits.viz["figure_title"].item()["string"]


def test_forest_is_in_posterior_sds_before(pair, verified):
    shown = plots.plot_forest(pair[0], backend="none", var_names=["level", "noise"])
    [values] = shown.data.data_vars.values()
    values = values.isel(column=0, missing_dims="ignore")
    before = values.sel(model="before")
    np.testing.assert_allclose(before.mean(["chain", "draw"]), 0.0, atol=1e-8)
    np.testing.assert_allclose(before.std(["chain", "draw"]), 1.0, rtol=0.01)
    moved = values.sel(model="after").mean(["chain", "draw"])
    shift = pair[0].summary()["shift"].loc[values["shown"].values]
    np.testing.assert_allclose(moved, shift, atol=0.05)
    assert set(values["shown"].values) == {"noise", "level[north]", "level[east]", "level[west]"}
    assert plots.plot_forest(verified, backend="none").data.sizes["model"] == 3


def test_changes_name_the_rows_that_change_most(logistic, cancer):
    edited, _ = logistic
    new = cancer.iloc[150:]
    frame = edited.changes(new)
    shown = plots.plot_changes(edited, new, backend="none", most=5)
    [values] = shown.data.data_vars.values()
    values = values.isel(column=0, missing_dims="ignore")
    assert values["shown"].values.tolist() == [f"{row}: {line['class']}" for row, line in frame.head(5).iterrows()]
    for side in ("before", "after"):
        np.testing.assert_allclose(
            values.sel(model=side).mean(["chain", "draw"]), frame[side].head(5).astype(float), atol=0.01
        )


def test_figures_on_paper_have_a_heading_a_legend_and_an_axis_that_says_what(logistic, cancer):
    from matplotlib import pyplot

    edited, _ = logistic
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for shown in (edited.plot(), edited.plot_forest(), edited.plot_changes(cancer.iloc[150:])):
            figure = shown.viz["figure"].item()
            figure.canvas.draw()
            assert figure.get_suptitle().startswith("5 rows removed")
            assert [text.get_text() for text in figure.legends[0].get_texts()] == ["before", "after"]
            pyplot.close(figure)
    assert shown.viz["plot"].sel(column="forest").item().get_xlabel() == "probability of the class named"
