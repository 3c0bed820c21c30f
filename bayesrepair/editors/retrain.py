"""Refit on what the edit leaves: the reference for every other editor."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from bayesrepair.fit import Change
from bayesrepair.judgement import Info
from bayesrepair.model import Trainable
from bayesrepair.posterior import Draws, Ensemble, Gaussian, Point, Posterior


@dataclass(frozen=True)
class Retrain:
    """Fit the model anew with the edited row weights.

    Rows of weight zero are handed over too, so that a model compiled once for these rows serves again.
    """

    accepts: ClassVar[tuple[type, ...]] = (Draws, Gaussian, Point, Ensemble)
    needs: ClassVar[tuple[type, ...]] = (Trainable,)
    directions: ClassVar[frozenset[str]] = frozenset({"insert", "delete"})

    def __call__(self, change: Change, rng: np.random.Generator) -> tuple[Posterior, Info]:
        """Return the posterior of the edited data."""
        assert isinstance(change.model, Trainable)  # `edit` refuses the others
        started = time.perf_counter()
        posterior = change.model.train(change.rows, start=change.posterior, rng=rng, weights=change.after)
        ess = np.nan
        if isinstance(posterior, Draws):
            ess = posterior.ess if posterior.sampling is None else posterior.sampling.ess_min
        info = Info("retrain", ess=ess, seconds=time.perf_counter() - started, exact=True)
        return posterior, info
