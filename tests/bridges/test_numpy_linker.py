"""Graphs run as Python functions of NumPy calls give what PyTensor's own machine gives."""

import numpy as np
import pytensor
import pytensor.tensor as pt
import pytest
from pytensor.compile.mode import Mode
from pytensor.conditional.op import ifelse
from pytensor.graph.rewriting.db import RewriteDatabaseQuery
from pytensor.link.vm import VMLinker

from bayesrepair.bridges.pymc.numpy_linker import NumpyLinker

REWRITES = RewriteDatabaseQuery(include=["fast_run", "py_only"], exclude=["fusion"])
OURS = Mode(NumpyLinker(), REWRITES)
THEIRS = Mode(VMLinker(use_cloop=False, c_thunks=False), REWRITES)

x, y = pt.matrix("x"), pt.vector("y")
n = pt.lvector("n")
GRAPHS = {
    "in place": pt.exp(-abs(x)) * 2 + pt.sqr(x) - pt.log1p(pt.exp(x)),
    "long sum": x + y + 1.0 + pt.exp(x) + x * y + pt.sqr(y),
    "long product": x * y * pt.exp(y) * 3.0 * pt.sqr(x),
    "the same twice": pt.exp(x) * pt.exp(x) + pt.exp(x),
    "views": (x.T[1:] + y[:, None][:3].T.sum())[None] * 2,
    "a view outlives its base": pt.exp(x)[:, 0] + pt.exp(x).sum(axis=1),
    "reductions": pt.stack([x.sum(), x.max(), x.prod(), x.mean(), (x > 0).all().astype("float64")]),
    "sigmoid": pt.sigmoid(x * 200) + pt.sigmoid(y),
    "over few": pt.max(x, axis=1) + pt.sum(x, axis=-1) + pt.prod(x, axis=1) + pt.all(x > -9, axis=1),
    "reduction of integers": n.sum() + n.max(),
    "switch": pt.switch(x > 0, x, 0) + pt.switch(pt.eq(y, 0), 1, y),
    "integers into floats": n / 2 + n * y.sum() + pt.log(n),
    "counts": pt.gammaln(n + 1) + pt.gammaln(pt.exp(y)).sum(),
    "classes": pt.special.log_softmax(x, axis=1)[pt.arange(x.shape[0]), 1] + pt.special.softmax(x, axis=1)[:, 0],
    "matrices": x @ x.T @ y[:4],
    "cast": (x > 0).astype("float32") + x.astype("int64"),
    "scalar": pt.exp(x.sum() / 100) + 1,
    "index by a variable": x[n % 3, n % 2],
    "written into": pt.set_subtensor(pt.exp(x)[:, 1], y[:4]),
    "input itself": x,
    "constant": pt.constant(np.arange(3.0)),
}
VALUES = {x: np.linspace(-3, 4, 16).reshape(4, 4), y: np.array([0.0, 0.5, -1.0, 2.0]), n: np.array([1, 5, 2, 7])}


@pytest.mark.parametrize("name", GRAPHS)
def test_same_numbers_and_types(name):
    graph = GRAPHS[name]
    theirs, ours = (
        pytensor.function(list(VALUES), graph, mode=mode, on_unused_input="ignore") for mode in (THEIRS, OURS)
    )
    given = [value.copy() for value in VALUES.values()]
    expected, got = theirs(*VALUES.values()), ours(*given)
    np.testing.assert_allclose(got, expected, rtol=1e-15)
    assert got.dtype == expected.dtype
    assert isinstance(got, np.ndarray)
    np.testing.assert_array_equal(ours(*given), got)  # a second call finds nothing changed
    for before, value in zip(given, VALUES.values(), strict=True):
        np.testing.assert_array_equal(before, value)


@pytest.mark.parametrize("name", ["in place", "long sum", "long product", "the same twice", "classes"])
def test_gradients(name):
    loss = pt.sqr(GRAPHS[name]).sum()
    theirs, ours = (
        pytensor.function(list(VALUES), [loss, *pt.grad(loss, [x])], mode=mode, on_unused_input="ignore")
        for mode in (THEIRS, OURS)
    )
    for expected, got in zip(theirs(*VALUES.values()), ours(*VALUES.values()), strict=True):
        np.testing.assert_allclose(got, expected, rtol=1e-13)


def test_it_is_one_function_and_sums_copy_nothing():
    made = pytensor.function([x], pt.exp(x).sum(axis=1), mode=OURS)
    assert made.vm.jit_fn.__name__ == "run"


@pytest.mark.parametrize("flag", [True, False])
def test_what_cannot_be_one_function_is_left_to_pytensor(flag):
    condition = pt.scalar("condition", dtype="bool")
    made = pytensor.function([condition, x], ifelse(condition, pt.exp(x), x.sum(keepdims=True)), mode=OURS)
    value = VALUES[x]
    np.testing.assert_allclose(made(np.array(flag), value), np.exp(value) if flag else value.sum(keepdims=True))
    assert not hasattr(made.vm, "jit_fn")


def test_a_loop_is_left_to_pytensor():
    nothing = pt.constant(np.float64(0), dtype="float64")
    total = pytensor.scan(lambda a, b: b + a, sequences=[y], outputs_info=[nothing], return_updates=False)
    made = pytensor.function([y], total, mode=OURS)
    np.testing.assert_allclose(made(VALUES[y]), np.cumsum(VALUES[y]))


def test_shapes_that_do_not_fit_are_an_error():
    made = pytensor.function([x, y], x + y, mode=OURS)
    with pytest.raises(ValueError, match="broadcast"):
        made(np.ones((2, 3)), np.ones(2))


@pytest.mark.parametrize(
    ("dtype", "values", "total", "product"),
    [("int64", [3, 4], [6.5, 8.5], [4.5, 8.0]), ("int8", [100, 100], [200.5, 200.5], [5000.0, 5000.0]),
     ("bool", [True, False], [2.5, 0.5], [0.5, 0.0])],
)  # fmt: skip
def test_whole_numbers_before_a_float_are_counted_as_floats(dtype, values, total, product):
    k = pt.TensorType(dtype, (None,))("k")
    made = pytensor.function([k, y], [k + k + y, k * k * y], mode=OURS)
    for got, expected in zip(made(np.array(values, dtype=dtype), np.array([0.5, 0.5])), (total, product), strict=True):
        np.testing.assert_array_equal(got, expected)
