"""From a table to the labels that are probably wrong, and the files that hand them to a person."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from bayesrepair.diagnosis.preparation import Tables
from bayesrepair.diagnosis.run import Steps, Tell, fitted, options_of
from bayesrepair.fit import Fit
from bayesrepair.noise import Mechanism
from bayesrepair.reporting import write_csv
from bayesrepair.reporting.suspects_page import report_suspects
from bayesrepair.review import review_frame
from bayesrepair.suspects import Expected, Suspects, find_suspects
from bayesrepair.suspects.suspicion import Method

LABEL_FILES = ("report.html", "review.csv", "suspects.csv", "summary.json", "report.json")


@dataclass(frozen=True, eq=False)
class LabelSearch:
    """What `find_wrong_labels` found.

    Parameters
    ----------
    title : str
    suspects : Suspects
    review : DataFrame
        The rows to hand out; see `bayesrepair.review.review_frame`.
    notes : tuple of str
    settings : mapping
        What was asked for; `bayesrepair apply` reads it.
    seconds : mapping of str to float
        Wall time of each step.
    """

    title: str
    suspects: Suspects
    review: pd.DataFrame
    notes: tuple[str, ...]
    settings: Mapping[str, Any]
    seconds: Mapping[str, float]

    @property
    def verdict(self) -> str:
        """What came out, in plain words."""
        count, k = self.suspects.expected_count, len(self.review)
        precision = self.suspects.expected_precision(k)
        return (
            f"About {count.mean:.0f} of {len(self.suspects)} labels are expected to be wrong (90 %: {count.low:.0f} to "
            f"{count.high:.0f}). Of the {k} rows to review, {precision.mean:.0%} ({precision.low:.0%} to "
            f"{precision.high:.0%})."
        )

    def noting(self, notes: Sequence[str]) -> LabelSearch:
        """The same with further notes."""
        return replace(self, notes=(*self.notes, *notes))

    def summary(self) -> dict[str, Any]:
        """The main figures as plain values."""
        found = self.suspects
        return {
            "title": self.title,
            "command": "suspects",
            "settings": dict(self.settings),
            "rows": len(found),
            "expected_count": _plain(found.expected_count),
            "review": {"rows": len(self.review), "precision": _plain(found.expected_precision(len(self.review)))},
            "status": str(found.status),
            "rhat": None if np.isnan(found.rhat) else found.rhat,
            "ess": None if np.isnan(found.ess) else found.ess,
            "verdict": self.verdict,
            "notes": list(self.notes),
            "seconds": {name: round(value, 2) for name, value in self.seconds.items()},
        }

    def write(self, folder: Path) -> list[Path]:
        """Write the page, the rows to review, all rows, and the main figures into an existing folder."""
        report_suspects(
            self.suspects, folder / "report.html", review=self.review, title=self.title, notes=self.notes,
            contents=folder / "report.json",
        )  # fmt: skip
        write_csv(self.review, folder / "review.csv")
        write_csv(self.suspects.frame(), folder / "suspects.csv")
        text = json.dumps(self.summary(), indent=2, allow_nan=False)
        (folder / "summary.json").write_text(text + "\n", encoding="utf-8")
        return [folder / name for name in LABEL_FILES]

    def __repr__(self) -> str:
        return f"{self.title}: {self.verdict}"


def find_wrong_labels(
    tables: Tables,
    *,
    trusted: Sequence[Any] = (),
    reviewed: Mapping[Any, Any] | None = None,
    noise: Mechanism = "auto",
    method: Method = "auto",
    opinions: bool = True,
    review: int | None = None,
    draws: int = 1000,
    title: str = "Suspects",
    settings: Mapping[str, Any] | None = None,
    notes: tuple[str, ...] = (),
    client: Any = None,
    random_seed: int = 0,
    progressbar: bool = True,
    tell: Tell | None = None,
) -> LabelSearch:
    """Fit a table, then the same model with labels that can be wrong.

    Where there are classes and no formula, the prior scale of the coefficients is learned (see `from_table`): how far
    apart classes are decides which rows are errors.

    Parameters
    ----------
    tables : Tables
        See `bayesrepair.diagnosis.prepare_alone`; its groups get error rates of their own.
    trusted : sequence
        Ids of rows known to be right, and frames of further such rows.
    reviewed : mapping of row id to class, optional
        What stood in rows that were reviewed; see `bayesrepair.find_suspects`.
    noise, method
        See `bayesrepair.find_suspects`.
    opinions : bool
        Whether a discriminant and a forest of the same columns are heard too, where there are classes; see
        `Suspects.with_discriminant` and `Suspects.with_forest`.
    review : int, optional
        How many rows to hand out.
    draws : int
        Draws a chain.
    title, settings, notes
        For the files.
    client : distributed.Client or str, optional
        Of the Dask cluster that looks at the rows; see `bayesrepair.find_suspects`.
    random_seed : int
    progressbar : bool
    tell : callable, optional
        Receives one line and its kind, ``"step"`` or ``"note"``.

    Returns
    -------
    LabelSearch
    """
    steps = Steps(tell or (lambda said, kind: None), notes=list(notes))
    for said in tables.notes:
        steps.note(said)
    options = options_of(method, draws=draws, random_seed=random_seed, progressbar=progressbar)
    if method != "laplace" and tables.formula is None and tables.recipe.target.classes:
        options["prior_scale"] = "learned"
    with steps.step("sampling", f"Fitting a {tables.recipe.target.family} model of {len(tables.train)} rows"):
        fit = fitted(tables, options)
    steps.note_choice(fit)
    with steps.step("suspects", "Fitting it again with labels that can be wrong"):
        groups = None if tables.group is None else tables.train.loc[fit.rows.index, tables.group]
        found = find_suspects(
            fit, trusted=_trusted(fit, tables, trusted), reviewed=reviewed, noise=noise, groups=groups, method=method,
            client=client, progressbar=progressbar, random_seed=random_seed,
        )  # fmt: skip
    if opinions and tables.recipe.target.classes:
        with steps.step("opinions", "Asking a discriminant and a forest of the same columns"):
            pooled = found.with_discriminant(random_seed=random_seed).with_forest(random_seed=random_seed)
        steps.note(f"Heard as far as they predict left-out labels: {pooled.heard}.")
        found = pooled
    k = None if review is None else min(review, len(found))
    return LabelSearch(title, found, review_frame(found, k), tuple(steps.notes), dict(settings or {}), steps.seconds)


def _trusted(fit: Fit, tables: Tables, trusted: Sequence[Any]) -> list[Any] | None:
    columns = [*tables.predictors, tables.target]
    parts = [fit.as_rows(part[columns]) if isinstance(part, pd.DataFrame) else part for part in trusted]
    return parts or None


def _plain(expected: Expected) -> dict[str, float]:
    return {"mean": expected.mean, "low": expected.low, "high": expected.high}
