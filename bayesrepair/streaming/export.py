"""A long frame to a Parquet file, a stretch at a time."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from bayesrepair.streaming.pieces import PIECE_ROWS


def write_parquet(frame: pd.DataFrame, path: str | Path) -> Path:
    """Write a frame, its index as a column; an existing file is replaced once the new one is complete.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     file = write_parquet(pd.DataFrame({"score": [2.0, 1.0]}, index=["a", "b"]), folder + "/scores.parquet")
    ...     pd.read_parquet(file)["score"].to_dict()
    {'a': 2.0, 'b': 1.0}
    """
    path = Path(path)
    partial = path.with_name(f"{path.name}.partial")
    schema = pa.Schema.from_pandas(frame, preserve_index=True)
    with pq.ParquetWriter(partial, schema) as writer:
        for start in range(0, len(frame), PIECE_ROWS):
            part = frame.iloc[start : start + PIECE_ROWS]
            writer.write_table(pa.Table.from_pandas(part, schema=schema, preserve_index=True))
    return partial.replace(path)
