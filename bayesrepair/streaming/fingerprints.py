"""What tells one set of rows, or one run, from another."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path


def stamp(files: Sequence[Path]) -> str:
    """SHA-256 of names, sizes and times of last change of files: their content is not read.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     file = Path(folder) / "a"
    ...     _ = file.write_text("1")
    ...     before = stamp([file])
    ...     _ = file.write_text("22")
    ...     before == stamp([file])
    False
    """
    digest = hashlib.sha256()
    for file in files:
        about = file.stat()
        digest.update(repr((file.name, about.st_size, about.st_mtime_ns)).encode())
    return digest.hexdigest()
