"""Names of row-aligned arrays: the model's own where it has one, else the user's column of equal values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from bayesrepair.status import DataError


@dataclass(frozen=True)
class Match:
    """Columns that hold the same values as an array of the model.

    Parameters
    ----------
    name : str
    columns : tuple of str
        Several make a matrix.
    levels : tuple, optional
        The column's own labels in the order of their codes, where the array holds codes.
    """

    name: str
    columns: tuple[str, ...]
    levels: tuple | None = None


def columns_of(data: Any) -> dict[str, Any]:
    """Arrays by name: of a DataFrame, a mapping, or an xarray Dataset.

    Raises
    ------
    DataError
        If it is none of these.
    """
    if isinstance(data, pd.DataFrame):
        return {str(name): data[name] for name in data.columns}
    if isinstance(data, xr.Dataset):
        return {str(name): data[name].to_numpy() for name in data.data_vars}
    if isinstance(data, Mapping):
        return {str(name): value for name, value in data.items()}
    raise DataError(
        "a DataFrame, a mapping of arrays, or an xarray Dataset",
        f"a {type(data).__name__}",
        "Pass one of these.",
    )


def match(values: np.ndarray, columns: Mapping[str, Any], *, prefer: str = "") -> Match | None:
    """Columns that hold ``values`` (N, ...); the one called ``prefer`` first.

    Examples
    --------
    >>> match(np.array([0, 1, 0]), {"site": pd.Series(["a", "b", "a"])})
    Match(name='site', columns=('site',), levels=('a', 'b'))
    """
    ordered = sorted(columns, key=lambda name: name != prefer)
    for name in ordered:
        if _equal(values, np.asarray(columns[name])):
            return Match(name, (name,))
    if values.ndim == 1 and values.dtype.kind in "iub":
        for name in ordered:
            levels = _levels(values, columns[name])
            if levels is not None:
                return Match(name, (name,), levels)
    if values.ndim == 2:
        return _match_matrix(values, columns)
    return None


def _match_matrix(values: np.ndarray, columns: Mapping[str, Any]) -> Match | None:
    found: list[str] = []
    for j in range(values.shape[1]):
        equal = [name for name in columns if _equal(values[:, j], np.asarray(columns[name]))]
        if not equal:
            return None
        found.append(next((name for name in equal if name not in found), equal[0]))
    return Match(joined(found), tuple(found))


def joined(names: Sequence[str]) -> str:
    """One name for a matrix made of several columns."""
    return ",".join(names) if len(names) <= 3 else f"{names[0]},…,{names[-1]}"


def _equal(values: np.ndarray, column: np.ndarray) -> bool:
    if column.shape != values.shape or column.dtype.kind not in "iufb":
        return False
    tolerance = 1e-6 if np.float32 in (values.dtype, column.dtype) else 0.0
    return np.allclose(values.astype(float), column.astype(float), rtol=tolerance, atol=0.0, equal_nan=True)


def _levels(codes: np.ndarray, column: Any) -> tuple | None:
    """Labels in the order of the codes, if these are the codes of the column in one of the usual orders."""
    series = pd.Series(column) if np.ndim(column) == 1 else None
    if series is None or len(series) != len(codes) or series.dtype.kind == "f" or series.isna().any():
        return None
    if isinstance(series.dtype, pd.CategoricalDtype):
        if np.array_equal(series.cat.codes, codes):
            return tuple(series.cat.categories)
        series = series.astype(series.cat.categories.dtype)
    for sort in (True, False):
        found, levels = pd.factorize(series, sort=sort)
        if np.array_equal(found, codes):
            return tuple(levels)
    return None


def unique(name: str, taken: Mapping[str, Any]) -> str:
    """The name, with a number where it is taken."""
    if name not in taken:
        return name
    number = 1
    while f"{name}_{number}" in taken:
        number += 1
    return f"{name}_{number}"
