"""Weight of one model against another, from their leave-one-out log scores."""

from __future__ import annotations

import numpy as np
from scipy.special import expit

REPLICATES = 1000
_SEED = 20240229  # the same bootstrap each time
_CELLS = 10_000_000  # numbers held at once


def bootstrap_weight(difference: np.ndarray, *, replicates: int = REPLICATES) -> float:
    """Pseudo-BMA+ weight of the first of two models: ``E_b[1 / (1 + exp(−Σ_i b_i d_i))]``, b ~ N · Dirichlet(1, …, 1).

    Parameters
    ----------
    difference : array, shape (N,)
        Log score of each row under the first model, less that under the second, nats.
    replicates : int
        Of the Bayesian bootstrap, which stands for which rows happened to be seen.

    Returns
    -------
    float
        Between 0 and 1; one half without rows.

    References
    ----------
    Yao, Vehtari, Simpson, Gelman (2018), Using stacking to average Bayesian predictive distributions,
    doi:10.1214/17-BA1091, §3.4.

    Examples
    --------
    Two nats in favour of the first, the same in each row: 1 / (1 + e⁻²).

    >>> round(bootstrap_weight(np.full(100, 0.02)), 3)
    0.881
    """
    if not len(difference):
        return 0.5
    rng = np.random.default_rng(_SEED)
    count, total = len(difference), 0.0
    size = max(1, _CELLS // count)
    for start in range(0, replicates, size):
        share = rng.standard_exponential((min(size, replicates - start), count))
        share *= count / share.sum(axis=1, keepdims=True)
        total += float(expit(share @ difference).sum())
    return total / replicates
