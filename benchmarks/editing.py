"""B1: edited posteriors against pools of refits.

For every edit, five refits (4 × 1000 draws after 1000 of tuning) make the reference; where the posterior is
log-concave, four of them are the draws of the first after three HMC trajectories each at the edited posterior itself
(eight where they were made before).
An edit that takes seconds is made three times, and so is the refit beside it: the shortest of each counts, with what it
gave.
Lines of earlier code were timed once; where a refit is slow (net, digits, 20 000 rows), the first line of a process
then priced it with what the first call compiles, too high.
``e`` is the mean over predictions of |Δ mean| / sd of the pool, ``n`` the same for each refit against the pool of the
others, averaged.
Strict rule of B1: e ≤ max(2n, .05), maximum ≤ max(2 n_max, .2), mean |log sd ratio| ≤ .1, shifts of the 5 and of the
95 % quantile ≤ max(2 n_q, .05). ``ok`` is forbidden where e > max(3n, .08).

Pools, draws of the fits and lines are kept under ``benchmarks/cache/editing``: ``--redo-editors`` measures again only
what other code had measured, and needs no new pools.
"""

from __future__ import annotations

import argparse
import multiprocessing
import time
import warnings
from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pandas as pd
from threadpoolctl import threadpool_limits

import bayesrepair as br
from bayesrepair.edit import EDITORS
from bayesrepair.numerics import hmc
from bayesrepair.numerics.covariance import covariance_factor
from bayesrepair.posterior import Draws
from bayesrepair.status import BayesRepairWarning
from bayesrepair.target import Target
from benchmarks import kept
from benchmarks.distances import SCALES, bias_and_noise, distance, reference, summaries
from benchmarks.edits import SEQUENCE, Edit, edits
from benchmarks.models import MODELS, Problem
from benchmarks.peers import PEERS
from benchmarks.results import FOLDER
from benchmarks.verdict import judge, report

REFITS = 5
REPEATS = 3  # of an edit and of a refit that take seconds: the shortest time of each counts
TIMED = 1000  # gradients, to know what one takes
RENEWALS = 3  # HMC trajectories that make a sample of one mode a new one
CODE = kept.code_version()  # of what is loaded here, whatever becomes of the files while this runs
RUNGS = tuple(name for name in ("weights", "transport", "moves", "resample", "retrain", "auto") if name in EDITORS)


@dataclass(frozen=True)
class Asked:
    """What the command line asks for."""

    rungs: tuple[str, ...]
    edits: tuple[str, ...] = ()
    fresh: bool = False
    redo_editors: bool = False
    pools_only: bool = False
    deadline: float = np.inf

    @property
    def late(self) -> bool:
        """Whether the budget is spent."""
        return time.time() > self.deadline


@dataclass(eq=False)
class Bench:
    """One model and seed in this process: its problem, and what has been warmed up."""

    model: str
    seed: int
    problem: Problem
    warm: dict[str, float] = field(default_factory=dict)

    @classmethod
    def of(cls, model: str, seed: int) -> Bench:
        """Sample the model, or take the draws that were kept."""
        file = kept.path("fits", model, seed, suffix=".npz")
        draws = kept.load_draws(file)
        problem = MODELS[model](seed, draws)
        if draws is None:
            kept.save_draws(file, problem.fit.draws)
        return cls(model, seed, problem)

    @property
    def compile_seconds(self) -> float:
        """Time that nutpie's compilation took so far."""
        return self.problem.fit.model.sampler.compile_seconds

    def refit(self, edit: Edit, seed: int) -> tuple[Draws, dict[str, float]]:
        """A refit on what the edit leaves, and its time without compilation."""
        fit = self.problem.fit
        rows, weight = fit.net(*edit)
        fit.model.sampler.compiled_for(int(np.count_nonzero(weight)))
        wall, cpu = time.perf_counter(), time.process_time()
        draws = fit.model.train(rows, start=fit.draws, rng=np.random.default_rng(seed), weights=weight)
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
        return draws, {"refit_seconds": draws.sampling.seconds, "refit_wall": wall, "refit_cpu": cpu}

    def price_of_refit(self, edit: Edit, pool: dict[str, dict[str, np.ndarray]]) -> dict[str, float]:
        """What a refit takes now: a whole one; where that is long, the gradients that one took times what one takes.

        The sampler's own work beside the gradients is then left out, which makes the edit look dearer than it is.
        """
        taken = pool["sampled"].get("gradients")
        if not self.problem.slow or taken is None:
            taken_by = [self.refit(edit, 999 + self.seed)[1] for _ in range(REPEATS)]
            return {name: min(took[name] for took in taken_by) for name in taken_by[0]}
        fit = self.problem.fit
        rows, weight = fit.net(*edit)
        fit.model.sampler.compiled_for(int(np.count_nonzero(weight)))
        gradient = fit.model.sampler.gradient(rows.values, np.arange(len(rows)), weight)
        some = fit.draws.theta[:TIMED]
        gradient(some[:1])  # the first call of a process compiles the loop over draws
        wall, cpu = time.perf_counter(), time.process_time()
        gradient(some)
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
        each = float(taken[0]) / len(some)
        return {"refit_seconds": wall * each, "refit_wall": wall * each, "refit_cpu": cpu * each}

    def renewed(self, edit: Edit, draws: Draws, seed: int) -> Draws:
        """Another sample of the same posterior: every draw of a refit moved until it has forgotten where it was."""
        fit = self.problem.fit
        target, factor = Target.after(fit.change(*edit)), covariance_factor(draws.theta, draws.weights)
        rng = np.random.default_rng(seed)
        moved = hmc.sample(target.value_and_gradient, draws.theta, factor=factor, rng=rng, moves=RENEWALS)
        return replace(draws, theta=moved.theta, log_density=None)

    def warm_up(self, rung: str) -> float:
        """Run a rung once on a trivial deletion and a trivial insertion, so that graphs are built; seconds it took."""
        if rung not in self.warm:
            fit, started = self.problem.fit, time.perf_counter()
            for factor in (
                br.Factor(fit.rows.at(np.array([0])), -0.01),
                br.Factor(self.problem.holdout.at(np.array([0])), 0.01),
            ):
                self._run(rung, [factor], 0)
            self.warm[rung] = time.perf_counter() - started
        return self.warm[rung]

    def line(self, rung: str, edit: Edit, *, in_turn: bool) -> tuple[Draws, dict[str, Any]]:
        """Run a rung on an edit: the draws that came out, and what is to be tabulated of the way there."""
        warm, steps = self.warm_up(rung), len(edit) if in_turn and rung not in PEERS else 1
        compiled, runs = self.compile_seconds, []
        for _ in range(1 if self.problem.slow or steps > 1 or rung in PEERS else REPEATS):
            before, wall, cpu = self.compile_seconds, time.perf_counter(), time.process_time()
            draws, found = self._run(rung, edit, self.seed, in_turn=in_turn)
            wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
            runs.append((wall - self.compile_seconds + before, cpu, draws, found))  # CPU with what is left to compile
        seconds, cpu, draws, found = min(runs, key=lambda run: run[0])  # `auto` looks at the clock: with what it gave
        found |= {"seconds": seconds / steps, "cpu": cpu / steps}
        return draws, found | {"warm_up_seconds": warm, "compile_seconds": self.compile_seconds - compiled}

    def _run(self, rung: str, edit: Edit, seed: int, *, in_turn: bool = False) -> tuple[Draws, dict[str, Any]]:
        if rung in PEERS:
            draws, found = PEERS[rung](self.problem.fit, edit, seed)
            return draws, {"served": rung, "status": "none", "why": "a peer gives no verdict"} | found
        steps = [[factor] for factor in edit] if in_turn else [edit]
        fit, evals = self.problem.fit, 0
        for step in steps:
            edited = br.edit(fit, step, method=rung, random_seed=seed)
            fit, evals = edited.after, evals + edited.info.log_lik_evals
        info = edited.info
        tried = " > ".join(f"{a.rung} {a.status.level} {a.seconds:.2f}s" for a in info.attempts)
        found = {"served": info.rung, "khat": info.khat, "ess": info.ess, "log_lik_evals": evals, "tried": tried}
        return fit.draws, found | {"status": edited.status.level, "why": str(edited.status)}


def cell(bench: Bench, name: str, edit: Edit, asked: Asked) -> dict[str, dict[str, Any]]:
    """Every line of one edit, by rung; what is kept and still good is not measured again."""
    at, version = (bench.model, bench.seed, name), kept.edit_version(edit)
    pool_file, line_file = kept.path("pools", *at, suffix=".npz"), kept.path("lines", *at, suffix=".json")
    pool = None if asked.fresh else kept.load_pool(pool_file, version)
    lines = {} if asked.fresh else kept.load_lines(line_file, version)
    if pool is None:
        pool = _pool(bench, edit)
        kept.save_pool(pool_file, pool, version)
    if asked.pools_only:
        return lines
    todo = [r for r in asked.rungs if r not in lines or (asked.redo_editors and _outdated(r, lines[r]))]
    if not todo:
        return lines
    took = bench.price_of_refit(edit, pool)  # times of another run, or of a busier machine, are no yardstick
    nothing = _distances(bench.problem, bench.problem.fit.draws, pool)
    for rung in todo:
        if asked.late:
            break
        common = {"edit_version": version, "code": CODE, "e_nothing": nothing["e"]} | took | _noise(pool)
        try:
            draws, found = bench.line(rung, edit, in_turn=name == SEQUENCE and rung != "retrain")
            lines[rung] = common | found | _distances(bench.problem, draws, pool)
        except Exception as error:  # noqa: BLE001 - a rung that breaks is a failed line, and the run goes on
            lines[rung] = common | {"served": rung, "status": "error", "why": f"{type(error).__name__}: {error}"}
        kept.save_lines(line_file, lines)
    return lines


def _outdated(rung: str, line: dict[str, Any]) -> bool:
    return rung not in PEERS and line["code"] != CODE


def _pool(bench: Bench, edit: Edit) -> dict[str, dict[str, np.ndarray]]:
    refits: list[Draws] = []
    times = []
    for k in range(REFITS):
        seed = bench.seed * 100 + k
        if bench.problem.log_concave and k:
            draws, took = bench.renewed(edit, refits[0], seed), times[0]
        else:
            draws, took = bench.refit(edit, seed)
        refits.append(draws)
        sampling = draws.sampling
        times.append(took | {"rhat": sampling.rhat_max, "ess": sampling.ess_min, "gradients": sampling.gradients})
    sampled = {name: np.array([t[name] for t in times]) for name in times[0]}
    return reference(bench.problem, refits) | {"sampled": sampled}


def _distances(problem: Problem, draws: Draws, pool: dict[str, dict[str, np.ndarray]]) -> dict[str, float]:
    """Distances on the unbounded scale under their own names, on the natural one with a prefix."""
    some, found = summaries(problem, draws), {}
    for scale in SCALES:
        prefix = "" if scale == "unbounded" else f"{scale}_"
        values = distance(some[scale], pool[scale]) | bias_and_noise(some[scale], pool[scale])
        found |= {prefix + name: float(value) for name, value in values.items()}
    return found


def _noise(pool: dict[str, dict[str, np.ndarray]]) -> dict[str, Any]:
    """What refits show against one another, averaged; and each refit by itself, to be judged like an edit."""
    found: dict[str, Any] = {"refit_ess": float(pool["sampled"]["ess"].mean())}
    found["refit_rhat"] = float(pool["sampled"]["rhat"].max())
    for scale in SCALES:
        prefix = "" if scale == "unbounded" else f"{scale}_"
        for name, values in pool[f"{scale} noise"].items():
            found[f"{prefix}{name}_noise"] = float(values.mean())
            found[f"{prefix}{name}_each"] = [float(v) for v in values]
    return found


def run_model(model: str, seed: int, asked: Asked) -> None:
    """All asked edits of one model and seed."""
    if not asked.late:
        with threadpool_limits(1), warnings.catch_warnings():
            warnings.simplefilter("ignore", BayesRepairWarning)  # divergences are in the lines
            bench = Bench.of(model, seed)
            every = edits(bench.problem, seed)
            for name, edit in every.items():
                if asked.late or not _wanted(name, asked.edits, every):
                    continue
                started = time.perf_counter()
                lines = cell(bench, name, edit, asked)
                took = time.perf_counter() - started
                print(f"{model}, seed {seed}, {name} ({took:.0f} s): {_told(lines, asked)}", flush=True)


def _wanted(name: str, wanted: tuple[str, ...], every: Iterable[str]) -> bool:
    """Whether an edit is asked for: by its name, or by a part of it that is no name itself."""
    return not wanted or name in wanted or any(part in name for part in wanted if part not in every)


def _told(lines: dict[str, dict[str, Any]], asked: Asked) -> str:
    if not lines:
        return "pool"
    some = next(iter(lines.values()))
    head = f"nothing {some['e_nothing']:.3f}, noise {some['e_noise']:.3f}"
    told = [
        f"{rung} {line.get('e', np.nan):.3f} ({line['status']}{' by ' + line['served'] if rung == 'auto' else ''}, "
        f"cost {line.get('seconds', np.nan) / line['refit_wall']:.2f})"
        for rung, line in lines.items()
        if rung in asked.rungs
    ]
    return "; ".join([head, *told])


def collected(models: list[str], seeds: range) -> Iterator[dict[str, Any]]:
    """Every line that is kept for these models and seeds."""
    for model in models:
        for seed in seeds:
            for name, lines in kept.all_lines(model, seed).items():
                for rung, line in lines.items():
                    yield {"model": model, "seed": seed, "edit": name, "rung": rung, **line}


def with_last_table(lines: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """These lines, and those of the last table where there are none of the same model, seed, edit and rung."""
    key = ("model", "seed", "edit", "rung")
    here = {tuple(line[k] for k in key): line for line in lines}
    last = pd.read_csv(FOLDER / "editing.csv", float_precision="round_trip").to_dict("records")
    every = {tuple(line[k] for k in key): line for line in last} | here
    order = {model: i for i, model in enumerate(MODELS)}
    return sorted(every.values(), key=lambda line: (order[line["model"]], line["seed"]))


def main(argv: list[str]) -> None:
    """Run what is asked, keep every line, and write the table of all that is kept."""
    options = _options(argv)
    asked = Asked(
        tuple(options.rung or (*RUNGS, *PEERS)),
        tuple(options.edit or ()),
        options.fresh,
        options.redo_editors,
        options.pools_only,
        time.time() + options.budget if options.budget else np.inf,
    )
    seeds = range(options.start, options.start + options.seeds)
    models = options.model or list(MODELS)
    if not options.report:
        _run_all([(model, seed) for seed in seeds for model in models], asked, options.jobs)
    lines = [line for line in collected(models, seeds) if line["rung"] in asked.rungs and _of_asked(line, asked)]
    if options.last_table:
        lines = with_last_table(lines)
    if lines:
        some = options.model or options.edit or options.rung or options.pools_only
        write = options.report or not (some or asked.late)
        report(judge(pd.DataFrame(lines)), about=__doc__.strip(), code=CODE, write=write)


def _of_asked(line: dict[str, Any], asked: Asked) -> bool:
    return not asked.edits or any(part in line["edit"] for part in asked.edits)


def _run_all(tasks: list[tuple[str, int]], asked: Asked, jobs: int) -> None:
    if jobs == 1:
        for model, seed in tasks:
            run_model(model, seed, asked)
        return
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(jobs, mp_context=context, max_tasks_per_child=1) as pool:
        running = [pool.submit(run_model, model, seed, replace(asked)) for model, seed in tasks]
        for done in as_completed(running):
            done.result()


def _options(argv: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks editing", description=__doc__.splitlines()[0])
    parser.add_argument("--model", choices=list(MODELS), action="append", help="one model; may be repeated")
    parser.add_argument("--edit", action="append", help="a name, or a part of names; may be repeated")
    parser.add_argument("--rung", choices=[*RUNGS, *PEERS], action="append", help="one rung or peer; may be repeated")
    parser.add_argument("--seeds", type=int, default=1, help="how many")
    parser.add_argument("--start", type=int, default=0, help="the first seed")
    parser.add_argument("--jobs", type=int, default=1, help="processes; each runs one model and seed at a time")
    parser.add_argument("--budget", type=float, help="seconds after which nothing new is begun")
    parser.add_argument("--fresh", action="store_true", help="new pools and lines")
    parser.add_argument("--redo-editors", action="store_true", help="measure again what other code had measured")
    parser.add_argument("--pools-only", action="store_true", help="make the pools of refits and stop")
    parser.add_argument("--report", action="store_true", help="run nothing; write the table of what is kept")
    parser.add_argument("--last-table", action="store_true", help="what is not kept as the last table has it")
    return parser.parse_args(argv)
