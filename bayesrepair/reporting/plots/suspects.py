"""Figure of the rows whose label is probably wrong."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pandas as pd
from matplotlib.axes import Axes

from bayesrepair.reporting.plots.style import MUTED, first_rows, label, new_axes, row_axis, row_points, titled
from bayesrepair.reporting.wording import percent, plural

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
    shown = first_rows(suspects.scores, k)
    ax = new_axes(ax, figsize or (7.0, 1.5 + 0.26 * len(shown)))
    row_points(ax, shown, "prob_wrong", classes=suspects.plain.model.outcome.classes or (), truth=truth)
    other = shown["suggested" if "suggested" in shown else "predicted"]
    given = zip(shown.index, shown["given"], other, strict=True)
    row_axis(ax, [f"{label(row)} · {_outcome(value)} → {_outcome(instead)}" for row, value, instead in given])
    ax.set_xlim(-0.02, 1.02)
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
