"""Posterior draws as ArviZ keeps them → points in the unconstrained space."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pymc as pm
import pytensor
import pytensor.tensor as pt
import xarray as xr
from pytensor.compile.mode import Mode
from pytensor.graph.replace import clone_replace, vectorize_graph

from bayesrepair.bridges.pymc.diagnostics import diagnosed, gradients_taken
from bayesrepair.posterior import Draws, Sampling
from bayesrepair.status import DataError

_ROUND_TRIP = 1e-6  # relative; a transform loses digits near the edge of its support
_PYTHON = Mode(linker="py", optimizer="fast_compile")  # runs once, on a batch: compiling would cost more
_SAMPLE_DIMS = ("chain", "draw")


def unconstrain(model: pm.Model, idata: Any) -> Draws:
    """Draws in the unconstrained space from a model's posterior in ArviZ's form.

    They are taken from the group ``unconstrained_posterior``, or from transformed variables, where those were
    stored; else each free variable's transform is applied to its constrained draws.

    Parameters
    ----------
    model : pymc.Model
    idata : DataTree
        Anything `arviz.convert_to_datatree` takes.

    Returns
    -------
    Draws
        theta (S, P) with the value variables flattened in the order of ``model.value_vars``, chain after chain,
        and `Sampling` filled in as far as ``idata`` knows.

    Raises
    ------
    DataError
        If there is no posterior, or it belongs to another model.

    Warns
    -----
    SamplingWarning
        If there were divergences, or if r̂ exceeds 1.05.
    """
    tree = as_datatree(idata)
    posterior = tree["posterior"].to_dataset()
    chains, draws = posterior.sizes["chain"], posterior.sizes["draw"]
    stored = _stored(model, tree, posterior)
    values = stored if stored is not None else _transformed(model, _constrained(model, posterior))
    theta = np.concatenate([np.asarray(v, dtype=float).reshape(chains * draws, -1) for v in values], axis=1)
    if not np.isfinite(theta).all():
        bad = [rv.name for rv, v in zip(model.free_RVs, values, strict=True) if not np.isfinite(v).all()]
        raise DataError(
            f"draws inside the support of {', '.join(map(repr, bad))}",
            "values on or beyond its edge",
            "Is this the posterior of another model?",
        )
    plain = Draws(theta, np.zeros(chains * draws), np.repeat(np.arange(chains), draws))
    return diagnosed(plain, _sampling(tree, chains, draws))


def as_datatree(idata: Any) -> xr.DataTree:
    """Read idata as a DataTree that has a posterior with dimensions ``chain`` and ``draw``.

    Raises
    ------
    DataError
        If it cannot be read as one, or holds no posterior.
    """
    import arviz

    if not isinstance(idata, xr.DataTree):
        try:
            idata = arviz.convert_to_datatree(idata)
        except (TypeError, ValueError) as error:
            raise DataError(
                "an ArviZ DataTree with a posterior",
                f"a {type(idata).__name__}",
                "Pass what pm.sample returned.",
            ) from error
    groups = [str(name) for name in idata.children]
    if "posterior" not in groups:
        raise DataError(
            "idata with a group 'posterior'",
            f"groups {', '.join(map(repr, groups)) or 'none'}",
            "Pass what pm.sample returned.",
        )
    sizes = idata["posterior"].sizes
    if not set(_SAMPLE_DIMS) <= set(sizes) or not all(sizes[dim] for dim in _SAMPLE_DIMS):
        raise DataError("a posterior with draws along 'chain' and 'draw'", f"sizes {dict(sizes)}")
    return idata


def _stored(model: pm.Model, tree: xr.DataTree, posterior: xr.Dataset) -> list[np.ndarray] | None:
    """Unconstrained values where the sampler kept them, else None."""
    group = "unconstrained_posterior"
    names = [str(model.rvs_to_values[rv].name) for rv in model.free_RVs]
    for source in (tree[group].to_dataset() if group in tree.children else xr.Dataset(), posterior):
        if set(names) <= set(map(str, source.data_vars)):
            return _checked(model, source, names, [_value_shape(model, name) for name in names])
    return None


def _constrained(model: pm.Model, posterior: xr.Dataset) -> list[np.ndarray]:
    """Constrained draws of every free variable, each of shape (S, ...)."""
    names = [str(rv.name) for rv in model.free_RVs]
    shapes = [tuple(int(n) for n in s) for s in _evaluated_shapes(model)]
    return _checked(model, posterior, names, shapes)


def _checked(
    model: pm.Model, source: xr.Dataset, names: Sequence[str], shapes: Sequence[tuple[int, ...]]
) -> list[np.ndarray]:
    wanted = dict(zip(names, shapes, strict=True))
    found = {str(name): value for name, value in source.data_vars.items()}
    arrays = {name: _array(model, name, found[name]) for name in names if name in found}
    if any(name not in arrays or arrays[name].shape[1:] != shape for name, shape in wanted.items()):
        has = {name: value.shape[2:] for name, value in found.items()}
        raise DataError(
            f"a posterior of this model with {_listed(wanted)}",
            f"{_listed(has)}",
            "Pass the idata that was sampled from this very model, on this very data.",
        )
    return [arrays[name] for name in names]


def _array(model: pm.Model, name: str, value: xr.DataArray) -> np.ndarray:
    """(S, ...) in the model's own order of dimensions: some tools transpose what they store."""
    dims = [str(dim) for dim in model.named_vars_to_dims.get(name, ()) if dim in value.dims]
    rest = [dim for dim in value.dims if dim not in (*_SAMPLE_DIMS, *dims)]
    ordered = value.transpose(*_SAMPLE_DIMS, *(dims if len(dims) + 2 == value.ndim else rest + dims))
    return ordered.values.reshape(-1, *ordered.shape[2:])


def _listed(shapes: dict[str, tuple[int, ...]]) -> str:
    return ", ".join(f"{name}{list(shape) if shape else ''}" for name, shape in shapes.items())


def _evaluated_shapes(model: pm.Model) -> list[np.ndarray]:
    shapes = [pt.as_tensor(rv.shape, dtype="int64") for rv in model.free_RVs]
    return pytensor.function([], shapes, mode=_PYTHON)()


def _value_shape(model: pm.Model, name: str) -> tuple[int, ...]:
    return np.shape(model.initial_point(random_seed=0)[name])


def _transformed(model: pm.Model, constrained: list[np.ndarray]) -> list[np.ndarray]:
    """Apply each transform to a batch of draws, and make sure that it can be undone."""
    rvs = model.free_RVs
    with_transform = [rv for rv in rvs if model.rvs_to_transforms[rv] is not None]
    if not with_transform:
        return constrained
    held = {rv: pt.as_tensor(rv, allow_xtensor_conversion=True).type(name=f"{rv.name}_draw") for rv in rvs}
    forward, round_trip = [], []
    for rv in with_transform:
        transform = model.rvs_to_transforms[rv]
        value = transform.forward(held[rv], *rv.owner.inputs)
        forward.append(value)
        round_trip.append(transform.backward(value, *rv.owner.inputs))
    outputs = clone_replace([*forward, *round_trip], held)
    batched = {
        single: pt.TensorType(single.dtype, shape=(None, *single.type.shape))(single.name) for single in held.values()
    }
    vectorised = vectorize_graph(outputs, batched)
    function = pytensor.function(list(batched.values()), vectorised, mode=_PYTHON, on_unused_input="ignore")
    found = function(*constrained)
    values = dict(zip(with_transform, found[: len(with_transform)], strict=True))
    before = dict(zip(rvs, constrained, strict=True))
    for rv, back in zip(with_transform, found[len(with_transform) :], strict=True):
        if not np.allclose(back, before[rv], rtol=_ROUND_TRIP, atol=_ROUND_TRIP, equal_nan=True):
            raise DataError(
                f"draws of {rv.name!r} inside its support",
                "draws that its transform does not return",
                "Is this the posterior of another model?",
            )
    return [values[rv] if rv in values else before[rv] for rv in rvs]


def _sampling(tree: xr.DataTree, chains: int, draws: int) -> Sampling:
    """Collect what the idata knows of the run that made it."""
    attrs: dict[Any, Any] = dict(tree["posterior"].attrs)
    divergences, taken = 0, None
    if "sample_stats" in tree.children:
        stats = tree["sample_stats"]
        attrs |= stats.attrs
        if "diverging" in stats.data_vars:
            divergences = int(stats["diverging"].sum())
    tune = attrs.get("tuning_steps", 0)
    if "warmup_posterior" in tree.children:
        tune = tree["warmup_posterior"].sizes.get("draw", tune)
    if "sample_stats" in tree.children:
        taken = gradients_taken(tree["sample_stats"].to_dataset(), int(tune))
    return Sampling(
        chains=chains,
        draws=draws,
        tune=int(tune),
        divergences=divergences,
        rhat_max=np.nan,
        ess_min=np.nan,
        seconds=float(attrs.get("sampling_time", np.nan)),
        sampler=str(attrs.get("inference_library", "unknown")),
        gradients=taken,
    )
