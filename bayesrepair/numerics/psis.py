"""Pareto-smoothed importance weights (Vehtari et al. 2024, JMLR 25(72), arXiv:1507.02646)."""

from __future__ import annotations

import numpy as np
from scipy.special import logsumexp

from bayesrepair.numerics import array_stats

FEWEST_DRAWS = 25  # below it a fifth of the draws is no tail to fit


def smooth(log_ratio: np.ndarray, *, r_eff: float = 1.0) -> tuple[np.ndarray, float]:
    """Smooth the largest importance ratios and normalise.

    Parameters
    ----------
    log_ratio : array, shape (S,)
        Log importance *ratios*, up to a constant. ArviZ's ``psislw`` takes a log-likelihood and negates it, so it
        is handed the negative.
    r_eff : float
        Relative efficiency of the draws.

    Returns
    -------
    log_weights : array, shape (S,)
        Log weights whose exponentials sum to one.
    khat : float
        Pareto k̂; −inf for ratios that are constant, or whose tail is one repeated value (bounded: nothing to
        smooth); +inf when too few draws form a tail.

    Examples
    --------
    >>> log_w, khat = smooth(np.zeros(4))
    >>> np.exp(log_w), khat
    (array([0.25, 0.25, 0.25, 0.25]), -inf)
    """
    log_ratio = np.asarray(log_ratio, dtype=float)
    if np.isnan(log_ratio).any() or np.isposinf(log_ratio).any():
        raise FloatingPointError("log importance ratios hold nan or +inf")
    shifted = log_ratio - log_ratio.max()
    if flat_tail(shifted, r_eff=r_eff):
        return shifted - logsumexp(shifted), -np.inf
    if len(shifted) < FEWEST_DRAWS:
        return shifted - logsumexp(shifted), np.inf
    log_w, khat = array_stats.psislw(-shifted, r_eff=r_eff)
    log_w = np.asarray(log_w, dtype=float)
    return log_w - logsumexp(log_w), float(khat) if np.isfinite(khat) else np.inf


def flat_tail(log_ratio: np.ndarray, *, r_eff: float = 1.0) -> bool:
    """Whether the largest ratios, those that PSIS would smooth, are one repeated value."""
    size = len(log_ratio)
    tail = flat_tail_size(size, r_eff)
    largest = np.partition(log_ratio, size - tail - 1)[-tail - 1 :] if size > tail else log_ratio
    return bool(np.ptp(largest) < 1e-12)


def flat_tail_size(size: int, r_eff: float) -> int:
    """Largest ratios that `flat_tail` compares with one another, beside the one below them."""
    return int(np.ceil(min(size / 5, 3 * np.sqrt(size / r_eff))))


def tail_size(size: int, r_eff: float) -> int:
    """Draws that PSIS smooths, as ArviZ counts them: a fifth, or of many ``3 √(S / r_eff)``.

    Examples
    --------
    >>> tail_size(100, 1.0), tail_size(4000, 1.0)
    (20, 189)
    """
    return int(3 * np.sqrt(size / r_eff)) if size * r_eff > 225 else size // 5


def khat_threshold(size: int) -> float:
    """Largest k̂ at which smoothed weights of ``size`` draws can be trusted: ``min(1 − 1/log10 S, .7)``.

    Examples
    --------
    >>> round(khat_threshold(4000), 3), round(khat_threshold(100), 3)
    (0.7, 0.5)
    """
    return float(min(1 - 1 / np.log10(size), 0.7))


def effective_sample_size(weights: np.ndarray) -> float:
    """``1 / Σ w²`` of weights that sum to one (Kish).

    Examples
    --------
    >>> effective_sample_size(np.array([0.5, 0.5, 0.0]))
    2.0
    """
    return float(1 / np.square(weights).sum())


def effective_share(log_weights: np.ndarray) -> float:
    """Effective share of draws with these raw log weights, up to a constant; 0 where none is finite.

    Examples
    --------
    >>> effective_share(np.array([7.0, 7.0, -np.inf, -np.inf]))
    0.5
    >>> effective_share(np.array([-np.inf]))
    0.0
    """
    largest = log_weights.max()
    if not np.isfinite(largest):
        return 0.0
    weights = np.exp(log_weights - largest)
    return effective_sample_size(weights / weights.sum()) / len(weights)
