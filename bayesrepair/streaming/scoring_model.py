"""The model that scores many rows: how it computes, and what single precision costs."""

from __future__ import annotations

import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np

from bayesrepair.arithmetic import PRECISIONS, Arithmetic, Precision, Scoring, SingleError
from bayesrepair.fit import Fit
from bayesrepair.model import Model
from bayesrepair.numerics.blocks import block_size
from bayesrepair.numerics.scoring import batch_error
from bayesrepair.rows import Rows
from bayesrepair.status import MethodError, NumericsWarning
from bayesrepair.streaming.identity import kept_backend
from bayesrepair.streaming.pieces import Source
from bayesrepair.streaming.scorer import RowScorer

SAMPLE_ROWS = 256
TOLERATED = 0.1  # of a Monte Carlo error, beyond which single precision is warned of


def scoring_model(
    fit: Fit, source: Source, *, draws: int, precision: Precision, store: str | Path | None
) -> tuple[Model, Arithmetic]:
    """The model that scores, and how it computes; a store that was begun says how.

    Parameters
    ----------
    fit : Fit
    source : Source
    draws : int
        For each row, in all.
    precision : {"double", "single"}
    store : path, optional

    Raises
    ------
    MethodError
        If the precision is unknown, or single and the likelihood is not one that has kernels.
    """
    if precision not in PRECISIONS:
        raise MethodError("precision='double' or 'single'", repr(precision))
    if not isinstance(fit.model, Scoring):
        if precision == "single":
            got = f"a {type(fit.model).__name__}"
            raise MethodError("a PyMC model for precision='single'", got, "Leave out precision=.")
        return fit.model, Arithmetic()
    begun = kept_backend(store) if store is not None else ""
    rows = sample(fit, source, block_size(len(fit.draws)))
    if fit.model.outcome.name not in rows.values:
        return fit.model, Arithmetic()  # the pass itself says what is absent
    theta, cells = fit.draws.theta, draws * len(source)
    return fit.model.for_scoring(theta, rows, cells=cells, precision=precision, backend=begun)


def sample(fit: Fit, source: Source, count: int) -> Rows:
    """Some rows of the first piece, evenly spread."""
    piece = source.pieces[0].load()
    rows = piece if isinstance(piece, Rows) else fit.model.rows(piece)
    return rows.at(np.unique(np.linspace(0, len(rows) - 1, min(len(rows), count)).astype(int)))


def with_error(arithmetic: Arithmetic, scorer: RowScorer, fit: Fit, source: Source) -> Arithmetic:
    """The same with the error of single precision, measured on a sample of rows; warns where it is not small."""
    if arithmetic.precision == "double":
        return arithmetic
    rows = sample(fit, source, SAMPLE_ROWS)
    exact, found = (s(rows) for s in (replace(scorer, model=fit.model), scorer))
    mcse = batch_error(exact["batch"])
    difference = np.abs(found["score"] - exact["score"])
    # a row without Monte Carlo error has the same likelihood at every draw, and a score of rounding alone
    share = difference[mcse > 0] / mcse[mcse > 0]
    error = SingleError(len(rows), *((float(np.median(share)), float(share.max())) if share.size else (0.0, 0.0)))
    if not error.largest <= TOLERATED:
        warnings.warn(
            f"Single precision is too little here: {error}. Leave out precision='single'.",
            NumericsWarning,
            stacklevel=2,
        )
    return replace(arithmetic, error=error)
