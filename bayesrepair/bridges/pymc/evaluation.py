"""Compiled functions of a row graph, each made when it is first needed, called block by block."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytensor.tensor as pt
from pymc.pytensorf import reseed_rngs, rewrite_pregrad
from pytensor.graph.basic import Variable
from pytensor.graph.replace import clone_replace

from bayesrepair.bridges.pymc.graph import RowGraph
from bayesrepair.bridges.pymc.lowering import frozen, generators
from bayesrepair.bridges.pymc.vectorised import Compiled, over_draws, unpacked

_CELLS = 2**17  # draws × rows of one call: a handful of temporaries of this size stay in the cache
_MANY_ROWS = 2**15


@dataclass(eq=False)
class RowFunctions:
    """Functions of draws (S, P) and rows.

    Parameters
    ----------
    graph : RowGraph
    mode : str
        ``"NUMPY"`` runs at once; ``"LOOPS"`` compiles for a second or two and is two to six times as fast on
        elementwise likelihoods; ``"NUMBA"``, which compiles for seconds to a minute, pays where a model loops (Cholesky
        factors of each draw, scans) over many rows.
    """

    graph: RowGraph
    mode: str
    _made: dict[str, Any] = field(default_factory=dict, repr=False)

    def __getstate__(self) -> dict[str, Any]:
        # compiled code does not travel; the receiver compiles when it first needs to
        return {**self.__dict__, "_made": {}}

    def log_prior(self, theta: np.ndarray) -> np.ndarray:
        """(S, P) → (S,)."""
        function = self._function("log_prior", self._prior)
        return np.concatenate([function(part) for _, part in _draws(theta, _CELLS)])

    def log_prior_terms(self, theta: np.ndarray) -> dict[str, np.ndarray]:
        """Log prior of each free variable on its own scale, without the Jacobian, each (S, ...)."""
        function = self._function("log_prior_terms", self._prior_terms)
        parts = [function(part) for _, part in _draws(theta, _CELLS)]
        return {name: np.concatenate([part[i] for part in parts]) for i, name in enumerate(self.graph.log_prior_terms)}

    def over_rows(
        self, output: str, theta: np.ndarray, arrays: Mapping[str, np.ndarray], position: np.ndarray
    ) -> np.ndarray:
        """``"log_lik"`` (S, n) or ``"predicted"`` (S, n, K)."""
        function = self._function(output, lambda: self._rowwise(output))
        names = self._names(output)
        out: np.ndarray | None = None
        for rows, padded in self._row_blocks(len(position)):
            block = self._arguments(names, arrays, position, padded)
            for draws, part in _draws(theta, _CELLS // len(padded)):
                value = function(part, *block)[:, : rows.stop - rows.start]
                if out is None:
                    out = np.empty((len(theta), len(position), *value.shape[2:]))
                out[draws, rows] = value
        assert out is not None  # callers hand in at least one row
        return out

    def target_and_grad(
        self,
        theta: np.ndarray,
        arrays: Mapping[str, np.ndarray],
        position: np.ndarray,
        weight: np.ndarray,
    ) -> tuple[np.ndarray, np.ndarray]:
        """``log_prior + Σ weight · log_lik`` (S,) and its gradient (S, P), a block at a time."""
        prior = self._function("prior_and_grad", self._prior_and_grad)
        value, grad = np.empty(len(theta)), np.empty(theta.shape)
        for draws, part in _draws(theta, _CELLS):
            value[draws], grad[draws] = prior(part)
        if not len(position):
            return value, grad
        function = self._function("lik_and_grad", self._lik_and_grad)
        names = self._names("log_lik")
        for rows, padded in self._row_blocks(len(position)):
            block = self._arguments(names, arrays, position, padded)
            block_weight = np.zeros(len(padded))
            block_weight[: rows.stop - rows.start] = weight[rows]
            for draws, part in _draws(theta, _CELLS // len(padded)):
                more, more_grad = function(part, block_weight, *block)
                value[draws] += more
                grad[draws] += more_grad
        return value, grad

    def simulated(
        self,
        theta: np.ndarray,
        arrays: Mapping[str, np.ndarray],
        position: np.ndarray,
        rng: np.random.Generator,
    ) -> np.ndarray:
        """One outcome a draw and row, (S, n) or (S, n, D)."""
        function, own_generators = self._function("draw", self._draw)
        reseed_rngs(own_generators, int(rng.integers(2**63)))
        names = self._names("draw")
        out: np.ndarray | None = None
        for rows, padded in self._row_blocks(len(position)):
            block = self._arguments(names, arrays, position, padded)
            for s, point in enumerate(theta):
                value = function(point, *block)[: rows.stop - rows.start]
                if out is None:
                    out = np.empty((len(theta), len(position), *value.shape[1:]), dtype=value.dtype)
                out[s, rows] = value
        assert out is not None  # callers hand in at least one row
        return out

    def constrained(self, theta: np.ndarray) -> dict[str, np.ndarray]:
        """Free variables and Deterministics by name, each (S, ...)."""
        function = self._function("constrained", self._constrained)
        parts = [function(part) for _, part in _draws(theta, _CELLS)]
        return {name: np.concatenate([part[i] for part in parts]) for i, name in enumerate(self.graph.constrained)}

    def mode_of(self, name: str) -> str:
        """The mode that a function runs in, which has been called: NumPy where the one asked for could not."""
        return self._made[name].mode

    def _function(self, name: str, make: Any) -> Any:
        if name not in self._made:
            self._made[name] = make()
        return self._made[name]

    def _names(self, output: str) -> list[str]:
        observed = self.graph.observed if output != "log_lik" else ()
        return [name for name in self.graph.inputs if name not in observed]

    def _inputs(self, output: str) -> list[Variable]:
        return [self.graph.position, *(self.graph.inputs[name] for name in self._names(output))]

    def _arguments(
        self, names: Sequence[str], arrays: Mapping[str, np.ndarray], position: np.ndarray, index: np.ndarray
    ) -> list[np.ndarray]:
        sources = self.graph.sources
        taken = [np.ascontiguousarray(arrays[n][index], dtype=sources[n].training.dtype) for n in names]
        return [np.ascontiguousarray(position[index], dtype="int64"), *taken]

    def _row_blocks(self, n: int) -> Iterator[tuple[slice, np.ndarray]]:
        """Blocks of rows, and the positions to hand in: static graphs take N at a time, short ones are padded."""
        static = self.graph.regime == "static"
        size = self.graph.n_rows if static else min(n, _MANY_ROWS)
        for start in range(0, n, size):
            rows = slice(start, min(start + size, n))
            index = np.arange(rows.start, rows.stop)
            if static and len(index) < size:
                index = np.concatenate([index, np.full(size - len(index), start)])
            yield rows, index

    def _over_draws(self, outputs: list[Variable]) -> tuple[Variable, list[Variable]]:
        theta = pt.tensor("theta", dtype="float64", shape=(None, self.n_params))
        return theta, over_draws(outputs, theta, self.graph.value_vars, self.graph.shapes)

    @property
    def n_params(self) -> int:
        """P."""
        return int(sum(np.prod(shape) for shape in self.graph.shapes))

    def _prior(self) -> Any:
        theta, [prior] = self._over_draws([self.graph.log_prior])
        return Compiled([theta], prior, mode=self.mode)

    def _prior_terms(self) -> Any:
        theta, terms = self._over_draws(list(self.graph.log_prior_terms.values()))
        return Compiled([theta], terms, mode=self.mode)

    def _rowwise(self, output: str) -> Any:
        theta, [values] = self._over_draws([getattr(self.graph, output)])
        return Compiled([theta, *self._inputs(output)], values, mode=self.mode)

    def _prior_and_grad(self) -> Any:
        theta, [prior] = self._over_draws([self.graph.log_prior])
        prior = rewrite_pregrad(prior)
        return Compiled([theta], [prior, _grad(prior, theta)], mode=self.mode)

    def _lik_and_grad(self) -> Any:
        theta, [log_lik] = self._over_draws([self.graph.log_lik])
        weight = pt.vector("weight", dtype="float64")
        # padding has weight 0 and repeats a real row, so an infinite term is never multiplied into a finite sum
        # stabilised before it is differentiated: afterwards, 0 · inf in a tail is a nan for good
        total = rewrite_pregrad((weight * log_lik).sum(axis=1))
        return Compiled([theta, weight, *self._inputs("log_lik")], [total, _grad(total, theta)], mode=self.mode)

    def _constrained(self) -> Any:
        theta, values = self._over_draws(list(self.graph.constrained.values()))
        return Compiled([theta], values, mode=self.mode)

    def _draw(self) -> tuple[Any, list]:
        point = pt.tensor("theta", dtype="float64", shape=(self.n_params,))
        slices = unpacked(point[None], self.graph.value_vars, self.graph.shapes)
        single = {variable: part[0] for variable, part in slices.items()}
        [draw] = frozen(clone_replace([self.graph.draw], single, rebuild_strict=False))
        return Compiled([point, *self._inputs("draw")], draw, mode=self.mode), generators([draw])


def _grad(total: Any, theta: Any) -> Any:
    """Gradient of each draw's own total: the totals are independent, so one pass gives all."""
    return pt.grad(total.sum(), theta, disconnected_inputs="ignore")


def _draws(theta: np.ndarray, size: int) -> Iterator[tuple[slice, np.ndarray]]:
    size = max(1, size)
    for start in range(0, len(theta), size):
        where = slice(start, min(start + size, len(theta)))
        yield where, np.ascontiguousarray(theta[where], dtype="float64")
