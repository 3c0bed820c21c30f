"""Weighted sums of a normal log-likelihood over the draws, from second moments of these draws alone.

With residuals ``r = y − offset − x·c`` about one coefficient vector c, and draws ``β_s = c + δ_s``,

    log p(y | β_s, σ_s) = −½ ((1, −δ_s)/σ_s · (r, x))² − log σ_s − ½ log 2π.

So ``A @ log p`` of a row is a quadratic form in ``(r, x)`` whose matrix, one for each row of A, is a weighted second
moment over the draws: of N rows and Q columns it costs N (Q + 2)²/2 a row of A, whatever the number of draws, where the
matrix of draws × rows costs N S.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Self

import numpy as np

from bayesrepair.numerics.glm import Design, Point

_LOG_2PI = float(np.log(2 * np.pi))
_KEPT = 3  # left factors: a score has up to three of them


def are_fewer(columns: int, draws: int) -> bool:
    """Whether a row's products of residual and columns are clearly fewer than the draws.

    Examples
    --------
    >>> are_fewer(20, 2000), are_fewer(100, 2000)
    (True, False)
    """
    return (columns + 1) * (columns + 2) <= draws


@dataclass(frozen=True, eq=False)
class DrawMoments:
    """Draws of coefficients and noise, ready to be summed with any weights.

    Parameters
    ----------
    centre : array, shape (Q,)
        c, about which residuals are taken.
    products : array, shape (S, (Q + 1)(Q + 2)/2)
        Of each pair of entries of ``(1, −δ_s)/σ_s``, times −½, and times −1 off the diagonal.
    constant : array, shape (S,)
    """

    centre: np.ndarray
    products: np.ndarray
    constant: np.ndarray
    _known: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = field(default_factory=list, repr=False)

    @classmethod
    def of(cls, point: Point) -> Self:
        """Draws of a normal likelihood without group terms."""
        [coefficient], (sigma, log_sigma) = point.coefficients, point.parameters
        centre = coefficient.mean(axis=0)
        scaled = np.column_stack([np.ones(len(sigma)), centre - coefficient]) / sigma[:, None]
        i, j = _pairs(len(centre))
        products = scaled[:, i] * scaled[:, j] * np.where(i == j, -0.5, -1.0)
        return cls(centre, products, -log_sigma - _LOG_2PI / 2)

    def summed(self, A: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Moments (R, pairs) and constants (R,) under each row of A (R, S); those of the last few A are kept."""
        for known, moments, constants in self._known:
            if known is A or np.array_equal(known, A):
                return moments, constants
        found = A @ self.products, A @ self.constant
        self._known[:] = [*self._known[1 - _KEPT :], (A.copy(), *found)]
        return found

    def at(self, design: Design, y: np.ndarray) -> NormalMoments:
        """The same for some rows."""
        return NormalMoments(self, design, y)


@dataclass(frozen=True, eq=False)
class NormalMoments:
    """What ``A @`` multiplies in place of the matrix of log-likelihoods.

    Parameters
    ----------
    draws : DrawMoments
    design : Design
        Without group terms.
    y : array, shape (n,)

    Examples
    --------
    >>> draws = DrawMoments.of(Point((np.array([[1.0], [3.0]]),), (np.ones(2), np.zeros(2))))
    >>> rows = draws.at(Design(np.ones((1, 1)), (), np.zeros((1, 1))), np.array([2.0]))
    >>> (np.eye(2) @ rows).round(3)  # one sd from either draw: −½ − ½ log 2π
    array([[-1.419],
           [-1.419]])
    """

    draws: DrawMoments
    design: Design
    y: np.ndarray
    __array_ufunc__ = None  # NumPy leaves ``A @ self`` to this class

    @property
    def shape(self) -> tuple[int, int]:
        """Draws and rows."""
        return len(self.draws.constant), len(self.y)

    def __rmatmul__(self, A: Any) -> np.ndarray:
        """``A @ log_lik``, (R, S) → (R, n)."""
        moments, constants = self.draws.summed(A)
        return moments @ self._products + constants[:, None]

    @cached_property
    def _products(self) -> np.ndarray:
        """Of each pair among residual and columns, (pairs, n)."""
        x = self.design.dense
        entries = np.vstack([(self.y - self.design.offset[:, 0] - x @ self.draws.centre)[None], x.T])
        i, j = _pairs(x.shape[1])
        return entries[i] * entries[j]


def _pairs(columns: int) -> tuple[np.ndarray, np.ndarray]:
    return np.triu_indices(columns + 1)
