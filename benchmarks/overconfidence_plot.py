"""The picture of the overconfidence benchmark."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bayesrepair.reporting.plots.style import BLUE, GREEN, INK, MUTED, ORANGE, RULE, VERMILION, legend, quiet

_LOOKS = {  # label, colour, marker, size of the marker
    "before": ("all rows", MUTED, "o", 60),
    "random": ("20 random rows deleted", GREEN, "s", 45),
    "worst": ("20 worst deleted, br.edit", VERMILION, "^", 55),
    "worst, refit": ("20 worst deleted, refit", ORANGE, "o", 45),
    "worst, rehearsed": ("… and moved back by a rehearsal", BLUE, "D", 45),
}
BINS = 10
_APART = 0.13  # of two cases of a model, in rows of the figure


def plot(frame: pd.DataFrame, table: pd.DataFrame, path: Path) -> None:
    """Left: how often 90 % intervals cover. Right: where the true σ lies in its posterior, 919 normal rows."""
    figure = Figure(figsize=(12.5, 5.4))
    left, right = figure.subplots(1, 2, width_ratios=[1.15, 1])
    _coverage(left, table)
    _positions(right, frame)
    figure.subplots_adjust(left=0.115, right=0.985, top=0.73, bottom=0.11, wspace=0.12)
    figure.text(0.02, 0.93, "Deleting the worst rows of clean data makes a posterior too sure", **_HEADLINE)
    text = "by an edit and by a refit alike: it is the choice of rows that they cannot know of"
    figure.text(0.02, 0.875, text, fontsize=11, color=INK)
    path.parent.mkdir(exist_ok=True)
    figure.savefig(path, dpi=160)


_HEADLINE = {"fontsize": 15, "fontweight": "bold", "color": INK}


def _coverage(ax: Axes, table: pd.DataFrame) -> None:
    models = list(dict.fromkeys(table.index.get_level_values("model")))
    for k, (case, (label, colour, marker, size)) in enumerate(_LOOKS.items()):
        shares = table.xs(case, level="case").loc[models, "its 90 %"].to_numpy(dtype=float)
        at = np.arange(len(models)) + _APART * (k - (len(_LOOKS) - 1) / 2)
        ax.scatter(shares, at, label=label, color=colour, marker=marker, s=size, zorder=3)
    ax.axvline(0.9, color=INK, linewidth=1.0)
    names = table.groupby(level="model")["hit hardest"].first()
    ax.set_yticks(np.arange(len(models)), [f"{model}\n{_name(names[model])}" for model in models])
    ax.set_ylim(len(models) - 0.5, -0.5)
    ax.set_xlim(-0.03, 1.03)
    ax.set_xticks(np.linspace(0, 1, 6), [f"{share:.0%}" for share in np.linspace(0, 1, 6)])
    quiet(ax)
    ax.set_xlabel("how often the 90 % interval covers the truth (line: 90 %)", fontsize=10, color=INK)
    legend(ax, loc="lower left", bbox_to_anchor=(-0.12, 1.0), ncols=2)


def _name(parameter: str) -> str:
    return {"log_variance": "σ", "mu": "mean, σ known"}.get(parameter, parameter)


def _positions(ax: Axes, frame: pd.DataFrame) -> None:
    at = np.linspace(0, 1, BINS + 1)
    for case in ("before", "worst", "worst, rehearsed"):
        cell = frame[(frame["model"] == "919 normal rows") & (frame["case"] == case)]
        below = np.stack(list(cell["below"]))[:, -1]
        share = np.histogram(below, at)[0] / len(below)
        label, colour, *_ = _LOOKS[case]
        ax.stairs(share, at, color=colour, linewidth=1.8, label=label, fill=case == "worst", alpha=0.9)
    ax.axhline(1 / BINS, color=RULE, linewidth=1.2)
    ax.set_xlim(0, 1)
    ax.set_xticks([0, 0.25, 0.5, 0.75, 1.0], ["0", "¼", "½", "¾", "1"])
    ax.yaxis.set_major_formatter(lambda share, _: f"{share:.0%}")
    quiet(ax, grid="y")
    ax.set_xlabel("share of the draws of σ below the true σ, 919 normal rows", fontsize=10, color=INK)
    ax.set_title("share of simulations (grey line: what it should be)", fontsize=10, color=INK, loc="left")
    legend(ax, loc="upper left")
