"""Figures of held-out rows: where a fit fails, what a repair changes, and whether its probabilities hold."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import PercentFormatter

from bayesrepair.fit import Fit
from bayesrepair.predictive import log_score, mean_prediction, predictive_tail
from bayesrepair.reporting.plots.style import AFTER, BEFORE, FAILED, HANDLED, MUTED, legend, new_axes, quiet, titled
from bayesrepair.reporting.wording import decimals, plural
from bayesrepair.rows import Rows
from bayesrepair.status import DataError

if TYPE_CHECKING:
    from bayesrepair.failures import Failures

NOTICEABLE = 0.01  # change of a probability (or of a log score, in nats) worth counting
ROWS_A_BIN = 15


def plot_failures(
    failures: Failures, *, ax: Axes | None = None, figsize: tuple[float, float] | None = None, bins: int = 30
) -> Axes:
    """Log scores of handled and failed held-out rows.

    Parameters
    ----------
    failures : Failures
    ax : Axes, optional
    figsize : tuple of float, optional
    bins : int

    Returns
    -------
    Axes
    """
    ax = new_axes(ax, figsize or (7.0, 3.2))
    quiet(ax, grid="y")
    score = failures.judged["log_score"].to_numpy(dtype=float)
    failed = failures.judged["failed"].to_numpy(dtype=bool)
    finite = np.isfinite(score)
    edges = np.histogram_bin_edges(score[finite], bins=bins)
    parts = [score[finite & ~failed], score[finite & failed]]
    names = [f"handled ({(~failed).sum()})", f"failed ({failed.sum()})"]
    ax.hist(
        parts, bins=edges.tolist(), stacked=True, color=[HANDLED, FAILED], label=names, edgecolor="white", linewidth=0.4
    )
    legend(ax, loc="upper left")
    finding = f"{plural(int(failed.sum()), 'failure')} among {plural(len(score), 'held-out row')}"
    if failed.any() and not failed.all():
        worse, better = (decimals(float(np.median(score[part])), 2) for part in (failed, ~failed))
        finding += f": median log score {worse} against {better}"
    titled(ax, finding, x="log score of the given outcome (nats); left = worse", y="held-out rows")
    return ax


def plot_predictions(
    before: Fit,
    after: Fit,
    rows: Rows,
    *,
    failed: np.ndarray,
    ax: Axes | None = None,
    figsize: tuple[float, float] | None = None,
) -> Axes:
    """What the repair did to the prediction of each held-out row; above the diagonal it helped.

    Parameters
    ----------
    before, after : Fit
    rows : Rows
        Held-out rows with their outcomes.
    failed : array of bool, shape (N,)
        The rows that the first fit got wrong.
    ax : Axes, optional
    figsize : tuple of float, optional

    Returns
    -------
    Axes
    """
    if not len(rows):
        raise DataError("held-out rows to compare", "none")
    old, new, what = _merit(before, after, rows)
    ax = new_axes(ax, figsize or (5.6, 4.6))
    quiet(ax, grid="both")
    failed = np.asarray(failed, dtype=bool)
    for part, colour, marker, size, name in (
        (~failed, HANDLED, "o", 14, "handled before"),
        (failed, FAILED, "^", 30, "failed before"),
    ):
        ax.scatter(
            old[part], new[part], s=size, c=colour, marker=marker, linewidths=0.3, edgecolors="white", label=name
        )
    low, high = min(old.min(), new.min()), max(old.max(), new.max())
    ax.plot([low, high], [low, high], color=MUTED, linewidth=0.8, zorder=0)
    legend(ax, loc="lower right")
    up, down = (new - old > NOTICEABLE), (old - new > NOTICEABLE)
    finding = (
        f"Better for {up[failed].sum()} of {failed.sum()} failures, worse for {down[failed].sum()}; "
        f"better for {up[~failed].sum()} of {(~failed).sum()} others, worse for {down[~failed].sum()}"
    )
    titled(ax, finding, x=f"{what}, before", y=f"{what}, after\nabove the line = better")
    return ax


def _merit(before: Fit, after: Fit, rows: Rows) -> tuple[np.ndarray, np.ndarray, str]:
    """How well each row's own outcome is predicted before and after, and what that is called."""
    if before.model.outcome.kind != "class":
        return log_score(before, rows), log_score(after, rows), "log score (nats)"
    code = np.asarray(rows.values[before.model.outcome.name]).astype(int)
    at = np.arange(len(rows)), code
    return mean_prediction(before, rows)[at], mean_prediction(after, rows)[at], "probability of the given class"


def plot_reliability(
    before: Fit, after: Fit, rows: Rows, *, ax: Axes | None = None, figsize: tuple[float, float] | None = None
) -> Axes:
    """Whether stated probabilities hold, before and after.

    For classes: confidence in the predicted class against how often it is right, in bins of equally many rows. For
    counts and numbers: the nominal coverage of central predictive intervals against the coverage seen.

    Parameters
    ----------
    before, after : Fit
    rows : Rows
        Held-out rows with their outcomes.
    ax : Axes, optional
    figsize : tuple of float, optional

    Returns
    -------
    Axes
    """
    if not len(rows):
        raise DataError("held-out rows to compare", "none")
    is_class = before.model.outcome.kind == "class"
    ax = new_axes(ax, figsize or (5.6, 4.6))
    quiet(ax, grid="both")
    curve = _confidence if is_class else _coverage
    gaps = {}
    for fit, name, colour, style in ((before, "before", BEFORE, "s--"), (after, "after", AFTER, "o-")):
        stated, seen, error = curve(fit, rows)
        gaps[name] = float(np.mean(np.abs(seen - stated)))
        ax.errorbar(stated, seen, yerr=error, fmt=style, color=colour, ms=5, lw=1.4, elinewidth=1, label=name)
    low = min(ax.get_xlim()[0], ax.get_ylim()[0]) if is_class else 0.0
    ax.plot([max(0.0, low), 1], [max(0.0, low), 1], color=MUTED, linewidth=0.8, zorder=0, label="as stated")
    ax.set_ylim(top=1.03)
    ax.set_xlim(right=1.03)
    for axis in (ax.xaxis, ax.yaxis):
        axis.set_major_formatter(PercentFormatter(1.0))
    legend(ax, loc="upper left")
    x, y = (
        ("confidence in the predicted class", "predictions that are right")
        if is_class
        else (
            "nominal coverage of the predictive interval",
            "outcomes inside",
        )
    )
    finding = f"Stated and seen differ by {100 * gaps['before']:.1f} points before, {100 * gaps['after']:.1f} after"
    titled(ax, finding, x=x, y=f"{y} (± 1 SE)\nbelow the line = over-confident")
    return ax


def _confidence(fit: Fit, rows: Rows) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    mean = mean_prediction(fit, rows)
    given = np.asarray(rows.values[fit.model.outcome.name]).astype(int)
    confidence, right = mean.max(axis=1), mean.argmax(axis=1) == given
    bins = np.array_split(np.argsort(confidence, kind="stable"), int(np.clip(len(rows) // ROWS_A_BIN, 1, 10)))
    stated = np.array([confidence[b].mean() for b in bins])
    seen = np.array([right[b].mean() for b in bins])
    # One pseudo-count a side keeps the error of an all-right bin above zero.
    share = np.array([(right[b].sum() + 1) / (len(b) + 2) for b in bins])
    return stated, seen, np.sqrt(share * (1 - share) / np.array([len(b) for b in bins]))


def _coverage(fit: Fit, rows: Rows) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    tail = predictive_tail(fit, rows, np.random.default_rng(0))
    nominal = np.linspace(0.1, 0.95, 10)
    seen = np.array([(tail > 1 - level).mean() for level in nominal])
    return nominal, seen, np.sqrt(nominal * (1 - nominal) / len(rows))
