"""Laplace fits of PyMC, Bambi and table models: curvature, refits on the reduced data, refusals, and the workflow."""

from dataclasses import replace

import bambi as bmb
import models
import numpy as np
import pandas as pd
import pymc as pm
import pytensor.tensor as pt
import pytest
from pytensor.graph.basic import Apply
from pytensor.graph.op import Op

import bayesrepair as br
from bayesrepair.bridges.pymc.extraction import row_graph
from bayesrepair.bridges.pymc.laplace import AUTOMATIC, DIFFERENCES, CurvedPyMCModel
from bayesrepair.fit import Factor
from bayesrepair.posterior import Draws, Gaussian
from bayesrepair.status import MethodError

CURVED = ("hierarchical, non-centred", "Student-t", "softmax", "mixture of regressions", "pymc.dims")


@pytest.mark.parametrize("case", [pytest.param(c, id=c.name) for c in models.WORKS if c.name in CURVED])
def test_curvature_against_differences_of_gradients(case):
    model = case.build()
    bridge = CurvedPyMCModel(model, row_graph(model))
    rng = np.random.default_rng(0)
    theta = bridge.initial + 0.3 * rng.standard_normal(bridge.n_params)
    weight = rng.choice([0.0, 0.4, 1.0, 2.0], len(bridge.training))
    ends = theta + 1e-5 * np.concatenate([np.eye(len(theta)), -np.eye(len(theta))])
    gradient = bridge.log_target_and_grad(ends, bridge.training, weight)[1]
    by_differences = (gradient[len(theta) :] - gradient[: len(theta)]) / 2e-5
    curvature = bridge.curvature(theta, bridge.training, weight)
    np.testing.assert_allclose(curvature, by_differences, rtol=1e-5, atol=1e-5)
    assert bridge.second_derivatives == AUTOMATIC


class OnceDifferentiable(Op):
    """``x²``, whose gradient 2x has none of its own."""

    def make_node(self, x):
        return Apply(self, [pt.as_tensor(x)], [pt.as_tensor(x).type()])

    def perform(self, node, inputs, outputs):
        outputs[0][0] = np.asarray(np.square(inputs[0]))

    def pullback(self, inputs, outputs, cotangents):
        return [cotangents[0] * Twice()(inputs[0])]


class Twice(Op):
    """``2x``, not differentiable as far as PyTensor knows."""

    def make_node(self, x):
        return Apply(self, [pt.as_tensor(x)], [pt.as_tensor(x).type()])

    def perform(self, node, inputs, outputs):
        outputs[0][0] = np.asarray(2 * inputs[0])


def test_a_model_that_cannot_be_differentiated_twice_says_so():
    with pm.Model() as model:
        slope = pm.Normal("slope", 0, 1)
        pm.Potential("own prior", -OnceDifferentiable()(slope))
        pm.Normal("y", slope * models.X[:, 0], 1.0, observed=models.REAL)
    fit = br.from_pymc(model, method="laplace")
    assert fit.posterior.search.second_derivatives == DIFFERENCES
    precision = 1 + 2 + np.sum(models.X[:, 0] ** 2)
    np.testing.assert_allclose(fit.posterior.precision, [[precision]], rtol=1e-8)
    np.testing.assert_allclose(fit.posterior.mean, [models.X[:, 0] @ models.REAL / precision], rtol=1e-8)


def cancer_model(x, y):
    with pm.Model() as model:
        level = pm.Normal("level", 0, 1)
        slope = pm.Normal("slope", 0, 1, shape=x.shape[1])
        pm.Bernoulli("y", logit_p=level + x @ slope, observed=y)
    return model


@pytest.fixture(scope="module")
def flipped():
    """Breast cancer, 320 rows and 31 parameters, a tenth of the outcomes wrong."""
    from sklearn.datasets import load_breast_cancer

    data, rng = load_breast_cancer(), np.random.default_rng(0)
    at = rng.permutation(len(data.target))[:320]
    x, y = data.data[at], data.target[at].copy()
    wrong = rng.choice(320, 32, replace=False)
    y[wrong] = 1 - y[wrong]
    return (x - x.mean(0)) / x.std(0), y


@pytest.fixture(scope="module")
def laplace_fit(flipped):
    return br.from_pymc(cancer_model(*flipped), method="laplace")


def worst(fit, count):
    return np.argsort(fit.model.log_lik(fit.posterior.mean[None], fit.rows)[0], kind="stable")[:count]


def same(left, right, tolerance):
    np.testing.assert_allclose(left.mean, right.mean, rtol=tolerance, atol=tolerance)
    np.testing.assert_allclose(left.precision, right.precision, rtol=tolerance, atol=tolerance)


def test_the_mode_is_stationary(laplace_fit):
    gaussian, rows = laplace_fit.posterior, laplace_fit.rows
    gradient = laplace_fit.model.log_target_and_grad(gaussian.mean[None], rows, np.ones(len(rows)))[1]
    assert isinstance(gaussian, Gaussian)
    np.testing.assert_allclose(gradient, 0, atol=1e-8)


def test_deleting_the_worst_rows_is_a_laplace_fit_of_the_others(laplace_fit, flipped):
    """A fit of another PyMC model, built without those rows."""
    gone = worst(laplace_fit, 20)
    edited = br.edit(laplace_fit, Factor(laplace_fit.rows.at(gone), -1.0), method="newton", random_seed=0)
    x, y = (np.delete(array, gone, axis=0) for array in flipped)
    afresh = br.from_pymc(cancer_model(x, y), method="laplace").posterior
    same(edited.after.posterior, afresh, 1e-8)
    retrained = br.edit(laplace_fit, Factor(laplace_fit.rows.at(gone), -1.0), method="retrain", random_seed=0)
    same(retrained.after.posterior, afresh, 1e-8)
    assert retrained.status.level == edited.status.level
    assert np.abs(laplace_fit.posterior.mean - afresh.mean).max() > 0.1  # the edit does something


def test_relabelling_is_a_laplace_fit_of_the_new_labels(laplace_fit, flipped):
    at, (x, y) = worst(laplace_fit, 10), flipped
    changed = y.copy()
    changed[at] = 1 - y[at]
    edited = br.repair(
        laplace_fit,
        laplace_fit.rows.row[at],
        relabel={row: int(1 - y[row]) for row in laplace_fit.rows.row[at]},
        method="newton",
    )
    same(edited.after.posterior, br.from_pymc(cancer_model(x, changed), method="laplace").posterior, 1e-8)


def test_verification_compares_laplace_with_laplace(laplace_fit):
    edited = br.repair(laplace_fit, laplace_fit.rows.row[worst(laplace_fit, 20)], method="newton", random_seed=0)
    checked = br.verify(edited, random_seed=0)
    assert checked.passed
    assert checked.receipt.verdict == "verified"
    moments = checked.frame().loc[[name for name in checked.frame().index if "mean" in name]]
    np.testing.assert_allclose(moments[["distance", "refit_noise"]], 0, atol=1e-8)
    assert "a Laplace refit" in checked.verdict
    untouched = laplace_fit.edited(laplace_fit.posterior, edited.factors, drawn=False)
    assert not br.verify(replace(edited, after=untouched), random_seed=0).passed


def centred(groups=4, each=3):
    """Groups and few rows of each; the spread between groups is hardly known."""
    rng = np.random.default_rng(0)
    group = np.repeat(np.arange(groups), each)
    y = rng.normal(size=groups)[group] + rng.normal(size=groups * each)
    return group, y


def test_a_hierarchical_laplace_fit_is_not_ok():
    group, y = centred()
    with pm.Model() as model:
        spread = pm.HalfNormal("spread", 1.0)
        raw = pm.Normal("raw", 0, 1, shape=4)
        pm.Normal("y", spread * raw[group], 1.0, observed=y)
    fit = br.from_pymc(model, method="laplace")
    edited = br.edit(fit, Factor(fit.rows.take([0]), -1.0), method="newton", random_seed=0)
    assert edited.status.level == "checked"
    assert "a Gaussian is poor here" in edited.status.message


def test_a_density_without_a_maximum_is_refused():
    group, y = centred()
    with pm.Model() as model:
        spread = pm.HalfNormal("spread", 1.0)
        level = pm.Normal("level", 0, spread, shape=4)
        pm.Normal("y", 0 * level[group], 1.0, observed=y)
    with pytest.raises(MethodError, match="non-centred"):
        br.from_pymc(model, method="laplace")


def test_refusals():
    model = models.student()
    with pytest.raises(MethodError, match="'laplace'"):
        br.from_pymc(model, method="advi")
    with pytest.raises(MethodError, match="draws"):
        br.from_pymc(model, method="laplace", draws=100)
    with pytest.raises(MethodError, match="continuous"):
        br.from_pymc(models.discrete_free(), method="laplace")


def test_draws_handed_in_are_another_place_to_start_from(poisson_fit, counts):
    from bayesrepair.datatree import posterior_tree

    fit = br.from_pymc(poisson_fit.model.pymc, posterior_tree(poisson_fit), data=counts, method="laplace")
    np.testing.assert_array_equal(fit.rows.row, counts.index)
    assert fit.posterior.search.converged
    sampled = poisson_fit.model.train(poisson_fit.rows, start=fit.posterior, rng=np.random.default_rng(0))
    same(sampled, fit.posterior, 1e-8)


def test_bambi_passes_the_method_on():
    rng = np.random.default_rng(0)
    table = pd.DataFrame({"x": rng.normal(size=40)})
    table["y"] = 1 + 2 * table["x"] + rng.normal(size=40)
    fit = br.from_bambi(bmb.Model("y ~ x", table), method="laplace")
    slope = list(fit.model.names).index("x")
    design = np.column_stack([np.ones(40), table["x"]])
    least_squares = np.linalg.lstsq(design, table["y"], rcond=None)[0]
    np.testing.assert_allclose(fit.posterior.mean[slope], least_squares[1], rtol=0.02)  # the prior is weak


def test_the_workflow_on_a_laplace_fit(cancer, tmp_path):
    """Failures, causes by several scores, repair, predictions, verification and report."""
    fit = br.from_table(cancer.iloc[:150], target="diagnosis", method="laplace")
    failures = br.find_failures(fit, cancer.iloc[150:])
    causes = br.find_causes(fit, failures, random_seed=0)
    by_newton = br.find_causes(fit, failures, method="newton", random_seed=0)
    rank = (
        causes.frame()["score"]
        .reindex(fit.rows.index)
        .rank()
        .corr(by_newton.frame()["score"].reindex(fit.rows.index).rank())
    )
    assert rank > 0.7
    assert isinstance(by_newton.after, Draws)
    assert causes.joint(causes.top(2).frame()).size == 2
    repaired = br.repair(fit, causes.top(5), random_seed=0)
    assert repaired.info.rung in ("newton", "retrain")
    predicted = repaired.predict(cancer.iloc[150:])
    assert len(predicted) == 50
    assert dict(repaired.datatree["posterior"].sizes)["draw"] == 1000
    repaired = br.repair(fit, causes.top(5), method="newton", verify=True, random_seed=0)
    assert repaired.verification.passed
    path = br.report(repaired, tmp_path / "report.html")
    assert "Laplace" in path.read_text(encoding="utf-8")
