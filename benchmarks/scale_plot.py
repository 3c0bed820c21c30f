"""The picture of the scale benchmark: seconds and memory against the number of rows."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from bayesrepair.reporting.plots.style import BLUE, INK, MUTED, VERMILION, quiet

_COLOURS = {"memory": VERMILION, "parquet": BLUE}
_NAMES = {"memory": "rows in memory", "parquet": "rows in a Parquet file"}


def plot(frame: pd.DataFrame, path: Path) -> None:
    """Time (left) and peak memory above the data (right), both axes logarithmic."""
    figure = Figure(figsize=(9.6, 4.4))
    left, right = figure.subplots(1, 2)
    for source, part in frame.groupby("source"):
        colour = _COLOURS[str(source)]
        left.plot(part["rows"], part["cpu_seconds"], "o-", color=colour, label=_NAMES[str(source)])
        right.plot(part["rows"], part["above_mb"], "o-", color=colour)
    largest = frame.loc[frame["rows"].idxmax()]
    span = np.array([frame["rows"].min(), frame["rows"].max()])
    left.plot(span, largest["cpu_seconds"] * span / largest["rows"], ":", color=MUTED, label="linear in the rows")
    right.plot(span, frame["draws_x_rows_mb"].max() * span / span[1], ":", color=MUTED, label="draws × rows in float64")
    right.axhline(1000, color=INK, linewidth=0.8)
    right.annotate("1 GB", (span[0], 1000), textcoords="offset points", xytext=(2, 4), color=INK, fontsize=9)
    for ax, label in ((left, "CPU seconds"), (right, "MB above the data, at the peak")):
        ax.set_xscale("log")
        ax.set_yscale("log")
        ax.set_xlabel("rows × 2000 draws", color=INK)
        ax.set_ylabel(label, color=INK)
        ax.legend(frameon=False, fontsize=9)
        quiet(ax, grid="y")
    right.set_ylim(top=max(3000.0, 2 * float(frame["above_mb"].max())))
    figure.suptitle("Scoring is linear in the rows, and holds no draws × rows", fontweight="bold", color=INK)
    figure.tight_layout()
    figure.savefig(path, dpi=150)
