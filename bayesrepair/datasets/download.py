"""Files of public data sets: found on this machine, or downloaded once, and always checked.

A file is looked for in the folder that the environment variable ``BAYESREPAIR_DATA`` names, then in the
user's cache, then at its addresses. Whatever the way, it is used only if its SHA-256 is the one expected.
"""

from __future__ import annotations

import gzip
import hashlib
import http.client
import os
import urllib.error
import urllib.request
import warnings
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, cast

import platformdirs

from bayesrepair.status import BayesRepairWarning, DataError, MissingDataError

VARIABLE = "BAYESREPAIR_DATA"
TIMEOUT = 30.0  # seconds without a byte after which a download counts as broken
_BLOCK = 1 << 16


@dataclass(frozen=True)
class PublicFile:
    """One file of a public data set.

    Parameters
    ----------
    path : str
        Where it lies below the data folder, with forward slashes.
    sha256 : str
        Checksum of the content: of the bytes after unpacking for a name that ends in ``.gz`` (one content
        has many packings), of the file itself otherwise.
    urls : tuple of str
        Addresses that serve this content, tried in turn.
    """

    path: str
    sha256: str
    urls: tuple[str, ...]


def locate(file: PublicFile) -> Path:
    """Return the checked file on this machine, downloading it if need be.

    Parameters
    ----------
    file : PublicFile
        What is wanted.

    Returns
    -------
    pathlib.Path
        A file whose content has the checksum asked for.

    Raises
    ------
    DataError
        If ``BAYESREPAIR_DATA`` names no folder, or the file in that folder has another checksum.
    MissingDataError
        If the file is not on this machine and no address gave it.
    """
    folder = _shared_folder()
    if folder is not None and (folder / file.path).is_file():
        _verify(folder / file.path, file)
        return folder / file.path
    cached = cache_folder() / file.path
    if cached.is_file():
        if content_sha256(cached) == file.sha256:
            return cached
        warnings.warn(f"'{cached}' is damaged and is fetched again", BayesRepairWarning, stacklevel=2)
    return _fetch(file, cached)


def cache_folder() -> Path:
    """Return the user's folder for downloaded data; it need not exist yet."""
    return platformdirs.user_cache_path("bayesrepair") / "data"


def content_sha256(path: Path) -> str:
    """Return the checksum of a file's content: unpacked for a name that ends in ``.gz``.

    A damaged archive has no content; its checksum is the empty text, which equals no other.
    """
    digest = hashlib.sha256()
    packed = path.name.endswith(".gz")
    try:
        with cast(BinaryIO, gzip.open(path, "rb")) if packed else path.open("rb") as stream:
            while block := stream.read(_BLOCK):
                digest.update(block)
    except (EOFError, gzip.BadGzipFile, zlib.error):
        return ""
    return digest.hexdigest()


def _shared_folder() -> Path | None:
    name = os.environ.get(VARIABLE, "")
    if not name:
        return None
    if not Path(name).is_dir():
        remedy = "Correct the variable, or unset it to have public data downloaded."
        raise DataError(f"{VARIABLE} to name a folder", f"'{name}'", remedy)
    return Path(name)


def _verify(path: Path, file: PublicFile) -> None:
    found = content_sha256(path)
    if found != file.sha256:
        what = f"'{path}' with SHA-256 {file.sha256}{_of_what(file)}"
        remedy = f"Put the right file there, or unset {VARIABLE} to have it downloaded."
        raise DataError(what, f"SHA-256 {found}" if found else "a damaged archive", remedy)


def _of_what(file: PublicFile) -> str:
    return " of the unpacked content" if file.path.endswith(".gz") else ""


def _fetch(file: PublicFile, cached: Path) -> Path:
    """Try the addresses in turn; the file appears in the cache whole or not at all."""
    # Its own name for each process; the ending stays, for it says how to read the content.
    partial = cached.with_name(f".partial.{os.getpid()}.{cached.name}")
    reasons = []
    try:
        cached.parent.mkdir(parents=True, exist_ok=True)
        for url in file.urls:
            reason = _download(url, partial)
            if not reason:
                found = content_sha256(partial)
                if found == file.sha256:
                    os.replace(partial, cached)
                    return cached
                reason = f"wrong content (SHA-256 {found})" if found else "a damaged archive"
            reasons.append(f"{url}: {reason}")
    finally:
        partial.unlink(missing_ok=True)
    expected = f"'{file.path}' with SHA-256 {file.sha256}{_of_what(file)}"
    folder = os.environ.get(VARIABLE) or "a folder"
    remedy = (
        f"Get that file by other means and save it as '{cached}', or as '{file.path}' in {folder} named by {VARIABLE}."
    )
    raise MissingDataError(expected, "no copy on this machine, and " + "; ".join(reasons), remedy)


def _download(url: str, path: Path) -> str:
    """Write what the address gives to a file; return what went wrong, or an empty text."""
    request = urllib.request.Request(url, headers={"User-Agent": "bayesrepair"})
    received = 0
    try:
        with urllib.request.urlopen(request, timeout=TIMEOUT) as answer, path.open("wb") as stream:
            announced = answer.headers.get("Content-Length")
            while block := answer.read(_BLOCK):
                received += stream.write(block)
    except urllib.error.HTTPError as error:
        error.close()
        return f"HTTP status {error.code}"
    except urllib.error.URLError as error:
        return f"not reached ({error.reason})"
    except (OSError, http.client.HTTPException) as error:
        return f"broke off after {received} bytes ({type(error).__name__}: {error})"
    # A short answer need not raise: the server may simply hang up.
    if announced is not None and str(received) != announced.strip():
        return f"broke off after {received} of {announced} bytes"
    return ""
