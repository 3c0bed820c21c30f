"""Relative efficiency of draws from Markov chains."""

from __future__ import annotations

import numpy as np

from bayesrepair.numerics import array_stats


def by_chain(values: np.ndarray, chain: np.ndarray) -> np.ndarray:
    """Values (S, H) as (chains, draws, H), every chain cut to the length of the shortest."""
    names, counts = np.unique(chain, return_counts=True)
    return np.stack([values[chain == name][: counts.min()] for name in names])


def relative_efficiency(values: np.ndarray, chain: np.ndarray) -> float:
    """Mean over columns of the effective sample size divided by the number of draws, at most one.

    Parameters
    ----------
    values : array, shape (S, H)
    chain : array, shape (S,)

    Returns
    -------
    float
        One where the chains are too short (under 20 draws) to measure it.

    Examples
    --------
    >>> independent = np.random.default_rng(0).standard_normal((1000, 1))
    >>> relative_efficiency(np.repeat(independent, 4, axis=0), np.zeros(4000)) < 0.4
    True
    """
    split = by_chain(values, chain)
    if split.shape[1] < 20:
        return 1.0
    varying = split[:, :, np.ptp(split, axis=(0, 1)) > 0]
    if not varying.size:
        return 1.0
    ess = array_stats.ess(varying, chain_axis=0, draw_axis=1, relative=True)
    return float(np.clip(np.nanmean(ess), 1e-3, 1.0))
