"""Everything a report speaks of, gathered from what was handed in and from the repair itself."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from bayesrepair.causes import Causes
from bayesrepair.choice import Choice
from bayesrepair.edit import Edited
from bayesrepair.evaluation import held_out as measured
from bayesrepair.failures import Failures, find_failures
from bayesrepair.fit import Factor, Fit
from bayesrepair.group_causes import GroupCauses
from bayesrepair.predictive import given_outcome
from bayesrepair.receipt import Receipt, receipt
from bayesrepair.reporting.parameters import with_draws
from bayesrepair.reporting.plots.ranking import whom
from bayesrepair.rows import Rows
from bayesrepair.status import DataError


@dataclass(frozen=True, eq=False)
class Material:
    """What a report is written from.

    Parameters
    ----------
    edited : Edited
    before, after : Fit
        With draws, even where the posterior is a Gaussian.
    causes : Causes, optional
    failures : Failures, optional
        The held-out rows and which of them fail.
    kept : Failures, optional
        Held-out rows that took no part in anything but the report.
    figures : DataFrame, optional
        Before and after on parts of the held-out rows; see `evaluation.held_out`.
    groups : tuple of GroupCauses
    truth : Series of bool, optional
    choice : Choice, optional
    title : str
    asked : sequence of (str, str)
        What the user asked for, where more is known than the repair itself tells.
    notes : sequence of str
    shown : int
        Rows in the ranking.
    """

    edited: Edited
    before: Fit
    after: Fit
    causes: Causes | None
    failures: Failures | None
    kept: Failures | None
    figures: pd.DataFrame | None
    groups: tuple[GroupCauses, ...]
    truth: pd.Series | None
    choice: Choice | None
    title: str
    asked: Sequence[tuple[str, str]]
    notes: Sequence[str]
    shown: int

    @property
    def compared(self) -> Failures | None:
        """The held-out rows whose predictions are drawn: those kept apart, else all."""
        return self.failures if self.kept is None else self.kept

    @property
    def is_class(self) -> bool:
        """Whether the outcome has classes."""
        return self.before.model.outcome.kind == "class"

    @cached_property
    def treated(self) -> pd.Series:
        """What became of each row that the repair touched, in words, by row id."""
        return treatment(self.edited)

    @cached_property
    def receipt(self) -> Receipt:
        """The receipt of the repair."""
        return receipt(self.edited)

    @property
    def whom(self) -> str:
        """What a positive score works against."""
        return "the failures" if self.causes is None else whom(self.causes)


def gather(
    edited: Edited,
    *,
    causes: Causes | None,
    failures: Failures | Any,
    held_out: Failures | Rows | pd.DataFrame | Any,
    groups: GroupCauses | str | Sequence[GroupCauses | str],
    truth: pd.Series | None,
    choice: Choice | None,
    title: str | None,
    asked: Any,
    notes: Sequence[str],
    shown: int,
) -> Material:
    """Fill in what was not handed in: causes from the repair, failures from the causes, figures from both."""
    before, after = with_draws(edited.before), with_draws(edited.after)
    causes = edited.causes if causes is None else causes
    failures = _failures(before, causes, failures)
    kept, figures = None, None
    if isinstance(held_out, pd.DataFrame) and "log_score_gain" in held_out:
        figures = held_out
    elif held_out is not None:
        kept = held_out if isinstance(held_out, Failures) else find_failures(before, held_out)
    if figures is None and (kept is not None or failures is not None):
        figures = measured(before, after, _parts(failures, kept))
    if truth is not None and causes is not None and truth.reindex(causes.scores.index).isna().any():
        missing = int(truth.reindex(causes.scores.index).isna().sum())
        raise DataError("the truth of each ranked row", f"{missing} rows without one", "Index it by row id.")
    return Material(
        edited, before, after, causes, failures, kept, figures, _groups(groups, causes), truth, choice,
        title or f"Repair of {before.model.outcome.name}",
        list(dict(asked or {}).items()), list(notes), shown,
    )  # fmt: skip


def _failures(before: Fit, causes: Causes | None, failures: Failures | Any) -> Failures | None:
    if isinstance(failures, Failures):
        return failures
    if failures is not None:
        return _named(before, failures)
    if causes is None:
        return None
    return causes.found if causes.found is not None else _named(before, causes.failures)


def _named(before: Fit, rows: Any) -> Failures:
    """Rows that were handed in as failures, with nothing around them."""

    def named_by_the_user(frame: pd.DataFrame) -> np.ndarray:
        return np.ones(len(frame), dtype=bool)

    found = find_failures(before, rows, rule=named_by_the_user)
    return Failures(found.holdout, found.judged, "named by the user")


def _parts(failures: Failures | None, kept: Failures | None) -> dict[str, Rows]:
    parts: dict[str, Rows] = {}
    if kept is not None:
        parts = {
            "failures held apart": kept.rows,
            "other rows held apart": kept.handled,
            "all rows held apart": kept.holdout,
        }
        if failures is not None and failures is not kept:
            parts["failures that ranked the rows"] = failures.rows
    elif failures is not None:
        parts = {"failures": failures.rows, "other rows": failures.handled}
        if len(failures.handled):
            parts["all held-out rows"] = failures.holdout
    return parts


def _groups(groups: GroupCauses | str | Sequence[GroupCauses | str], causes: Causes | None) -> tuple[GroupCauses, ...]:
    wanted = [groups] if isinstance(groups, GroupCauses | str) else list(groups)
    found = []
    for group in wanted:
        if isinstance(group, GroupCauses):
            found.append(group)
        elif causes is None:
            raise DataError(f"causes to sum by {group!r}", "none", "Pass causes=, or repair causes.top(k).")
        else:
            found.append(causes.by(group))
    return tuple(found)


def treatment(edited: Edited) -> pd.Series:
    """What became of each row: deleted, relabelled, a new weight, or inserted; indexed by row id.

    Relabelled rows keep their id, so a row may lose its weight and return with another outcome.
    """
    fit = edited.before
    old = pd.Series(fit.row_weights, index=fit.rows.index)
    new = pd.Series(edited.after.row_weights, index=fit.rows.index)
    done: dict[Any, str] = {}
    for row in fit.rows.index[(old != new).to_numpy()]:
        weight = f"weight {old[row]:.3g} → {new[row]:.3g}"
        done[row] = "deleted" if new[row] == 0 else weight
    for factor in edited.factors:
        for row, name in _new_outcomes(fit, factor):
            done[row] = f"relabelled → {name}" if row in done else f"inserted ({name})"
    return pd.Series(done, dtype=object).rename_axis("row")


def _new_outcomes(fit: Fit, factor: Factor) -> list[tuple[Any, Any]]:
    """Rows that the factor adds to the data, with their outcomes: other content than the training row of that id."""
    at = fit.rows.index.get_indexer(factor.rows.index)
    known = np.flatnonzero(at >= 0)
    fresh = factor.powers > 0
    fresh[known] &= ~fit.rows.same_content(at[known], factor.rows, known)
    rows = factor.rows.at(np.flatnonzero(fresh))
    return list(zip(rows.index, given_outcome(fit, rows), strict=True))
