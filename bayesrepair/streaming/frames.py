"""Tables in memory, coded for the model piece by piece."""

from __future__ import annotations

import hashlib
import uuid
from dataclasses import dataclass

import numpy as np
import pandas as pd

from bayesrepair.streaming.pieces import PIECE_ROWS, SegmentedSource


@dataclass(frozen=True, eq=False)
class FrameSegment:
    """A slice of a table in memory."""

    key: str
    frame: pd.DataFrame

    def __len__(self) -> int:
        return len(self.frame)

    def load(self) -> pd.DataFrame:
        """The slice."""
        return self.frame


def frame_source(frame: pd.DataFrame) -> SegmentedSource:
    """Rows of a table, under the ids of its index."""
    name = uuid.uuid4().hex
    starts = range(0, len(frame), PIECE_ROWS)
    segments = tuple(FrameSegment(f"{name}:{a}", frame.iloc[a : a + PIECE_ROWS]) for a in starts)
    return SegmentedSource(segments, frame.index.rename("row"), lambda: frame_hash(frame))


def frame_hash(frame: pd.DataFrame) -> str:
    """SHA-256 of the cells, the ids and the names of the columns."""
    digest = hashlib.sha256(repr(list(frame.columns)).encode())
    for start in range(0, len(frame), PIECE_ROWS):
        hashed = pd.util.hash_pandas_object(frame.iloc[start : start + PIECE_ROWS], index=True)
        digest.update(np.ascontiguousarray(hashed.to_numpy(), dtype="<u8").tobytes())
    return digest.hexdigest()
