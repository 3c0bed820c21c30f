"""Figure of the rows whose label is probably wrong."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from bayesrepair.reporting.plots.style import BLUE, MUTED, class_styles, label, new_axes, titled
from bayesrepair.reporting.wording import percent, plural
from bayesrepair.status import DataError

if TYPE_CHECKING:
    from bayesrepair.suspects import Suspects


def plot_suspects(
    suspects: Suspects,
    k: int = 20,
    *,
    truth: pd.Series | None = None,
    ax: Axes | None = None,
    figsize: tuple[float, float] | None = None,
) -> Axes:
    """The most suspicious rows, with the Monte Carlo error of their probability, coloured by the given class.

    Parameters
    ----------
    suspects : Suspects
    k : int
        Rows shown.
    truth : Series of bool, optional
        Rows known to be wrong, by row id: they get filled markers, the others hollow ones.
    ax : Axes, optional
    figsize : tuple of float, optional
        Inches; ignored where ``ax`` is given.

    Returns
    -------
    Axes
    """
    shown = suspects.scores.head(k)
    if shown.empty:
        raise DataError("at least one row to show", f"k={k}", "Pass k=20, say.")
    ax = new_axes(ax, figsize or (7.0, 1.5 + 0.26 * len(shown)))
    styles = class_styles(list(suspects.plain.model.outcome.classes or ()))
    bad = None if truth is None else truth.reindex(shown.index).fillna(False).to_numpy(dtype=bool)
    other = "suggested" if "suggested" in shown else "predicted"
    names = []
    for i, (row, line) in enumerate(shown.iterrows()):
        colour, marker = styles.get(line["given"], (BLUE, "o"))
        face = colour if bad is None or bad[i] else "white"
        error = 2 * line["mcse"]
        ax.errorbar(line["prob_wrong"], i, xerr=error, fmt=marker, color=colour, mfc=face, mec=colour, ms=5.5)
        names.append(f"{label(row)} · {_outcome(line['given'])} → {_outcome(line[other])}")
    ax.set_yticks(np.arange(len(shown)), names)
    ax.set_ylim(len(shown) - 0.4, -0.6)
    ax.set_xlim(-0.02, 1.02)
    ax.tick_params(axis="y", length=0)
    ax.axvline(0.5, color=MUTED, linewidth=0.8)
    expected = suspects.expected_precision(len(shown))
    finding = (
        f"Of the first {plural(len(shown), 'row')}, {percent(expected.mean)} are expected to be wrong "
        f"({percent(expected.low)} to {percent(expected.high)})"
    )
    titled(ax, finding, x="probability that the outcome is wrong (bars: ± 2 MCSE); right = suspicious")
    return ax


def _outcome(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else label(value)
