"""Peak memory and time of scoring against the number of rows: blocks, never draws × rows.

Each size runs in a process of its own. ``above`` is the peak resident memory above the process with its data loaded;
``results`` are the bytes that grow with the rows by design: the frame and the batch sums behind the errors.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import time

import numpy as np
import pandas as pd

import bayesrepair as br
from benchmarks.results import save

DRAWS, FEATURES, FAILURES = 2000, 20, 50
SIZES = (1_000, 10_000, 100_000)


def score_once(size: int) -> dict[str, float]:
    """Score ``size`` rows in this process."""
    rng = np.random.default_rng(0)
    model = br.oracles.Logistic(n_features=FEATURES)
    beta = rng.normal(size=FEATURES)
    x = rng.normal(size=(size + FAILURES, FEATURES))
    y = (rng.random(len(x)) < 1 / (1 + np.exp(-x @ beta))).astype(int)
    rows = br.Rows({"x": x[:size], "y": y[:size]}, np.arange(size))
    failures = br.Rows({"x": x[size:], "y": 1 - y[size:]}, np.arange(FAILURES))
    theta = beta + rng.normal(size=(DRAWS, FEATURES)) / np.sqrt(size)
    fit = br.Fit(model, rows, br.posterior.Draws.plain(theta, np.repeat(np.arange(4), DRAWS // 4)))
    before = _peak()
    started = time.perf_counter()
    causes = br.find_causes(fit, failures, progressbar=False)
    seconds = time.perf_counter() - started
    results = causes.frame().memory_usage(deep=True).sum() + causes.scored.batch.nbytes + causes.scored.group.nbytes
    return {
        "rows": size,
        "seconds": seconds,
        "above_mb": _peak() - before,
        "results_mb": results / 1e6,
        "draws_x_rows_mb": DRAWS * size * 8 / 1e6,
    }


def _peak() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3


def main(argv: list[str]) -> None:
    """Run every size in a fresh process."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks memory", description=__doc__.splitlines()[0])
    parser.add_argument("--size", type=int, help="score one size in this process and print it")
    options = parser.parse_args(argv)
    if options.size:
        print(json.dumps(score_once(options.size)))
        return
    lines = []
    for size in SIZES:
        command = [sys.executable, "-m", "benchmarks", "memory", "--size", str(size)]
        shown = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        lines.append(json.loads(shown.splitlines()[-1]))
        print(lines[-1], flush=True)
    frame = pd.DataFrame(lines)
    frame["above_less_results_mb"] = frame["above_mb"] - frame["results_mb"]
    print(f"written to {save('memory', frame, table=frame.set_index('rows'), about=__doc__.strip())}")
