"""What is unusual about a row: its numbers far from, or its words rare among, the rows of its given class."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import norm

from bayesrepair.fit import Fit
from bayesrepair.predictive import given_outcome
from bayesrepair.reporting.wording import decimals, percent, value_text

LEAST = 2.0  # robust z below which nothing is said
FEWEST = 10  # rows of a class to compare with; with fewer, all rows
RAREST_SHARE = 0.05
MOST_COLUMNS = 500
MAD_TO_SD = 1.4826
MEAN_DEVIATION_TO_SD = 1.2533


@dataclass(frozen=True)
class Standout:
    """One unusual cell: its column, its value as text, and how unusual it is (robust z, or the z of a share)."""

    column: str
    text: str
    size: float


def standouts(fit: Fit, rows: pd.Index, *, count: int = 3) -> dict[Any, list[Standout]]:
    """The most unusual cells of some training rows, most unusual first.

    A number is compared by its robust z, ``(x − median) / (1.4826 MAD)``, with the rows of the same given class (all
    rows where there are no classes, or fewer than 10 of that class). A word counts where at most 5 % of those rows
    have it; its share is turned into the z of equal tail probability.

    Parameters
    ----------
    fit : Fit
    rows : Index
        Ids of training rows.
    count : int
        Cells a row, at most.

    Returns
    -------
    dict of row id to list of Standout
    """
    table = _features(fit)
    given = pd.Series(given_outcome(fit, fit.rows), index=fit.rows.index)
    is_class = fit.model.outcome.kind == "class"
    found: dict[Any, list[Standout]] = {row: [] for row in rows}
    for name in table.columns:
        column = table[name]
        for some, peers, whom in _peers(given, rows, is_class=is_class):
            cells = _numeric(column, some, peers) if _is_number(column) else _words(column, some, peers, whom)
            for row, text, size in cells:
                found[row].append(Standout(str(name), text, size))
    return {row: sorted(cells, key=lambda c: -abs(c.size))[:count] for row, cells in found.items()}


def _features(fit: Fit) -> pd.DataFrame:
    """The user's columns but for the outcome; without a table the model's own arrays, a column each."""
    outcome = fit.model.outcome.name
    if fit.table is not None:
        given = pd.Series(given_outcome(fit, fit.rows), index=fit.rows.index).astype(str)
        own = [not (name == outcome or fit.table.iloc[:, k].astype(str).equals(given))
               for k, name in enumerate(fit.table.columns)]  # fmt: skip
        return fit.table.loc[:, own].iloc[:, :MOST_COLUMNS]
    columns: dict[str, np.ndarray] = {}
    for name, value in fit.rows.values.items():
        if name != outcome and value.ndim <= 2:
            flat = value.reshape(len(fit.rows), -1)[:, :MOST_COLUMNS]
            columns |= {name if value.ndim == 1 else f"{name}[{j}]": flat[:, j] for j in range(flat.shape[1])}
    return pd.DataFrame(columns, index=fit.rows.index).iloc[:, :MOST_COLUMNS]


def _peers(given: pd.Series, rows: pd.Index, *, is_class: bool) -> list[tuple[pd.Index, pd.Index, str]]:
    """Rows asked about, the rows to compare each with, and what those are called."""
    if not is_class:
        return [(rows, given.index, "all rows")]
    parts = []
    for name, members in given.groupby(given, sort=False):
        some = rows[rows.isin(members.index)]
        if len(some):
            enough = len(members) >= FEWEST
            parts.append((some, members.index if enough else given.index, str(name) if enough else "all rows"))
    return parts


def _is_number(column: pd.Series) -> bool:
    dates = pd.api.types.is_datetime64_any_dtype(column)
    numbers = pd.api.types.is_numeric_dtype(column) and not pd.api.types.is_complex_dtype(column)
    return dates or (numbers and not pd.api.types.is_bool_dtype(column))


def _numeric(column: pd.Series, some: pd.Index, peers: pd.Index) -> list[tuple[Any, str, float]]:
    if pd.api.types.is_datetime64_any_dtype(column):
        values = (column - column.min()).dt.total_seconds()
    else:
        values = pd.Series(column.to_numpy(dtype=float, na_value=np.nan), index=column.index)
    usual = values.loc[peers].to_numpy()
    usual = usual[np.isfinite(usual)]
    if not len(usual):
        return []
    median = np.median(usual)
    away = np.abs(usual - median)
    scale = MAD_TO_SD * np.median(away) or MEAN_DEVIATION_TO_SD * away.mean()
    if scale == 0:
        return []
    z = (values.loc[some].to_numpy() - median) / scale
    return [
        (row, f"{_shown(cell)} ({decimals(size, 1, sign=True)})", size)
        for row, cell, size in zip(some, column.loc[some], z, strict=True)
        if np.isfinite(size) and abs(size) >= LEAST
    ]


def _shown(value: Any) -> str:
    return str(value.date()) if isinstance(value, pd.Timestamp) else value_text(value)


def _words(column: pd.Series, some: pd.Index, peers: pd.Index, whom: str) -> list[tuple[Any, str, float]]:
    words = column.astype(object).where(column.notna(), None).map(lambda v: "missing" if v is None else str(v))
    usual = words.loc[peers]
    if usual.nunique() > len(usual) / 2:  # names and free text: every one of them is rare
        return []
    share = words.loc[some].map(usual.value_counts(normalize=True)).fillna(0.0)
    return [
        (row, f"{word} ({percent(s, 1)} of {whom})", float(norm.isf(max(s, 0.5 / len(usual)) / 2)))
        for row, word, s in zip(some, words.loc[some], share, strict=True)
        if s <= RAREST_SHARE
    ]
