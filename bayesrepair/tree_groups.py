"""Groups of a tree beside the posterior, for the rows that an edited posterior rests on."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol, runtime_checkable

import numpy as np
import xarray as xr

from bayesrepair.fit import Fit
from bayesrepair.numerics.blocks import row_blocks

ROW = "row"


@runtime_checkable
class KnowsItsPriors(Protocol):
    """A model that tells the log prior of each free variable on the user's own scale."""

    def log_prior_terms(self, theta: np.ndarray) -> Mapping[str, np.ndarray]:
        """Log prior of each free variable, without the Jacobian: (S, P) → arrays (S, ...)."""
        ...


def observed_data(fit: Fit, theta: np.ndarray, chains: int, rng: np.random.Generator) -> xr.Dataset:
    """Outcomes of the rows; class codes, with the names of the classes as coordinate ``given``."""
    rows, row, weight = fit.retained()
    outcome = fit.model.outcome
    value = np.asarray(rows.values[outcome.name])
    coords = _coords(row, weight)
    if outcome.classes is not None:
        coords["given"] = (ROW, np.array([str(outcome.classes[code]) for code in value.astype(int)], dtype=object))
    dims = (ROW, *(f"{outcome.name}_dim_{i}" for i in range(1, value.ndim)))
    return xr.Dataset({outcome.name: (dims, value)}, coords=coords)


def log_likelihood(fit: Fit, theta: np.ndarray, chains: int, rng: np.random.Generator) -> xr.Dataset:
    """``weight · log p(row | θ)``: the term with which each row enters the posterior.

    A row of weight 1 has its plain log-likelihood. Others carry their weight as the coordinate ``row_weight``, and
    leaving one out takes away what it put in.
    """
    rows, row, weight = fit.retained()
    values = np.empty((len(theta), len(rows)))
    for where, block in row_blocks(rows, len(theta)):
        values[:, where] = fit.model.log_lik(theta, block) * weight[where]
    return _over_rows(fit, values, chains, _coords(row, weight))


def log_prior(fit: Fit, theta: np.ndarray, chains: int, rng: np.random.Generator) -> xr.Dataset:
    """Log prior of each free variable on the user's scale; of all together where the model cannot tell them apart."""
    if isinstance(fit.model, KnowsItsPriors):
        terms = fit.model.log_prior_terms(theta)
    else:
        terms = {"all parameters, unconstrained": fit.model.log_prior(theta)}
    variables = {}
    for name, value in terms.items():
        declared = fit.model.dims.get(name, ())
        dims = declared if len(declared) == value.ndim - 1 else tuple(f"{name}_dim_{i}" for i in range(value.ndim - 1))
        variables[name] = (("chain", "draw", *dims), value.reshape(chains, -1, *value.shape[1:]))
    used = {dim for dims, _ in variables.values() for dim in dims}
    coords: dict[str, Any] = {dim: values for dim, values in fit.model.coords.items() if dim in used}
    return xr.Dataset(variables, coords=coords | _draw_coords(chains, len(theta)))


def posterior_predictive(fit: Fit, theta: np.ndarray, chains: int, rng: np.random.Generator) -> xr.Dataset:
    """One simulated outcome a draw and row."""
    rows, row, weight = fit.retained()
    parts = [fit.model.simulate(theta, block, rng) for _, block in row_blocks(rows, len(theta))]
    return _over_rows(fit, np.concatenate(parts, axis=1), chains, _coords(row, weight))


def _over_rows(fit: Fit, values: np.ndarray, chains: int, coords: dict[str, Any]) -> xr.Dataset:
    name = fit.model.outcome.name
    dims = ("chain", "draw", ROW, *(f"{name}_dim_{i}" for i in range(1, values.ndim - 1)))
    shaped = values.reshape(chains, -1, *values.shape[1:])
    return xr.Dataset({name: (dims, shaped)}, coords=coords | _draw_coords(chains, len(values)))


def _draw_coords(chains: int, size: int) -> dict[str, np.ndarray]:
    return {"chain": np.arange(chains), "draw": np.arange(size // chains)}


def _coords(row: np.ndarray, weight: np.ndarray) -> dict[str, Any]:
    """Ids of the rows, and their weights where one differs from 1."""
    coords: dict[str, Any] = {ROW: row}
    if (weight != 1).any():
        coords["row_weight"] = (ROW, weight)
    return coords


Group = Callable[[Fit, np.ndarray, int, np.random.Generator], xr.Dataset]

GROUPS: dict[str, Group] = {
    "observed_data": observed_data,
    "log_likelihood": log_likelihood,
    "log_prior": log_prior,
    "posterior_predictive": posterior_predictive,
}
