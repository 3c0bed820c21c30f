"""Results in memory."""

from __future__ import annotations

import numpy as np

from bayesrepair.numerics.scoring import Sliced
from bayesrepair.streaming.piecewise import Columns, Total


class Arrays:
    """Results of pieces as arrays in memory, made when the first piece shows their shape.

    Parameters
    ----------
    rows, pieces : int
    """

    place = ""

    def __init__(self, rows: int, pieces: int) -> None:
        self._rows = rows
        self._done = np.zeros(pieces, dtype=bool)
        self._arrays: dict[str, np.ndarray] = {}
        self._totals: dict[str, dict[int, np.ndarray]] = {}

    def has(self, piece: int) -> bool:
        """Whether the results of a piece are there."""
        return bool(self._done[piece])

    def write(self, piece: int, start: int, columns: Columns) -> None:
        """Keep the results of a piece whose first row is ``start``."""
        for name, values in columns.items():
            if isinstance(values, Total):
                self._totals.setdefault(name, {})[piece] = values.values
                continue
            if name not in self._arrays:
                self._arrays[name] = np.empty((self._rows, *values.shape[1:]), values.dtype)
            self._arrays[name][start : start + len(values)] = values
        self._done[piece] = True

    def columns(self) -> dict[str, Sliced]:
        """All results by name; totals are summed in the order of the pieces, whoever was first."""
        totals = {name: np.sum([found[k] for k in sorted(found)], axis=0) for name, found in self._totals.items()}
        return {**self._arrays, **totals}
