"""The density for the sampler: its values, its shared data, and what of it lies on disk."""

import numpy as np
import pymc as pm
import pytensor
import pytensor.tensor as pt
import pytest
from pytensor.link.numba import cache

from bayesrepair.bridges.pymc.compiled_density import compiled_density
from bayesrepair.bridges.pymc.compiled_gradient import CompiledGradient

RNG = np.random.default_rng(0)


@pytest.fixture(autouse=True)
def _empty_cache(monkeypatch, tmp_path):
    monkeypatch.setattr(cache, "NUMBA_CACHE_PATH", tmp_path)


def shared_of_every_kind():
    """By name: values, and others of other lengths."""
    return {
        "x": (RNG.normal(size=(7, 2)), RNG.normal(size=(4, 2))),
        "group": (RNG.integers(0, 3, 7), RNG.integers(0, 3, 4)),
        "used": (RNG.integers(0, 2, 7).astype(bool), np.array([True, False, True, True])),
        "scale": (np.float64(1.5), np.float64(0.5)),
    }


def start(seed):
    return np.zeros(5)


def regression(data, constant=0.5):
    """A density of five numbers in two variables, and the same written out."""
    x, group, used, scale = (pytensor.shared(values, name=name) for name, (values, _) in data.items())
    for variable in (x, group, used):
        variable.type = variable.type.clone(shape=(None,) * variable.type.ndim)
    beta, level = pt.tensor("beta", shape=(2,)), pt.tensor("level", shape=(3, 1))
    residual = used * ((x * beta).sum(axis=1) + level[group, 0] - constant) / scale
    return -0.5 * (residual**2).sum() - pt.log(scale), {"beta": beta, "level": level}


def written_out(theta, x, group, used, scale, constant=0.5):
    design = np.hstack([x, np.eye(3)[group]]) * used[:, None]
    residual = (design @ theta - constant * used) / scale
    return -0.5 * residual @ residual - np.log(scale), -design.T @ residual / scale


def test_value_and_gradient_for_the_data_that_is_in_place():
    data, theta = shared_of_every_kind(), RNG.normal(size=(3, 5))
    model = compiled_density(*regression(data), start)
    exchanged = model.with_data(**{name: other for name, (_, other) in data.items()})
    for which, target in enumerate((model, exchanged)):
        value, slope = CompiledGradient(target)(theta)
        for s in range(3):
            expected = written_out(theta[s], *(pair[which] for pair in data.values()))
            np.testing.assert_allclose(value[s], expected[0], rtol=1e-12)
            np.testing.assert_allclose(slope[s], expected[1], rtol=1e-12)


def test_machine_code_is_read_from_disk_whatever_the_data():
    first, second = (compiled_density(*regression(shared_of_every_kind()), start) for _ in range(2))
    assert first.compiled_logp_func.cache_hits == 0
    assert second.compiled_logp_func.cache_hits == 1
    theta = RNG.normal(size=(1, 5))
    with_same_data = second.with_data(**{v.name: first.shared_data[key] for v, key in first.shared_var_keys.items()})
    np.testing.assert_array_equal(CompiledGradient(first)(theta)[1], CompiledGradient(with_same_data)(theta)[1])


def test_another_constant_is_another_function():
    data, theta = shared_of_every_kind(), RNG.normal(size=5)
    for constant in (0.5, 0.75):
        model = compiled_density(*regression(data, constant), start)
        assert model.compiled_logp_func.cache_hits == 0
        expected, _ = written_out(theta, *(values for values, _ in data.values()), constant)
        np.testing.assert_allclose(CompiledGradient(model)(theta[None])[0][0], expected, rtol=1e-12)


def test_without_a_cache_it_is_compiled_anew(tmp_path):
    x = pt.vector("x", shape=(2,))
    with pytensor.config.change_flags(numba__cache=False):
        models = [compiled_density(-(x**2).sum(), {"x": x}, start) for _ in range(2)]
    assert [model.compiled_logp_func.cache_hits for model in models] == [0, 0]
    assert not list(tmp_path.iterdir())
    np.testing.assert_array_equal(CompiledGradient(models[1])(np.array([[1.0, 2.0]]))[0], [-5.0])


def test_parameters_out_of_bounds_have_density_zero():
    x = pt.vector("x", shape=(1,))
    model = compiled_density(pm.logp(pm.Exponential.dist(x[0]), 1.0), {"x": x}, start)
    value, _ = CompiledGradient(model)(np.array([[2.0], [-1.0]]))
    np.testing.assert_allclose(value, [np.log(2.0) - 2.0, -np.inf])
