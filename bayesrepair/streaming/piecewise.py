"""From a function of blocks to one of pieces: the same here, in a resumed run and on a cluster."""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from bayesrepair.model import Model
from bayesrepair.numerics.blocks import row_blocks
from bayesrepair.posterior import Draws
from bayesrepair.rows import Rows
from bayesrepair.status import DataError

Advance = Callable[[int], None]


@dataclass(frozen=True, eq=False)
class Total:
    """A number, or several, to be summed over all rows; shape (...)."""

    values: np.ndarray


Columns = dict[str, Any]
"""Results by name: arrays with one entry a row on the first axis, or a `Total`."""


class Piecewise(ABC):
    """What is done to the rows of a piece, block by block: nothing of size draws × rows outlives a block.

    One thread at a time, since compiled functions are not thread-safe, unless the function is ``concurrent``. And one
    thread of the linear algebra, whose sums otherwise depend on how many there are: the same rows give the same bits in
    every process of a machine.
    """

    model: Model
    draws: Draws
    block: int | None = None
    outputs = 1
    seed = 0
    concurrent: bool = False

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name != "_lock"}  # a lock does not travel

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)

    def __call__(self, data: Any, start: int = 0, advance: Advance | None = None) -> Columns:
        """Results for ``data``, `Rows` or what the model makes rows of; ``start`` is the position of the first.

        Raises
        ------
        DataError
            If the rows lack something that the model needs.
        """
        rows = data if isinstance(data, Rows) else self.model.rows(data)
        outcome = self.model.outcome.name
        if outcome not in rows.values:
            raise DataError(f"the outcome {outcome!r} of each row that is to be scored", "rows without it")
        rng, parts = np.random.default_rng([self.seed, start]), []
        turn = nullcontext() if self.concurrent else self.__dict__.setdefault("_lock", threading.Lock())
        with turn, _SINGLE:
            for _, block in row_blocks(rows, len(self.draws), outputs=self.outputs, size=self.block):
                parts.append(self.of_block(block, rng))
                if advance is not None:
                    advance(len(block))
        return {name: _joined([part[name] for part in parts]) for name in parts[0]}

    @abstractmethod
    def of_block(self, rows: Rows, rng: np.random.Generator) -> Columns:
        """Results of one block of rows."""
        ...


class _SingleThreadedBlas:
    """One thread of the linear algebra from the first who enters to the last who leaves."""

    def __init__(self) -> None:
        self._lock, self._inside, self._limits = threading.Lock(), 0, None

    def __enter__(self) -> None:
        with self._lock:
            if not self._inside:
                self._limits = threadpool_limits(1, user_api="blas")
            self._inside += 1

    def __exit__(self, *raised: object) -> None:
        with self._lock:
            self._inside -= 1
            if not self._inside and self._limits is not None:
                self._limits.restore_original_limits()


_SINGLE = _SingleThreadedBlas()


def _joined(parts: list[Any]) -> Any:
    if isinstance(parts[0], Total):
        return Total(np.sum([part.values for part in parts], axis=0))
    return np.concatenate(parts)
