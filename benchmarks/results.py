"""Results of a benchmark: a tidy CSV and a Markdown table that say on what they were measured."""

from __future__ import annotations

import os
import platform
from importlib.metadata import version
from pathlib import Path

import pandas as pd

FOLDER = Path(__file__).parent / "results"
PACKAGES = ("bayesrepair", "pymc", "nutpie", "pytensor", "arviz-stats", "numpy", "scikit-learn")


def machine() -> str:
    """Machine and versions in one line."""
    versions = ", ".join(f"{name} {version(name)}" for name in PACKAGES)
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return f"{platform.system()} {platform.machine()}, {cores} cores, Python {platform.python_version()}; {versions}"


def save(name: str, frame: pd.DataFrame, *, table: pd.DataFrame, about: str) -> Path:
    """Write ``results/NAME.csv`` (tidy, every run) and ``results/NAME.md`` (the table to read)."""
    FOLDER.mkdir(exist_ok=True)
    frame.to_csv(FOLDER / f"{name}.csv", index=False, float_format="%.6g")
    path = FOLDER / f"{name}.md"
    path.write_text(f"# {name}\n\n{about}\n\n{markdown(table)}\n\n{machine()}\n", encoding="utf-8")
    return path


def markdown(frame: pd.DataFrame, digits: int = 3) -> str:
    """A frame as a Markdown table, its index as the first columns."""
    flat = frame.reset_index()
    lines = ["| " + " | ".join(map(str, flat.columns)) + " |", "|" + "---|" * flat.shape[1]]
    for record in flat.itertuples(index=False):
        lines.append("| " + " | ".join(_cell(value, digits) for value in record) + " |")
    return "\n".join(lines)


def _cell(value: object, digits: int) -> str:
    return f"{value:.{digits}g}" if isinstance(value, float) else str(value)
