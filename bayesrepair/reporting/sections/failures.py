"""The failures: what the first fit got wrong."""

from __future__ import annotations

from typing import Any

import numpy as np

from bayesrepair.predictive import predict
from bayesrepair.reporting.blocks import Block, Cell, Column, Paragraph, Section, Table
from bayesrepair.reporting.material import Material
from bayesrepair.reporting.pictures import drawn
from bayesrepair.reporting.plots import plot_failures
from bayesrepair.reporting.wording import decimals, number, plural, value_text

MOST = 100


def failures(material: Material) -> Section:
    """The failing held-out rows, worst first, with what the repaired fit says."""
    found = material.failures
    if found is None:
        text = "No failures came with this repair. Pass failures=, or repair the top of a ranking: causes.top(k)."
        return Section("failures", "Failures", [Paragraph(text, muted=True)])
    blocks: list[Block] = [
        Paragraph(
            f"{plural(len(found), 'failure')} among {plural(len(found.holdout), 'held-out row')}. "
            f"What counts as one: {found.rule}."
        )
    ]
    if found.judged["log_score"].nunique() > 1:
        blocks.append(drawn(lambda ax: plot_failures(found, ax=ax), size=(7.2, 3.1)))
    if len(found):
        blocks.append(_table(material))
    return Section("failures", "Failures", blocks)


def _table(material: Material) -> Table:
    found = material.failures
    assert found is not None  # asked above
    frame = found.frame().head(MOST)
    prediction = predict(material.after, found.holdout.take(frame.index))
    now = prediction["predicted" if material.is_class else "mean"].to_dict()
    tail = "probability of the given class" if material.is_class else "two-sided tail probability of the outcome"
    columns = [
        Column("row", numeric=False),
        Column("given", numeric=not material.is_class),
        Column("predicted", "before", numeric=not material.is_class),
        Column("probability", f"before; {tail}"),
        Column("log score", "before, nats; low is bad"),
        Column("predicted", "after", numeric=not material.is_class),
    ]
    lines: list[list[str | Cell]] = []
    for row, line in frame.iterrows():
        right = material.is_class and now[row] == line["given"]
        lines.append(
            [
                value_text(row),
                value_text(line["given"]),
                _predicted(line["predicted"]),
                decimals(line["prob_given"], 3),
                decimals(line["log_score"], 2),
                Cell(_predicted(now[row]), "good" if right else "plain"),
            ]
        )
    more = f" (the worst {MOST} of {len(found)})" if len(found) > MOST else ""
    return Table(f"Failures, worst log score first{more}", columns, lines, folded=len(lines) > 12)


def _predicted(value: Any) -> str:
    """A class as it is called, a mean to four digits."""
    return number(float(value), 4) if isinstance(value, float | np.floating) else value_text(value)
