"""Sums and maxima over a short last axis, of the classes.

NumPy's loop over the last axis starts anew for each row; over a few classes a loop of whole slices is faster.
"""

from __future__ import annotations

from functools import reduce

import numpy as np

FEW = 8  # entries up to which slices are taken one by one


def total(values: np.ndarray) -> np.ndarray:
    """Sum over the last axis, which stays, (…, K) → (…, 1).

    Examples
    --------
    >>> total(np.array([[1.0, 2.0, 5.0], [0.25, 0.25, 0.5]]))
    array([[8.],
           [1.]])
    """
    return _reduced(np.add, values)


def largest(values: np.ndarray) -> np.ndarray:
    """Maximum over the last axis, which stays, (…, K) → (…, 1).

    Examples
    --------
    >>> largest(np.array([[1.0, 2.0, 5.0], [0.25, 0.25, 0.5]]))
    array([[5. ],
           [0.5]])
    """
    return _reduced(np.maximum, values)


def _reduced(function: np.ufunc, values: np.ndarray) -> np.ndarray:
    if values.shape[-1] > FEW:
        return np.asarray(function.reduce(values, axis=-1, keepdims=True))
    return np.asarray(reduce(function, np.moveaxis(values, -1, 0)))[..., None]
