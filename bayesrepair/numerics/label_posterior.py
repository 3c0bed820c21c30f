"""The true class of a record, given the class in the table: Bayes' rule for a transition matrix."""

from __future__ import annotations

import numpy as np

from bayesrepair.numerics.short_axis import total


def true_class(probability: np.ndarray, rate: np.ndarray, target: np.ndarray, given: np.ndarray) -> np.ndarray:
    """Posterior of the true class, draw by draw.

    With ``T_cd = (1 − rate_c) [c = d] + rate_c target_cd``, ``P(c | given = y) = π_c T_cy / Σ_b π_b T_by``.

    Parameters
    ----------
    probability : array, shape (S, N, K)
        π, the model's probability of each true class.
    rate : array, shape (S, N, K)
        Probability that a record of each true class is given another class. Zero for records known to be right.
    target : array, shape (S, K, K)
        Which class a wrong record of each true class gets; the diagonal is zero and rows sum to one.
    given : array of int, shape (N,)
        The class in the table.

    Returns
    -------
    array, shape (S, N, K)
        Sums to one. Where all terms vanish, the given class.

    Examples
    --------
    Two classes, 10 % errors; the model says .9 for class 0 and class 1 is given: .09 / (.09 + .09).

    >>> swap = np.array([[[0.0, 1.0], [1.0, 0.0]]])
    >>> true_class(np.array([[[0.9, 0.1]]]), np.full((1, 1, 2), 0.1), swap, np.array([1])).round(3)
    array([[[0.5, 0.5]]])
    """
    at = np.arange(len(given))
    joint = probability * rate * np.moveaxis(target, 2, 1)[:, given, :]
    joint[:, at, given] = probability[:, at, given] * (1 - rate[:, at, given])
    evidence = total(joint)
    impossible = (evidence <= 0)[:, :, 0]
    with np.errstate(invalid="ignore", divide="ignore"):
        joint /= evidence
    if impossible.any():
        joint[impossible] = np.eye(probability.shape[2])[np.broadcast_to(given, impossible.shape)[impossible]]
    return joint


def wrong(truth: np.ndarray, given: np.ndarray) -> np.ndarray:
    """Probability that the given class is not the true one, (S, N, K) → (S, N), without cancellation near zero."""
    others = truth.copy()
    others[:, np.arange(len(given)), given] = 0.0
    return total(others)[..., 0]


def transition(rate: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Rates (S, K) and targets (S, K, K) → transition matrices (S, K, K), rows the true class.

    Examples
    --------
    >>> transition(np.array([[0.1, 0.2]]), np.array([[[0.0, 1.0], [1.0, 0.0]]]))[0]
    array([[0.9, 0.1],
           [0.2, 0.8]])
    """
    matrix = rate[:, :, None] * target
    diagonal = np.arange(rate.shape[1])
    matrix[:, diagonal, diagonal] = 1 - rate
    return matrix
