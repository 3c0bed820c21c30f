"""Read a table from CSV or Parquet, and say what was decided on the way."""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import pandas as pd

from bayesrepair.reading.cells import MISSING, Column, typed
from bayesrepair.reading.header import has_header
from bayesrepair.reading.text import DELIMITERS, find_delimiter, first_records, read_text
from bayesrepair.status import DataError

Header = Literal["auto", "yes", "no"]
PARQUET = (".parquet", ".pq")


@dataclass(frozen=True, eq=False)
class Table:
    """A table as read.

    Parameters
    ----------
    frame : DataFrame
        Indexed by ``row``: positions from 0, unless the file brings its own ids.
    source : str
        The file's name.
    header : bool
        Whether the columns have names of their own; without, they are called c1, c2, ….
    decided : tuple of str
        What was decided about the file, one phrase each.
    columns : mapping of str to Column
        How each column was read, so that a second table can be read alike; empty for Parquet.
    """

    frame: pd.DataFrame
    source: str
    header: bool
    decided: tuple[str, ...]
    columns: Mapping[str, Column] = field(default_factory=dict)


def read_table(path: str | Path, *, header: Header = "auto", like: Table | None = None) -> Table:
    """Read a CSV (any of comma, semicolon, tab, bar) or Parquet file.

    Parameters
    ----------
    path : str or Path
    header : {"auto", "yes", "no"}
        Whether the first row of a CSV file names the columns; see `has_header`.
    like : Table, optional
        A table whose decisions (header, words or numbers, order of dates) this one shares.

    Returns
    -------
    Table

    Raises
    ------
    DataError
        If there is no such file, or no table in it.
    """
    path = Path(path)
    if not path.is_file():
        kind = "a folder" if path.is_dir() else "no such file"
        raise DataError(f"a CSV or Parquet file at '{path}'", kind, "Check the path.")
    table = _read_parquet(path) if path.suffix.lower() in PARQUET else _read_csv(path, header, like)
    if table.frame.empty:
        raise DataError(f"rows in '{path}'", "none")
    return table


def _read_parquet(path: Path) -> Table:
    try:
        frame = pd.read_parquet(path)
    except (ValueError, OSError) as error:
        raise DataError(f"a Parquet table in '{path}'", str(error).splitlines()[0]) from error
    frame.columns = pd.Index([str(name) for name in frame.columns])
    _refuse_repeated(list(frame.columns), path)
    nested = [name for name in frame.columns if _is_nested(frame[name])]
    if nested:
        raise DataError("one value a cell", f"lists or records in {nested[0]!r}", "Drop or flatten that column.")
    for name in frame.select_dtypes(["bool", "boolean"]):
        frame[name] = frame[name].astype("string").astype(object).where(frame[name].notna(), None)
    decided = ["Parquet"]
    if isinstance(frame.index, pd.RangeIndex):
        frame = frame.reset_index(drop=True)
    elif frame.index.nlevels == 1:
        decided.append("row ids from its index")
    else:
        frame = frame.reset_index()
    return Table(frame.rename_axis("row"), path.name, True, tuple(decided))


def _is_nested(values: pd.Series) -> bool:
    return values.dtype == object and not all(pd.api.types.is_scalar(v) for v in values.dropna())


def _read_csv(path: Path, header: Header, like: Table | None) -> Table:
    text, encoding = read_text(path)
    delimiter = find_delimiter(text)
    records = first_records(text, delimiter)
    width = Counter(map(len, records)).most_common(1)[0][0]
    named, why = _header(records, header, width, like)
    names = _names(records[0], named=named, width=width, path=path)
    cells = _cells(text, delimiter, names, named=named, path=path)
    known = like.columns if like is not None else {}
    columns = {n: typed(cells[n], decimal_comma=delimiter != ",", like=known.get(n)) for n in cells.columns}
    frame = pd.DataFrame({name: column.values for name, column in columns.items()}).rename_axis("row")
    decided = [f"{DELIMITERS[delimiter]}-separated"]
    if encoding != "UTF-8":
        decided.append(f"{encoding} text")
    decided.append(f"header in row 1 ({why})" if named else f"no header ({why}), columns named c1…c{width}")
    decided += [f"{name}: {column.note}" for name, column in columns.items() if column.note]
    frame, ids = _own_ids(frame, records[0] if named else [], width)
    return Table(frame, path.name, named, (*decided, *ids), columns)


def _header(records: list[list[str]], header: Header, width: int, like: Table | None) -> tuple[bool, str]:
    if header != "auto":
        return header == "yes", "as asked"
    if like is not None and like.columns:
        return like.header, "as in the training table"
    if len(records[0]) == width - 1:
        return True, "one cell fewer than the rows"
    return has_header([record for record in records if len(record) == width])


def _names(first: list[str], *, named: bool, width: int, path: Path) -> list[str]:
    if not named:
        return [f"c{k + 1}" for k in range(width)]
    cells = ["", *first] if len(first) == width - 1 else first
    if len(cells) != width:
        raise DataError(f"{width} column names in row 1 of '{path}', as many as cells a row", f"{len(cells)}")
    names = [name or f"c{k + 1}" for k, name in enumerate(cells)]
    _refuse_repeated(names, path)
    return names


def _refuse_repeated(names: list[str], path: Path) -> None:
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:
        remedy = "Rename it; or say --header no if row 1 holds data."
        raise DataError(f"a different name for each column of '{path}'", f"{twice[0]!r} more than once", remedy)


def _cells(text: str, delimiter: str, names: list[str], *, named: bool, path: Path) -> pd.DataFrame:
    """All cells as stripped text, missing ones as missing."""
    try:
        cells = pd.read_csv(
            io.StringIO(text),
            sep=delimiter,
            header=0 if named else None,
            names=names,
            dtype=str,
            skipinitialspace=True,
            keep_default_na=False,
            na_values=list(MISSING),
            index_col=None,
        )
    except pd.errors.ParserError as error:
        what = str(error).strip().splitlines()[-1]
        raise DataError(
            f"{len(names)} cells in each row of '{path}'", what, "Quote cells that hold delimiters."
        ) from error
    if not isinstance(cells.index, pd.RangeIndex):
        raise DataError(f"{len(names)} cells in each row of '{path}'", "rows with more")
    return cells.apply(lambda column: column.str.strip()).replace(dict.fromkeys(MISSING))


def _own_ids(frame: pd.DataFrame, first: list[str], width: int) -> tuple[pd.DataFrame, list[str]]:
    """Take a first column of unique values for row ids where it has no name, as R and pandas write them, or ``row``."""
    if not first or width < 3 or not (len(first) == width - 1 or first[0] in ("", "row")):
        return frame, []
    name = frame.columns[0]
    if frame[name].isna().any() or not frame[name].is_unique:
        return frame, []
    what = "'row'" if name == "row" else "its nameless first column"
    return frame.set_index(name).rename_axis("row"), [f"row ids from {what}"]
