"""Cause scores against closed forms: linear regression with known noise, where every expectation is known."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

import bayesrepair as br
from bayesrepair.causes import find_causes
from bayesrepair.oracles import LinearKnownNoise
from bayesrepair.status import DataError, MethodError

D, N, F, S = 3, 40, 6, 20_000


@pytest.fixture(scope="module")
def problem():
    rng = np.random.default_rng(0)
    oracle = LinearKnownNoise(n_features=D, prior_sd=2.0, noise_sd=1.0)
    x, beta = rng.normal(size=(N + F, D)), rng.normal(size=D)
    y = x @ beta + rng.normal(size=N + F)
    y[:5] -= 4.0  # planted errors
    names = [f"row-{i}" for i in range(N)]
    table = pd.DataFrame(
        {"site": np.where(np.arange(N) < 5, "bad", "good"), "score": 1.0}, index=pd.Index(names, name="row")
    )
    rows = br.Rows({"x": x[:N], "y": y[:N]}, np.array(names))
    failures = br.Rows({"x": x[N:], "y": y[N:] + 1.0}, np.arange(F))
    exact = oracle.posterior(rows)
    draws = exact.draws(S, np.random.default_rng(1))
    fit = br.Fit(oracle, rows, draws, table=table)
    return oracle, rows, failures, exact, fit


def mean_log_lik(posterior, rows):
    covariance = np.linalg.inv(posterior.precision)
    x, y = rows.values["x"], rows.values["y"]
    spread = np.einsum("np,pq,nq->n", x, covariance, x)
    return -0.5 * np.log(2 * np.pi) - 0.5 * (np.square(y - x @ posterior.mean) + spread)


def covariance_score(posterior, rows, failures):
    covariance = np.linalg.inv(posterior.precision)
    c = rows.values["x"] @ covariance @ failures.values["x"].T
    residual = rows.values["y"] - rows.values["x"] @ posterior.mean
    missed = failures.values["y"] - failures.values["x"] @ posterior.mean
    return -(0.5 * c**2 + np.outer(residual, missed) * c).sum(axis=1)


def insertion_score(problem):
    oracle, rows, failures, exact, _ = problem
    return mean_log_lik(exact, rows) - mean_log_lik(oracle.update(exact, failures, np.ones(F)), rows)


def scores(causes, rows):
    return causes.frame()["score"].reindex(rows.index).to_numpy(), causes.frame()["mcse"].reindex(rows.index).to_numpy()


def assert_within(estimate, mcse, truth, limit=4.5):
    np.testing.assert_array_less(np.abs(estimate - truth), limit * mcse + 1e-12)


def test_covariance_score_equals_its_closed_form(problem):
    _, rows, failures, exact, fit = problem
    estimate, mcse = scores(find_causes(fit, failures, progressbar=False), rows)
    truth = covariance_score(exact, rows, failures)
    assert_within(estimate, mcse, truth)
    assert np.corrcoef(estimate, truth)[0, 1] > 0.99
    with pytest.raises(AssertionError):  # the canary: the other sign fails
        assert_within(-estimate, mcse, truth)


@pytest.mark.parametrize("method", ["weights", "retrain"])
def test_insertion_score_equals_its_closed_form(problem, method):
    _, rows, failures, _, fit = problem
    causes = find_causes(fit, failures, method=method, progressbar=False, random_seed=3)
    estimate, mcse = scores(causes, rows)
    truth = insertion_score(problem)
    assert_within(estimate, mcse, truth)
    with pytest.raises(AssertionError):
        assert_within(-estimate, mcse, truth)


def test_single_failures_add_up_to_the_sum_of_closed_forms(problem):
    oracle, rows, failures, exact, fit = problem
    truth = sum(
        mean_log_lik(exact, rows) - mean_log_lik(oracle.update(exact, failures.at(np.array([f])), np.ones(1)), rows)
        for f in range(F)
    )
    estimate, mcse = scores(find_causes(fit, failures, method="single", progressbar=False), rows)
    assert_within(estimate, mcse, truth)


@pytest.mark.parametrize("method", ["covariance", "single", "weights"])
def test_monte_carlo_error_is_the_spread_over_independent_draws(problem, method):
    _, rows, failures, exact, fit = problem
    estimates, errors = [], []
    for seed in range(30):
        draws = exact.draws(2000, np.random.default_rng(100 + seed))
        one = br.Fit(fit.model, rows, draws)
        estimate, mcse = scores(find_causes(one, failures, method=method, progressbar=False), rows)
        estimates.append(estimate)
        errors.append(mcse)
    ratio = np.mean(errors, axis=0) / np.std(estimates, axis=0, ddof=1)
    assert 0.8 < np.median(ratio) < 1.25


@pytest.mark.parametrize("method", ["covariance", "single", "weights"])
def test_result_does_not_depend_on_the_block_size(problem, method):
    _, _, failures, _, fit = problem
    whole = find_causes(fit, failures, method=method, block=N, progressbar=False).frame()
    parts = find_causes(fit, failures, method=method, block=7, progressbar=False).frame()
    pd.testing.assert_frame_equal(whole, parts, rtol=1e-5, atol=1e-9)


def test_without_surprise_the_rest_is_the_same(problem, tmp_path):
    _, _, failures, _, fit = problem
    whole = find_causes(fit, failures, progressbar=False, store=tmp_path / "whole")
    without = find_causes(fit, failures, surprise=False, progressbar=False)
    assert without.frame()["surprise"].isna().all()
    pd.testing.assert_frame_equal(without.frame().drop(columns="surprise"), whole.frame().drop(columns="surprise"))
    assert "nan" not in str(without.regime)
    with pytest.raises(DataError, match="surprise=False"):
        without.search(2)
    with pytest.raises(DataError, match="whether surprise is computed"):
        find_causes(fit, failures, surprise=False, progressbar=False, store=tmp_path / "whole")


def test_frame_keeps_its_contract(problem):
    _, rows, failures, _, fit = problem
    frame = find_causes(fit, failures, top=5, progressbar=False).frame()
    pinned = ["score", "mcse", "prob_top", "rank_low", "rank_high", "given", "surprise"]
    assert list(frame.columns) == [*pinned, "site", "score (table)"]
    assert frame.index.name == "row"
    assert (np.diff(frame["score"]) <= 0).all()
    assert frame["prob_top"].between(0, 1).all()
    assert abs(frame["prob_top"].sum() - 5) < 1e-9
    assert (frame["rank_low"] <= frame["rank_high"]).all()
    assert frame["surprise"].idxmax() in set(rows.row[:5])


def test_rank_intervals_cover_the_rank_under_the_exact_score(problem):
    _, rows, failures, exact, fit = problem
    truth = pd.Series(covariance_score(exact, rows, failures), index=rows.index).rank(ascending=False)
    frame = find_causes(fit, failures, progressbar=False).frame()
    inside = truth.reindex(frame.index).between(frame["rank_low"], frame["rank_high"])
    assert inside.mean() > 0.85


def test_joint_score_equals_its_closed_form(problem):
    oracle, rows, failures, exact, fit = problem
    chosen = rows.at(np.arange(3))
    without = oracle.update(exact, chosen, -np.ones(3))
    truth = log_predictive(without, failures) - log_predictive(exact, failures)
    joint = find_causes(fit, failures, progressbar=False).joint(chosen.row)
    assert joint.reliable
    assert abs(joint.score - truth) < 5 * joint.mcse < abs(truth)


@pytest.fixture(scope="module")
def heavy():
    """Six copies of one bad row at a far point: deleting them moves the fit by many posterior sds."""
    rng = np.random.default_rng(3)
    oracle = LinearKnownNoise(n_features=D, prior_sd=2.0, noise_sd=1.0)
    x, beta = rng.normal(size=(60, D)), rng.normal(size=D)
    y = x @ beta + rng.normal(size=60)
    x[:6], y[:6] = [3.0, 0.0, 0.0], 3 * beta[0] - 9
    x_failed = rng.normal(np.array([2.0, 0.0, 0.0]), size=(10, D))
    rows = br.Rows({"x": x, "y": y}, np.arange(60))
    failures = br.Rows({"x": x_failed, "y": x_failed @ beta + rng.normal(size=10)}, np.arange(10))
    exact = oracle.posterior(rows)
    return oracle, rows, failures, exact, br.Fit(oracle, rows, exact.draws(2000, rng))


@pytest.mark.parametrize("size", [1, 6, 20])
def test_joint_score_of_a_heavy_set_is_exact_by_transport_and_never_reliable_by_weights(heavy, size):
    oracle, rows, failures, exact, fit = heavy
    chosen = rows.at(np.arange(size))
    truth = log_predictive(oracle.update(exact, chosen, -np.ones(size)), failures) - log_predictive(exact, failures)
    causes = find_causes(fit, failures, progressbar=False)
    plain, moved = causes.joint(chosen.row, method="weights"), causes.joint(chosen.row, method="transport")
    assert not plain.reliable
    assert abs(plain.score - truth) > 0.3 * abs(truth)
    assert moved.reliable
    assert moved.method == "transport"
    assert abs(moved.score - truth) < 5 * moved.mcse < 0.05 * abs(truth)
    assert causes.joint(chosen.row) == moved  # where weights are bad, "auto" moves the draws


def test_joint_score_by_transport_ignores_constants_of_a_kept_log_density(heavy):
    oracle, rows, failures, _, fit = heavy
    kept = oracle.log_prior(fit.draws.theta) + oracle.log_lik(fit.draws.theta, rows).sum(axis=1) + 100.0
    shifted = replace(fit, posterior=replace(fit.draws, log_density=kept))
    plain, other = (
        find_causes(f, failures, progressbar=False).joint([0, 1], method="transport") for f in (fit, shifted)
    )
    assert plain == other


def test_joint_score_refuses_unknown_methods_and_models_without_gradient(heavy):
    causes = find_causes(heavy[-1], heavy[2], progressbar=False)
    with pytest.raises(MethodError, match="transport"):
        causes.joint([0], method="magic")
    blind = Blind(n_features=D, prior_sd=2.0, noise_sd=1.0)
    causes = find_causes(replace(heavy[-1], model=blind), heavy[2], progressbar=False)
    assert causes.joint(range(6)).method == "weights"
    with pytest.raises(MethodError, match="Differentiable"):
        causes.joint([0], method="transport")


class Blind(LinearKnownNoise):
    """A model without gradients."""

    log_target_and_grad = None


def log_predictive(posterior, rows):
    from scipy.stats import multivariate_normal

    x = rows.values["x"]
    covariance = x @ np.linalg.inv(posterior.precision) @ x.T + np.eye(len(rows))
    return multivariate_normal(x @ posterior.mean, covariance).logpdf(rows.values["y"])


def test_group_sums_have_their_own_errors(problem):
    _, rows, failures, exact, fit = problem
    groups = find_causes(fit, failures, progressbar=False).by("site").frame()
    truth = pd.Series(covariance_score(exact, rows, failures), index=rows.index).groupby(fit.table["site"]).sum()
    for name in groups.index:
        assert abs(groups.loc[name, "sum"] - truth[name]) < 4.5 * groups.loc[name, "mcse"]
    assert groups.index[0] == "bad"
    assert groups["rows"].to_dict() == {"bad": 5, "good": 35}


def test_deleted_rows_are_no_longer_causes(problem):
    _, rows, failures, _, fit = problem
    gone = rows.row[:3]
    repaired = br.repair(fit, gone, method="weights", random_seed=0)
    causes = find_causes(repaired.after, failures, progressbar=False)
    assert set(causes.frame().index).isdisjoint(gone)
    assert len(causes) == N - 3


def test_bad_input_is_named(problem):
    _, _, failures, _, fit = problem
    with pytest.raises(DataError, match="at least one failure"):
        find_causes(fit, failures.at(np.array([], dtype=int)), progressbar=False)
    with pytest.raises(MethodError, match=r"'covariance'.*'weights'"):
        find_causes(fit, failures, method="magic", progressbar=False)
    with pytest.raises(DataError, match="'annotator'"):
        find_causes(fit, failures, progressbar=False).by("annotator")


def test_against_held_out_takes_the_handled_rows_too(problem):
    _, _, failures, _, fit = problem
    judged = pd.DataFrame({"failed": np.arange(F) < 2}, index=failures.index)
    found = br.Failures(failures, judged, "two of them")
    only = find_causes(fit, found, progressbar=False)
    everything = find_causes(fit, found, against="held_out", progressbar=False)
    same = find_causes(fit, failures, progressbar=False)
    assert len(only.failures) == 2
    assert everything.frame()["score"].equals(same.frame()["score"])
    assert "6 held-out rows, failures and handled ones" in repr(everything)
    with pytest.raises(MethodError, match="against='failures' or 'held_out'"):
        find_causes(fit, found, against="all")
