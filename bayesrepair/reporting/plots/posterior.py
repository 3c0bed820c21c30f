"""Marginals of the parameters before and after an edit."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from bayesrepair.reporting.parameters import both_sides, changes
from bayesrepair.reporting.plots.style import AFTER, BEFORE, INK, MUTED, plain
from bayesrepair.reporting.wording import decimals

if TYPE_CHECKING:
    from bayesrepair.edit import Edited

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
