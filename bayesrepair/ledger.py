"""The ledger of a fitted model: requests to take rows out, each applied exactly once, with receipts, and replay."""

from __future__ import annotations

import html
import json
import secrets
import uuid
import warnings
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from bayesrepair.edit import Edited, Editor, edit
from bayesrepair.editors.auto import Auto
from bayesrepair.fit import Fit
from bayesrepair.hashes import canonical, data_hash, model_hash, posterior_hash
from bayesrepair.ledger_rows import LedgerRows
from bayesrepair.ledger_store import SCHEMA, Line, Store, now
from bayesrepair.posterior import Draws, Gaussian, Posterior
from bayesrepair.receipt import Receipt, receipt
from bayesrepair.status import DataError, EditError, LedgerError, MethodError, NumericsWarning
from bayesrepair.top import Top
from bayesrepair.verification import verify as verify_edit

COLUMNS = ["rows", "weight", "reason", "requested", "state", "applied", "verdict"]
SAME = 0.01  # posterior sds: a replay that is not the same to the bit, but this close, is the same posterior


@dataclass(frozen=True, eq=False)
class Ledger:
    """Requests to take rows out of a fitted model, in one SQLite file that survives being killed at any point.

    A request names training rows and the weight that each may keep, 0 for deletion. Requests only take away: a row's
    weight is the smallest that was asked for, so that neither order nor repetition matters. `apply` makes one edit of
    everything asked for so far, ``p(θ | D) · Π p(row | θ)^(weight − 1)``, always from the draws of the base fit, so
    that a long sequence accumulates no error; in one transaction it writes the receipt and marks the requests.

    The file belongs to one fit: it holds the hashes of its rows, of its model's structure and of its posterior, and
    opening it with another fit is refused. It does not hold the fit: keep rows and draws where they are kept safely.
    The file holds row ids and reasons, which can be personal data (it is created readable by its owner alone);
    receipts hold hashes only. `forget` replaces the ids of applied requests by hashes that only the holder of the base
    fit can resolve, and erases their reasons; the ledger still replays.

    Parameters
    ----------
    path : str or Path
        Made if it is not there.
    base : Fit
        The fit as it was before any request.

    Raises
    ------
    LedgerError
        If the file is none, or belongs to another fit.

    Examples
    --------
    >>> import tempfile
    >>> from bayesrepair.oracles import NormalNormal
    >>> oracle = NormalNormal(prior_mean=0.0, prior_sd=1.0, noise_sd=1.0)
    >>> rows = oracle.rows({"y": np.array([1.0, 2.0, 9.0])})
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     ledger = Ledger(Path(folder) / "model.ledger", Fit(oracle, rows, oracle.posterior(rows)))
    ...     key = ledger.request([2], reason="typing error", key="ticket 17")
    ...     edited = ledger.apply(method="conjugate", random_seed=1)
    ...     ledger.fit.posterior.mean, len(ledger.pending)  # (1 + 2) / (1 + 2 rows)
    (array([1.]), 0)
    """

    path: str | Path
    base: Fit
    _kept: dict[int, Fit] = field(default_factory=dict, init=False, repr=False)

    def __post_init__(self) -> None:
        own = {
            "data": data_hash(self.base.rows),
            "model": model_hash(self.base.model),
            "posterior": posterior_hash(self.base.posterior),
        }
        bound = self._store.create(own)
        if bound["schema"] != SCHEMA:
            raise LedgerError(f"a ledger of schema {SCHEMA}", bound["schema"], "Use the version that made it.")
        for name, remedy in (
            ("data", "Open it with the fit on the rows (ids, cells, order) that it was made for."),
            ("model", "Open it with the model that it was made for, or start another ledger."),
            ("posterior", "Open it with the very draws that it was made for: another sampling cannot be replayed."),
        ):
            if bound[name] != own[name]:
                got = f"another {name} ({own[name][:12]}… instead of {bound[name][:12]}…)"
                raise LedgerError(f"the fit that the ledger {self._store.path.name} belongs to", got, remedy)

    def request(
        self,
        rows: Top | pd.DataFrame | Iterable[Any],
        *,
        reason: str = "",
        weight: float = 0.0,
        key: str | None = None,
    ) -> str:
        """Ask for rows to be taken out, or weakened; on return the request is on the disk.

        Parameters
        ----------
        rows : Top, DataFrame or iterable of row ids
            Training rows of the base fit.
        reason : str
        weight : float
            What the rows may keep, at least 0 and below 1.
        key : str, optional
            The caller's own name of the request. The same request under the same key is one request, so that a caller
            who was killed before the answer came may ask again.

        Returns
        -------
        str
            The key; a random one where none was given.

        Raises
        ------
        DataError
            If a row is unknown or named twice, none is named, none would be left, or the key stands for something
            else.
        """
        ids = rows.index if isinstance(rows, pd.DataFrame | Top) else pd.Index(list(rows))
        self._refuse(ids, weight)
        part = self.base.rows.take(ids)
        key = uuid.uuid4().hex if key is None else key
        content = self._rows.hashed(part)
        names = canonical([canonical(i) for i in part.row.tolist()])
        with self._store.transaction() as connection:
            known = connection.execute("SELECT * FROM request WHERE key = ?", (key,)).fetchone()
            if known is not None:
                if (known["content"], known["weight"]) != (content, weight):
                    raise DataError(f"the request that {key!r} stands for", "other rows or another weight")
                return key
            earlier = connection.execute("SELECT * FROM request").fetchall()
            line = {"ids": names, "forgotten": 0, "weight": weight, "content": content}
            if not (self._rows.weights([*earlier, line]) > 0).any():
                raise DataError("at least one row to remain", "requests for all of them")
            connection.execute(
                "INSERT INTO request (key, ids, rows, content, weight, reason, requested) VALUES (?, ?, ?, ?, ?, ?, ?)",
                (key, names, len(ids), content, weight, reason, now()),
            )
        return key

    def apply(self, *, method: str = "auto", verify: bool = False, random_seed: int | None = None) -> Edited:
        """Serve all pending requests by one edit, exactly once.

        Nothing is written before the end: killed at any point, the requests are either applied, with their receipt, or
        still pending. An unreliable edit, or one that fails its verification, is not recorded.

        Parameters
        ----------
        method : str
            See `edit`; a name, so that it can be written down.
        verify : bool
            Compare with refits before anything is recorded; the receipt then says verified.
        random_seed : int, optional
            At least 0; a random one by default. It is recorded.

        Returns
        -------
        Edited
            From the base fit to the current one. Without pending requests, the last edit again.

        Raises
        ------
        EditError
            If the edit cannot be relied on: the requests stay pending.
        LedgerError
            If another process is applying.
        """
        if not isinstance(method, str):
            raise MethodError("the name of a method", type(method).__name__, "An editor cannot be written down.")
        seed = secrets.randbelow(2**63) if random_seed is None else int(random_seed)
        with self._store.claimed() as token:
            requests = self._store.requests()
            served = [line["number"] for line in requests if line["application"] is None]
            if not served:
                return self._repeated()
            edited = edit(self.base, self._rows.factor(requests), method=method, random_seed=seed)
            if verify:
                proof = verify_edit(edited, random_seed=seed, progressbar=False)
                edited = replace(edited, verification=proof)
            slip = receipt(edited)
            if slip.verdict == "unverified":
                raise EditError("an edit to rely on", slip.why, "Nothing was recorded. Try method='retrain'.")
            application = {
                "applied": now(),
                "method": method,
                "rungs": json.dumps([attempt.rung for attempt in edited.info.attempts]),
                "seed": seed,
                "posterior_hash": slip.posterior_hash,
                "moments": json.dumps(_moments(edited.after.posterior)),
                "receipt": slip.to_json(),
            }
            number = self._store.record(token, served, application)
        self._keep(number, edited.after)
        return edited

    @property
    def fit(self) -> Fit:
        """The current fit: the base fit, with every applied request served."""
        done = self._store.applications()
        if not done:
            return self.base
        number = done[-1]["number"]
        return self._kept[number] if number in self._kept else self.replay()

    def replay(self) -> Fit:
        """Make the current fit again from the base fit, and compare it with what was recorded.

        Returns
        -------
        Fit

        Raises
        ------
        LedgerError
            If another posterior comes out.

        Warns
        -----
        NumericsWarning
            If it is not the same to the bit, but within .01 posterior sd: another machine, or other versions.
        """
        return self._repeated().after

    @property
    def receipts(self) -> tuple[Receipt, ...]:
        """The receipt of each application; each describes the whole change since the base fit."""
        return tuple(Receipt.from_json(line["receipt"]) for line in self._store.applications())

    @property
    def pending(self) -> pd.DataFrame:
        """The requests that no edit has served yet; columns of `frame`."""
        frame = self.frame()
        return frame[frame["state"] == "pending"]

    def frame(self) -> pd.DataFrame:
        """One line a request, by key: ``rows`` (how many), weight, reason, when requested, state, applied, verdict."""
        requests = self._store.requests()
        done = {line["number"]: line for line in self._store.applications()}  # read last: it holds all they refer to
        lines = []
        for line in requests:
            served = done.get(line["application"])
            verdict = "" if served is None else json.loads(served["receipt"])["verdict"]
            reason = "(forgotten)" if line["forgotten"] else line["reason"]
            state, applied = ("pending", "") if served is None else ("applied", served["applied"])
            lines.append([line["rows"], line["weight"], reason, line["requested"], state, applied, verdict])
        keys = pd.Index([line["key"] for line in requests], name="request", dtype=object)
        return pd.DataFrame(lines, index=keys, columns=pd.Index(COLUMNS))

    def rows(self, key: str) -> list[Any]:
        """Ids of the rows that a request names, also of a forgotten one: the base fit knows them.

        Raises
        ------
        DataError
            If there is no such request.
        """
        for line in self._store.requests():
            if line["key"] == key:
                return self.base.rows.row[self._rows.positions(line)].tolist()
        raise DataError("the key of a request", repr(key), "ledger.frame() lists them.")

    def forget(self) -> int:
        """Replace the ids of applied requests by hashes, and erase their reasons, from the file for good.

        The hashes are keyed with the data: whoever has the base fit can resolve them (replay does), nobody else.
        Pending requests keep their ids until they are applied. Copies of the file are not reached.

        Returns
        -------
        int
            How many requests were forgotten.
        """
        with self._store.transaction() as connection:
            query = "SELECT * FROM request WHERE application IS NOT NULL AND forgotten = 0"
            lines = connection.execute(query).fetchall()
            for line in lines:
                hashed = self._rows.forgotten(line)
                change = "UPDATE request SET ids = ?, reason = '', forgotten = 1 WHERE number = ?"
                connection.execute(change, (hashed, line["number"]))
        self._store.compact()
        return len(lines)

    def _head(self) -> str:
        frame = self.frame()
        waiting = int((frame["state"] == "pending").sum())
        done = self._store.applications()
        last = f", the last {json.loads(done[-1]['receipt'])['verdict']}" if done else ""
        return f"Ledger {self._store.path.name}: {len(frame)} requests, {waiting} pending; {len(done)} edits{last}"

    def __repr__(self) -> str:
        return f"{self._head()}\n{self.frame().to_string()}"

    def _repr_html_(self) -> str:
        return f"<p>{html.escape(self._head())}</p>{self.frame().to_html(escape=True)}"

    @cached_property
    def _store(self) -> Store:
        return Store(Path(self.path))

    @cached_property
    def _rows(self) -> LedgerRows:
        return LedgerRows(self.base)

    def _refuse(self, ids: pd.Index, weight: float) -> None:
        if not len(ids):
            raise DataError("at least one row", "none", "Pass the row ids, such as causes.top(20).")
        if not ids.is_unique:
            raise DataError("each row once", f"{ids[ids.duplicated()][0]!r} more than once")
        if not 0 <= weight < 1:
            raise DataError("a weight of at least 0 and below 1", f"{weight:g}", "Weight 0 deletes a row.")

    def _repeated(self) -> Edited:
        """The last application once more, from its record."""
        done = self._store.applications()
        if not done:
            return edit(self.base, ())
        last = done[-1]
        served = [line for line in self._store.requests() if (line["application"] or np.inf) <= last["number"]]
        edited = edit(self.base, self._rows.factor(served), method=_editor(last), random_seed=last["seed"])
        if posterior_hash(edited.after.posterior) != last["posterior_hash"]:
            _refuse_another(json.loads(last["moments"]), edited.after.posterior)
        self._keep(last["number"], edited.after)
        return edited

    def _keep(self, number: int, fit: Fit) -> None:
        self._kept.clear()
        self._kept[number] = fit


def _editor(application: Line) -> str | Editor:
    """The method that was used; of the ladder the very rungs that were tried, since the choice hung on the clock."""
    rungs = tuple(json.loads(application["rungs"]))
    return Auto(rungs, priced=False) if application["method"] == "auto" and rungs else application["method"]


def _moments(posterior: Posterior) -> list[list[float]]:
    """Mean and sd of each parameter; nothing for other representations."""
    if isinstance(posterior, Draws):
        mean = posterior.weights @ posterior.theta
        return [mean.tolist(), np.sqrt(posterior.weights @ np.square(posterior.theta - mean)).tolist()]
    if isinstance(posterior, Gaussian):
        covariance = np.linalg.solve(posterior.precision, np.eye(len(posterior.mean)))
        return [posterior.mean.tolist(), np.sqrt(np.diag(covariance)).tolist()]
    return []


def _refuse_another(recorded: list[list[float]], posterior: Posterior) -> None:
    got = _moments(posterior)
    if not recorded or not got:
        raise LedgerError("the posterior that was recorded", "another one", "Replay with the versions of the receipt.")
    sd = np.maximum(recorded[1], 1e-12)
    away = float(np.max(np.abs(np.asarray(got) - recorded) / sd))
    if not away <= SAME:
        raise LedgerError(
            "the posterior that was recorded",
            f"another one, up to {away:.2g} posterior sd away",
            "Replay with the versions that ledger.receipts[-1] names.",
        )
    warnings.warn(
        f"The replay is within {away:.1g} posterior sd, not the same to the bit: another machine, or other versions.",
        NumericsWarning,
        stacklevel=4,
    )
