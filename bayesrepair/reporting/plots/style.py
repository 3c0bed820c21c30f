"""What all figures share: colours that colour-blind readers can tell apart, quiet axes, text taken literally."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from bayesrepair.status import DataError

INK = "#1f2933"
MUTED = "#6b7785"
RULE = "#d5dae0"
# Okabe and Ito's palette, without the yellow that vanishes on white.
BLUE, VERMILION, GREEN, ORANGE, PURPLE, SKY = "#0072B2", "#D55E00", "#009E73", "#E69F00", "#CC79A7", "#56B4E9"
CYCLE = (BLUE, ORANGE, GREEN, PURPLE, SKY, VERMILION)
MARKERS = ("o", "s", "^", "D", "v", "P")
BEFORE, AFTER = "#8a94a0", BLUE
FAILED, HANDLED = VERMILION, "#7ba7c7"

LONGEST_LABEL = 34
CHARACTERS_AN_INCH = 11.0  # of a title, at the size used here


def new_axes(ax: Axes | None, figsize: tuple[float, float]) -> Axes:
    """The axes handed in, or fresh ones that a notebook will show; quiet spines and grid either way."""
    if ax is None:
        # pyplot registers the figure, so that notebooks and plt.show() display it.
        from matplotlib import pyplot

        _, ax = pyplot.subplots(figsize=figsize, layout="constrained")
    quiet(ax)
    return ax


def quiet(ax: Axes, *, grid: str = "x") -> None:
    """Keep two thin spines and a light grid along ``grid``."""
    for side in ("top", "right"):
        ax.spines[side].set_visible(False)
    for side in ("left", "bottom"):
        ax.spines[side].set_color(RULE)
    ax.tick_params(colors=MUTED, labelcolor=INK, labelsize=8.5, length=3)
    ax.grid(visible=False)
    ax.grid(visible=True, axis=grid, color=RULE, linewidth=0.6, alpha=0.7)  # type: ignore[arg-type]
    ax.set_axisbelow(True)


def titled(ax: Axes, finding: str, *, x: str, y: str = "") -> None:
    """A title that says what was found, and axis labels that say which way is bad."""
    figure = ax.get_figure(root=True)
    inches = 6.0 if figure is None else figure.get_size_inches()[0] * ax.get_position().width
    wrapped = textwrap.fill(finding, max(30, int(CHARACTERS_AN_INCH * inches)))
    ax.set_title(plain(wrapped), loc="left", fontsize=10.5, fontweight="bold", color=INK, pad=10)
    ax.set_xlabel(plain(x), fontsize=9, color=INK)
    ax.set_ylabel(plain(y), fontsize=9, color=INK)


def label(value: Any) -> str:
    """A row id, class or group as the user knows it, on one short line."""
    text = " ".join(str(value).split())
    text = text if len(text) <= LONGEST_LABEL else f"{text[: LONGEST_LABEL - 1]}…"
    return plain(text)


def plain(text: str) -> str:
    r"""Text without mathematics: a dollar sign in a column name is a dollar sign.

    Examples
    --------
    >>> print(plain("price in $"))
    price in \$
    """
    return text.replace("$", r"\$")


def legend(ax: Axes, **kwargs: Any) -> None:
    """A small frameless legend."""
    ax.legend(frameon=False, fontsize=8.5, labelcolor=INK, handletextpad=0.4, **kwargs)


def class_styles(names: list[Any]) -> dict[Any, tuple[str, str]]:
    """A colour and a marker for each class; grey dots where there are more classes than both can tell apart."""
    if len(names) > len(CYCLE):
        return dict.fromkeys(names, (BLUE, "o"))
    return dict(zip(names, zip(CYCLE, MARKERS, strict=True), strict=False))


def first_rows(ranking: pd.DataFrame, k: int) -> pd.DataFrame:
    """The first ``k`` lines of a ranking, or all where it has fewer.

    Raises
    ------
    DataError
        If that leaves none to show.
    """
    shown = ranking.head(max(k, 0))
    if shown.empty:
        raise DataError("at least one row to show", f"k={k}", "Pass k=20, say.")
    return shown


def row_points(ax: Axes, shown: pd.DataFrame, score: str, *, classes: Sequence[Any], truth: pd.Series | None) -> None:
    """One point a row from top to bottom, with bars of two Monte Carlo errors, coloured by the given class.

    Where the truth is known, the points of right rows are hollow.
    """
    styles = class_styles(list(classes))
    bad = None if truth is None else truth.reindex(shown.index).fillna(False).to_numpy(dtype=bool)
    for i, (given, value, mcse) in enumerate(zip(shown["given"], shown[score], shown["mcse"], strict=True)):
        colour, marker = styles.get(given, (BLUE, "o"))
        face = colour if bad is None or bad[i] else "white"
        ax.errorbar(value, i, xerr=2 * mcse, fmt=marker, color=colour, mfc=face, mec=colour, ms=5.5, elinewidth=1.2)


def row_axis(ax: Axes, names: Sequence[str]) -> None:
    """A named line for each row, the first at the top."""
    ax.set_yticks(np.arange(len(names)), names)
    ax.set_ylim(len(names) - 0.4, -0.6)
    ax.tick_params(axis="y", length=0)
