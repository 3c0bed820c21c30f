"""A glance at what draws predict: enough to know how many of them are effective, before they are checked."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bayesrepair.fit import Change
from bayesrepair.numerics.weighted_error import effective
from bayesrepair.posterior import Draws
from bayesrepair.predictive import unbounded

PREDICTED_ROWS = 120
COUNTED_PREDICTIONS = 30  # for their effective sample sizes
CACHED = 60_000  # predictions at a time: arrays that stay in the cache


@dataclass(frozen=True, eq=False)
class Predictions:
    """Predictions of some rows: those that change, as far as they fit, and a random sample of the others.

    Parameters
    ----------
    change : Change
    at : array of int
        Positions of the rows.
    """

    change: Change
    at: np.ndarray

    @classmethod
    def of(cls, change: Change, rng: np.random.Generator) -> Predictions:
        """Choose the rows."""
        changed = np.flatnonzero(change.after != change.before)
        others = np.flatnonzero(change.after == change.before)
        classes = change.model.outcome.classes
        room = max(20, PREDICTED_ROWS // max(1, len(classes or ()) - 1))
        some = rng.permutation(changed)[: room // 2]
        rest = rng.permutation(others)[: room - len(some)]
        return cls(change, np.sort(np.concatenate([some, rest])))

    def __call__(self, theta: np.ndarray) -> np.ndarray:
        """Predictions on an unbounded scale, (S, P) → (S, H)."""
        rows, model = self.change.rows.at(self.at), self.change.model
        size = max(1, CACHED // max(1, len(model.outcome.classes or ()) * len(rows)))
        parts = [unbounded(model.predict(theta[a : a + size], rows), model.outcome) for a in range(0, len(theta), size)]
        return np.concatenate(parts).reshape(len(theta), -1)


@dataclass(frozen=True, eq=False)
class Glance:
    """What draws predict, seen before they are checked.

    Parameters
    ----------
    rows : Predictions
    predictions : array, shape (S', H)
        Of the draws that have any weight.
    ess_mean, ess_tails : float
        Effective draws, as in `Check`.
    """

    rows: Predictions
    predictions: np.ndarray
    ess_mean: float
    ess_tails: float

    @classmethod
    def of(cls, change: Change, posterior: Draws, rng: np.random.Generator) -> Glance:
        """Predict some of the rows, and count the draws that this rests on."""
        used = np.flatnonzero(posterior.weights > 0)
        rows = Predictions.of(change, rng)
        predictions = rows(posterior.theta[used])
        some = np.linspace(0, predictions.shape[1] - 1, min(COUNTED_PREDICTIONS, predictions.shape[1])).astype(int)
        found = effective(predictions[:, some], posterior.weights[used], posterior.chain[used])
        return cls(rows, predictions, found.mean, found.tails)
