"""Trees, summaries and undone edits, against closed forms."""

import arviz as az
import numpy as np
import pytest
import xarray as xr

import bayesrepair as br
from bayesrepair.datatree import posterior_tree, weighted_tree
from bayesrepair.model import Outcome
from bayesrepair.oracles import Logistic, NormalNormal
from bayesrepair.posterior import Draws
from bayesrepair.status import DataError
from bayesrepair.summary import parameter_changes

CHAINS, LENGTH = 4, 500
CHAIN = np.repeat(np.arange(CHAINS), LENGTH)
Y = np.append(np.random.default_rng(1).normal(1.0, 1.0, 30), [3.5, 3.8])


def normal_fit(seed, *, rho=0.0):
    """Fit of a normal mean by AR(1) chains from the exact posterior; rows are called a0, a1, …"""
    oracle = NormalNormal(0.0, 2.0, 1.0)
    rows = br.Rows({"y": Y}, np.array([f"a{i}" for i in range(len(Y))]))
    exact = oracle.posterior(rows)
    noise = np.random.default_rng(seed).standard_normal((CHAINS, LENGTH))
    x = noise.copy()
    for t in range(1, LENGTH):
        x[:, t] = rho * x[:, t - 1] + np.sqrt(1 - rho**2) * noise[:, t]
    theta = exact.mean[0] + x.reshape(-1, 1) / np.sqrt(exact.precision[0, 0])
    return br.Fit(oracle, rows, Draws.plain(theta, CHAIN, (1 - rho) / (1 + rho)))


@pytest.mark.parametrize("rho", [0.0, 0.8])
@pytest.mark.parametrize("method", ["weights", "transport", "moves"])
def test_arviz_reads_the_true_error_off_the_resampled_tree(method, rho):
    """Over repetitions the mean of the tree scatters as its mcse says."""
    error, stated, own, shuffled = [], [], [], []
    exact = NormalNormal(0.0, 2.0, 1.0).posterior(br.Rows({"y": Y[:-2]}, np.arange(30)))
    for seed in range(40):
        fit = normal_fit(seed, rho=rho)
        factor = br.Factor(fit.rows.at([30, 31]), -1.0)
        posterior, _ = br.editors.EDITORS[method]()(fit.change(factor), np.random.default_rng(seed))
        after = fit.edited(posterior, (factor,), drawn=False)
        tree = posterior_tree(after)
        mu = tree["posterior"]["mu"]
        error.append(float(mu.mean()) - exact.mean[0])
        stated.append(float(az.mcse(tree, method="mean")["mu"]))
        own.append(parameter_changes(fit, after).loc["mu", "mcse"])
        mixed = np.random.default_rng(seed).permutation(mu.to_numpy().ravel()).reshape(mu.shape)
        shuffled.append(float(az.mcse(xr.Dataset({"mu": (mu.dims, mixed)}), method="mean")["mu"]))
    scatter = np.sqrt(np.mean(np.square(error)))
    np.testing.assert_allclose(np.sqrt(np.mean(np.square(stated))), scatter, rtol=0.3)
    np.testing.assert_allclose(np.sqrt(np.mean(np.square(own))), scatter, rtol=0.3)
    if method == "weights":  # in random order, duplicates pass for independent draws
        np.testing.assert_array_less(np.mean(shuffled), 0.7 * scatter)


def test_a_chain_that_gains_all_the_weight_shows_in_rhat():
    """Two chains in each of two modes; the weights carry one mode away."""
    rng = np.random.default_rng(2)
    theta = rng.standard_normal((CHAINS * LENGTH, 1)) + 8 * (CHAIN[:, None] < 2)
    fit = br.Fit(NormalNormal(), br.Rows({"y": np.zeros(2)}, np.arange(2)), Draws(theta, 3.0 * (CHAIN == 3), CHAIN))
    tree = posterior_tree(fit)
    assert dict(tree["posterior"].sizes) == {"chain": CHAINS, "draw": LENGTH}
    weights = np.exp(3.0 * (CHAIN == 3))
    np.testing.assert_allclose(tree["posterior"]["mu"].mean(), weights @ theta[:, 0] / weights.sum(), atol=0.02)
    np.testing.assert_array_less(1.1, float(az.rhat(tree)["mu"]))
    np.testing.assert_array_less(float(az.ess(tree)["mu"]), 50)


def test_descendants_of_one_ancestor_stand_side_by_side():
    rng = np.random.default_rng(3)
    ancestor = rng.permutation(np.repeat(np.arange(0, CHAINS * LENGTH, 4), 4))
    theta = rng.standard_normal((CHAINS * LENGTH, 1))[ancestor]
    draws = Draws(theta, np.zeros(len(theta)), ancestor // LENGTH, ancestor=ancestor)
    fit = br.Fit(NormalNormal(), br.Rows({"y": np.zeros(2)}, np.arange(2)), draws)
    np.testing.assert_allclose(float(az.ess(posterior_tree(fit))["mu"]), LENGTH, rtol=0.25)
    line = parameter_changes(fit, fit).loc["mu"]
    np.testing.assert_allclose(line["ess"], LENGTH, rtol=0.25)
    lossless = weighted_tree(fit)["posterior"]
    np.testing.assert_array_equal(theta[:, 0][np.argsort(draws.chain, kind="stable")], lossless["mu"].values.ravel())
    np.testing.assert_array_equal(np.sort(lossless["ancestor"].values.ravel()), np.sort(ancestor))


def test_plain_draws_stay_as_they_are():
    fit = normal_fit(0)
    np.testing.assert_array_equal(posterior_tree(fit)["posterior"]["mu"].values.ravel(), fit.draws.theta[:, 0])
    few = posterior_tree(fit, draws=200)["posterior"]["mu"]
    assert few.shape == (4, 50)
    uneven = Draws.plain(fit.draws.theta[:7], np.array([0, 0, 0, 0, 1, 1, 1]))
    tree = posterior_tree(br.Fit(fit.model, fit.rows, uneven))
    assert dict(tree["posterior"].sizes) == {"chain": 1, "draw": 7}


class Named(Logistic):
    """Logistic regression whose classes have names."""

    outcome = Outcome("y", "class", ("healthy", "ill"))


@pytest.fixture
def clinic():
    rng = np.random.default_rng(4)
    model = Named(2, 2.0)
    x = rng.normal(size=(60, 2))
    y = (x[:, 0] + rng.logistic(size=60) > 0).astype(int)
    rows = br.Rows({"x": x, "y": y}, np.array([f"p{i}" for i in range(60)]))
    theta = model.train(rows, start=Draws.plain(np.zeros((2000, model.n_params))), rng=rng).theta
    return br.Fit(model, rows, Draws.plain(theta, CHAIN))


def test_groups_hold_the_rows_the_posterior_rests_on(clinic):
    first = br.repair(clinic, ["p3", "p7"], method="weights", random_seed=0)
    relabelled = br.repair(first.after, ["p5"], relabel={"p5": "ill" if clinic.rows.values["y"][5] == 0 else "healthy"})
    weaker = br.repair(relabelled.after, ["p9"], weight=0.25, method="weights", random_seed=0)
    new = br.Rows({"x": np.array([[0.5, 0.5]]), "y": np.array([1])}, np.array(["p10"]))  # shares an id, not the content
    edited = br.edit(weaker.after, br.Factor(new, 1.0), method="weights", random_seed=0)
    groups = ("observed_data", "log_likelihood", "log_prior", "posterior_predictive")
    tree = edited.to_datatree(groups=groups)
    kept = [f"p{i}" for i in range(60) if i not in (3, 7)]
    log_lik = tree["log_likelihood"]["y"]
    assert log_lik["row"].values.tolist() == [*kept, "p10"]
    assert log_lik.dims == ("chain", "draw", "row")
    theta = tree["posterior"]["beta"].values.reshape(2000, -1)
    outcome = np.array(clinic.rows.values["y"])
    outcome[5] = 1 - outcome[5]
    at = [int(row[1:]) for row in kept]
    direct = clinic.model.log_lik(theta, br.Rows({"x": clinic.rows.values["x"][at], "y": outcome[at]}, np.arange(58)))
    direct[:, kept.index("p9")] *= 0.25
    np.testing.assert_allclose(log_lik.values.reshape(2000, -1)[:, :58], direct, rtol=1e-10)
    np.testing.assert_allclose(log_lik["row_weight"].values, [0.25 if row == "p9" else 1 for row in [*kept, "p10"]])
    observed = tree["observed_data"]["y"]
    assert observed["given"].values.tolist() == [("healthy", "ill")[code] for code in [*outcome[at], 1]]
    np.testing.assert_allclose(
        sum(term.values.ravel() for term in tree["log_prior"].data_vars.values()), clinic.model.log_prior(theta)
    )
    simulated = tree["posterior_predictive"]["y"].mean(dim=["chain", "draw"]).values[:58]
    expected = clinic.model.predict(theta, br.Rows({"x": clinic.rows.values["x"][at]}, np.arange(58)))[:, :, 1].mean(0)
    np.testing.assert_allclose(simulated, expected, atol=0.06)
    assert tree["receipt"].attrs["rung"] == "weights"
    assert set(edited.datatree.children) == {"posterior", "observed_data", "receipt"}
    with pytest.raises(DataError, match="log_likelihood"):
        edited.to_datatree(groups=("loglik",))


def test_a_tree_goes_to_a_file_and_back(clinic, tmp_path):
    edited = br.repair(clinic, ["p3"], method="weights", random_seed=0)
    edited.to_datatree(groups=("log_likelihood", "observed_data")).to_netcdf(tmp_path / "tree.nc", engine="h5netcdf")
    with xr.open_datatree(tmp_path / "tree.nc", engine="h5netcdf") as back:
        np.testing.assert_array_equal(back["log_likelihood"]["y"], edited.to_datatree(groups=("log_likelihood",))[
            "log_likelihood"
        ]["y"])  # fmt: skip
        assert back["receipt"].attrs["rung"] == "weights"


def test_summary_agrees_with_the_closed_form():
    """Of 40 runs the stated 90 % intervals of the mean cover the exact one, and the frame says the shift."""
    exact = NormalNormal(0.0, 2.0, 1.0).posterior(br.Rows({"y": Y[:-2]}, np.arange(30)))
    inside = []
    for seed in range(40):
        fit = normal_fit(seed, rho=0.5)
        edited = br.edit(fit, br.Factor(fit.rows.at([30, 31]), -1.0), method="weights", random_seed=0)
        frame = edited.summary()
        line = frame.loc["mu"]
        inside.append(abs(line["mean"] - exact.mean[0]) < 1.645 * line["mcse"])
        np.testing.assert_allclose(line["ess"], (line["sd"] / line["mcse"]) ** 2)
    assert list(frame.columns) == [
        "mean_before", "sd_before", "mean", "sd", "shift", "sd_ratio", "mcse", "ess", "khat"
    ]  # fmt: skip
    np.testing.assert_allclose(line["sd"], exact.precision[0, 0] ** -0.5, rtol=0.15)
    np.testing.assert_allclose(line["shift"], (line["mean"] - line["mean_before"]) / line["sd_before"])
    assert 30 <= sum(inside) <= 40
    with pytest.raises(DataError, match="mu"):
        edited.summary(var_names=["nu"])


def test_predictions_carry_their_error(clinic):
    edited = br.repair(clinic, ["p3", "p7"], method="weights", random_seed=0)
    frame = edited.predict(clinic.rows)
    sd = np.sqrt(frame["ill"] * (1 - frame["ill"]))
    assert ((frame["mcse"] > 0) & (frame["mcse"] < sd)).all()
    changes = edited.changes(clinic.rows)
    assert changes["change"].abs().is_monotonic_decreasing
    assert (changes["change"] >= 0).all()  # the class that gains
    for row, line in changes.head(5).iterrows():
        np.testing.assert_allclose(line["after"], frame.loc[row, line["class"]])
    # the two classes share their error
    np.testing.assert_allclose(changes.loc[frame.index, "mcse"], frame["mcse"], rtol=1e-6)
    numbers = br.edit(fit := normal_fit(0), br.Factor(fit.rows.at([31]), -1.0), method="weights").changes(fit.rows)
    assert "class" not in numbers
    assert (numbers["change"] < 0).all()


@pytest.mark.parametrize("method", ["weights", "transport", "retrain"])
def test_two_deletions_are_one_and_either_can_be_undone(clinic, method):
    """Delete A, then B: the bits of deleting both; without the last the earlier posterior object comes back."""
    one, two = br.Factor(clinic.rows.at([3]), -1.0), br.Factor(clinic.rows.at([7, 9]), -1.0)
    first = br.edit(clinic, one, method="weights", random_seed=1)
    second = br.edit(first.after, two, method=method, random_seed=2)
    both = br.edit(clinic, br.Factor(clinic.rows.at([3, 7, 9]), -1.0), method=method, random_seed=2)
    np.testing.assert_array_equal(second.after.draws.theta, both.after.draws.theta)
    np.testing.assert_array_equal(second.after.draws.log_weights, both.after.draws.log_weights)
    assert second.undo() is first.after
    assert second.undo().posterior is first.after.posterior
    assert first.undo() is clinic


def test_an_earlier_edit_is_taken_back_under_a_later_one(clinic):
    one, two = br.Factor(clinic.rows.at([3]), -1.0), br.Factor(clinic.rows.at([7, 9]), -1.0)
    first = br.edit(clinic, one, method="weights", random_seed=1)
    second = br.edit(first.after, two, method="weights", random_seed=1)
    without = br.edit(second.after, [factor.inverse for factor in first.factors], method="weights", random_seed=1)
    alone = br.edit(clinic, two, method="weights", random_seed=1)
    np.testing.assert_array_equal(without.after.draws.log_weights, alone.after.draws.log_weights)
    back = br.edit(without.after, two.inverse, random_seed=1)
    assert back.after.posterior is clinic.posterior
