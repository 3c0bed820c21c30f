"""What planted errors and their repair do to clean rows, and what a needless repair does."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd

from bayesrepair.fit import Fit
from bayesrepair.numerics.blocks import row_blocks
from bayesrepair.numerics.loo import loo_log_score
from bayesrepair.planting import Planted
from bayesrepair.predictive import log_score, mean_prediction
from bayesrepair.rows import Rows
from bayesrepair.status import RepairWarning
from bayesrepair.suspects import Suspects

Action = Literal["drop", "relabel"]
GOOD_KHAT = 0.7


def repaired(
    given: Fit,
    fit: Fit,
    suspects: Suspects,
    planted: Planted,
    size: int,
    *,
    action: Action,
    holdout: Rows | None,
    theta: np.ndarray | None,
    rng: np.random.Generator,
) -> dict[str, Any]:
    """What planting and repair did to the clean rows and to the parameters.

    Parameters
    ----------
    given : Fit
        On the outcomes as given.
    fit : Fit
        On the planted ones, or on ``theta``'s.
    suspects : Suspects
        Of ``fit``; the first ``size`` are treated.
    planted : Planted
    size : int
    action : {"drop", "relabel"}
    holdout : Rows, optional
        Clean rows that took no part; else the training rows that were left as they are, each left out in turn.
    theta : array, shape (P,), optional
        The parameters that all outcomes were drawn at, where nothing was planted.
    rng : Generator

    Returns
    -------
    dict
        Mean changes of log scores (nats a row), accuracies, ``shift`` (mean size of the moves of posterior means, in
        posterior sds), ``sd_ratio`` (geometric mean), and the share of parameters that 90 % intervals cover.
    """
    with warnings.catch_warnings():
        # a rehearsed relabelling is told apart from a real one: its harm is what is measured
        warnings.simplefilter("ignore", RepairWarning)
        edited = getattr(suspects, action)(size, random_seed=rng)
    treated = set(suspects.scores.index[:size])
    # a relabelled row was seen by the repaired posterior, but not with the outcome that is scored
    unseen = np.array([i in treated for i in planted.rows.row])
    nothing = np.zeros(len(unseen), dtype=bool)
    before = given if theta is None else fit
    scored = _Clean(holdout, planted)
    reference, repaired = scored(before, nothing), scored(edited.after, unseen)
    mean, sd = _moments(before)
    after_mean, after_sd = _moments(edited.after)
    line = {
        "edit_status": edited.status.level,
        "clean_rows": len(reference),
        "score_repaired": float((repaired["score"] - reference["score"]).mean()),
        "shift": float((np.abs(after_mean - mean) / sd).mean()),
        "sd_ratio": float(np.exp(np.log(after_sd / sd).mean())),
    }
    harmed: pd.DataFrame | None = None
    if theta is None:
        harmed = scored(fit, nothing)
        line["score_planted"] = float((harmed["score"] - reference["score"]).mean())
    if "right" in reference:
        line |= {"accuracy": float(reference["right"].mean()), "accuracy_repaired": float(repaired["right"].mean())}
        if harmed is not None:
            line["accuracy_planted"] = float(harmed["right"].mean())
    if "khat" in reference:
        line["khat_bad"] = max(float((part["khat"] > GOOD_KHAT).mean()) for part in (reference, repaired))
    if theta is not None:
        line |= {"covered": _covered(before, theta), "covered_repaired": _covered(edited.after, theta)}
    return line


@dataclass(frozen=True, eq=False)
class _Clean:
    """Log score of the rows without a planted error, and whether they are predicted rightly."""

    holdout: Rows | None
    planted: Planted

    def __call__(self, fit: Fit, unseen: np.ndarray) -> pd.DataFrame:
        """Held-out rows; else the training rows, each left out by PSIS unless the posterior never saw it."""
        if self.holdout is not None:
            return _judged(fit, self.holdout, log_score(fit, self.holdout))
        clean_rows = np.flatnonzero(~self.planted.wrong)
        rows, gone = self.planted.rows.at(clean_rows), unseen[clean_rows]
        score, khat = np.empty(len(rows)), np.full(len(rows), -np.inf)
        score[gone] = log_score(fit, rows.at(np.flatnonzero(gone)))
        score[~gone], khat[~gone] = _left_out(fit, rows.at(np.flatnonzero(~gone)))
        return _judged(fit, rows, score).assign(khat=khat)


def _left_out(fit: Fit, rows: Rows) -> tuple[np.ndarray, np.ndarray]:
    """PSIS-LOO log score of each row and its k̂."""
    draws = fit.draws
    log_w = np.log(np.maximum(draws.weights, np.finfo(float).tiny))
    parts = [(np.zeros(0), np.zeros(0))]
    for _, block in row_blocks(rows, len(draws)):
        parts.append(loo_log_score(fit.model.log_lik(draws.theta, block), log_w, r_eff=draws.r_eff))
    score, khat = (np.concatenate(column) for column in zip(*parts, strict=True))
    return score, khat


def _judged(fit: Fit, rows: Rows, score: np.ndarray) -> pd.DataFrame:
    frame = pd.DataFrame({"score": score}, index=rows.index)
    outcome = fit.model.outcome
    if outcome.kind == "class":
        # the other classes share what the given one leaves, as they do where the row is not left out
        other = mean_prediction(fit, rows)
        at = (np.arange(len(rows)), np.asarray(rows.values[outcome.name]).astype(int))
        other[at] = 0.0
        largest = other.max(axis=1) / np.maximum(other.sum(axis=1), np.finfo(float).tiny)
        prob = np.exp(score)
        frame["right"] = prob > (1 - prob) * largest
    return frame


def _moments(fit: Fit) -> tuple[np.ndarray, np.ndarray]:
    draws = fit.draws
    mean = draws.weights @ draws.theta
    return mean, np.sqrt(draws.weights @ np.square(draws.theta - mean))


def _covered(fit: Fit, theta: np.ndarray) -> float:
    """Share of the parameters inside their central 90 % intervals."""
    below = fit.draws.weights @ (fit.draws.theta < theta)
    return float((np.abs(below - 0.5) <= 0.45).mean())
