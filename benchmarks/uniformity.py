"""Ranks of simulation-based calibration, and tests of their uniformity.

θ from the prior and exact draws of its posterior are exchangeable, so that the rank of θ among L independent draws is
uniform on 0 … L (Talts et al. 2018, arXiv:1804.06788). The simultaneous band of the empirical distribution function is
that of Säilynoja et al. (2022, doi:10.1007/s11222-022-10090-6), as ArviZ computes it.
"""

from __future__ import annotations

from functools import cache

import numpy as np
from arviz_stats.ecdf_utils import get_pointwise_confidence_band, simulate_confidence_bands
from scipy.stats import chi2, chisquare

DRAWS, BINS = 99, 20  # 100 possible ranks, five to a bin
BAND = 0.99  # probability of the simultaneous band
SIMULATIONS = 2000


def rank(truth: np.ndarray, draws: np.ndarray) -> np.ndarray:
    """How many draws lie below the truth: (Q,) and (L, Q) → (Q,).

    Examples
    --------
    >>> rank(np.array([0.5, 9.0]), np.array([[0.0, 1.0], [1.0, 2.0], [2.0, 3.0]]))
    array([1, 3])
    """
    return (draws < truth).sum(axis=0)


def chi_square(ranks: np.ndarray, *, draws: int = DRAWS, bins: int = BINS) -> float:
    """p-value of uniform ranks, by Pearson's statistic of equally wide bins.

    Examples
    --------
    >>> chi_square(np.arange(100)), chi_square(np.zeros(100)) < 1e-100
    (1.0, True)
    """
    counts = np.bincount(np.asarray(ranks, dtype=int) * bins // (draws + 1), minlength=bins)
    return float(chisquare(counts).pvalue)


def pit(ranks: np.ndarray, rng: np.random.Generator, *, draws: int = DRAWS) -> np.ndarray:
    """Ranks spread out at random within their steps: uniform on (0, 1) where the ranks are uniform."""
    return (np.asarray(ranks) + rng.random(np.shape(ranks))) / (draws + 1)


def smooth(values: np.ndarray) -> float:
    """p-value of uniform values by Neyman's smooth test of order two: sensitive to a wrong place and a wrong width.

    The means of the first two orthonormal Legendre polynomials, ``√12 (u − ½)`` and ``√5 (6 (u − ½)² − ½)``, are
    nearly normal; n times the sum of their squares is χ² with two degrees of freedom (Neyman 1937,
    doi:10.1080/03461238.1937.10404821).

    Examples
    --------
    >>> even = (np.arange(300) + 0.5) / 300
    >>> round(smooth(even), 2), smooth(even**1.4) < 1e-3, smooth(0.5 + 0.7 * (even - 0.5)) < 1e-3
    (1.0, True, True)
    """
    centred = np.asarray(values) - 0.5
    means = np.array([np.sqrt(12) * centred.mean(), np.sqrt(5) * (6 * np.square(centred) - 0.5).mean()])
    return float(chi2.sf(len(centred) * (means**2).sum(), 2))


def ecdf_difference(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Points x in [0, 1], and the share of values up to x minus x.

    Examples
    --------
    >>> ecdf_difference(np.array([0.1, 0.2]))[1]  # both are below 1/2
    array([0. , 0.5, 0. ])
    """
    at = np.linspace(0, 1, len(values) + 1)
    return at, np.searchsorted(np.sort(values), at, side="right") / len(values) - at


@cache
def band(size: int, probability: float = BAND) -> tuple[np.ndarray, np.ndarray]:
    """Lower and upper edge of the simultaneous band of `ecdf_difference` for uniform values."""
    inner = np.arange(1, size) / size
    pointwise = simulate_confidence_bands(size, 1, inner, probability, SIMULATIONS, np.random.default_rng(0))
    edges = get_pointwise_confidence_band(pointwise, size, inner)
    lower, upper = (np.concatenate([[0.0], edge - inner, [0.0]]) for edge in edges)
    return lower, upper


def outside(values: np.ndarray, probability: float = BAND) -> bool:
    """Whether the empirical distribution function leaves the band anywhere."""
    difference = ecdf_difference(values)[1]
    lower, upper = band(len(values), probability)
    return bool(((difference < lower - 1e-12) | (difference > upper + 1e-12)).any())
