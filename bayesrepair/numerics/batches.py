"""Batches of draws: consecutive blocks within chains, whose sums are nearly independent of one another."""

from __future__ import annotations

import numpy as np

BATCHES = 24  # for the errors of row scores: every batch is one row of the matrix that a block is multiplied by


def batches(chain: np.ndarray, count: int = BATCHES) -> np.ndarray:
    """Batch of each draw: consecutive blocks within chains, about ``count`` in all, shape (S,).

    Examples
    --------
    >>> batches(np.repeat([0, 1], 4), count=4)
    array([0, 0, 1, 1, 2, 2, 3, 3])
    """
    names, chain_of = np.unique(chain, return_inverse=True)
    each = max(1, round(count / len(names)))
    label = np.empty(len(chain), dtype=int)
    start = 0
    for one in range(len(names)):
        where = np.flatnonzero(chain_of == one)
        used = min(each, len(where))
        label[where] = start + (np.arange(len(where)) * used) // len(where)
        start += used
    return label
