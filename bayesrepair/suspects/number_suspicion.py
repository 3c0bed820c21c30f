"""What the posterior of a noise-aware model says of each measurement or count."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from bayesrepair.fit import Fit
from bayesrepair.noise import Noisy
from bayesrepair.rows import Rows
from bayesrepair.suspects.passes import NumberPass, fastest, over_rows


@dataclass(frozen=True, eq=False)
class NumberSuspicion:
    """What the noise-aware posterior says of each row.

    Parameters
    ----------
    prob_wrong, mcse : array, shape (N,)
    predicted : array, shape (N,)
        Posterior mean of the outcome of a right record.
    low, high : array, shape (N,)
        Central 90 % predictive interval of a right record.
    count : array, shape (S',)
        Number of wrong rows, one draw of it for each of S' draws.
    loo : array, shape (N,)
        PSIS-LOO log score of the given outcome under the noise-aware model, nats.
    """

    prob_wrong: np.ndarray
    mcse: np.ndarray
    predicted: np.ndarray
    low: np.ndarray
    high: np.ndarray
    count: np.ndarray
    loo: np.ndarray

    @property
    def doubt(self) -> float:
        """Share of the expected wrong rows that are not the ones with the highest probability: Σ p (1 − p) / Σ p.

        Near 0 where rows are clearly wrong or clearly right, near 1 where no row stands out.
        """
        p = self.prob_wrong
        return float((p * (1 - p)).sum() / max(p.sum(), np.finfo(float).tiny))


def number_suspicion(
    fit: Fit, rows: Rows, rng: np.random.Generator, *, client: Any = None, progressbar: bool = False
) -> NumberSuspicion:
    """One pass over the rows of a noise-aware fit, block by block.

    Parameters
    ----------
    fit : Fit
        Of a noise-aware model of measurements or counts.
    rows : Rows
    rng : Generator
    client : distributed.Client or str, optional
        Whose workers do it.
    progressbar : bool
    """
    assert isinstance(fit.model, Noisy)  # as `noisy_fit` made it
    look = NumberPass(fastest(fit, rows, len(fit.draws)), fit.draws, int(rng.integers(2**63)))
    found = over_rows(look, rows, title="Looking for wrong records", client=client, progressbar=progressbar)
    return NumberSuspicion(**found)
