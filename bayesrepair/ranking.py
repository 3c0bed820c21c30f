"""Frames of rows in the order of a score."""

from __future__ import annotations

import numpy as np
import pandas as pd


def ranked(frame: pd.DataFrame, by: str, table: pd.DataFrame | None) -> pd.DataFrame:
    """Sorted by a column, the largest first and ties by row, with the table's own columns behind.

    A column of the table that shares a name with one of the frame is marked as the table's.

    Parameters
    ----------
    frame : DataFrame
        Indexed by row.
    by : str
    table : DataFrame, optional

    Returns
    -------
    DataFrame

    Examples
    --------
    >>> ranked(pd.DataFrame({"score": [1.0, 2.0, 1.0]}, index=["b", "c", "a"]), "score", None).index.tolist()
    ['c', 'a', 'b']
    """
    if table is not None:
        own = table.reindex(frame.index).rename(columns=lambda c: f"{c} (table)" if c in frame.columns else c)
        frame = pd.concat([frame, own], axis=1)
    order = np.argsort(-frame[by].to_numpy(), kind="stable")
    if not frame.index.is_monotonic_increasing:
        by_row = np.argsort(pd.Index(frame.index).map(str).to_numpy(), kind="stable")
        order = by_row[np.argsort(-frame[by].to_numpy()[by_row], kind="stable")]
    return frame.iloc[order]
