"""Passes over the rows of a noise-aware fit: block functions, run here or on a cluster."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from bayesrepair.fit import Fit
from bayesrepair.noise import Noisy
from bayesrepair.numerics.batches import batches
from bayesrepair.numerics.label_posterior import wrong
from bayesrepair.numerics.loo import loo_log_score
from bayesrepair.numerics.short_axis import largest
from bayesrepair.posterior import Draws
from bayesrepair.rows import Rows
from bayesrepair.streaming.arrays import Arrays
from bayesrepair.streaming.pieces import RowsSource
from bayesrepair.streaming.piecewise import Columns, Piecewise, Total
from bayesrepair.streaming.runner import streamed
from bayesrepair.streaming.scoring_model import scoring_model

COUNT_DRAWS = 1000  # draws whose wrong rows are simulated and counted
INTERVAL_DRAWS = 400  # draws of which each predicts one right record


@dataclass(frozen=True, eq=False)
class NoisyPass(Piecewise):
    """What a pass over labels and one over numbers share.

    Parameters
    ----------
    model : Noisy
    draws : Draws
    seed : int
        Of the simulated wrong rows.
    """

    model: Noisy
    draws: Draws
    seed: int

    @cached_property
    def _average(self) -> np.ndarray:
        """Means of each batch of draws, (B, S)."""
        batch = batches(self.draws.chain)
        average = np.zeros((int(batch.max()) + 1, len(self.draws)))
        average[batch, np.arange(len(self.draws))] = 1.0 / np.bincount(batch)[batch]
        return average

    def judged(self, q: np.ndarray, rows: Rows, rng: np.random.Generator) -> Columns:
        """``prob``, its error, the number of wrong rows and the LOO score, from P(wrong) at each draw (S, n)."""
        counted = np.linspace(0, len(q) - 1, min(len(q), COUNT_DRAWS)).astype(int)
        means = self._average @ q
        loo, _ = loo_log_score(self.model.log_lik(self.draws.theta, rows), np.zeros(len(q)), r_eff=self.draws.r_eff)
        return {
            "prob_wrong": q.mean(axis=0),
            "mcse": means.std(axis=0, ddof=1) / np.sqrt(len(means)),
            "count": Total((rng.random((len(counted), len(rows))) < q[counted]).sum(axis=1).astype(float)),
            "loo": loo,
        }


@dataclass(frozen=True, eq=False)
class LabelPass(NoisyPass):
    """Columns of `bayesrepair.suspects.suspicion.Suspicion`."""

    @property
    def outputs(self) -> int:  # type: ignore[override]
        """Numbers a row and draw."""
        return len(self.model.outcome.classes or ())

    def of_block(self, rows: Rows, rng: np.random.Generator) -> Columns:
        """Results of one block of rows."""
        each, theta = np.arange(len(rows)), self.draws.theta
        given = np.asarray(rows.values[self.model.outcome.name]).astype(int)
        truth = self.model.truth(theta, rows)
        found = self.judged(wrong(truth, given), rows, rng)
        mean = truth.mean(axis=0)
        mean[each, given] = -1.0
        suggested = mean.argmax(axis=1)
        pi = self.model.predict(theta, rows)
        return found | {
            "suggested": suggested,
            "prob_suggested": mean.max(axis=1),
            "looks": pi[:, each, suggested].mean(axis=0),
            "exceptional": 1 - largest(pi)[..., 0].mean(axis=0),
        }


@dataclass(frozen=True, eq=False)
class NumberPass(NoisyPass):
    """Columns of `bayesrepair.suspects.number_suspicion.NumberSuspicion`."""

    def of_block(self, rows: Rows, rng: np.random.Generator) -> Columns:
        """Results of one block of rows."""
        theta = self.draws.theta
        found = self.judged(self.model.wrong(theta, rows), rows, rng)
        some = np.linspace(0, len(theta) - 1, min(len(theta), INTERVAL_DRAWS)).astype(int)
        low, high = np.quantile(self.model.simulate(theta[some], rows, rng), [0.05, 0.95], axis=0)
        return found | {"predicted": self.model.predict(theta, rows)[:, :, 0].mean(axis=0), "low": low, "high": high}


def fastest(fit: Fit, rows: Rows, draws: int) -> Any:
    """The fit's model, run by what is fastest for a pass of so many draws: see `bayesrepair.find_causes`."""
    model, _ = scoring_model(fit, RowsSource(rows), draws=draws, precision="double", store=None)
    return model


def over_rows(function: Piecewise, rows: Rows, *, title: str, client: Any, progressbar: bool) -> dict[str, Any]:
    """Results of a pass over rows in memory, by name."""
    source = RowsSource(rows)
    store = Arrays(len(source), len(source.pieces))
    found = streamed(function, source, title=title, store=store, client=client, progressbar=progressbar)
    return {name: values[:] for name, values in found.items()}
