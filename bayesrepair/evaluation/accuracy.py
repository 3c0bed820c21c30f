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
        ``rmse_before`` and ``rmse_after`` otherwise (lower is better); ``log_score_before``, ``log_score_after``
        (mean, nats, higher is better), ``log_score_gain`` and its paired standard error ``gain_se``.

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
        lines[part] = {
            "rows": len(rows),
            f"{name}_before": _fit_of_prediction(before, rows),
            f"{name}_after": _fit_of_prediction(after, rows),
            "log_score_before": old.mean(),
            "log_score_after": new.mean(),
            "log_score_gain": gain.mean(),
            "gain_se": gain.std(ddof=1) / np.sqrt(len(gain)) if len(gain) > 1 else np.nan,
        }
    return pd.DataFrame.from_dict(lines, orient="index").rename_axis("part")


def _fit_of_prediction(fit: Fit, rows: Rows) -> float:
    mean = mean_prediction(fit, rows)
    given = np.asarray(rows.values[fit.model.outcome.name])
    if fit.model.outcome.kind == "class":
        return float((mean.argmax(axis=1) == given.astype(int)).mean())
    return float(np.sqrt(np.square(mean[:, 0] - given).mean()))
