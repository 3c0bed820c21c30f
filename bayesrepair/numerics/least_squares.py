"""The weighted squared error of a linear predictor as a function of its coefficients alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from scipy import sparse
from scipy.linalg import cho_factor, cho_solve
from scipy.sparse.linalg import cg

if TYPE_CHECKING:
    from bayesrepair.numerics.glm import Design

_DENSE = 0.2  # share of entries that are not zero, above which a dense product is the faster one
_STEPS = 50
_FEW_COLUMNS = 200  # for which dense products cost less than the making of sparse ones
_RIDGE = 1e-12  # against the trace: columns may be collinear


@dataclass(frozen=True, eq=False)
class SquaredError:
    """``Σ w (y − η)² = rest − 2 bᵀd + dᵀ G d`` with ``d = c − c*``, ``G = XᵀWX`` and b the gradient at ``c*``.

    Expanded about the weighted least-squares solution ``c*`` (nearly: with a tiny ridge, or some steps of conjugate
    gradients), so that nothing large cancels for coefficients that fit the data.

    Parameters
    ----------
    centre : array, shape (Q,)
        All coefficients, those of the group terms behind the dense ones.
    gram : array or sparse matrix, shape (Q, Q)
    pull : array, shape (Q,)
        ``Xᵀ W (y − X c*)``.
    rest : float
        Squared error at the centre.
    sizes : tuple of int
    """

    centre: np.ndarray
    gram: Any
    pull: np.ndarray
    rest: float
    sizes: tuple[int, ...]

    @classmethod
    def of(cls, design: Design, y: np.ndarray, weight: np.ndarray) -> Self:
        """Sum over the rows."""
        X = _whole(design)
        y = y - design.offset[:, 0]
        gram = _gram(X, weight)
        definite = gram if (weight >= 0).all() else _gram(X, np.abs(weight))
        centre = _solution(definite, X.T @ (np.abs(weight) * y))
        residual = y - X @ centre
        return cls(centre, gram, X.T @ (weight * residual), float(weight @ np.square(residual)), design.sizes)

    def __call__(self, coefficients: Sequence[np.ndarray]) -> tuple[np.ndarray, list[np.ndarray]]:
        """Squared error (B,) of coefficients (Q, B), (G, B) …, and minus half its derivative by each of them.

        Examples
        --------
        >>> from bayesrepair.numerics.glm import Design
        >>> design = Design(np.ones((2, 1)), (), np.zeros((2, 1)))
        >>> error = SquaredError.of(design, np.array([1.0, 3.0]), np.ones(2))
        >>> value, [slope] = error([np.array([[5.0]])])  # 4² + 2², and −4 − 2
        >>> value.round(12), slope.round(12)
        (array([20.]), array([[-6.]]))
        """
        d = (coefficients[0] if len(coefficients) == 1 else np.concatenate(coefficients)) - self.centre[:, None]
        curved = self.gram @ d
        value = self.rest + np.einsum("qb,qb->b", d, curved) - 2 * (self.pull @ d)
        return value, np.split(self.pull[:, None] - curved, np.cumsum(self.sizes)[:-1])


def _whole(design: Design) -> Any:
    """All columns, those of the group terms behind the dense ones."""
    if not design.groups:
        return design.dense
    rows = np.arange(len(design.dense))
    if sum(design.sizes) <= _FEW_COLUMNS:
        columns = np.zeros((len(rows), sum(design.sizes)))
        columns[:, : design.sizes[0]] = design.dense
        for g, first in zip(design.groups, np.cumsum(design.sizes), strict=False):
            columns[rows, first + g.index] = g.column
        return columns
    groups = [sparse.csr_array((g.column, (rows, g.index)), shape=(len(rows), g.size)) for g in design.groups]
    return sparse.hstack([sparse.csr_array(design.dense), *groups], format="csr")


def _solution(gram: Any, pulled: np.ndarray) -> np.ndarray:
    """Of ``gram @ c = pulled``, nearly."""
    if sparse.issparse(gram):
        return cg(gram, pulled, maxiter=_STEPS)[0]
    ridge = _RIDGE * (1 + float(np.trace(gram)))
    return cho_solve(cho_factor(gram + ridge * np.eye(len(gram))), pulled)


def _gram(X: Any, weight: np.ndarray) -> Any:
    if not sparse.issparse(X):
        return X.T @ (weight[:, None] * X)
    gram = X.T @ (sparse.diags_array(weight) @ X)
    crowded = gram.nnz > _DENSE * gram.shape[0] ** 2
    return gram.toarray() if crowded else sparse.csr_array(gram)
