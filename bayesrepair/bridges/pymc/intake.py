"""The user's own data → rows of the model, or a message that says what is missing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from bayesrepair.bridges.pymc.graph import RowGraph, RowInput
from bayesrepair.bridges.pymc.naming import columns_of
from bayesrepair.rows import Rows
from bayesrepair.status import DataError, UnsupportedModelError

POSITION = "row_position"
"""Array that says which training row a row is; only where a free variable has an entry for each of them."""


def training_rows(graph: RowGraph) -> Rows:
    """The rows inside the model."""
    values = {name: source.training for name, source in graph.sources.items()}
    if graph.latents:
        values[POSITION] = np.arange(graph.n_rows)
    return Rows(values, graph.row_ids)


def rows_of(graph: RowGraph, data: Any) -> Rows:
    """Rows of the model from a DataFrame, a mapping of arrays, or a Dataset.

    Observed variables may be absent: such rows can be predicted, not scored.

    Raises
    ------
    DataError
        If an array is absent, has another shape, is not finite, or holds a level or class unseen in training.
    UnsupportedModelError
        If the model knows its training rows only.
    """
    columns = columns_of(data)
    values, absent = {}, []
    for name, source in graph.sources.items():
        found = _find(source, columns)
        if found is not None:
            values[name] = _converted(source, *found, is_outcome=name == graph.outcome.name)
        elif name not in graph.observed:
            absent.append(name)
    if absent:
        raise DataError(
            f"the model's row-aligned arrays {_listing(graph)}",
            f"no {', '.join(map(repr, absent))} among {', '.join(map(repr, columns)) or 'no arrays'}",
            "Pass them by these names; to have columns of a table recognised, pass the training table as data= "
            "when the model is handed over.",
        )
    ids = _ids(data, columns, values, graph)
    rows = Rows(values, ids)
    return _located(graph, rows) if graph.latents else rows


def _listing(graph: RowGraph) -> str:
    shown = []
    for name, source in graph.sources.items():
        columns = f" from {', '.join(source.columns)}" if source.columns not in ((), (name,)) else ""
        optional = ", optional" if name in graph.observed else ""
        shown.append(f"{name!r} (shape {('rows', *source.tail)}{columns}{optional})".replace("'rows'", "rows"))
    return ", ".join(shown)


def _find(source: RowInput, columns: Mapping[str, Any]) -> tuple[np.ndarray, bool] | None:
    """The array, and whether it holds the user's labels where the model holds codes."""
    for name in (source.name, *source.aliases):
        if name in columns:
            if source.conflicting:
                raise DataError(
                    f"values of {name!r} on the scale that the model holds",
                    f"the table's column {name!r}, which is not what the model was built on (scaled, perhaps)",
                    "Pass a table whose column holds what the model holds.",
                )
            return np.asarray(columns[name]), source.levels is not None and name in source.columns
    if source.columns and all(name in columns for name in source.columns):
        if len(source.columns) == 1:
            return np.asarray(columns[source.columns[0]]), source.levels is not None
        return np.column_stack([np.asarray(columns[name]) for name in source.columns]), False
    return None


def _converted(source: RowInput, values: np.ndarray, labelled: bool, *, is_outcome: bool) -> np.ndarray:
    if values.ndim == 1 and source.tail == (1,):
        values = values[:, None]  # the model holds the column as x[:, None]
    if values.ndim == 0 or values.shape[1:] != source.tail:
        expected = ", ".join(map(str, ("rows", *source.tail)))
        raise DataError(f"{source.name!r} of shape ({expected})", f"shape {values.shape}")
    if labelled and source.levels is not None:
        values = _codes(source, source.levels, values, is_outcome=is_outcome)
    try:
        numbers = values.astype(float)
    except (TypeError, ValueError) as error:
        raise DataError(
            f"numbers in {source.name!r}",
            f"{values.dtype} such as {values.ravel()[0]!r}",
            "Code text as the model does, or pass the training table as data= so that its labels are known.",
        ) from error
    if not np.isfinite(numbers).all():
        bad = int((~np.isfinite(numbers)).sum())
        raise DataError(f"finite values in {source.name!r}", f"{bad} missing or infinite", "Drop those rows.")
    dtype = source.training.dtype
    if dtype.kind in "iub" and (numbers != np.round(numbers)).any():
        raise DataError(f"whole numbers in {source.name!r}", "fractions", "Pass what the model holds.")
    _refuse_unseen(source, numbers, is_outcome=is_outcome)
    return numbers.astype(dtype)


def _codes(source: RowInput, labels: tuple, values: np.ndarray, *, is_outcome: bool) -> np.ndarray:
    levels = pd.Index(labels)
    codes = levels.get_indexer(pd.Index(values))
    if (codes < 0).any():
        if values.dtype.kind in "iu" and not pd.api.types.is_numeric_dtype(levels.dtype):
            return values  # codes already
        unseen = pd.unique(values[codes < 0])[:3].tolist()
        what = "classes" if is_outcome else "levels"
        raise DataError(
            f"{what} of {source.name!r} seen in training ({_some(labels)})",
            f"unseen {', '.join(map(repr, unseen))}",
            "Drop those rows, or refit with them in the data.",
        )
    return codes


def _refuse_unseen(source: RowInput, numbers: np.ndarray, *, is_outcome: bool) -> None:
    if source.span is None or not len(numbers):
        return
    low, high = source.span
    bad = (numbers < low) | (numbers > high)
    if bad.any():
        what = "class codes" if is_outcome else "an index into a parameter"
        raise DataError(
            f"{what} from {low} to {high} in {source.name!r}",
            f"{numbers[bad].ravel()[0]:g} in {int(bad.sum())} places",
            "A level unseen in training has no parameter: drop those rows, or refit with them in the data.",
        )


def _some(levels: Any, count: int = 5) -> str:
    shown = ", ".join(repr(level) for level in list(levels)[:count])
    return f"{shown}, …" if len(levels) > count else shown


def _ids(data: Any, columns: Mapping[str, Any], values: Mapping[str, np.ndarray], graph: RowGraph) -> np.ndarray:
    if isinstance(data, pd.DataFrame):
        return data.index.to_numpy()
    arrays = values or {name: value for name, value in columns.items() if np.ndim(value)}
    n = len(next(iter(arrays.values()), ()))
    if isinstance(data, xr.Dataset) and values:
        for name in columns:
            dims = data[name].dims
            if dims and dims[0] in data.coords and data.sizes[dims[0]] == n:
                return data.coords[dims[0]].to_numpy()
    if n == 0:
        raise DataError(f"rows of the model ({_listing(graph)})", "no arrays", "Pass at least one row.")
    return np.arange(n)


def _located(graph: RowGraph, rows: Rows) -> Rows:
    """Rows of a model that knows its training rows only, with their positions."""
    training = training_rows(graph)
    at = training.index.get_indexer(rows.index)
    known = at >= 0
    inputs = {n: v for n, v in rows.values.items() if n not in graph.observed}
    if known.all():
        bare = Rows({n: training.values[n] for n in inputs}, training.row)
        known = Rows(inputs, rows.row).same_content(np.arange(len(rows)), bare, at)
    if not known.all():
        raise UnsupportedModelError(
            "training rows only, by their ids and with their own values",
            f"{int((~known).sum())} new rows; {', '.join(map(repr, graph.latents))} "
            "has one value for each training row and none for these",
            "Integrate that variable out of the model, or score and delete training rows only.",
        )
    return rows.replace(**{POSITION: at})
