"""The model's own suggestion for the class of suspected rows."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pandas as pd

from bayesrepair.edit import Editor
from bayesrepair.fit import Fit
from bayesrepair.predictive import class_names, mean_prediction
from bayesrepair.repairs import repair
from bayesrepair.status import MethodError, RepairWarning


def suggested_classes(
    fit: Fit, rows: pd.Index, *, method: str | Editor = "auto", random_seed: int | np.random.Generator | None = None
) -> dict[Any, Any]:
    """Most probable other class of some rows under the posterior without any of them.

    Parameters
    ----------
    fit : Fit
    rows : Index
        Ids of training rows.
    method : str or Editor
        How the rows are removed first; see `edit`.
    random_seed : int or Generator, optional

    Returns
    -------
    dict
        Row id to class, never the class that the row has.

    Raises
    ------
    MethodError
        If the outcome has no classes.

    Warns
    -----
    RepairWarning
        Always: the model is about to be taught its own opinion.
    """
    if fit.model.outcome.kind != "class":
        kind = f"a {fit.model.outcome.kind} outcome"
        raise MethodError("classes, to suggest another one", kind, "Delete the rows instead: --action delete.")
    removed = repair(fit, rows, method=method, random_seed=random_seed)
    treated = fit.rows.take(rows)
    probability = mean_prediction(removed.after, treated).copy()
    given = np.asarray(treated.values[fit.model.outcome.name]).astype(int)
    probability[np.arange(len(given)), given] = -1.0
    warnings.warn(
        f"{len(rows)} rows get the class that the model itself thinks most probable: that is self-training, which "
        "makes the model surer of what it believed. Let somebody check these rows.",
        RepairWarning,
        stacklevel=2,
    )
    return dict(zip(rows, class_names(fit)[probability.argmax(axis=1)], strict=True))
