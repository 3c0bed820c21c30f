"""One affine map for each region of a partition, and the density of what such maps move."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from bayesrepair.numerics.affine import AffineMap
from bayesrepair.numerics.regions import Regions


@dataclass(frozen=True, eq=False)
class PiecewiseMap:
    """``T(θ) = T_k(θ)`` where θ lies in region ``R_k``.

    Each T_k is invertible, T need not be: the images of two regions may overlap, and may leave a hole between them.

    Parameters
    ----------
    regions : Regions
    maps : tuple of AffineMap
        One a region.

    Examples
    --------
    >>> halves = Regions((0,), np.array([[1.0]]), np.array([0.0]))  # below and above zero
    >>> apart = PiecewiseMap(halves, (AffineMap.identity(1), AffineMap(np.zeros(1), np.ones(1), np.ones(1))))
    >>> apart(np.array([[-1.0], [2.0]]))
    array([[-1.],
           [ 3.]])
    """

    regions: Regions
    maps: tuple[AffineMap, ...]

    def __call__(self, theta: np.ndarray) -> np.ndarray:
        """Move draws, (S, P) → (S, P)."""
        label, moved = self.regions(theta), np.empty_like(theta)
        for k, part in enumerate(self.maps):
            moved[label == k] = part(theta[label == k])
        return moved

    def log_pushed(
        self,
        points: np.ndarray,
        log_density: Callable[[np.ndarray], np.ndarray],
        *,
        origin: np.ndarray,
        known: np.ndarray,
    ) -> np.ndarray:
        """Log density at some points of draws that were moved.

        ``q(x) = Σ_j p(T_j⁻¹ x) 1[T_j⁻¹ x ∈ R_j] / |det A_j|``, for draws of p.

        Parameters
        ----------
        points : array, shape (S, P)
        log_density : callable
            log p, (S', P) → (S',), up to the constant that ``known`` has; it is evaluated only where a preimage
            that is not known falls into its region.
        origin : array of int, shape (S,)
            Region that each point was moved from, −1 for one that was not.
        known : array, shape (S,)
            log p where it was moved from.

        Returns
        -------
        array, shape (S,)
            −inf where no draw can be moved to.

        Examples
        --------
        >>> halves = Regions((0,), np.array([[1.0]]), np.array([0.0]))
        >>> fold = PiecewiseMap(halves, (AffineMap(np.zeros(1), np.zeros(1), -np.ones(1)), AffineMap.identity(1)))
        >>> uniform = lambda theta: np.full(len(theta), np.log(0.5))  # on [−1, 1]: folded, it is uniform on [0, 1]
        >>> x = np.array([[0.3]])
        >>> fold.log_pushed(x, uniform, origin=np.array([1]), known=uniform(x))
        array([0.])
        """
        terms = np.full((len(points), len(self.maps)), -np.inf)
        for k, part in enumerate(self.maps):
            own = origin == k
            terms[own, k] = known[own] - part.log_det
            back = part.pull_back(points[~own])
            inside = self.regions(back) == k
            if inside.any():
                terms[np.flatnonzero(~own)[inside], k] = log_density(back[inside]) - part.log_det
        return np.asarray(np.logaddexp.reduce(terms, axis=1))
