"""What planted errors and their repair do to clean rows, and what a needless repair does."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd

from bayesrepair.edit import Edited
from bayesrepair.fit import Fit
from bayesrepair.numerics.blocks import row_blocks
from bayesrepair.numerics.loo import loo_log_score
from bayesrepair.predictive import log_score, mean_prediction
from bayesrepair.rehearsal.planting import Planted
from bayesrepair.rows import Rows
from bayesrepair.status import RepairWarning
from bayesrepair.suspects import Suspects

Action = Literal["drop", "relabel"]
GOOD_KHAT = 0.7


@dataclass(frozen=True, eq=False)
class Scored:
    """A fit, and the leave-one-out surprise of its training rows, by row id."""

    fit: Fit
    surprise: pd.Series


def harm(
    before: Scored, suspects: Suspects, planted: Planted, size: int, *, action: Action, holdout: Rows | None, rng: Any
) -> tuple[dict[str, Any], Fit]:
    """What planting and repair did to the clean rows and to the parameters.

    Parameters
    ----------
    before : Scored
        The fit without planted errors.
    suspects : Suspects
        Of the fit with them; the first ``size`` are treated.
    planted : Planted
    size : int
    action : {"drop", "relabel"}
    holdout : Rows, optional
        Clean rows that took no part; else the training rows without a planted error, each left out in turn.
    rng : Generator

    Returns
    -------
    line : dict
        Mean changes of log scores (nats a row), accuracies, ``shift`` (mean size of the moves of posterior means, in
        posterior sds), ``sd_ratio`` (geometric mean), and ``khat_bad``, the share of rows left out whose k̂ is bad.
    repaired : Fit
    """
    edited = _treated(suspects, size, action, rng)
    clean = holdout if holdout is not None else planted.rows.at(np.flatnonzero(~planted.wrong))
    scores = {
        "": _surprise_or_score(before, clean, holdout),
        "_planted": _surprise_or_score(Scored(suspects.plain, suspects.scores["surprise"]), clean, holdout),
    }
    line: dict[str, Any] = {"edit_status": edited.status.level, "clean_rows": len(clean)}
    if holdout is not None:
        scores["_repaired"] = log_score(edited.after, clean)
    else:
        treated = clean.index.isin(suspects.scores.index[:size])
        scores["_repaired"], line["khat_bad"] = _left_out(edited.after, clean, treated)
    fits = {"": before.fit, "_planted": suspects.plain, "_repaired": edited.after}
    for stage in ("_planted", "_repaired"):
        line[f"score{stage}"] = float((scores[stage] - scores[""]).mean())
    if before.fit.model.outcome.kind == "class":
        line |= {f"accuracy{stage}": _accuracy(fits[stage], clean, score) for stage, score in scores.items()}
    return line | _moved(before.fit, edited.after), edited.after


def _treated(suspects: Suspects, size: int, action: Action, rng: np.random.Generator) -> Edited:
    with warnings.catch_warnings():
        # that a relabelling with the model's own suggestion can harm is what is being measured
        warnings.simplefilter("ignore", RepairWarning)
        return getattr(suspects, action)(size, random_seed=rng)


def _surprise_or_score(scored: Scored, clean: Rows, holdout: Rows | None) -> np.ndarray:
    """Log score of each clean row by a posterior that has not seen it."""
    if holdout is not None:
        return log_score(scored.fit, clean)
    return -scored.surprise.reindex(clean.index).to_numpy()


def _left_out(fit: Fit, rows: Rows, gone: np.ndarray) -> tuple[np.ndarray, float]:
    """Log scores after a repair, rows left out by PSIS unless they are ``gone``, and the share with a bad k̂.

    A relabelled row was seen, but not with the outcome that is scored.
    """
    score, khat = np.empty(len(rows)), np.full(len(rows), -np.inf)
    score[gone] = log_score(fit, rows.at(np.flatnonzero(gone)))
    draws, kept = fit.draws, np.flatnonzero(~gone)
    log_w = np.log(np.maximum(draws.weights, np.finfo(float).tiny))
    for where, block in row_blocks(rows.at(kept), len(draws)):
        found = loo_log_score(fit.model.log_lik(draws.theta, block), log_w, r_eff=draws.r_eff)
        score[kept[where]], khat[kept[where]] = found
    return score, float((khat > GOOD_KHAT).mean())


def _accuracy(fit: Fit, rows: Rows, score: np.ndarray) -> float:
    """Share of the rows whose given class is the most probable one, given its log score.

    The other classes share what the given one leaves as they do where the row is not left out.
    """
    other = mean_prediction(fit, rows)
    other[np.arange(len(rows)), np.asarray(rows.values[fit.model.outcome.name]).astype(int)] = 0.0
    largest = other.max(axis=1) / np.maximum(other.sum(axis=1), np.finfo(float).tiny)
    prob = np.exp(score)
    return float((prob > (1 - prob) * largest).mean())


def _moved(before: Fit, after: Fit) -> dict[str, float]:
    (mean, sd), (after_mean, after_sd) = _moments(before), _moments(after)
    return {
        "shift": float((np.abs(after_mean - mean) / sd).mean()),
        "sd_ratio": float(np.exp(np.log(after_sd / sd).mean())),
    }


def _moments(fit: Fit) -> tuple[np.ndarray, np.ndarray]:
    draws = fit.draws
    mean = draws.weights @ draws.theta
    return mean, np.sqrt(draws.weights @ np.square(draws.theta - mean))


def covered(fit: Fit, theta: np.ndarray) -> float:
    """Share of the parameters, (P,), inside the central 90 % intervals of a fit."""
    below = fit.draws.weights @ (fit.draws.theta < theta)
    return float((np.abs(below - 0.5) <= 0.45).mean())
