"""Refits, interrupted runs, and the way from idata to unconstrained draws."""

from dataclasses import replace
from types import SimpleNamespace

import cloudpickle
import numpy as np
import pymc as pm
import pytensor.tensor as pt
import pytest
import xarray as xr
from conftest import poisson_model

import bayesrepair as br
from bayesrepair.bridges.pymc import fit as fit_module
from bayesrepair.bridges.pymc.graph import RowGraph, RowInput
from bayesrepair.bridges.pymc.sampling import NutsSettings, RefitSampler, run_nuts
from bayesrepair.bridges.pymc.unconstrain import unconstrain
from bayesrepair.model import Outcome, Trainable
from bayesrepair.status import DataError, MethodError, SamplingInterrupted, SamplingWarning

SETTINGS = NutsSettings(draws=500, tune=500, chains=4, cores=1)


def close_in_mean(one, other, errors=5.0):
    """Means agree within their Monte Carlo errors (4 sd is one false alarm in 1000 runs of 16 comparisons)."""
    sd = one.theta.std(axis=0)
    error = sd * np.sqrt(1 / one.sampling.ess_min + 1 / other.sampling.ess_min)
    np.testing.assert_array_less(np.abs(one.theta.mean(axis=0) - other.theta.mean(axis=0)), errors * error)


def test_fit_knows_how_it_was_sampled(poisson_fit, counts):
    sampling = poisson_fit.posterior.sampling
    assert (sampling.chains, sampling.draws, sampling.tune) == (4, 500, 500)
    assert sampling.rhat_max < 1.05
    assert 100 < sampling.ess_min <= 4000
    assert sampling.seconds > 0
    assert sampling.sampler.startswith("nutpie")
    assert poisson_fit.model.sampler.compile_seconds > 0
    assert np.unique(poisson_fit.posterior.chain, return_counts=True)[1].tolist() == [500] * 4
    assert poisson_fit.table.equals(counts)
    assert poisson_fit.rows.row.tolist() == counts.index.tolist()
    assert isinstance(poisson_fit.model, Trainable)


def test_weight_zero_is_a_model_without_the_rows(poisson_fit, counts):
    """The reference is PyMC's own sampler on the model rebuilt without these rows."""
    kept = counts.iloc[25:]
    weights = np.r_[np.zeros(25), np.ones(55)]
    ours = poisson_fit.model.train(poisson_fit.rows, weights=weights, rng=np.random.default_rng(1))
    with poisson_model(kept) as rebuilt:
        idata = pm.sample(
            500, tune=500, chains=4, cores=1, random_seed=2, progressbar=False, nuts={"target_accept": 0.95}
        )
    theirs = unconstrain(rebuilt, idata)
    assert len(theirs) == 2000
    close_in_mean(ours, theirs)
    ratio = ours.theta.std(axis=0) / theirs.theta.std(axis=0)
    np.testing.assert_allclose(ratio, 1.0, atol=6 / np.sqrt(ours.sampling.ess_min))


def test_same_seed_same_draws_whether_rows_are_dropped_or_weigh_nothing(poisson_fit, counts):
    weights = np.r_[np.zeros(25), np.ones(55)]
    train = poisson_fit.model.train
    weighted = train(poisson_fit.rows, weights=weights, rng=np.random.default_rng(1))
    dropped = train(poisson_fit.rows.drop(counts.index[:25]), rng=np.random.default_rng(1))
    np.testing.assert_allclose(weighted.theta, dropped.theta, rtol=1e-9)


def test_inserted_rows_count_like_doubled_weights(poisson_fit):
    rows, train = poisson_fit.rows, poisson_fit.model.train
    compiled = poisson_fit.model.sampler.compile_seconds
    twice = rows.stacked(rows.at(np.arange(30)))
    inserted = train(twice, rng=np.random.default_rng(1))
    doubled = train(rows, weights=np.r_[np.full(30, 2.0), np.ones(50)], rng=np.random.default_rng(2))
    close_in_mean(inserted, doubled)
    assert poisson_fit.model.sampler.compile_seconds == compiled  # more rows, no new compilation


def test_refit_from_draws_has_the_same_posterior(poisson_fit):
    again = poisson_fit.model.train(poisson_fit.rows, start=poisson_fit.posterior, rng=np.random.default_rng(9))
    close_in_mean(again, poisson_fit.posterior)


def test_retrain_as_an_edit(poisson_fit, counts):
    edited = br.edit(
        poisson_fit,
        br.Factor(poisson_fit.rows.take(counts.index[:25]), -1.0),
        method="retrain",
        random_seed=4,
    )
    weights = np.r_[np.zeros(25), np.ones(55)]
    ours = poisson_fit.model.train(poisson_fit.rows, weights=weights, rng=np.random.default_rng(1))
    close_in_mean(edited.after.posterior, ours)


def test_bad_weights_are_refused(poisson_fit):
    rows, rng = poisson_fit.rows, np.random.default_rng(0)
    with pytest.raises(DataError, match="at least 0"):
        poisson_fit.model.train(rows, weights=np.full(80, -1.0), rng=rng)
    with pytest.raises(DataError, match="80 finite weights"):
        poisson_fit.model.train(rows, weights=np.ones(3), rng=rng)
    with pytest.raises(DataError, match="positive weight"):
        poisson_fit.model.train(rows, weights=np.zeros(80), rng=rng)


def test_fit_travels_without_its_compiled_code(poisson_fit):
    received = cloudpickle.loads(cloudpickle.dumps(poisson_fit))
    assert received.model.sampler.settings == poisson_fit.model.sampler.settings
    assert not received.model.sampler._targets
    np.testing.assert_array_equal(received.posterior.theta, poisson_fit.posterior.theta)


def test_chains_that_are_not_tuned_are_refused():
    with pytest.raises(MethodError, match="tune of at least 1"):
        NutsSettings(tune=0)


def static_graph(n_rows):
    """Normal mean with a graph that takes exactly ``n_rows`` rows at a time."""
    theta = pt.scalar("mean")
    y = pt.TensorType("float64", shape=(n_rows,))("y")
    position = pt.TensorType("int64", shape=(n_rows,))("position")
    log_lik = -0.5 * (y - theta) ** 2
    training = RowInput("y", np.linspace(-1.0, 1.0, n_rows))
    return RowGraph(
        value_vars=(theta,), shapes=((),), initial=np.zeros(1), inputs={"y": y},
        sources={"y": training}, position=position,
        log_prior=-0.5 * theta**2, log_lik=log_lik, predicted=None, draw=y, constrained={"mean": theta},
        regime="static", n_rows=n_rows, row_ids=np.arange(n_rows), outcome=Outcome("y", "continuous"),
        observed=("y",), latents=(), discrete=(),
    )  # fmt: skip


def test_static_graph_takes_more_rows_than_it_has():
    """Blocks are filled up with rows of weight zero; the posterior mean has a closed form."""
    sampler = RefitSampler(static_graph(8), SETTINGS)
    y = np.arange(13.0)  # two blocks, three rows short
    weights = np.r_[np.zeros(2), np.ones(11)]
    draws = sampler.sample({"y": y}, np.arange(13) % 8, weights=weights, rng=np.random.default_rng(0))
    mean, precision = y[2:].sum() / 12, 12.0
    error = 1 / np.sqrt(precision * draws.sampling.ess_min)
    assert abs(draws.theta.mean() - mean) < 5 * error
    np.testing.assert_allclose(draws.theta.std(), precision**-0.5, rtol=0.15)
    assert sampler.compiled_for(9).blocks == sampler.compiled_for(16).blocks == 2


@pytest.mark.parametrize("backend", ["numba", pytest.param("jax", marks=pytest.mark.jax)])
def test_posterior_has_its_closed_form_and_short_runs_go_on_from_it(backend):
    sampler = RefitSampler(static_graph(8), replace(SETTINGS, backend=backend))
    y, weights, at = np.arange(8.0), np.r_[np.zeros(2), np.ones(6)], np.arange(8)
    draws = sampler.sample({"y": y}, at, weights=weights, rng=np.random.default_rng(0))
    again = sampler.resume(
        {"y": y}, at, weights=weights, start=draws, rng=np.random.default_rng(1), draws=300, tune=100
    )
    mean, precision = y[2:].sum() / 7, 7.0
    for found in (draws, again):
        error = 1 / np.sqrt(precision * found.sampling.ess_min)
        assert abs(found.theta.mean() - mean) < 5 * error
        np.testing.assert_allclose(found.theta.std(), precision**-0.5, rtol=0.15)
    gradient = sampler.gradient({"y": y}, at, weights)
    np.testing.assert_allclose(gradient(np.array([[2.0]]))[1], [[y[2:].sum() - 14.0]], rtol=1e-12)


class Stopped:
    """A sampler that hands back a short trace, or is interrupted while it is waited for."""

    def __init__(self, draws, *, interrupted=False):
        values = xr.Dataset({"mean": (("chain", "draw"), np.zeros((4, draws)))})
        stats = xr.Dataset({"diverging": (("chain", "draw"), np.zeros((4, draws), dtype=bool))})
        self.tree = xr.DataTree.from_dict({"posterior": values, "sample_stats": stats})
        self.interrupted, self.cancelled = interrupted, False

    def wait(self):
        if self.interrupted:
            raise KeyboardInterrupt
        return self.tree

    def cancel(self):
        self.cancelled = True


def test_short_trace_is_never_used(monkeypatch):
    monkeypatch.setattr("nutpie.sample", lambda *a, **k: Stopped(137))
    with pytest.raises(SamplingInterrupted, match="500 draws in each of 4 chains were asked for, 137"):
        run_nuts(None, static_graph(8), SETTINGS, seed=0)


def test_trace_with_holes_is_never_used(monkeypatch):
    stopped = Stopped(500)
    stopped.tree["posterior"]["mean"].values[2, 400:] = np.nan
    monkeypatch.setattr("nutpie.sample", lambda *a, **k: stopped)
    with pytest.raises(SamplingInterrupted):
        run_nuts(None, static_graph(8), SETTINGS, seed=0)


def test_ctrl_c_stops_the_chains(monkeypatch):
    stopped = Stopped(137, interrupted=True)
    monkeypatch.setattr("nutpie.sample", lambda *a, **k: stopped)
    with pytest.raises(SamplingInterrupted, match="interrupted"):
        run_nuts(None, static_graph(8), SETTINGS, seed=0)
    assert stopped.cancelled


def test_interrupted_run_of_pymc_is_never_used(monkeypatch, counts):
    monkeypatch.setattr(fit_module.pm, "sample", lambda **kwargs: Stopped(137).tree)
    with pytest.raises(SamplingInterrupted, match="1000 draws in each of 4 chains"):
        br.from_pymc(poisson_model(counts), init="adapt_diag")


def posterior_of(model, size=250):
    """Prior draws in the dress of a posterior: two chains, constrained variables only."""
    with model:
        prior = pm.sample_prior_predictive(2 * size, random_seed=1, compile_kwargs={"mode": "FAST_COMPILE"})
        prior = prior["prior"].to_dataset()
    names = [rv.name for rv in model.free_RVs]
    chains = [prior[names].isel(chain=0, draw=slice(k * size, (k + 1) * size)) for k in (0, 1)]
    chains = [c.assign_coords(draw=np.arange(size)) for c in chains]
    return xr.DataTree.from_dict({"posterior": xr.concat(chains, "chain").assign_coords(chain=[0, 1])})


def constrained_zoo():
    """One free variable for each usual transform, one discrete."""
    with pm.Model(coords={"site": list("abc")}) as model:
        low = pm.Normal("low")
        scale = pm.HalfNormal("scale")
        pm.Uniform("between", low, low + 3 * scale)
        pm.Dirichlet("shares", np.ones(4))
        pm.ZeroSumNormal("contrast", shape=5)
        pm.LKJCholeskyCov("factor", n=3, eta=2, sd_dist=pm.HalfNormal.dist(1, shape=3))
        pm.Beta("rate", 2, 2, dims="site")
        pm.Normal("y", low, scale, observed=np.zeros(4))
    return model


def test_unconstrained_draws_come_back_exactly():
    model = constrained_zoo()
    idata = posterior_of(model)
    draws = unconstrain(model, idata)
    point = model.initial_point()
    assert draws.theta.shape == (500, sum(v.size for v in point.values()))
    assert draws.chain.tolist() == [0] * 250 + [1] * 250
    back = model.compile_fn(model.replace_rvs_by_values(model.free_RVs), inputs=model.value_vars, mode="FAST_COMPILE")
    for s in (0, 370):
        start, values = 0, {}
        for name, value in point.items():
            values[name] = draws.theta[s, start : start + value.size].reshape(value.shape)
            start += value.size
        for rv, value in zip(model.free_RVs, back(values), strict=True):
            np.testing.assert_allclose(value, idata["posterior"][rv.name].values[s // 250, s % 250], atol=1e-10)


def test_transposed_and_stored_draws_are_understood():
    with pm.Model(coords={"site": list("abc"), "year": [1, 2]}) as model:
        pm.HalfNormal("rate", dims=("site", "year"))
        pm.Normal("y", 0, 1, observed=np.zeros(2))
    idata = posterior_of(model)
    expected = unconstrain(model, idata)
    turned = xr.DataTree.from_dict(
        {"posterior": idata["posterior"].to_dataset().transpose("draw", ..., "site", "chain")}
    )
    np.testing.assert_array_equal(unconstrain(model, turned).theta, expected.theta)
    noise = np.random.default_rng(0).normal(size=(2, 250, 3, 2))
    idata["unconstrained_posterior"] = xr.DataTree(xr.Dataset({"rate_log__": (("chain", "draw", "a", "b"), noise)}))
    np.testing.assert_array_equal(unconstrain(model, idata).theta, noise.reshape(500, 6))


def test_idata_of_another_model_is_refused_with_both_lists(counts):
    model = poisson_model(counts)
    idata = posterior_of(model)
    other = xr.DataTree.from_dict({"posterior": idata["posterior"].to_dataset().drop_vars("slope")})
    with pytest.raises(DataError, match=r"spread, slope\[2\], level; got spread, level"):
        br.from_pymc(model, other)
    with pytest.raises(DataError, match="group 'posterior'; got groups 'prior'"):
        br.from_pymc(model, xr.DataTree.from_dict({"prior": xr.Dataset()}))
    with pytest.raises(DataError, match="DataTree"):
        br.from_pymc(model, 3)


def test_draws_outside_the_support_are_refused(counts):
    model = poisson_model(counts)
    idata = posterior_of(model)
    idata["posterior"]["spread"].values[0, 3] = -1.0
    with pytest.raises(DataError, match="'spread'"):
        unconstrain(model, idata)


def test_chains_that_disagree_are_warned_of_and_recorded(counts):
    model = poisson_model(counts)
    idata = posterior_of(model, 200)
    idata["posterior"]["level"].values[1] += 10.0
    diverging = xr.Dataset({"diverging": (("chain", "draw"), np.arange(400).reshape(2, 200) < 7)})
    idata["sample_stats"] = xr.DataTree(diverging)
    with pytest.warns(SamplingWarning, match=r"7 of 400 draws diverged and r-hat reaches"):
        fit = br.from_pymc(model, idata)
    assert fit.posterior.sampling.divergences == 7
    assert fit.posterior.sampling.rhat_max > 1.5


def test_refits_repeat_the_settings_of_the_idata(counts):
    model = poisson_model(counts)
    idata = posterior_of(model, 200)
    fit = br.from_pymc(model, idata, target_accept=0.9)
    settings = fit.model.sampler.settings
    assert (settings.chains, settings.draws, settings.tune, settings.target_accept) == (2, 200, 1000, 0.9)
    assert br.from_pymc(model, idata, draws=70).model.sampler.settings.draws == 70
    with pytest.raises(MethodError, match="only keywords of the refits"):
        br.from_pymc(model, idata, init="adapt_diag")


def test_table_gives_ids_and_must_have_the_rows(counts):
    model = poisson_model(counts)
    idata = posterior_of(model, 200)
    fit = br.from_pymc(model, idata, data=counts)
    assert fit.rows.row[0] == "row 0"
    assert fit.table is not None
    with pytest.raises(DataError, match="80 rows"):
        br.from_pymc(model, idata, data=counts.iloc[:70])


def test_discrete_model_says_why_it_cannot_be_retrained():
    with pm.Model() as model:
        which = pm.Bernoulli("which", 0.5)
        pm.Normal("y", which, 1.0, observed=np.array([0.1, 0.9, 1.2]))
    draws = np.random.default_rng(0).integers(0, 2, (2, 100))
    idata = xr.DataTree.from_dict({"posterior": xr.Dataset({"which": (("chain", "draw"), draws)})})
    fit = br.from_pymc(model, idata)
    assert not isinstance(fit.model, Trainable)
    np.testing.assert_array_equal(fit.posterior.theta[:, 0], draws.ravel())
    with pytest.raises(MethodError, match="'which' is discrete"):
        br.edit(fit, br.Factor(fit.rows.take([0]), -1.0), method="retrain")


def test_backend_that_is_not_installed_is_refused(monkeypatch, counts):
    monkeypatch.setattr("bayesrepair.bridges.pymc.sampling.find_spec", lambda name: None)
    with pytest.raises(MethodError, match=r"bayesrepair\[jax\]"):
        br.from_pymc(poisson_model(counts), backend="jax")


def test_settings_are_checked():
    with pytest.raises(MethodError, match="draws"):
        NutsSettings(draws=0)
    with pytest.raises(MethodError, match="target_accept"):
        NutsSettings(target_accept=1.5)
    with pytest.raises(MethodError, match="'numba' or 'jax'"):
        NutsSettings(backend="c")
    assert SimpleNamespace(**vars(NutsSettings(cores=3, chains=2))).chains == 2
    assert NutsSettings(cores=3, chains=2).parallel == 2
