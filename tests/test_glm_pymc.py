"""Recognised PyMC and Bambi models: the kernels against the general graph, and what falls back to it."""

import sys
from pathlib import Path

import cloudpickle
import numpy as np
import pymc as pm
import pytensor.tensor as pt
import pytest

sys.path.append(str(Path(__file__).parent / "bridges"))

import models

from bayesrepair.bridges.pymc.fit import TrainablePyMCModel
from bayesrepair.bridges.pymc.glm import KernelFunctions
from bayesrepair.bridges.pymc.model import pymc_model
from bayesrepair.rows import Rows
from bayesrepair.status import DataError
from bayesrepair.target import Target, weighted_log_lik

N, X, GROUP, COUNT, REAL, CLASS = models.N, models.X, models.GROUP, models.COUNT, models.REAL, models.CLASS
BINARY, D = models.BINARY, models.D


def crossed_slopes():
    """Group intercepts and slopes, non-centred, with an offset, differences and a divisor."""
    with pm.Model() as model:
        spread, z = pm.HalfNormal("spread", 1, shape=2), pm.Normal("z", 0, 1, shape=(4, 2))
        effect = spread * z
        mean = pm.Normal("mean", 0, 1) - X[:, 0] * pm.Normal("b", 0, 1) / 2.0 + 0.3 * X[:, 1]
        mean += effect[:, 0][GROUP] + effect[:, 1][GROUP] * X[:, 0]
        pm.Normal("y", mean, pm.HalfNormal("sigma", 1), observed=REAL)
    return model


def rate_with_exposure():
    with pm.Model() as model:
        exposure = pm.Data("exposure", 1.0 + COUNT % 3)
        rate = exposure * pm.math.exp(X @ pm.Normal("b", 0, 0.5, shape=D)) * pm.HalfNormal("base", 2)
        pm.Poisson("y", rate, observed=COUNT)
    return model


def overdispersed_groups():
    with pm.Model() as model:
        z, spread = pm.Normal("z", 0, 1, shape=4), pm.HalfNormal("spread", 1)
        rate = pm.math.exp(pm.Normal("a", 0, 1) + spread * z[GROUP])
        pm.NegativeBinomial("y", mu=rate, alpha=pm.Exponential("alpha", 1), observed=COUNT)
    return model


def reference_class():
    with pm.Model() as model:
        x = pm.Data("x", X)
        eta = pm.Normal("a", 0, 1, shape=2) + x @ pm.Normal("w", 0, 1, shape=(D, 2))
        eta = pt.concatenate([pt.zeros_like(x[:, :1]), eta], axis=1)
        pm.Categorical("y", logit_p=eta, observed=CLASS)
    return model


def classes_in_groups():
    with pm.Model() as model:
        w = pm.Normal("w", 0, 1, shape=(4, 3))
        pm.Categorical(
            "y", p=pt.special.softmax(w[GROUP] + X[:, :1] * pm.Normal("s", 0, 1, shape=3), axis=-1), observed=CLASS
        )
    return model


def slopes_of_groups_summed():
    with pm.Model() as model:
        b = pm.Normal("b", 0, 1, shape=(4, X.shape[1]))
        pm.Bernoulli("y", logit_p=(X * b[GROUP]).sum(axis=-1), observed=BINARY)
    return model


def robust():
    with pm.Model() as model:
        mean = (X * pm.Normal("b", 0, 1, shape=X.shape[1])).sum(axis=-1)
        pm.StudentT("y", nu=4.2, mu=mean, sigma=pm.HalfNormal("sigma", 1), observed=REAL)
    return model


RECOGNISED = {
    f.__name__: f
    for f in (
        crossed_slopes,
        rate_with_exposure,
        overdispersed_groups,
        reference_class,
        classes_in_groups,
        slopes_of_groups_summed,
        robust,
        models.student,
        models.raw_columns,
        models.square_turned,
        models.mixed,
        models.missing_outcomes,
        models.latent_per_row,
        models.named_dims,
        models.bambi_common,
        models.bambi_groups,
    )
}


def points(model, size=20, seed=0):
    return model.initial + 0.4 * np.random.default_rng(seed).standard_normal((size, model.n_params))


@pytest.mark.parametrize("name", RECOGNISED)
def test_kernels_give_what_the_general_graph_gives(name):
    model = pymc_model(RECOGNISED[name]())
    rows, theta = model.training, points(model)
    weight = np.where(np.arange(len(rows)) % 3 == 0, 0.4, 1.0)
    weight[1] = 0
    used = np.flatnonzero(weight)
    arrays = model._arrays(rows, with_outcome=True)
    general = model.functions.over_rows("log_lik", theta, *arrays)
    np.testing.assert_allclose(model.log_lik(theta, rows), general, rtol=1e-10, atol=1e-10)
    assert model.kernels.checked, str(model.kernels)
    assert not model.kernels.refused
    some = model._arrays(rows.at(used), with_outcome=True)
    value, gradient = model.functions.target_and_grad(theta, *some, weight[used])
    ours, slope = model.log_target_and_grad(theta, rows, weight)
    np.testing.assert_allclose(ours, value, rtol=1e-10)
    np.testing.assert_allclose(slope, gradient, rtol=1e-9, atol=1e-10 * np.abs(gradient).max())
    np.testing.assert_allclose(model.summed_log_lik(theta, rows, weight), general @ weight, rtol=1e-10)


REFUSED = {
    "an outcome of": models.cauchy,
    "several observed variables": models.two_likelihoods,
    "a graph for a fixed number of rows": models.mv_normal_rows,
    "an outcome that is not one number a row": models.two_columns,
    "probabilities that are not the softmax": models.ordered_logistic,
    "discrete parameters": models.discrete_free,
}


def two_spreads():
    with pm.Model() as model:
        spread = pm.HalfNormal("spread", 1, shape=4)
        pm.Normal("y", pm.Normal("a", 0, 1), spread[GROUP], observed=REAL)
    return model


def net():
    with pm.Model() as model:
        hidden = pt.tanh(X @ pm.Normal("into", 0, 1, shape=(X.shape[1], 2)))
        pm.Bernoulli("y", logit_p=hidden @ pm.Normal("out", 0, 1, shape=2), observed=BINARY)
    return model


def identity_link():
    with pm.Model() as model:
        pm.Poisson("y", pt.softplus(X @ pm.Normal("b", 0, 1, shape=X.shape[1])), observed=COUNT)
    return model


def interaction_of_parameters():
    with pm.Model() as model:
        mean = (X[:, 0] * pm.Normal("a", 0, 1)) * (X[:, 1] * pm.Normal("b", 0, 1) + 1)
        pm.Normal("y", mean, 1.0, observed=REAL)
    return model


REFUSED |= {
    "a parameter of the outcome that varies over rows": two_spreads,
    "a product that is not rows times parameters": net,
    "a rate that is not the exponential": identity_link,
    "a product of two expressions": interaction_of_parameters,
}


@pytest.mark.parametrize("words", REFUSED)
def test_anything_else_is_left_to_the_general_graph(words):
    model = pymc_model(REFUSED[words]())
    theta, rows = points(model), model.training
    general = model.functions.over_rows("log_lik", theta, *model._arrays(rows, with_outcome=True))
    np.testing.assert_array_equal(model.log_lik(theta, rows), general)
    assert words in repr(model)


def test_kernels_that_disagree_are_not_used(monkeypatch):
    model = pymc_model(models.raw_columns())
    theta, rows = points(model), model.training
    honest = KernelFunctions.log_lik
    monkeypatch.setattr(KernelFunctions, "log_lik", lambda *a: honest(*a) + 1e-5)
    general = model.functions.over_rows("log_lik", theta, *model._arrays(rows, with_outcome=True))
    np.testing.assert_array_equal(model.log_lik(theta, rows), general)
    assert "another log-likelihood" in repr(model)


def test_a_gradient_that_disagrees_is_not_used(monkeypatch):
    model = pymc_model(models.raw_columns())
    theta, rows = points(model), model.training
    honest = KernelFunctions.target_and_grad
    monkeypatch.setattr(KernelFunctions, "target_and_grad", lambda *a: (honest(*a)[0], -honest(*a)[1]))
    _, gradient = model.log_target_and_grad(theta, rows, np.ones(N))
    expected = model.functions.target_and_grad(theta, *model._arrays(rows, with_outcome=True), np.ones(N))[1]
    np.testing.assert_array_equal(gradient, expected)
    assert "gradient is not that of their value" in repr(model)


def test_rows_that_do_not_suit_go_the_general_way():
    model = pymc_model(rate_with_exposure())
    theta, rows = points(model), model.training
    values = dict(rows.values)
    values["exposure"] = np.where(np.arange(N) == 2, 0.0, values["exposure"])  # log 0
    odd = Rows(values, rows.row)
    expected = model.functions.over_rows("log_lik", theta, *model._arrays(odd, with_outcome=True))
    np.testing.assert_array_equal(model.log_lik(theta, odd), expected)
    assert not model.kernels.refused
    np.testing.assert_allclose(model.summed_log_lik(theta, odd, np.ones(N)), expected.sum(axis=1), rtol=1e-10)


def test_weights_are_remembered_with_their_rows():
    model = pymc_model(crossed_slopes())
    theta, rows = points(model), model.training
    weight = np.ones(N)
    before = model.log_target_and_grad(theta, rows, weight)[0]
    weight[3] = 0.5  # the caller's own array, changed in place
    after = model.log_target_and_grad(theta, rows, weight)[0]
    row = model.log_lik(theta, rows.at(np.array([3])))[:, 0]
    np.testing.assert_allclose(before - after, 0.5 * row, rtol=1e-8)


def test_few_draws_and_many_agree():
    model = pymc_model(crossed_slopes())
    theta, rows = points(model, 300), model.training
    value, gradient = model.log_target_and_grad(theta, rows, np.ones(N))
    few, slope = model.log_target_and_grad(theta[:3], rows, np.ones(N))
    np.testing.assert_allclose(few, value[:3], rtol=1e-12)
    np.testing.assert_allclose(slope, gradient[:3], rtol=1e-10)


def test_weights_of_another_length_are_refused():
    model = pymc_model(robust())
    for ask in (model.log_target_and_grad, model.summed_log_lik):
        with pytest.raises(DataError, match=r"weights of shape \(24,\)"):
            ask(points(model), model.training, np.ones(N + 1))


def test_targets_sum_by_kernels():
    model = pymc_model(crossed_slopes())
    theta, rows = points(model), model.training
    weight = np.linspace(0, 1.5, N)
    target = Target(model, rows, weight)
    value, _ = target.value_and_gradient(theta)
    np.testing.assert_allclose(target.log_density(theta), value, rtol=1e-12)
    np.testing.assert_allclose(weighted_log_lik(model, theta, rows, weight), model.log_lik(theta, rows) @ weight)


def test_a_model_with_kernels_travels():
    built = crossed_slopes()
    model = pymc_model(built)
    model = TrainablePyMCModel(built, model.graph)
    theta, rows = points(model), model.training
    value, gradient = model.log_target_and_grad(theta, rows, np.ones(N))
    arrived = cloudpickle.loads(cloudpickle.dumps(model))
    assert not arrived.kernels.checked
    again, slope = arrived.log_target_and_grad(theta, arrived.training, np.ones(N))
    np.testing.assert_array_equal(again, value)
    np.testing.assert_array_equal(slope, gradient)
    assert arrived.kernels.checked
