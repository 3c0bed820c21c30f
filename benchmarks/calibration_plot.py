"""The picture of the calibration benchmark: empirical distribution functions of ranks, with simultaneous bands."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from bayesrepair.reporting.plots.style import BLUE, INK, MUTED, RULE, VERMILION, quiet
from benchmarks import uniformity

EDITS = {
    "delete random": "random rows deleted\n(both must be right)",
    "delete foreign": "foreign rows deleted",
    "insert": "rows inserted",
}
_SHOWN = {"delete random": 0.14, "delete foreign": 0.75, "insert": 0.35}  # half the height of a row of panels


def plot(frame: pd.DataFrame, models: Sequence[str], path: Path) -> None:
    """Every quantity after ``auto`` (blue) and after no edit at all (red): a row an edit, a column a model."""
    figure = Figure(figsize=(2.9 * len(models), 6.6))
    axes = figure.subplots(len(EDITS), len(models), sharex=True, sharey="row", squeeze=False)
    for line, (edit, heading) in zip(axes, EDITS.items(), strict=True):
        for ax, model in zip(line, models, strict=True):
            before, after = (_pits(frame, edit, model, editor) for editor in ("nothing", "auto"))
            size = after.shape[1]
            ax.fill_between(np.linspace(0, 1, size + 1), *uniformity.band(size), color=RULE, linewidth=0)
            for values, colour in ((before, VERMILION), (after, BLUE)):
                for quantity in values:
                    ax.plot(*uniformity.ecdf_difference(quantity), color=colour, linewidth=0.9, alpha=0.8)
            quiet(ax, grid="y")
            ax.set_xlim(0, 1)
            ax.set_ylim(-_SHOWN[edit], _SHOWN[edit])
            ax.set_xticks([0, 0.5, 1], ["0", "½", "1"])
        line[0].set_ylabel(heading, fontsize=10, color=INK)
    for ax, model in zip(axes[0], models, strict=True):
        ax.set_title(model, fontsize=10.5, color=INK)
    _finish(figure, path, size)


def _pits(frame: pd.DataFrame, edit: str, model: str, editor: str) -> np.ndarray:
    """Ranks of every quantity on (0, 1), shape (Q, simulations)."""
    at = (frame["edit"] == edit) & (frame["model"] == model) & (frame["editor"] == editor)
    return uniformity.pit(np.stack(list(frame.loc[at, "ranks"])), np.random.default_rng(0)).T


def _finish(figure: Figure, path: Path, size: int) -> None:
    """Headings, legend, margins; written to a file."""
    figure.subplots_adjust(left=0.08, right=0.985, top=0.83, bottom=0.095, wspace=0.08, hspace=0.2)
    headline = "Edited posteriors are calibrated; posteriors that should have been edited are not"
    figure.text(0.02, 0.955, headline, fontsize=14, fontweight="bold", color=INK)
    x = 0.02
    for text, colour, width in (
        ("blue: after br.edit, a line each parameter and prediction", BLUE, 0.36),
        ("red: the posterior left as it was", VERMILION, 0.215),
        (f"grey: 99 % simultaneous band, {size} simulations", MUTED, 0.3),
    ):
        figure.text(x, 0.905, text, fontsize=10, color=colour)
        x += width
    text = "across: rank of the true value among the draws, 0 to 1; up: share of simulations below it, minus that rank"
    figure.supxlabel(text, fontsize=10, color=INK)
    path.parent.mkdir(exist_ok=True)
    figure.savefig(path, dpi=160)
