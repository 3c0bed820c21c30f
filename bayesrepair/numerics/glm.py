"""Generalised linear models over many draws: pointwise log-likelihoods, weighted sums and their gradients.

Letters: S draws, N rows, Q columns, K linear predictors of a row (classes of a softmax, else one). Coefficients have
draws last, (Q, K · S) with classes before draws, so that a tile of rows × draws is one matrix product and one pass of
a loop whose neighbouring numbers belong to neighbouring draws. Tiles stay in the cache; nothing of size draws × rows is
held but what `log_lik` returns.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Self

import numpy as np

from bayesrepair.numerics.glm_families import Family, Normal
from bayesrepair.numerics.glm_kernels import gather, scatter
from bayesrepair.numerics.least_squares import SquaredError

TILE_ROWS = 512
TILE_CELLS = 2**16  # half a megabyte: a tile and its factors fit the second-level cache


@dataclass(frozen=True, eq=False)
class Grouped:
    """Group-specific coefficients: ``η_r += column_r · coefficient[index_r]``.

    Parameters
    ----------
    index : array of int, shape (N,)
    column : array, shape (N,)
        Ones for an intercept.
    size : int
        Number of groups.
    """

    index: np.ndarray
    column: np.ndarray
    size: int


@dataclass(frozen=True, eq=False)
class Design:
    """What is known of the rows: ``η = offset + dense · c_0 + Σ_g column_g · c_g[index_g]``.

    Parameters
    ----------
    dense : array, shape (N, Q)
    groups : tuple of Grouped
    offset : array, shape (N, K)
    """

    dense: np.ndarray
    groups: tuple[Grouped, ...]
    offset: np.ndarray

    def at(self, rows: np.ndarray | slice) -> Self:
        """Some rows, in the order given."""
        groups = tuple(Grouped(g.index[rows], g.column[rows], g.size) for g in self.groups)
        return type(self)(self.dense[rows], groups, self.offset[rows])

    def astype(self, kind: type[np.floating]) -> Self:
        """Columns and offset as numbers of another precision."""
        groups = tuple(Grouped(g.index, g.column.astype(kind, copy=False), g.size) for g in self.groups)
        return type(self)(self.dense.astype(kind, copy=False), groups, self.offset.astype(kind, copy=False))

    @property
    def sizes(self) -> tuple[int, ...]:
        """Coefficients of the dense columns and of each group term."""
        return self.dense.shape[1], *(g.size for g in self.groups)

    def eta(self, coefficients: Sequence[np.ndarray], *, out: np.ndarray | None = None) -> np.ndarray:
        """Linear predictors, (N, K · B) of coefficients (Q, K · B), (G, K · B) …."""
        dense, *grouped = coefficients
        eta = np.matmul(self.dense, dense, out=out)
        K = self.offset.shape[1]
        if self.offset.any():
            eta.reshape(len(eta), K, -1)[...] += self.offset[:, :, None]
        for term, coefficient in zip(self.groups, grouped, strict=True):
            gather(eta, coefficient, term.index, term.column)
        return eta

    def pull_back(self, residual: np.ndarray) -> list[np.ndarray]:
        """Derivative of a sum by the coefficients, from that by η (N, K · B)."""
        gradients = [self.dense.T @ residual]
        for term in self.groups:
            gradient = np.zeros((term.size, residual.shape[1]))
            scatter(residual, gradient, term.index, term.column)
            gradients.append(gradient)
        return gradients


@dataclass(frozen=True, eq=False)
class Point:
    """Where a likelihood is evaluated, at S draws.

    Parameters
    ----------
    coefficients : tuple of array, shape (S, Q, K), (S, G, K) …
        Of the dense columns and of each group term; without the last axis where K = 1.
    parameters : tuple of array, shape (S,)
        Of the family, in its order.
    """

    coefficients: tuple[np.ndarray, ...]
    parameters: tuple[np.ndarray, ...]

    def __len__(self) -> int:
        """Number of draws."""
        return len(self.coefficients[0])

    def tiles(self, size: int) -> Iterator[tuple[slice, list[np.ndarray], tuple[np.ndarray, ...]]]:
        """Slices of draws with their coefficients, draws last, and parameters."""
        for start in range(0, len(self), size):
            where = slice(start, min(start + size, len(self)))
            parts = [np.ascontiguousarray(_draws_last(c[where])) for c in self.coefficients]
            yield (
                where,
                [p.reshape(len(p), math.prod(p.shape[1:])) for p in parts],
                tuple(p[where] for p in self.parameters),
            )


@dataclass(frozen=True, eq=False)
class WeightedLikelihood:
    """``Σ_r weight_r · log p(y_r | η_r)`` over many draws.

    Parameters
    ----------
    family : Family
    design : Design
        Rows of weight one first.
    y : array, shape (N,)
    weight : array, shape (N,)
        Of any sign.
    unit : int
        How many rows have weight one.

    Examples
    --------
    >>> from bayesrepair.numerics.glm_families import PoissonLog
    >>> design = Design(np.ones((2, 1)), (), np.zeros((2, 1)))
    >>> both = WeightedLikelihood.of(PoissonLog(), design, np.array([0.0, 1.0]), np.ones(2))
    >>> value, (slope, *_) = both.value_and_gradient(Point((np.log([[2.0]]),), ()))
    >>> bool(np.isclose(value[0], np.log(2) - 4)), slope.round(12)  # −2, and log 2 − 2; 1 count against 2 · 2 expected
    (True, array([[-3.]]))
    """

    family: Family
    design: Design
    y: np.ndarray
    weight: np.ndarray
    unit: int

    @classmethod
    def of(cls, family: Family, design: Design, y: np.ndarray, weight: np.ndarray) -> Self:
        """Rows in any order."""
        y, weight = y.astype(float), weight.astype(float)
        unit = int(np.count_nonzero(weight == 1))
        if not (weight[:unit] == 1).all():
            order = np.argsort(weight != 1, kind="stable")
            design, y, weight = design.at(order), y[order], weight[order]
        return cls(family, design, y, weight, unit)

    @cached_property
    def squares(self) -> SquaredError:
        """Of a normal likelihood: sums over the rows, after which no row is looked at again."""
        return SquaredError.of(self.design, self.y, self.weight)

    def value(self, point: Point) -> np.ndarray:
        """Weighted log-likelihood, (S,)."""
        return self._evaluated(point, slopes=False)[0]

    def value_and_gradient(self, point: Point) -> tuple[np.ndarray, list[np.ndarray]]:
        """Weighted log-likelihood (S,), and its derivative by each array of the point, of that array's shape."""
        return self._evaluated(point, slopes=True)

    def _evaluated(self, point: Point, *, slopes: bool) -> tuple[np.ndarray, list[np.ndarray]]:
        value = np.empty(len(point))
        gradients = [np.empty(a.shape) for a in (*point.coefficients, *point.parameters)] if slopes else []
        for where, coefficients, parameters in point.tiles(self._draws()):
            total, by_coefficient, by_parameter = self._tile(coefficients, parameters, slopes)
            value[where] = total
            for gradient, part in zip(gradients, [*by_coefficient, *by_parameter], strict=False):
                _draws_last(gradient[where])[...] = part.reshape(*gradient.shape[1:], len(total))
        return value, gradients

    def _draws(self) -> int:
        if isinstance(self.family, Normal):
            return max(32, TILE_CELLS // max(1, sum(self.design.sizes)))
        each = min(len(self.y), TILE_ROWS) * self.family.width
        return min(max(TILE_CELLS // max(each, 1), 32), 512)

    def _tile(
        self, coefficients: list[np.ndarray], parameters: tuple[np.ndarray, ...], slopes: bool
    ) -> tuple[np.ndarray, list[np.ndarray], Sequence[np.ndarray]]:
        if isinstance(self.family, Normal):
            squares, by_coefficient = self.squares(coefficients)
            value, by_parameter = self.family.total(squares[None], parameters, self.y, self.weight)
            precision = 1 / np.square(parameters[0])
            return value, [g * precision for g in by_coefficient] if slopes else [], by_parameter
        width = coefficients[0].shape[1] // self.family.width
        into = np.zeros((self.family.accumulators, width))
        gradients: list[np.ndarray] = []
        for start in range(0, len(self.y), TILE_ROWS):
            rows = slice(start, start + TILE_ROWS)
            design, y = self.design.at(rows), self.y[rows]
            eta = design.eta(coefficients)
            unit = min(max(self.unit - start, 0), len(y))
            self.family.sums(eta, y, self.weight[rows], unit, parameters, into)
            if slopes:
                added = design.pull_back(eta)
                gradients = [g + a for g, a in zip(gradients, added, strict=True)] if gradients else added
        if slopes and not gradients:
            gradients = [np.zeros_like(c) for c in coefficients]
        value, by_parameter = self.family.total(into, parameters, self.y, self.weight)
        return value, gradients, by_parameter


def _draws_last(values: np.ndarray) -> np.ndarray:
    """A view with the axis of the draws behind the others."""
    return values.transpose(*range(1, values.ndim), 0)


def log_lik(family: Family, design: Design, y: np.ndarray, point: Point, *, single: bool = False) -> np.ndarray:
    """Pointwise log-likelihood, (S, N), in Fortran order: a left factor ``A @ log_lik`` needs no copy.

    In single precision the matrix product and the loops use float32; the result is float64 all the same, so that
    whatever is summed of it is summed in double precision.

    Examples
    --------
    >>> from bayesrepair.numerics.glm_families import BernoulliLogit
    >>> design = Design(np.ones((2, 1)), (), np.zeros((2, 1)))
    >>> np.exp(log_lik(BernoulliLogit(), design, np.array([0.0, 1.0]), Point((np.log([[3.0]]),), ()))).round(12)
    array([[0.25, 0.75]])
    """
    kind = np.float32 if single else np.float64
    out = np.empty((len(y), len(point)))
    y = y.astype(float)
    [(_, coefficients, parameters)] = point.tiles(max(1, len(point)))
    constants = tuple(c.astype(kind) if c.ndim == 1 else c for c in family.constants(parameters, y))
    if family.width > 1:
        coefficients = [_above_first(c, family.width) for c in coefficients]
        design = Design(design.dense, design.groups, design.offset[:, 1:] - design.offset[:, :1])
    coefficients, design = [c.astype(kind, copy=False) for c in coefficients], design.astype(kind)
    width = max(1, family.width - 1) * len(point)
    size = max(4, TILE_CELLS // max(1, width))
    # one tile for all: fresh memory of this size would be asked of the system, and given back, each time
    tile = np.empty((min(size, len(y)), width), kind) if single or family.width > 1 else out
    for start in range(0, len(y), size):
        rows = slice(start, start + size)
        # whole rows of the result are contiguous: η is computed, and becomes log p, where log p belongs
        place = out[rows]
        eta = design.at(rows).eta(coefficients, out=place if tile is out else tile[: len(place)])
        family.log_lik(eta, y[rows], constants, place)
    return out.T


def _above_first(coefficients: np.ndarray, classes: int) -> np.ndarray:
    """What the coefficients of the other classes have above those of the first: (Q, K · B) → (Q, (K − 1) · B)."""
    by_class = coefficients.reshape(len(coefficients), classes, -1)
    return (by_class[:, 1:] - by_class[:, :1]).reshape(len(coefficients), -1)
