"""Figure of causes and suspects joined."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from matplotlib.axes import Axes

from bayesrepair.reporting.plots.style import BLUE, MUTED, VERMILION, first_rows, label, legend, new_axes, titled

if TYPE_CHECKING:
    from bayesrepair.fusion import Joined

NAMED = 5


def plot_joined(
    joined: Joined, k: int = 20, *, ax: Axes | None = None, figsize: tuple[float, float] | None = None
) -> Axes:
    """Cause score against ``prob_wrong``; the first ``k`` rows of the joined list are filled.

    Parameters
    ----------
    joined : Joined
    k : int
    ax : Axes, optional
    figsize : tuple of float, optional
        Inches; ignored where ``ax`` is given.

    Returns
    -------
    Axes
    """
    first = first_rows(joined.scores, k)
    k, rest = len(first), joined.scores.iloc[len(first) :]
    ax = new_axes(ax, figsize or (5.6, 4.6))
    ax.scatter(rest["score"], rest["prob_wrong"], s=16, facecolors="none", edgecolors=BLUE, linewidths=0.8)
    ax.scatter(first["score"], first["prob_wrong"], s=22, color=VERMILION, label=f"first {k} of the joined list")
    for row, line in first.head(NAMED).iterrows():
        at = (line["score"], line["prob_wrong"])
        ax.annotate(label(row), at, xytext=(5, 3), textcoords="offset points", fontsize=7.5, color=MUTED)
    ax.axvline(0.0, color=MUTED, linewidth=0.8)
    ax.set_ylim(-0.03, 1.05)
    legend(ax, loc="upper left")
    both = int(np.sum((first["score"] > 0) & (first["prob_wrong"] > 0.5)))
    finding = f"{both} of the first {k} rows work against the failures and are more likely wrong than right"
    titled(ax, finding, x="cause score (right = harmful)", y="prob_wrong (up = suspicious)")
    return ax
