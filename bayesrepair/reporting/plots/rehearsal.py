"""Figure of what ``prob_wrong`` is worth, from a rehearsal."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from matplotlib.axes import Axes

from bayesrepair.reporting.plots.style import BLUE, MUTED, legend, new_axes, titled

if TYPE_CHECKING:
    from bayesrepair.rehearsal import Rehearsal


def plot_rehearsal(rehearsal: Rehearsal, *, ax: Axes | None = None, figsize: tuple[float, float] | None = None) -> Axes:
    """Share of planted errors among rows of a given ``prob_wrong``, with 90 % intervals over runs.

    Parameters
    ----------
    rehearsal : Rehearsal
    ax : Axes, optional
    figsize : tuple of float, optional
        Inches; ignored where ``ax`` is given.

    Returns
    -------
    Axes
    """
    bins = rehearsal.reliability
    ax = new_axes(ax, figsize or (5.6, 4.6))
    ax.plot([0, 1], [0, 1], color=MUTED, linewidth=0.9, label="probabilities that can be believed")
    claimed, true = bins["claimed"].to_numpy(), bins["true"].to_numpy()
    error = np.stack([true - bins["low"].to_numpy(), bins["high"].to_numpy() - true])
    label = "runs of the rehearsal (90 % interval)"
    ax.errorbar(claimed, true, yerr=error, fmt="o", color=BLUE, ms=5.5, capsize=2.5, label=label)
    for x, y, rows in zip(claimed, true, bins["rows"], strict=True):
        ax.annotate(f"{rows}", (x, y), xytext=(6, -10), textcoords="offset points", fontsize=7.5, color=MUTED)
    ax.set_xlim(-0.03, 1.03)
    ax.set_ylim(-0.03, 1.05)
    legend(ax, loc="best")
    if rehearsal.noise:
        promised, came = rehearsal.expected("claimed").mean, rehearsal.expected("precision").mean
        finding = f"prob_wrong promises {promised:.0%} wrong among the removed rows; {came:.0%} were"
    else:
        finding = f"Where nothing is wrong, {rehearsal.expected('flagged').mean:.1f} rows a run get above one half"
    titled(ax, finding, x="prob_wrong (right = suspicious)", y="share with a planted error (rows beside the points)")
    return ax
