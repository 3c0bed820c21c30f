"""What an edit did to the posterior: marginals before and after, and its distance from refits."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr
from matplotlib.axes import Axes

from bayesrepair.reporting.parameters import both_sides, changes, pooled_refits, scalar_draws
from bayesrepair.reporting.plots.style import (
    AFTER,
    BEFORE,
    BLUE,
    CHARACTERS_AN_INCH,
    GREEN,
    INK,
    MUTED,
    VERMILION,
    legend,
    new_axes,
    plain,
    titled,
)
from bayesrepair.reporting.wording import decimals, plural

if TYPE_CHECKING:
    from bayesrepair.edit import Edited
    from bayesrepair.verification import Verification

MOST = 9
COLUMNS = 3
COLOURS = {"before": BEFORE, "refit": GREEN, "after": AFTER}
LINES = {"before": "-", "refit": "--", "after": "-"}


def plot_edit(
    edited: Edited,
    *,
    var_names: Sequence[str] | None = None,
    figsize: tuple[float, float] | None = None,
    most: int = MOST,
    backend: str = "matplotlib",
) -> Any:
    """Marginals before and after the edit: the parameters whose means move most, one plot each.

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
        ``.viz`` holds figure, plots and lines.
    """
    before, after, _ = both_sides(edited, var_names=var_names)
    shift = changes(before, after)["shift"].head(most)
    titles = {name: f"{name}: {decimals(value, 2, sign=True)} sd" for name, value in shift.items()}
    sides = {"before": before, "after": after}
    refits = pooled_refits(edited)
    if refits is not None:
        sides = {"before": before, "refit": scalar_draws(refits, var_names=var_names)[0], "after": after}
    size = min(side.sizes["chain"] * side.sizes["draw"] for side in sides.values())
    trees = {name: _pooled(side, titles, size) for name, side in sides.items()}
    return _marginals(trees, figsize, backend, headline(edited, str(shift.index[0]), float(shift.iloc[0])))


def headline(edited: Edited, parameter: str, shift: float) -> str:
    """What was done, and what moved most."""
    return f"{treatment(edited)}: {parameter} moves most, by {decimals(shift, 2, sign=True)} sd"


def treatment(edited: Edited) -> str:
    """What was done to which number of rows, and whether it can be believed."""
    power: dict[str, set[Any]] = {"removed": set(), "weakened": set(), "added": set()}
    for factor in edited.factors:
        for row, by in zip(factor.rows.row.tolist(), factor.powers, strict=True):
            if by:
                power["added" if by > 0 else "removed" if by <= -1 else "weakened"].add(row)
    relabelled = power["added"] & (power["removed"] | power["weakened"])
    counts = {"relabelled": len(relabelled)} | {what: len(rows - relabelled) for what, rows in power.items()}
    parts = [f"{plural(count, 'row')} {what}" for what, count in counts.items() if count]
    proof = edited.verification
    word = edited.status.level if proof is None else "verified" if proof.passed else "not verified"
    return f"{', '.join(parts) or 'Nothing changed'} ({edited.info.rung}, {word})"


def _pooled(posterior: xr.Dataset, titles: dict[Any, str], size: int) -> xr.DataTree:
    """Draws of one chain under their titles: all sides must be equally long to be drawn together."""
    pooled = {}
    for name, title in titles.items():
        values = posterior[name].to_numpy().reshape(-1)
        some = np.linspace(0, len(values) - 1, size).round().astype(int)
        pooled[plain(title)] = (("chain", "draw"), values[some][None])
    return xr.DataTree.from_dict({"posterior": xr.Dataset(pooled)})


def _marginals(trees: dict[str, xr.DataTree], figsize: tuple[float, float] | None, backend: str, heading: str) -> Any:
    # arviz-plots takes most of a second to import, and brings pyplot.
    from arviz_plots import plot_dist

    count = len(trees["before"]["posterior"].data_vars)
    columns = min(COLUMNS, count)
    size = figsize or (3.2 * columns, 1.75 * int(np.ceil(count / columns)) + 0.9)
    on_paper = backend == "matplotlib"
    options: dict[str, Any] = {"backend": backend}
    if on_paper:
        options["aes"] = {"color": ["model"], "linestyle": ["model"]}
        options["linestyle"] = [LINES[name] for name in trees]
        options["aes_by_visuals"] = {"dist": ["color", "linestyle"]}
    plots = plot_dist(
        trees,
        kind="kde",
        col_wrap=columns,
        color=[COLOURS[name] for name in trees],
        **options,
        visuals={
            "point_estimate_text": False,
            "title": {"color": INK, "size": 9.5},
            "dist": {"width": 1.8},
            "credible_interval": {"width": 2.2},
        },
        figure_kwargs={"figsize": size, **({"layout": "constrained"} if on_paper else {})},
    )
    finished(plots, heading, backend)
    return plots


def finished(plots: Any, heading: str, backend: str) -> None:
    """A legend and a heading that says what was found; quiet axes on matplotlib."""
    if backend != "matplotlib":
        plots.add_title(heading)
        return
    figure = plots.viz["figure"].item()
    for axes in figure.axes:
        axes.tick_params(labelsize=8, labelcolor=INK, colors=MUTED)
    figure.get_layout_engine().set(hspace=0.06, h_pad=0.08)
    plots.add_legend("model", title="", loc="outside lower right", ncols=3, frameon=False)
    wrapped = textwrap.fill(heading, int(CHARACTERS_AN_INCH * figure.get_size_inches()[0]))
    plots.add_title(plain(wrapped), color=INK, size=11, x=0.01, ha="left", fontweight="bold")


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
