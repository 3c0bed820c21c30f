"""What a diagnosis found, and the files it is written to."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from bayesrepair.causes import Causes
from bayesrepair.choice import Choice
from bayesrepair.datatree import save_posteriors
from bayesrepair.diagnosis.parts import Parts
from bayesrepair.edit import Edited
from bayesrepair.evaluation import Effect, measure_of
from bayesrepair.failures import Failures
from bayesrepair.fit import Fit
from bayesrepair.group_causes import GroupCauses
from bayesrepair.receipt import receipt, receipt_group
from bayesrepair.reporting import report, write_csv

FILES = (
    "report.html", "causes.csv", "failures.csv", "posterior.nc", "receipt.json", "summary.json", "report.json",
)  # fmt: skip


@dataclass(frozen=True, eq=False)
class Diagnosis:
    """Everything that `diagnose` found.

    Parameters
    ----------
    title : str
    fit : Fit
    failures : Failures
        All held-out rows, and which of them fail.
    parts : Parts
        Which of them ranked, chose and reported.
    causes : Causes
    groups : GroupCauses, optional
        Scores by the column of groups.
    choice : Choice, optional
        How K was chosen; None where it was given.
    edited : Edited
        The repair; without factors where nothing was repaired.
    action : {"delete", "relabel", "none"}
        What was done in the end.
    held_out : DataFrame
        Before and after on parts of the held-out rows; see `evaluation.held_out`.
    truth : Series of bool, optional
        Which training rows were made wrong on purpose, where that is known.
    detection : DataFrame, optional
        How well each ranking finds them.
    notes : tuple of str
        What was decided and what to beware of.
    settings : mapping
        What was asked for.
    seconds : mapping of str to float
        Wall time of each step.
    """

    title: str
    fit: Fit
    failures: Failures
    parts: Parts
    causes: Causes
    groups: GroupCauses | None
    choice: Choice | None
    edited: Edited
    action: str
    held_out: pd.DataFrame
    truth: pd.Series | None
    detection: pd.DataFrame | None
    notes: tuple[str, ...]
    settings: Mapping[str, Any]
    seconds: Mapping[str, float]

    @property
    def treated(self) -> pd.Index:
        """Ids of the rows that were deleted or relabelled, most harmful first."""
        return self.causes.top(self.size).index

    @property
    def size(self) -> int:
        """Rows that were deleted or relabelled."""
        return len(self.edited.factors[0].rows) if self.edited.factors else 0

    @property
    def verdict(self) -> str:
        """What came out, in plain words."""
        return " ".join(_verdict(self))

    def noting(self, notes: Sequence[str]) -> Diagnosis:
        """The same diagnosis with further notes."""
        return replace(self, notes=(*self.notes, *notes))

    def summary(self) -> dict[str, Any]:
        """The main figures as plain values."""
        return {
            "title": self.title,
            "settings": dict(self.settings),
            "rows": {"training": len(self.fit.rows), "held_out": len(self.failures.holdout)},
            "failures": {"count": len(self.failures), "rule": self.failures.rule},
            "parts": self.parts.described,
            "action": self.action,
            "k": self.size,
            "treated": [_plain(row) for row in self.treated],
            "rung": self.edited.info.rung,
            "status": str(self.edited.status),
            "verdict": self.verdict,
            "held_out": _records(self.held_out),
            "choice": None if self.choice is None else _records(self.choice.curve),
            "groups": None if self.groups is None else _records(self.groups.groups),
            "detection": None if self.detection is None else _records(self.detection),
            "attempts": _records(self.edited.info.frame()),
            "verification": _records(self.edited.verification.frame()) if self.edited.verification else None,
            "notes": list(self.notes),
            "seconds": {name: round(value, 2) for name, value in self.seconds.items()},
        }

    def write(self, folder: Path) -> list[Path]:
        """Write report, tables, posteriors, receipt and summary into an existing folder.

        Returns
        -------
        list of Path
            ``report.html``, ``causes.csv``, ``failures.csv``, ``posterior.nc``, ``receipt.json``, ``summary.json``,
            and ``report.json``, from which the page can be made again.
        """
        proof = receipt(self.edited)
        self.report(folder / "report.html", contents=folder / "report.json")
        write_csv(self.causes.frame(), folder / "causes.csv")
        write_csv(self.failures.frame(), folder / "failures.csv")
        save_posteriors(folder / "posterior.nc", self.edited.before, self.edited.after, receipt_group(proof))
        (folder / "receipt.json").write_text(proof.to_json() + "\n", encoding="utf-8")
        summary = json.dumps(self.summary(), indent=2, allow_nan=False)
        (folder / "summary.json").write_text(summary + "\n", encoding="utf-8")
        return [folder / name for name in FILES]

    def report(self, path: Path, *, contents: Path | None = None) -> None:
        """Write the report alone, and what it says as JSON where asked."""
        report(
            self.edited,
            path,
            causes=self.causes,
            failures=self.failures,
            held_out=self.held_out,
            groups=() if self.groups is None else self.groups,
            truth=self.truth,
            choice=self.choice,
            title=self.title,
            asked={"Use of held-out rows": self.parts.described},
            notes=[note for note in self.notes if note != self.parts.described],
            contents=contents,
        )

    def __repr__(self) -> str:
        return f"{self.title}: {self.verdict}"


def _verdict(found: Diagnosis) -> list[str]:
    count, total = len(found.failures), len(found.failures.holdout)
    said = [f"{count} of {total} held-out rows fail."]
    if found.action == "none":
        return [*said, "Nothing was repaired: the training rows are ranked only."]
    done = {"delete": "deleted", "relabel": "relabelled"}[found.action]
    said.append(f"The top {found.size} of {len(found.causes)} training rows were {done}.")
    part = "all rows held apart" if found.parts.reporting is not None else "all held-out rows"
    said.append(_change(found.held_out.loc[part], part))
    said.append(f"The repaired posterior is {found.edited.status.level} (by {found.edited.info.rung}).")
    if found.edited.verification is not None:
        said.append(f"Against refits it is {found.edited.verification.verdict}.")
    return said


def _change(line: Any, part: str) -> str:
    name = measure_of(line)
    before, after, change, its_error = (line[f"{name}_{what}"] for what in ("before", "after", "change", "change_se"))
    gain, error = line["log_score_gain"], line["gain_se"]
    return (
        f"On {part} ({int(line['rows'])}) {name} went from {before:.3f} to {after:.3f} ({change:+.3f} ± "
        f"{its_error:.3f}) and the log score by {gain:+.3f} ± {error:.3f} a row: {Effect.of(line).words}."
    )


def _records(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """A frame as plain records, its index first; what is not finite becomes null."""
    table = frame.reset_index()
    return [{str(k): _plain(v) for k, v in record.items()} for record in table.to_dict(orient="records")]


def _plain(value: Any) -> Any:
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float) and not np.isfinite(value):
        return None
    return value if isinstance(value, int | float | str | bool | None) else str(value)
