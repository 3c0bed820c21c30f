"""What another classifier of the same rows may read, and what it says of their labels."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from bayesrepair.fit import Fit
from bayesrepair.noise import SOURCE, LabelNoise, Noisy
from bayesrepair.predictive import class_names, given_outcome
from bayesrepair.rows import Rows
from bayesrepair.softmax.designs import Calibration
from bayesrepair.status import DataError, RepairWarning
from bayesrepair.suspects.finding import suspects_among
from bayesrepair.suspects.result import Suspects
from bayesrepair.suspects.suspicion import Suspicion


def features_of(suspects: Suspects, features: Any) -> np.ndarray:
    """Numbers of each row that took part, (N, d): those passed, or all that the model reads.

    Raises
    ------
    DataError
        If the outcome is no class, features do not belong to the rows, are missing or not finite, or the model reads no
        numbers, or none but class probabilities.
    """
    if not isinstance(suspects.suspicion, Suspicion):
        raise DataError("suspects of classes", f"of {suspects.plain.model.outcome.name!r}, which is a number")
    rows = suspects.evidence.rows
    x = _numbers(suspects.plain, rows) if features is None else _checked(features, rows.index)
    bad = ~np.isfinite(x).all(axis=1)
    if bad.any():
        raise DataError("finite features", f"{int(bad.sum())} rows without, such as row {rows.index[bad][0]}")
    return x


def label_noise(suspects: Suspects) -> LabelNoise:
    """What suspects of classes take to be wrong with the labels: the prior, and who is told apart."""
    model = suspects.fit.model
    assert isinstance(model, Noisy)  # as `noisy_fit` made it
    assert isinstance(model.noise, LabelNoise)  # of classes
    return model.noise


def opinion(
    suspects: Suspects,
    probability: np.ndarray,
    *,
    noise: LabelNoise,
    slope: float,
    slope_sd: float,
    random_seed: int,
) -> Suspects:
    """Suspects by class probabilities, recalibrated and the noise learned anew, among the rows that others know.

    Parameters
    ----------
    suspects : Suspects
        The others.
    probability : array, shape (N, K)
        Of the rows that took part, each by what did not see its label.
    noise : LabelNoise
        Its prior.
    slope, slope_sd : float
        Of the recalibration; see `bayesrepair.suspects_from_predictions`.
    random_seed : int
    """
    from bayesrepair.pred_probs import calibrated_fit

    known = suspects.evidence
    names, given = class_names(suspects.plain), given_outcome(suspects.plain, known.rows)
    settings = {"classes": list(names), "row": known.rows.index, "slope": slope, "slope_sd": slope_sd}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RepairWarning)  # they may agree with every label, and yet saw none
        fit = calibrated_fit(given, probability, **settings)
    table = suspects.plain.table
    fit = Fit(fit.model, fit.rows, fit.posterior, table=None if table is None else table.reindex(fit.rows.index))
    rng = np.random.default_rng(random_seed)
    return suspects_among(fit, replace(known, rows=fit.rows), noise, method="laplace", rng=rng)


def _numbers(fit: Fit, rows: Rows) -> np.ndarray:
    """All numbers of each row but its outcome, (N, d)."""
    values: Mapping[str, Any] = rows.values
    if isinstance(getattr(fit.model, "design", None), Calibration):
        got = "class probabilities, which may have seen the labels"
        raise DataError(
            "numbers of the rows themselves", got, "Pass features=, the table that they were predicted from."
        )
    parts = [np.asarray(v) for name, v in values.items() if name not in (fit.model.outcome.name, SOURCE)]
    columns = [part.reshape(len(rows), -1).astype(float) for part in parts if part.dtype.kind in "biuf"]
    if not columns:
        raise DataError("numbers in the rows of the model", "none", "Pass features=.")
    return np.hstack(columns)


def _checked(features: Any, ids: pd.Index) -> np.ndarray:
    """By row id where the index of a frame has the ids, else by position."""
    frame = features if isinstance(features, pd.DataFrame) else pd.DataFrame(np.asarray(features))
    if np.ndim(features) != 2 or len(frame) != len(ids):
        wanted = f"features of shape ({len(ids)}, d): of the training rows, then of trusted ones from outside"
        raise DataError(wanted, f"shape {np.shape(features)}")
    words = [name for name, kind in frame.dtypes.items() if kind.kind not in "biuf"]
    if words:
        got = f"{frame[words[0]].dtype} in column {words[0]!r}"
        raise DataError("numbers as features", got, "Code words first, such as by pandas.get_dummies.")
    if frame is features and frame.index.is_unique and frame.index.sort_values().equals(ids.sort_values()):
        frame = frame.loc[ids]
    return frame.to_numpy(dtype=float)
