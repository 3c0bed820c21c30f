"""Sections of the page about suspects: in short, the rows, who makes the errors, which classes are confused."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from bayesrepair.reporting.blocks import Block, Cell, Column, Facts, Items, Note, Paragraph, Section, Table, Tone
from bayesrepair.reporting.pictures import drawn
from bayesrepair.reporting.plots import plot_suspects
from bayesrepair.reporting.standouts import standouts
from bayesrepair.reporting.wording import decimals, percent, plural, value_text, whole
from bayesrepair.status import Level
from bayesrepair.suspects import Expected, PooledSuspects, Suspects
from bayesrepair.suspects.result import stand_in

SHOWN, PICTURED = 50, 20
MOST_CLASSES = 12  # in the table of confusions
TONES: dict[Level, Tone] = {"ok": "good", "checked": "fair", "unreliable": "bad"}


def in_short(suspects: Suspects, review: pd.DataFrame) -> Section:
    """How many labels are expected to be wrong, how far to trust that, and what to do with the review."""
    count, size = suspects.expected_count, len(suspects)
    text = (
        f"About {whole(count.mean)} of {whole(size)} labels are expected to be wrong (90 %: {whole(count.low)} to "
        f"{whole(count.high)})."
    )
    worth = _worth_of_review(suspects, len(review)) if len(review) else ""
    blocks: list[Block] = [Note(f"{text} {worth}", TONES[suspects.status.level], heading=_heading(suspects))]
    items = [f"How far to trust this: {suspects.status.message}."]
    if suspects.status.remedy:
        items.append(f"What to do next: {suspects.status.remedy}")
    items.append(
        "A suspect is a guess of the model. Let somebody who knows the records fill in the column decision of "
        "review.csv (keep, relabel, the name of another class, or drop), then run: bayesrepair apply review.csv"
    )
    return Section("verdict", "In short", [*blocks, Items(items)])


def _heading(suspects: Suspects) -> str:
    level = suspects.status.level
    return {"ok": "Suspects", "checked": "Suspects, with a reservation", "unreliable": "Do not rely on this"}[level]


def _worth_of_review(suspects: Suspects, k: int) -> str:
    expected: Expected = suspects.expected_precision(k)
    return (
        f"Of the {plural(k, 'row')} in review.csv, about {percent(expected.mean)} are expected to be wrong "
        f"({percent(expected.low)} to {percent(expected.high)})."
    )


def asked(suspects: Suspects, facts: Sequence[tuple[str, str]], notes: Sequence[str]) -> Section:
    """Data, model, sampling, remarks."""
    posterior = [("r-hat", decimals(suspects.rhat, 3)), ("Effective draws", whole(suspects.ess))]
    sampled = posterior if np.isfinite(suspects.ess) else [("Posterior", stand_in(suspects.fit))]
    heard = [("Heard", suspects.heard)] if isinstance(suspects, PooledSuspects) else []
    known = int(suspects.evidence.trusted.sum())
    rows = [("Rows", whole(len(suspects))), ("Rows known to be right", whole(known))]
    blocks: list[Block] = [Facts([*rows, *facts, *heard, *sampled, *_nearby(suspects)])]
    return Section("asked", "Data and model", [*blocks, *([Items(list(notes))] if notes else [])])


def _nearby(suspects: Suspects) -> list[tuple[str, str]]:
    """How many rows like the suspects carry their class, where that can be told."""
    nearby = None if suspects.noise_evidence is None else suspects.noise_evidence.neighbours
    if nearby is None:
        return []
    text = f"{percent(nearby.share)}; the model expects {percent(nearby.expected)}"
    return [("Rows like a suspect that carry its class", text)]


def rows(suspects: Suspects, shown: int = SHOWN) -> Section:
    """The most suspicious rows: picture and table."""
    k = min(PICTURED, len(suspects))
    text = (
        "The probability that a label is wrong comes from the model with one more step: each record has a true class, "
        "and the given one is drawn from it at unknown error rates. The error after ± is that of the simulation alone. "
        "Surprise is minus the PSIS-LOO log score under the model in which every label is right."
    )
    if isinstance(suspects, PooledSuspects):
        text += f" Several models were asked, and each heard as far as it predicts left-out labels: {suspects.heard}."
    picture = drawn(lambda ax: plot_suspects(suspects, k, ax=ax), size=(7.2, 1.5 + 0.25 * k))
    return Section("suspects", "Suspects", [Paragraph(text), picture, _table(suspects, min(shown, len(suspects)))])


def _table(suspects: Suspects, shown: int) -> Table:
    frame = suspects.scores.head(shown)
    unusual = standouts(suspects.plain, frame.index)
    is_class = "suggested" in frame
    instead = "suggested" if is_class else "predicted"
    columns = [
        Column("row", numeric=False),
        Column("given", suspects.plain.model.outcome.name, numeric=not is_class),
        Column(instead, "why" if is_class else "why; 90 % interval", numeric=False),
        Column("P(wrong)", "± Monte Carlo error"),
        Column("surprise", "nats"),
        Column("what stands out", "in brackets: robust z, or share, among rows of the same class", numeric=False),
    ]
    lines: list[list[str | Cell]] = []
    for rank, (row, line) in enumerate(frame.iterrows(), start=1):
        interval = "" if is_class else f"; {value_text(line['low'])} to {value_text(line['high'])}"
        below = f"{line['reason']}{interval}"
        lines.append(
            [
                Cell(value_text(row), below=f"rank {rank}"),
                value_text(line["given"]),
                Cell(value_text(line[instead]), below=below),
                Cell(decimals(line["prob_wrong"], 3), below=f"± {decimals(line['mcse'], 3)}"),
                decimals(line["surprise"], 2),
                Cell("", chips=[f"{s.column} {s.text}" for s in unusual[row]]),
            ]
        )
    return Table(f"The {plural(shown, 'row')} whose label is most probably wrong", columns, lines)


def by_group(suspects: Suspects) -> Section:
    """Error rate of each annotator, site, or batch."""
    groups = suspects.groups
    columns = [
        Column(str(groups.index.name), numeric=False),
        Column("rows"),
        Column("error rate", "share of wrong labels"),
        Column("90 % interval"),
        Column("P(highest)"),
    ]
    lines = [
        [
            value_text(name),
            whole(line["rows"]),
            percent(line["rate"], 1),
            f"{percent(line['low'], 1)} to {percent(line['high'], 1)}",
            decimals(line["prob_highest"], 2),
        ]
        for name, line in groups.iterrows()
    ]
    text = "Rates are shrunk towards one another, more so for groups with few rows."
    return Section("groups", f"Errors by {groups.index.name}", [Paragraph(text), Table("Error rates", columns, lines)])


def confusions(suspects: Suspects) -> Section:
    """Which class is given for which."""
    matrix = suspects.noise_matrix
    names = list(matrix.index.unique("true"))
    columns = [Column("true class", numeric=False), *(Column(f"given {value_text(name)}") for name in names)]
    lines: list[list[str | Cell]] = [
        [value_text(true), *(_share(matrix.loc[(true, given)]) for given in names)] for true in names
    ]
    return Section(
        "confusions", "Which class is given for which", [Table("Probability of each given class", columns, lines)]
    )


def _share(line: pd.Series) -> Cell:
    return Cell(percent(line["mean"], 1), below=f"{percent(line['low'], 1)} to {percent(line['high'], 1)}")


def has_confusions(suspects: Suspects) -> bool:
    """Whether a table of classes is of use."""
    classes = suspects.plain.model.outcome.classes
    return classes is not None and len(classes) <= MOST_CLASSES
