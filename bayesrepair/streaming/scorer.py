"""The block function of `find_causes`: rows in, scores out; the same here, in a resumed run and on a cluster."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from bayesrepair.model import Model
from bayesrepair.numerics.blocks import row_blocks
from bayesrepair.numerics.loo import loo_log_score
from bayesrepair.posterior import Draws
from bayesrepair.rows import Rows
from bayesrepair.scores import BlockScore
from bayesrepair.status import DataError

Advance = Callable[[int], None]
Columns = dict[str, np.ndarray]
"""Results by name, one entry a row on the first axis."""


@dataclass(frozen=True, eq=False)
class RowScorer:
    """Score, the parts of its errors, and surprise of the rows of one piece.

    Nothing of size draws × rows outlives a block. One thread at a time: compiled functions are not thread-safe. And one
    thread of the linear algebra, whose sums otherwise depend on how many there are: the same rows give the same bits in
    every process of a machine.

    Parameters
    ----------
    model : Model
    draws : Draws
        The posterior given D, for the surprise.
    score : BlockScore, optional
        Without one, the result is the surprise alone.
    block : int, optional
        Rows in a block; by default what fits the cache.
    """

    model: Model
    draws: Draws
    score: BlockScore | None = None
    block: int | None = None
    _lock: Any = field(default_factory=threading.Lock, repr=False)

    def __reduce__(self) -> tuple[type[RowScorer], tuple[Any, ...]]:
        return type(self), (self.model, self.draws, self.score, self.block)  # a lock does not travel

    def __call__(self, data: Any, advance: Advance | None = None) -> Columns:
        """Score ``data``, `Rows` or what the model makes rows of.

        Returns
        -------
        dict
            ``score`` (N,), ``batch`` (N, B) and ``group`` (N, G) in float32, ``surprise`` (N,), ``given`` (N,).

        Raises
        ------
        DataError
            If the rows lack something that the model needs.
        """
        rows = data if isinstance(data, Rows) else self.model.rows(data)
        outcome = self.model.outcome.name
        if outcome not in rows.values:
            raise DataError(f"the outcome {outcome!r} of each row that is to be scored", "rows without it")
        log_w = np.log(np.maximum(self.draws.weights, np.finfo(float).tiny))
        parts = []
        with self._lock, threadpool_limits(1, user_api="blas"):
            for _, block in row_blocks(rows, len(self.draws), size=self.block):
                parts.append(self._scored(block, log_w))
                if advance is not None:
                    advance(len(block))
        joined = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
        return {**joined, "given": np.asarray(rows.values[outcome])}

    def _scored(self, rows: Rows, log_w: np.ndarray) -> Columns:
        held: dict[int, np.ndarray] = {}

        def log_lik(theta: np.ndarray, where: slice) -> np.ndarray:
            if id(theta) not in held:
                held[id(theta)] = self.model.log_lik(theta, rows)
            return held[id(theta)]

        whole = slice(0, len(rows))
        loo, _ = loo_log_score(log_lik(self.draws.theta, whole), log_w, r_eff=self.draws.r_eff)
        if self.score is None:
            return {"surprise": -loo}
        part = self.score(log_lik, whole)
        batch, group = (np.asarray(values, dtype=np.float32) for values in (part.batch, part.group))
        return {"score": part.score, "batch": batch, "group": group, "surprise": -loo}
