"""``log Σ exp`` over the last axis: several times as fast as SciPy's, which also serves signs and complex numbers."""

from __future__ import annotations

import numpy as np


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
    top = np.max(values, axis=-1, keepdims=True)
    top = np.where(np.isfinite(top), top, 0.0)
    with np.errstate(divide="ignore"):  # log 0 where all are −inf
        total = np.log(np.exp(values - top).sum(axis=-1, keepdims=True)) + top
    return total if keepdims else total[..., 0]
