"""What a run's results depend on, so that a stopped run is only ever continued by the same run."""

from __future__ import annotations

import hashlib
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from bayesrepair.arithmetic import Arithmetic
from bayesrepair.hashes import data_hash, model_hash
from bayesrepair.numerics.blocks import block_size
from bayesrepair.posterior import Draws
from bayesrepair.rows import Rows
from bayesrepair.streaming.pieces import Source
from bayesrepair.streaming.scorer import RowScorer

_PACKAGES = ("bayesrepair", "numpy", "pytensor")


ARITHMETIC = "how log-likelihoods are computed"


def run_identity(
    scorer: RowScorer, source: Source, *, method: str, failures: Rows, arithmetic: Arithmetic
) -> dict[str, str]:
    """Hashes and sizes by name, in the words of a message that says what differs.

    Parameters
    ----------
    scorer : RowScorer
    source : Source
    method : str
    failures : Rows
    arithmetic : Arithmetic
    """
    block = scorer.block or block_size(len(scorer.draws))
    return {
        "the model": model_hash(scorer.model),
        "the draws": _draws_hash(scorer.draws),
        "the failures": data_hash(failures),
        "the method": method,
        "how the failures were inserted": object_hash(scorer.score),
        ARITHMETIC: arithmetic.identity,
        "whether surprise is computed": str(scorer.surprise),
        "the rows": f"{len(source)}:{source.fingerprint}",
        "the sizes of pieces and blocks": f"{source.pieces[0].stop}, {block}",
        "the versions of packages": ", ".join(f"{name} {version(name)}" for name in _PACKAGES),
    }


def kept_backend(store: str | Path) -> str:
    """The backend that a store was begun with; empty where there is none yet."""
    from bayesrepair.streaming.store import kept_run

    return kept_run(store).get(ARITHMETIC, "").partition(",")[0]


def _draws_hash(draws: Draws) -> str:
    return object_hash([draws.theta, draws.log_weights, draws.chain, draws.r_eff])


def object_hash(value: Any) -> str:
    """SHA-256 of the numbers in an object: its arrays, and whatever its attributes hold.

    Examples
    --------
    >>> object_hash([np.zeros(2), "a"]) == object_hash([np.zeros(2), "a"])
    True
    >>> object_hash(np.zeros(2)) == object_hash(np.ones(2))
    False
    """
    digest = hashlib.sha256()
    _take(value, digest)
    return digest.hexdigest()


def _take(value: Any, digest: Any) -> None:
    if isinstance(value, np.ndarray):
        digest.update(repr((value.shape, value.dtype.str)).encode())
        digest.update(np.ascontiguousarray(value).tobytes())
    elif isinstance(value, dict):
        for key in sorted(value):
            digest.update(repr(key).encode())
            _take(value[key], digest)
    elif isinstance(value, list | tuple):
        digest.update(repr(len(value)).encode())
        for item in value:
            _take(item, digest)
    elif hasattr(value, "__dict__"):
        digest.update(type(value).__qualname__.encode())
        _take(vars(value), digest)
    else:
        digest.update(repr(value).encode())
