"""Figures of rankings: rows, groups, how many to remove, and how soon the bad rows are found."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.ticker import PercentFormatter

from bayesrepair.reporting.plots.style import (
    BLUE,
    CYCLE,
    INK,
    MUTED,
    VERMILION,
    class_styles,
    first_rows,
    label,
    legend,
    new_axes,
    quiet,
    row_axis,
    row_points,
    titled,
)
from bayesrepair.reporting.wording import decimals, number, percent, plural
from bayesrepair.status import DataError

if TYPE_CHECKING:
    from bayesrepair.causes import Causes
    from bayesrepair.choice import Choice
    from bayesrepair.group_causes import GroupCauses
    from bayesrepair.set_search import SetSearch

LEGEND_CLASSES = 6


def plot_causes(
    causes: Causes,
    k: int = 20,
    *,
    truth: pd.Series | None = None,
    ax: Axes | None = None,
    figsize: tuple[float, float] | None = None,
) -> Axes:
    """The rows that work hardest against the failures, with the Monte Carlo error of their scores.

    Parameters
    ----------
    causes : Causes
    k : int
        Rows shown.
    truth : Series of bool, optional
        Rows known to be bad, by row id: they get filled markers, the others hollow ones.
    ax : Axes, optional
    figsize : tuple of float, optional
        Inches; ignored where ``ax`` is given.

    Returns
    -------
    Axes
    """
    shown = first_rows(causes.scores, k)
    ax = new_axes(ax, figsize or (7.0, 1.5 + 0.26 * len(shown)))
    # Values of a few classes get a colour; counts and numbers do not.
    is_class = causes.fit.model.outcome.kind == "class"
    names = list(causes.fit.model.outcome.classes or ()) if is_class else []
    row_points(ax, shown, "score", classes=names, truth=truth)
    row_axis(ax, [_row_label(i, g) for i, g in zip(shown.index, shown["given"], strict=True)])
    ax.axvline(0, color=MUTED, linewidth=0.8)
    titled(
        ax,
        _share_carried(causes, len(shown)),
        x=f"cause score (nats; bars: ± 2 MCSE); right = harmful to {whom(causes)}",
    )
    present = {n: style for n, style in class_styles(names).items() if (shown["given"] == n).any()}
    _causes_legend(ax, present, marked=truth is not None)
    return ax


def whom(causes: Causes) -> str:
    """What a positive score works against, in words."""
    return "the failures" if causes.against == "failures" else "the held-out rows"


def _row_label(row: object, given: object) -> str:
    value = number(float(given), 4) if isinstance(given, float | np.floating) else str(given)
    return f"{label(row)} · {label(value)}"


def _share_carried(causes: Causes, k: int) -> str:
    positive = causes.scores["score"].clip(lower=0)
    total = positive.sum()
    if total <= 0:
        return f"No row works against {whom(causes)}"
    share = percent(positive.head(k).sum() / total)
    return f"{plural(k, 'row')} of {len(causes)} carry {share} of all harm to {whom(causes)}"


def _causes_legend(ax: Axes, styles: Mapping[Any, tuple[str, str]], *, marked: bool) -> None:
    handles = []
    if 0 < len(styles) <= LEGEND_CLASSES:
        handles = [
            Line2D([], [], color=colour, marker=marker, linestyle="", label=f"given {label(name)}")
            for name, (colour, marker) in styles.items()
        ]
    if marked:
        handles += [
            Line2D([], [], color=MUTED, marker="o", linestyle="", label="truly bad"),
            Line2D([], [], color=MUTED, marker="o", mfc="white", linestyle="", label="not"),
        ]
    if handles:
        legend(ax, handles=handles, loc="lower right")


def plot_groups(
    groups: GroupCauses, *, ax: Axes | None = None, figsize: tuple[float, float] | None = None, most: int = 30
) -> Axes:
    """Summed cause scores of groups with their 90 % intervals.

    Parameters
    ----------
    groups : GroupCauses
    ax : Axes, optional
    figsize : tuple of float, optional
    most : int
        Groups shown, the most harmful first.

    Returns
    -------
    Axes
    """
    shown = groups.groups.head(most)
    ax = new_axes(ax, figsize or (7.0, 1.6 + 0.3 * len(shown)))
    position = np.arange(len(shown))
    total = shown["sum"].to_numpy()
    clear = shown["low"].to_numpy() > 0
    for i in position:
        colour = VERMILION if clear[i] else MUTED
        ax.plot([shown["low"].iloc[i], shown["high"].iloc[i]], [i, i], color=colour, linewidth=1.6)
        ax.plot(total[i], i, marker="o" if clear[i] else "D", color=colour, markersize=6)
    names = [f"{label(g)} · {plural(int(n), 'row')}" for g, n in zip(shown.index, shown["rows"], strict=True)]
    row_axis(ax, names)
    ax.axvline(0, color=MUTED, linewidth=0.8)
    first = shown.iloc[0]
    finding = (
        f"Most harmful: {label(groups.column)} {label(shown.index[0])} "
        f"(first with probability {first['prob_first']:.2f})"
        if first["low"] > 0
        else f"No {label(groups.column)} is harmful beyond doubt"
    )
    titled(ax, finding, x="sum of cause scores (nats; bars: 90 % intervals); right = harmful")
    return ax


def plot_choice(choice: Choice, *, ax: Axes | None = None, figsize: tuple[float, float] | None = None) -> Axes:
    """What removing more and more rows does to held-out rows, and the size chosen.

    Parameters
    ----------
    choice : Choice
    ax : Axes, optional
    figsize : tuple of float, optional

    Returns
    -------
    Axes
    """
    ax = new_axes(ax, figsize or (7.0, 3.4))
    curve = choice.curve.sort_index()
    size, bad = curve.index.to_numpy(dtype=float), curve["status"].to_numpy() == "unreliable"
    values, errors = curve["gain"].to_numpy(dtype=float), curve["se"].to_numpy(dtype=float)
    gain, se = _gain_curve(ax, size, values, errors, bad, chosen=choice.k, doubt="edit unreliable")
    finding = (
        f"Removing {plural(choice.k, 'row')} is chosen: held-out rows gain {decimals(gain)} ± {decimals(se)} nats each"
        if choice.k
        else "Removing no row is chosen: no size helps the held-out rows beyond doubt"
    )
    titled(ax, finding, x="rows removed, most harmful first", y="gain in log score ± 1 SE\n(nats a row; up = better)")
    return ax


def _gain_curve(
    ax: Axes, size: np.ndarray, gain: np.ndarray, error: np.ndarray, bad: np.ndarray, *, chosen: int, doubt: str
) -> tuple[float, float]:
    """Gains by the number of rows, doubtful ones hollow, the chosen one circled; returns its gain and error."""
    quiet(ax, grid="y")
    ax.axhline(0, color=MUTED, linewidth=0.8)
    ax.errorbar(size, gain, yerr=error, color=BLUE, marker="o", markersize=4.5, linewidth=1.2, capsize=0)
    if bad.any():
        ax.plot(size[bad], gain[bad], "o", mfc="white", mec=BLUE, label=doubt)
        legend(ax, loc="best")
    at = int(np.flatnonzero(size == chosen)[0])
    ax.plot(size[at], gain[at], "o", ms=13, mfc="none", mec=VERMILION, mew=1.8)
    return float(gain[at]), float(error[at])


def plot_search(search: SetSearch, *, ax: Axes | None = None, figsize: tuple[float, float] | None = None) -> Axes:
    """What deleting the best set of each size does to rows that took no part, and the size chosen.

    Parameters
    ----------
    search : SetSearch
    ax : Axes, optional
    figsize : tuple of float, optional

    Returns
    -------
    Axes
    """
    path = search.path
    if path.empty:
        raise DataError("a set to show", "none: no set helps the failures and spares the guard", "Raise tolerance=.")
    ax = new_axes(ax, figsize or (7.0, 3.4))
    size = np.concatenate([[0.0], path.index.to_numpy(dtype=float)])
    values, errors = (np.concatenate([[0.0], path[name].to_numpy(dtype=float)]) for name in ("unseen", "unseen_se"))
    bad = np.concatenate([[False], path["status"].to_numpy() == "unreliable"])
    gain, se = _gain_curve(ax, size, values, errors, bad, chosen=search.size, doubt="score unreliable")
    finding = (
        f"Deleting {plural(search.size, 'row')} together: unseen rows gain {decimals(gain)} ± {decimals(se)} nats each"
        if search.size
        else "No set of rows clearly helps rows that took no part"
    )
    titled(ax, finding, x="rows in the set", y="gain in log score of unseen rows\n± 1 SE (nats a row; up = better)")
    return ax


def plot_detection(
    curves: Mapping[str, pd.DataFrame],
    *,
    chance: float,
    ax: Axes | None = None,
    figsize: tuple[float, float] | None = None,
) -> Axes:
    """Share of the truly bad rows found against the share of rows inspected.

    Parameters
    ----------
    curves : mapping of str to DataFrame
        By the name of the score, as `bayesrepair.evaluation.detection_curve` gives them.
    chance : float
        Share of rows that are truly bad.
    ax : Axes, optional
    figsize : tuple of float, optional

    Returns
    -------
    Axes
    """
    ax = new_axes(ax, figsize or (6.4, 4.0))
    quiet(ax, grid="both")
    lines = ("-", "--", "-.", ":")
    found = {}
    for i, (name, curve) in enumerate(curves.items()):
        inspected = np.concatenate([[0.0], curve["inspected"]])
        share = np.concatenate([[0.0], curve["found"]])
        colour = (BLUE, CYCLE[1], CYCLE[2], CYCLE[3])[i % 4]
        ax.plot(inspected, share, lines[i % 4], color=colour, linewidth=1.8, label=label(name))
        found[name] = float(np.interp(chance, inspected, share))
    ax.plot([0, 1], [0, 1], color=MUTED, linewidth=1, label="chance")
    ax.plot([0, chance, 1], [0, 1, 1], color=INK, linewidth=0.8, linestyle=(0, (1, 2)), label="perfect")
    for axis in (ax.xaxis, ax.yaxis):
        axis.set_major_formatter(PercentFormatter(1.0))
    legend(ax, loc="upper left", bbox_to_anchor=(1.01, 1.0))
    best = max(found, key=lambda name: found[name])
    titled(
        ax,
        f"Inspecting {percent(chance)} of the rows by {best} finds {percent(found[best])} of the bad ones "
        f"(chance: {percent(chance)})",
        x="rows inspected, most suspicious first",
        y="truly bad rows found; up = better",
    )
    return ax
