"""The density compiled by JAX: the same values, and the same posterior, as by numba."""

from dataclasses import replace

import numpy as np
import pytensor
import pytensor.tensor as pt
import pytest
from test_sampling import SETTINGS, static_graph

from bayesrepair.bridges.pymc.jax_gradient import jax_gradient
from bayesrepair.bridges.pymc.sampling import RefitSampler

pytestmark = pytest.mark.jax
RNG = np.random.default_rng(0)


def test_value_and_gradient_for_the_data_that_is_in_place():
    x, y = (pytensor.shared(RNG.normal(size=5), name=name, shape=(None,)) for name in "xy")
    level, slope = pt.tensor("level", shape=()), pt.tensor("slope", shape=(1,))
    density = jax_gradient(-0.5 * ((y - level - slope[0] * x) ** 2).sum(), [level, slope])
    assert set(density.inputs) == {"x", "y"}
    new_x, new_y, theta = RNG.normal(size=8), RNG.normal(size=8), RNG.normal(size=(3, 2))
    value, gradient = density.with_data({"x": new_x, "y": new_y})(theta)
    residual = new_y - theta[:, :1] - theta[:, 1:] * new_x
    np.testing.assert_allclose(value, -0.5 * np.square(residual).sum(axis=1), rtol=1e-12)
    np.testing.assert_allclose(gradient, np.stack([residual.sum(axis=1), residual @ new_x], axis=1), rtol=1e-12)
    before = density(theta)[0]
    assert not np.allclose(before, value)  # what was made from it leaves it alone


def test_density_compiled_for_one_backend_serves_no_other():
    sampler = RefitSampler(static_graph(8), replace(SETTINGS, backend="jax"))
    sampler.compiled_for(8)
    assert sampler.is_compiled
    sampler.settings = SETTINGS
    assert not sampler.is_compiled
