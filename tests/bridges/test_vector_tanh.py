"""The vectorised hyperbolic tangent: against NumPy in long double, and inside compiled densities."""

import numba
import numpy as np
import pytensor
import pytensor.tensor as pt
import pytest
from pytensor.graph.traversal import applys_between
from pytensor.scalar.basic import Tanh

from bayesrepair.bridges.pymc.compiled_density import compiled_density
from bayesrepair.bridges.pymc.compiled_gradient import CompiledGradient
from bayesrepair.bridges.pymc.numpy_mode import NUMPY_MODE
from bayesrepair.bridges.pymc.vector_tanh import VectorTanh, tanh, with_vector_tanh

RNG = np.random.default_rng(0)


@numba.njit(error_model="numpy")
def each(x, out):
    for i in range(x.size):
        out[i] = tanh(x[i])


def operations(graphs):
    """Types of the operations of some graphs, those on numbers by what they do to each."""
    return {type(getattr(node.op, "scalar_op", node.op)) for node in applys_between([], graphs)}


@pytest.mark.parametrize(
    "x",
    [
        np.linspace(-25, 25, 100_001),
        np.linspace(-0.7, 0.7, 100_001),
        np.concatenate([-np.geomspace(1e-300, 1e3, 5001), np.geomspace(1e-300, 1e3, 5001)]),
    ],
    ids=["wide", "both sides of the seam", "by magnitude"],
)
def test_it_is_as_exact_as_the_last_bits(x):
    out = np.empty_like(x)
    each(x, out)
    exact = np.tanh(x.astype(np.longdouble))
    with np.errstate(invalid="ignore"):
        error = np.where(exact == 0, np.abs(out - exact), np.abs((out - exact) / exact))
    assert error.max() < 5e-16


def test_its_ends():
    x = np.array([0.0, np.inf, -np.inf, np.nan, 1e308])
    out = np.empty_like(x)
    each(x, out)
    np.testing.assert_array_equal(out, np.tanh(x))


@pytest.mark.parametrize("mode", ["NUMBA", "CVM", NUMPY_MODE], ids=["numba", "c", "numpy"])
@pytest.mark.parametrize("shape", [(7, 3), (7, 1), (0, 3)])
def test_graphs_keep_their_values(mode, shape):
    x = pt.dmatrix("x")
    before = [pt.tanh(x).sum(), pt.grad(pt.sqr(pt.tanh(x)).sum(), x)]
    after = with_vector_tanh(before)
    assert Tanh in operations(before)  # they are left as they were
    assert Tanh not in operations(after)
    assert VectorTanh in operations(after)
    value = RNG.normal(scale=2, size=shape)
    t = np.tanh(value)
    for got, expected in zip(
        pytensor.function([x], after, mode=mode)(value), [t.sum(), 2 * t * (1 - t**2)], strict=True
    ):
        np.testing.assert_allclose(got, expected, rtol=1e-13, atol=1e-14)


def test_single_precision_is_left_alone():
    x = pt.fmatrix("x")
    assert VectorTanh not in operations(with_vector_tanh([pt.tanh(x)]))


def test_the_density_of_a_net_has_the_slope_of_finite_differences():
    data, y = RNG.normal(size=(20, 2)), RNG.normal(size=20)
    into, out = pt.matrix("into", shape=(2, 3)), pt.vector("out", shape=(3,))
    log_density = -0.5 * pt.sqr(y - pt.tanh(data @ into) @ out).sum() - 0.5 * (pt.sqr(into).sum() + pt.sqr(out).sum())
    compiled = compiled_density(log_density, {"into": into, "out": out}, lambda seed: np.zeros(9))
    gradient = CompiledGradient(compiled)
    theta = RNG.normal(size=(1, 9))
    step = 1e-6 * np.eye(9)
    ends = gradient(np.concatenate([theta + step, theta - step]))[0].reshape(2, 9)
    np.testing.assert_allclose(gradient(theta)[1][0], (ends[0] - ends[1]) / 2e-6, rtol=1e-6, atol=1e-7)
