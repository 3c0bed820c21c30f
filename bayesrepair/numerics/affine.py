"""Affine maps of draws."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np


@dataclass(frozen=True, eq=False)
class AffineMap:
    """``T(θ) = image + A (θ − centre)``.

    Parameters
    ----------
    centre, image : array, shape (P,)
        The point that stays in the middle, and where it goes.
    matrix : array, shape (P, P) or (P,)
        A, or its diagonal.

    Examples
    --------
    >>> double = AffineMap(np.zeros(2), np.ones(2), np.array([2.0, 2.0]))
    >>> double(np.array([[1.0, 0.0]])), round(double.log_det, 3)
    (array([[3., 1.]]), 1.386)
    >>> double.pull_back(np.array([[3.0, 1.0]]))
    array([[1., 0.]])
    """

    centre: np.ndarray
    image: np.ndarray
    matrix: np.ndarray

    @classmethod
    def identity(cls, size: int) -> AffineMap:
        """The map that leaves every draw of ``size`` parameters where it is."""
        return cls(np.zeros(size), np.zeros(size), np.ones(size))

    def __call__(self, theta: np.ndarray) -> np.ndarray:
        """Move draws, (S, P) → (S, P)."""
        centred = theta - self.centre
        return self.image + (centred * self.matrix if self.matrix.ndim == 1 else centred @ self.matrix.T)

    def pull_back(self, moved: np.ndarray) -> np.ndarray:
        """Where moved draws came from, (S, P) → (S, P)."""
        centred = moved - self.image
        if self.matrix.ndim == 1:
            return self.centre + centred / self.matrix
        return self.centre + np.linalg.solve(self.matrix, centred.T).T

    @cached_property
    def log_det(self) -> float:
        """``log |det A|``."""
        if self.matrix.ndim == 1:
            return float(np.log(np.abs(self.matrix)).sum())
        return float(np.linalg.slogdet(self.matrix)[1])

    @property
    def square_matrix(self) -> np.ndarray:
        """A as a matrix, shape (P, P)."""
        return np.diag(self.matrix) if self.matrix.ndim == 1 else self.matrix
