"""Where the seconds of ``bayesrepair demo`` go, with empty and with filled caches of compiled code; and of imports.

CPU seconds of all threads, exclusive: what is spent inside another line counts there alone. Every run is a process of
its own, of which the first finds PyTensor's and numba's caches empty. Of imports the least of some runs is given.
``--checkout FOLDER`` measures another version of the library in the same environment ("before"), such as the first
that had the command: ``git worktree add FOLDER 36cca05``; its lines are kept until it is measured again. Wall times are
given too, and hang on what else the machine does.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pandas as pd

from benchmarks.results import FOLDER, save
from benchmarks.startup_spans import COMPILED, GRAPHS, KERNELS

HERE = Path(__file__).parent
IMPORTS = {
    "import pymc": "import pymc",
    "import bayesrepair": "import bayesrepair",
    "from bayesrepair import from_pymc": "from bayesrepair import from_pymc",
}
REPEATS = 5
CPU = "; import resource as r; u = r.getrusage(r.RUSAGE_SELF); print(u.ru_utime + u.ru_stime)"
RUN = "import runpy; runpy.run_path({!r}, run_name='__main__')"


def process(code: str, *arguments: str, checkout: Path, **variables: str) -> str:
    """What a fresh Python process prints that finds the library in a checkout."""
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments],
        cwd=checkout, env={**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", **variables},
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    return done.stdout


def imports(checkout: Path) -> dict[str, float]:
    """CPU seconds of a process that does nothing but import."""
    return {
        name: min(float(process(code + CPU, checkout=checkout)) for _ in range(REPEATS))
        for name, code in IMPORTS.items()
    }


def demo(checkout: Path, folder: Path) -> tuple[dict[str, float], float]:
    """CPU seconds of each part of a run, and its wall seconds."""
    started = time.perf_counter()
    found = folder / "seconds.json"
    process(
        RUN.format(str(HERE / "startup_spans.py")), str(folder / "out"), str(found), checkout=checkout,
        PYTENSOR_FLAGS=f"base_compiledir={folder / 'pytensor'}", NUMBA_CACHE_DIR=str(folder / "numba"),
    )  # fmt: skip
    return json.loads(found.read_text()), time.perf_counter() - started


def measured(version: str, checkout: Path) -> list[dict]:
    """Lines of one version of the library."""
    lines = [{"version": version, "cache": "", "part": name, "cpu": s} for name, s in imports(checkout).items()]
    with tempfile.TemporaryDirectory() as name:
        for cache in ("empty", "filled"):
            spent, wall = demo(checkout, Path(name))
            spent["compilation, all of it"] = sum(spent.get(part, 0.0) for part in (GRAPHS, COMPILED, KERNELS))
            spent["all"] = sum(spent.values()) - spent["compilation, all of it"]
            lines += [{"version": version, "cache": cache, "part": part, "cpu": s} for part, s in spent.items()]
            lines.append({"version": version, "cache": cache, "part": "wall", "cpu": wall})
    return lines


def main(arguments: list[str]) -> None:
    """Measure this version, and another where one is given."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks startup")
    parser.add_argument("--checkout", type=Path, help="folder of another version, to measure beside this one")
    asked = parser.parse_args(arguments)
    versions = {"now": HERE.parent} | ({} if asked.checkout is None else {"before": asked.checkout.resolve()})
    frame = pd.DataFrame([line for version, checkout in versions.items() for line in measured(version, checkout)])
    earlier = FOLDER / "startup.csv"
    if earlier.exists():
        kept = pd.read_csv(earlier, keep_default_na=False)
        frame = pd.concat([frame, kept[~kept["version"].isin(versions)]], ignore_index=True)
    table = frame.assign(column=frame["version"] + ", " + frame["cache"].replace("", "import"))
    table = table.pivot_table(index="part", columns="column", values="cpu", sort=False).round(2)
    path = save("startup", frame, table=table.astype(object).where(table.notna(), ""), about=__doc__ or "")
    print(path.read_text(encoding="utf-8"))
