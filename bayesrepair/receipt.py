"""The receipt of an edit: what was asked, how it was done, how far it was proved; readable by person and machine."""

from __future__ import annotations

import hashlib
import html
import json
import platform
from dataclasses import asdict, dataclass
from importlib.metadata import version
from typing import Any, Literal

import numpy as np
import pandas as pd

from bayesrepair.edit import Edited
from bayesrepair.rows import Rows

Verdict = Literal["verified", "estimated", "unverified"]
PACKAGES = ("bayesrepair", "pymc", "arviz", "nutpie", "numpy")


@dataclass(frozen=True)
class Receipt:
    """What an edit did, without revealing the rows.

    Parameters
    ----------
    verdict : {"verified", "estimated", "unverified"}
        ``verified`` only after a refit agreed; ``estimated`` for an edit that is ok or checked.
    rows : tuple of str
        Hashed ids (SHA-256, keyed with the hash of the data) of the rows whose weight changed.
    powers : tuple of float
        Powers of those rows, in the same order.
    data_hash, model_hash : str
    rung, status : str
    khat, ess, seconds : float
    versions : dict of str to str
    caveat : str
    """

    verdict: Verdict
    rows: tuple[str, ...]
    powers: tuple[float, ...]
    data_hash: str
    model_hash: str
    rung: str
    status: str
    khat: float
    ess: float
    seconds: float
    versions: dict[str, str]
    caveat: str

    def frame(self) -> pd.DataFrame:
        """One line a row of the edit: ``row`` (hashed id) and ``power`` (−1 deletes, +1 inserts)."""
        return pd.DataFrame({"row": self.rows, "power": self.powers})

    def _lines(self) -> dict[str, str]:
        return {
            "verdict": self.verdict,
            "status": self.status,
            "rung": self.rung,
            "rows": str(len(self.rows)),
            "k-hat": f"{self.khat:.2f}" if np.isfinite(self.khat) else "none",
            "ess": f"{self.ess:.0f}",
            "seconds": f"{self.seconds:.1f}",
            "data": self.data_hash,
            "model": self.model_hash,
            "versions": ", ".join(f"{name} {number}" for name, number in self.versions.items()),
            "caveat": self.caveat,
        }

    def __repr__(self) -> str:
        return "\n".join(f"{name:<9}{text}" for name, text in self._lines().items())

    def _repr_html_(self) -> str:
        lines = (f"<tr><th>{name}</th><td>{html.escape(text)}</td></tr>" for name, text in self._lines().items())
        return f"<table>{''.join(lines)}</table>"

    def to_json(self) -> str:
        """The receipt as JSON (infinite k-hat as null)."""
        record = asdict(self)
        record["khat"] = self.khat if np.isfinite(self.khat) else None
        record["ess"] = self.ess if np.isfinite(self.ess) else None
        return json.dumps(record, indent=2)

    def attributes(self) -> dict[str, str]:
        """The receipt as flat text, for the attributes of a netCDF group."""
        return {"receipt": self.to_json(), "verdict": self.verdict, "rung": self.rung, "status": self.status}


def receipt(edited: Edited) -> Receipt:
    """Write the receipt of an edit."""
    if edited.verification is not None:
        verdict: Verdict = "verified" if edited.verification.passed else "unverified"
    else:
        verdict = "unverified" if edited.status.level == "unreliable" else "estimated"
    data = rows_hash(edited.before.rows)
    model = edited.before.model
    described = json.dumps([type(model).__name__, list(map(str, model.names)), model.outcome.name], sort_keys=True)
    return Receipt(
        verdict=verdict,
        rows=tuple(_hash(f"{data}:{i!r}") for f in edited.factors for i in f.rows.row.tolist()),
        powers=tuple(float(p) for f in edited.factors for p in f.powers),
        data_hash=data,
        model_hash=_hash(described),
        rung=edited.info.rung,
        status=str(edited.status),
        khat=edited.info.khat,
        ess=edited.info.ess,
        seconds=edited.info.seconds,
        versions={name: version(name) for name in PACKAGES} | {"python": platform.python_version()},
        caveat="Scalers and automatic prior scales were fixed at the original fit and still carry the treated rows.",
    )


def rows_hash(rows: Rows) -> str:
    """SHA-256 of the ids and arrays of some rows."""
    digest = hashlib.sha256()
    for name, value in [("row", rows.row), *sorted(rows.values.items())]:
        digest.update(f"{name}:{value.dtype}:{value.shape}".encode())
        digest.update(_bytes(value))
    return digest.hexdigest()


def _bytes(value: np.ndarray) -> bytes:
    return json.dumps(value.tolist(), default=str).encode() if value.dtype.hasobject else value.tobytes()


def _hash(text: Any) -> str:
    return hashlib.sha256(str(text).encode()).hexdigest()
