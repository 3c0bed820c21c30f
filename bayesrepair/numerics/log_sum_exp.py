"""``log Σ exp`` and softmax over the last axis, of the classes: several times as fast as SciPy's.

SciPy's serve signs and complex numbers too.
"""

from __future__ import annotations

import numpy as np

from bayesrepair.numerics.short_axis import largest, total


def log_sum_exp(values: np.ndarray, *, keepdims: bool = False) -> np.ndarray:
    """``log Σ_k exp v_k`` over the last axis; −inf where all are.

    Parameters
    ----------
    values : array, shape (…, K)
        Finite or −inf.
    keepdims : bool
        Whether the axis stays, of length 1.

    Returns
    -------
    array, shape (…,) or (…, 1)

    Examples
    --------
    >>> log_sum_exp(np.log([[1.0, 2.0, 5.0], [0.25, 0.25, 0.5]])).round(12)
    array([2.07944154, 0.        ])
    >>> log_sum_exp(np.array([[1000.0, 1000.0], [-np.inf, -np.inf]])).round(3)
    array([1000.693,     -inf])
    """
    top = largest(values)
    top = np.where(np.isfinite(top), top, 0.0)
    with np.errstate(divide="ignore"):  # log 0 where all are −inf
        found = np.log(total(np.exp(values - top))) + top
    return found if keepdims else found[..., 0]


def softmax(values: np.ndarray) -> np.ndarray:
    """``exp v_k / Σ_j exp v_j`` over the last axis, (…, K) → (…, K).

    Parameters
    ----------
    values : array, shape (…, K)
        Below infinity, and not all −inf.

    Examples
    --------
    >>> softmax(np.array([[1000.0, 1000.0, -np.inf], [0.0, 0.0, np.log(2.0)]]))
    array([[0.5 , 0.5 , 0.  ],
           [0.25, 0.25, 0.5 ]])
    """
    share = np.exp(values - largest(values))
    share /= total(share)
    return share
