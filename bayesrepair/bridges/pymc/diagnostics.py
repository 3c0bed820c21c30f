"""What the sampler had to say about a set of draws."""

from __future__ import annotations

import warnings
from dataclasses import replace

import numpy as np
import xarray as xr

from bayesrepair.numerics import array_stats
from bayesrepair.posterior import Draws, Sampling
from bayesrepair.status import SamplingWarning

LARGEST_RHAT = 1.05


def diagnosed(draws: Draws, sampling: Sampling) -> Draws:
    """Fill in r̂, effective sample sizes and r_eff.

    Parameters
    ----------
    draws : Draws
        Plain draws, chain after chain, each of the same length.
    sampling : Sampling
        What is known of the run; ``rhat_max`` and ``ess_min`` are overwritten.

    Returns
    -------
    Draws
        ``r_eff`` is the mean over parameters of ESS / S, as PSIS wants it.

    Warns
    -----
    SamplingWarning
        If there were divergences, or if r̂ exceeds 1.05.

    Examples
    --------
    >>> rng = np.random.default_rng(1)
    >>> plain = Draws.plain(rng.normal(size=(2000, 3)), np.repeat([0, 1], 1000))
    >>> result = diagnosed(plain, Sampling(2, 1000, 0, 0, np.nan, np.nan, np.nan, "iid"))
    >>> bool(result.sampling.rhat_max < 1.01)
    True
    """
    chains, length = sampling.chains, sampling.draws
    by_chain = draws.theta.reshape(chains, length, -1)
    moving = np.ptp(draws.theta, axis=0) > 0
    rhat_max = ess_min = np.nan
    r_eff = 1.0
    if moving.any() and length >= 4:
        moved = by_chain[..., moving]
        with warnings.catch_warnings():
            # A chain that never moved has no variance: its r-hat comes out as nan or infinity.
            warnings.simplefilter("ignore", RuntimeWarning)
            rhat = array_stats.rhat(moved, chain_axis=0, draw_axis=1)
            bulk = array_stats.ess(moved, chain_axis=0, draw_axis=1, method="bulk")
            mean = array_stats.ess(moved, chain_axis=0, draw_axis=1, method="mean")
        rhat_max = float(np.max(rhat)) if chains > 1 else np.nan
        ess_min = float(np.min(bulk))
        r_eff = float(np.clip(np.nanmean(mean) / len(draws), 1.0 / len(draws), None))
    result = replace(draws, r_eff=r_eff, sampling=replace(sampling, rhat_max=rhat_max, ess_min=ess_min))
    _warn(result)
    return result


def gradients_taken(stats: xr.Dataset, tune: int) -> int | None:
    """Gradients of a run from its sample statistics; tuning, of which nothing is kept, is taken to cost as much a draw.

    Parameters
    ----------
    stats : Dataset
        With ``n_steps`` (nutpie, PyMC) or ``tree_size``, (chain, draw).
    tune : int

    Returns
    -------
    int or None
        None where the sampler did not keep them.
    """
    for name in ("n_steps", "tree_size"):
        if name in stats.data_vars:
            steps = stats[name]
            return int(float(steps.sum()) * (1 + tune / max(1, steps.sizes["draw"])))
    return None


def _warn(draws: Draws) -> None:
    sampling = draws.sampling
    assert sampling is not None
    found = []
    if sampling.divergences:
        found.append(f"{sampling.divergences} of {len(draws)} draws diverged")
    if sampling.rhat_max > LARGEST_RHAT:
        found.append(f"r-hat reaches {sampling.rhat_max:.3f} (good up to {LARGEST_RHAT})")
    if found:
        message = f"{' and '.join(found)}: what follows from these draws is doubtful. "
        remedy = "Sample longer, raise target_accept, or reparameterise the model."
        warnings.warn(SamplingWarning(message + remedy), stacklevel=4)
