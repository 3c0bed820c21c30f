"""The ranked causes, groups of them, and how they were cut off."""

from __future__ import annotations

from functools import partial
from typing import Any

import pandas as pd
from matplotlib.axes import Axes

from bayesrepair.fit import Fit
from bayesrepair.group_causes import GroupCauses
from bayesrepair.numerics.psis import khat_threshold
from bayesrepair.predictive import mean_and_sd, predict
from bayesrepair.reporting.blocks import Block, Cell, Column, Paragraph, Picture, Section, Table
from bayesrepair.reporting.material import Material
from bayesrepair.reporting.pictures import drawn
from bayesrepair.reporting.plots import plot_causes, plot_choice, plot_groups
from bayesrepair.reporting.standouts import standouts
from bayesrepair.reporting.wording import decimals, number, percent, plural, plus_minus, value_text, whole

PICTURED = 20
FOLDED_GROUPS = 15


def causes(material: Material) -> Section:
    """Ranking, what stands out about each row, and the choice of K."""
    if material.causes is None:
        text = "No ranking came with this repair. Pass causes=, or repair the top of a ranking: causes.top(k)."
        blocks: list[Block] = [Paragraph(text, muted=True)]
        if len(material.treated):
            blocks.append(_treated_table(material))
        return Section("causes", "Ranked causes", blocks)
    which = Paragraph(str(material.causes.regime))
    blocks = [Paragraph(_explanation(material)), which, _picture(material), _ranking(material), *_choice(material)]
    return Section("causes", "Ranked causes", blocks)


def groups(material: Material) -> Section:
    """Sums of scores over groups."""
    blocks: list[Block] = []
    for group in material.groups:
        size = (7.2, 1.6 + 0.3 * min(30, len(group.groups)))
        blocks += [drawn(partial(_draw_groups, group), size=size), _groups_table(group, material)]
    return Section("groups", "Causes by group", blocks)


def _draw_groups(group: GroupCauses, ax: Axes) -> None:
    plot_groups(group, ax=ax)


def _explanation(material: Material) -> str:
    assert material.causes is not None  # asked by the callers
    return (
        f"The cause score of a training row is the drop in its own log-likelihood when {material.whom} are believed: "
        f"E[log p(row)] before minus after, in nats. Positive: the row works against {material.whom}; negative: it "
        f"supports them. {plural(len(material.causes.failures), 'held-out row')} scored "
        f"{plural(len(material.causes), 'training row')}. Surprise is minus the PSIS-LOO log score: how odd the row is "
        "to a model that has not seen it, whatever the failures are."
    )


def _picture(material: Material) -> Picture:
    found = material.causes
    assert found is not None
    k = min(PICTURED, len(found))
    return drawn(lambda ax: plot_causes(found, k, truth=material.truth, ax=ax), size=(7.2, 1.5 + 0.25 * k))


def _ranking(material: Material) -> Table:
    found = material.causes
    assert found is not None
    shown = found.scores.head(min(len(found), max(material.shown, min(len(material.treated), 100))))
    now = _now(material.after, material.before, shown.index) if len(material.treated) else None
    unusual = standouts(found.fit, shown.index)
    columns = _columns(material, found.top_size, with_now=now is not None)
    bad = None if material.truth is None else material.truth.astype(bool).to_dict()
    lines = []
    for rank, (row, line) in enumerate(shown.iterrows(), start=1):
        ranks = f"ranks {whole(line['rank_low'])}–{whole(line['rank_high'])}"
        cells: list[str | Cell] = [Cell(value_text(row), below=f"rank {rank}")]
        cells.append(Cell(value_text(line["given"]), below=str(material.treated.get(row, ""))))
        if now is not None:
            cells.append(now[row])
        cells += [plus_minus(line["score"], line["mcse"]), Cell(decimals(line["prob_top"], 2), below=ranks)]
        cells.append(decimals(line["surprise"], 2))
        if bad is not None:
            cells.append(Cell("bad", "bad") if bad[row] else "–")
        cells.append(Cell("", chips=[f"{s.column} {s.text}" for s in unusual[row]]))
        lines.append(cells)
    return Table(f"The {len(lines)} training rows that work hardest against {material.whom}", columns, lines)


def _columns(material: Material, top: int, *, with_now: bool) -> list[Column]:
    peers = "rows of the same given class" if material.is_class else "all rows"
    columns = [
        Column("row", numeric=False),
        Column("given", material.before.model.outcome.name, numeric=not material.is_class),
        Column("score ± MCSE", "nats; positive = harmful"),
        Column(f"P(top {top})", "90 % rank interval"),
        Column("surprise", "nats"),
    ]
    if with_now:
        hint = "most probable class" if material.is_class else "mean ± sd"
        columns.insert(2, Column("repaired model says", hint, numeric=not material.is_class))
    if material.truth is not None:
        columns.append(Column("truth", numeric=False))
    columns.append(Column("what stands out", f"in brackets: robust z, or share, among {peers}", numeric=False))
    return columns


def _now(after: Fit, before: Fit, rows: pd.Index) -> dict[Any, str | Cell]:
    """What the repaired posterior predicts for some training rows."""
    some = before.rows.take(rows)
    if before.model.outcome.kind == "class":
        frame = predict(after, some)
        probability = frame.drop(columns=["predicted", "mcse"]).max(axis=1)
        said = frame["predicted"]
        return {r: Cell(value_text(said[r]), below=f"probability {decimals(probability[r], 2)}") for r in rows}
    mean, sd = mean_and_sd(after, some)
    return {r: f"{number(m)} ± {number(s)}" for r, m, s in zip(rows, mean[:, 0], sd[:, 0], strict=True)}


def _treated_table(material: Material) -> Table:
    """Rows treated, where no ranking is at hand."""
    fit, treated = material.before, material.treated
    known = treated.index[treated.index.isin(fit.rows.index)]
    unusual = standouts(fit, known)
    lines: list[list[str | Cell]] = [
        [value_text(row), what, Cell("", chips=[f"{s.column} {s.text}" for s in unusual.get(row, [])])]
        for row, what in treated.head(200).items()
    ]
    columns = [
        Column("row", numeric=False),
        Column("treatment", numeric=False),
        Column("what stands out", numeric=False),
    ]
    return Table(f"{plural(len(treated), 'row')} treated", columns, lines)


def _choice(material: Material) -> list[Block]:
    choice = material.choice
    if choice is None:
        return []
    text = (
        "How many rows to remove was chosen on held-out rows, without knowing which rows are bad: the smallest size "
        "within one standard error of the best, and none unless the best gains by two."
    )
    return [Paragraph(text), drawn(lambda ax: plot_choice(choice, ax=ax), size=(7.2, 3.4))]


def _groups_table(group: GroupCauses, material: Material) -> Table:
    good = khat_threshold(len(material.before.draws))
    columns = [
        Column(group.column, numeric=False),
        Column("rows"),
        Column("sum ± MCSE", "nats; positive = harmful"),
        Column("90 % interval", "draws and held-out rows"),
        Column("mean a row"),
        Column("P(first)"),
        Column("joint score", "deleting the whole group"),
        Column("k-hat", f"of the joint score; good up to {decimals(good, 2)}"),
    ]
    lines: list[list[str | Cell]] = [
        [
            value_text(name),
            whole(line["rows"]),
            plus_minus(line["sum"], line["mcse"]),
            f"{number(line['low'])} to {number(line['high'])}",
            number(line["mean"]),
            percent(line["prob_first"]),
            number(line["joint"]),
            Cell(decimals(line["joint_khat"], 2), "fair" if line["joint_khat"] > good else "plain"),
        ]
        for name, line in group.groups.iterrows()
    ]
    caption = f"Cause scores by {group.column} (a sum favours big groups: read the mean beside it)"
    return Table(caption, columns, lines, folded=len(lines) > FOLDED_GROUPS)
