"""Review: the rows that somebody should look at, and what that person decided."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from bayesrepair.edit import Edited, Editor, edit
from bayesrepair.fit import Factor, Fit
from bayesrepair.predictive import given_outcome
from bayesrepair.repairs import relabelling, reweighting
from bayesrepair.status import DataError
from bayesrepair.suspects import Suspects

DECISION = "decision"
REVIEWED_COLUMNS = ("given", "suggested", "prob_wrong", "why", DECISION)
WORTH_A_LOOK, FEWEST = 0.1, 20  # prob_wrong, and rows, that a review holds at least
KEEP = ("keep", "ok", "right", "correct")
RELABEL = ("relabel", "suggested", "change")
DROP = ("drop", "delete", "remove")


def review_frame(suspects: Suspects, k: int | None = None) -> pd.DataFrame:
    """The most suspicious rows with an empty column for the decision.

    Parameters
    ----------
    suspects : Suspects
    k : int, optional
        How many; by default all whose ``prob_wrong`` is at least .1, and 20 at least.

    Returns
    -------
    DataFrame
        ``given, suggested, prob_wrong, why, decision``, then the table's own columns, indexed by row id. In
        ``decision`` belongs ``keep``, ``relabel`` (the suggested class), the name of another class, or ``drop``; an
        empty cell decides nothing.
    """
    frame = suspects.frame()
    likely = int((frame["prob_wrong"] >= WORTH_A_LOOK).sum())
    chosen = frame.head(max(likely, FEWEST) if k is None else k)
    columns = {
        "given": chosen["given"],
        "suggested": chosen["suggested"] if "suggested" in chosen else chosen["predicted"],
        "prob_wrong": chosen["prob_wrong"].round(4),
        "why": chosen["reason"],
        DECISION: "",
    }
    own = [] if suspects.plain.table is None else suspects.plain.table.columns
    review = pd.DataFrame(columns, index=chosen.index)
    shown = suspects.plain.table
    return review if shown is None else review.join(shown.loc[chosen.index, [n for n in own if n not in columns]])


@dataclass(frozen=True, eq=False)
class Decisions:
    """What a person decided about some rows.

    Parameters
    ----------
    keep : tuple
        Ids of rows whose label is right.
    relabel : mapping of row id to class
    drop : tuple
        Ids of rows to delete.
    undecided : tuple
        Ids of rows without a decision.
    """

    keep: tuple[Any, ...]
    relabel: Mapping[Any, Any]
    drop: tuple[Any, ...]
    undecided: tuple[Any, ...]

    @property
    def changed(self) -> pd.Index:
        """Ids of the rows that do not stay as they are."""
        return pd.Index([*self.relabel, *self.drop], name="row")

    @property
    def trusted(self) -> pd.Index:
        """Ids of the rows whose label is known to be right once the decisions are applied."""
        return pd.Index([*self.keep, *self.relabel], name="row")

    def __repr__(self) -> str:
        return (
            f"{len(self.keep)} kept, {len(self.relabel)} relabelled, {len(self.drop)} dropped, "
            f"{len(self.undecided)} undecided"
        )

    def corrected(self, table: pd.DataFrame, target: str) -> pd.DataFrame:
        """The user's table with the decisions carried out, its other rows untouched.

        Examples
        --------
        >>> table = pd.DataFrame({"y": ["a", "b", "b"]})
        >>> Decisions((0,), {1: "a"}, (2,), ()).corrected(table, "y")["y"].to_dict()
        {0: 'a', 1: 'a'}
        """
        changed = table.copy()
        if self.relabel:
            changed.loc[list(self.relabel), target] = list(self.relabel.values())
        return changed.drop(index=list(self.drop))

    def apply(
        self, fit: Fit, *, method: str | Editor = "auto", random_seed: int | np.random.Generator | None = None
    ) -> Edited:
        """One edit of the posterior: relabelled rows change their class, dropped ones go.

        Parameters
        ----------
        fit : Fit
        method, random_seed
            See `bayesrepair.edit`.

        Raises
        ------
        DataError
            If nothing is to be changed, or no row would be left.
        """
        if not len(self.changed):
            raise DataError("a decision that changes a row", f"{self!r}", "Write relabel, a class, or drop.")
        if len(self.drop) >= int((fit.current()[1] > 0).sum()):
            raise DataError("fewer dropped rows than there are", f"all {len(self.drop)}")
        factors: list[Factor] = []
        if self.relabel:
            factors += relabelling(fit, pd.Index(list(self.relabel)), self.relabel)
        if self.drop:
            factors.append(reweighting(fit, pd.Index(list(self.drop)), 0.0))
        return edit(fit, factors, method=method, random_seed=random_seed)


def decisions_for(fit: Fit, reviewed: pd.DataFrame) -> Decisions:
    """Decisions about rows of a fit; see `read_decisions`."""
    given = pd.Series(given_outcome(fit, fit.rows), index=fit.rows.index)
    return read_decisions(reviewed, given=given, classes=fit.model.outcome.classes)


def read_decisions(reviewed: pd.DataFrame, *, given: pd.Series, classes: tuple[Any, ...] | None = None) -> Decisions:
    """Decisions from a reviewed table, checked against the rows it is about; all are right, or none is taken.

    Parameters
    ----------
    reviewed : DataFrame
        Indexed by row id, with a column ``decision`` and, where a decision is ``relabel``, ``suggested``; as texts or
        as they are. Upper and lower case are the same.
    given : Series
        The outcomes of the table that was reviewed, by row id.
    classes : tuple, optional
        Its classes; None where the outcome is a number.

    Returns
    -------
    Decisions

    Raises
    ------
    DataError
        If a row is unknown or comes twice, its given class is another by now, or a decision means nothing.

    Examples
    --------
    >>> reviewed = pd.DataFrame({"suggested": ["no", "no"], "decision": ["relabel", "drop"]}, index=["1", "2"])
    >>> read_decisions(reviewed, given=pd.Series(["no", "yes", "yes"]), classes=("no", "yes"))
    0 kept, 1 relabelled, 1 dropped, 0 undecided
    """
    if DECISION not in reviewed.columns:
        known = ", ".join(map(str, reviewed.columns))
        raise DataError(f"a column {DECISION!r}", f"columns {known}", "Fill in review.csv as suspects wrote it.")
    rows = matched_rows(reviewed.index, given.index)
    names = _names(classes)
    if "given" in reviewed.columns and classes is not None:
        _refuse_stale(reviewed["given"], given.loc[rows])
    suggested = reviewed["suggested"] if "suggested" in reviewed else [""] * len(rows)
    made: dict[Any, Any] = {
        row: _meaning(_text(cell), row, names, suggested=_text(other))
        for row, cell, other in zip(rows, reviewed[DECISION], suggested, strict=True)
    }
    is_kept = {row: what is _KEEP or (not _is_mark(what) and what == given[row]) for row, what in made.items()}
    return Decisions(
        keep=tuple(row for row in made if is_kept[row]),
        relabel={row: what for row, what in made.items() if not _is_mark(what) and not is_kept[row]},
        drop=tuple(row for row, what in made.items() if what is _DROP),
        undecided=tuple(row for row, what in made.items() if what is _UNDECIDED),
    )


_KEEP, _DROP, _UNDECIDED = object(), object(), object()


def _is_mark(what: Any) -> bool:
    return what is _KEEP or what is _DROP or what is _UNDECIDED


def _meaning(said: str, row: Any, names: Mapping[str, Any] | None, *, suggested: str) -> Any:
    """The outcome that a row gets, or what else becomes of it."""
    word = said.casefold()
    if not word:
        return _UNDECIDED
    marks = {**dict.fromkeys(KEEP, _KEEP), **dict.fromkeys(DROP, _DROP)}
    if names is not None and word in names and (word in marks or word in RELABEL):
        got = f"{said!r} in row {row!r}, which is a class as well"
        raise DataError("a decision with one meaning", got, "Rename that class in the table.")
    if word in marks:
        return marks[word]
    found = _outcome(suggested if word in RELABEL else said, names)
    if found is None:
        classes = "a number" if names is None else " or ".join(map(repr, map(str, names.values())))
        what = f"keep, relabel, drop, {classes}, or nothing, in the column {DECISION!r}"
        raise DataError(what, f"{said!r} in row {row!r}" + (f", suggested {suggested!r}" if word in RELABEL else ""))
    return found


def _outcome(text: str, names: Mapping[str, Any] | None) -> Any:
    if names is not None:
        return names.get(text.casefold())
    try:
        return float(text.replace(",", ".").replace("−", "-"))
    except ValueError:
        return None


def _names(classes: tuple[Any, ...] | None) -> dict[str, Any] | None:
    """Classes by their text in lower case."""
    if classes is None:
        return None
    names = {str(name).casefold(): name for name in classes}
    if len(names) < len(classes):
        raise DataError("classes that differ by more than upper and lower case", ", ".join(map(str, classes)))
    return names


def _text(cell: Any) -> str:
    return "" if cell is None or (isinstance(cell, float) and np.isnan(cell)) else str(cell).strip()


def matched_rows(reviewed: pd.Index, index: pd.Index) -> list[Any]:
    """The table's own ids of reviewed rows, which may have become texts on the way."""
    own = {str(value): value for value in index}
    texts = pd.Index([str(value).strip() for value in reviewed])
    unknown = [text for text in texts if text not in own]
    if unknown:
        some = ", ".join(map(repr, list(own)[:3]))
        remedy = "Is this the table that was reviewed, with the same --id?"
        raise DataError(f"row ids such as {some}", f"{len(unknown)} unknown, such as {unknown[0]!r}", remedy)
    if not texts.is_unique:
        twice = texts[texts.duplicated()][0]
        raise DataError("one decision a row", f"row {twice!r} more than once", "Delete all but one of its lines.")
    return [own[text] for text in texts]


def _refuse_stale(then: pd.Series, now: pd.Series) -> None:
    for row, old, current in zip(now.index, map(_text, then), map(str, now), strict=True):
        if old.casefold() not in ("", current.casefold()):
            remedy = "The table has changed since: run suspects on it again."
            raise DataError(f"row {row!r} with the class {old!r} that was reviewed", repr(current), remedy)
