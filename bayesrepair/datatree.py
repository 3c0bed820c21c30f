"""ArviZ-ready trees of a posterior: resampled for plots, weighted without loss, and saved to one file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import xarray as xr

from bayesrepair.fit import Fit
from bayesrepair.posterior import Draws


def posterior_tree(fit: Fit, *, random_seed: int = 0) -> xr.DataTree:
    """A tree with a top-level ``posterior``; weighted draws are resampled systematically.

    ArviZ counts resampled draws as independent, so summaries overstate their effective size: the attribute
    ``effective_sample_size`` of the group says what it is.
    """
    draws = fit.draws
    theta, chain = draws.theta, draws.chain
    if draws.is_weighted:
        picked = _resampled(draws, np.random.default_rng(random_seed))
        theta = theta[picked]
    posterior = _dataset(fit, theta, chain)
    posterior.attrs["effective_sample_size"] = float(draws.ess)
    return xr.DataTree.from_dict({"posterior": posterior})


def weighted_tree(fit: Fit) -> xr.DataTree:
    """All draws with ``log_weight`` (raw) and ``pareto_k``: nothing is lost."""
    draws = fit.draws
    posterior = _dataset(fit, draws.theta, draws.chain)
    dims = ("chain", "draw")
    shape = tuple(posterior.sizes[d] for d in dims)
    posterior["log_weight"] = (dims, draws.log_weights[np.argsort(draws.chain, kind="stable")].reshape(shape))
    posterior["pareto_k"] = float(draws.khat)
    return xr.DataTree.from_dict({"posterior": posterior})


def save_posteriors(path: str | Path, before: Fit, after: Fit, receipt: dict[str, str]) -> None:
    """Write ``original/posterior``, ``repaired/posterior`` and ``receipt`` to one netCDF file (h5netcdf)."""
    tree = xr.DataTree.from_dict(
        {
            "original/posterior": weighted_tree(before)["posterior"].to_dataset(),
            "repaired/posterior": weighted_tree(after)["posterior"].to_dataset(),
            "receipt": xr.Dataset(attrs=receipt),
        }
    )
    tree.to_netcdf(path, engine="h5netcdf")


def _dataset(fit: Fit, theta: np.ndarray, chain: np.ndarray) -> xr.Dataset:
    """Constrained parameters as (chain, draw, ...), under the user's own dims and coords."""
    chains, counts = np.unique(chain, return_counts=True)
    shape = (len(chains), int(counts[0])) if (counts == counts[0]).all() else (1, len(chain))
    order = np.argsort(chain, kind="stable")
    variables, coords = {}, {}
    for name, value in fit.model.constrain(theta[order]).items():
        value = np.asarray(value)
        dims = fit.model.dims.get(name) or tuple(f"{name}_dim_{i}" for i in range(value.ndim - 1))
        variables[name] = (("chain", "draw", *dims), value.reshape(*shape, *value.shape[1:]))
        coords.update({d: fit.model.coords[d] for d in dims if d in fit.model.coords})
    coords["chain"], coords["draw"] = np.arange(shape[0]), np.arange(shape[1])
    return xr.Dataset(variables, coords=coords)


def _resampled(draws: Draws, rng: np.random.Generator) -> np.ndarray:
    """As many draws as there are, within the pooled chains, in random order (order carries no meaning any more)."""
    return rng.permutation(draws.resampled(len(draws), rng))
