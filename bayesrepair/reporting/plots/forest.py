"""Intervals before and after an edit: the parameters and the predictions that move most."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from bayesrepair.fit import Fit
from bayesrepair.reporting.parameters import both_sides, changes, pooled_refits, scalar_draws
from bayesrepair.reporting.plots.posterior import COLOURS, finished, headline, treatment
from bayesrepair.reporting.plots.style import INK, label, plain
from bayesrepair.reporting.wording import decimals
from bayesrepair.rows import Rows

if TYPE_CHECKING:
    from bayesrepair.edit import Edited

MOST = 15


def plot_forest(
    edited: Edited,
    *,
    var_names: Sequence[str] | None = None,
    figsize: tuple[float, float] | None = None,
    most: int = MOST,
    backend: str = "matplotlib",
) -> Any:
    """Intervals of the parameters that move most, in posterior sds around the mean before the edit.

    Parameters
    ----------
    edited : Edited
        Where it was verified, its refits are drawn too.
    var_names : sequence of str, optional
        Variables to show, as ArviZ names them; by default all compete for the ``most`` places.
    figsize : tuple of float, optional
        Inches.
    most : int
        Scalar parameters shown.
    backend : str
        Of arviz-plots.

    Returns
    -------
    arviz_plots.PlotCollection
    """
    before, after, _ = both_sides(edited, var_names=var_names)
    moved = changes(before, after)
    moved = moved[moved["sd_before"] > 0].head(most)
    sides = {"before": before, "after": after}
    refits = pooled_refits(edited)
    if refits is not None:
        sides = {"before": before, "refit": scalar_draws(refits, var_names=var_names)[0], "after": after}
    names = [str(name) for name in moved.index]
    centre, scale = moved["mean_before"].to_numpy(), moved["sd_before"].to_numpy()
    shown = {side: (_columns(draws, names) - centre) / scale for side, draws in sides.items()}
    text = headline(edited, names[0], float(moved["shift"].iloc[0]))
    return _forest(shown, names, text, "posterior sds from the mean before the edit", figsize, backend)


def plot_changes(
    edited: Edited,
    data: Any,
    *,
    figsize: tuple[float, float] | None = None,
    most: int = MOST,
    backend: str = "matplotlib",
) -> Any:
    """Predictions that the edit changes most: their posterior before and after, row by row.

    Parameters
    ----------
    edited : Edited
        Where it was verified, its refits are drawn too.
    data : Rows, DataFrame, mapping of arrays or xarray Dataset
        Rows to predict.
    figsize : tuple of float, optional
        Inches.
    most : int
        Rows shown.
    backend : str
        Of arviz-plots.

    Returns
    -------
    arviz_plots.PlotCollection
    """
    rows = edited.before.as_rows(data)
    frame = edited.changes(rows)
    top = frame.head(most)
    is_class = "class" in top
    names = [label(f"{row}: {line['class']}" if is_class else row) for row, line in top.iterrows()]
    sides = {"before": edited.before, "after": edited.after}
    refits = pooled_refits(edited)
    if refits is not None:
        sides = {"before": edited.before, "refit": refits, "after": edited.after}
    classes = list(edited.before.model.outcome.classes or (None,))
    which = np.array([classes.index(name) for name in top["class"]]) if is_class else np.zeros(len(top), dtype=int)
    shown = {side: _predictions(fit, rows.take(top.index), which) for side, fit in sides.items()}
    text = f"{treatment(edited)}: row {top.index[0]} changes most, by {decimals(top['change'].iloc[0], 3, sign=True)}"
    what = "probability of the class named" if is_class else f"expected {edited.before.model.outcome.name}"
    return _forest(shown, names, text, what, figsize, backend)


def _columns(draws: xr.Dataset, names: list[str]) -> np.ndarray:
    """Draws of some scalars, (S, H)."""
    return np.stack([draws[name].to_numpy().reshape(-1) for name in names], axis=1)


def _predictions(fit: Fit, rows: Rows, which: np.ndarray) -> np.ndarray:
    """Equally weighted draws of one output of each row, (S, N)."""
    draws = fit.draws
    theta = draws.theta[draws.resampled(len(draws), np.random.default_rng(0))]
    return fit.model.predict(theta, rows)[:, np.arange(len(rows)), which]


def _forest(
    sides: dict[str, np.ndarray],
    names: list[str],
    heading: str,
    axis: str,
    figsize: tuple[float, float] | None,
    backend: str,
) -> Any:
    # arviz-plots takes most of a second to import, and brings pyplot.
    from arviz_plots import plot_forest as forest
    from arviz_plots.visuals import labelled_x

    size = min(len(values) for values in sides.values())
    trees = {}
    for side, values in sides.items():
        some = values[np.linspace(0, len(values) - 1, size).round().astype(int)][None]
        shown = xr.Dataset({axis: (("chain", "draw", "shown"), some)}, {"shown": [plain(name) for name in names]})
        trees[side] = xr.DataTree.from_dict({"posterior": shown})
    on_paper = backend == "matplotlib"
    options: dict[str, Any] = {"backend": backend}
    plots = forest(
        trees,
        combined=True,
        labels=["shown"],
        color=[COLOURS[side] for side in trees],
        **options,
        visuals={"labels": {"color": INK}, "ticklabels": False},
        figure_kwargs={
            "figsize": figsize or (7.5, 1.3 + 0.34 * len(names)),
            **({"layout": "constrained"} if on_paper else {}),
        },
    )
    plots.map(
        labelled_x, "xlabel", coords={"column": "forest"}, ignore_aes="all", subset_info=True, text=plain(axis), size=9
    )
    finished(plots, heading, backend)
    if on_paper:
        plots.viz["plot"].sel(column="labels").item().axis("off")
    return plots
