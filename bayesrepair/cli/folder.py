"""A folder that appears whole or not at all."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bayesrepair.status import DataError


@contextmanager
def output_folder(folder: Path, *, force: bool) -> Iterator[Path]:
    """Give a partial folder to write to, which takes the final name when all went well and is removed otherwise.

    Parameters
    ----------
    folder : Path
        The final name; what lies there is replaced only with ``force``, only at the end, and only if this program
        wrote it.
    force : bool

    Yields
    ------
    Path
        ``FOLDER.partial``.

    Raises
    ------
    DataError
        If the folder exists, holds other files, or is being written by another run.
    """
    folder = folder.absolute()
    refuse_taken(folder, force=force)
    partial = folder.with_name(f"{folder.name}.partial")
    if partial.exists():
        remedy = "Remove it if no other run is at work there."
        raise DataError(f"no unfinished folder '{partial}'", "one, of another run or one that was killed", remedy)
    folder.parent.mkdir(parents=True, exist_ok=True)
    partial.mkdir()
    try:
        yield partial
        _replace(partial, folder)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def refuse_taken(folder: Path, *, force: bool) -> None:
    """Refuse a folder that is somebody's work."""
    if not folder.exists():
        return
    if not force:
        raise DataError("an output folder that does not exist", f"'{folder}', which does", "Add --force to replace it.")
    from bayesrepair.diagnosis import APPLIED_FILES, LABEL_FILES
    from bayesrepair.diagnosis.result import FILES

    own = {*FILES, *LABEL_FILES, *APPLIED_FILES}
    other = sorted(set(os.listdir(folder)) - own) if folder.is_dir() else [folder.name]
    if other:
        what = f"'{folder}' to hold nothing but the output of an earlier run"
        raise DataError(what, ", ".join(other[:5]), "Give another folder with --out.")
    _refuse_decisions(folder / "review.csv")


def _refuse_decisions(path: Path) -> None:
    """Refuse to replace what a person wrote."""
    from bayesrepair.diagnosis import read_reviewed
    from bayesrepair.review import DECISION

    if not path.is_file():
        return
    try:
        made = int((read_reviewed(path)[DECISION] != "").sum())
    except DataError as error:
        raise DataError(f"'{path}' as suspects wrote it", error.got, "Give another folder with --out.") from error
    if made:
        remedy = "Move that file, or give another folder with --out."
        raise DataError(f"no decisions in '{path}', which would be lost", f"{made}", remedy)


def _replace(partial: Path, folder: Path) -> None:
    old = folder.with_name(f"{folder.name}.{os.getpid()}.old")
    if folder.exists():
        folder.rename(old)
    try:
        partial.rename(folder)
    except OSError:
        if old.exists():
            old.rename(folder)
        raise
    shutil.rmtree(old, ignore_errors=True)
