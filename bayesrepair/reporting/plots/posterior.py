"""What an edit did to the posterior: marginals before and after, and its distance from refits."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr
from matplotlib.axes import Axes

from bayesrepair.reporting.parameters import both_sides, changes
from bayesrepair.reporting.plots.style import (
    AFTER,
    BEFORE,
    BLUE,
    INK,
    MUTED,
    VERMILION,
    legend,
    new_axes,
    plain,
    titled,
)
from bayesrepair.reporting.wording import decimals

if TYPE_CHECKING:
    from bayesrepair.edit import Edited
    from bayesrepair.verification import Verification

MOST = 9
COLUMNS = 3


def plot_edit(
    edited: Edited,
    *,
    var_names: Sequence[str] | None = None,
    figsize: tuple[float, float] | None = None,
    most: int = MOST,
) -> Any:
    """Marginals before and after the edit: the parameters whose means move most, one plot each.

    Parameters
    ----------
    edited : Edited
    var_names : sequence of str, optional
        Variables to show, as ArviZ names them; by default all compete for the ``most`` places.
    figsize : tuple of float, optional
    most : int
        Scalar parameters shown.

    Returns
    -------
    arviz_plots.PlotCollection
        On the matplotlib backend; ``.viz`` holds figure, axes and lines.
    """
    before, after, _ = both_sides(edited, var_names=var_names)
    shift = changes(before, after)["shift"].head(most)
    titles = {name: f"{name}: {decimals(value, 2, sign=True)} sd" for name, value in shift.items()}
    size = min(before.sizes["chain"] * before.sizes["draw"], after.sizes["chain"] * after.sizes["draw"])
    return _marginals(_pooled(before, titles, size), _pooled(after, titles, size), figsize)


def _pooled(posterior: xr.Dataset, titles: dict[Any, str], size: int) -> xr.Dataset:
    """Draws of one chain under their titles: both sides must be equally long to be drawn together."""
    pooled = {}
    for name, title in titles.items():
        values = posterior[name].to_numpy().reshape(-1)
        some = np.linspace(0, len(values) - 1, size).round().astype(int)
        pooled[plain(title)] = (("chain", "draw"), values[some][None])
    return xr.Dataset(pooled)


def _marginals(before: xr.Dataset, after: xr.Dataset, figsize: tuple[float, float] | None) -> Any:
    # arviz-plots takes most of a second to import, and brings pyplot.
    from arviz_plots import plot_dist

    count = len(before.data_vars)
    columns = min(COLUMNS, count)
    lines = int(np.ceil(count / columns))
    trees = {name: xr.DataTree.from_dict({"posterior": side}) for name, side in (("before", before), ("after", after))}
    plots = plot_dist(
        trees,
        kind="kde",
        backend="matplotlib",
        col_wrap=columns,
        color=[BEFORE, AFTER],
        visuals={
            "point_estimate_text": False,
            "title": {"color": INK, "size": 9.5},
            "dist": {"width": 1.8},
            "credible_interval": {"width": 2.2},
        },
        figure_kwargs={"figsize": figsize or (2.9 * columns, 1.75 * lines + 0.6), "layout": "constrained"},
    )
    for axes in plots.viz["plot"].data_vars.values():
        axes.item().tick_params(labelsize=8, labelcolor=INK, colors=MUTED)
    plots.viz["figure"].item().get_layout_engine().set(hspace=0.06, h_pad=0.08)
    plots.add_legend("model", title="", loc="outside upper right", ncols=2, frameon=False)
    return plots


def plot_verification(
    verification: Verification, *, ax: Axes | None = None, figsize: tuple[float, float] | None = None
) -> Axes:
    """Distance of an edited posterior from refits, in units of the distance between refits.

    Parameters
    ----------
    verification : Verification
    ax : Axes, optional
    figsize : tuple of float, optional

    Returns
    -------
    Axes
        A line a metric: the ratio with its range over the refits, and the largest ratio that passes (twice the
        noise, or the limit below which a distance does not matter).
    """
    shown = verification.distances
    ax = new_axes(ax, figsize or (7.0, 1.5 + 0.4 * len(shown)))
    noise = np.maximum(shown["refit_noise"].to_numpy(), 1e-12)
    allowed = np.maximum(2.0, shown["limit"].to_numpy() / noise)
    ratio, low, high = (shown[name].to_numpy() for name in ("ratio", "low", "high"))
    for i in range(len(shown)):
        passed = ratio[i] <= allowed[i]
        colour = BLUE if passed else VERMILION
        ax.plot([low[i], high[i]], [i, i], color=colour, linewidth=1.6)
        ax.plot(ratio[i], i, marker="o" if passed else "X", color=colour, markersize=6.5)
    ax.plot(allowed, np.arange(len(shown)), "|", color=INK, ms=14, mew=1.6, linestyle="", label="largest that passes")
    ax.axvline(1, color=MUTED, linewidth=0.8, linestyle=(0, (4, 3)), label="another refit")
    ax.set_xlim(left=0)
    ax.set_yticks(np.arange(len(shown)), [plain(str(name)) for name in shown.index])
    ax.set_ylim(len(shown) - 0.4, -0.6)
    legend(ax, loc="upper left", bbox_to_anchor=(1.01, 1.0))
    x = "distance to refits / distance between refits (bars: range over refits); right = worse"
    titled(ax, f"{verification.verdict[0].upper()}{verification.verdict[1:]}", x=x)
    return ax
