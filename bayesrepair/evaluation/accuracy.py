"""Before and after on held-out rows: accuracy (or error) and log score, with paired standard errors."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd

from bayesrepair.fit import Fit
from bayesrepair.predictive import log_score, mean_prediction
from bayesrepair.rows import Rows


def held_out(before: Fit, after: Fit, parts: Mapping[str, Rows]) -> pd.DataFrame:
    """Predictions of two fits on named parts of the held-out rows.

    Parameters
    ----------
    before, after : Fit
    parts : mapping of str to Rows
        Such as the failures held apart, the rest, and all held-out rows.

    Returns
    -------
    DataFrame
        Indexed by part: ``rows``; ``accuracy_before`` and ``accuracy_after`` for classes (higher is better) or
        ``rmse_before`` and ``rmse_after`` otherwise (lower is better), the difference ``…_change`` (after minus
        before) and its paired standard error ``…_change_se``; ``log_score_before``, ``log_score_after`` (mean, nats,
        higher is better), ``log_score_gain`` and its paired standard error ``gain_se``.

    Notes
    -----
    Failures are *defined* by the original fit's errors: any perturbation raises accuracy on them. Read that line
    beside the others.
    """
    lines = {}
    name = "accuracy" if before.model.outcome.kind == "class" else "rmse"
    for part, rows in parts.items():
        if not len(rows):
            continue
        old, new = log_score(before, rows), log_score(after, rows)
        gain = new - old
        compared = _accuracy if name == "accuracy" else _rmse
        lines[part] = {
            "rows": len(rows),
            **{f"{name}_{what}": value for what, value in compared(before, after, rows).items()},
            "log_score_before": old.mean(),
            "log_score_after": new.mean(),
            "log_score_gain": gain.mean(),
            "gain_se": _standard_error(gain),
        }
    return pd.DataFrame.from_dict(lines, orient="index").rename_axis("part")


def _accuracy(before: Fit, after: Fit, rows: Rows) -> dict[str, float]:
    """Share of rows whose most probable class is the given one."""
    given = np.asarray(rows.values[before.model.outcome.name]).astype(int)
    old, new = (np.asarray(mean_prediction(fit, rows).argmax(axis=1) == given, dtype=float) for fit in (before, after))
    return _compared(float(old.mean()), float(new.mean()), new - old)


def _rmse(before: Fit, after: Fit, rows: Rows) -> dict[str, float]:
    """Root mean square error; of its change, by the delta method: ``d√m = dm / 2√m`` for each row's share of m."""
    given = np.asarray(rows.values[before.model.outcome.name])
    squares = [np.square(mean_prediction(fit, rows)[:, 0] - given) for fit in (before, after)]
    old, new = (float(np.sqrt(square.mean())) for square in squares)
    per_row = [square / (2 * error) if error else square for square, error in zip(squares, (old, new), strict=True)]
    return _compared(old, new, per_row[1] - per_row[0])


def _compared(old: float, new: float, difference: np.ndarray) -> dict[str, float]:
    return {"before": old, "after": new, "change": new - old, "change_se": _standard_error(difference)}


def _standard_error(values: np.ndarray) -> float:
    return float(values.std(ddof=1) / np.sqrt(len(values))) if len(values) > 1 else np.nan
