"""Failures: the held-out rows that a fit gets wrong."""

from __future__ import annotations

import html
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd

from bayesrepair.fit import Fit, Repaired, as_fit
from bayesrepair.predictive import class_names, given_outcome, log_score, mean_prediction, predictive_tail
from bayesrepair.rows import Rows
from bayesrepair.status import DataError, MethodError

Rule = str | Callable[[pd.DataFrame], np.ndarray]
Against = Literal["failures", "held_out"]


@dataclass(frozen=True, eq=False)
class Failures:
    """Held-out rows, and which of them the fit gets wrong.

    Parameters
    ----------
    holdout : Rows
        All held-out rows T.
    judged : DataFrame
        Every held-out row: ``given``, ``predicted``, ``prob_given``, ``log_score``, ``failed``.
    rule : str
        What counted as a failure, in words.
    """

    holdout: Rows
    judged: pd.DataFrame
    rule: str

    def __len__(self) -> int:
        return int(self.judged["failed"].sum())

    @property
    def rows(self) -> Rows:
        """The failures F."""
        return self.holdout.at(np.flatnonzero(self.judged["failed"]))

    @property
    def handled(self) -> Rows:
        """The correctly handled rows, T without F."""
        return self.holdout.at(np.flatnonzero(~self.judged["failed"]))

    def frame(self) -> pd.DataFrame:
        """The failures, worst log score first: ``given``, ``predicted``, ``prob_given``, ``log_score``."""
        failed = self.judged.loc[self.judged["failed"]].drop(columns="failed")
        return failed.sort_values("log_score", kind="stable")

    def split(self, parts: int = 2, *, random_seed: int | np.random.Generator | None = None) -> tuple[Failures, ...]:
        """Random parts of the held-out rows, failures and handled rows dealt out evenly.

        One part may then score the training rows, another choose how many to remove, a third report.

        Raises
        ------
        DataError
            If there are fewer held-out rows than parts.
        """
        if parts < 1 or parts > len(self.holdout):
            raise DataError(f"between 1 and {len(self.holdout)} parts", f"{parts}", "Hold out more rows.")
        rng = np.random.default_rng(random_seed)
        failed = self.judged["failed"].to_numpy()
        order = np.concatenate([rng.permutation(np.flatnonzero(failed)), rng.permutation(np.flatnonzero(~failed))])
        return tuple(self._at(np.sort(order[k::parts])) for k in range(parts))

    def take(self, ids: Iterable) -> Failures:
        """The held-out rows with these ids, failures and handled ones."""
        return self._at(self.holdout.positions(ids))

    def _at(self, positions: np.ndarray) -> Failures:
        return Failures(self.holdout.at(positions), self.judged.iloc[positions], self.rule)

    def plot(self, *, ax: Any = None, figsize: tuple[float, float] | None = None) -> Any:
        """Histogram of the log scores of handled and failed rows (lower is worse); returns the axes."""
        from bayesrepair.reporting.plots import plot_failures

        return plot_failures(self, ax=ax, figsize=figsize)

    def __repr__(self) -> str:
        head = f"{len(self)} failures among {len(self.holdout)} held-out rows ({self.rule})"
        return f"{head}\n{self.frame().head(10).to_string()}" if len(self) else head

    def _repr_html_(self) -> str:
        head = f"<p><b>{len(self)}</b> failures among {len(self.holdout)} held-out rows ({html.escape(self.rule)})</p>"
        return head + self.frame().head(10).to_html(escape=True)


def find_failures(
    fit: Fit | Repaired,
    data: Any,
    *,
    rule: Rule = "auto",
    level: float = 0.05,
    random_seed: int | np.random.Generator | None = 0,
) -> Failures:
    """Find the held-out rows that a fit gets wrong.

    Parameters
    ----------
    fit : Fit or Edited
        Of an edit, the fit after it.
    data : Rows, DataFrame, mapping of arrays or xarray Dataset
        Held-out rows with their outcomes.
    rule : {"auto", "class", "interval"} or callable
        ``"class"``: the most probable class is not the given one. ``"interval"``: the outcome lies outside the
        central ``1 − level`` predictive interval. ``"auto"``: the first for classes, the second otherwise. A callable
        takes the frame of all held-out rows and returns one bool for each.
    level : float
        Predictive probability outside the interval, in (0, 1).
    random_seed : int or Generator, optional
        For the simulated outcomes of the interval rule.

    Returns
    -------
    Failures
        Its frame holds ``given``, ``predicted``, ``prob_given`` (probability of the given class; otherwise the
        two-sided predictive tail probability of the outcome; low is bad) and ``log_score`` (nats; low is bad).

    Raises
    ------
    DataError
        If the outcome is missing from the data, or ``level`` lies outside (0, 1).
    MethodError
        If the rule is unknown or does not suit the outcome.
    """
    fit = as_fit(fit)
    if not 0 < level < 1:
        raise DataError("a level between 0 and 1", f"{level!r}", "Pass level=0.05, say.")
    rows = fit.as_rows(data)
    outcome = fit.model.outcome
    if outcome.name not in rows.values:
        raise DataError(f"the outcome {outcome.name!r} in the held-out rows", f"only {', '.join(rows.values)}")
    _refuse_missing(rows, outcome.name)
    judged = _judge(fit, rows, np.random.default_rng(random_seed))
    name, failed = _failed(judged, outcome.kind, rule, level)
    return Failures(rows, judged.assign(failed=failed), name)


def _refuse_missing(rows: Rows, name: str) -> None:
    given = np.asarray(rows.values[name])
    if given.dtype.kind != "f":
        return
    missing = np.flatnonzero(np.isnan(given).reshape(len(given), -1).any(axis=1))
    if len(missing):
        some = ", ".join(repr(i) for i in rows.row[missing[:3]].tolist())
        raise DataError(
            f"the outcome {name!r} of every held-out row",
            f"{len(missing)} rows without it, such as {some}",
            "Drop those rows: nothing says whether the fit gets them wrong.",
        )


def _judge(fit: Fit, rows: Rows, rng: np.random.Generator) -> pd.DataFrame:
    mean = mean_prediction(fit, rows)
    if fit.model.outcome.kind == "class":
        code = np.asarray(rows.values[fit.model.outcome.name]).astype(int)
        predicted = class_names(fit)[mean.argmax(axis=1)]
        prob_given = mean[np.arange(len(rows)), code]
    else:
        predicted, prob_given = mean[:, 0], predictive_tail(fit, rows, rng)
    columns = {
        "given": given_outcome(fit, rows),
        "predicted": predicted,
        "prob_given": prob_given,
        "log_score": log_score(fit, rows),
    }
    return pd.DataFrame(columns, index=rows.index)


def _failed(judged: pd.DataFrame, kind: str, rule: Rule, level: float) -> tuple[str, np.ndarray]:
    if callable(rule):
        failed = np.asarray(rule(judged))
        if failed.shape != (len(judged),) or failed.dtype != bool:
            raise MethodError(f"a rule that returns {len(judged)} bools", f"{failed.dtype} of shape {failed.shape}")
        return getattr(rule, "__name__", "the given rule"), failed
    if rule not in ("auto", "class", "interval"):
        raise MethodError("rule 'auto', 'class', 'interval' or a callable", repr(rule))
    if rule == "class" and kind != "class":
        raise MethodError("a classification for rule='class'", f"a {kind} outcome", "Use rule='interval'.")
    if rule == "interval" and kind == "class":
        raise MethodError("a count or continuous outcome for rule='interval'", "classes", "Use rule='class'.")
    if kind == "class":
        wrong = judged["predicted"].to_numpy(dtype=object) != judged["given"].to_numpy(dtype=object)
        return "the most probable class is not the given one", wrong
    outside = judged["prob_given"].to_numpy() < level
    return f"the outcome lies outside the central {1 - level:.0%} predictive interval", outside


def scoring_rows(fit: Fit, failures: Failures | Any, against: Against) -> Rows:
    """The rows that training rows are scored against: the failures, or all held-out rows.

    Raises
    ------
    DataError
        If there are none, or they lack the outcome.
    MethodError
        If ``against`` is unknown.
    """
    if against not in ("failures", "held_out"):
        raise MethodError("against='failures' or 'held_out'", repr(against))
    if isinstance(failures, Failures):
        rows = failures.rows if against == "failures" else failures.holdout
    else:
        rows = fit.as_rows(failures)
    if not len(rows):
        raise DataError("at least one failure", "none", "Nothing to explain: the fit gets every held-out row right.")
    if fit.model.outcome.name not in rows.values:
        raise DataError(f"the outcome {fit.model.outcome.name!r} of each failure", "failures without it")
    return rows
