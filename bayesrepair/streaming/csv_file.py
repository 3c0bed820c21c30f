"""CSV files: read once in chunks for row ends and types, then stretch by stretch."""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from bayesrepair.status import DataError
from bayesrepair.streaming.fingerprints import stamp
from bayesrepair.streaming.pieces import PIECE_ROWS, SegmentedSource

_READ = 2**24  # bytes
_NEWLINE, _QUOTE, _RETURN = 10, 34, 13


@dataclass(frozen=True)
class Lines:
    """Some lines of a CSV file.

    Parameters
    ----------
    key : str
    path : str
    first, last : int
        The byte where they start, and the one after their end.
    rows : int
    types : tuple of (str, str)
        Each column with the type that holds all of its values, here and elsewhere in the file.
    """

    key: str
    path: str
    first: int
    last: int
    rows: int
    types: tuple[tuple[str, str], ...]

    def __len__(self) -> int:
        return self.rows

    def load(self) -> pd.DataFrame:
        """The rows."""
        return self.read(dict(self.types))

    def read(self, types: dict[str, Any] | None) -> pd.DataFrame:
        """The rows, with columns of these types, or of those that suit these rows."""
        with Path(self.path).open("rb") as file:
            file.seek(self.first)
            text = io.BytesIO(file.read(self.last - self.first))
        names = [name for name, _ in self.types]
        try:
            found = pd.read_csv(text, names=names, header=None, dtype=types, index_col=False)
        except (pd.errors.ParserError, ValueError) as error:
            raise DataError(f"{len(names)} values in every row", f"{error}", "Mend that line of the file.") from error
        if len(found) != self.rows:
            raise DataError(
                f"{self.rows} rows in bytes {self.first} to {self.last} of {Path(self.path).name!r}",
                f"{len(found)}",
                "Stray quotes or blanks in lines of their own? Write the table as Parquet: frame.to_parquet(path).",
            )
        return found


def csv_source(path: Path) -> SegmentedSource:
    """Rows of a CSV file with a header, numbered 0, 1, 2, ….

    Each column has one type in the whole file, as if it had been read in one go: numbers where all are, else text.

    Raises
    ------
    DataError
        If the file has no rows, or lines with too many values.
    """
    starts = list(_starts(path))  # byte of each first line, with the number of lines before it
    (header_end, _), *bounds = starts
    names = _names(path, header_end)
    mark, name = stamp([path]), str(path.absolute())
    bare = [
        Lines(f"{mark}:{a}", name, a, b, after - before, tuple((n, "") for n in names))
        for (a, before), (b, after) in zip([(header_end, 0), *bounds][:-1], bounds, strict=True)
    ]
    if not bare:
        raise DataError("at least one row below the header", f"none in {path.name!r}")
    types = _common_types(bare, names)
    segments = tuple(Lines(s.key, s.path, s.first, s.last, s.rows, types) for s in bare)
    return SegmentedSource(segments, pd.RangeIndex(sum(map(len, segments)), name="row"), lambda: mark)


def _starts(path: Path) -> Iterator[tuple[int, int]]:
    """Byte after the header, then byte and number of rows after every `PIECE_ROWS` rows and at the end.

    A line ends at a newline outside quotes; empty lines are none, as for pandas.
    """
    quoted, before, offset, rows, header = False, [_NEWLINE, _NEWLINE], 0, 0, False
    size = path.stat().st_size
    with path.open("rb") as file:
        while block := file.read(_READ):
            data = np.frombuffer(block, dtype=np.uint8)
            with_before = np.concatenate([np.array(before, dtype=np.uint8), data])
            earlier, previous = with_before[:-2], with_before[1:-1]
            inside = (np.cumsum(data == _QUOTE) + quoted) % 2 == 1
            empty = (previous == _NEWLINE) | ((previous == _RETURN) & (earlier == _NEWLINE))
            ends = np.flatnonzero((data == _NEWLINE) & ~inside & ~empty)
            if not header and len(ends):
                yield offset + int(ends[0]) + 1, 0
                header, ends = True, ends[1:]
            for k in range(PIECE_ROWS - rows % PIECE_ROWS - 1, len(ends), PIECE_ROWS):
                yield offset + int(ends[k]) + 1, rows + k + 1
            rows, quoted, before = rows + len(ends), bool(inside[-1]), with_before[-2:].tolist()
            offset += len(data)
    unfinished = before[-1] != _NEWLINE
    if not header:
        yield size, 0
    elif unfinished or rows % PIECE_ROWS:
        yield size, rows + unfinished


def _names(path: Path, header_end: int) -> list[str]:
    with path.open("rb") as file:
        return list(pd.read_csv(io.BytesIO(file.read(header_end)), nrows=0).columns)


def _common_types(segments: list[Lines], names: list[str]) -> tuple[tuple[str, str], ...]:
    """The type that holds a column's values in every segment: a number's, ``bool``, or ``str``."""
    common: dict[str, str] = {}
    for segment in segments:
        for name, values in segment.read(None).items():
            kind = str(values.dtype) if values.dtype.kind in "iufb" else "str"
            known = common.get(str(name), kind)
            numeric = "bool" not in (known, kind) and "str" not in (known, kind)
            common[str(name)] = str(np.promote_types(known, kind)) if numeric else kind if known == kind else "str"
    return tuple((name, common[name]) for name in names)
