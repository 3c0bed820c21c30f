"""Paired gains over cells and seeds, with intervals."""

from __future__ import annotations

import numpy as np
import pandas as pd
from scipy.stats import t


def mean_interval(values: np.ndarray, level: float = 0.95) -> tuple[float, float, float]:
    """Mean and its t interval; without ends where there is one value.

    Examples
    --------
    >>> [round(v, 2) for v in mean_interval(np.array([1.0, 3.0]))]  # 2 ± 12.7 · 1
    [2.0, -10.71, 14.71]
    """
    values = np.asarray(values, dtype=float)
    if len(values) < 2:
        return float(values.mean()), float("nan"), float("nan")
    half = t.ppf(0.5 + level / 2, len(values) - 1) * values.std(ddof=1) / np.sqrt(len(values))
    return float(values.mean()), float(values.mean() - half), float(values.mean() + half)


def over_cells(gain: pd.DataFrame, level: float = 0.95) -> tuple[float, float, float]:
    """Mean over cells, each of equal weight, with an interval that lets the cells of a data set share their seeds.

    Noises of one data set and seed have the split in common: they are one cluster. With w_d the share of the cells that
    are of data set d, and s_d² the variance over seeds of the mean over its noises, the variance of the whole is
    Σ w_d² s_d² / n_d; degrees of freedom by Welch and Satterthwaite.

    Parameters
    ----------
    gain : DataFrame
        Columns ``data``, ``noise``, ``seed``, ``gain``.
    level : float

    Examples
    --------
    >>> gain = pd.DataFrame({"data": ["a", "a", "b", "b"], "noise": "u", "seed": [0, 1, 0, 1], "gain": [0, 2, 1, 3.0]})
    >>> mean, low, high = over_cells(gain)
    >>> mean, round((high - low) / 2 / float(t.ppf(0.975, 2)), 4)  # sqrt(1/4 + 1/4)
    (1.5, 0.7071)
    """
    cells = len(gain.groupby(["data", "noise"]))
    total, parts = 0.0, []
    for _, some in gain.groupby("data"):
        share = some["noise"].nunique() / cells
        by_seed = some.groupby("seed")["gain"].mean()
        total += share * float(some.groupby("noise")["gain"].mean().mean())
        parts.append((share**2 * by_seed.var(ddof=1) / len(by_seed), len(by_seed) - 1))
    variance = sum(part for part, _ in parts)
    freedom = variance**2 / sum(part**2 / df for part, df in parts) if variance else 1.0
    half = float(t.ppf(0.5 + level / 2, freedom) * np.sqrt(variance))
    return total, total - half, total + half
