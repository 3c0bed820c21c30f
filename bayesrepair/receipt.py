"""The receipt of an edit: what was asked, how it was done, how far it was proved; readable by person and machine."""

from __future__ import annotations

import html
import json
import platform
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from importlib.metadata import version
from typing import Any, Literal, get_args

import numpy as np
import pandas as pd
import xarray as xr

from bayesrepair.edit import Edited
from bayesrepair.hashes import data_hash, model_hash, posterior_hash, row_hashes
from bayesrepair.status import DataError

Verdict = Literal["verified", "estimated", "unverified"]
Record = dict[str, Any]
SCHEMA = 1
PACKAGES = ("bayesrepair", "pymc", "pytensor", "nutpie", "arviz", "bambi", "numpy", "scipy")
WORDS = {
    "verified": "a refit on the retained rows agrees",
    "estimated": "the edit's own checks pass; no refit was made",
    "unverified": "do not rely on it",
}
CAVEAT = "Scalers and automatic prior scales were fixed at the original fit and still carry the treated rows."


@dataclass(frozen=True)
class Receipt:
    """What an edit did, without revealing the rows.

    Numbers that are not there (k-hat where there are no weights, a diagnostic that could not be computed) are None; a
    k-hat too large to be estimated is infinite.

    Parameters
    ----------
    verdict : {"verified", "estimated", "unverified"}
        ``verified`` only after a refit agreed; ``estimated`` for an edit that is ok or checked.
    why : str
        What the verdict rests on.
    rows : tuple of str
        Hashed ids of the rows whose weight changed; see `bayesrepair.hashes.row_hashes`.
    powers : tuple of float
        Powers of those rows, in the same order.
    data_hash, model_hash, posterior_hash : str
        SHA-256 of the training rows, of the model's structure, and of the edited posterior to the bit; see
        `bayesrepair.hashes`.
    rung, status : str
    khat, ess : float or None
    seconds : float
    seeds : dict of str to int or None
        Of the edit and of its verification; None where no number was given.
    attempts : tuple of dict
        Every rung that was tried: rung, khat, ess, log_lik_evals, seconds, status, message.
    check : dict of str to float or None
        Figures of the check that does not reuse the weights; empty where it was not run.
    comparison : tuple of dict
        Distances to refits, a metric each; empty without a verification.
    versions : dict of str to str
    caveat : str
    schema : int
        Version of this record.
    """

    verdict: Verdict
    why: str
    rows: tuple[str, ...]
    powers: tuple[float, ...]
    data_hash: str
    model_hash: str
    posterior_hash: str
    rung: str
    status: str
    khat: float | None
    ess: float | None
    seconds: float
    seeds: dict[str, int | None]
    attempts: tuple[Record, ...]
    check: dict[str, float | None]
    comparison: tuple[Record, ...]
    versions: dict[str, str]
    caveat: str = CAVEAT
    schema: int = field(default=SCHEMA)

    def frame(self) -> pd.DataFrame:
        """One line a row of the edit: ``row`` (hashed id) and ``power`` (−1 deletes, +1 inserts)."""
        return pd.DataFrame({"row": self.rows, "power": self.powers})

    def lines(self) -> dict[str, str]:
        """What a person wants to know, by name."""
        seeds = ", ".join(f"{name} {'unknown' if seed is None else seed}" for name, seed in self.seeds.items())
        return {
            "verdict": f"{self.verdict}: {WORDS[self.verdict]}",
            "why": self.why,
            "status": self.status,
            "rung": self.rung,
            "tried": "; ".join(f"{a['rung']}: {a['status']}" for a in self.attempts) or "nothing had to be",
            "rows": str(len(self.rows)),
            "k-hat": "no weights" if self.khat is None else f"{self.khat:.2f}",
            "ess": "unknown" if self.ess is None else f"{self.ess:.0f}",
            "seconds": f"{self.seconds:.1f}",
            "seeds": seeds,
            "data": self.data_hash,
            "model": self.model_hash,
            "posterior": self.posterior_hash,
            "versions": ", ".join(f"{name} {number}" for name, number in self.versions.items()),
            "caveat": self.caveat,
        }

    def __repr__(self) -> str:
        return "\n".join(f"{name:<10}{text}" for name, text in self.lines().items())

    def _repr_html_(self) -> str:
        lines = (f"<tr><th>{name}</th><td>{html.escape(text)}</td></tr>" for name, text in self.lines().items())
        return f"<table>{''.join(lines)}</table>"

    def to_json(self) -> str:
        """The receipt as JSON; an infinite number is written as the text ``"inf"``."""
        return json.dumps(_written(asdict(self)), indent=2, allow_nan=False)

    @classmethod
    def from_json(cls, text: str) -> Receipt:
        """Read a receipt that `to_json` wrote.

        Raises
        ------
        DataError
            If the text is no receipt, or one of a schema that this version does not know.
        """
        try:
            record = json.loads(text)
        except ValueError as error:
            raise DataError("a receipt as JSON", f"text that is none ({error})") from error
        if not isinstance(record, dict) or record.get("schema") != SCHEMA:
            found = record.get("schema", "none") if isinstance(record, dict) else type(record).__name__
            raise DataError(f"a receipt of schema {SCHEMA}", f"{found}", "Read it with the version that wrote it.")
        names = {f.name for f in fields(cls)}
        if set(record) != names or record["verdict"] not in get_args(Verdict):
            wrong = ", ".join(sorted(set(record) ^ names)) or f"the verdict {record['verdict']!r}"
            raise DataError("the fields of a receipt", f"a difference in {wrong}")
        read: dict[str, Any] = _read(record)
        return cls(**read | {name: tuple(read[name]) for name in ("rows", "powers", "attempts", "comparison")})

    def attributes(self) -> dict[str, str]:
        """The receipt as flat text, for the attributes of a netCDF group."""
        return {"receipt": self.to_json(), "verdict": self.verdict, "rung": self.rung, "status": self.status}


def receipt(edited: Edited) -> Receipt:
    """Write the receipt of an edit.

    Examples
    --------
    >>> from bayesrepair.edit import edit
    >>> from bayesrepair.fit import Factor, Fit
    >>> from bayesrepair.oracles import NormalNormal
    >>> oracle = NormalNormal()
    >>> rows = oracle.rows({"y": np.array([1.0, 2.0, 9.0])})
    >>> fit = Fit(oracle, rows, oracle.posterior(rows))
    >>> slip = receipt(edit(fit, Factor(rows.take([2]), -1.0), method="conjugate", random_seed=3))
    >>> slip.verdict, slip.rung, slip.powers, slip.seeds
    ('estimated', 'conjugate', (-1.0,), {'edit': 3})
    >>> Receipt.from_json(slip.to_json()) == slip
    True
    """
    verdict, why = _verdict(edited)
    info, rows = edited.info, edited.before.rows
    proof = edited.verification
    ids = [i for f in edited.factors for i in f.rows.row.tolist()]
    check = {} if info.check is None else info.check.frame()["value"].to_dict()
    return Receipt(
        verdict=verdict,
        why=why,
        rows=row_hashes(rows, ids),
        powers=tuple(float(p) for f in edited.factors for p in f.powers),
        data_hash=data_hash(rows),
        model_hash=model_hash(edited.before.model),
        posterior_hash=posterior_hash(edited.after.posterior),
        rung=info.rung,
        status=str(edited.status),
        khat=_known(info.khat),
        ess=_known(info.ess),
        seconds=float(info.seconds),
        seeds={"edit": info.random_seed} | ({} if proof is None else {"verification": proof.random_seed}),
        attempts=tuple(_cleaned(attempt.as_dict()) for attempt in info.attempts),
        check={name: _known(float(value)) for name, value in check.items() if name != "passed"},
        comparison=() if proof is None else tuple(map(_cleaned, proof.frame().reset_index().to_dict("records"))),
        versions={name: version(name) for name in PACKAGES} | {"python": platform.python_version()},
    )


def receipt_group(receipt: Receipt) -> xr.Dataset:
    """A receipt as the group of a `DataTree`: powers by hashed row, attempts, and the whole of it as an attribute.

    Returns
    -------
    Dataset
        ``power`` (row); ``rung``, ``khat``, ``ess``, ``seconds``, ``status`` (attempt), nan where unknown; the
        attributes ``receipt`` (JSON, for `Receipt.from_json`), ``verdict``, ``rung`` and ``status``.
    """
    attempts = receipt.attempts
    numbers = {
        name: ("attempt", np.array([np.nan if a[name] is None else a[name] for a in attempts], dtype=float))
        for name in ("khat", "ess", "seconds")
    }
    words = {name: ("attempt", np.array([str(a[name]) for a in attempts], dtype="U")) for name in ("rung", "status")}
    power = ("row", np.array(receipt.powers, dtype=float))
    coords = {"row": np.array(receipt.rows, dtype="U64"), "attempt": np.arange(len(attempts))}
    return xr.Dataset({"power": power, **numbers, **words}, coords=coords, attrs=receipt.attributes())


def _verdict(edited: Edited) -> tuple[Verdict, str]:
    proof = edited.verification
    if proof is not None:
        return ("verified" if proof.passed else "unverified"), proof.verdict
    return ("unverified" if edited.status.level == "unreliable" else "estimated"), edited.status.message


def _known(value: float) -> float | None:
    """None for what is not there: nan, or the k-hat −∞ of no weights."""
    return None if np.isnan(value) or value == -np.inf else float(value)


def _cleaned(record: Mapping[Any, Any]) -> Record:
    plain = {str(k): v.item() if isinstance(v, np.generic) else v for k, v in record.items()}
    return {k: _known(v) if isinstance(v, float) else v for k, v in plain.items()}


def _written(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: _written(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_written(v) for v in value]
    return "inf" if isinstance(value, float) and value == np.inf else value


def _read(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: _read(v) for k, v in value.items()}
    if isinstance(value, list):
        return [_read(v) for v in value]
    return np.inf if value == "inf" else value
