"""Detection of planted bad rows by a ranking: average precision, precision at K, the detection curve."""

from __future__ import annotations

import numpy as np
import pandas as pd
from sklearn.metrics import average_precision_score

from bayesrepair.status import DataError


def detection(scores: pd.Series, bad: pd.Series, *, k: int | None = None) -> pd.Series:
    """How well a score (high = suspicious) finds bad rows.

    Parameters
    ----------
    scores : Series
        Indexed by row; high is suspicious.
    bad : Series of bool
        The truth, indexed by row.
    k : int, optional
        Rows inspected; by default as many as are bad.

    Returns
    -------
    Series
        ``average_precision``, ``precision_at_k``, ``recall_at_k``, ``found_in_first_fifth``, ``chance``, ``k``.

    Raises
    ------
    DataError
        If no row is bad, or a scored row has no truth.

    Examples
    --------
    >>> scores = pd.Series([3.0, 2.0, 1.0, 0.0])
    >>> detection(scores, pd.Series([True, False, True, False]))[["precision_at_k", "chance"]].tolist()
    [0.5, 0.5]
    """
    truth = bad.reindex(scores.index)
    if truth.isna().any():
        raise DataError("the truth of each scored row", f"{int(truth.isna().sum())} rows without one")
    hit = truth.to_numpy(dtype=bool)[np.argsort(-scores.to_numpy(), kind="stable")]
    if not hit.any():
        raise DataError("at least one bad row", "none")
    k = int(hit.sum()) if k is None else k
    fifth = int(np.ceil(len(hit) / 5))
    return pd.Series(
        {
            "average_precision": average_precision_score(truth.to_numpy(dtype=bool), scores.to_numpy()),
            "precision_at_k": hit[:k].mean(),
            "recall_at_k": hit[:k].sum() / hit.sum(),
            "found_in_first_fifth": hit[:fifth].sum() / hit.sum(),
            "chance": hit.mean(),
            "k": k,
        }
    )


def detection_curve(scores: pd.Series, bad: pd.Series) -> pd.DataFrame:
    """Share of the bad rows found against the share of rows inspected, best first."""
    hit = bad.reindex(scores.index).to_numpy(dtype=bool)[np.argsort(-scores.to_numpy(), kind="stable")]
    inspected = np.arange(1, len(hit) + 1) / len(hit)
    return pd.DataFrame({"inspected": inspected, "found": np.cumsum(hit) / max(hit.sum(), 1)})
