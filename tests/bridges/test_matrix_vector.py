"""Products of data and parameters as loops: against NumPy, finite differences, and the graph they stand for."""

import numpy as np
import pytensor
import pytensor.tensor as pt
import pytest
from pytensor.graph.traversal import applys_between
from pytensor.tensor.math import Dot

from bayesrepair.bridges.pymc.matrix_vector import MatrixVector, with_loops
from bayesrepair.bridges.pymc.numpy_mode import NUMPY_MODE

RNG = np.random.default_rng(0)
MODES = {"numba": "NUMBA", "numpy": NUMPY_MODE}


def operations(output):
    """Types of the operations of a graph, those on stacks by what they do to each."""
    return {type(getattr(node.op, "core_op", node.op)) for node in applys_between([], [output])}


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("transposed", [False, True])
@pytest.mark.parametrize("layout", ["C", "F", "strided"])
@pytest.mark.parametrize("shape", [(7, 3), (1, 3), (7, 1), (0, 3)])
def test_it_is_the_product(mode, transposed, layout, shape):
    x, v = pt.dmatrix("x"), pt.dvector("v")
    function = pytensor.function([x, v], MatrixVector(transposed=transposed)(x, v), mode=MODES[mode])
    matrix = RNG.normal(size=shape)
    if layout == "strided":
        matrix = np.repeat(matrix, 2, axis=1)[:, ::2]
    vector = RNG.normal(size=shape[0] if transposed else shape[1])
    expected = (matrix.T if transposed else matrix) @ vector
    np.testing.assert_allclose(
        function(np.asarray(matrix, order=None if layout == "strided" else layout), vector), expected
    )


@pytest.mark.parametrize("transposed", [False, True])
def test_its_gradients_are_those_of_finite_differences(transposed):
    size = (3, 5) if transposed else (5, 3)
    product = MatrixVector(transposed=transposed)
    pytensor.gradient.verify_grad(
        lambda x, v: pt.sqr(product(x, v)),
        [RNG.normal(size=(5, 3)), RNG.normal(size=size[1])],
        rng=RNG,
        mode="FAST_COMPILE",
    )


@pytest.mark.parametrize("dot", [pt.dot, pt.matmul])
def test_products_of_data_and_a_column_of_parameters_are_replaced(dot):
    x, b = pytensor.shared(RNG.normal(size=(20, 4)), shape=(None, 4)), pt.dvector("b")
    total = pt.softplus(dot(x, b)).sum() + pt.sqr(b).sum()
    loops = with_loops(total, [b])
    assert Dot in operations(total)  # it is left as it was
    assert Dot not in operations(loops)
    assert MatrixVector in operations(loops)
    value = RNG.normal(size=4)
    for before, after in ((total, loops), (pt.grad(total, b), pt.grad(loops, b))):
        np.testing.assert_allclose(after.eval({b: value}), before.eval({b: value}), rtol=1e-12)


@pytest.mark.parametrize(
    "product",
    [
        lambda x, b: b[:, None] * x @ b,  # parameters in the matrix: it has a gradient of its own
        lambda x, b: x @ pt.stack([b, -b], axis=1),  # several columns
        lambda x, b: pytensor.shared(np.arange(8).reshape(2, 4)) @ b,  # whole numbers
    ],
    ids=["matrix of parameters", "two columns", "integers"],
)
def test_other_products_stay(product):
    x, b = pytensor.shared(RNG.normal(size=(4, 4))), pt.dvector("b")
    kept = with_loops(product(x, b).sum(), [b])
    assert Dot in operations(kept)
    assert MatrixVector not in operations(kept)


def test_what_is_sampled_holds_no_product_that_is_slow_to_compile(logistic_target):
    assert MatrixVector in logistic_target
    assert Dot not in logistic_target


@pytest.fixture
def logistic_target(monkeypatch):
    """Operations of the density that a logistic regression hands to the sampler."""
    import pymc as pm

    from bayesrepair.bridges.pymc import sampling
    from bayesrepair.bridges.pymc.model import pymc_model

    seen = {}
    monkeypatch.setattr(sampling, "compiled_density", lambda density, *rest: seen.update(logp=density))
    monkeypatch.setattr(sampling, "CompiledGradient", lambda compiled: compiled)
    with pm.Model() as model:
        eta = pm.Normal("a") + pm.Data("x", RNG.normal(size=(30, 3))) @ pm.Normal("b", 0, 1, shape=3)
        pm.Bernoulli("y", logit_p=eta, observed=RNG.integers(0, 2, 30))
    sampling.compile_target(pymc_model(model).graph, 1)
    return operations(seen["logp"])
