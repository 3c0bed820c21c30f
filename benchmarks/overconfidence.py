"""What deleting the rows that fit worst does to clean data: posteriors that are too sure, edited or refitted alike.

θ is drawn from the prior and every row from the model given θ: nothing is wrong with any row. The 20 rows of smallest
expected log-likelihood are deleted all the same. A posterior given the rows that are left knows nothing of how they
were chosen: it takes the mild rows for all there ever were. Measured is how often central intervals cover θ, over many
simulations.

- ``before``: all rows.
- ``random``: 20 rows are deleted that were chosen without a look at the data.
- ``worst``: the 20 worst are deleted, with `bayesrepair.edit`; ``worst, refit``: a refit without them.
- ``worst, rehearsed``: the edited draws moved back by what the same deletion does to clean data from the fitted model.
"""

from __future__ import annotations

import argparse
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

import bayesrepair as br
from bayesrepair.posterior import Draws
from bayesrepair.rows import Rows
from benchmarks.kept import code_version
from benchmarks.overconfidence_plot import plot
from benchmarks.results import save
from benchmarks.simulated import LOCATION_SCALE, MODELS, Simulated, simulations

FITTED = 1000  # draws of every fit
DELETED = 20
ROWS = 200  # of the small models
REHEARSALS, REHEARSED_DRAWS = 4, 400
NAMES = {"919 normal rows": LOCATION_SCALE, **MODELS}
CASES = ("before", "random", "worst", "worst, refit", "worst, rehearsed")
PICTURE = Path(__file__).parent.parent / "docs" / "overconfidence.png"


def simulate(name: str, k: int) -> list[dict[str, Any]]:
    """One θ with clean rows: a line for each case, with where θ lies in every marginal posterior."""
    simulated, rng = NAMES[name], np.random.default_rng([zlib.crc32(name.encode()), k])
    theta = simulated.theta(rng)
    rows = simulated.data(theta, simulated.rows if simulated is LOCATION_SCALE else ROWS, rng)
    fit = simulated.fit(rows, FITTED, rng)
    assert isinstance(fit.posterior, Draws)  # `Simulated.fit` draws
    before = fit.posterior.theta
    chosen = worst(simulated, rows, before)
    random = rng.choice(len(rows), DELETED, replace=False)
    edits = {
        case: br.edit(fit, br.Factor(rows.at(np.sort(at)), -1.0), random_seed=rng)
        for case, at in (("random", random), ("worst", chosen))
    }
    posteriors = {"before": before} | {case: edited.after.posterior for case, edited in edits.items()}
    posteriors = {case: _equal(draws, rng) for case, draws in posteriors.items()}
    posteriors["worst, refit"] = simulated.exact(_without(rows, chosen), FITTED, rng).theta
    posteriors["worst, rehearsed"] = posteriors["worst"] - rehearsed_shift(simulated, rows, before, rng)
    lines = []
    for case, draws in posteriors.items():
        shift = (draws.mean(axis=0) - before.mean(axis=0)) / before.std(axis=0)
        line = {"case": case, "below": (draws < theta).mean(axis=0).tolist(), "shift": shift.tolist()}
        line["status"] = edits[case].status.level if case in edits else None
        line["rung"] = edits[case].info.rung if case in edits else None
        lines.append(line)
    return lines


def worst(simulated: Simulated, rows: Rows, theta: np.ndarray, count: int = DELETED) -> np.ndarray:
    """Positions of the rows of smallest expected log-likelihood."""
    return np.sort(np.argsort(simulated.model.log_lik(theta, rows).mean(axis=0))[:count])


def rehearsed_shift(simulated: Simulated, rows: Rows, theta: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """What the deletion of the worst rows does to the posterior means where the fitted model is true, (P,)."""
    shifts = []
    for _ in range(REHEARSALS):
        clean = rows.replace(y=simulated.model.simulate(theta.mean(axis=0, keepdims=True), rows, rng)[0])
        fitted = simulated.exact(clean, REHEARSED_DRAWS, rng).theta
        left = _without(clean, worst(simulated, clean, fitted))
        shifts.append(simulated.exact(left, REHEARSED_DRAWS, rng).theta.mean(axis=0) - fitted.mean(axis=0))
    return np.mean(shifts, axis=0)


def _without(rows: Rows, at: np.ndarray) -> Rows:
    return rows.at(np.setdiff1d(np.arange(len(rows)), at))


def _equal(draws: np.ndarray | Draws, rng: np.random.Generator) -> np.ndarray:
    """Draws of equal weight."""
    return draws.theta[draws.resampled(FITTED, rng)] if isinstance(draws, Draws) else draws


def covered(frame: pd.DataFrame) -> pd.DataFrame:
    """Coverage of central intervals and shifts, a line for each model, case and parameter."""
    lines = []
    for (model, case), cell in frame.groupby(["model", "case"], sort=False):
        below, shift = np.stack(list(cell["below"])), np.stack(list(cell["shift"]))
        for j, parameter in enumerate(NAMES[str(model)].model.names):
            lines.append(
                {
                    "model": model,
                    "case": case,
                    "parameter": parameter,
                    "simulations": len(cell),
                    **{f"cover_{p}": float((np.abs(below[:, j] - 0.5) <= p / 200).mean()) for p in (50, 90)},
                    "shift": float(shift[:, j].mean()),
                    "shift_size": float(np.abs(shift[:, j]).mean()),
                    "ok": float((cell["status"] == "ok").mean()) if cell["status"].notna().all() else np.nan,
                }
            )
    return pd.DataFrame(lines)


def _table(figures: pd.DataFrame) -> pd.DataFrame:
    """A line for each model and case: coverage over all parameters, and of the one that suffers most."""
    lines = []
    for model in NAMES:
        of = figures[figures["model"] == model]
        hit = of[of["case"] == "worst, refit"].set_index("parameter")["cover_90"].idxmin()
        for case in CASES:
            cell = of[of["case"] == case].set_index("parameter")
            lines.append(
                {
                    "model": model,
                    "case": case,
                    "50 %, all parameters": cell["cover_50"].mean(),
                    "90 %, all parameters": cell["cover_90"].mean(),
                    "hit hardest": hit,
                    "its 50 %": cell.loc[hit, "cover_50"],
                    "its 90 %": cell.loc[hit, "cover_90"],
                    "its shift, posterior sds": cell.loc[hit, "shift"],
                    "its size": cell.loc[hit, "shift_size"],
                    "edits ok": "–" if np.isnan(cell["ok"].iloc[0]) else f"{cell['ok'].iloc[0]:.0%}",
                }
            )
    return pd.DataFrame(lines).set_index(["model", "case"])


def _findings(table: pd.DataFrame) -> str:
    """The finding in words, from the figures."""
    big = table.loc["919 normal rows"]
    edited, refit, random = (big.loc[case] for case in ("worst", "worst, refit", "random"))
    parts = [
        f"Deleting the {DELETED} worst of 919 clean normal rows moves log σ² by "
        f"{edited['its shift, posterior sds']:+.1f} posterior sds; its 90 % interval then covers "
        f"{edited['its 90 %']:.0%} of the time, that of a refit {refit['its 90 %']:.0%}, after {DELETED} random rows "
        f"{random['its 90 %']:.0%}."
    ]
    by_case = table["its 90 %"].unstack("case")
    gap = (by_case["worst"] - by_case["worst, refit"]).abs().max()
    parts.append(f"Edited and refitted posteriors differ by at most {gap:.3f} in coverage: the choice is at fault.")
    parts.append(f"Moved back by the rehearsal: {big.loc['worst, rehearsed', 'its 90 %']:.0%}.")
    hurt, mended, whole = by_case["worst"], by_case["worst, rehearsed"], table["90 %, all parameters"].unstack("case")
    parts.append(
        f"Over the models the parameter hit hardest is covered {hurt.min():.0%} to {hurt.max():.0%} of the time, after "
        f"the rehearsal {mended.min():.0%} to {mended.max():.0%}; all parameters together "
        f"{whole['worst'].min():.0%} to {whole['worst'].max():.0%}, after the rehearsal "
        f"{whole['worst, rehearsed'].min():.0%} to {whole['worst, rehearsed'].max():.0%}. "
        f"The mean of normal rows with known σ: {hurt['normal']:.0%}, for nothing there learns from how rows spread."
    )
    return " ".join(parts)


ADVICE = f"""What to do about it:

- **Rehearse.** Simulate clean data from the fitted model, delete its {DELETED} worst rows in the same way, and look at
  how far the posterior moves. Only what goes beyond that is news about your rows. ``worst, rehearsed`` takes the mean
  of {REHEARSALS} such moves back; it mends the place of the interval, not its width.
- **Do not delete for being improbable alone.** A reason that does not come from the outcome (a broken sensor, an
  annotator, a failed check of the record) makes the choice harmless, as ``random`` is.
- **Model the errors instead.** A robust likelihood (Student-t) or a noise-aware model keeps every row, and gives those
  that do not fit little weight as part of the posterior itself, so that nobody has to choose.
- Where rows are deleted by their fit all the same, say so beside the intervals: they are conditional on the choice.
"""


def main(argv: list[str]) -> None:
    """Run, draw, and write the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks overconfidence", description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=200, help="simulations of each model")
    parser.add_argument("--jobs", type=int, default=1, help="models at the same time")
    options = parser.parse_args(argv)
    frame = simulations("overconfidence", NAMES, simulate, runs=options.runs, jobs=options.jobs)
    figures = covered(frame)
    table = _table(figures)
    plot(frame, table, PICTURE)
    about = (
        f"{__doc__.strip()}\n\n**{_findings(table)}**\n\n![Overconfidence](../../docs/{PICTURE.name})\n\n{ADVICE}\n"
        f"{options.runs} simulations of each model, {DELETED} rows deleted of {ROWS} (of 919 in the first). Coverage "
        "of central 50 and 90 % intervals, over all parameters and of the one that a refit without the worst rows "
        "covers least; shift of its posterior mean against the mean before, in posterior sds before: mean, and mean "
        f"size.\n\nVersion of the editors' code: {code_version()}."
    )
    print(f"written to {save('overconfidence', figures, table=table, about=about)}")
