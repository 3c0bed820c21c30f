"""A list of row ids: one a line, or the column ``row`` of a table."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from bayesrepair.reading.table import read_table
from bayesrepair.status import DataError


def read_row_list(path: str | Path, index: pd.Index, *, what: str = "held-out rows that failed") -> np.ndarray:
    """Read which rows are meant, as a mask over ``index``.

    Parameters
    ----------
    path : str or Path
        A text file with one id a line, or a CSV file with a column ``row``.
    index : Index
        The ids that there are.
    what : str
        What the rows are, for messages.

    Returns
    -------
    array of bool, shape (N,)

    Raises
    ------
    DataError
        If the file is missing or empty, or names an id that is not in the index.
    """
    path = Path(path)
    if not path.is_file():
        raise DataError(f"a file of row ids at '{path}'", "no such file")
    wanted = _ids(path)
    if not wanted:
        raise DataError(f"row ids in '{path}', one a line", "an empty file")
    known = {str(value): k for k, value in enumerate(index)}
    unknown = [value for value in wanted if value not in known]
    if unknown:
        some = ", ".join(map(repr, list(known)[:3]))
        got = f"{len(unknown)} unknown, such as {unknown[0]!r}"
        raise DataError(f"ids of {what} (such as {some})", got, f"List the ids of the {what}.")
    mask = np.zeros(len(index), dtype=bool)
    mask[[known[value] for value in wanted]] = True
    return mask


def _ids(path: Path) -> list[str]:
    lines = [line.strip() for line in path.read_text(encoding="utf-8-sig").splitlines() if line.strip()]
    if not lines or not any(mark in lines[0] for mark in ",;\t"):
        return lines[1:] if lines and lines[0] == "row" else lines
    frame = read_table(path, header="yes").frame
    if "row" not in frame.columns:
        raise DataError(f"a column 'row' in '{path}'", f"columns {', '.join(frame.columns)}")
    return [str(value) for value in frame["row"]]
