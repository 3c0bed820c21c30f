"""ArviZ-ready trees of a posterior: resampled for plots, weighted without loss, and saved to one file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import xarray as xr

from bayesrepair.fit import Fit
from bayesrepair.posterior import Draws
from bayesrepair.status import DataError
from bayesrepair.tree_groups import GROUPS


def posterior_tree(
    fit: Fit,
    *,
    groups: Sequence[str] = ("posterior", "observed_data"),
    draws: int | None = None,
    random_seed: int = 0,
) -> xr.DataTree:
    """A tree for ArviZ; weighted draws are resampled systematically, in the order in which they were sampled.

    Copies of a draw stand side by side, and draws of one ancestor too, so that ArviZ sees them as what they are,
    correlated draws of a chain: its ``ess_bulk``, ``ess_tail`` and ``mcse`` hold for the edited posterior. The pooled
    chains are resampled together and cut into as many chains as there were: a chain that gained weight takes the
    place of one that lost it, and shows up in r̂.

    Parameters
    ----------
    fit : Fit
    groups : sequence of str
        ``posterior`` comes with every tree. ``observed_data``, ``log_likelihood``, ``log_prior``,
        ``posterior_predictive`` are for the rows that this posterior rests on. Two of them hold a number for each draw
        and row: 8 bytes × draws × rows, which the library never holds elsewhere.
    draws : int, optional
        Draws in all chains together, as many as there are by default; fewer bound the memory.
    random_seed : int
        Of the resampling, and of the simulated outcomes.

    Returns
    -------
    DataTree
        The attribute ``effective_sample_size`` of the group ``posterior`` is that of the weights.

    Raises
    ------
    DataError
        If a group is unknown.
    """
    unknown = [name for name in groups if name != "posterior" and name not in GROUPS]
    if unknown:
        raise DataError(f"groups among posterior, {', '.join(GROUPS)}", ", ".join(unknown))
    rng = np.random.default_rng(random_seed)
    picked, chains = _equally_weighted(fit.draws, draws, rng)
    theta = fit.draws.theta[picked]
    posterior = _dataset(fit, theta, chains)
    posterior.attrs["effective_sample_size"] = float(fit.draws.ess)
    made = {name: GROUPS[name](fit, theta, chains, rng) for name in GROUPS if name in groups}
    return xr.DataTree.from_dict({"posterior": posterior, **made})


def weighted_tree(fit: Fit) -> xr.DataTree:
    """All draws with ``log_weight`` (raw) and ``pareto_k``: nothing is lost."""
    draws = fit.draws
    order, chains = _by_chain(draws)
    posterior = _dataset(fit, draws.theta[order], chains)
    posterior["log_weight"] = (("chain", "draw"), draws.log_weights[order].reshape(chains, -1))
    posterior["pareto_k"] = float(draws.khat)
    if draws.ancestor is not None:
        posterior["ancestor"] = (("chain", "draw"), draws.ancestor[order].reshape(chains, -1))
    return xr.DataTree.from_dict({"posterior": posterior})


def save_posteriors(path: str | Path, before: Fit, after: Fit, receipt: xr.Dataset) -> None:
    """Write ``original/posterior``, ``repaired/posterior`` and ``receipt`` to one netCDF file (h5netcdf)."""
    tree = xr.DataTree.from_dict(
        {
            "original/posterior": weighted_tree(before)["posterior"].to_dataset(),
            "repaired/posterior": weighted_tree(after)["posterior"].to_dataset(),
            "receipt": receipt,
        }
    )
    tree.to_netcdf(path, engine="h5netcdf")


def _dataset(fit: Fit, theta: np.ndarray, chains: int) -> xr.Dataset:
    """Constrained parameters as (chain, draw, ...), under the user's own dims and coords."""
    shape = chains, len(theta) // chains
    variables, coords = {}, {}
    for name, value in fit.model.constrain(theta).items():
        value = np.asarray(value)
        dims = fit.model.dims.get(name) or tuple(f"{name}_dim_{i}" for i in range(value.ndim - 1))
        variables[name] = (("chain", "draw", *dims), value.reshape(*shape, *value.shape[1:]))
        coords.update({d: fit.model.coords[d] for d in dims if d in fit.model.coords})
    coords["chain"], coords["draw"] = np.arange(shape[0]), np.arange(shape[1])
    return xr.Dataset(variables, coords=coords)


def _by_chain(draws: Draws) -> tuple[np.ndarray, int]:
    """Positions of all draws, chain after chain, and the number of chains; one where they differ in length."""
    _, counts = np.unique(draws.chain, return_counts=True)
    return np.argsort(draws.chain, kind="stable"), len(counts) if (counts == counts[0]).all() else 1


def _equally_weighted(draws: Draws, size: int | None, rng: np.random.Generator) -> tuple[np.ndarray, int]:
    """Positions of draws of equal weight, kin side by side, and the number of chains to cut them into."""
    order, chains = _by_chain(draws)
    if draws.ancestor is not None:
        order = np.argsort(draws.ancestor, kind="stable")
    if size is None and not draws.is_weighted:
        return order, chains
    chains = len(np.unique(draws.chain))
    length = max(1, (len(draws) if size is None else size) // chains)
    points = (rng.random() + np.arange(chains * length)) / (chains * length)
    return order[np.minimum(np.searchsorted(np.cumsum(draws.weights[order]), points), len(draws) - 1)], chains
