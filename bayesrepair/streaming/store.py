"""Results on disk: a Zarr store that a killed run leaves in a state to go on from."""

from __future__ import annotations

import json
import shutil
import tempfile
import weakref
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import zarr

from bayesrepair.numerics.scoring import Sliced
from bayesrepair.status import DataError
from bayesrepair.streaming.pieces import Source, is_long

_DONE, _RUN = "done", "run"


class ZarrStore:
    """Results of pieces in a Zarr store: data first, then the flag of the piece.

    Parameters
    ----------
    path : str or Path
        A folder; made where it is absent.
    source : Source
    run : mapping of str to str
        What the results depend on, by name. A store of another run is refused.

    Raises
    ------
    DataError
        If the path holds something else, or the results of another run.
    """

    def __init__(self, path: str | Path, source: Source, run: Mapping[str, str]) -> None:
        self.place = str(path)
        self._rows = len(source)
        self._size = source.pieces[0].stop
        self._root = _opened(Path(path), run)
        if _DONE not in self._root:  # one file for each flag: writing it is one step
            self._root.create_array(_DONE, shape=(len(source.pieces),), chunks=(1,), dtype="u1", fill_value=0)
        self._done = np.asarray(self._root[_DONE][:], dtype=bool)

    def has(self, piece: int) -> bool:
        """Whether the results of a piece are there."""
        return bool(self._done[piece])

    def write(self, piece: int, start: int, columns: dict[str, np.ndarray]) -> None:
        """Keep the results of a piece whose first row is ``start``."""
        for name, values in columns.items():
            if name not in self._root:
                self._create(name, values)
            self._root[name][start : start + len(values)] = values
        self._root[_DONE][piece] = 1
        self._done[piece] = True

    def _create(self, name: str, values: np.ndarray) -> None:
        rest = values.shape[1:]
        self._root.create_array(
            name,
            shape=(self._rows, *rest),
            chunks=(self._size, *(max(1, n) for n in rest)),
            dtype=values.dtype,
            compressors=None,  # noise does not compress
        )

    def columns(self) -> dict[str, Sliced]:
        """All results by name: in memory, but for the parts of errors of many rows."""
        arrays = {name: array for name, array in self._root.arrays() if name != _DONE}
        if not is_long(self._rows):
            return {name: np.asarray(array[:]) for name, array in arrays.items()}
        return {name: np.asarray(a[:]) if a.ndim == 1 else OnDisk(a, self) for name, a in arrays.items()}


class TemporaryStore(ZarrStore):
    """A store of this run alone, deleted when nothing refers to its results any longer."""

    def __init__(self, source: Source) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="bayesrepair-"))
        weakref.finalize(self, shutil.rmtree, self.folder, ignore_errors=True)
        super().__init__(self.folder / "scores.zarr", source, {})
        self.place = ""


@dataclass(frozen=True, eq=False)
class OnDisk:
    """An array on disk, read in stretches of rows.

    Parameters
    ----------
    array : zarr.Array
    store : ZarrStore
        Kept for as long as the array is.
    """

    array: Any
    store: ZarrStore

    def __reduce__(self) -> tuple[Any, ...]:
        return np.asarray, (self[:],)  # another process may not see this disk

    def __len__(self) -> int:
        return self.array.shape[0]

    def __repr__(self) -> str:
        return f"OnDisk(shape {self.shape}, {self.array.dtype})"

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return np.asarray(self[:], dtype=dtype)

    @property
    def shape(self) -> tuple[int, ...]:
        """Rows first."""
        return self.array.shape

    @property
    def nbytes(self) -> int:
        """On disk."""
        return self.array.nbytes

    def __getitem__(self, rows: slice) -> np.ndarray:
        return np.asarray(self.array[rows])


def kept_run(path: str | Path) -> dict[str, str]:
    """What the results of a store depend on, by name; empty where there is no such store yet."""
    if not (Path(path) / "zarr.json").exists():
        return {}
    known = zarr.open_group(path, mode="r").attrs.get(_RUN)
    return json.loads(str(known)) if known else {}


def _opened(path: Path, run: Mapping[str, str]) -> Any:
    if path.exists() and not (path / "zarr.json").exists() and (path.is_file() or any(path.iterdir())):
        raise DataError("a Zarr store, or a new folder", repr(str(path)), "Name a folder that is not there yet.")
    root = zarr.open_group(path, mode="a")
    if _RUN not in root.attrs:
        root.attrs[_RUN] = json.dumps(dict(run))
    known = json.loads(str(root.attrs[_RUN]))
    differs = [name for name in {**known, **run} if known.get(name) != run.get(name)]
    if differs:
        raise DataError(
            f"a store of this very run in {str(path)!r}",
            f"one that differs in {', '.join(differs)}",
            "Pass another path as store=, or delete that folder.",
        )
    return root
