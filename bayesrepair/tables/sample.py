"""A table that may be too long to model: all of it, or a uniform random sample, read in bounded memory."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from bayesrepair.status import DataError
from bayesrepair.streaming.opening import opened
from bayesrepair.streaming.pieces import SegmentedSource

MAX_ROWS = 200_000


def whole_or_sample(data: Any, *, max_rows: int, random_seed: Any) -> tuple[Any, str]:
    """A table in memory, and what to say of it: nothing where it is all there.

    Parameters
    ----------
    data : DataFrame, path, Dask DataFrame or Dataset
        A DataFrame comes back as it is, however long.
    max_rows : int
    random_seed : int or Generator, optional

    Raises
    ------
    DataError
        If there is no such file, or ``max_rows`` is below one.
    """
    if max_rows < 1:
        raise DataError("max_rows of 1 or more", repr(max_rows))
    source = None if isinstance(data, pd.DataFrame) else opened(data)
    if source is None:
        return data, ""
    return _sampled(source, max_rows, random_seed)


def _sampled(source: SegmentedSource, max_rows: int, random_seed: Any) -> tuple[Any, str]:
    size = len(source)
    if size <= max_rows:
        return source.at(np.arange(size)), ""
    chosen = np.random.default_rng(random_seed).choice(size, max_rows, replace=False, shuffle=False)
    said = (
        f"{max_rows} of {size} rows, drawn at random, are modelled (max_rows); "
        "find_causes(fit, failures, rows=...) ranks all of them."
    )
    return source.at(np.sort(chosen)), said
