"""Dask DataFrames and xarray Datasets: partitions and slices, computed where they are scored."""

from __future__ import annotations

import hashlib
import uuid
from dataclasses import dataclass
from typing import Any

import pandas as pd
import xarray as xr

from bayesrepair.status import DataError
from bayesrepair.streaming.pieces import PIECE_ROWS, SegmentedSource, row_dim


@dataclass(frozen=True, eq=False)
class Partition:
    """A partition of a Dask DataFrame.

    Parameters
    ----------
    key : str
    delayed : Delayed
    rows : int
    """

    key: str
    delayed: Any
    rows: int

    def __len__(self) -> int:
        return self.rows

    def load(self) -> pd.DataFrame:
        """Its rows, computed in this thread: a worker must not wait for its own scheduler."""
        return self.delayed.compute(scheduler="synchronous")


@dataclass(frozen=True, eq=False)
class Slice:
    """Some rows of a Dataset, which may be computed only now.

    Parameters
    ----------
    key : str
    data : Dataset
    """

    key: str
    data: xr.Dataset

    def __len__(self) -> int:
        return self.data.sizes[row_dim(self.data)]

    def load(self) -> xr.Dataset | pd.DataFrame:
        """The rows; as a table where every variable is a column."""
        chunked = any(variable.chunks is not None for variable in self.data.variables.values())
        loaded = self.data.compute(scheduler="synchronous") if chunked else self.data
        flat = all(variable.ndim == 1 for variable in loaded.data_vars.values())
        return pd.DataFrame({str(k): v.to_numpy() for k, v in loaded.data_vars.items()}) if flat else loaded


def dask_source(frame: Any) -> SegmentedSource:
    """Rows of a Dask DataFrame under the ids of its index; its partitions are never in memory together."""
    import dask
    from dask.base import tokenize

    indexes = dask.compute(*frame.index.to_delayed())
    name = tokenize(frame)
    parts = [frame.partitions[k].to_delayed()[0] for k in range(frame.npartitions)]  # each with its own graph only
    segments = tuple(Partition(f"{name}:{k}", p, len(i)) for k, (p, i) in enumerate(zip(parts, indexes, strict=True)))
    return SegmentedSource(segments, indexes[0].append(list(indexes[1:])).rename("row"), lambda: name)


def dataset_source(data: xr.Dataset) -> SegmentedSource:
    """Rows of a Dataset along the dimension that comes first in all of its variables.

    The ids are the coordinate of that dimension where there is one, else 0, 1, 2, ….

    Raises
    ------
    DataError
        If there is no variable, or no dimension that comes first in all of them.
    """
    if not data.data_vars:
        raise DataError("a Dataset with variables", "none")
    rows = row_dim(data)
    other = [str(name) for name, variable in data.data_vars.items() if variable.dims[:1] != (rows,)]
    if other:
        raise DataError(
            f"{rows!r} as the first dimension of every variable",
            f"another one in {', '.join(map(repr, other[:3]))}",
            f"Write data.transpose({rows!r}, ...), and drop variables that have no rows.",
        )
    size = data.sizes[rows]
    name = uuid.uuid4().hex
    segments = tuple(
        Slice(f"{name}:{a}", data.isel({rows: slice(a, a + PIECE_ROWS)})) for a in range(0, size, PIECE_ROWS)
    )
    index = data.coords[rows].to_numpy() if rows in data.coords else pd.RangeIndex(size)
    return SegmentedSource(segments, pd.Index(index, name="row"), lambda: _mark(data))


def _mark(data: xr.Dataset) -> str:
    """SHA-256 of a Dataset: of its numbers, or of the graph that makes them."""
    digest = hashlib.sha256()
    for name, variable in sorted(data.variables.items(), key=lambda item: str(item[0])):
        if variable.chunks is None:
            content = hashlib.sha256(variable.to_numpy().tobytes()).hexdigest()
        else:
            content = str(variable.data.name)
        digest.update(repr((str(name), variable.dims, variable.shape, content)).encode())
    return digest.hexdigest()
