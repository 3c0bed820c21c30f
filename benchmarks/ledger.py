"""Processes of a ledger killed at random points: no request may be lost, none applied twice.

Two processes at once ask for rows to be deleted and apply what is pending, on a conjugate normal model; both are killed
(SIGKILL) after a random time, again and again. A client writes down what it is about to ask for, and that it was
answered; after a kill it asks again for what was not answered, under the same key. `lost`: answered requests that the
ledger does not hold once. `unapplied`: requests that the ledger said were applied, and no longer are. `twice`: rows
whose power on a receipt is not exactly what was asked for. `off`: distance of the replayed posterior's mean from the
closed form on the rows that remain, in posterior sds; `replayed`: the replay has the hash that was recorded;
`mid_edit`: kills that left the claim of an unfinished edit behind (or found it left by the kill before);
`unanswered`: requests that were asked for and not yet answered at a kill.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import tempfile
import time
import traceback
from pathlib import Path
from typing import NoReturn

import numpy as np
import pandas as pd

import bayesrepair as br
from bayesrepair.hashes import posterior_hash
from bayesrepair.ledger_store import Store
from bayesrepair.oracles import NormalNormal
from bayesrepair.status import LedgerError
from benchmarks.results import save

ROWS, FREE = 400, 350  # rows, and those that may be asked for
CLIENTS = 2
LONGEST = 0.3  # seconds before a kill


def fit() -> br.Fit:
    """A conjugate fit, the same in every process."""
    oracle = NormalNormal(prior_sd=10.0)
    rows = oracle.rows({"y": np.random.default_rng(0).normal(1.0, 1.0, ROWS)})
    return br.Fit(oracle, rows, oracle.posterior(rows))


def client(folder: Path, name: str, seed: int) -> NoReturn:
    """Ask and apply until killed; first ask again for what was never answered."""
    rng = np.random.default_rng(seed)
    ledger = br.Ledger(folder / "model.ledger", fit())
    for kind in ("asked", "answered", "applied"):
        _forget_what_was_cut(folder / f"{name}.{kind}")
    asked, answered = _lines(folder / f"{name}.asked"), {a["key"] for a in _lines(folder / f"{name}.answered")}
    for line in asked:
        if line["key"] not in answered:
            _ask(ledger, folder, name, line)
    for count in range(10**9):
        rows = rng.choice(FREE, int(rng.integers(1, 3)), replace=False).tolist()
        line = {"key": f"{name} {seed} {count}", "rows": rows, "weight": float(rng.choice([0.0, 0.5]))}
        _write(folder / f"{name}.asked", line)
        _ask(ledger, folder, name, line)
        if count % 3 == 0:
            try:
                edited = ledger.apply(method="conjugate", random_seed=count)
            except LedgerError:
                continue  # the other client is at it
            if edited.factors:
                frame = ledger.frame()
                keys = frame.index[frame["state"] == "applied"].tolist()
                _write(folder / f"{name}.applied", {"keys": keys})
    os._exit(1)


def _ask(ledger: br.Ledger, folder: Path, name: str, line: dict) -> None:
    ledger.request(line["rows"], weight=line["weight"], reason="benchmark", key=line["key"])
    _write(folder / f"{name}.answered", {"key": line["key"]})


def _write(path: Path, line: dict) -> None:
    with path.open("a") as file:
        file.write(json.dumps(line) + "\n")
        file.flush()
        os.fsync(file.fileno())


def _lines(path: Path) -> list[dict]:
    """What was written so far; a last line that a kill cut was never written."""
    if not path.exists():
        return []
    return [json.loads(line) for line in path.read_text().split("\n")[:-1]]


def _forget_what_was_cut(path: Path) -> None:
    """End the file where its last whole line ends, so that the next line starts there."""
    if path.exists():
        os.truncate(path, path.read_bytes().rfind(b"\n") + 1)


def kill_once(folder: Path, rng: np.random.Generator, round_: int) -> float:
    """Start the clients, kill both after a random time; returns that time."""
    children = []
    for number in range(CLIENTS):
        child = os.fork()
        if child == 0:
            try:
                client(folder, f"client {number}", 1000 * round_ + number)
            except BaseException:  # noqa: BLE001 - whatever it is, a fork must not go on as its parent
                (folder / f"error {round_} {number}").write_text(traceback.format_exc())
                os._exit(1)
        children.append(child)
    wait = float(rng.uniform(0.01, LONGEST))
    time.sleep(wait)
    for child in children:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
    return wait


def examine(folder: Path) -> dict[str, float]:
    """What the ledger holds, against what the clients were told."""
    base = fit()
    ledger = br.Ledger(folder / "model.ledger", base)
    frame = ledger.frame()
    asked = {a["key"]: a for path in folder.glob("*.asked") for a in _lines(path)}
    answered = {a["key"] for path in folder.glob("*.answered") for a in _lines(path)}
    applied = {key for path in folder.glob("*.applied") for a in _lines(path) for key in a["keys"]}
    done = set(frame.index[frame["state"] == "applied"])
    weight = np.ones(ROWS)
    for key in done:
        weight[asked[key]["rows"]] = np.minimum(weight[asked[key]["rows"]], asked[key]["weight"])
    current = ledger.fit
    truth = base.model.posterior(base.rows, weight)
    away = (current.posterior.mean - truth.mean) * np.sqrt(truth.precision[0, 0])
    powers = np.sort(ledger.receipts[-1].powers) if ledger.receipts else np.zeros(0)
    expected = np.sort((weight - 1)[weight < 1])
    twice = abs(len(powers) - len(expected)) or int((powers != expected).sum())
    same = not ledger.receipts or posterior_hash(ledger.replay().posterior) == ledger.receipts[-1].posterior_hash
    left = sum(len(_lines(path)) for path in folder.glob("*.asked")) - len(answered)
    return {
        "mid_edit": len(Store(folder / "model.ledger").read("SELECT * FROM claim")),
        "unanswered": left,
        "requests": len(frame),
        "edits": len(ledger.receipts),
        "lost": len(answered - set(frame.index)) + int(frame.index.duplicated().sum()),
        "unapplied": len(applied - done),
        "twice": twice,
        "off": float(np.abs(away).max()),
        "replayed": bool(same),
        "errors": len(list(folder.glob("error *"))),
    }


def kills(folder: Path, count: int, seed: int) -> pd.DataFrame:
    """Kill ``count`` times and examine after each."""
    rng, lines = np.random.default_rng(seed), []
    warm = br.Ledger(folder / "warm.ledger", fit())  # what is loaded at the first use, every fork then has
    warm.request([0])
    warm.apply(method="conjugate")
    for round_ in range(1, count + 1):
        wait = kill_once(folder, rng, round_)
        lines.append({"kill": round_, "after": wait, **examine(folder)})
    return pd.DataFrame(lines)


def main(argv: list[str]) -> int:
    """A hundred kills, or as many as asked for."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks ledger", description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", action="store_true", help="print the lines as JSON and write no table")
    options = parser.parse_args(argv)
    with tempfile.TemporaryDirectory() as folder:
        frame = kills(Path(folder), options.kills, options.seed)
        for path in sorted(Path(folder).glob("error *")):
            print(path.read_text(), file=sys.stderr)
    if options.json:
        print(frame.to_json(orient="records"))
        return 0
    worst = frame.agg(
        {"kill": "max", "mid_edit": "sum", "unanswered": "sum", "requests": "max", "edits": "max", "lost": "max",
         "unapplied": "max", "twice": "max", "off": "max", "replayed": "min", "errors": "max"}
    )  # fmt: skip
    table = worst.rename({"kill": "kills"}).to_frame("over all kills").rename_axis("figure")
    print(table)
    print(f"written to {save('ledger', frame, table=table, about=__doc__.strip())}")
    return 0
