"""What lies beyond a straight line: functions of the numeric columns, fixed by the training rows.

A linear predictor with a basis is ``Σ_j x_j β_j + Σ_m f_m(x) s z_m`` with z_m ~ N(0, 1) and a scale s that is learned,
as nobody knows beforehand how far from straight the truth is; s = 0 is the linear model. The bridge integrates s out
(`bayesrepair.bridges.spherical_t`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
from sklearn.kernel_approximation import RBFSampler
from sklearn.metrics import pairwise_distances
from sklearn.preprocessing import SplineTransformer

from bayesrepair.status import DataError

Kind = Literal["splines", "fourier"]
BasisName = Literal["linear", "splines", "fourier", "auto"]

KNOTS, FEWEST_KNOTS = 5, 3
WAVES = 100
WIDTH = 0.5  # of the Gaussian kernel that the waves stand for, in median distances between rows
LEAST = 1e-3  # share of the mean square that the axes left out have at most
_SOME = 500  # rows between which distances are taken
_SEED = 20070  # the same waves each time: they are part of the recipe


@dataclass(frozen=True, eq=False)
class Block:
    """Functions of some columns, less their linear part, on their principal axes in the training rows.

    Parameters
    ----------
    names : tuple of str
        Columns that they are functions of.
    transformer : fitted scikit-learn transformer
        To M raw functions.
    linear : array, shape (1 + d, M)
        Intercept and slopes of each raw function in the training rows.
    axes : array, shape (M, R)
        Orthogonal, and such that the mean of ``Σ_r f_r²`` is one.
    """

    names: tuple[str, ...]
    transformer: Any
    linear: np.ndarray
    axes: np.ndarray

    def __call__(self, x: np.ndarray) -> np.ndarray:
        """(N, d) → (N, R)."""
        return (self.transformer.transform(x) - _with_one(x) @ self.linear) @ self.axes


@dataclass(frozen=True, eq=False)
class Basis:
    """Functions of the standardised numeric columns.

    The functions leave out what a straight line says in the training rows, so that coefficients of columns keep their
    meaning. Their squares sum to one in the mean: s is the prior standard deviation of what they add to the linear
    predictor, for each column (splines) or for all together (waves). Splines and waves are turned to their principal
    axes, which leaves the prior of any function as it is, and the least axes are left out: fewer coefficients, and far
    easier to sample.

    Parameters
    ----------
    kind : {"splines", "fourier"}
    blocks : tuple of Block

    References
    ----------
    Eilers and Marx (1996), doi:10.1214/ss/1038425655. Rahimi and Recht (2007), Random features for large-scale kernel
    machines, NIPS 20.

    Examples
    --------
    >>> x = np.linspace(-2, 2, 50)
    >>> made = read_basis("splines", {"x": x}).coded({"x": x})
    >>> made.shape, float((made**2).sum(axis=1).mean().round(3)), float(abs(x @ made).max().round(6))
    ((50, 5), 1.0, 0.0)
    """

    kind: Kind
    blocks: tuple[Block, ...]

    @property
    def labels(self) -> tuple[str, ...]:
        """Names of the functions."""
        what = {"splines": "{}: curve {}", "fourier": "wave {1}"}[self.kind]
        return tuple(what.format(b.names[0], r + 1) for b in self.blocks for r in range(b.axes.shape[1]))

    def coded(self, values: Mapping[str, np.ndarray]) -> np.ndarray:
        """Functions of standardised columns (N,) each, by name; (N, R)."""
        return np.hstack([block(np.column_stack([values[name] for name in block.names])) for block in self.blocks])


def read_basis(kind: str, values: Mapping[str, np.ndarray]) -> Basis:
    """Fix the functions by the training rows.

    Parameters
    ----------
    kind : {"splines", "fourier"}
        Cubic B-splines of each column with knots at the quartiles; or 100 random Fourier features of all columns
        together, which stand for a Gaussian kernel half as wide as the median distance between rows.
    values : mapping of str to array, shape (N,)
        Standardised columns by name.

    Raises
    ------
    DataError
        If the kind is unknown, or no column suits it.
    """
    if kind not in get_args(Kind):
        raise DataError("basis 'linear', 'splines', 'fourier' or 'auto'", repr(kind), "Pass one of these names.")
    if kind not in suitable(values):
        raise DataError(f"a numeric column of several values for basis={kind!r}", "none", "Use basis='linear'.")
    if kind == "fourier":
        return Basis("fourier", (_waves(tuple(values), np.column_stack(list(values.values()))),))
    return Basis("splines", tuple(_splines(name, x) for name, x in values.items() if _bends(x)))


def suitable(values: Mapping[str, np.ndarray]) -> tuple[Kind, ...]:
    """Which kinds say more than a straight line about some columns, the smallest first.

    Examples
    --------
    >>> suitable({"flag": np.array([0.0, 1.0, 1.0])}), suitable({"dose": np.linspace(0, 1, 9)})
    ((), ('splines', 'fourier'))
    """
    some = any(_bends(x) for x in values.values())
    if some:
        return "splines", "fourier"
    return ("fourier",) if len(values) > 1 else ()


def _bends(x: np.ndarray) -> bool:
    """Whether a curve through the values of a column can be told from a line."""
    return len(_knots(x)) >= FEWEST_KNOTS


def _knots(x: np.ndarray) -> np.ndarray:
    """Quantiles of a column, those that coincide taken once."""
    return np.unique(np.quantile(x, np.linspace(0, 1, KNOTS), method="nearest"))


def _splines(name: str, x: np.ndarray) -> Block:
    transformer = SplineTransformer(degree=3, knots=_knots(x)[:, None], extrapolation="linear")
    return _block((name,), transformer.fit(x[:, None]), x[:, None])


def _waves(names: Sequence[str], x: np.ndarray) -> Block:
    some = x[np.linspace(0, len(x) - 1, min(len(x), _SOME)).astype(int)]
    distance = pairwise_distances(some)[np.triu_indices(len(some), 1)]
    width = WIDTH * float(np.median(distance[distance > 0]))
    transformer = RBFSampler(gamma=0.5 / width**2, n_components=WAVES, random_state=_SEED)
    return _block(tuple(names), transformer.fit(x), x)


def _block(names: tuple[str, ...], transformer: Any, x: np.ndarray) -> Block:
    functions = transformer.transform(x)
    linear = np.linalg.lstsq(_with_one(x), functions, rcond=None)[0]
    _, size, axes = np.linalg.svd(functions - _with_one(x) @ linear, full_matrices=False)
    share = size**2 / (size**2).sum()
    kept = np.flatnonzero(np.cumsum(share[::-1])[::-1] > LEAST)
    return Block(names, transformer, linear, axes[kept].T * np.sqrt(len(x) / (size**2).sum()))


def _with_one(x: np.ndarray) -> np.ndarray:
    return np.column_stack([np.ones(len(x)), x])
