"""CSV files that a spreadsheet opens without running what a cell says."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pandas as pd

FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r", "\n")


def write_csv(frame: pd.DataFrame, path: str | os.PathLike[str]) -> Path:
    """Write a result's frame, its index in front, safe to open in a spreadsheet.

    A text that begins with ``= + - @``, a tab or a line end is taken for a formula by spreadsheet programs
    (CWE-1236): it gets an apostrophe in front. Numbers stay numbers.

    Parameters
    ----------
    frame : DataFrame
        Such as ``causes.frame()``: exactly its columns are written, after its index (``row`` where it has no name).
    path : path
        Written beside and renamed, so that no half of a file is ever left.

    Returns
    -------
    Path
    """
    path = Path(path)
    safe = pd.DataFrame({k: _column(frame.iloc[:, k]) for k in range(frame.shape[1])}).set_axis(
        frame.index.map(_defused)
    )
    safe.columns = pd.Index([_defused(str(name)) for name in frame.columns])
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        safe.to_csv(
            partial, index_label=_defused(str(frame.index.name or "row")), lineterminator="\n", encoding="utf-8"
        )
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
    return path


def _column(column: pd.Series) -> pd.Series:
    if pd.api.types.is_numeric_dtype(column) or pd.api.types.is_datetime64_any_dtype(column):
        return column
    return column.astype(object).map(_defused)


def _defused(value: Any) -> Any:
    return f"'{value}" if isinstance(value, str) and value.startswith(FORMULA_STARTS) else value
