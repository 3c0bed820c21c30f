"""Peers of B1, measured beside the library's rungs: moment matching of arviz-stats, and short NUTS from a cold start.

A peer gives draws and no verdict. Plain PSIS, the usual recipe, is the rung ``weights``.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import xarray as xr
from arviz_stats import loo, loo_moment_match

import bayesrepair as br
from bayesrepair.posterior import Draws
from benchmarks.edits import Edit

_BLOCK = 200
_SAMPLE = ("chain", "draw")


def moment_matching(fit: br.Fit, edit: Edit, seed: int) -> tuple[Draws, dict[str, Any]]:
    """Implicitly adaptive importance sampling (arXiv:1906.08850) as `arviz_stats.loo_moment_match` does it.

    The whole edit is handed over as one observation that is left out, with log-likelihood −Σ power · log p: deleting
    rows is then leaving them out, and an insertion is leaving out the reciprocal. The function returns log weights but
    not the draws they belong to; those are the ones at which it asked for the likelihood last.
    """
    change = fit.change(*edit)
    seen: list[np.ndarray] = []
    shape = (len(np.unique(fit.draws.chain)), -1, fit.model.n_params)

    def log_prob(upars: xr.DataArray) -> xr.DataArray:
        theta = upars.values.reshape(-1, shape[2])
        return _as_array(fit.model.log_prior(theta) + _weighted(fit, theta, change.rows, change.before), upars)

    def log_lik(upars: xr.DataArray, i: int) -> xr.DataArray:
        seen.append(upars.values.reshape(-1, shape[2]))
        return _as_array(-_weighted(fit, seen[-1], change.factor.rows, change.factor.powers), upars)

    upars = xr.DataArray(fit.draws.theta.reshape(shape), dims=(*_SAMPLE, "parameter"))
    left_out = log_lik(upars, 0).expand_dims(obs=1, axis=2)
    tree = xr.DataTree.from_dict(
        {
            "posterior": upars.rename("theta").to_dataset(),
            "log_likelihood": left_out.rename("edit").to_dataset(),
        }
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of large k-hat and of exhausted iterations: the table shows k-hat
        first = loo(tree, pointwise=True, var_name="edit", reff=fit.draws.r_eff)
        matched = loo_moment_match(
            tree,
            first,
            log_prob_upars_fn=log_prob,
            log_lik_i_upars_fn=log_lik,
            upars=upars,
            var_name="edit",
            reff=fit.draws.r_eff,
            pointwise=True,
        )
    improved = float(matched.pareto_k.item()) < float(first.pareto_k.item())
    log_weights = matched.log_weights.squeeze("obs").transpose(*_SAMPLE).values.ravel()
    draws = replace(fit.draws, theta=seen[-1] if improved else seen[0], log_weights=log_weights, sampling=None)
    return draws, {"khat": float(matched.pareto_k.item()), "ess": draws.ess}


def cold_nuts(fit: br.Fit, edit: Edit, seed: int, *, steps: int) -> tuple[Draws, dict[str, Any]]:
    """NUTS on the compiled target from the model's own starting points, as many tuning steps as draws a chain."""
    rows, weight = fit.net(*edit)
    sampler = fit.model.sampler
    usual = sampler.settings
    sampler.settings = replace(usual, tune=steps, draws=steps)
    try:
        draws = fit.model.train(rows, rng=np.random.default_rng([seed, steps]), weights=weight)
    finally:
        sampler.settings = usual
    return draws, {"khat": -np.inf, "ess": draws.sampling.ess_min}


def _weighted(fit: br.Fit, theta: np.ndarray, rows: br.Rows, power: np.ndarray) -> np.ndarray:
    """``Σ power · log_lik``, shape (S,)."""
    total = np.zeros(len(theta))
    for where, block in rows.at(np.flatnonzero(power)).blocks(_BLOCK):
        total += fit.model.log_lik(theta, block) @ power[np.flatnonzero(power)][where]
    return total


def _as_array(values: np.ndarray, like: xr.DataArray) -> xr.DataArray:
    return xr.DataArray(values.reshape(like.shape[:2]), dims=_SAMPLE, coords={d: like[d] for d in _SAMPLE})


PEERS: dict[str, Callable[[br.Fit, Edit, int], tuple[Draws, dict[str, Any]]]] = {
    "moment matching (arviz-stats)": moment_matching,
    "cold NUTS 100 + 100": partial(cold_nuts, steps=100),
    "cold NUTS 200 + 200": partial(cold_nuts, steps=200),
}
