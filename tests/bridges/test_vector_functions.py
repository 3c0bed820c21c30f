"""Vectorised functions of single numbers: against NumPy in long double, and inside compiled densities."""

import numba
import numpy as np
import pymc as pm
import pytensor
import pytensor.tensor as pt
import pytest
from pytensor.graph.traversal import applys_between
from pytensor.scalar import Exp, Log, Sigmoid, Softplus, Tanh

from bayesrepair.bridges.pymc.compiled_density import compiled_density
from bayesrepair.bridges.pymc.compiled_gradient import CompiledGradient
from bayesrepair.bridges.pymc.numpy_mode import NUMPY_MODE
from bayesrepair.bridges.pymc.vector_functions import VectorFunction, with_vector_functions
from bayesrepair.numerics import simd_math

RNG = np.random.default_rng(0)
EXACT = {
    "exp": np.exp,
    "log": np.log,
    "sigmoid": lambda x: np.where(x < 0, np.exp(-abs(x)), 1) / (1 + np.exp(-abs(x))),
    "softplus": lambda x: np.maximum(x, 0) + np.log1p(np.exp(-abs(x))),
    "tanh": np.tanh,
}
IN_GRAPHS = {
    "exp": (pt.exp, Exp),
    "log": (pt.log, Log),
    "sigmoid": (pt.sigmoid, Sigmoid),
    "softplus": (pt.softplus, Softplus),
    "tanh": (pt.tanh, Tanh),
}
NAMES = sorted(EXACT)


def loop(name):
    function = getattr(simd_math, name)

    @numba.njit(error_model="numpy")
    def each(x, out):
        for i in range(x.size):
            out[i] = function(x[i])

    return each


def operations(graphs):
    """Types of the operations of some graphs, those on numbers by what they do to each."""
    return {type(getattr(node.op, "scalar_op", node.op)) for node in applys_between([], graphs)}


def by_magnitude(lowest):
    return np.concatenate([-np.geomspace(1e-300, lowest, 5001), np.geomspace(1e-300, 1e3, 5001)])


WIDE, SEAM = np.linspace(-25, 25, 100_001), np.linspace(-0.7, 0.7, 100_001)
LOWEST = {"exp": 600, "log": 600, "sigmoid": 600, "softplus": 600, "tanh": 1e3}  # below −708 exp is 3e-308
POSITIVE = ("log",)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("part", ["wide", "both sides of the seam", "by magnitude"])
def test_they_are_as_exact_as_the_last_bits(part, name):
    x = {"wide": WIDE, "both sides of the seam": SEAM, "by magnitude": by_magnitude(LOWEST[name])}[part]
    x = x[x < 700] if name == "exp" else np.abs(x[x != 0]) if name in POSITIVE else x
    out = np.empty_like(x)
    loop(name)(x, out)
    exact = EXACT[name](x.astype(np.longdouble))
    with np.errstate(invalid="ignore", divide="ignore"):
        error = np.where(exact == 0, np.abs(out - exact), np.abs((out - exact) / exact))
    assert error.max() < (5e-16 if name == "tanh" else 1.5e-15)


@pytest.mark.parametrize("name", NAMES)
def test_their_ends(name):
    x = np.array([0.0, np.inf, -np.inf, np.nan, 1e308, -1e308, -1.0, 1e-310])
    out = np.empty_like(x)
    loop(name)(x, out)
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        exact = EXACT[name](x)
    if name == "tanh":
        np.testing.assert_array_equal(out, exact)
    else:
        np.testing.assert_allclose(out, exact, rtol=1e-15, atol=1e-307)


@pytest.mark.parametrize("mode", ["NUMBA", "CVM", NUMPY_MODE], ids=["numba", "c", "numpy"])
@pytest.mark.parametrize("shape", [(7, 3), (7, 1), (0, 3)])
@pytest.mark.parametrize("name", NAMES)
def test_graphs_keep_their_values(name, mode, shape):
    function, scalar = IN_GRAPHS[name]
    x = pt.dmatrix("x")
    before = [function(x.T).sum(), pt.grad(pt.sqr(function(x)).sum(), x)]
    after = with_vector_functions(before)
    assert scalar in operations(before)  # they are left as they were
    assert scalar not in operations(after)
    assert VectorFunction in operations(after)
    value = RNG.normal(scale=2, size=shape)
    value = np.abs(value) if name in POSITIVE else value
    expected = pytensor.function([x], before, mode="FAST_COMPILE")(value)
    for got, of_pytensor in zip(pytensor.function([x], after, mode=mode)(value), expected, strict=True):
        np.testing.assert_allclose(got, of_pytensor, rtol=1e-13, atol=1e-14)


@pytest.mark.parametrize("name", NAMES)
def test_single_precision_is_left_alone(name):
    assert VectorFunction not in operations(with_vector_functions([IN_GRAPHS[name][0](pt.fmatrix("x"))]))


def slope_agrees(compiled, theta):
    gradient = CompiledGradient(compiled)
    step = 1e-6 * np.eye(len(theta))
    ends = gradient(np.concatenate([theta + step, theta - step]))[0].reshape(2, len(theta))
    np.testing.assert_allclose(gradient(theta[None])[1][0], (ends[0] - ends[1]) / 2e-6, rtol=1e-6, atol=1e-7)


def test_the_density_of_a_net_has_the_slope_of_finite_differences():
    data, y = RNG.normal(size=(20, 2)), RNG.normal(size=20)
    into, out = pt.matrix("into", shape=(2, 3)), pt.vector("out", shape=(3,))
    log_density = -0.5 * pt.sqr(y - pt.tanh(data @ into) @ out).sum() - 0.5 * (pt.sqr(into).sum() + pt.sqr(out).sum())
    compiled = compiled_density(log_density, {"into": into, "out": out}, lambda seed: np.zeros(9))
    slope_agrees(compiled, RNG.normal(size=9))


@pytest.mark.parametrize("scale", [1.0, 300.0], ids=["near", "far out"])
def test_the_density_of_a_logistic_regression_is_that_of_scipy(scale):
    from scipy.special import expit, log_expit

    data, y = RNG.normal(size=(30, 4)), RNG.integers(0, 2, 30)
    beta = pt.vector("beta", shape=(4,))
    compiled = compiled_density(
        pm.logp(pm.Bernoulli.dist(logit_p=data @ beta), y).sum(), {"beta": beta}, lambda seed: np.zeros(4)
    )
    theta = RNG.normal(size=4) * scale
    value, slope = CompiledGradient(compiled)(theta[None])
    eta = data @ theta
    np.testing.assert_allclose(value[0], log_expit(np.where(y == 1, eta, -eta)).sum(), rtol=1e-12)
    np.testing.assert_allclose(slope[0], (y - expit(eta)) @ data, rtol=1e-12, atol=1e-12)


def test_the_density_of_a_logistic_regression_is_made_of_them():
    beta = pt.vector("beta", shape=(4,))
    stable = pm.logp(pm.Bernoulli.dist(logit_p=RNG.normal(size=(30, 4)) @ beta), RNG.integers(0, 2, 30)).sum()
    graphs = with_vector_functions([stable, pt.grad(stable, beta)])
    assert operations(graphs) & {Sigmoid, Softplus} == set()


@pytest.mark.parametrize("name", NAMES)
def test_single_numbers_are_left_alone(name):
    assert VectorFunction not in operations(with_vector_functions([IN_GRAPHS[name][0](pt.dscalar("x"))]))


def test_scalars_are_numbers_too():
    level, more = pt.tensor("level", dtype="float64", shape=()), pt.vector("more", shape=(3,))
    log_density = pt.log(pt.sigmoid(level)) - pt.softplus(more).sum() + pt.tanh(level) * pt.sigmoid(more[0])
    compiled = compiled_density(log_density, {"level": level, "more": more}, lambda seed: np.zeros(4))
    slope_agrees(compiled, RNG.normal(size=4))
