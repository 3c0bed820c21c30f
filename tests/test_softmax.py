"""Softmax models with wrong labels: derivatives, and equality with the noise-aware PyMC graph."""

import numpy as np
import pytest

from bayesrepair.model import Curved, Outcome
from bayesrepair.noise import Corruptible, LabelNoise, Noisy, with_source
from bayesrepair.rows import Rows
from bayesrepair.softmax import Calibration, Features, SoftmaxModel
from bayesrepair.softmax.model import LABEL

CASES = [
    ("features", 2, 0, "auto"),
    ("features", 3, 2, "auto"),
    ("calibration", 4, 3, "class"),
    ("calibration", 3, 2, "uniform"),
    ("calibration", 2, 2, "class"),
]


def problem(kind, classes, groups, mechanism, count=25):
    rng = np.random.default_rng(4)
    values = {LABEL: rng.integers(0, classes, count)}
    if kind == "features":
        design = Features(2, classes)
        values["x"] = rng.normal(size=(count, 2))
    else:
        design = Calibration(classes)
        values["log_p"] = np.log(rng.dirichlet(np.ones(classes), count))
    noise = LabelNoise(mechanism, groups=groups, trusted=True)
    model = SoftmaxModel(design, Outcome(LABEL, "class", tuple(range(classes))), noise)
    rows = with_source(Rows(values, np.arange(count)), rng.integers(0, groups + 2, count))
    theta = model.initial + 0.5 * rng.normal(size=(3, model.n_params))
    return model, rows, theta, rng.random(count)


@pytest.mark.parametrize("case", CASES)
def test_derivatives_are_those_of_finite_differences(case):
    model, rows, theta, weight = problem(*case)
    value, gradient = model.log_target_and_grad(theta, rows, weight)
    np.testing.assert_allclose(value, model.log_prior(theta) + model.log_lik(theta, rows) @ weight)
    step, units = 1e-5, np.eye(model.n_params)

    def at(shift):
        return model.log_target_and_grad(theta[:1] + shift * units, rows, weight)

    (up, up_gradient), (down, down_gradient) = at(step), at(-step)
    np.testing.assert_allclose(gradient[0], (up - down) / (2 * step), atol=1e-6)
    differences = -(up_gradient - down_gradient) / (2 * step)
    np.testing.assert_allclose(model.curvature(theta[0], rows, weight), differences, atol=1e-5)


def test_protocols():
    model, _, _, _ = problem(*CASES[0])
    for protocol in (Curved, Corruptible, Noisy):
        assert isinstance(model, protocol)


def test_a_trusted_row_has_the_plain_likelihood_and_is_never_wrong():
    model, rows, theta, _ = problem("features", 3, 0, "auto")
    trusted = with_source(rows, np.full(len(rows), 1))
    plain = SoftmaxModel(model.design, model.outcome)
    own = theta[:, : plain.n_params]
    np.testing.assert_allclose(model.log_lik(theta, trusted), plain.log_lik(own, rows))
    np.testing.assert_array_equal(model.wrong(theta, trusted), 0.0)


def test_wrong_is_bayes_rule():
    model, rows, theta, _ = problem("calibration", 3, 0, "uniform")
    rows = with_source(rows, np.zeros(len(rows), dtype=int))
    rate = model.flips(theta).rate[:, 0, 0]
    pi = model.predict(theta, rows)
    given = rows.values[LABEL]
    own = pi[:, np.arange(len(given)), given]
    right, other = (1 - rate)[:, None] * own, rate[:, None] / 2 * (1 - own)
    np.testing.assert_allclose(model.wrong(theta, rows), other / (right + other))


@pytest.mark.parametrize(("classes", "groups", "mechanism"), [(3, 2, "auto"), (2, 0, "class"), (2, 2, "auto")])
def test_the_density_is_that_of_the_noise_aware_pymc_model(classes, groups, mechanism):
    import pymc as pm

    from bayesrepair.bridges.pymc import from_pymc

    model, rows, theta, _ = problem("calibration", classes, groups, mechanism)
    with pm.Model() as written:
        slope = pm.Normal("slope", 1.0, 0.5)
        bias = pm.Normal("bias", 0.0, 1.0, shape=classes)
        log_p = pm.Data("log_p", rows.values["log_p"])
        pm.Categorical(LABEL, logit_p=slope * log_p + bias, observed=rows.values[LABEL])
    own = from_pymc(written, method="laplace").model
    noisy = own.with_noise(model.noise)

    def plain(names):
        return [name.partition("[")[0] for name in names]

    assert plain(noisy.names) == plain(model.names)
    np.testing.assert_allclose(noisy.log_prior(theta), model.log_prior(theta), rtol=1e-9)
    np.testing.assert_allclose(noisy.log_lik(theta, rows), model.log_lik(theta, rows), rtol=1e-8)
    np.testing.assert_allclose(noisy.truth(theta, rows), model.truth(theta, rows), rtol=1e-8)
