"""What every model of B1 hands over: a fit, held-out rows, rows known to be bad, and what they should have been."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pymc as pm

import bayesrepair as br
from bayesrepair.bridges.pymc.extraction import row_graph
from bayesrepair.bridges.pymc.fit import TrainablePyMCModel
from bayesrepair.bridges.pymc.sampling import NutsSettings
from bayesrepair.posterior import Draws

SAMPLING = {"draws": 1000, "tune": 1000, "chains": 4, "cores": 1, "progressbar": False}
MOST_EVALUATED = 1000  # rows times outputs; above that, some rows are drawn


@dataclass(frozen=True, eq=False)
class Problem:
    """A fitted model, held-out rows, and rows known to be bad.

    Parameters
    ----------
    fit : Fit
    holdout : Rows
    bad : array
        Ids of the training rows with a planted error; empty where none was planted.
    truth : array, shape (N,), optional
        Every training row's outcome without the planted errors.
    groups : array, shape (N,), optional
        The group of every training row.
    slow : bool
        Whether a refit takes so long that its price is counted by its gradients.
    log_concave : bool
        Whether the posterior has one mode for certain: HMC moves then renew a refit.
    """

    fit: br.Fit
    holdout: br.Rows
    bad: np.ndarray
    truth: np.ndarray | None = None
    groups: np.ndarray | None = None
    slow: bool = False
    log_concave: bool = False

    @cached_property
    def evaluated(self) -> br.Rows:
        """Rows whose predictions are compared: all training and held-out rows, or a fixed random part of them."""
        outputs = len(self.fit.model.outcome.classes or ())
        budget = MOST_EVALUATED if outputs <= 2 else MOST_EVALUATED * 3 // outputs
        rows = self.fit.rows.stacked(self.holdout)
        if len(rows) <= budget:
            return rows
        return rows.at(np.sort(np.random.default_rng(0).choice(len(rows), budget, replace=False)))


def fitted(model: pm.Model, seed: int, posterior: Draws | None) -> br.Fit:
    """Sample a model as users do (4 × 1000 draws after 1000 of tuning), or take draws that were kept."""
    if posterior is None:
        return br.from_pymc(model, random_seed=seed, **SAMPLING)
    bridge = TrainablePyMCModel(model, row_graph(model), settings=NutsSettings(**SAMPLING))
    return br.Fit(bridge, bridge.training, posterior)
