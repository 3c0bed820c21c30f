"""Whole groups: naming them, finding their latents, and deleting them with the latents integrated out."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from scipy import stats

import bayesrepair as br
from bayesrepair.editors import Marginal
from bayesrepair.fit import Factor, Fit
from bayesrepair.latents import own_latents
from bayesrepair.numerics.conditional_draws import drawn
from bayesrepair.numerics.conditional_mode import locate
from bayesrepair.numerics.psis import khat_threshold
from bayesrepair.numerics.quadrature import TOLERANCE, integrate_to_tolerance, worst_error
from bayesrepair.oracles import NormalNormal
from bayesrepair.posterior import Draws
from bayesrepair.status import DataError, MethodError
from tests.cases import EDITOR_CASES, Problem
from tests.checks import CONFORMANCE, expected, matches, moments, run
from tests.grouped import GroupedNormal, deletion, fitted, sites

SIZES = [4, 4, 4, 4, 4, 4, 4, 4]
MODELS = {
    "non-centred": GroupedNormal(8),
    "centred": GroupedNormal(8, centred=True, spread=0.7),
    "slopes": GroupedNormal(8, effects=2),
    "slopes, centred": GroupedNormal(8, effects=2, centred=True, spread=1.5),
    "three effects": GroupedNormal(8, effects=3),
}


class Grouped(Problem):
    """A problem whose deletions are whole groups: those with the largest mean outcomes."""

    def top(self, count):
        site = self.rows.values["site"]
        order = pd.Series(self.rows.values["y"]).groupby(site).mean().sort_values(ascending=False).index
        chosen = np.isin(site, order[: max(1, count // SIZES[0])])
        return Factor(self.rows.at(np.flatnonzero(chosen)), -1.0)


@pytest.fixture(scope="module")
def grouped():
    model = MODELS["non-centred"]
    both = sites(model, [5] * 8)
    first = np.concatenate([np.flatnonzero(both.values["site"] == g)[:4] for g in range(8)])
    others = np.setdiff1d(np.arange(len(both)), first)
    return Grouped(model, both.at(first), both.at(others))


# --- naming a group ---------------------------------------------------------------------------------------------------


def test_group_gives_the_rows_that_repair_takes():
    fit = fitted(MODELS["non-centred"], sites(MODELS["non-centred"], SIZES))
    assert fit.group("site", "S2").tolist() == ["row 8", "row 9", "row 10", "row 11"]
    assert len(fit.group("site", ["S0", "S7"])) == 8
    unnamed = Fit(fit.model, fit.rows, fit.posterior)
    assert unnamed.group("site", 2).tolist() == fit.group("site", "S2").tolist()
    edited = br.repair(fit, fit.group("site", "S2"), method="marginal", random_seed=0)
    np.testing.assert_array_equal(edited.after.row_weights == 0, fit.table["site"] == "S2")


def test_group_says_what_there_is():
    fit = fitted(MODELS["non-centred"], sites(MODELS["non-centred"], SIZES))
    with pytest.raises(DataError, match=r"'site', 'y'.*Did you mean 'site'"):
        fit.group("sites", "S1")
    with pytest.raises(DataError, match=r"such as 'S0', 'S1'.*got 's1'. Did you mean 'S1'"):
        fit.group("site", "s1")
    with pytest.raises(DataError, match=r"got 'Hennepin'. Pass one of its values"):
        fit.group("site", ["S1", "Hennepin"])
    with pytest.raises(DataError, match="at least one value"):
        fit.group("site", [])


# --- which latents are a group's own ----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", MODELS)
def test_latents_of_two_groups_are_found_and_kept_apart(name):
    model = MODELS[name]
    fit = fitted(model, sites(model, SIZES), draws=100)
    found = own_latents(fit.change(deletion(fit, "S1", "S5")))
    assert [[model.names[j] for j in group.entries] for group in found] == [
        [f"u[{g},{k}]" for k in range(model.effects)] for g in (1, 5)
    ] or model.effects > 1
    entries = np.concatenate([group.entries for group in found])
    assert sorted(model.names[j] for j in entries) == [f"u[{g},{k}]" for g in (1, 5) for k in range(model.effects)]
    for group in found:
        held = {model.names[j][2] for j in group.entries}
        assert {str(g) for g in fit.rows.values["site"][group.at]} == held
        assert len(held) == 1


def test_latents_tied_by_the_prior_stay_together():
    model = GroupedNormal(8, tie=0.6)
    fit = fitted(model, sites(model, SIZES), draws=100)
    together = own_latents(fit.change(deletion(fit, "S0", "S1", "S2")))
    assert [len(group.entries) for group in together] == [2, 1]
    alone = own_latents(fit.change(deletion(fit, "S0")))
    assert [len(group.entries) for group in alone] == [1]


def test_part_of_a_group_and_pooled_models_are_refused():
    model = MODELS["non-centred"]
    fit = fitted(model, sites(model, SIZES), draws=100)
    with pytest.raises(MethodError, match=r"retained rows touch all 2 parameters.*'mean\[0\]', 'u\[1,0\]'"):
        br.repair(fit, fit.group("site", "S1")[:3], method="marginal")
    oracle = NormalNormal()
    rows = oracle.rows({"y": np.arange(5.0)})
    pooled = Fit(oracle, rows, oracle.posterior(rows).draws(100, np.random.default_rng(0)))
    with pytest.raises(MethodError, match=r"latent parameters of their own.*fit.group"):
        br.repair(pooled, [0, 1], method="marginal")


def test_a_group_is_whole_once_its_last_rows_go():
    model = MODELS["non-centred"]
    fit = fitted(model, sites(model, SIZES))
    ids = fit.group("site", "S1")
    partly = br.repair(fit, ids[:2], method="weights", random_seed=0).after
    edited = br.repair(partly, ids[2:], method="marginal", random_seed=0)
    kept = fit.rows.drop(ids)
    matches(edited, *moments(model.posterior(kept))[:2])


# --- against closed forms ---------------------------------------------------------------------------------------------


def exact(fit, *factors):
    """Mean and covariance of the exact posterior after an edit."""
    posterior = fit.model.posterior(*fit.net(*factors))
    return posterior.mean, np.linalg.inv(posterior.precision)


@pytest.mark.parametrize("name", MODELS)
def test_mean_and_covariance_are_those_of_the_closed_form(name):
    fit = fitted(MODELS[name], sites(MODELS[name], SIZES), draws=3000)
    factor = deletion(fit, "S3")
    edited = br.edit(fit, factor, method="marginal", random_seed=0)
    mean, covariance = exact(fit, factor)
    matches(edited, mean, np.sqrt(np.diag(covariance)))
    posterior = edited.after.draws
    whitened = np.linalg.solve(np.linalg.cholesky(covariance), (posterior.theta - mean).T)
    got = whitened * posterior.weights @ whitened.T
    np.testing.assert_allclose(got, np.eye(len(mean)), atol=6 / np.sqrt(posterior.ess))
    assert edited.status.level == "ok"
    assert edited.info.details["error"] < 2 * TOLERANCE


def test_latents_of_the_deleted_group_follow_their_prior():
    """Given the mean, the effect of a group without rows is N(mean, spread²): every draw's own z is standard normal."""
    model = GroupedNormal(8, centred=True, spread=0.7)
    fit = fitted(model, sites(model, SIZES, shift=6.0))
    posterior = br.edit(fit, deletion(fit, "S7"), method="marginal", random_seed=0).after.draws
    z = (posterior.theta[:, 8] - posterior.theta[:, 0]) / model.spread
    assert stats.kstest(z, "norm").pvalue > 0.001
    assert abs(np.corrcoef(z, posterior.theta[:, 0])[0, 1]) < 4 / np.sqrt(len(z))


def test_a_big_group_is_followed_where_plain_weights_fail():
    model = GroupedNormal(12)
    fit = fitted(model, sites(model, [3] * 11 + [200], shift=2.0))
    factor = deletion(fit, "S11")
    plain = br.edit(fit, factor, method="weights", random_seed=0)
    assert plain.info.khat > khat_threshold(4000)
    assert plain.status.level == "unreliable"
    edited = br.edit(fit, factor, method="marginal", random_seed=0)
    assert edited.info.khat < 0.5
    assert edited.status.level == "ok"
    mean, covariance = exact(fit, factor)
    matches(edited, mean, np.sqrt(np.diag(covariance)))


def test_groups_and_single_rows_go_in_one_edit(grouped):
    fit = grouped.fit(closed=False)
    groups = grouped.top(8)
    left = fit.rows.drop(groups.rows.row)
    both = (groups, Factor(left.at(slice(0, 2)), -1.0), Factor(left.at(slice(5, 6)), 0.5))
    matches(run("marginal", grouped, *both), *expected(grouped, *both))
    inserted = grouped.others.at(np.flatnonzero(~np.isin(grouped.others.values["site"], groups.rows.values["site"])))
    with_new = (groups, Factor(inserted.at(slice(0, 2)), 1.0))
    matches(run("marginal", grouped, *with_new), *expected(grouped, *with_new))


def test_one_group_after_another_is_both_at_once(grouped):
    fit = grouped.fit(closed=False)
    both = grouped.top(8)
    ids = both.rows.row
    first = run("marginal", grouped, Factor(both.rows.take(ids[:4]), -1.0), fit=fit)
    second = run("marginal", grouped, Factor(both.rows.take(ids[4:]), -1.0), fit=first.after)
    at_once = run("marginal", grouped, both, fit=fit)
    np.testing.assert_array_equal(second.after.draws.theta, at_once.after.draws.theta)
    matches(second, *expected(grouped, both))


def test_groups_tied_by_the_prior_are_deleted_together():
    model = GroupedNormal(8, tie=0.8)
    fit = fitted(model, sites(model, SIZES))
    for names in (("S0", "S1"), ("S0",)):  # the second: its latent is drawn given its neighbour's
        factor = deletion(fit, *names)
        mean, covariance = exact(fit, factor)
        edited = br.edit(fit, factor, method="marginal", random_seed=0)
        matches(edited, mean, np.sqrt(np.diag(covariance)))
        posterior = edited.after.draws
        centred = posterior.theta - posterior.weights @ posterior.theta
        got = centred[:, 1] * posterior.weights @ centred[:, 2]
        np.testing.assert_allclose(got, covariance[1, 2], atol=5 / np.sqrt(posterior.ess))


@pytest.mark.parametrize("check", ["identity", "order and ids", "purity", "cloudpickle", "honesty"])
def test_conformance(grouped, check):
    assert EDITOR_CASES["marginal"].whole_groups
    CONFORMANCE[check]("marginal", grouped)


def test_flipping_a_sign_is_noticed(grouped):
    delete = grouped.top(8)
    with pytest.raises(MethodError):  # inserted groups have retained rows
        run("marginal", grouped, delete.inverse)
    edited = run("marginal", grouped, delete)
    draws = edited.after.draws
    flipped = replace(edited.after, posterior=Draws(draws.theta, -draws.log_weights, draws.chain))
    with pytest.raises(AssertionError):
        matches(replace(edited, after=flipped), *expected(grouped, delete))


# --- against refits ---------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def visits():
    """Counts in eight clinics, the last of them busy, with clinic effects of unknown spread."""
    import pymc as pm

    rng = np.random.default_rng(4)
    table = pd.DataFrame({"clinic": np.repeat(list("ABCDEFGH"), [9] * 7 + [40])}, index=np.arange(100, 203))
    code, names = pd.factorize(table["clinic"])
    table["visits"] = rng.poisson(np.exp(1.0 + np.append(rng.normal(0, 0.5, 7), 0.8)[code]))
    with pm.Model(coords={"clinic": names}) as model:
        at = pm.Data("at", code)
        level, spread = pm.Normal("level", 1.0, 1.0), pm.HalfNormal("spread", 1.0)
        effect = pm.Normal("effect", level, spread, dims="clinic")
        pm.Poisson("visits", pm.math.exp(effect[at]), observed=table["visits"].to_numpy())
    sampling = {"draws": 1000, "tune": 1000, "chains": 4, "cores": 1, "progressbar": False, "target_accept": 0.95}
    return br.from_pymc(model, data=table, random_seed=3, **sampling)


def test_counts_agree_with_long_refits(visits):
    factor = Factor(visits.rows.take(visits.group("clinic", "H")), -1.0)
    edited = br.edit(visits, factor, method="marginal", random_seed=0)
    rows, weight = visits.net(factor)
    refits = [visits.model.train(rows, weights=weight, rng=np.random.default_rng(k)) for k in range(3)]
    theta = np.concatenate([refit.theta for refit in refits])
    mean, sd = theta.mean(axis=0), theta.std(axis=0)
    error = np.sqrt(1 / edited.info.ess + 1 / sum(refit.sampling.ess_min for refit in refits))
    got_mean, got_sd, _ = moments(edited.after.posterior)
    np.testing.assert_array_less(np.abs(got_mean - mean) / sd, 4.5 * error)
    np.testing.assert_array_less(np.abs(np.log(got_sd / sd)), 6 * error)
    assert edited.info.khat < 0.7
    assert edited.status.level == "ok"
    nothing = np.abs(visits.draws.theta.mean(axis=0) - mean) / sd
    assert nothing.max() > 10 * error  # the edit had something to do


# --- integrals --------------------------------------------------------------------------------------------------------

RNG = np.random.default_rng(3)
CENTRE, SPREAD = RNG.normal(size=2000), np.exp(RNG.normal(size=2000))
DENSITIES = {
    "normal": stats.norm(CENTRE, SPREAD),
    "heavy tails": stats.t(3, CENTRE, SPREAD),
    "a kink": stats.laplace(CENTRE, SPREAD),
    "skewed": stats.gumbel_l(CENTRE, SPREAD),
}


@pytest.mark.parametrize("name", DENSITIES)
def test_one_dimension(name):
    density = DENSITIES[name]
    log_density = lambda u: density.logpdf(u[:, 0]) + 7.0  # noqa: E731
    rng = np.random.default_rng(0)
    start = (CENTRE + 3 * SPREAD * rng.normal(size=2000))[:, None]
    integral, located, nodes = integrate_to_tolerance(log_density, locate(log_density, start, np.ones(1)), rng, level=1)
    np.testing.assert_allclose(integral.log_value, 7.0, atol=TOLERANCE)
    assert worst_error(integral) < TOLERANCE
    u, _ = drawn(log_density, located, nodes, integral, rng)
    assert stats.kstest(density.cdf(u[:, 0]), "uniform").pvalue > 0.001


@pytest.mark.parametrize("dimension", [2, 3, 6])
def test_more_dimensions(dimension):
    rng = np.random.default_rng(dimension)
    factor = rng.normal(size=(2000, dimension, dimension)) + 2 * np.eye(dimension)
    inverse, log_det = np.linalg.inv(factor), np.linalg.slogdet(factor)[1]
    log_density = lambda u: stats.norm.logpdf(np.einsum("sij,sj->si", inverse, u)).sum(axis=1) - log_det  # noqa: E731
    start, scale = rng.normal(size=(2000, dimension)), np.full(dimension, 2.0)
    integral, located, nodes = integrate_to_tolerance(log_density, locate(log_density, start, scale), rng)
    np.testing.assert_allclose(integral.log_value, 0.0, atol=TOLERANCE)
    z = np.einsum("sij,sj->si", inverse, drawn(log_density, located, nodes, integral, rng)[0])
    assert stats.kstest(z.ravel(), "norm").pvalue > 0.001


def test_an_integral_that_cannot_be_trusted_is_refused():
    """A jump in the prior of the latents: the trapezoidal rule cannot reach the tolerance, and says so."""
    model = GroupedNormal(8)

    class Jumping(GroupedNormal):
        def log_prior(self, theta):
            return super().log_prior(theta) + 8.0 * (np.sin(400 * theta[:, 4]) > 0.9)

    jumping = Jumping(8)
    fit = fitted(model, sites(model, SIZES), draws=400)
    fit = Fit(jumping, fit.rows, fit.posterior, table=fit.table)
    with pytest.raises(MethodError, match=r"integrals over u\[3,0\] accurate"):
        Marginal()(fit.change(deletion(fit, "S3")), np.random.default_rng(0))
