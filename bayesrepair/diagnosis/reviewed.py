"""From reviewed decisions to a repaired posterior and a corrected table."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from io import StringIO
from pathlib import Path
from typing import Any

import pandas as pd

from bayesrepair.datatree import save_posteriors
from bayesrepair.diagnosis.preparation import Tables
from bayesrepair.diagnosis.run import Steps, Tell, fitted, options_of
from bayesrepair.edit import Edited
from bayesrepair.reading.text import find_delimiter, read_text
from bayesrepair.receipt import receipt, receipt_group
from bayesrepair.reporting import report, write_csv
from bayesrepair.reporting.csv_files import FORMULA_STARTS
from bayesrepair.review import DECISION, Decisions, matched_rows, read_decisions
from bayesrepair.status import DataError
from bayesrepair.suspects.suspicion import Method
from bayesrepair.verification import verify as verify_edit

APPLIED_FILES = (
    "report.html", "corrected.csv", "reviewed.csv", "posterior.nc", "receipt.json", "summary.json", "report.json",
)  # fmt: skip
BEFORE = "before"


@dataclass(frozen=True, eq=False)
class Applied:
    """What became of reviewed decisions.

    Parameters
    ----------
    title : str
    tables : Tables
        The table as it was.
    decisions : Decisions
    edited : Edited
        The repaired posterior.
    notes : tuple of str
    settings : mapping
    seconds : mapping of str to float
    earlier : mapping of row id to class
        What stood in rows of earlier reviews; see `read_stood`.
    """

    title: str
    tables: Tables
    decisions: Decisions
    edited: Edited
    notes: tuple[str, ...]
    settings: Mapping[str, Any]
    seconds: Mapping[str, float]
    earlier: Mapping[Any, Any] = field(default_factory=dict)

    @property
    def verdict(self) -> str:
        """What came out, in plain words."""
        said = [f"Of the reviewed rows, {self.decisions!r}."]
        said.append(f"The repaired posterior is {self.edited.status.level} (by {self.edited.info.rung}).")
        if self.edited.verification is not None:
            said.append(f"Against refits it is {self.edited.verification.verdict}.")
        return " ".join(said)

    @property
    def stood(self) -> pd.Series:
        """The class that stood in each reviewed row before anybody looked, by row id; for `find_suspects`."""
        given = self.tables.train[self.tables.target]
        now = {row: given[row] for row in self.decisions.trusted}
        stood = {**now, **{row: name for row, name in self.earlier.items() if row not in self.decisions.drop}}
        return pd.Series(stood, name=BEFORE, dtype=object).rename_axis("row")

    def noting(self, notes: Sequence[str]) -> Applied:
        """The same with further notes."""
        return replace(self, notes=(*self.notes, *notes))

    def write(self, folder: Path) -> list[Path]:
        """Write the page, the corrected table, what stood in the rows that were reviewed, posteriors and receipt.

        The corrected table holds the user's own cells as they were; nothing is put in front of any.
        """
        proof = receipt(self.edited)
        report(
            self.edited, folder / "report.html", title=self.title, notes=self.notes,
            asked={"Decisions": repr(self.decisions)}, contents=folder / "report.json",
        )  # fmt: skip
        corrected = self.decisions.corrected(self.tables.train, self.tables.target)
        corrected.to_csv(folder / "corrected.csv", index_label="row", lineterminator="\n", encoding="utf-8")
        write_csv(self.stood.to_frame(), folder / "reviewed.csv")
        save_posteriors(folder / "posterior.nc", self.edited.before, self.edited.after, receipt_group(proof))
        (folder / "receipt.json").write_text(proof.to_json() + "\n", encoding="utf-8")
        text = json.dumps(self.summary(), indent=2, allow_nan=False)
        (folder / "summary.json").write_text(text + "\n", encoding="utf-8")
        return [folder / name for name in APPLIED_FILES]

    def summary(self) -> dict[str, Any]:
        """The main figures as plain values."""
        made = self.decisions
        return {
            "title": self.title,
            "command": "apply",
            "settings": dict(self.settings),
            "decisions": {
                "keep": [str(row) for row in made.keep],
                "relabel": {str(row): str(new) for row, new in made.relabel.items()},
                "drop": [str(row) for row in made.drop],
                "undecided": [str(row) for row in made.undecided],
            },
            "rung": self.edited.info.rung,
            "status": str(self.edited.status),
            "verdict": self.verdict,
            "notes": list(self.notes),
            "seconds": {name: round(value, 2) for name, value in self.seconds.items()},
        }

    def __repr__(self) -> str:
        return f"{self.title}: {self.verdict}"


def read_reviewed(path: str | os.PathLike[str]) -> pd.DataFrame:
    """Read a reviewed file as texts, whatever a spreadsheet made of its delimiters; indexed by row id.

    An apostrophe that `write_csv` put in front of a text is taken away again.

    Raises
    ------
    DataError
        If there is no such file, or it lacks the columns ``row`` or ``decision``.
    """
    path = Path(path)
    if not path.is_file():
        raise DataError(f"a reviewed file at '{path}'", "no such file", "Name the review.csv that suspects wrote.")
    text, _ = read_text(path)
    frame = pd.read_csv(StringIO(text), sep=find_delimiter(text), dtype=str, keep_default_na=False)
    frame.columns = pd.Index([str(name).strip() for name in frame.columns])
    missing = [name for name in ("row", DECISION) if name not in frame.columns]
    if missing:
        got = f"columns {', '.join(map(str, frame.columns[:8]))}"
        raise DataError(f"the columns 'row' and {DECISION!r} in '{path}'", got, "Fill in review.csv, its header kept.")
    frame = frame.map(_as_it_was)
    return frame[frame["row"] != ""].set_index("row")


def read_stood(path: str | os.PathLike[str], tables: Tables) -> dict[Any, Any]:
    """Read what stood in reviewed rows, as `Applied.write` wrote it: class or number by row id.

    Raises
    ------
    DataError
        If there is no such file, it lacks the columns ``row`` or ``before``, or a row or class is unknown.
    """
    path = Path(path)
    if not path.is_file():
        raise DataError(f"what stood in reviewed rows at '{path}'", "no such file", "apply writes it: reviewed.csv.")
    frame = pd.read_csv(path, dtype=str, keep_default_na=False)
    if not {"row", BEFORE} <= set(frame.columns):
        got = f"columns {', '.join(map(str, frame.columns[:8]))}"
        raise DataError(f"the columns 'row' and {BEFORE!r} in '{path}'", got, "Name the reviewed.csv that apply wrote.")
    rows = matched_rows(pd.Index(frame["row"].map(_as_it_was)), tables.train.index)
    before = frame[BEFORE].map(_as_it_was)
    if tables.recipe.target.classes is None:
        numbers = pd.to_numeric(before, errors="coerce")
        if numbers.isna().any():
            raise DataError(f"numbers in '{path}'", repr(before[numbers.isna()].iloc[0]))
        return dict(zip(rows, numbers, strict=True))
    known = {str(name): name for name in tables.recipe.target.classes}
    unknown = [name for name in before if name not in known]
    if unknown:
        raise DataError(f"classes among {', '.join(map(repr, known))} in '{path}'", repr(unknown[0]))
    return {row: known[name] for row, name in zip(rows, before, strict=True)}


def _as_it_was(cell: str) -> str:
    return cell[1:] if cell.startswith("'") and cell[1:].startswith(FORMULA_STARTS) else cell


def checked_decisions(reviewed: pd.DataFrame, tables: Tables) -> Decisions:
    """Decisions about a table, refused before anything is sampled.

    Raises
    ------
    DataError
        If one means nothing, or none changes a row.
    """
    given = tables.train[tables.target]
    decisions = read_decisions(reviewed, given=given, classes=tables.recipe.target.classes)
    if not len(decisions.changed):
        raise DataError("a decision that changes a row", f"{decisions!r}", "Write relabel, a class, or drop.")
    return decisions


def apply_decisions(
    tables: Tables,
    decisions: Decisions,
    *,
    earlier: Mapping[Any, Any] | None = None,
    method: str = "auto",
    verify: bool = False,
    inference: Method = "auto",
    draws: int = 1000,
    title: str = "Reviewed labels",
    settings: Mapping[str, Any] | None = None,
    notes: tuple[str, ...] = (),
    random_seed: int = 0,
    progressbar: bool = True,
    tell: Tell | None = None,
) -> Applied:
    """Fit the table as it was, then carry the decisions into the posterior.

    Parameters
    ----------
    tables : Tables
    decisions : Decisions
    earlier : mapping of row id to class, optional
        What stood in rows of earlier reviews.
    method : str
        How the posterior is edited; see `bayesrepair.edit`.
    verify : bool
        Also compare with refits.
    inference : {"auto", "nuts", "laplace"}
        ``"laplace"``: the fit is the Gaussian at the mode.
    draws : int
        Draws a chain.
    title, settings, notes
        For the files.
    random_seed : int
    progressbar : bool
    tell : callable, optional

    Returns
    -------
    Applied
    """
    steps = Steps(tell or (lambda said, kind: None), notes=list(notes))
    for said in tables.notes:
        steps.note(said)
    with steps.step("sampling", f"Fitting a {tables.recipe.target.family} model of {len(tables.train)} rows"):
        fit = fitted(tables, options_of(inference, draws=draws, random_seed=random_seed, progressbar=progressbar))
    steps.note_choice(fit)
    with steps.step("repair", f"Carrying {len(decisions.changed)} decisions into the posterior"):
        edited = decisions.apply(fit, method=method, random_seed=random_seed)
    if verify:
        with steps.step("verifying", "Verifying against refits of the corrected table"):
            comparison = verify_edit(edited, random_seed=random_seed, progressbar=progressbar)
            edited = replace(edited, verification=comparison)
    return Applied(
        title, tables, decisions, edited, tuple(steps.notes), dict(settings or {}), steps.seconds, dict(earlier or {})
    )
