"""Rehearsals against the truth: whether their 90 % intervals cover what errors in true labels come to.

A rehearsal knows the given labels only. The truth is made apart from it: other seeds, and errors drawn by the benchmark
(`bayesrepair.datasets.flip_labels`: any other class, each as likely) in the true labels; the same search then looks for
them.

- ``uniform``: the given labels are the true ones; 10 % of all labels become wrong.
- ``class``: the given labels are the true ones; 20 % of one class, drawn at random, are taken for another.
- ``annotator``: the given labels are the true ones; rows belong to four annotators at random, and 40 % of the labels
  of one of them become wrong. Rehearsal and search know who gave which label.
- ``wrong already``: a tenth of the given labels are wrong before the rehearsal plants a tenth; the truth is how well
  the search finds the real ones in the labels as given.
- ``needless``: nothing is wrong, and a tenth of the rows are removed all the same: the change of the log score and of
  the accuracy on test rows, rehearsed on labels drawn from the fitted model, and measured on the true labels.

``recall by class`` and ``recall by annotator``: the share of the errors among records of each true class, or in the
annotator with errors, that is removed, against `Rehearsal.by`.

Logistic and softmax regressions, standardised; posteriors are Laplace approximations throughout, in rehearsals and in
the truth, which takes a second a run (``sampled``: the first block again with NUTS, on wine).
"""

from __future__ import annotations

import argparse
import json
import time
import warnings
import zlib
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from sklearn.metrics import average_precision_score
from threadpoolctl import threadpool_limits

import bayesrepair as br
from bayesrepair.bridges.pymc.fit import TrainablePyMCModel
from bayesrepair.datasets import flip_labels
from bayesrepair.posterior import Gaussian
from bayesrepair.predictive import log_score, mean_prediction
from bayesrepair.rehearsal import Rehearsal
from bayesrepair.rehearsal.planting import Where
from bayesrepair.status import BayesRepairWarning
from benchmarks.kept import code_version
from benchmarks.results import save
from benchmarks.suspects.cells import Cell, cell
from benchmarks.suspects.models import _bridge

CACHE = Path(__file__).parent / "cache" / "rehearsal"
DATA = ("breast", "wine", "synthetic", "pima")
ROWS = 500  # training rows at most: all but those of the synthetic data
RUNS, SAMPLED_RUNS, TRUTHS = 10, 4, 2
SEEDS = {"uniform": 5, "class": 5, "annotator": 3, "wrong already": 5, "needless": 1, "sampled": 2}
RATE = {"class": 0.2, "annotator": 0.4}  # else a tenth
MECHANISM: dict[str, Where] = {"class": "class", "annotator": "group"}  # else uniform
ANNOTATORS = 4
MEASURES = ("average_precision", "precision")
MECHANISMS = ("uniform", "class", "annotator")
BARRED = (*MECHANISMS, "wrong already")


def lines(block: str, data: str, seed: int) -> list[dict[str, Any]]:
    """What a rehearsal says and what is true, a line a figure and truth."""
    some = _small(cell(data, "u10", seed))
    about = {"block": block, "data": data, "seed": seed, "rows": len(some.y), "code": code_version()}
    found = _needless(some) if block == "needless" else _covering(block, some)
    return [about | line for line in found]


def _small(some: Cell) -> Cell:
    x, y, clean = (values[:ROWS] for values in (some.x, some.y, some.clean))
    return replace(some, x=x, y=y, clean=clean)


def _covering(block: str, some: Cell) -> list[dict[str, Any]]:
    given = some.y if block == "wrong already" else some.clean
    cheap = block != "sampled"
    plain = _fit(some, given, cheap=cheap)
    annotator = np.random.default_rng([some.seed, 4]).integers(ANNOTATORS, size=len(some.y))
    groups = annotator if block == "annotator" else None
    started = time.perf_counter()
    rehearsed = br.rehearse(
        plain,
        noise=RATE.get(block, 0.1),
        mechanism=MECHANISM.get(block, "uniform"),
        runs=RUNS if cheap else SAMPLED_RUNS,
        groups=groups,
        progressbar=False,
        random_seed=some.seed,
    )
    about = {
        "seconds": time.perf_counter() - started,
        "rehearsed_claimed": rehearsed.expected("claimed").mean,
        "corrected": rehearsed.runs["corrected"].mean(),
        "status": rehearsed.status.level,
    }
    found = []
    for k in range(1 if block == "wrong already" else TRUTHS):
        y, wrong = (some.y, some.planted) if block == "wrong already" else _errors(some, block, annotator, k)
        suspects = br.find_suspects(_fit(some, y, cheap=cheap), groups=groups, random_seed=k)
        found += [about | line for line in _compared(rehearsed, suspects, some, wrong, annotator)]
    return found


def _errors(some: Cell, block: str, annotator: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """True labels with errors of the benchmark's own making."""
    mechanism, rate = MECHANISM.get(block, "uniform"), RATE.get(block, 0.1)
    rng = np.random.default_rng([some.seed, zlib.crc32(mechanism.encode()), 1000 + k])
    if mechanism == "class":
        one, other = rng.choice(some.n_classes, 2, replace=False)
        y, wrong = flip_labels(some.clean, rate=rate, rng=rng, kind="class", pairs={int(one): int(other)})
        return y.to_numpy(), wrong.to_numpy()
    among = annotator == rng.integers(ANNOTATORS) if mechanism == "group" else np.ones(len(annotator), dtype=bool)
    y, wrong = some.clean.copy(), np.zeros(len(among), dtype=bool)
    y[among], wrong[among] = flip_labels(some.clean[among], rate=rate, rng=rng)
    return y, wrong


def _compared(
    rehearsed: Rehearsal, suspects: br.Suspects, some: Cell, wrong: np.ndarray, annotator: np.ndarray
) -> list[dict[str, Any]]:
    """What was rehearsed, with its interval, and what is true, a line a figure and part."""
    rows = suspects.plain.rows
    prob, size = suspects.frame()["prob_wrong"].reindex(rows.index).to_numpy(), int(wrong.sum())
    removed = rows.index.isin(suspects.top(size).index)
    true = {"average_precision": float(average_precision_score(wrong, prob)), "precision": float(wrong[removed].mean())}
    claimed = suspects.expected_precision(size).mean
    found = [
        {"measure": name, "true": true[name], "claimed": claimed} | rehearsed.expected(name)._asdict()
        for name in MEASURES
    ]
    kinds = {"recall by class": ("class", some.clean)}
    if rehearsed.mechanism == "group":
        kinds["recall by annotator"] = ("group", annotator)
    for name, (by, part) in kinds.items():
        for code, line in enumerate(rehearsed.by(by).itertuples()):  # type: ignore[arg-type]  # one of its names
            among = wrong & (part == code)
            if among.any():
                about = {"measure": name, "true": float(removed[among].mean()), "part": str(line.Index)}
                found.append(about | {"mean": line.recall, "low": line.low, "high": line.high})
    return [{"rehearsed" if name == "mean" else name: value for name, value in line.items()} for line in found]


def _needless(some: Cell) -> list[dict[str, Any]]:
    plain = _fit(some, some.clean)
    test = plain.model.rows({"x": some.x_test, "y": some.y_test})
    k = round(0.1 * len(some.y))
    rehearsed = br.rehearse(plain, noise=0, runs=RUNS, k=k, holdout=test, progressbar=False, random_seed=some.seed)
    removed = br.find_suspects(plain).drop(k, random_seed=0).after
    before, after = _judged(plain, test), _judged(removed, test)
    found = []
    changes = {"accuracy": rehearsed.runs["accuracy_repaired"] - rehearsed.runs["accuracy"]}
    for name, values in ({"log score": rehearsed.runs["score_repaired"]} | changes).items():
        low, high = np.nan, np.nan
        if name == "log score":
            _, low, high = rehearsed.expected("score_repaired")
        found.append(
            {
                "measure": name,
                "rehearsed": float(values.mean()),
                "low": low,
                "high": high,
                "true": after[name] - before[name],
                "covered": rehearsed.runs["covered"].mean(),
                "covered_after": rehearsed.runs["covered_repaired"].mean(),
                "flagged": rehearsed.runs["flagged"].mean(),
                "shift": rehearsed.runs["shift"].mean(),
            }
        )
    return found


def _judged(fit: br.Fit, test: br.Rows) -> dict[str, float]:
    right = mean_prediction(fit, test).argmax(axis=1) == test.values["y"]
    return {"log score": float(log_score(fit, test).mean()), "accuracy": float(right.mean())}


def _fit(some: Cell, y: np.ndarray, *, cheap: bool = True) -> br.Fit:
    model = _model(len(some.y), some.x.shape[1], some.n_classes)
    rows = model.rows({"x": some.x, "y": y})
    start = Gaussian(np.zeros(model.n_params), np.eye(model.n_params)) if cheap else None
    return br.Fit(model, rows, model.train(rows, start=start, rng=np.random.default_rng([some.seed, 5])))


@cache
def _model(n: int, d: int, n_classes: int) -> TrainablePyMCModel:
    """One compiled model a data set."""
    return _bridge(n, d, n_classes, None)


def table(frame: pd.DataFrame) -> pd.DataFrame:
    """Coverage and width, a line for each block, measure and data set, and for all data."""
    found = []
    for block, measure in (frame[["block", "measure"]].drop_duplicates()).itertuples(index=False):
        part = frame[(frame["block"] == block) & (frame["measure"] == measure)]
        for data, some in [*part.groupby("data", sort=False), ("all", part)]:
            inside = (some["true"] >= some["low"] - 1e-9) & (some["true"] <= some["high"] + 1e-9)
            found.append(
                {
                    "block": block,
                    "measure": measure,
                    "data": data,
                    "runs": len(some),
                    "rehearsed": some["rehearsed"].mean(),
                    "true": some["true"].mean(),
                    "covered": inside.mean() if some["low"].notna().all() else np.nan,
                    "median width": (some["high"] - some["low"]).median(),
                }
            )
    return pd.DataFrame(found).set_index(["block", "measure", "data"])


def _verdict(frame: pd.DataFrame) -> str:
    """The bar, from the figures."""
    said = []
    parts = [*((block, [block]) for block in BARRED), ("uniform, class and annotator together", list(MECHANISMS))]
    for name, blocks in parts:
        for measure in MEASURES:
            some = frame[frame["block"].isin(blocks) & (frame["measure"] == measure)]
            if not len(some):
                continue
            inside = ((some["true"] >= some["low"] - 1e-9) & (some["true"] <= some["high"] + 1e-9)).mean()
            width = (some["high"] - some["low"]).median()
            met = 0.8 <= inside <= 0.98 and width <= 0.3
            said.append(
                f"{name}, {measure.replace('_', ' ')}: {inside:.0%} of {len(some)} truths inside, median width "
                f"{width:.2f} ({'met' if met else 'not met'}: 80 to 98 %, at most .30)"
            )
    already = frame[(frame["block"] == "wrong already") & (frame["measure"] == "precision")]
    if len(already):
        gap = (already["rehearsed"] - already["true"]).mean()
        said.append(f"with a tenth wrong already the rehearsed precision is {gap:+.2f} off on average")
    needless = frame[(frame["block"] == "needless") & (frame["measure"] == "log score")]
    if len(needless):
        said.append(
            f"a needless repair of a tenth of the rows changes the log score of a test row by "
            f"{needless['true'].mean():+.3f} nats ({needless['rehearsed'].mean():+.3f} rehearsed)"
        )
    return "; ".join(said) + "."


def main(argv: list[str]) -> None:
    """Run what is not kept yet, and write the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks rehearsal", description=__doc__.splitlines()[0])
    parser.add_argument("--blocks", choices=list(SEEDS), nargs="+", default=list(SEEDS))
    parser.add_argument("--data", choices=DATA, nargs="+", default=list(DATA))
    parser.add_argument("--fresh", action="store_true", help="measure again what is kept")
    parser.add_argument("--report", action="store_true", help="run nothing; write the table of what is kept")
    options = parser.parse_args(argv)
    CACHE.mkdir(parents=True, exist_ok=True)
    with threadpool_limits(1), warnings.catch_warnings():
        warnings.simplefilter("ignore", BayesRepairWarning)  # what is unreliable is counted
        for block in [] if options.report else options.blocks:
            for seed in range(SEEDS[block]):
                for data in options.data if block != "sampled" else ["wine"]:
                    _run(block, data, seed, fresh=options.fresh)
    kept = [json.loads(file.read_text()) for file in sorted(CACHE.glob("*.json"))]
    frame = pd.DataFrame([line for file in kept for line in file])
    order = {name: k for k, name in enumerate([*SEEDS, *DATA])}
    frame = frame.sort_values(
        ["block", "measure", "data", "seed"], key=lambda column: column.map(order).fillna(column), kind="stable"
    )
    missing = [block for block in SEEDS if block not in set(frame["block"])]
    said = f" Not measured yet: {', '.join(missing)}." if missing else ""
    about = (
        f"{__doc__.strip()}\n\n{RUNS} runs a rehearsal ({SAMPLED_RUNS} if sampled), {TRUTHS} truths a cell, at most "
        f"{ROWS} training rows. **{_verdict(frame)}**{said}\n\n"
        f"Versions of the library's code: {', '.join(sorted(frame['code'].unique()))}."
    )
    print(f"written to {save('rehearsal', frame, table=table(frame), about=about)}")
    print(_verdict(frame))


def _run(block: str, data: str, seed: int, *, fresh: bool) -> None:
    file = CACHE / f"{block.replace(' ', '_')}-{data}-{seed}.json"
    if file.exists() and not fresh:
        return
    found = lines(block, data, seed)
    partial = file.with_suffix(".partial")
    partial.write_text(json.dumps(found, default=float, indent=1))
    partial.replace(file)
    said = ", ".join(f"{line['measure']} {line['rehearsed']:.3f} / {line['true']:.3f}" for line in found)
    print(f"{block} {data} {seed}: {said}", flush=True)
