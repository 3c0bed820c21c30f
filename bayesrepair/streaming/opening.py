"""Whatever holds rows → a source of pieces."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from bayesrepair.fit import Fit
from bayesrepair.rows import Rows
from bayesrepair.status import DataError
from bayesrepair.streaming.csv_file import csv_source
from bayesrepair.streaming.frames import frame_source
from bayesrepair.streaming.lazy import dask_source, dataset_source
from bayesrepair.streaming.parquet import parquet_source
from bayesrepair.streaming.pieces import RowsSource, SegmentedSource

FORMATS = ".parquet, .pq, .csv, or a folder of Parquet files"


def source_of(fit: Fit, rows: Any = None) -> RowsSource | SegmentedSource:
    """Rows in pieces.

    Parameters
    ----------
    fit : Fit
    rows : optional
        By default the fit's training rows as they stand now; else what `opened` takes, `Rows`, or a mapping of arrays.

    Raises
    ------
    DataError
        If there are no rows in it, ids occur twice, or it is of no kind that can be read.
    """
    if rows is None:
        current, weight = fit.current()
        return RowsSource(current if (weight > 0).all() else current.at(np.flatnonzero(weight > 0)))
    found = rows if isinstance(rows, Rows) else opened(rows)
    if found is None:
        found = fit.as_rows(rows)
    if isinstance(found, SegmentedSource):
        return found
    if not len(found):
        raise DataError("at least one row to score", "none")
    return RowsSource(found)


def opened(data: Any) -> SegmentedSource | None:
    """A source for a DataFrame, a path, a Dask DataFrame or a Dataset; None for anything else.

    Parameters
    ----------
    data : DataFrame, path, Dask DataFrame or Dataset
        A path of a Parquet file, a folder of such, or a CSV file; none of them is ever in memory as a whole.

    Raises
    ------
    DataError
        If there is no such file, it has another format, or an id occurs twice.
    """
    if isinstance(data, pd.DataFrame):
        return frame_source(data)
    if isinstance(data, str | Path):
        return _file(Path(data))
    if isinstance(data, xr.Dataset):
        return dataset_source(data)
    if type(data).__module__.partition(".")[0] == "dask":
        return dask_source(data)
    return None


def _file(path: Path) -> SegmentedSource:
    if not path.exists():
        raise DataError(f"a file or folder {str(path)!r}", "none there", "Check the spelling and the working folder.")
    if path.is_dir() or path.suffix.lower() in (".parquet", ".pq"):
        return parquet_source(path)
    if path.suffix.lower() == ".csv":
        return csv_source(path)
    raise DataError(f"one of {FORMATS}", repr(path.name), "Write it as Parquet: frame.to_parquet('rows.parquet').")
