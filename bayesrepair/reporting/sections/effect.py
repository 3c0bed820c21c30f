"""What the repair did to held-out rows, and how well the ranking found bad rows where the truth is known."""

from __future__ import annotations

import pandas as pd

from bayesrepair.causes import Causes, find_causes
from bayesrepair.evaluation import Effect, detection, detection_curve, measure_of
from bayesrepair.predictive import log_score
from bayesrepair.reporting.blocks import Block, Cell, Column, Note, Paragraph, Pictures, Section, Table
from bayesrepair.reporting.material import Material
from bayesrepair.reporting.pictures import drawn
from bayesrepair.reporting.plots import plot_detection, plot_predictions, plot_reliability
from bayesrepair.reporting.wording import decimals, number, percent, plural, whole


def effect(material: Material) -> Section:
    """Before and after on failures, the rest and all held-out rows, with the caveat that goes with it."""
    if material.figures is None:
        text = "No held-out rows came with this repair. Pass held_out= or failures= to see its effect."
        return Section("effect", "What the repair did", [Paragraph(text, muted=True)])
    blocks: list[Block] = [
        _table(material.figures),
        Note(_caveat(material), "fair", heading="How to read the failures"),
    ]
    compared = material.compared
    if compared is not None and len(material.treated) and len(compared.holdout) > 1:
        failed = compared.judged["failed"].to_numpy(dtype=bool)
        size = (5.2, 4.5)
        rows = compared.holdout
        which = "held apart" if material.kept is not None else "held out"
        said = f"The {plural(len(rows), 'row')} {which}."
        before, after = material.before, material.after
        blocks.append(
            Pictures(
                [
                    drawn(
                        lambda ax: plot_predictions(before, after, rows, failed=failed, ax=ax), size=size, caption=said
                    ),
                    drawn(lambda ax: plot_reliability(before, after, rows, ax=ax), size=size, caption=said),
                ]
            )
        )
    return Section("effect", "What the repair did", blocks)


def _caveat(material: Material) -> str:
    text = (
        "Failures are defined by the errors of the original model, so almost any change makes them look better: a "
        "posterior moved at random would gain there too. Judge by all held-out rows, where the gains on failures have "
        "to be paid for by the others."
    )
    names = [] if material.figures is None else [str(name) for name in material.figures.index]
    if not any("apart" in name for name in names):
        text += " These rows also ranked the training rows; rows kept apart would give a smaller, fairer figure."
    return text


def _table(figures: pd.DataFrame) -> Table:
    name = measure_of(figures)
    how = "higher is better" if name == "accuracy" else "lower is better"
    columns = [
        Column("held-out rows", numeric=False),
        Column("rows"),
        Column(name, f"before → after; {how}"),
        Column("log score", "nats a row; higher is better"),
        Column("gain ± SE", "paired, nats a row"),
        Column("", numeric=False),
    ]
    lines = [_line(str(n), v, name) for n, v in figures.iterrows()]
    if any("apart" in str(n) for n in figures.index):  # rows that ranked or chose cannot judge: no badge for them
        lines = [
            line if "apart" in str(n) else [*line[:-1], Cell("some of these rows ranked")]
            for n, line in zip(figures.index, lines, strict=True)
        ]
    return Table("Before and after the repair", columns, lines)


def _line(part: str, line: pd.Series, name: str) -> list[str | Cell]:
    gain, error = line["log_score_gain"], line["gain_se"]
    share = percent if name == "accuracy" else (lambda v, p: number(v, 4))
    return [
        part,
        whole(line["rows"]),
        " → ".join(share(line[f"{name}_{side}"], 1) for side in ("before", "after")),
        " → ".join(decimals(line[f"log_score_{side}"], 3) for side in ("before", "after")),
        f"{decimals(gain, 3, sign=True)} ± {decimals(error, 3)}",
        _badge(Effect.of(line)),
    ]


def _badge(effect: Effect) -> Cell:
    """Better or worse with its colour; where the two measures disagree, neither is praised."""
    turns = {effect.log_score, effect.by_measure}
    if effect.unchanged or turns == {""}:
        return Cell(effect.words)
    if effect.mixed and "better" in turns:
        return Cell(effect.words, "fair")
    return Cell(effect.words, "bad" if "worse" in turns else "good")


def found_bad_rows(material: Material) -> Section:
    """How well each ranking finds the rows known to be bad."""
    causes, truth = material.causes, material.truth
    assert causes is not None  # the section is left out otherwise
    assert truth is not None
    rankings = _rankings(causes)
    bad = truth.reindex(causes.scores.index).astype(bool)
    if not bad.any():
        text = "No training row is known to be bad: there is nothing to find."
        return Section("truth", "Were the bad rows found?", [Paragraph(text)])
    curves = {name: detection_curve(scores, bad) for name, scores in rankings.items()}
    picture = drawn(lambda ax: plot_detection(curves, chance=float(bad.mean()), ax=ax), size=(6.6, 4.1))
    text = (
        f"{plural(int(bad.sum()), 'training row')} of {whole(len(bad))} are known to be bad. The cause score asks "
        f"which rows work against {material.whom}; surprise and training loss ask which rows are odd in themselves. "
        "These are two questions: a bad row that harms no failure ranks low by the first."
    )
    return Section(
        "truth",
        "Were the bad rows found?",
        [Paragraph(text), _detection_table(rankings, bad, _sizes(material, bad)), picture],
    )


def _rankings(causes: Causes) -> dict[str, pd.Series]:
    """Scores that rank the training rows, high = suspicious."""
    loss = pd.Series(-log_score(causes.fit, causes.training), index=causes.training.index)
    rankings = {"cause score": causes.scores["score"]}
    if causes.against == "held_out" and causes.found is not None and len(causes.found):
        alone = find_causes(causes.fit, causes.found, progressbar=False)
        rankings["cause score, failures alone"] = alone.scores["score"].reindex(causes.scores.index)
    rankings["PSIS-LOO surprise"] = causes.scores["surprise"]
    rankings["training loss"] = loss.reindex(causes.scores.index)
    return rankings


def _sizes(material: Material, bad: pd.Series) -> list[int]:
    """How many rows to look at: those treated, and as many as are bad."""
    return sorted({len(material.treated) or int(bad.sum()), int(bad.sum())})


def _detection_table(rankings: dict[str, pd.Series], bad: pd.Series, sizes: list[int]) -> Table:
    columns = [
        Column("ranking", numeric=False),
        *(Column(f"bad among the top {k}", "share of the rows looked at") for k in sizes),
        Column("average precision", "1 = perfect"),
        Column("found in the first fifth", "of the rows; share of all bad ones"),
    ]
    lines: list[list[str | Cell]] = []
    for name, scores in rankings.items():
        measured = [detection(scores, bad, k=k) for k in sizes]
        shares = [float(m["precision_at_k"]) for m in measured]
        cells = [f"{round(share * k)} ({percent(share)})" for share, k in zip(shares, sizes, strict=True)]
        last = measured[-1]
        rest = [decimals(last["average_precision"], 3), percent(last["found_in_first_fifth"])]
        lines.append([name, *cells, *rest])
    chance = float(bad.mean())
    by_chance = [f"{chance * k:.1f} ({percent(chance)})" for k in sizes]
    lines.append(["chance", *by_chance, decimals(chance, 3), percent(0.2)])
    return Table("Truly bad rows found by each ranking", columns, lines)
