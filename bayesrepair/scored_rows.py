"""One pass over rows, wherever they lie: their scores against the failures, and the ranks that these allow."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from bayesrepair.arithmetic import Arithmetic, Scoring
from bayesrepair.edit import Editor
from bayesrepair.fit import Fit
from bayesrepair.judgement import Info
from bayesrepair.model import Model
from bayesrepair.numerics.blocks import block_size
from bayesrepair.numerics.scoring import Scored, rank_summary
from bayesrepair.posterior import Draws
from bayesrepair.predictive import named_outcome
from bayesrepair.ranking import ranked
from bayesrepair.rows import Rows
from bayesrepair.scores.block_score import block_score
from bayesrepair.streaming.identity import kept_backend, run_identity
from bayesrepair.streaming.opening import source_of
from bayesrepair.streaming.pieces import RowsSource, Source
from bayesrepair.streaming.runner import run_store, streamed
from bayesrepair.streaming.scorer import RowScorer
from bayesrepair.streaming.stored_rows import StoredRows


@dataclass(frozen=True, eq=False)
class ScoredRows:
    """Rows with their scores.

    Parameters
    ----------
    rows : Rows or StoredRows
    scored : Scored
        In the order of the rows.
    frame : DataFrame
        The columns of `bayesrepair.Causes.frame`, sorted.
    after : Draws
        The posterior given D and F.
    info : Info, optional
        How the failures were inserted.
    arithmetic : Arithmetic
        What computed the log-likelihoods.
    """

    rows: Rows | StoredRows
    scored: Scored
    frame: pd.DataFrame
    after: Draws
    info: Info | None
    arithmetic: Arithmetic

    def __len__(self) -> int:
        return len(self.frame)


def score_rows(
    fit: Fit,
    failures: Rows,
    *,
    method: str | Editor,
    rows: Any,
    top: int,
    block: int | None,
    store: str | Path | None,
    client: Any,
    progressbar: bool,
    rng: np.random.Generator,
) -> ScoredRows:
    """Score and rank rows against the failures; the arguments are those of `bayesrepair.find_causes`."""
    score, after, info = block_score(fit, failures, method, rng)
    source = source_of(fit, rows)
    model, arithmetic = _arithmetic(
        fit, source, len(fit.draws) + (after.theta is not fit.draws.theta) * len(after), store
    )
    scorer = RowScorer(model, fit.draws, score, block)
    kept = None
    if store is not None:
        name = method if isinstance(method, str) else repr(method)
        kept = run_store(
            store, source, run_identity(scorer, source, method=name, failures=failures, arithmetic=arithmetic)
        )
    found = streamed(scorer, source, title="Scoring rows", store=kept, client=client, progressbar=progressbar)
    scored = Scored(found["score"][:], found["batch"], found["group"])
    prob_top, low, high = rank_summary(scored, top=top, rng=rng, replicates=_replicates(len(source)))
    columns = {
        "score": scored.score,
        "mcse": scored.mcse,
        "prob_top": prob_top,
        "rank_low": low,
        "rank_high": high,
        "given": named_outcome(fit, found["given"][:]),
        "surprise": found["surprise"][:],
    }
    frame = ranked(pd.DataFrame(columns, index=source.index), "score", fit.table if rows is None else None)
    where = source.rows if isinstance(source, RowsSource) else StoredRows(fit.model, source)
    return ScoredRows(where, scored, frame, after, info, arithmetic)


def _arithmetic(fit: Fit, source: Source, draws: int, store: str | Path | None) -> tuple[Model, Arithmetic]:
    """The model that scores, and how it computes; a store that was begun says how."""
    if not isinstance(fit.model, Scoring):
        return fit.model, Arithmetic()
    begun = kept_backend(store) if store is not None else ""
    piece = source.pieces[0].load()
    rows = piece if isinstance(piece, Rows) else fit.model.rows(piece)
    if fit.model.outcome.name not in rows.values:
        return fit.model, Arithmetic()  # the pass itself says what is absent
    some = rows.at(np.arange(min(len(rows), block_size(len(fit.draws)))))
    return fit.model.for_scoring(fit.draws.theta, some, cells=draws * len(source), precision="double", backend=begun)


def _replicates(count: int) -> int:
    """Replicates of all ranks: 200, and fewer where sorting so many rows would take minutes."""
    return int(np.clip(40_000_000 // max(count, 1), 40, 200))
