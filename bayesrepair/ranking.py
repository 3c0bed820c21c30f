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
    order = _order(frame[by].to_numpy(), frame.index)
    return _beside(frame.iloc[order], table)


def ranked_columns(
    columns: dict[str, np.ndarray], index: pd.Index, by: str, table: pd.DataFrame | None
) -> pd.DataFrame:
    """`ranked` of the frame of these columns, which are taken out of the mapping one after another.

    So many rows are in memory once, and one column of them twice, where a frame and its sorted copy would be twice.

    Parameters
    ----------
    columns : dict of str to array, shape (N,)
        Empty afterwards.
    index : Index
    by : str
    table : DataFrame, optional

    Returns
    -------
    DataFrame

    Examples
    --------
    >>> columns = {"score": np.array([1.0, 2.0, 1.0]), "mcse": np.array([0.1, 0.2, 0.3])}
    >>> ranked_columns(columns, pd.Index(["b", "c", "a"]), "score", None)["mcse"].tolist()
    [0.2, 0.3, 0.1]
    """
    order = _order(columns[by], index)
    in_order = {name: columns.pop(name)[order] for name in list(columns)}
    return _beside(pd.DataFrame(in_order, index=index[order], copy=False), table)


def _order(score: np.ndarray, index: pd.Index) -> np.ndarray:
    if index.is_monotonic_increasing:
        return np.argsort(-score, kind="stable")
    by_row = np.argsort(index.map(str).to_numpy(), kind="stable")
    return by_row[np.argsort(-score[by_row], kind="stable")]


def _beside(frame: pd.DataFrame, table: pd.DataFrame | None) -> pd.DataFrame:
    if table is None:
        return frame
    own = table.reindex(frame.index).rename(columns=lambda c: f"{c} (table)" if c in frame.columns else c)
    return pd.concat([frame, own], axis=1)
