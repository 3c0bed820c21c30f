"""One pass over rows, wherever they lie: their scores against the failures, and the ranks that these allow."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from bayesrepair.arithmetic import Arithmetic, Precision
from bayesrepair.edit import Editor
from bayesrepair.fit import Fit
from bayesrepair.judgement import Info
from bayesrepair.numerics.scoring import Scored, rank_summary
from bayesrepair.posterior import Draws
from bayesrepair.predictive import named_outcome
from bayesrepair.ranking import ranked_columns
from bayesrepair.rows import Rows
from bayesrepair.scores.block_score import block_score
from bayesrepair.streaming.identity import run_identity
from bayesrepair.streaming.opening import source_of
from bayesrepair.streaming.pieces import RowsSource
from bayesrepair.streaming.runner import run_store, streamed
from bayesrepair.streaming.scorer import RowScorer
from bayesrepair.streaming.scoring_model import scoring_model, with_error
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
    precision: Precision,
    surprise: bool,
    progressbar: bool,
    rng: np.random.Generator,
) -> ScoredRows:
    """Score and rank rows against the failures; the arguments are those of `bayesrepair.find_causes`."""
    score, after, info = block_score(fit, failures, method, rng)
    source = source_of(fit, rows)
    sides = {id(side.theta): len(side) for side in (fit.draws, after)}
    model, arithmetic = scoring_model(fit, source, draws=sum(sides.values()), precision=precision, store=store)
    scorer = RowScorer(model, fit.draws, score, block, surprise, arithmetic.concurrent)
    arithmetic = with_error(arithmetic, scorer, fit, source)
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
        "given": np.asarray(named_outcome(fit, found.pop("given")[:])),
        "surprise": found.pop("surprise")[:],
    }
    del prob_top, low, high  # of many rows each column is as large as all ids
    frame = ranked_columns(columns, source.index, "score", fit.table if rows is None else None)
    where = source.rows if isinstance(source, RowsSource) else StoredRows(fit.model, source)
    return ScoredRows(where, scored, frame, after, info, arithmetic)


def _replicates(count: int) -> int:
    """Replicates of all ranks: 200, and fewer where sorting so many rows would take minutes."""
    return int(np.clip(40_000_000 // max(count, 1), 40, 200))
