"""What one more run will show, from a few runs like it."""

from __future__ import annotations

import numpy as np
from scipy import stats

BORROWED = 2  # degrees of freedom that a share's binomial variance counts for beside the runs' own


def next_share(values: np.ndarray, size: int, *, level: float = 0.9) -> tuple[float, float, float]:
    """Mean of some shares, and the interval in which the share of one more run will lie.

    Student's predictive interval on the scale ``z = arcsin √p``, where the variance of a share of ``size`` things is
    about ``1/(4 size)`` whatever p is (Anscombe 1948, doi:10.1093/biomet/35.3-4.246):

        z̄ ± t · s · √(1 + 1/R),  s² = ((R−1) s_runs² + 2/(4 size)) / (R + 1),

    so that few runs, or runs that happen to agree, are not taken for certainty.

    Parameters
    ----------
    values : array, shape (R,)
        Between 0 and 1.
    size : int
        Number of things that each is a share of.
    level : float

    Returns
    -------
    mean, low, high : float

    Examples
    --------
    >>> mean, low, high = next_share(np.array([0.8, 0.9, 0.85]), 40)
    >>> bool(low < 0.8 and 0.9 < high < 1)
    True
    >>> round(next_share(np.ones(5), 20)[1], 2)  # five perfect runs do not promise a sixth
    0.98
    """
    z = np.arcsin(np.sqrt(np.clip(values, 0.0, 1.0)))
    runs, free = len(z), len(z) - 1 + BORROWED
    variance = (np.square(z - z.mean()).sum() + BORROWED / (4 * max(size, 1))) / free
    reach = stats.t.ppf((1 + level) / 2, free) * np.sqrt(variance * (1 + 1 / runs))
    low, high = np.sin(np.clip([z.mean() - reach, z.mean() + reach], 0.0, np.pi / 2)) ** 2
    return float(np.mean(values)), float(low), float(high)


def next_number(values: np.ndarray, *, level: float = 0.9) -> tuple[float, float, float]:
    """Mean of some numbers, and Student's predictive interval for one more; nan for its ends after a single run.

    Parameters
    ----------
    values : array, shape (R,)
    level : float

    Returns
    -------
    mean, low, high : float

    Examples
    --------
    >>> mean, low, high = next_number(np.array([1.0, 2.0, 3.0]))
    >>> mean, round(high - mean, 2)  # 2.92 · 1 · √(4/3)
    (2.0, 3.37)
    """
    runs, mean = len(values), float(np.mean(values))
    if runs < 2:
        return mean, np.nan, np.nan
    reach = stats.t.ppf((1 + level) / 2, runs - 1) * np.std(values, ddof=1) * np.sqrt(1 + 1 / runs)
    return mean, mean - float(reach), mean + float(reach)


def share_of_runs(happened: np.ndarray, *, level: float = 0.9) -> tuple[float, float, float]:
    """How often something happened, with the interval of Jeffreys for its probability.

    Parameters
    ----------
    happened : array of bool, shape (R,)
    level : float

    Returns
    -------
    mean, low, high : float

    Examples
    --------
    >>> mean, low, high = share_of_runs(np.array([True, True, False, True]))
    >>> mean, round(low, 2), round(high, 2)
    (0.75, 0.35, 0.95)
    """
    hits, runs = int(np.sum(happened)), len(happened)
    tails = np.array([(1 - level) / 2, (1 + level) / 2])
    low, high = stats.beta.ppf(tails, hits + 0.5, runs - hits + 0.5)
    return hits / runs, float(low) if hits else 0.0, float(high) if hits < runs else 1.0
