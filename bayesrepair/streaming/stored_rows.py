"""Rows that were scored without being in memory, loaded again where a few of them are asked for."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd

from bayesrepair.model import Model
from bayesrepair.rows import Rows
from bayesrepair.status import DataError
from bayesrepair.streaming.pieces import SegmentedSource


@dataclass(frozen=True, eq=False)
class StoredRows:
    """What `Rows` are for rows in a file: ids, and any of the rows when they are needed.

    Parameters
    ----------
    model : Model
        Makes rows of what is read.
    source : SegmentedSource
    """

    model: Model
    source: SegmentedSource

    def __len__(self) -> int:
        return len(self.source)

    def __repr__(self) -> str:
        return f"StoredRows({len(self)} rows in {len(self.source.segments)} segments)"

    @property
    def index(self) -> pd.Index:
        """The ids as a pandas index named ``row``."""
        return self.source.index

    @property
    def row(self) -> np.ndarray:
        """The ids, shape (N,)."""
        return self.source.index.to_numpy()

    def positions(self, ids: Iterable) -> np.ndarray:
        """Positions of some ids, in the order given.

        Raises
        ------
        DataError
            If an id is not among the rows.
        """
        where = self.index.get_indexer(pd.Index(list(ids)))
        if (where < 0).any():
            raise DataError(f"row ids among the {len(self)} scored rows", f"{int((where < 0).sum())} unknown")
        return where

    def at(self, positions: np.ndarray) -> Rows:
        """Rows at some positions."""
        return self.model.rows(self.source.at(positions))

    def take(self, ids: Iterable) -> Rows:
        """Rows with these ids, in the order given."""
        return self.at(self.positions(ids))

    def blocks(self, size: int) -> Iterator[tuple[slice, Rows]]:
        """Consecutive blocks of at most ``size`` rows, with their slices."""
        for piece in self.source.pieces:
            rows = self.model.rows(piece.load())
            for where, block in rows.blocks(size):
                yield slice(piece.start + where.start, piece.start + where.stop), block
