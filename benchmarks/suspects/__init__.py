"""B2: who finds mislabelled training records, and whose probabilities can be believed.

Sixty per cent of the rows are for training (stratified, standardised on them); errors are planted in their labels
alone: u10, u20 (uniform, 10 and 20 %), asym20 (20 % of one class taken for one other), rep50 (half the labels drawn
anew), pairs20 (1↔7, 4↔9, 3↔5). The classifier of the peers is trained on what is given: logistic regression at its
mode, a 64-32 net for moons and radial, a small convolutional net for MNIST. Its mistakes on the clean test rows are F;
one half of F and of the other test rows may be used (F_q, C_v; V = both), the other half is kept for reporting (F_h,
C_h).
Ours hears three models of a table: a Bayesian logistic regression (the size of its slopes learned; of digits
cross-fitted), Gaussian classes, and a forest that learns what the others make of the labels. So a part of its gain is a
better classifier than the peers are given. The losses under a forest and under a linear discriminant of the labels as
they stand are tabulated beside the peers, and told beside the rule, which is about peers of the classifier that all are
given; "who is heard" says what each member finds alone.
Levels of information are never mixed: the training rows alone, [Fq], [V].

The priors, and whose opinions are heard, were chosen while looking at seeds 0 to 19; those from 20 on (``--start 20``)
were not looked at.

Cells are kept under ``benchmarks/cache/suspects``, a method at a time, and a run goes on where the last one stopped.
"""

from __future__ import annotations

import argparse
import time
import warnings
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from bayesrepair.status import BayesRepairWarning
from benchmarks.kept import code_version
from benchmarks.results import FOLDER
from benchmarks.suspects import kept, measures
from benchmarks.suspects.base import Base, base
from benchmarks.suspects.cells import DATA, MANY, NOISES, cell
from benchmarks.suspects.ours import DEFAULT, OURS
from benchmarks.suspects.peers import PEERS
from benchmarks.suspects.verdict import report

REFERENCE = "nothing dropped"


def run_cell(
    data: str, noise: str, seed: int, methods: list[str], *, fresh: bool = False, deadline: float = np.inf
) -> None:
    """Every method of one cell that is not kept yet."""
    some = cell(data, noise, seed)
    file = kept.path("lines", some.name, suffix=".json")
    lines = kept.load_lines(file)
    missing = [name for name in methods if fresh or "error" in lines.get(name, {"error": "not measured"})]
    todo = [name for name in missing if _serves(name, some.net)]
    if not todo:
        return
    trained = base(some)
    if REFERENCE not in lines:
        kept.save_line(file, REFERENCE, _about(trained) | measures.accuracies(trained, trained.test_probs))
    for name in todo:
        if time.time() > deadline:
            break
        lines[name] = _line(name, trained)
        kept.save_line(file, name, lines[name])
    told = ", ".join(f"{name} {lines[name]['ap']:.3f}" for name in todo if "ap" in lines.get(name, {}))
    print(f"{some.name}: {told}", flush=True)


def _serves(name: str, net: str) -> bool:
    return PEERS[name].serves(net) if name in PEERS else OURS[name].serves(net)


def _about(trained: Base) -> dict[str, Any]:
    """Size of the cell, and how good the classifier of the peers is."""
    some, halves = trained.cell, trained.halves
    return {"rows": len(some.y), "planted": int(some.planted.sum())} | {name: len(at) for name, at in halves.items()}


def _line(name: str, trained: Base) -> dict[str, Any]:
    started = time.perf_counter()
    planted, noise = trained.cell.planted, trained.cell.noise
    try:
        found = {"score": PEERS[name].score(trained)} if name in PEERS else OURS[name].run(trained)
    except Exception as error:  # noqa: BLE001 - a method that breaks is a failed line, and the run goes on
        return {"error": f"{type(error).__name__}: {error}", "code": code_version()}
    took = {"seconds": time.perf_counter() - started}
    score = found.pop("score")
    arrays = {"score": score, "prob": found.get("prob", score), "planted": planted}
    kept.save(kept.path("scores", trained.cell.name, name, suffix=".npz"), **arrays)
    line = measures.detection(score, planted, NOISES[noise].rate) | measures.after_dropping(trained, score) | took
    if "prob" in found:
        line |= measures.calibration(found.pop("prob"), planted)
    return line | found | ({"code": code_version()} if name in OURS else {})


def main(argv: list[str]) -> None:
    """Run what is asked and write the table of all that is kept."""
    options = _options(argv)
    methods = options.methods or [*PEERS, *DEFAULT]
    deadline = time.time() + options.budget if options.budget else np.inf
    if options.peers_of_last_table:
        restored = kept.restore(FOLDER / "suspects.csv", [*PEERS, REFERENCE])
        print(f"{restored} lines of peers are those of the last table", flush=True)
    if not options.report:
        with threadpool_limits(1), warnings.catch_warnings():
            warnings.simplefilter("ignore", BayesRepairWarning)  # what is unreliable says so in its line
            _run(options, methods, deadline)
    write = options.report or not _partial(options)
    seeds = range(options.start, options.start + (options.seeds or MANY))
    report(about=__doc__.strip(), methods=[*PEERS, *OURS], write=write, reference=REFERENCE, peers=PEERS, seeds=seeds)


def _partial(options: argparse.Namespace) -> bool:
    return any((options.data, options.noise, options.methods, options.budget))


def _run(options: argparse.Namespace, methods: list[str], deadline: float) -> None:
    datasets = options.data or list(DATA)
    most = {data: DATA[data].seeds if options.seeds is None else options.seeds for data in datasets}
    for seed in range(options.start, options.start + max(most.values())):  # what is cut short has whole seeds
        for data in (d for d in datasets if seed < options.start + most[d]):
            for noise in DATA[data].noises:
                if time.time() < deadline and (not options.noise or noise in options.noise):
                    run_cell(data, noise, seed, methods, fresh=options.fresh, deadline=deadline)


def _options(argv: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks suspects", description=__doc__.splitlines()[0])
    parser.add_argument("--data", choices=list(DATA), nargs="+")
    parser.add_argument("--noise", choices=list(NOISES), nargs="+")
    parser.add_argument("--methods", choices=[*PEERS, *OURS], nargs="+")
    parser.add_argument("--seeds", type=int, help="how many; by default 20 for logistic cells, 5 for the others")
    parser.add_argument(
        "--start", type=int, default=0, help="the first seed; from another than 0 the results are apart"
    )
    parser.add_argument("--budget", type=float, help="seconds after which nothing new is begun")
    parser.add_argument("--fresh", action="store_true", help="measure again what is kept")
    parser.add_argument("--peers-of-last-table", action="store_true", help="do not measure them again")
    parser.add_argument("--report", action="store_true", help="run nothing; write the table of what is kept")
    return parser.parse_args(argv)
