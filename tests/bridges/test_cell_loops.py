"""Graphs over draws and rows as compiled loops over cells give what NumPy gives."""

import models
import numba
import numpy as np
import pytensor
import pytensor.tensor as pt
import pytest
import scipy.special as sp

from bayesrepair.bridges.pymc.cell_loops import cell_loops
from bayesrepair.bridges.pymc.evaluation import RowFunctions
from bayesrepair.bridges.pymc.model import pymc_model
from bayesrepair.bridges.pymc.numpy_mode import LOOP_MODE, NUMPY_MODE
from bayesrepair.bridges.pymc.vectorised import LOOPS, NUMPY
from bayesrepair.numerics import simd_math

EDGES = np.array([0.0, -0.0, 5e-324, 1e-310, 2.3e-308, 1e300, np.inf, -np.inf, np.nan, -1.0, -2.5, 1e-17, -1e-17])
NUMBERS = np.concatenate(
    [EDGES, np.linspace(-45, 45, 2001), np.geomspace(1e-12, 1e12, 500), -np.geomspace(1e-12, 1, 99)]
)
FUNCTIONS = {
    "log": np.log,
    "log1p": np.log1p,
    "expm1": np.expm1,
    "softplus": lambda x: np.logaddexp(0.0, x),
    "sigmoid": sp.expit,
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_functions_of_any_number(name):
    function = getattr(simd_math, name)
    ours = numba.njit(error_model="numpy")(lambda x: function(x))
    with np.errstate(all="ignore"):
        np.testing.assert_allclose([ours(v) for v in NUMBERS], FUNCTIONS[name](NUMBERS), rtol=2e-15, atol=1e-300)


def test_log1mexp():
    ours = numba.njit(error_model="numpy")(lambda x: simd_math.log1mexp(x))
    x = -np.geomspace(1e-14, 700, 400)
    np.testing.assert_allclose(
        [ours(v) for v in x], np.where(x > -0.7, np.log(-np.expm1(x)), np.log1p(-np.exp(x))), rtol=3e-15
    )


def test_gammaln():
    ours = numba.njit(error_model="numpy")(lambda x: simd_math.gammaln(x))
    x = np.concatenate([[0.0, 1.0, 2.0, np.inf, np.nan], np.geomspace(1e-300, 1e15, 2000), np.linspace(0.5, 20, 500)])
    np.testing.assert_allclose([ours(v) for v in x], sp.gammaln(x), rtol=3e-15, atol=2e-14)
    assert np.isnan(ours(-0.5))


full, other = pt.tensor("full", dtype="float64", shape=(None, None)), pt.matrix("other")
draw, row = pt.tensor("draw", dtype="float64", shape=(None, 1)), pt.tensor("row", dtype="float64", shape=(1, None))
code = pt.tensor("code", dtype="int64", shape=(1, None))
cube = pt.tensor("cube", dtype="float64", shape=(None, None, 3))
by_class = pt.tensor("by_class", dtype="float64", shape=(None, 1, 3))
chosen = pt.eq(code[:, :, None], pt.arange(3))
GRAPHS = {
    "all patterns": pt.exp(full) * draw + row / (1 + pt.sqr(other)) - code,
    "tails": pt.log(pt.sigmoid(full * 300)) + pt.softplus(other * 300) + pt.log1p(pt.abs(full)),
    "switches": pt.switch(pt.lt(full, 0) & pt.isnan(other), draw, pt.switch(pt.gt(row, 0), other, -np.inf)) * 2,
    "switch by a number": pt.switch(code, full + 1, other - 1) + full,
    "extremes": pt.maximum(full, other) + pt.minimum(full, draw) + pt.sqrt(pt.abs(other)),
    "counts": pt.gammaln(code + pt.exp(full)) - pt.gammaln(code + 1) + full * code,
    "gamma below zero": pt.gammaln(full - 0.123) + other,
    "flags as numbers": (full > 0) * other + (other > 0),
    "log softmax": pt.switch(chosen, pt.special.log_softmax(cube + by_class, axis=-1), 0.0).sum(axis=-1) + draw,
    "softmax": (pt.special.softmax(cube, axis=2) * chosen).sum(axis=2) + pt.max(cube, axis=2) - pt.prod(cube, axis=2),
    "all of a cell": pt.switch(pt.all(cube > by_class, axis=2), full + 1.0, -other),
    "a cell leaves": pt.exp(cube) * full[:, :, None] + by_class,
    "looked up": pt.exp(other[:, code[0]]) * full + other[:, code[0] - 1] + other[:, 3:5][:, code[0] // 2] + row,
    "two loops": pt.cumsum(pt.exp(full) + other, axis=1) * full + other,
}
INPUTS = [full, other, draw, row, code, cube, by_class]


def values(layout: str, S: int = 5, n: int = 7) -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    sizes = (S, n, 3)
    out = [rng.standard_normal([s or sizes[k] for k, s in enumerate(v.type.shape)]) for v in INPUTS]
    out[4] = rng.integers(0, 3, (1, n))
    out[1][0, 0] = np.nan
    if layout == "rows outside":
        out[0], out[5] = np.asfortranarray(out[0]), np.ascontiguousarray(out[5].swapaxes(0, 1)).swapaxes(0, 1)
    if layout == "a view":
        out[0], out[2] = np.repeat(out[0], 2, axis=1)[:, ::2], np.repeat(out[2], 2, axis=0)[::2]
    return out


@pytest.mark.parametrize("layout", ["draws outside", "rows outside", "a view"])
@pytest.mark.parametrize("name", GRAPHS)
def test_same_numbers(name, layout):
    theirs, ours = (
        pytensor.function(INPUTS, GRAPHS[name], mode=mode, on_unused_input="ignore") for mode in (NUMPY_MODE, LOOP_MODE)
    )
    order = ours.maker.fgraph.toposort()
    assert cell_loops(ours.maker.fgraph, order)
    given = values(layout)
    before = [v.copy() for v in given]
    with np.errstate(all="ignore"):
        got, expected = ours(*given), theirs(*given)
    np.testing.assert_allclose(got, expected, rtol=1e-13, atol=1e-14)
    for value, kept in zip(given, before, strict=True):
        np.testing.assert_array_equal(value, kept)


def test_one_draw_or_one_row_is_no_broadcast():
    ours = pytensor.function(INPUTS, GRAPHS["all patterns"], mode=LOOP_MODE, on_unused_input="ignore")
    theirs = pytensor.function(INPUTS, GRAPHS["all patterns"], mode=NUMPY_MODE, on_unused_input="ignore")
    for S, n in ((1, 4), (4, 1), (1, 1)):
        given = values("draws outside", S, n)
        np.testing.assert_allclose(ours(*given), theirs(*given), rtol=1e-13)


SOME = {"negative binomial", "zero-inflated Poisson", "softmax", "ordered logistic", "censored", "two columns"}


@pytest.mark.parametrize("case", [pytest.param(case, id=case.name) for case in models.WORKS if case.name in SOME])
def test_models(case):
    bridge = pymc_model(case.build())
    discrete = [any(name.startswith(d) for d in bridge.graph.discrete) for name in bridge.names]
    noise = np.random.default_rng(3).standard_normal((4, bridge.n_params)) * [[0.3], [0.3], [3.0], [40.0]]
    theta = bridge.initial + np.where(discrete, 0.0, noise)
    arrays = bridge._arrays(bridge.training, with_outcome=True)
    theirs, ours = (RowFunctions(bridge.graph, mode).over_rows("log_lik", theta, *arrays) for mode in (NUMPY, LOOPS))
    np.testing.assert_allclose(ours, theirs, rtol=1e-11, atol=1e-12)


def test_loops_are_found_where_they_matter():
    """A softmax is one loop, its gathered sum, its logarithm and the check of its probabilities included."""
    bridge = pymc_model(models.softmax())
    function = RowFunctions(bridge.graph, LOOPS)._rowwise("log_lik")._function
    order = function.maker.fgraph.toposort()
    [loop] = cell_loops(function.maker.fgraph, order)
    left = [
        n for n in order if n not in loop.nodes and n.outputs[0].type.ndim == 3 and 1 not in n.outputs[0].type.shape
    ]
    assert {type(n.op).__name__ for n in left} <= {"Reshape", "DimShuffle", "Transpose"}


def test_shapes_that_do_not_fit_are_an_error():
    ours = pytensor.function([full, other], pt.exp(full) + other, mode=LOOP_MODE)
    with pytest.raises(ValueError, match="broadcast"):
        ours(np.ones((3, 4)), np.ones((1, 4)))


def test_an_index_out_of_range_is_an_error():
    index = pt.lvector("index")
    ours = pytensor.function([other, index, full], pt.exp(other[:, index]) + full, mode=LOOP_MODE)
    np.testing.assert_allclose(ours(np.ones((3, 2)), np.array([-2, 1]), np.zeros((3, 2))), np.full((3, 2), np.e))
    for wrong in ([0, 2], [-3, 0]):
        with pytest.raises(IndexError, match="into 2 numbers"):
            ours(np.ones((3, 2)), np.array(wrong), np.zeros((3, 2)))
