"""Hashes that bind a receipt to data, rows, model and posterior: the same in every process, and only that."""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Iterable
from dataclasses import fields, is_dataclass
from typing import Any

import numpy as np

from bayesrepair.model import Model
from bayesrepair.rows import Rows

NOT_THE_POSTERIOR = {"sampling", "trace", "r_eff", "gradient"}  # fields that say how it came about
PROBES, DIGITS = 5, 6


def data_hash(rows: Rows) -> str:
    """SHA-256 that changes with any cell, id, name of an array or order of the rows, and with nothing else.

    How the numbers are stored (their width and byte order, the layout in memory) makes no difference.

    Examples
    --------
    >>> rows = Rows({"y": np.array([1.0, 2.0])}, np.array(["a", "b"]))
    >>> data_hash(rows) == data_hash(Rows({"y": np.array([1, 2], dtype="f4")}, np.array(["a", "b"], dtype=object)))
    True
    >>> data_hash(rows) == data_hash(Rows({"y": np.array([1.0, 2.0])}, np.array(["a", "c"])))
    False
    """
    return _sha("data", _content(rows).hex())


def row_hashes(rows: Rows, ids: Iterable[Any]) -> tuple[str, ...]:
    """Ids as HMAC-SHA-256 under a key that only the holder of the rows can compute.

    The published `data_hash` does not give the key away, so that hashes on a receipt cannot be turned back into ids by
    trying 0, 1, 2, … without the data. Whoever holds the data can: the hashes are pseudonyms.
    """
    key = row_key(rows)
    return tuple(_keyed(key, canonical(i).encode()) for i in ids)


def row_key(rows: Rows) -> bytes:
    """The key of `row_hashes`; it is as secret as the rows."""
    return bytes.fromhex(_sha("rows", _content(rows).hex()))


def part_hash(part: Rows, key: bytes) -> str:
    """HMAC-SHA-256 of some rows, ids and cells, under the `row_key` of all of them."""
    return _keyed(key, _content(part))


def model_hash(model: Model) -> str:
    """SHA-256 of a model's structure: parameters, outcome, priors and likelihood; not of its data.

    A model may offer its ``structure`` as text (PyMC models do: their graph). Else the fields of a dataclass serve;
    else the log prior at some fixed points, to six digits.
    """
    outcome = model.outcome
    described: dict[str, Any] = {
        "class": type(model).__qualname__,
        "names": list(map(str, model.names)),
        "outcome": [outcome.name, outcome.kind, list(outcome.classes) if outcome.classes is not None else None],
    }
    text = getattr(model, "structure", None)
    if isinstance(text, str):
        described["structure"] = text
    elif is_dataclass(model):
        described["fields"] = {f.name: getattr(model, f.name) for f in fields(model)}
    else:
        points = np.random.default_rng(0).standard_normal((PROBES, model.n_params))
        described["log prior"] = [f"{value:.{DIGITS}g}" for value in model.log_prior(points)]
    return _sha("model", canonical(described))


def posterior_hash(posterior: Any) -> str:
    """SHA-256 of a posterior's numbers, to the bit.

    Examples
    --------
    >>> from bayesrepair.posterior import Draws
    >>> posterior_hash(Draws.plain(np.zeros((2, 1)))) == posterior_hash(Draws.plain(np.ones((2, 1))))
    False
    """
    return _sha("posterior", canonical(_numbers(posterior)))


def _keyed(key: bytes, data: bytes) -> str:
    return hmac.new(key, data, hashlib.sha256).hexdigest()


def _numbers(value: Any) -> Any:
    if is_dataclass(value) and not isinstance(value, type):
        kept = {f.name: _numbers(getattr(value, f.name)) for f in fields(value) if f.name not in NOT_THE_POSTERIOR}
        return [type(value).__name__, kept]
    if isinstance(value, np.ndarray):
        return [list(value.shape), hashlib.sha256(_bytes(value)).hexdigest()]
    if isinstance(value, tuple | list):
        return [_numbers(v) for v in value]
    return value.hex() if isinstance(value, float) else value


def _content(rows: Rows) -> bytes:
    digest = hashlib.sha256()
    for name, value in [("", rows.row), *sorted(rows.values.items())]:  # "" is no name of an array
        data = _bytes(value)
        digest.update(canonical([name, list(value.shape), len(data)]).encode())
        digest.update(data)
    return digest.digest()


def _bytes(value: np.ndarray) -> bytes:
    """Numbers as little-endian float64 where that holds them exactly, else as text."""
    if value.dtype.kind in "bf" or (value.dtype.kind in "iu" and value.dtype.itemsize <= 4):
        return _floats(value)
    if value.dtype.kind in "iu" and (not value.size or max(abs(int(value.min())), abs(int(value.max()))) <= 2**53):
        return _floats(value)
    return canonical(value.tolist()).encode()


def _floats(value: np.ndarray) -> bytes:
    numbers = np.ascontiguousarray(value, dtype="<f8") + 0.0  # −0 and 0 are the same number
    return np.where(np.isnan(numbers), np.nan, numbers).tobytes()


def canonical(value: Any) -> str:
    """A value as JSON text, one text a value: what hashes are taken of, and how ids are written down."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), default=_plain)


def _plain(value: Any) -> Any:
    if isinstance(value, np.ndarray | np.generic):
        return value.tolist()
    return _numbers(value) if is_dataclass(value) and not isinstance(value, type) else str(value)


def _sha(purpose: str, text: str) -> str:
    return hashlib.sha256(f"bayesrepair {purpose}:{text}".encode()).hexdigest()
