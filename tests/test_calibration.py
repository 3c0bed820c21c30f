"""Simulation-based calibration: the ranks, their tests, the models it runs on, and that it catches wrong editors."""

import numpy as np
import pandas as pd
import pytest
from scipy.stats import halfnorm, invgamma, norm
from threadpoolctl import threadpool_limits

import bayesrepair as br
from benchmarks import calibration, overconfidence, simulated, uniformity
from benchmarks.simulated import LOCATION_SCALE, MODELS

RUNS = 400


@pytest.fixture(scope="module")
def hierarchy():
    rng = np.random.default_rng(0)
    of = MODELS["hierarchical"]
    return of.model, of.data(of.theta(rng), 30, rng), rng.random(30) * 2


def ranks_of_conjugate_edits(answer):
    """Ranks of μ where ten of forty rows came from another μ and are deleted by an exact editor."""
    of, rng = MODELS["normal"], np.random.default_rng(1)
    ranks = []
    for _ in range(RUNS):
        theta = of.theta(rng)
        rows = of.data(theta, 30, rng).stacked(of.data(of.theta(rng), 10, rng))
        fit = br.Fit(of.model, rows, of.model.posterior(rows))
        factor = br.Factor(rows.at(np.arange(30, 40)), -1.0)
        draws = answer(fit, factor).draws(uniformity.DRAWS, rng).theta
        ranks.append(uniformity.rank(theta[0], draws)[0])
    return np.array(ranks)


def edited(fit, factor):
    return br.edit(fit, factor, method="conjugate").after.posterior


def nothing(fit, factor):
    return fit.posterior


def flipped(fit, factor):
    return fit.model.update(fit.posterior, factor.rows, -factor.powers)


def test_exact_edits_have_uniform_ranks():
    ranks = ranks_of_conjugate_edits(edited)
    values = uniformity.pit(ranks, np.random.default_rng(0))
    np.testing.assert_array_less(0.001, [uniformity.chi_square(ranks), uniformity.smooth(values)])
    np.testing.assert_equal(uniformity.outside(values), False)


@pytest.mark.parametrize("wrong", [nothing, flipped])
def test_wrong_edits_have_not(wrong):
    ranks = ranks_of_conjugate_edits(wrong)
    values = uniformity.pit(ranks, np.random.default_rng(0))
    np.testing.assert_array_less([uniformity.chi_square(ranks), uniformity.smooth(values)], 1e-6)
    np.testing.assert_equal(uniformity.outside(values), True)


def test_the_tests_and_the_band_hold_their_level():
    rng = np.random.default_rng(2)
    ranks = rng.integers(uniformity.DRAWS + 1, size=(RUNS, 300))
    values = uniformity.pit(ranks, rng)
    np.testing.assert_allclose(np.mean([uniformity.chi_square(r) < 0.05 for r in ranks]), 0.05, atol=0.04)
    np.testing.assert_allclose(np.mean([uniformity.smooth(v) < 0.05 for v in values]), 0.05, atol=0.04)
    np.testing.assert_allclose(np.mean([uniformity.outside(v, 0.9) for v in values]), 0.1, atol=0.05)


def test_hierarchy_has_the_density_it_states(hierarchy):
    model, rows, weight = hierarchy
    theta = model.prior_draws(20, np.random.default_rng(3))
    level, ratio, z, sd = theta[:, 0], np.exp(theta[:, 1]), theta[:, 2:-1], np.exp(theta[:, -1] / 2)
    prior = norm.logpdf(level, 0, sd) + halfnorm.logpdf(ratio) + np.log(ratio) + norm.logpdf(z).sum(1)
    prior += invgamma.logpdf(sd**2, model.shape, scale=model.rate) + 2 * np.log(sd)
    np.testing.assert_allclose(model.log_prior(theta), prior)
    mean = level[:, None] + (sd * ratio)[:, None] * z[:, rows.values["x"][:, 0].astype(int)]
    log_lik = norm.logpdf(rows.values["y"], mean, sd[:, None])
    np.testing.assert_allclose(model.log_lik(theta, rows), log_lik)
    np.testing.assert_allclose(model.log_target_and_grad(theta, rows, weight)[0], prior + log_lik @ weight)


def test_hierarchy_gradient_by_finite_differences(hierarchy):
    model, rows, weight = hierarchy
    theta = model.prior_draws(1, np.random.default_rng(4))
    steps = 1e-6 * np.eye(model.n_params)
    value = [model.log_target_and_grad(theta + sign * steps, rows, weight)[0] for sign in (1, -1)]
    gradient = model.log_target_and_grad(theta, rows, weight)[1][0]
    np.testing.assert_allclose((value[0] - value[1]) / 2e-6, gradient, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("right", [True, False])
def test_hierarchy_draws_are_exact(hierarchy, right):
    """Stein's identities E[g] = 0 and E[θ gᵀ] = −I hold at the weights that were asked for, and at no others."""
    model, rows, weight = hierarchy
    theta = simulated.MODELS["hierarchical"].exact(rows, 40_000, np.random.default_rng(5), weight).theta
    gradient = model.log_target_and_grad(theta, rows, weight if right else np.ones(30))[1]
    centred = theta - theta.mean(0)
    products = (centred[:, :, None] * gradient[:, None, :]).reshape(len(theta), -1)
    figures = np.column_stack([gradient, products + np.eye(model.n_params).ravel()])
    z = np.abs(figures.mean(0)) / figures.std(0) * np.sqrt(len(theta))
    np.testing.assert_equal(z.max() < 4.5, right)


def test_a_simulation_ranks_every_quantity_of_every_edit():
    lines = pd.DataFrame([line for k in (0, 1, 0) for line in calibration.simulate("linear", k)])
    ranks = np.array(lines["ranks"].tolist())
    np.testing.assert_array_equal(ranks[:17], ranks[34:])
    np.testing.assert_equal(ranks.shape, (51, len(calibration.quantity_names("linear"))))
    np.testing.assert_array_less(-1, ranks)
    np.testing.assert_array_less(ranks, uniformity.DRAWS + 1)
    tests = calibration.tested(lines.assign(model="linear"))
    np.testing.assert_equal(set(tests["edit"]), set(calibration.EDITS))


def test_a_stopped_run_resumes(tmp_path, monkeypatch):
    monkeypatch.setattr(simulated, "CACHE", tmp_path / "editing")
    calls = []

    def simulate(name, k):
        calls.append(k)
        return [{"value": 10 * k}]

    simulated.simulations("trial", ["a model"], simulate, runs=3, jobs=1)
    (file,) = (tmp_path / "trial").iterdir()
    file.write_text(file.read_text()[:-4])  # killed while it wrote the last line
    frame = simulated.simulations("trial", ["a model"], simulate, runs=4, jobs=1)
    np.testing.assert_equal(calls, [0, 1, 2, 2, 3])
    np.testing.assert_array_equal(frame["value"], [0, 10, 20, 30])


def test_a_rehearsal_finds_the_shift_of_a_truncated_normal():
    rng = np.random.default_rng(6)
    rows = LOCATION_SCALE.data(np.array([[1.0, 0.4]]), 919, rng)
    draws = LOCATION_SCALE.exact(rows, 1000, rng).theta
    shift = np.mean([overconfidence.rehearsed_shift(LOCATION_SCALE, rows, draws, rng) for _ in range(10)], axis=0)
    share = overconfidence.DELETED / 919
    q = norm.isf(share / 2)
    np.testing.assert_allclose(shift[1], np.log(1 - 2 * q * norm.pdf(q) / (1 - share)), rtol=0.05)  # −.13: 2.8 sds
    np.testing.assert_allclose(shift[0], 0, atol=0.01)


def test_the_worst_rows_are_those_far_away():
    rows = LOCATION_SCALE.model.rows({"x": np.ones((100, 1)), "y": np.append(np.linspace(-1, 1, 98), [9.0, -9.0])})
    theta = np.array([[0.0, 0.0]])
    np.testing.assert_array_equal(overconfidence.worst(LOCATION_SCALE, rows, theta, count=2), [98, 99])


def test_coverage_counts_central_intervals():
    lines = pd.DataFrame({"below": [[0.5], [0.3], [0.06], [0.96]], "shift": [[1.0], [-1.0], [2.0], [0.0]]})
    figures = overconfidence.covered(lines.assign(model="normal", case="before", status=None)).iloc[0]
    found = figures[["cover_50", "cover_90", "shift", "shift_size"]].astype(float)
    np.testing.assert_allclose(found, [0.5, 0.75, 0.5, 1.0])


@pytest.mark.slow
def test_auto_is_calibrated_where_foreign_rows_are_deleted():
    with threadpool_limits(1):
        runs = [(k, line) for k in range(150) for line in calibration.simulate("normal", k)]
    lines = [{"model": "normal", "run": k, **line} for k, line in runs]
    tests = calibration.tested(pd.DataFrame(lines)).set_index(["edit", "editor"])["p"]
    np.testing.assert_array_less(calibration.LEVEL, tests.xs("auto", level="editor"))
    np.testing.assert_array_less(tests["delete foreign"][["nothing", "sign flipped"]], calibration.LEVEL)
