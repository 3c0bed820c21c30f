"""Each of the 85 counties of the radon model deleted in turn: rungs alone and auto, against refits.

P = 90, non-centred, 839 training homes of which 60 carry planted errors of ±3. For every county three refits (4 × 1000
draws after 1000 of tuning) make the pool. ``e`` is the mean over predictions (all training and held-out homes, those
of the deleted county included) of |Δ mean| / sd of the pool, ``max`` its largest, ``log_sd`` the mean of
|log sd ratio|; ``n`` and ``max n`` the same for each refit against the pool of the others, averaged. ``own e`` and
``own log sd`` are of the deleted county's own homes, whose effect must return to its prior. ``mc`` is the Monte Carlo
error of the edited means, root mean square over predictions, from how the chains disagree.
"""

from __future__ import annotations

import argparse
import json
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from threadpoolctl import threadpool_limits

import bayesrepair as br
from bayesrepair.edit import EDITORS
from bayesrepair.posterior import Draws
from bayesrepair.status import BayesRepairWarning
from benchmarks import kept
from benchmarks.distances import Summary, summaries
from benchmarks.editing import Bench
from benchmarks.results import markdown, save

REFITS = 3
RUNGS = tuple(name for name in ("weights", "marginal", "transport", "auto") if name in EDITORS)
WORST = 5
DISTANCES = ("e", "max", "log_sd", "own_e", "own_log_sd")


def merged(parts: Sequence[Summary]) -> Summary:
    """Mean and sd of several equally many draws together, and the standard error of that mean."""
    means = np.stack([part["mean"] for part in parts])
    square = np.mean([part["sd"] ** 2 + part["mean"] ** 2 for part in parts], axis=0)
    error = np.sqrt(np.sum([part["error"] ** 2 for part in parts], axis=0)) / len(parts)
    mean = means.mean(axis=0)
    return {"mean": mean, "sd": np.sqrt(square - mean**2), "error": error}


def apart(some: Summary, pool: Summary, own: np.ndarray) -> dict[str, float]:
    """Distances over all predictions, and over those of the deleted county."""
    shift, spread = np.abs(some["mean"] - pool["mean"]) / pool["sd"], np.abs(np.log(some["sd"] / pool["sd"]))
    values = (shift.mean(), shift.max(), spread.mean(), shift[own].mean(), spread[own].mean())
    return dict(zip(DISTANCES, map(float, values), strict=True))


def county_lines(bench: Bench, county: int) -> list[dict[str, Any]]:
    """All rungs on one county."""
    problem = bench.problem
    at, code = np.asarray(problem.groups) == county, county - 1
    edit = _deletion(bench, county)
    own = problem.evaluated.values["county_index"] == code
    refits, times = _refits(bench, edit, county)
    seen = [summaries(problem, draws)["unbounded"] for draws in refits]
    pool = merged(seen)
    noise = pd.DataFrame([apart(seen[k], merged(seen[:k] + seen[k + 1 :]), own) for k in range(REFITS)]).mean()
    common: dict[str, Any] = {
        "county": county,
        "homes": int(at.sum()),
        "gross": int(np.isin(problem.fit.rows.row[at], problem.bad).sum()),
        "code": kept.code_version(),
        "refit_seconds": float(np.median([took["refit_cpu"] for took in times])),
        "refit_ess": float(np.mean([draws.sampling.ess_min for draws in refits if draws.sampling])),
        "pool_mc": _mc(pool, pool),
        "e_nothing": apart(summaries(problem, problem.fit.draws)["unbounded"], pool, own)["e"],
    } | {f"{name}_noise": float(value) for name, value in noise.items()}
    lines = []
    for rung in RUNGS:
        draws, found = bench.line(rung, edit, in_turn=False)
        some = summaries(problem, draws)["unbounded"]
        worst = int(np.argmax(np.abs(some["mean"] - pool["mean"]) / pool["sd"]))
        measured = apart(some, pool, own) | {"mc": _mc(some, pool), "worst_is_own": bool(own[worst])}
        lines.append(common | {"rung": rung} | found | measured)
    return lines


def shared_error(bench: Bench, counties: Sequence[int], rung: str) -> dict[str, float]:
    """What the errors of some counties have in common, although each has refits of its own.

    The edits of all counties start from the same draws, so that an error that they share is the Monte Carlo error of
    those draws, which an edit hands on and a refit draws anew.
    """
    shifts = []
    for county in counties:
        edit = _deletion(bench, county)
        pool = merged([summaries(bench.problem, draws)["unbounded"] for draws in _refits(bench, edit, county)[0]])
        draws, _ = bench.line(rung, edit, in_turn=False)
        some = summaries(bench.problem, draws)["unbounded"]
        shifts.append((some["mean"] - pool["mean"]) / pool["sd"])
    stacked = np.stack(shifts)
    correlation = np.asarray(np.corrcoef(stacked))[np.triu_indices(len(shifts), 1)]
    share = np.mean(stacked.mean(axis=0) ** 2) / np.mean(stacked**2)
    return {"least": float(correlation.min()), "most": float(correlation.max()), "share": float(share)}


def _deletion(bench: Bench, county: int) -> tuple[br.Factor, ...]:
    at = np.flatnonzero(np.asarray(bench.problem.groups) == county)
    return (br.Factor(bench.problem.fit.rows.at(at), -1.0),)


def _refits(bench: Bench, edit: tuple[br.Factor, ...], county: int) -> tuple[list[Draws], list[dict[str, float]]]:
    both = [bench.refit(edit, 1000 * county + k) for k in range(REFITS)]
    return [draws for draws, _ in both], [took for _, took in both]


def _mc(some: Summary, pool: Summary) -> float:
    return float(np.sqrt(np.mean((some["error"] / pool["sd"]) ** 2)))


def judged(frame: pd.DataFrame) -> pd.DataFrame:
    """Rules of B1 on every line, and the cost."""
    good = frame["e"] <= np.maximum(3 * frame["e_noise"], 0.08)
    strict = (
        (frame["e"] <= np.maximum(2 * frame["e_noise"], 0.05))
        & (frame["max"] <= np.maximum(2 * frame["max_noise"], 0.2))
        & (frame["log_sd"] <= 0.1)
    )
    false_ok = (frame["status"] == "ok") & ~good
    return frame.assign(good=good, strict=strict, false_ok=false_ok, cost=frame["cpu"] / frame["refit_seconds"])


def overview(frame: pd.DataFrame) -> pd.DataFrame:
    """One line a rung."""
    rungs = frame.groupby("rung", sort=False)
    return pd.DataFrame(
        {
            "e mean": rungs["e"].mean(),
            "e worst": rungs["e"].max(),
            "n mean": rungs["e_noise"].mean(),
            "max worst": rungs["max"].max(),
            "max n worst": rungs["max_noise"].max(),
            "own e": rungs["own_e"].mean(),
            "own n": rungs["own_e_noise"].mean(),
            "own log sd": rungs["own_log_sd"].mean(),
            "own log sd n": rungs["own_log_sd_noise"].mean(),
            "k-hat worst": rungs["khat"].max(),
            "ess least": rungs["ess"].min(),
            "ok": rungs["status"].agg(lambda s: int((s == "ok").sum())),
            "strict": rungs["strict"].sum(),
            "falsely ok": rungs["false_ok"].sum(),
            "cost": rungs["cost"].median(),
        }
    )


def every_county(frame: pd.DataFrame) -> pd.DataFrame:
    """One line a county, each rung in a cell."""
    cells = frame.assign(
        cell=[
            f"{line.e:.3f} ({line.max:.2f}) k {line.khat:.2f} {line.status}" + f" by {line.served}" * (r == "auto")
            for r, line in zip(frame["rung"], frame.itertuples(), strict=True)
        ]
    )
    wide = cells.pivot_table(index="county", columns="rung", values="cell", aggfunc="first", sort=False)
    about = frame.groupby("county", sort=False)[["homes", "gross", "e_nothing", "e_noise", "max_noise"]].first()
    return about.rename(columns={"e_noise": "n", "max_noise": "max n"}).join(wide[list(RUNGS)])


def worst(frame: pd.DataFrame, rung: str) -> pd.DataFrame:
    """The counties where a rung is furthest off, with what can explain it."""
    some = frame[frame["rung"] == rung].nlargest(WORST, "e").set_index("county")
    expected = np.sqrt(2 / np.pi) * np.hypot(some["mc"], some["pool_mc"])  # of |normal noise|
    shown = ["homes", "gross", "e", "e_noise", "max", "worst_is_own", "own_e", "own_log_sd", "khat", "ess", "served"]
    return some[shown].assign(**{"e of Monte Carlo noise alone": expected})


def main(argv: list[str]) -> None:
    """Run, keep every county, and write the tables."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks counties", description=__doc__.splitlines()[0])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--fresh", action="store_true", help="measure kept counties again")
    parser.add_argument("--county", type=int, action="append", help="only these; nothing is written")
    options = parser.parse_args(argv)
    bench = Bench.of("radon", options.seed)
    bench.warm["marginal"] = 0.0  # it refuses the trivial edits that warm up the others
    lines: list[dict[str, Any]] = []
    with threadpool_limits(1), warnings.catch_warnings():
        warnings.simplefilter("ignore", BayesRepairWarning)
        for county in options.county or range(1, 86):
            file = kept.path("counties", options.seed, county, suffix=".json")
            if options.fresh or not file.exists():
                kept.save_lines(file, {line["rung"]: line for line in county_lines(bench, county)})
            found = list(json.loads(file.read_text()).values())
            lines += found
            print(
                f"county {county} ({found[0]['homes']} homes): noise {found[0]['e_noise']:.3f}; "
                + ", ".join(f"{f['rung']} {f['e']:.3f} (k {f['khat']:.2f}, {f['status']})" for f in found),
                flush=True,
            )
        frame = judged(pd.DataFrame(lines))
        print(overview(frame).to_string(float_format="{:.3g}".format))
        if options.county is None:
            furthest = list(worst(frame, "marginal").index)
            print(f"written to {report(frame, shared_error(bench, furthest, 'marginal'))}")


def report(frame: pd.DataFrame, shared: dict[str, float]) -> Path:
    """Write the tidy lines and the Markdown."""
    parts = [__doc__.strip(), markdown(overview(frame))]
    why = {
        "marginal": (
            f"The errors of these counties, each against refits of its own, are correlated over predictions by "
            f"{shared['least']:.2f} to {shared['most']:.2f}; {shared['share']:.0%} of their mean square is common to "
            "them all. That is the Monte Carlo error of the 4000 draws that every edit starts from: it is there before "
            "anything is deleted."
        ),
        "auto": (
            "`auto` stops at the first rung that is ok. Where that is `weights`, the sds of the county's own homes "
            "(own_log_sd) lag behind: reweighted draws of the county's effect have to stretch to its prior."
        ),
    }
    for rung, text in why.items():
        title = f"## The {WORST} counties where {rung} is furthest off"
        parts.append(f"{title}\n\n{markdown(worst(frame, rung))}\n\n{text}")
    parts.append("## Every county\n\ne (max), k-hat and status of each rung")
    return save("counties", frame, table=every_county(frame), about="\n\n".join(parts))
