"""The file of a ledger: SQLite tables, short transactions, and a claim that one process at a time holds."""

from __future__ import annotations

import os
import platform
import sqlite3
import threading
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bayesrepair.status import LedgerError

SCHEMA = "1"
LEASE = 120.0  # seconds after which a claim that nobody renews is free
RENEWAL = 15.0
PATIENCE = 30.0  # seconds that a transaction waits for another

TABLES = """
CREATE TABLE IF NOT EXISTS bound (name TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS application (
    number INTEGER PRIMARY KEY AUTOINCREMENT, applied TEXT NOT NULL, method TEXT NOT NULL, rungs TEXT NOT NULL,
    seed INTEGER NOT NULL, posterior_hash TEXT NOT NULL, moments TEXT NOT NULL, receipt TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS request (
    number INTEGER PRIMARY KEY AUTOINCREMENT, key TEXT UNIQUE NOT NULL, ids TEXT NOT NULL, forgotten INTEGER NOT NULL
    DEFAULT 0, rows INTEGER NOT NULL, content TEXT NOT NULL, weight REAL NOT NULL, reason TEXT NOT NULL,
    requested TEXT NOT NULL, application INTEGER REFERENCES application (number));
CREATE TRIGGER IF NOT EXISTS applied_once BEFORE UPDATE OF application ON request WHEN OLD.application IS NOT NULL
    BEGIN SELECT RAISE (ABORT, 'a request is applied once'); END;
CREATE TABLE IF NOT EXISTS claim (
    one INTEGER PRIMARY KEY CHECK (one = 1), token TEXT NOT NULL, host TEXT NOT NULL, pid INTEGER NOT NULL,
    since REAL NOT NULL, seen REAL NOT NULL);
"""

Line = sqlite3.Row


def now() -> str:
    """The time in UTC, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")


@dataclass(frozen=True)
class Store:
    """A ledger's file. A connection lasts for one transaction, so that threads and forks share nothing.

    What a transaction wrote is on the disk when it returns (write-ahead log, every commit synchronised), and what was
    deleted is overwritten.

    Parameters
    ----------
    path : Path
    """

    path: Path

    def create(self, bound: Mapping[str, str]) -> dict[str, str]:
        """Make the tables if there are none, bound to a fit; returns what the file is bound to."""
        if not self.path.exists():
            self.path.touch(mode=0o600)  # ids and reasons are nobody else's business
        try:
            with closing(self._connect()) as connection, suppress(sqlite3.OperationalError):
                connection.execute("PRAGMA journal_mode = WAL")  # fails only while another process does the same
            with self.transaction() as connection:
                for statement in TABLES.split(";\n"):
                    connection.execute(statement)
                if connection.execute("SELECT count(*) FROM bound").fetchone()[0] == 0:
                    connection.executemany("INSERT INTO bound VALUES (?, ?)", [*bound.items(), ("schema", SCHEMA)])
                return dict(map(tuple, connection.execute("SELECT name, value FROM bound")))
        except sqlite3.DatabaseError as error:
            raise LedgerError("a ledger", f"{self.path}, which cannot be opened as one ({error})") from error

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """Read and write as one: everything is written, or nothing."""
        with closing(self._connect()) as connection:
            connection.execute("BEGIN IMMEDIATE")
            try:
                yield connection
            except BaseException:
                if connection.in_transaction:  # SQLite has rolled some errors back itself
                    connection.execute("ROLLBACK")
                raise
            connection.execute("COMMIT")

    def read(self, query: str, values: Sequence[Any] = ()) -> list[Line]:
        """The lines of a query."""
        with closing(self._connect()) as connection:
            return connection.execute(query, values).fetchall()

    def requests(self) -> list[Line]:
        """All requests in order, with the number of the application that served them."""
        return self.read("SELECT * FROM request ORDER BY number")

    def applications(self) -> list[Line]:
        """All applications in order."""
        return self.read("SELECT * FROM application ORDER BY number")

    @contextmanager
    def claimed(self) -> Iterator[str]:
        """Hold the right to apply, and renew it; the context gives the token that `record` asks for.

        The claim only spares work: two processes that both believe to hold it cannot both record.

        Raises
        ------
        LedgerError
            If another process holds it.
        """
        token = uuid.uuid4().hex
        with self.transaction() as connection:
            held = connection.execute("SELECT * FROM claim").fetchone()
            if held is not None and _alive(held):
                raise LedgerError(
                    "a ledger that no other process is applying",
                    f"one at work since {time.time() - held['since']:.0f} s: process {held['pid']} on {held['host']}",
                    "Wait for it; a claim that is not renewed lapses after two minutes.",
                )
            line = (1, token, platform.node(), os.getpid(), time.time(), time.time())
            connection.execute("INSERT OR REPLACE INTO claim VALUES (?, ?, ?, ?, ?, ?)", line)
        stop = threading.Event()
        renewing = threading.Thread(target=self._renew, args=(token, stop), daemon=True)
        renewing.start()
        try:
            yield token
        finally:
            stop.set()
            renewing.join()
            with self.transaction() as connection:
                connection.execute("DELETE FROM claim WHERE token = ?", (token,))

    def record(self, token: str, served: Sequence[int], application: Mapping[str, Any]) -> int:
        """Write an application and mark its requests, in one transaction; returns its number.

        Raises
        ------
        LedgerError
            If the claim has passed to another process: nothing is written.
        """
        with self.transaction() as connection:
            if connection.execute("SELECT 1 FROM claim WHERE token = ?", (token,)).fetchone() is None:
                raise LedgerError(
                    "the claim under which this edit was made",
                    "another one, or none: it lapsed, and another process took over",
                    "Nothing was recorded. Call apply() again.",
                )
            names = ", ".join(application)
            marks = ", ".join("?" * len(application))
            done = connection.execute(f"INSERT INTO application ({names}) VALUES ({marks})", [*application.values()])
            number = done.lastrowid
            assert number is not None  # an inserted line has a number
            connection.executemany(
                "UPDATE request SET application = ? WHERE number = ?", [(number, request) for request in served]
            )
            return number

    def compact(self) -> None:
        """Rewrite the file, so that nothing deleted is left in it or beside it."""
        with closing(self._connect()) as connection:
            connection.execute("VACUUM")
            connection.execute("PRAGMA wal_checkpoint (TRUNCATE)")

    def _renew(self, token: str, stop: threading.Event) -> None:
        while not stop.wait(RENEWAL):
            with suppress(sqlite3.OperationalError), self.transaction() as connection:
                connection.execute("UPDATE claim SET seen = ? WHERE token = ?", (time.time(), token))

    def _connect(self) -> sqlite3.Connection:
        connection = sqlite3.connect(self.path, timeout=PATIENCE, isolation_level=None)
        connection.row_factory = sqlite3.Row
        try:
            for setting in ("synchronous = FULL", "secure_delete = ON", "foreign_keys = ON"):
                connection.execute(f"PRAGMA {setting}")
        except sqlite3.DatabaseError:
            connection.close()
            raise
        return connection


def _alive(claim: Line) -> bool:
    """Whether the process that holds a claim may still be at work."""
    if time.time() - claim["seen"] > LEASE:
        return False
    if claim["host"] != platform.node() or os.name == "nt":  # there, signal 0 is no question
        return True
    try:
        os.kill(claim["pid"], 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
