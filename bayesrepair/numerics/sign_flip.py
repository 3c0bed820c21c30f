"""Many means tested at once by flipping signs of batches: a wild bootstrap (Liu 1988, doi:10.1214/aos/1176351062)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

FLIPS = 499


@dataclass(frozen=True, eq=False)
class FlipTest:
    """Joint test that many means are zero.

    Parameters
    ----------
    mean, mcse, z : array, shape (H,)
    p_largest : float
        Of the largest ``|z|`` among the means.
    p_sum : float
        Of the sum of ``z²``.
    """

    mean: np.ndarray
    mcse: np.ndarray
    z: np.ndarray
    p_largest: float
    p_sum: float


def flip_test(batch_sums: np.ndarray, *, rng: np.random.Generator, flips: int = FLIPS) -> FlipTest:
    """Test that the sums over batches have mean zero, all columns jointly.

    Parameters
    ----------
    batch_sums : array, shape (B, H)
        Independent contributions to each of H means (weights included).
    rng : Generator
    flips : int

    Returns
    -------
    FlipTest

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> null = rng.standard_normal((100, 5)) / 100
    >>> shifted = null + np.array([0.01, 0, 0, 0, 0])  # ten standard errors
    >>> flip_test(null, rng=rng).p_largest > 0.05, flip_test(shifted, rng=rng).p_largest
    (True, 0.002)
    """
    count = len(batch_sums)
    square = np.square(batch_sums).sum(0)
    mean = batch_sums.sum(0)
    seen = _squared_z(np.square(mean), square, count)
    signs = rng.integers(0, 2, (flips, count)) * 2.0 - 1.0
    flipped = signs @ batch_sums
    z_squared = _squared_z(np.square(flipped, out=flipped), square, count)
    return FlipTest(
        mean,
        np.sqrt(_variance(np.square(mean), square, count)),
        np.sign(mean) * np.sqrt(seen),
        float((1 + (z_squared.max(1) >= seen.max()).sum()) / (1 + flips)),
        float((1 + (z_squared.sum(1) >= seen.sum()).sum()) / (1 + flips)),
    )


def sum_by(label: np.ndarray, terms: np.ndarray) -> np.ndarray:
    """Sums of the terms (S, H) within each label, shape (B, H)."""
    order = np.argsort(label, kind="stable")
    starts = np.flatnonzero(np.diff(label[order], prepend=-1))
    return np.add.reduceat(terms[order], starts, axis=0)


def _variance(mean_squared: np.ndarray, square: np.ndarray, count: int) -> np.ndarray:
    return np.maximum(square - mean_squared / count, 0.0) * (count / (count - 1))


def _squared_z(mean_squared: np.ndarray, square: np.ndarray, count: int) -> np.ndarray:
    variance = _variance(mean_squared, square, count)
    return np.divide(mean_squared, variance, out=np.zeros_like(variance), where=variance > 1e-24 * (1 + square))
