"""Simulation-based calibration of edited posteriors: neither too wide nor too narrow, and in the right place.

θ is drawn from the prior and rows from the model given θ; the posterior is edited; the rank of θ among 99 edited draws
is uniform if the edit is right (Talts et al. 2018, arXiv:1804.06788). Ranked are every parameter, the mean of a new
row, and the log-likelihood of the rows that the edited posterior is conditioned on, without which an edit that ignores
inserted rows would pass (Modrák et al. 2023, doi:10.1214/23-BA1404).

- ``delete random``: a quarter of the rows is deleted, chosen without a look at their outcomes.
- ``delete foreign``: the quarter that is deleted came from another θ, drawn from the prior like the first.
- ``insert``: the same quarter of honest rows is inserted.

``auto``, ``weights``, ``transport`` and ``moves`` are editors. ``exact`` is the known answer, and must pass. Wrong on
purpose: ``nothing`` (the posterior before the edit), ``sign flipped`` (rows to delete are counted twice) and ``too
narrow`` (exact, but sds 20 % too small). ``nothing`` has to pass ``delete random``: the posterior given all rows is
calibrated as well, and no rank can tell that random honest rows are still in it. Foreign rows show it.
"""

from __future__ import annotations

import argparse
import time
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

import bayesrepair as br
from bayesrepair.posterior import Draws
from bayesrepair.rows import Rows
from benchmarks import uniformity
from benchmarks.calibration_plot import plot
from benchmarks.kept import code_version
from benchmarks.results import save
from benchmarks.simulated import MODELS, Simulated, simulations

FITTED = 1000  # draws of every fit
SHARE = 0.25  # of the rows are deleted or inserted
NARROW = 0.8
LEVEL = 0.001  # below it a cell is rejected: some sixty cells, so that chance alone rejects one in twenty tables
FEWEST = 60  # simulations of a test
EDITORS = ("auto", "weights", "transport", "moves")
WRONG = ("nothing", "sign flipped", "too narrow")
EDITS = ("delete random", "delete foreign", "insert")
ORDER = ("exact", *EDITORS, *WRONG)
PICTURE = Path(__file__).parent.parent / "docs" / "calibration.png"


def simulate(name: str, k: int) -> list[dict[str, Any]]:
    """One θ and its rows, all edits and editors: a line each, with the ranks."""
    simulated, rng = MODELS[name], np.random.default_rng([zlib.crc32(name.encode()), k])
    theta, size = simulated.theta(rng), simulated.rows
    few = round(SHARE * size)
    everything = simulated.data(theta, size, rng)
    foreign = simulated.data(simulated.theta(rng), few, rng)
    new = simulated.data(theta, 1, rng)
    left, others = everything.at(np.arange(size - few)), np.arange(size - few, size)  # rows come in random order
    mixed = left.stacked(foreign)
    fits = {
        at: simulated.fit(rows, FITTED, rng) for at, rows in (("left", left), ("all", everything), ("mixed", mixed))
    }
    delete, insert = br.Factor(everything.at(others), -1.0), br.Factor(everything.at(others), 1.0)
    exact, narrow = fits["left"].posterior, _narrow(fits["left"].posterior)
    random = {"exact": exact, "nothing": fits["all"].posterior, "too narrow": narrow}
    random["sign flipped"] = _flipped(simulated, everything, others, rng)
    unlike = {"nothing": fits["mixed"].posterior, "sign flipped": _flipped(simulated, mixed, others, rng)}
    more = {"exact": fits["all"].posterior, "nothing": exact}
    lines = []
    for edit, before, factor, known, rows in (
        ("delete random", fits["all"], delete, random, left),
        ("delete foreign", fits["mixed"], br.Factor(mixed.at(others), -1.0), unlike, left),
        ("insert", fits["left"], insert, more, everything),
    ):
        truth = _quantities(simulated, theta, new, rows)[0]
        answers = {editor: (draws, {}) for editor, draws in known.items()}
        for editor, (draws, about) in (answers | _edited(before, factor, edit, rng)).items():
            some = draws.theta[draws.resampled(uniformity.DRAWS, rng)]
            ranks = uniformity.rank(truth, _quantities(simulated, some, new, rows))
            lines.append({"edit": edit, "editor": editor, "ranks": ranks.tolist(), **about})
    return lines


def _quantities(simulated: Simulated, theta: np.ndarray, new: Rows, left: Rows) -> np.ndarray:
    """What is ranked: parameters, the mean of a new row, the log-likelihood of the rows left; (S, P + 2)."""
    model = simulated.model
    return np.column_stack([theta, model.predict(theta, new)[:, 0, -1], model.log_lik(theta, left).sum(axis=1)])


def quantity_names(name: str) -> tuple[str, ...]:
    """Names of what is ranked."""
    return (*MODELS[name].model.names, "mean of a new row", "log-likelihood")


def _edited(
    before: br.Fit, factor: br.Factor, edit: str, rng: np.random.Generator
) -> dict[str, tuple[Draws, dict[str, Any]]]:
    """The edited posterior of every editor, with what was said of it."""
    found = {}
    for editor in EDITORS if edit != "insert" else ("auto",):
        started = time.process_time()
        edited = br.edit(before, factor, method=editor, random_seed=rng)
        about = {"status": edited.status.level, "rung": edited.info.rung, "khat": float(edited.info.khat)}
        found[editor] = edited.after.posterior, about | {"seconds": time.process_time() - started}
    return found


def _flipped(simulated: Simulated, rows: Rows, others: np.ndarray, rng: np.random.Generator) -> Draws:
    """What a deletion with the wrong sign gives: the rows counted twice."""
    weights = np.ones(len(rows))
    weights[others] = 2.0
    return simulated.exact(rows, FITTED, rng, weights)


def _narrow(draws: Draws) -> Draws:
    mean = draws.theta.mean(axis=0)
    return Draws.plain(mean + NARROW * (draws.theta - mean), draws.chain)


def tested(frame: pd.DataFrame) -> pd.DataFrame:
    """Tests of every cell: over all simulations, and over those whose edit was ok.

    ``p`` is the smallest p-value of both tests and all quantities, times their number (Bonferroni).
    """
    lines = []
    for (model, edit, editor), cell in frame.groupby(["model", "edit", "editor"], sort=False):
        line = {"model": model, "edit": edit, "editor": editor, "simulations": len(cell)}
        line |= _uniform(np.stack(list(cell["ranks"])), quantity_names(str(model)))
        if cell["status"].notna().all():
            ok = cell[cell["status"] == "ok"]
            line |= {"ok": len(ok) / len(cell), "seconds": cell["seconds"].mean()}
            if len(ok) >= FEWEST:
                found = _uniform(np.stack(list(ok["ranks"])), quantity_names(str(model)))
                line |= {f"{name}_ok": value for name, value in found.items()}
        lines.append(line)
    return pd.DataFrame(lines)


def _uniform(ranks: np.ndarray, names: tuple[str, ...]) -> dict[str, Any]:
    """Smallest p-value, the quantity that it belongs to, largest ECDF difference, quantities outside the band."""
    spread = uniformity.pit(ranks, np.random.default_rng(0))
    p_bins = np.array([uniformity.chi_square(column) for column in ranks.T])
    p_smooth = np.array([uniformity.smooth(column) for column in spread.T])
    p = 2 * np.minimum(p_bins, p_smooth)
    difference = max(np.abs(uniformity.ecdf_difference(column)[1]).max() for column in spread.T)
    return {
        "p": min(1.0, p.min() * len(p)),
        "p_bins": min(1.0, p_bins.min() * len(p)),
        "p_smooth": min(1.0, p_smooth.min() * len(p)),
        "worst": names[int(p.argmin())],
        "difference": float(difference),
        "outside": sum(uniformity.outside(column) for column in spread.T),
        "quantities": len(p),
    }


def _table(tests: pd.DataFrame) -> pd.DataFrame:
    """One line an edit and editor, one column a model: p of all, p of the ok ones, share ok."""
    cells = tests.assign(cell=[_cell(line) for line in tests.to_dict("records")])
    wide = cells.pivot(index=["edit", "editor"], columns="model", values="cell")
    wide = wide.reindex([(e, r) for e in EDITS for r in ORDER if (e, r) in wide.index])[list(MODELS)]
    largest = tests.groupby(["edit", "editor"])["difference"].max()
    return wide.assign(**{"largest ECDF difference": largest.reindex(wide.index)})


def _cell(line: dict[str, Any]) -> str:
    text = _p(line["p"])
    if pd.isna(line.get("ok")):
        return text
    ok = _p(line["p_ok"]) if pd.notna(line.get("p_ok")) else "–"
    return f"{text}; {ok} ({line['ok']:.0%} ok)"


def _p(p: float) -> str:
    text = f"{p:.2g}" if p >= 1e-4 else "< 1e-4"
    return f"**{text}**" if p < LEVEL else text


def _findings(tests: pd.DataFrame) -> str:
    """The verdict in words, from the figures."""
    rejected = tests["p"] < LEVEL
    rejected_ok = tests["p_ok"] < LEVEL
    parts = []
    for editor in ("exact", *EDITORS):
        of = tests["editor"] == editor
        text = f"{editor}: {int(rejected[of].sum())} of {int(of.sum())} cells rejected"
        if editor != "exact":
            edits, ok = tests.loc[of, "simulations"], tests.loc[of, "ok"] * tests.loc[of, "simulations"]
            text += (
                f", {int(rejected_ok[of].sum())} among the ok edits alone ({ok.sum():.0f} of {edits.sum()} edits ok)"
            )
        outside, quantities = tests.loc[of, "outside"].sum(), tests.loc[of, "quantities"].sum()
        parts.append(f"{text}, {outside} of {quantities} quantities outside the {uniformity.BAND:.0%} band")
    blind = (tests["editor"] == "nothing") & (tests["edit"] == "delete random")
    for name in WRONG:
        canary = (tests["editor"] == name) & ~blind
        text = ", ".join(
            f"{int(rejected[of].sum())} of {int(of.sum())} cells of {edit}"
            for edit in EDITS
            if (of := canary & (tests["edit"] == edit)).any()
        )
        parts.append(f"{name} (wrong on purpose): {text} rejected")
    return "; ".join(parts) + "."


def _served(frame: pd.DataFrame) -> str:
    """Which rungs served ``auto``: a refit would be right whatever the editors are worth."""
    shares = frame.loc[frame["editor"] == "auto", "rung"].value_counts(normalize=True)
    return "Auto was served by " + ", ".join(f"{rung} ({share:.1%})" for rung, share in shares.items()) + "."


def main(argv: list[str]) -> None:
    """Run, test, draw, and write the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks calibration", description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=300, help="simulations of each model")
    parser.add_argument("--jobs", type=int, default=1, help="models at the same time")
    options = parser.parse_args(argv)
    frame = simulations("calibration", MODELS, simulate, runs=options.runs, jobs=options.jobs)
    tests = tested(frame)
    plot(frame, list(MODELS), PICTURE)
    about = (
        f"{__doc__.strip()}\n\n**{_findings(tests)}** {_served(frame)}\n\n![Calibration](../../docs/{PICTURE.name})\n\n"
        f"Cells: p-value of uniform ranks in all {options.runs} simulations (chi-square on {uniformity.BINS} bins, and "
        "Neyman's smooth test for place and width; the smallest of all quantities, times the number of tests); then "
        f"that of the edits whose status was ok, and their share. Bold: rejected at {LEVEL}. A dash: fewer than "
        f"{FEWEST} ok edits. ``too narrow`` says what {options.runs} simulations can see. Where only ok edits of "
        "honest rows are kept, the status has looked at the deleted rows, and even exact draws need not be uniform "
        "among them; with foreign rows this selection is harmless.\n\n"
        f"Version of the editors' code: {code_version()}."
    )
    print(f"written to {save('calibration', tests, table=_table(tests), about=about)}")
