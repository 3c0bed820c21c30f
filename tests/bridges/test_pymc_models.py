"""Every model of the table, either proved against PyMC itself or refused in its own words."""

from functools import cache
from types import SimpleNamespace

import models
import numpy as np
import pandas as pd
import pymc as pm
import pytest
import xarray as xr
from models import REFUSED, WORKS, Works
from pymc.pytensorf import find_rng_nodes

from bayesrepair.bridges.pymc.model import PyMCModel, pymc_model
from bayesrepair.model import Differentiable, Model
from bayesrepair.rows import Rows
from bayesrepair.status import DataError, UnsupportedModelError

CASES = [pytest.param(case, id=case.name) for case in WORKS]
WITH_GRADIENTS = [pytest.param(case, id=case.name) for case in WORKS if case.gradients]
QUICK = {"mode": "FAST_COMPILE"}


def fingerprint(model: pm.Model) -> dict:
    """What must be the same after the bridge has looked at a model."""
    point = model.initial_point(0)
    return {
        "named_vars": {name: id(v) for name, v in model.named_vars.items()},
        "values_to_rvs": {id(k): id(v) for k, v in model.values_to_rvs.items()},
        "transforms": {id(k): id(v) for k, v in model.rvs_to_transforms.items()},
        "initial values": {id(k): repr(v) for k, v in model.rvs_to_initial_values.items()},
        "owners": {name: id(v.owner) for name, v in model.named_vars.items()},
        "data": {v.name: v.get_value().tobytes() for v in model.data_vars},
        "generators": [repr(r.get_value().bit_generator.state) for r in find_rng_nodes(model.basic_RVs)],
        "log density": float(model.compile_logp(**QUICK)(point)),
    }


@cache
def served(case: Works) -> SimpleNamespace:
    """The model, what it was before, the bridge, and some points near the model's initial one."""
    model = case.build()
    before = fingerprint(model)
    bridge = pymc_model(model, mode="NUMPY")
    rng = np.random.default_rng(3)
    noise = 0.3 * rng.standard_normal((3, bridge.n_params))
    discrete = [any(name.startswith(d) for d in bridge.graph.discrete) for name in bridge.names]
    theta = bridge.initial + np.where(discrete, 0.0, noise)
    return SimpleNamespace(model=model, before=before, bridge=bridge, theta=theta)


def points(bridge: PyMCModel, theta: np.ndarray) -> list[dict[str, np.ndarray]]:
    """Rows of theta as PyMC's dictionaries of values."""
    out = []
    for row in theta:
        sizes = [int(np.prod(shape)) for shape in bridge.graph.shapes]
        parts = np.split(row, np.cumsum(sizes)[:-1])
        out.append(
            {
                v.name: part.reshape(shape).astype(v.dtype)
                for v, part, shape in zip(bridge.graph.value_vars, parts, bridge.graph.shapes, strict=True)
            }
        )
    return out


def idata_of(bridge: PyMCModel, theta: np.ndarray) -> xr.DataTree:
    """One chain of these points, as `pm.sample` would store them."""
    values = bridge.constrain(theta)
    arrays = {rv.name: values[rv.name] for rv in bridge.pymc.free_RVs}
    dims = {name: ("chain", "draw", *bridge.dims[name]) for name in arrays}
    posterior = xr.Dataset({name: (dims[name], value[None]) for name, value in arrays.items()})
    return xr.DataTree.from_dict({"posterior": posterior})


@pytest.mark.parametrize("case", CASES)
def test_what_the_bridge_makes_of_it(case: Works) -> None:
    bridge = served(case).bridge
    assert bridge.graph.regime == case.regime
    assert tuple(bridge.graph.inputs) == case.arrays
    assert bridge.outcome.kind == case.kind
    assert (bridge.graph.predicted is not None) == case.closed_mean
    assert isinstance(bridge, Model)
    assert isinstance(bridge, Differentiable) == case.gradients
    assert ("Differentiable" in bridge.lacks) != case.gradients
    assert len(bridge.names) == bridge.n_params == len(bridge.initial)


@pytest.mark.parametrize("case", CASES)
def test_log_likelihood_is_that_of_pymc(case: Works) -> None:
    s = served(case)
    again = case.build()
    again.rvs_to_initial_values.update(dict.fromkeys(again.rvs_to_initial_values))  # PyMC cannot clone these
    theirs = pm.compute_log_likelihood(
        idata_of(s.bridge, s.theta),
        model=again,
        extend_inferencedata=False,
        progressbar=False,
        compile_kwargs=QUICK,
    )
    n = len(s.bridge.training)
    total = sum(theirs[name].to_numpy()[0].reshape(len(s.theta), n, -1).sum(-1) for name in theirs.data_vars)
    np.testing.assert_allclose(s.bridge.log_lik(s.theta, s.bridge.training), total, rtol=1e-9, atol=1e-10)


@pytest.mark.parametrize("case", CASES)
def test_prior_and_likelihood_add_up(case: Works) -> None:
    s = served(case)
    density = s.model.compile_logp(**QUICK)
    ours = s.bridge.log_prior(s.theta) + s.bridge.log_lik(s.theta, s.bridge.training).sum(axis=1)
    theirs = [float(density(point)) for point in points(s.bridge, s.theta)]
    np.testing.assert_allclose(ours, theirs, rtol=1e-9)


@pytest.mark.parametrize("case", WITH_GRADIENTS)
def test_gradients_of_the_edited_density(case: Works) -> None:
    s = served(case)
    bridge, rows = s.bridge, s.bridge.training
    rng = np.random.default_rng(5)
    weight = rng.uniform(0, 2, len(rows))
    weight[::4] = 0.0
    direction, step = rng.standard_normal(bridge.n_params), 1e-5
    value, grad = bridge.log_target_and_grad(s.theta, rows, weight)
    edited = bridge.log_prior(s.theta) + bridge.log_lik(s.theta, rows) @ weight
    np.testing.assert_allclose(value, edited, rtol=1e-9)
    ahead, _ = bridge.log_target_and_grad(s.theta + step * direction, rows, weight)
    behind, _ = bridge.log_target_and_grad(s.theta - step * direction, rows, weight)
    np.testing.assert_allclose(grad @ direction, (ahead - behind) / (2 * step), rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize("case", CASES)
def test_rows_handed_in_alone(case: Works) -> None:
    s = served(case)
    rows = s.bridge.training
    full = s.bridge.log_lik(s.theta, rows)
    some = np.array([5, 0, 17])
    np.testing.assert_allclose(s.bridge.log_lik(s.theta, rows.at(some)), full[:, some], rtol=1e-9)
    np.testing.assert_allclose(s.bridge.log_lik(s.theta, rows.at(some[:1])), full[:, some[:1]], rtol=1e-9)
    longer = np.r_[np.arange(len(rows)), some]  # more rows than the model has
    more = Rows({name: v[longer] for name, v in rows.values.items()}, np.arange(len(longer)))
    np.testing.assert_allclose(s.bridge.log_lik(s.theta, more), full[:, longer], rtol=1e-9)
    assert s.bridge.log_lik(s.theta, rows.at(some[:0])).shape == (len(s.theta), 0)


@pytest.mark.parametrize("case", CASES)
def test_predictions(case: Works) -> None:
    s = served(case)
    bridge, rows = s.bridge, s.bridge.training
    if not case.draws:
        with pytest.raises(UnsupportedModelError, match="drawn from"):
            bridge.predict(s.theta, rows)
        return
    predicted = bridge.predict(s.theta, rows)
    assert predicted.shape == (len(s.theta), len(rows), case.outputs)
    assert np.isfinite(predicted).all()
    without = Rows({k: v for k, v in rows.values.items() if k not in bridge.graph.observed}, rows.row)
    some = np.array([3, 1])
    if case.closed_mean:
        np.testing.assert_allclose(bridge.predict(s.theta, without.at(some)), predicted[:, some], rtol=1e-9)
    if case.kind == "class":
        np.testing.assert_allclose(predicted.sum(-1), 1.0, rtol=1e-9)
        given = rows.values[bridge.outcome.name].astype(int)
        chosen = np.take_along_axis(predicted, np.broadcast_to(given[:, None], (3, len(rows), 1)), axis=2)
        np.testing.assert_allclose(np.log(chosen[..., 0]), bridge.log_lik(s.theta, rows), rtol=1e-6)


@pytest.mark.parametrize("case", [pytest.param(c, id=c.name) for c in WORKS if c.draws])
def test_simulations(case: Works) -> None:
    s = served(case)
    bridge, rows = s.bridge, s.bridge.training
    once = bridge.simulate(s.theta, rows, np.random.default_rng(1))
    assert once.shape[:2] == (len(s.theta), len(rows))
    np.testing.assert_array_equal(once, bridge.simulate(s.theta, rows, np.random.default_rng(1)))
    assert (once != bridge.simulate(s.theta, rows, np.random.default_rng(2))).any()
    if not case.closed_mean or case.name in ("Cauchy", "Student-t"):
        return
    repeated = np.repeat(s.theta[:1], 800, axis=0)
    draws = bridge.simulate(repeated, rows, np.random.default_rng(3))
    if case.kind == "class":
        draws = (draws[..., None] == np.arange(case.outputs)).astype(float)
    draws = draws.reshape(len(repeated), len(rows), case.outputs)
    z = (draws.mean(0) - bridge.predict(s.theta[:1], rows)[0]) / (draws.std(0) / np.sqrt(800) + 5e-3)
    assert np.abs(z).max() < 5.0  # of at most 72 standard errors


@pytest.mark.parametrize("case", CASES)
def test_training_rows_come_back_through_the_door(case: Works) -> None:
    s = served(case)
    arrays = {name: s.bridge.training.values[name] for name in case.arrays}
    rows = s.bridge.rows(arrays if case.new_rows else pd.DataFrame(arrays_1d(arrays), index=s.bridge.training.row))
    again = s.bridge.log_lik(s.theta, rows)
    np.testing.assert_allclose(again, s.bridge.log_lik(s.theta, s.bridge.training), rtol=1e-12)


def arrays_1d(arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Only what fits into a frame."""
    return {name: values for name, values in arrays.items() if values.ndim == 1}


@pytest.mark.parametrize("case", [pytest.param(c, id=c.name) for c in WORKS if not c.new_rows])
def test_latents_of_rows_refuse_new_rows(case: Works) -> None:
    bridge = served(case).bridge
    arrays = {name: np.concatenate([v, v[:1]]) for name, v in bridge.training.values.items()}
    with pytest.raises(UnsupportedModelError, match="one value for each training row"):
        bridge.rows(arrays)
    with pytest.raises(DataError, match="row_position"):
        bridge.log_lik(
            served(case).theta, Rows({n: bridge.training.values[n] for n in case.arrays}, np.arange(models.N))
        )


@pytest.mark.parametrize("case", CASES)
def test_the_users_model_is_left_alone(case: Works) -> None:
    s = served(case)
    s.bridge.log_prior(s.theta)
    s.bridge.constrain(s.theta)
    if case.draws:
        s.bridge.simulate(s.theta, s.bridge.training, np.random.default_rng(0))
    assert fingerprint(s.model) == s.before


@pytest.mark.parametrize("case", [pytest.param(case, id=case.name) for case in REFUSED])
def test_refused_in_its_own_words(case: models.Refused) -> None:
    model = case.build()
    with pytest.raises(UnsupportedModelError) as caught:
        pymc_model(model, mode="NUMPY")
    message = str(caught.value)
    for words in case.words:
        assert words in message
    assert caught.value.remedy or case.name == "nothing observed"
