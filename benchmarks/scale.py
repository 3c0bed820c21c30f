"""Scoring at scale: seconds and memory from a thousand to ten million rows, runs that are killed, Dask workers.

A logistic regression on 20 columns, 2000 draws of its Laplace approximation, 50 failures; everything that
`find_causes` returns, rank intervals included (from 200 replicates up to 200 000 rows, from 40 at a million). Each
size runs in a process of its own, rows in memory or in a Parquet file that is never in memory as a whole. ``seconds``
are those of the clock, on a machine with other work to do. ``above_mb`` is the peak resident memory during the call
above what the process held before it, the fit and rows in memory included; ``results_mb`` is what grows with the rows
by design: the frame, and up to a million rows the parts of the errors (beyond it they lie on disk).
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import cloudpickle
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

import bayesrepair as br
from benchmarks.results import FOLDER, markdown, save
from benchmarks.scale_plot import plot

DRAWS, FEATURES, FAILURES, TRAINING = 2000, 20, 50, 2000
SIZES = {"memory": (10**3, 10**4, 10**5, 10**6), "parquet": (10**4, 10**5, 10**6, 10**7)}
ROW_GROUP = 200_000
KILLS, KILLED_ROWS, CLUSTER_ROWS = 10, 600_000, 400_000


def table(size: int, rng: np.random.Generator) -> pd.DataFrame:
    """Rows whose outcome follows the model."""
    x = rng.standard_normal((size, FEATURES))
    beta = np.linspace(-1, 1, FEATURES)
    frame = pd.DataFrame(x, columns=[f"f{j}" for j in range(FEATURES)])
    return frame.assign(y=(rng.random(size) < 1 / (1 + np.exp(-x @ beta))).astype(int))


def written(folder: Path, size: int) -> Path:
    """A Parquet file of so many rows, made group by group."""
    path = folder / f"rows-{size}.parquet"
    if not path.exists():
        rng, unfinished = np.random.default_rng(size), path.with_suffix(".partial")
        schema = pa.Schema.from_pandas(table(1, rng), preserve_index=False)
        with pq.ParquetWriter(unfinished, schema) as file:
            for start in range(0, size, ROW_GROUP):
                part = table(min(ROW_GROUP, size - start), rng)
                file.write_table(pa.Table.from_pandas(part, schema=schema, preserve_index=False))
        unfinished.rename(path)
    return path


def make_problem(folder: Path) -> None:
    """The fit and its failures, kept in a file for the processes that score."""
    rng = np.random.default_rng(0)
    fit = br.from_table(table(TRAINING, rng), target="y", method="laplace")
    theta = fit.posterior.draws(DRAWS, rng).theta
    draws = br.posterior.Draws.plain(theta, np.repeat(np.arange(4), DRAWS // 4))
    fit = br.Fit(fit.model, fit.rows, draws, table=fit.table)
    held_out = fit.as_rows(table(1000, rng))
    failures = br.find_failures(fit, held_out).rows.at(slice(0, FAILURES))
    (folder / "problem.pickle").write_bytes(cloudpickle.dumps((fit, failures)))


def problem(folder: Path) -> tuple[br.Fit, br.Rows]:
    """The fit and its failures; everything compiled that a run needs."""
    fit, failures = cloudpickle.loads((folder / "problem.pickle").read_bytes())
    br.find_causes(fit, failures, progressbar=False)
    return fit, failures


def score_once(folder: Path, size: int, source: str) -> dict[str, Any]:
    """Score so many rows in this process."""
    fit, failures = problem(folder)
    path = written(folder, size)
    rows = path if source == "parquet" else fit.as_rows(pd.read_parquet(path))
    before = _resident(reset=True)
    started, worked = time.perf_counter(), time.process_time()
    causes = br.find_causes(fit, failures, rows=rows, progressbar=False)
    seconds, busy = time.perf_counter() - started, time.process_time() - worked
    parts = [causes.scored.batch, causes.scored.group]
    held = sum(part.nbytes for part in parts if isinstance(part, np.ndarray))
    return {
        "source": source,
        "rows": size,
        "seconds": seconds,
        "cpu_seconds": busy,
        "million_row_draws_cpu_s": size * DRAWS / busy / 1e6,
        "above_mb": _resident(peak=True) - before,
        "results_mb": (causes.scores.memory_usage().sum() + held) / 1e6,
        "draws_x_rows_mb": DRAWS * size * 8 / 1e6,
    }


def _resident(*, reset: bool = False, peak: bool = False) -> float:
    """Resident memory of this process in MB, now or at its peak since the last reset (Linux)."""
    if reset:
        Path("/proc/self/clear_refs").write_text("5")
    lines = Path("/proc/self/status").read_text().splitlines()
    name = "VmHWM" if peak else "VmRSS"
    return float(next(line for line in lines if line.startswith(name)).split()[1]) * 1024 / 1e6


def fingerprint(causes: br.Causes) -> str:
    """SHA-256 of everything in a result, to the bit."""
    digest = hashlib.sha256()
    columns = [pd.util.hash_array(column.to_numpy()) for _, column in causes.scores.items()]
    parts = [causes.scored.score, causes.scored.batch[:], causes.scored.group[:]]
    for part in (causes.scores.index.to_numpy(), *columns, *parts):
        digest.update(np.ascontiguousarray(part).tobytes())
    return digest.hexdigest()


def resumed(folder: Path, store: Path | None) -> None:
    """Score into a store in this process, and print the fingerprint."""
    fit, failures = problem(folder)
    print("scoring", flush=True)
    causes = br.find_causes(fit, failures, rows=written(folder, KILLED_ROWS), store=store, progressbar=False)
    print(fingerprint(causes), flush=True)


def killed_runs(folder: Path) -> dict[str, Any]:
    """Kill a run at random moments, let it finish, and compare with one that nobody killed."""
    rng, store = np.random.default_rng(1), folder / "killed.zarr"
    shutil.rmtree(store, ignore_errors=True)
    started = time.perf_counter()
    whole = _child(folder, "--resume", "").stdout.split()[-1]
    seconds = time.perf_counter() - started
    done = []
    for _ in range(KILLS):
        process = subprocess.Popen(_command(folder, "--resume", str(store)), stdout=subprocess.PIPE, text=True)
        assert process.stdout is not None
        process.stdout.readline()  # it scores now
        time.sleep(float(rng.uniform(0.1, 1.3 * seconds / KILLS)))
        process.send_signal(signal.SIGKILL)
        process.wait()
        done.append(_done_pieces(store))
    again = _child(folder, "--resume", str(store)).stdout.split()[-1]
    kept = " ".join(map(str, done))
    return {"what": f"{KILLED_ROWS} rows, killed {KILLS} times", "same_bits": again == whole, "pieces_kept": kept}


def _done_pieces(store: Path) -> int:
    import zarr

    if not (store / "done").exists():
        return 0
    return int(np.asarray(zarr.open_group(store, mode="r")["done"][:]).sum())


def on_workers(folder: Path) -> list[dict[str, Any]]:
    """Two Dask workers against this process; then one of them is killed in the middle."""
    import dask
    from distributed import Client, LocalCluster

    fit, failures = problem(folder)
    path = written(folder, CLUSTER_ROWS)
    options = {"rows": path, "progressbar": False}
    started = time.perf_counter()
    alone = fingerprint(br.find_causes(fit, failures, **options))
    lines = [{"what": f"{CLUSTER_ROWS} rows, one process", "same_bits": True, "seconds": time.perf_counter() - started}]
    patience = dask.config.set({"distributed.deploy.lost-worker-timeout": "300s"})
    where = {"n_workers": 2, "threads_per_worker": 1, "dashboard_address": ":0"}
    with patience, LocalCluster(**where) as workers, Client(workers) as client:
        for what, after in (("cold", None), ("warm", None), ("one killed", 2.0)):
            started = time.perf_counter()
            if after is not None:
                pid = next(iter(client.run(os.getpid).values()))
                subprocess.Popen(["sh", "-c", f"sleep {after}; kill -9 {pid}"])
            found = fingerprint(br.find_causes(fit, failures, client=client, **options))
            seconds = time.perf_counter() - started
            line = {"what": f"{CLUSTER_ROWS} rows, two Dask workers, {what}", "same_bits": found == alone}
            lines.append({**line, "seconds": seconds})
    return lines


def _command(folder: Path, *arguments: str) -> list[str]:
    return [sys.executable, "-m", "benchmarks", "scale", "--folder", str(folder), *arguments]


def _child(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(_command(folder, *arguments), stdout=subprocess.PIPE, text=True, check=True)


def sizes(folder: Path, most: int) -> pd.DataFrame:
    """Every size in a fresh process."""
    lines = []
    for source, rows in SIZES.items():
        for size in (size for size in rows if size <= most):
            lines.append(kept(folder / f"{source}-{size}.json", partial(measured, folder, size, source)))
            print(lines[-1], flush=True)
    return pd.DataFrame(lines)


def measured(folder: Path, size: int, source: str) -> dict[str, Any]:
    """One size in a fresh process; a very long file is not kept."""
    path = written(folder, size)
    shown = _child(folder, "--size", str(size), "--source", source).stdout
    if size > 10**6:
        path.unlink()
    return json.loads(shown.splitlines()[-1])


def kept(path: Path, measure: Callable[[], Any]) -> Any:
    """What was measured before in this folder, or is now."""
    if not path.exists():
        path.write_text(json.dumps(measure()))
    return json.loads(path.read_text())


def main(argv: list[str]) -> None:
    """Run everything and write table and picture, or one part."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks scale", description=__doc__.splitlines()[0])
    parser.add_argument("--most", type=float, default=1e7, help="rows of the largest size")
    parser.add_argument("--part", choices=("sizes", "kills", "workers"), help="only this; nothing is written")
    parser.add_argument("--folder", type=Path, help="where rows and lines are kept, to go on from")
    parser.add_argument("--size", type=int, help="score so many rows in this process and print what it took")
    parser.add_argument("--source", choices=tuple(SIZES), default="parquet")
    parser.add_argument("--resume", help="score into this store in this process and print a hash of the results")
    options = parser.parse_args(argv)
    if options.size:
        print(json.dumps(score_once(options.folder, options.size, options.source)))
    elif options.resume is not None:
        resumed(options.folder, Path(options.resume) if options.resume else None)
    else:
        with tempfile.TemporaryDirectory(prefix="bayesrepair-scale-") as temporary:
            folder = options.folder or Path(temporary)
            if not (folder / "problem.pickle").exists():
                make_problem(folder)
            _run(folder, int(options.most), options.part)


def _run(folder: Path, most: int, part: str | None) -> None:
    bits = []
    if part in (None, "kills"):
        bits.append(kept(folder / "kills.json", partial(killed_runs, folder)))
        print(bits[-1], flush=True)
    if part in (None, "workers"):
        bits += kept(folder / "workers.json", partial(on_workers, folder))
        print(pd.DataFrame(bits).to_string(), flush=True)
    frame = sizes(folder, most) if part in (None, "sizes") else pd.DataFrame()
    if part is None:
        about = f"{__doc__.strip()}\n\n{markdown(pd.DataFrame(bits).fillna('').set_index('what'))}"
        print(f"written to {save('scale', frame, table=frame.set_index(['source', 'rows']), about=about)}")
        plot(frame, FOLDER.parent.parent / "docs" / "scale.png")
