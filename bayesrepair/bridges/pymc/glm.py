"""Likelihoods that were recognised, evaluated by fused kernels instead of the general graph."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
import pytensor.tensor as pt
from pymc.pytensorf import rewrite_pregrad
from pytensor.graph.replace import vectorize_graph

from bayesrepair.bridges.pymc.evaluation import RowFunctions
from bayesrepair.bridges.pymc.glm_reading import Recognised, recognise
from bayesrepair.bridges.pymc.graph import RowGraph
from bayesrepair.bridges.pymc.linear_reading import NotLinearError, Term
from bayesrepair.bridges.pymc.vectorised import Compiled, unpacked
from bayesrepair.numerics.glm import Design, Grouped, Point, WeightedLikelihood, log_lik
from bayesrepair.numerics.glm_families import Normal
from bayesrepair.numerics.normal_moments import DrawMoments, NormalMoments, are_fewer
from bayesrepair.rows import Rows

_KEPT = 3  # weighted likelihoods, or moments of draws: before an edit, after it, and what it changes
_SAMPLE_DRAWS, _SAMPLE_ROWS = 4, 64
_AGREE: dict[str, Any] = {"rtol": 1e-7, "atol": 1e-8}
_SLOPE_ERROR = 1e-3  # of a directional derivative, taken as a difference

Arrays = tuple[dict[str, np.ndarray], np.ndarray]
"""Row-aligned arrays by name, and the position of each row."""


class UnsuitedRowsError(Exception):
    """Rows that the kernels are not made for; the general graph says what they are worth."""


@dataclass(eq=False)
class Kernels:
    """The kernels of a model, used once they have been seen to agree with its general graph.

    Parameters
    ----------
    graph : RowGraph
    general : RowFunctions
        What they have to agree with.
    mode : str
        PyTensor mode of what stays a graph: priors, and coefficients as functions of the parameters.

    Attributes
    ----------
    refused : str
        Why the general graph serves instead; empty while nothing speaks against the kernels.
    checked : bool
        Whether they have been compared with the general graph.
    single : bool
        Whether pointwise log-likelihoods are computed in single precision.
    by_moments : bool
        Whether `moments` was chosen for sums over draws.
    """

    graph: RowGraph
    general: RowFunctions
    mode: str
    refused: str = ""
    checked: bool = False
    single: bool = False
    by_moments: bool = False
    _likelihoods: list[tuple[Rows, np.ndarray, WeightedLikelihood]] = field(default_factory=list, repr=False)

    def __getstate__(self) -> dict[str, Any]:
        # the receiver looks for itself: its machine may be another one
        state = {**self.__dict__, "_likelihoods": [], "checked": False}
        state.pop("functions", None)
        return state

    @cached_property
    def functions(self) -> KernelFunctions | None:
        """The functions, or None where the model is not recognised."""
        try:
            return KernelFunctions(self.graph, recognise(self.graph), self.mode)
        except NotLinearError as error:
            self.refused = str(error)
            return None

    def __str__(self) -> str:
        functions = self.functions
        if functions is None or self.refused:
            return f"general graph ({self.refused})"
        state = "agree with the general graph" if self.checked else "not yet compared with the general graph"
        return f"kernels, {functions.recognised} ({state})"

    def serve(self, theta: np.ndarray, arrays: Arrays) -> bool:
        """Whether they have been seen to agree with the general graph, on these rows if on none before."""
        return self._agreed(theta, arrays) is not None

    def log_lik(self, theta: np.ndarray, arrays: Arrays) -> np.ndarray | None:
        """(S, P) → (S, n), or None where the general graph has to serve."""
        functions = self._agreed(theta, arrays)
        try:
            return None if functions is None else functions.log_lik(theta, *arrays, single=self.single)
        except UnsuitedRowsError:
            return None

    def set_to(self, *, single: bool, by_moments: bool) -> Kernels:
        """The same kernels, functions included, in another precision or with moments."""
        other = replace(self, single=single, by_moments=by_moments)
        other.functions = self.functions  # what was compiled serves both
        return other

    def have_moments(self, draws: int) -> bool:
        """Whether second moments of so many draws give sums over them in fewer steps than the kernels."""
        return self.functions is not None and self.functions.have_moments(draws)

    def moments(self, theta: np.ndarray, arrays: Arrays) -> NormalMoments | None:
        """What ``A @`` multiplies in place of `log_lik`, or None where that has to serve."""
        functions = self._agreed(theta, arrays) if self.have_moments(len(theta)) else None
        try:
            return None if functions is None else functions.moments(theta, *arrays)
        except UnsuitedRowsError:
            return None

    def weighted(
        self, theta: np.ndarray, rows: Rows, weight: np.ndarray, read: Callable[[Rows], Arrays]
    ) -> tuple[KernelFunctions, WeightedLikelihood] | None:
        """The weighted likelihood of these rows, or None where the general graph has to serve.

        Those of the last three calls are kept. Rows of weight 0 take no part.
        """
        if self.functions is None or self.refused:
            return None
        for known, its_weight, kept in self._likelihoods:
            if known is rows and np.array_equal(its_weight, weight):
                return self.functions, kept
        used = np.flatnonzero(weight)
        arrays = read(rows if len(used) == len(rows) else rows.at(used))
        functions = self._agreed(theta, arrays)
        try:
            likelihood = None if functions is None else functions.likelihood(*arrays, weight[used])
        except UnsuitedRowsError:
            return None
        if functions is None or likelihood is None:
            return None
        self._likelihoods = [*self._likelihoods[1 - _KEPT :], (rows, weight.copy(), likelihood)]
        return functions, likelihood

    def _agreed(self, theta: np.ndarray, arrays: Arrays) -> KernelFunctions | None:
        """The functions, once a sample of draws and rows gave what the general graph gives."""
        if self.functions is None or self.refused:
            return None
        if not self.checked:
            if not len(arrays[1]) or not len(theta):
                return None
            try:
                verdict = _compared(self.functions, self.general, theta, arrays)
            except UnsuitedRowsError:
                return None
            if verdict is None:
                return None
            self.checked, self.refused = True, verdict
        return None if self.refused else self.functions


def _compared(functions: KernelFunctions, general: RowFunctions, theta: np.ndarray, arrays: Arrays) -> str | None:
    """What differs on a sample of draws and rows, empty if nothing; None where every number is infinite or nan."""
    rng = np.random.default_rng(0)
    values, position = arrays
    draws = theta[np.unique(np.linspace(0, len(theta) - 1, _SAMPLE_DRAWS).astype(int))]
    rows = np.sort(rng.choice(len(position), min(len(position), _SAMPLE_ROWS), replace=False))
    some = {name: value[rows] for name, value in values.items()}, position[rows]
    theirs, ours = general.over_rows("log_lik", draws, *some), functions.log_lik(draws, *some)
    sound = np.isfinite(theirs).all(axis=1)
    if not sound.any():
        return None
    theirs, ours, draws = theirs[sound], ours[sound], draws[sound]
    if not np.allclose(ours, theirs, **_AGREE):
        return "the kernels give another log-likelihood than the general graph"
    weight = rng.uniform(0.5, 1.5, len(rows))
    likelihood = functions.likelihood(*some, weight)
    if not np.allclose(functions.summed(draws, likelihood), theirs @ weight, **_AGREE):
        return "the kernels give another weighted log-likelihood than the general graph"
    # a difference along one direction: it sees a coefficient that was forgotten, rounding it need not see
    direction = rng.standard_normal(draws.shape)
    step = 1e-5 / max(1.0, float(np.abs(direction).max()))
    slope = np.einsum("sp,sp->s", functions.target_and_grad(draws, likelihood)[1], direction)
    up, down = (functions.target_and_grad(draws + sign * step * direction, likelihood)[0] for sign in (1, -1))
    close = np.isclose(slope, (up - down) / (2 * step), rtol=_SLOPE_ERROR, atol=_SLOPE_ERROR * (1 + np.abs(up)))
    return "" if close.all() else "the kernels' gradient is not that of their value"


@dataclass(eq=False)
class KernelFunctions:
    """Functions of draws (S, P) and rows of a recognised model.

    Parameters
    ----------
    graph : RowGraph
    recognised : Recognised
    mode : str
    """

    graph: RowGraph
    recognised: Recognised
    mode: str
    _made: dict[str, Any] = field(default_factory=dict, repr=False)
    _last: tuple[np.ndarray, Point] | None = field(default=None, repr=False)  # scoring asks for block after block
    _moments: list[tuple[np.ndarray, DrawMoments]] = field(default_factory=list, repr=False)

    def __getstate__(self) -> dict[str, Any]:
        # compiled code does not travel
        return {**self.__dict__, "_made": {}, "_last": None, "_moments": []}

    def likelihood(
        self, arrays: Mapping[str, np.ndarray], position: np.ndarray, weight: np.ndarray
    ) -> WeightedLikelihood:
        """The weighted likelihood of some rows, whose columns are computed once.

        Raises
        ------
        UnsuitedRowsError
        """
        design, y = self.design(arrays, position)
        return WeightedLikelihood.of(self.recognised.family, design, y, weight)

    def design(self, arrays: Mapping[str, np.ndarray], position: np.ndarray) -> tuple[Design, np.ndarray]:
        """Columns, groups and offset of some rows, and their outcomes.

        Raises
        ------
        UnsuitedRowsError
            If an outcome lies outside the support, or a number is not finite.
        """
        y = arrays[self.graph.observed[0]]
        if not self.recognised.family.suits(y):
            raise UnsuitedRowsError("an outcome outside the support of its distribution")
        function = self._function("rows", self._rows)
        sources = self.graph.sources
        taken = [np.ascontiguousarray(arrays[n], dtype=sources[n].training.dtype) for n in self._inputs]
        columns, offset, *grouped = function(np.ascontiguousarray(position, dtype="int64"), *taken)
        count = len(self.recognised.groups)
        index, factors = grouped[:count], grouped[count:]
        if not all(np.isfinite(a).all() for a in (columns, offset, *factors)):
            raise UnsuitedRowsError("an array with a number that is not finite")
        sizes = self._function("widths", self._widths)[len(self.recognised.dense) :]
        groups = tuple(
            Grouped(np.where(i < 0, i + size, i).astype(np.int64), np.ascontiguousarray(f, dtype=float), size)
            for i, f, size in zip(index, factors, sizes, strict=True)
        )
        return Design(np.ascontiguousarray(columns, dtype=float), groups, np.asarray(offset, dtype=float)), y

    def log_lik(
        self, theta: np.ndarray, arrays: Mapping[str, np.ndarray], position: np.ndarray, *, single: bool = False
    ) -> np.ndarray:
        """(S, P) and rows → (S, n)."""
        design, y = self.design(arrays, position)
        last = self._last  # another thread may put something else there
        if last is None or not np.array_equal(last[0], theta):
            last = theta.copy(), self._point_of(self._function("coefficients", self._coefficients)(theta))
            self._last = last
        return log_lik(self.recognised.family, design, y, last[1], single=single)

    def have_moments(self, draws: int) -> bool:
        """Whether `moments` knows this likelihood, and takes fewer steps than so many draws do."""
        normal = isinstance(self.recognised.family, Normal) and not self.recognised.groups
        return normal and are_fewer(sum(self._function("widths", self._widths)), draws)

    def moments(self, theta: np.ndarray, arrays: Mapping[str, np.ndarray], position: np.ndarray) -> NormalMoments:
        """What ``A @`` multiplies in place of `log_lik`, of a normal likelihood without group terms."""
        design, y = self.design(arrays, position)
        for known, draws in self._moments:
            if np.array_equal(known, theta):
                return draws.at(design, y)
        draws = DrawMoments.of(self._point_of(self._function("coefficients", self._coefficients)(theta)))
        self._moments = [*self._moments[1 - _KEPT :], (theta.copy(), draws)]
        return draws.at(design, y)

    def summed(self, theta: np.ndarray, likelihood: WeightedLikelihood) -> np.ndarray:
        """``Σ weight · log_lik``, (S, P) → (S,)."""
        theta = np.ascontiguousarray(theta)
        return likelihood.value(self._point_of(self._function("coefficients", self._coefficients)(theta)))

    def target_and_grad(self, theta: np.ndarray, likelihood: WeightedLikelihood) -> tuple[np.ndarray, np.ndarray]:
        """``log_prior + Σ weight · log_lik`` and its gradient, (S, P) → (S,), (S, P)."""
        prior, point = self.point(theta)
        value, slopes = likelihood.value_and_gradient(point)
        function = self._function("pull_back", self._pull_back)
        return prior + value, function(theta, *self._taken_apart(slopes))

    def point(self, theta: np.ndarray) -> tuple[np.ndarray, Point]:
        """Log prior (S,), and the coefficients and parameters of the likelihood."""
        prior, *rest = self._function("point", self._point)(np.ascontiguousarray(theta))
        return prior, self._point_of(rest)

    def _point_of(self, rest: Sequence[np.ndarray]) -> Point:
        dense, grouped = len(self.recognised.dense), len(self.recognised.groups)
        K = self.recognised.family.width
        pieces = [
            _all_classes(piece, term.classes, K)
            for piece, term in zip(rest[: dense + grouped], self._terms, strict=True)
        ]
        empty = np.zeros((len(rest[0]), 0, *((K,) if K > 1 else ())))
        together = pieces[0] if dense == 1 else np.concatenate([empty, *pieces[:dense]], axis=1)
        return Point((together, *pieces[dense:]), tuple(rest[dense + grouped :]))

    def _taken_apart(self, slopes: Sequence[np.ndarray]) -> list[np.ndarray]:
        """Slopes of the coefficients term by term, as the graph has them."""
        first, rest = slopes[0], slopes[1:]
        dense, grouped = len(self.recognised.dense), len(self.recognised.groups)
        widths = self._function("widths", self._widths)
        ends = np.cumsum(widths[:dense]).tolist()
        pieces = [first] if dense == 1 else [first[:, a:b] for a, b in zip([0, *ends], ends, strict=False)]
        pieces += rest[:grouped]
        return [
            piece if term.classes == slice(None) else piece[..., term.classes]
            for piece, term in zip(pieces, self._terms, strict=True)
        ] + list(rest[grouped:])

    def _function(self, name: str, make: Any) -> Any:
        if name not in self._made:
            self._made[name] = make()
        return self._made[name]

    @property
    def _inputs(self) -> list[str]:
        return [name for name in self.graph.inputs if name not in self.graph.observed]

    @property
    def _terms(self) -> tuple[Term, ...]:
        return self.recognised.dense + self.recognised.groups

    @property
    def _outputs(self) -> list[Any]:
        return [self.graph.log_prior, *(term.coefficient for term in self._terms), *self.recognised.parameters]

    def _rows(self) -> Compiled:
        found = self.recognised
        inputs = [self.graph.position, *(self.graph.inputs[name] for name in self._inputs)]
        return Compiled(inputs, [found.columns, found.offset, *found.index, *found.factors], mode=self.mode)

    def _widths(self) -> list[int]:
        """Number of coefficients of each term."""
        found = self._function("coefficients", self._coefficients)(self.graph.initial[None])
        return [found[k].shape[1] for k in range(len(self._terms))]

    def _batched(self) -> tuple[Any, dict[Any, Any], list[Any]]:
        theta = pt.matrix("theta", dtype="float64")
        slices = unpacked(theta, self.graph.value_vars, self.graph.shapes)
        return theta, slices, _with_draws(self._outputs, slices, theta)

    def _point(self) -> Compiled:
        theta, _, outputs = self._batched()
        return Compiled([theta], outputs, mode=self.mode)

    def _coefficients(self) -> Compiled:
        theta, _, outputs = self._batched()
        return Compiled([theta], outputs[1:], mode=self.mode)

    def _pull_back(self) -> Compiled:
        theta, slices, batched = self._batched()
        prior, outputs = batched[0], batched[1:]
        slopes = [pt.tensor(dtype="float64", shape=(None,) * output.type.ndim) for output in outputs]
        total: Any = rewrite_pregrad(prior.sum())
        for output, slope in zip(outputs, slopes, strict=True):
            total = total + (output * slope).sum()
        parts: Any = pt.grad(total, list(slices.values()), disconnected_inputs="ignore")
        flat = [p.reshape((theta.shape[0], int(np.prod(s)))) for p, s in zip(parts, self.graph.shapes, strict=True)]
        return Compiled([theta, *slopes], pt.concatenate(flat, axis=1), mode=self.mode)


def _all_classes(piece: np.ndarray, classes: slice, width: int) -> np.ndarray:
    """Coefficients of some of the classes as those of all."""
    if classes == slice(None):
        return piece
    whole = np.zeros((*piece.shape[:2], width))
    whole[..., classes] = piece
    return whole


def _with_draws(outputs: list[Any], slices: dict[Any, Any], theta: Any) -> list[Any]:
    """The graphs with a leading axis of draws, float64, whether or not they depend on the parameters."""
    batched: list[Any] = vectorize_graph(outputs, slices)
    return [
        (new if new.type.ndim > old.type.ndim else pt.broadcast_to(new, (theta.shape[0], *new.shape))).astype("float64")
        for old, new in zip(outputs, batched, strict=True)
    ]
