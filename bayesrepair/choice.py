"""How many rows to remove, chosen on held-out rows without knowing which labels are wrong."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from bayesrepair.causes import Causes, find_causes
from bayesrepair.edit import Editor, edit
from bayesrepair.failures import Against, Failures
from bayesrepair.fit import Factor, Fit
from bayesrepair.predictive import log_score
from bayesrepair.progress import row_progress
from bayesrepair.rows import Rows
from bayesrepair.status import DataError

CLEAR = 2.6  # one-sided 5 % over the sizes that are tried; on clean rows nothing is removed in 9 runs of 10
SHARES = (0.01, 0.02, 0.035, 0.05, 0.075, 0.1, 0.15, 0.2)
LEVELS = ("ok", "checked", "unreliable")


@dataclass(frozen=True, eq=False)
class Choice:
    """The size chosen, and the curve behind it.

    Parameters
    ----------
    k : int
        Rows to remove; 0 where no removal is better than none.
    curve : DataFrame
        Indexed by ``k``: ``gain`` in mean log score on the selection rows over removing nothing (nats a row, higher
        is better), its paired standard error ``se``, and the ``status`` of the edit.
    """

    k: int
    curve: pd.DataFrame

    def frame(self) -> pd.DataFrame:
        """The curve."""
        return self.curve.copy()

    def plot(self, *, ax: Any = None, figsize: tuple[float, float] | None = None) -> Any:
        """The gain for each size (up, positive: held-out rows gain), and the size chosen; returns the axes."""
        from bayesrepair.reporting.plots import plot_choice

        return plot_choice(self, ax=ax, figsize=figsize)

    def _repr_html_(self) -> str:
        return f"<p>remove {self.k} rows</p>{self.curve.to_html(escape=True, float_format='{:.4g}'.format)}"

    def __repr__(self) -> str:
        return f"remove {self.k} rows\n{self.curve.to_string(float_format='{:.4g}'.format)}"


def choose_top(
    causes: Causes,
    selection: Failures | Rows,
    *,
    sizes: Iterable[int] | None = None,
    method: str | Editor = "transport",
    progressbar: bool = True,
    random_seed: int | np.random.Generator | None = 0,
) -> Choice:
    """Choose how many of the top causes to remove, on rows that did not score them.

    The rule is one standard error against the best size, with nothing to remove allowed: the smallest size whose
    mean log score is within one paired standard error of the best, and 0 unless some size is better than 0 by
    ``CLEAR`` standard errors (several sizes are tried).

    Parameters
    ----------
    causes : Causes
    selection : Failures or Rows
        Held-out rows, failures *and* correctly handled ones, that took no part in the scores.
    sizes : iterable of int, optional
        Candidates; by default 1 to 20 % of the rows.
    method : str or Editor
        How each candidate is removed.
    progressbar : bool
    random_seed : int or Generator, optional

    Returns
    -------
    Choice

    Raises
    ------
    DataError
        If there are no selection rows, or a size exceeds the number of rows.
    """
    rows = selection.holdout if isinstance(selection, Failures) else selection
    wanted = _sizes(sizes, len(causes))
    rng = np.random.default_rng(random_seed)
    with row_progress("Choosing how many to remove", len(wanted), shown=progressbar) as progress:
        gains, statuses = _gains(causes, rows, wanted, method, rng, progress)
    return Choice(_smallest_good(gains), _curve(gains, statuses))


def cross_fitted_top(
    fit: Fit,
    failures: Failures,
    *,
    folds: int = 2,
    against: Against = "failures",
    score: str | Editor = "covariance",
    sizes: Iterable[int] | None = None,
    method: str | Editor = "transport",
    progressbar: bool = True,
    random_seed: int | np.random.Generator | None = 0,
) -> Choice:
    """Choose how many rows to remove where failures are too few to be set apart for it.

    Each fold of the held-out rows judges the removals that the other folds rank; the rule of `choose_top` is applied
    to all folds together. All of ``failures`` may then rank the rows for good: more folds come closer to that ranking
    and cost more.

    Parameters
    ----------
    fit : Fit
    failures : Failures
        At least one failure and two held-out rows a fold.
    folds : int
        At least 2.
    against, score : see `find_causes`
    sizes, method, progressbar, random_seed : see `choose_top`

    Returns
    -------
    Choice

    Raises
    ------
    DataError
        If there are too few failures for the folds, or a size exceeds the number of rows.
    """
    if folds < 2 or len(failures) < folds or len(failures.holdout) < 2 * folds:
        got = f"{folds} folds of {len(failures)} failures among {len(failures.holdout)} rows"
        raise DataError("2 folds or more, each of a failure and 2 held-out rows", got, "Hold out more rows.")
    rng = np.random.default_rng(random_seed)
    judging = failures.split(folds, random_seed=rng)
    wanted = _sizes(sizes, int((fit.current()[1] > 0).sum()))
    parts, worst = [], dict.fromkeys([0, *wanted], "ok")
    with row_progress("Choosing how many to remove", folds * len(wanted), shown=progressbar) as progress:
        for fold in judging:
            ranking = failures.take(np.setdiff1d(failures.holdout.row, fold.holdout.row))
            causes = find_causes(fit, ranking, method=score, against=against, progressbar=False, random_seed=rng)
            gains, statuses = _gains(causes, fold.holdout, wanted, method, rng, progress)
            parts.append(gains)
            worst = {k: max(worst[k], statuses[k], key=LEVELS.index) for k in worst}
    pooled = {k: np.concatenate([gains[k] for gains in parts]) for k in worst}
    return Choice(_smallest_good(pooled), _curve(pooled, worst))


def _sizes(sizes: Iterable[int] | None, count: int) -> list[int]:
    wanted = sorted({int(k) for k in (sizes if sizes is not None else _default_sizes(count)) if k})
    if wanted and wanted[-1] >= count:
        raise DataError(f"sizes below {count} rows", f"{wanted[-1]}")
    return wanted


def _gains(
    causes: Causes,
    rows: Rows,
    sizes: list[int],
    method: str | Editor,
    rng: np.random.Generator,
    progress: Callable[[int], None],
) -> tuple[dict[int, np.ndarray], dict[int, str]]:
    """Gain in log score of each selection row when the top k are removed, and the status of each removal."""
    if len(rows) < 2:
        raise DataError("at least 2 selection rows", f"{len(rows)}", "Hold out more rows.")
    nothing = log_score(causes.fit, rows)
    gains, statuses = {0: np.zeros(len(rows))}, {0: "ok"}
    current, weight = causes.fit.current()
    for k in sizes:
        at = current.positions(causes.top(k).index)
        factor = Factor(current.at(at), -weight[at])
        edited = edit(causes.fit, factor, method=method, random_seed=rng)
        gains[k], statuses[k] = log_score(edited.after, rows) - nothing, edited.status.level
        progress(1)
    return gains, statuses


def _default_sizes(count: int) -> list[int]:
    return [max(1, round(share * count)) for share in SHARES]


def _smallest_good(gains: dict[int, np.ndarray]) -> int:
    if not any(gain.mean() > CLEAR * _error(gain) for k, gain in gains.items() if k):
        return 0
    best = max(gains, key=lambda k: gains[k].mean())
    return min(k for k in gains if k and gains[best].mean() - gains[k].mean() <= _error(gains[best] - gains[k]))


def _error(values: np.ndarray) -> float:
    return float(values.std(ddof=1) / np.sqrt(len(values)))


def _curve(gains: dict[int, np.ndarray], statuses: dict[int, str]) -> pd.DataFrame:
    lines = {k: {"gain": g.mean(), "se": _error(g), "status": statuses[k]} for k, g in gains.items()}
    return pd.DataFrame.from_dict(lines, orient="index").rename_axis("k")
