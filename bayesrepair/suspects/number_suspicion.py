"""What the posterior of a noise-aware model says of each measurement or count."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bayesrepair.fit import Fit
from bayesrepair.noise import Noisy
from bayesrepair.numerics.blocks import row_blocks
from bayesrepair.numerics.loo import loo_log_score
from bayesrepair.numerics.scoring import batches
from bayesrepair.progress import row_progress
from bayesrepair.rows import Rows

COUNT_DRAWS = 1000  # draws whose wrong rows are simulated and counted
INTERVAL_DRAWS = 400  # draws of which each predicts one right record


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


def number_suspicion(fit: Fit, rows: Rows, rng: np.random.Generator, *, progressbar: bool = False) -> NumberSuspicion:
    """One pass over the rows of a noise-aware fit, block by block.

    Parameters
    ----------
    fit : Fit
        Of a noise-aware model of measurements or counts.
    rows : Rows
    rng : Generator
    progressbar : bool
    """
    draws, model = fit.draws, fit.model
    assert isinstance(model, Noisy)  # as `noisy_fit` made it
    batch = batches(draws.chain)
    average = np.zeros((int(batch.max()) + 1, len(draws)))
    average[batch, np.arange(len(draws))] = 1.0 / np.bincount(batch)[batch]
    counted = np.linspace(0, len(draws) - 1, min(len(draws), COUNT_DRAWS)).astype(int)
    simulated = np.linspace(0, len(draws) - 1, min(len(draws), INTERVAL_DRAWS)).astype(int)
    count, parts = np.zeros(len(counted)), []
    with row_progress("Looking for wrong records", len(rows), shown=progressbar) as progress:
        for _, block in row_blocks(rows, len(draws)):
            q = model.wrong(draws.theta, block)
            count += (rng.random((len(counted), len(block))) < q[counted]).sum(axis=1)
            mcse = (average @ q).std(axis=0, ddof=1) / np.sqrt(len(average))
            mean = model.predict(draws.theta, block)[:, :, 0].mean(axis=0)
            low, high = np.quantile(model.simulate(draws.theta[simulated], block, rng), [0.05, 0.95], axis=0)
            loo, _ = loo_log_score(model.log_lik(draws.theta, block), np.zeros(len(draws)), r_eff=draws.r_eff)
            parts.append((q.mean(axis=0), mcse, mean, low, high, loo))
            progress(len(block))
    prob, mcse, mean, low, high, loo = (np.concatenate(column) for column in zip(*parts, strict=True))
    return NumberSuspicion(prob, mcse, mean, low, high, count, loo)
