"""Parquet files: a segment is a row group."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from bayesrepair.status import DataError
from bayesrepair.streaming.fingerprints import stamp
from bayesrepair.streaming.pieces import SegmentedSource


@dataclass(frozen=True)
class RowGroup:
    """A row group of a Parquet file, read when it is needed.

    Parameters
    ----------
    key : str
    path : str
    number : int
    rows : int
    """

    key: str
    path: str
    number: int
    rows: int

    def __len__(self) -> int:
        return self.rows

    def load(self) -> pd.DataFrame:
        """Its rows."""
        with pq.ParquetFile(self.path) as file:
            return file.read_row_group(self.number).to_pandas()


def parquet_source(path: Path) -> SegmentedSource:
    """Rows of a Parquet file, or of the Parquet files of a folder in the order of their names.

    The ids are those of the table's index where the file knows of one, else 0, 1, 2, ….

    Raises
    ------
    DataError
        If it is no Parquet file, a folder has none, files have different columns, or an id occurs twice.
    """
    files = [path] if path.is_file() else sorted(p for p in path.rglob("*.parquet") if p.is_file())
    if not files:
        raise DataError("a folder with .parquet files", f"none in {str(path)!r}", "Pass the folder that holds them.")
    segments: list[RowGroup] = []
    schemas, sizes = [], []
    for file in files:
        found, schema = _row_groups(file)
        segments += found
        schemas.append(schema)
        sizes.append(sum(map(len, found)))
    _refuse_other_columns(files, schemas)
    index = _index(files, schemas, sizes)
    return SegmentedSource(tuple(segments), index, lambda: stamp(files))


def _row_groups(path: Path) -> tuple[list[RowGroup], pa.Schema]:
    try:
        with pq.ParquetFile(path) as file:
            counts = [file.metadata.row_group(k).num_rows for k in range(file.num_row_groups)]
            schema = file.schema_arrow
    except (pa.ArrowInvalid, OSError) as error:
        raise DataError("a Parquet file", f"{str(path)!r}: {error}", "Write it with frame.to_parquet(path).") from error
    name, mark = str(path.absolute()), stamp([path])
    return [RowGroup(f"{mark}:{k}", name, k, count) for k, count in enumerate(counts)], schema


def _refuse_other_columns(files: list[Path], schemas: list[pa.Schema]) -> None:
    for file, schema in zip(files, schemas, strict=True):
        if schema.names != schemas[0].names:
            raise DataError(
                f"the columns {', '.join(schemas[0].names[:8])} in every file",
                f"others in {file.name!r}: {', '.join(schema.names[:8])}",
                "Keep files of one table in a folder of their own.",
            )


def _index(files: list[Path], schemas: list[pa.Schema], sizes: list[int]) -> pd.Index:
    known = [_index_columns(schema) for schema in schemas]
    numbered = pd.RangeIndex(sum(sizes), name="row")
    if not all(known):
        return numbered
    if len(known[0]) > 1:
        raise DataError("one column of row ids", f"an index of {len(known[0])} levels", "Write reset_index() first.")
    column = known[0][0]
    if isinstance(column, str):
        if any(columns != known[0] for columns in known):
            raise DataError(f"ids in {column!r} in every file", "another index in some", "Write all files alike.")
        ids = [pq.read_table(file, columns=[column]).column(column).to_numpy() for file in files]
        return pd.Index(np.concatenate(ids), name="row")
    if len(files) > 1:  # a range in each file, from 0 on more often than not
        return numbered
    return pd.RangeIndex(column["start"], column["stop"], column["step"], name="row")


def _index_columns(schema: pa.Schema) -> list[Any]:
    """What pandas wrote down about the table's index: names of columns, or a range."""
    text = (schema.metadata or {}).get(b"pandas")
    return [] if text is None else json.loads(text).get("index_columns", [])
