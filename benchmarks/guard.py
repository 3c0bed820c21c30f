"""What got slower: ratios of a run against those of the last committed table.

Ratios, not seconds: both sides of each were measured in one run, so that another machine, or a busier one, moves them
little. ``python -m benchmarks guard`` reads what lies in ``benchmarks/results`` now; benchmarks of speed call it after
they have written their table.
"""

from __future__ import annotations

import argparse
import io
import subprocess
from dataclasses import dataclass

import pandas as pd

from benchmarks.results import FOLDER


@dataclass(frozen=True)
class Guarded:
    """A table whose ratios are watched.

    Parameters
    ----------
    keys : tuple of str
        Columns that name a line.
    faster : tuple of str
        Ratios that are better when they are higher.
    slower : tuple of str
        Ratios that are worse when they are higher.
    tolerance : float
        Relative change that is noise.
    """

    keys: tuple[str, ...]
    faster: tuple[str, ...] = ()
    slower: tuple[str, ...] = ()
    tolerance: float = 0.15


TABLES = {
    "scoring": Guarded(("likelihood", "reduction"), faster=("share", "over_pymc", "general_over_pymc")),
    "editing": Guarded(("model", "rung"), slower=("cost",), tolerance=0.25),
}


def committed(name: str) -> pd.DataFrame | None:
    """The table of the last commit, or None where there is none."""
    path = f"HEAD:benchmarks/results/{name}.csv"
    found = subprocess.run(["git", "show", path], capture_output=True, text=True, check=False, cwd=FOLDER.parent)
    return pd.read_csv(io.StringIO(found.stdout)) if found.returncode == 0 else None


def worse(now: pd.DataFrame, before: pd.DataFrame, guarded: Guarded) -> list[str]:
    """A line for each ratio that got worse by more than the tolerance, the worst first.

    Where a name has several lines, their medians are compared.
    """
    keys = list(guarded.keys)
    columns = [c for c in (*guarded.faster, *guarded.slower) if c in now and c in before]
    both = [frame.groupby(keys)[columns].median() for frame in (now, before)]
    old = both[1].reindex(both[0].index)
    found = []
    for column in columns:
        gain = both[0][column] / old[column] if column in guarded.faster else old[column] / both[0][column]
        for line in gain.index[gain < 1 / (1 + guarded.tolerance)]:
            name = ", ".join(map(str, line if isinstance(line, tuple) else (line,)))
            told = f"{name}: {column} {old.loc[line, column]:.3g} → {both[0].loc[line, column]:.3g}"
            found.append((float(gain[line]), told))
    return [told for _, told in sorted(found)]


def guard(name: str, now: pd.DataFrame) -> None:
    """Print what got slower since the last commit."""
    before = committed(name)
    if before is None:
        print(f"{name}: no table is committed to compare with")
        return
    found = worse(now, before, TABLES[name])
    print(f"{name}: {len(found)} ratios worse than in the last commit" + "".join(f"\n  {line}" for line in found))


def main(argv: list[str]) -> None:
    """Compare every table that is watched."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks guard", description=__doc__.splitlines()[0])
    parser.add_argument("tables", nargs="*", metavar="TABLE", help="by default all")
    for name in parser.parse_args(argv).tables or TABLES:
        guard(name, pd.read_csv(FOLDER / f"{name}.csv"))
