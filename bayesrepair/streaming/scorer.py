"""The block function of `find_causes`: rows in, scores out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from bayesrepair.arithmetic import Summing
from bayesrepair.model import Model
from bayesrepair.numerics.loo import loo_log_score
from bayesrepair.posterior import Draws
from bayesrepair.rows import Rows
from bayesrepair.scores import BlockScore
from bayesrepair.streaming.piecewise import Columns, Piecewise


@dataclass(frozen=True, eq=False)
class RowScorer(Piecewise):
    """Score, the parts of its errors, and surprise of rows.

    Results: ``score`` (N,), ``batch`` (N, B) and ``group`` (N, G) in float32, ``surprise`` (N,), ``given`` (N,).

    Parameters
    ----------
    model : Model
    draws : Draws
        The posterior given D, for the surprise.
    score : BlockScore, optional
        Without one, the result is the surprise alone.
    block : int, optional
        Rows in a block; by default what fits the cache.
    surprise : bool
        Whether it is computed; without it the column is nan.
    concurrent : bool
        Whether the model may be asked by several threads at once.
    """

    model: Model
    draws: Draws
    score: BlockScore | None = None
    block: int | None = None
    surprise: bool = True
    concurrent: bool = False

    def of_block(self, rows: Rows, rng: np.random.Generator) -> Columns:
        """Results of one block of rows."""
        held: dict[int, np.ndarray] = {}

        def log_lik(theta: np.ndarray, where: slice) -> np.ndarray:
            if id(theta) not in held:
                held[id(theta)] = self.model.log_lik(theta, rows)
            return held[id(theta)]

        whole = slice(0, len(rows))
        loo = np.full(len(rows), np.nan)
        if self.surprise:
            log_w = np.log(np.maximum(self.draws.weights, np.finfo(float).tiny))
            loo, _ = loo_log_score(log_lik(self.draws.theta, whole), log_w, r_eff=self.draws.r_eff)
        if self.score is None:
            return {"surprise": -loo}

        def factor(theta: np.ndarray, where: slice) -> Any:
            moments = self.model.log_lik_moments(theta, rows) if isinstance(self.model, Summing) else None
            return log_lik(theta, where) if moments is None else moments

        part = self.score(factor, whole)
        batch, group = (np.asarray(values, dtype=np.float32) for values in (part.batch, part.group))
        given = np.asarray(rows.values[self.model.outcome.name])
        return {"score": part.score, "batch": batch, "group": group, "surprise": -loo, "given": given}
