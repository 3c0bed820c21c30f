"""What a run prints: steps with their time, ranked causes, before and after, and where the files are."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from bayesrepair.diagnosis import Applied, Diagnosis, LabelSearch
from bayesrepair.evaluation import measure_of
from bayesrepair.reporting.wording import decimals, number, percent, plus_minus, value_text

SHOWN = 15  # causes


class Voice:
    """Prints steps as they begin, with the time since the start, and notes below them."""

    def __init__(self) -> None:
        self.console = Console(highlight=False)
        self.started = time.monotonic()

    def say(self, text: str, style: str = "") -> None:
        """Print one line."""
        self.console.print(Text(text, style=style), soft_wrap=True)

    def tell(self, said: str, kind: str) -> None:
        """Print a step or a note."""
        if kind == "note":
            self.say(f"        {said}", "dim")
        else:
            self.say(f"[{time.monotonic() - self.started:5.0f} s] {said}", "bold")

    def warn(self, said: str) -> None:
        """Print a warning."""
        self.say(f"        warning: {said}", "yellow")


def print_diagnosis(found: Diagnosis, voice: Voice) -> None:
    """Print the ranked causes, the figures before and after, and the verdict."""
    console = voice.console
    console.print()
    console.print(causes_table(found))
    if found.groups is not None:
        console.print(groups_table(found.groups.groups))
    if found.detection is not None:
        console.print(detection_table(found.detection))
    console.print(held_out_table(found.held_out, repaired=found.action != "none"))
    if found.edited.verification is not None:
        console.print(verification_table(found.edited.verification.frame()))
    console.print()
    voice.say(found.verdict, "bold")
    if found.edited.status.remedy:
        voice.say(found.edited.status.remedy, "yellow")


def print_labels(found: LabelSearch, voice: Voice) -> None:
    """Print the most suspicious rows, groups, and the verdict."""
    console = voice.console
    console.print()
    console.print(suspects_table(found))
    if found.suspects.evidence.groups:
        console.print(error_rates_table(found.suspects.groups))
    console.print()
    voice.say(found.verdict, "bold")
    status = found.suspects.status
    voice.say(str(status), "" if status.level == "ok" else "yellow")


def print_applied(found: Applied, voice: Voice) -> None:
    """Print what was decided, and what the repair is worth."""
    voice.say("")
    if found.edited.verification is not None:
        voice.console.print(verification_table(found.edited.verification.frame()))
    voice.say(found.verdict, "bold")
    if found.edited.status.remedy:
        voice.say(found.edited.status.remedy, "yellow")


def print_files(files: Sequence[Path], voice: Voice) -> None:
    """Print where the files are."""
    voice.say("")
    voice.say(f"Open {files[0]}")
    voice.say(f"Beside it: {', '.join(path.name for path in files[1:])}")


def _table(title: str) -> Table:
    return Table(title=title, title_justify="left", title_style="bold", box=SIMPLE_HEAD, pad_edge=False)


def causes_table(found: Diagnosis) -> Table:
    """The rows that work hardest against the failures."""
    frame = found.causes.frame().head(SHOWN)
    what = "the held-out rows" if found.causes.against == "held_out" else "the failures"
    treated = {"delete": "deleted", "relabel": "relabelled"}.get(found.action)
    title = f"Top causes of {len(found.causes)} training rows (a positive score works against {what})"
    table = _table(title)
    for name in ("row", "given", "score", f"P(top {found.causes.top_size})", "rank, 90 %", "surprise"):
        table.add_column(name, justify="left" if name == "given" else "right", no_wrap=name == "score")
    if treated:
        table.add_column(treated)
    if found.truth is not None:
        table.add_column("label")
    wrong = set() if found.truth is None else set(found.truth.index[found.truth])
    for rank, (row, line) in enumerate(frame.iterrows(), start=1):
        cells = [
            str(row),
            value_text(line["given"]),
            plus_minus(line["score"], line["mcse"]),
            decimals(line["prob_top"], 2),
            f"{line['rank_low']:.0f}–{line['rank_high']:.0f}",
            number(line["surprise"]),
        ]
        if treated:
            cells.append("yes" if rank <= found.size else "")
        if found.truth is not None:
            cells.append("wrong" if row in wrong else "")
        table.add_row(*(Text(cell) for cell in cells))
    return table


def suspects_table(found: LabelSearch) -> Table:
    """The rows whose label is most probably wrong."""
    frame = found.suspects.frame().head(SHOWN)
    instead = "suggested" if "suggested" in frame else "predicted"
    table = _table(f"Suspects among {len(found.suspects)} rows")
    for name in ("row", "given", instead, "P(wrong)", "why"):
        table.add_column(name, justify="right" if name in ("row", "P(wrong)") else "left")
    for row, line in frame.iterrows():
        cells = [str(row), value_text(line["given"]), value_text(line[instead])]
        cells += [decimals(line["prob_wrong"], 3), str(line["reason"])]
        table.add_row(*(Text(cell) for cell in cells))
    return table


def error_rates_table(groups: pd.DataFrame) -> Table:
    """Error rate of each group, the highest first."""
    table = _table(f"Errors by {groups.index.name}")
    for name in (str(groups.index.name), "rows", "error rate", "90 % interval", "P(highest)"):
        table.add_column(name, justify="right")
    for group, line in groups.head(SHOWN).iterrows():
        interval = f"{percent(line['low'], 1)} to {percent(line['high'], 1)}"
        rate = percent(line["rate"], 1)
        table.add_row(Text(str(group)), f"{line['rows']:.0f}", rate, interval, decimals(line["prob_highest"], 2))
    return table


def groups_table(groups: pd.DataFrame) -> Table:
    """Groups of rows, most harmful first."""
    table = _table(f"By {groups.index.name}")
    for name in (str(groups.index.name), "rows", "sum of scores", "90 % interval", "mean a row", "P(first)"):
        table.add_column(name, justify="right")
    for group, line in groups.head(SHOWN).iterrows():
        table.add_row(
            Text(str(group)),
            f"{line['rows']:.0f}",
            plus_minus(line["sum"], line["mcse"]),
            f"{number(line['low'])} to {number(line['high'])}",
            number(line["mean"]),
            decimals(line["prob_first"], 2),
        )
    return table


def detection_table(found: pd.DataFrame) -> Table:
    """How well each ranking finds the rows that were made wrong on purpose."""
    k = int(found["k"].iloc[0])
    table = _table(f"Wrong labels among the top {k} of each ranking")
    table.add_column("ranking")
    for name in (f"share of the top {k}", "found in the first fifth", "average precision"):
        table.add_column(name, justify="right")
    for ranking, line in found.iterrows():
        shares = (line["precision_at_k"], line["found_in_first_fifth"])
        table.add_row(str(ranking), *(percent(share) for share in shares), decimals(line["average_precision"], 2))
    chance = found["chance"].iloc[0]
    table.add_row("by chance", percent(chance), percent(0.2), decimals(chance, 2), style="dim")
    return table


def held_out_table(held_out: pd.DataFrame, *, repaired: bool) -> Table:
    """Accuracy (or error) and log score on parts of the held-out rows, before and after."""
    name = measure_of(held_out)
    title = "Held-out rows before and after" if repaired else "Held-out rows"
    table = _table(title)
    table.add_column("part")
    table.add_column("rows", justify="right")
    columns = [name, "log score"]
    heads = [f"{c}, before → after" for c in columns] + ["gain in log score"] if repaired else columns
    for head in heads:
        table.add_column(head, justify="right")
    for part, line in held_out.iterrows():
        pairs = [(line[f"{c}_before"], line[f"{c}_after"]) for c in (name, "log_score")]
        cells = [decimals(a) + (f" → {decimals(b)}" if repaired else "") for a, b in pairs]
        if repaired:
            cells.append(plus_minus(line["log_score_gain"], line["gain_se"]))
        table.add_row(str(part), f"{line['rows']:.0f}", *cells)
    return table


def verification_table(distances: pd.DataFrame) -> Table:
    """Distances of the repaired posterior to refits, beside those between refits."""
    table = _table("Against refits on the retained rows")
    table.add_column("distance of")
    for name in ("to refits", "between refits", "ratio"):
        table.add_column(name, justify="right")
    for metric, line in distances.iterrows():
        ratio = line["ratio"]
        shown = decimals(ratio, 1) if np.isfinite(ratio) else number(ratio)
        table.add_row(str(metric), number(line["distance"]), number(line["refit_noise"]), shown)
    return table
