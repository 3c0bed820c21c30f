"""The posterior before and after: ArviZ's summary of both, and marginals."""

from __future__ import annotations

import numpy as np
import pandas as pd

from bayesrepair.posterior import Draws
from bayesrepair.reporting.blocks import Block, Column, Paragraph, Section, Table
from bayesrepair.reporting.material import Material
from bayesrepair.reporting.parameters import both_sides, changes, interval_name
from bayesrepair.reporting.pictures import embedded
from bayesrepair.reporting.plots import plot_edit
from bayesrepair.reporting.wording import beside, decimals, plural, whole

FIRST = 12
MOST = 400


def posterior(material: Material) -> Section:
    """Largest changes first."""
    before, after, omitted = both_sides(material.edited)
    frame = changes(before, after)
    if frame.empty:
        text = "No parameter of the model is small enough to list."
        return Section("posterior", "Posterior before and after", [Paragraph(text, muted=True)])
    blocks: list[Block] = [Paragraph(_largest(frame))]
    if len(material.treated):
        from matplotlib import pyplot

        plots = plot_edit(material.edited)
        figure = plots.viz["figure"].item()
        alt = f"Marginals before and after the repair of {', '.join(map(str, frame.index[:9]))}"
        caption = f"Marginals of the parameters that move most (ArviZ); bars: {interval_name()}s."
        blocks.append(embedded(figure, alt=alt, caption=caption))
        pyplot.close(figure)
    blocks.append(
        _table(frame.iloc[:FIRST], f"ArviZ summary of both posteriors, largest change first ({_which(frame)})")
    )
    if len(frame) > FIRST:
        blocks.append(_table(frame.iloc[FIRST:MOST], f"The other {len(frame[FIRST:MOST])} parameters", folded=True))
    remarks = [f"Not listed, for its size: {name}." for name in omitted]
    if len(frame) > MOST:
        remarks.append(f"{len(frame) - MOST} parameters with smaller changes are left out.")
    draws = material.after.posterior
    if isinstance(draws, Draws) and draws.is_weighted:
        remarks.append(
            f"After the repair {whole(len(draws))} weighted draws are worth {whole(draws.ess)} independent ones."
        )
    if remarks:
        blocks.append(Paragraph(" ".join(remarks), muted=True))
    return Section("posterior", "Posterior before and after", blocks)


def _which(frame: pd.DataFrame) -> str:
    return f"{min(FIRST, len(frame))} of {plural(len(frame), 'parameter')}"


def _largest(frame: pd.DataFrame) -> str:
    name, line = frame.index[0], frame.iloc[0]
    far = int((frame["shift"].abs() > 1).sum())
    return (
        f"The mean of {name} moves most, by {decimals(line['shift'], 2, sign=True)} of its posterior sd. "
        f"{whole(far)} of {plural(len(frame), 'parameter')} move by more than one sd; the median change is "
        f"{decimals(float(np.median(frame['shift'].abs())), 2)} sd, and the median posterior sd is "
        f"{decimals(float(np.nanmedian(frame['sd_ratio'])), 2)} times what it was."
    )


def _table(frame: pd.DataFrame, caption: str, *, folded: bool = False) -> Table:
    interval = interval_name()
    columns = [
        Column("parameter", numeric=False),
        Column("mean, before"),
        Column("sd, before"),
        Column("interval, before", interval),
        Column("mean, after"),
        Column("sd, after"),
        Column("interval, after", interval),
        Column("shift", "of the mean, in sds before"),
        Column("sd ratio", "after / before"),
    ]
    lines = [
        [
            str(name),
            beside(v["mean_before"], v["sd_before"]),
            beside(v["sd_before"], v["sd_before"]),
            f"{beside(v['low_before'], v['sd_before'])} to {beside(v['high_before'], v['sd_before'])}",
            beside(v["mean_after"], v["sd_after"]),
            beside(v["sd_after"], v["sd_after"]),
            f"{beside(v['low_after'], v['sd_after'])} to {beside(v['high_after'], v['sd_after'])}",
            decimals(v["shift"], 2, sign=True),
            decimals(v["sd_ratio"], 2),
        ]
        for name, v in frame.iterrows()
    ]
    return Table(caption, columns, lines, folded=folded)
