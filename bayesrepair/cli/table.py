"""One table with its target, as the commands about labels read it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import pandas as pd

from bayesrepair.status import DataError

Header = Literal["auto", "yes", "no"]


@dataclass(frozen=True, eq=False)
class GivenTable:
    """A table as read, and what was decided about it.

    Parameters
    ----------
    frame : DataFrame
        Indexed by row id.
    target : str
    group : str, optional
    row_id : str, optional
        The column that gave the ids.
    described : str
    """

    frame: pd.DataFrame
    target: str
    group: str | None
    row_id: str | None
    described: str


def read_given(path: Path, *, target: str, header: Header, row_id: str | None, group: str | None) -> GivenTable:
    """Read a table and find its columns.

    Raises
    ------
    DataError
        If there is no such file or column, or one column is asked for twice.
    """
    from bayesrepair.reading import column_named, read_table, with_row_ids

    table = read_table(path, header=header)
    named = column_named(table.frame, target, what="target")
    by = None if group is None else column_named(table.frame, group, what="column of annotators")
    ids = None if row_id is None else column_named(table.frame, row_id, what="column of ids")
    for option, column in (("--id", ids), ("--annotator", by)):
        if column == named:
            raise DataError(f"another column than the target for {option}", repr(column))
    frame = table.frame if ids is None else with_row_ids(table.frame, ids)
    own = [phrase for phrase in table.decided if phrase.startswith("row ids")]
    rows = f"row ids from {ids!r}" if ids is not None else "" if own else "rows numbered from 0"
    size = f"{len(table.frame)} rows, {table.frame.shape[1]} columns"
    described = ", ".join(filter(None, [f"{table.source}: {size}", *table.decided, rows]))
    return GivenTable(frame, named, by, ids, described)
