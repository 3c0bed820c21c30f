"""Relative efficiency of draws from Markov chains."""

from __future__ import annotations

import numpy as np

from bayesrepair.numerics.batches import batches
from bayesrepair.numerics.weighted_error import BATCHES, batched_ess


def by_chain(values: np.ndarray, chain: np.ndarray) -> np.ndarray:
    """Values (S, H) as (chains, draws, H), every chain cut to the length of the shortest."""
    names, counts = np.unique(chain, return_counts=True)
    return np.stack([values[chain == name][: counts.min()] for name in names])


def relative_efficiency(values: np.ndarray, chain: np.ndarray) -> float:
    """Effective sample size divided by the number of draws: harmonic mean over columns, at most one.

    By batches within chains, in one product for all columns: ArviZ's rank-normalised sizes of a hundred columns take as
    long as to move the draws.

    Parameters
    ----------
    values : array, shape (S, H)
    chain : array, shape (S,)

    Returns
    -------
    float

    Examples
    --------
    >>> independent = np.random.default_rng(0).standard_normal((1000, 10))
    >>> relative_efficiency(np.repeat(independent, 4, axis=0), np.zeros(4000)) < 0.4
    True
    """
    sizes = batched_ess(values, np.full(len(values), 1 / len(values)), batches(chain, BATCHES))
    return float(np.clip(1 / np.mean(1 / sizes) / len(values), 1e-3, 1.0))
