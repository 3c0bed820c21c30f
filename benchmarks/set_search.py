"""Search for a set of rows against the top of the single scores and against deleting the planted rows.

Planted: ``masked`` (linear regression; six bad rows own a direction, so that the fit goes through them and some look
helpful one by one), ``opposed`` (linear; four rows pull down and three pull up in one direction, so that deleting all
that look harmful overshoots), ``cluster`` (logistic; five flipped labels at one far point, where single scores do
well). Every set is judged by the exact posterior without it (a closed form, or a refit), never by its own estimate:
gain in the joint log score of failures that took no part (nats), and mean gain of guard rows that took no part (nats a
row). ``search`` may delete as many rows as were planted and chooses its size; ``top`` deletes as many as were planted;
``planted`` deletes those. Clean: no row is bad, failures are those of the fit; ``none`` is the share of runs in which
no set is found. 120 rows, 4 features, 500 draws, 16 failures that choose and 20 that judge; intervals over seeds.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.special import expit, logsumexp
from scipy.stats import multivariate_normal, norm
from scipy.stats import t as student

import bayesrepair as br
from bayesrepair.oracles import LinearKnownNoise, LinearUnknownNoise, Logistic
from bayesrepair.posterior import Draws
from benchmarks.results import save

FEATURES, DRAWS, ROWS, FAILED, UNSEEN, GUARD = 4, 500, 120, 16, 20, 100
REFIT_DRAWS = 8000


@dataclass(frozen=True, eq=False)
class Planted:
    """A fit with bad rows, failures and guard rows that choose, and as many that take no part."""

    model: LinearKnownNoise | Logistic
    rows: br.Rows
    bad: np.ndarray
    failures: br.Rows
    unseen: br.Rows
    guard: br.Rows
    unseen_guard: br.Rows

    def fit(self, rng: np.random.Generator) -> br.Fit:
        """Independent draws of the exact posterior."""
        start = Draws.plain(np.zeros((DRAWS, FEATURES)))
        return br.Fit(self.model, self.rows, self.model.train(self.rows, start=start, rng=rng))

    def scores(self, gone: np.ndarray) -> tuple[float, float]:
        """Joint log score of the unseen failures and mean log score of the unseen guard, without some rows."""
        kept = self.rows.drop(gone)
        if isinstance(self.model, LinearKnownNoise):
            posterior = self.model.posterior(kept)
            covariance = np.linalg.inv(posterior.precision)
            x, z = self.unseen.values["x"], self.unseen_guard.values["x"]
            joint = multivariate_normal(x @ posterior.mean, x @ covariance @ x.T + np.eye(len(x)))
            sd = np.sqrt(1 + np.einsum("np,pq,nq->n", z, covariance, z))
            guard = norm.logpdf(self.unseen_guard.values["y"], z @ posterior.mean, sd)
            return float(joint.logpdf(self.unseen.values["y"])), float(guard.mean())
        start = Draws.plain(np.zeros((REFIT_DRAWS, FEATURES)))
        theta = self.model.train(kept, start=start, rng=np.random.default_rng(1)).theta
        joint = logsumexp(self.model.log_lik(theta, self.unseen).sum(axis=1)) - np.log(len(theta))
        guard = logsumexp(self.model.log_lik(theta, self.unseen_guard), axis=0) - np.log(len(theta))
        return float(joint), float(guard.mean())


def _rows(x: np.ndarray, y: np.ndarray) -> br.Rows:
    return br.Rows({"x": x, "y": y}, np.arange(len(y)))


def _linear(rng: np.random.Generator, bad: int, spread: float, far: float) -> tuple:
    """Rows whose first feature varies little but for the bad ones, and held-out rows where it matters and where not."""
    beta = rng.normal(size=FEATURES)

    def some(count: int, first: float | None) -> tuple[np.ndarray, np.ndarray]:
        x = rng.normal(size=(count, FEATURES))
        x[:, 0] = spread * x[:, 0] if first is None else first
        return x, x @ beta + rng.normal(size=count)

    held = [_rows(*some(count, first)) for count, first in ((FAILED, far), (UNSEEN, far), (GUARD, None), (GUARD, None))]
    x, _ = some(ROWS, None)
    x[:bad, 0] = far if spread == 0 else 1.25 * far
    return x, x @ beta + rng.normal(size=ROWS), held


def masked(rng: np.random.Generator) -> Planted:
    """Six bad rows own a direction."""
    x, y, held = _linear(rng, 6, 0.0, 1.0)
    y[:6] -= 4
    return Planted(LinearKnownNoise(FEATURES, prior_sd=2.0), _rows(x, y), np.arange(6), *held)


def opposed(rng: np.random.Generator) -> Planted:
    """Four rows pull down, three pull up."""
    x, y, held = _linear(rng, 7, 0.3, 2.0)
    y[:4] -= 8
    y[4:7] += 6
    return Planted(LinearKnownNoise(FEATURES, prior_sd=2.0), _rows(x, y), np.arange(7), *held)


def cluster(rng: np.random.Generator) -> Planted:
    """Five flipped labels at one far point."""
    beta = np.array([2.0, *rng.normal(size=FEATURES - 1)])

    def some(count: int) -> tuple[np.ndarray, np.ndarray]:
        x = rng.normal(size=(count, FEATURES))
        return x, (rng.random(count) < expit(x @ beta)).astype(int)

    def failed(count: int) -> br.Rows:
        x = rng.normal(size=(count, FEATURES)) * [0.3, 0.3, 0.3, 0.3] + [2.0, 0, 0, 0]
        return _rows(x, np.ones(count, dtype=int))

    x, y = some(ROWS)
    x[:5], y[:5] = [4.0, 0, 0, 0], 0
    held = (failed(FAILED), failed(UNSEEN), _rows(*some(GUARD)), _rows(*some(GUARD)))
    return Planted(Logistic(FEATURES, prior_sd=2.0), _rows(x, y), np.arange(5), *held)


SCENES: dict[str, Callable[[np.random.Generator], Planted]] = {"masked": masked, "opposed": opposed, "cluster": cluster}


CLEAN = {"normal": LinearKnownNoise, "normal, unknown noise": LinearUnknownNoise, "logistic": Logistic}


def planted_run(scene: str, seed: int) -> list[dict]:
    """One fit, and what each way of choosing does to rows that took no part."""
    rng = np.random.default_rng([seed, list(SCENES).index(scene)])
    problem = SCENES[scene](rng)
    causes = br.find_causes(problem.fit(rng), problem.failures, progressbar=False)
    started = time.process_time()
    search = causes.search(len(problem.bad), guard=problem.guard, progressbar=False)
    seconds = time.process_time() - started
    sets = {
        "top": causes.top(len(problem.bad)).index.to_numpy(),
        "search": search.rows.to_numpy(),
        "planted": problem.bad,
    }
    first = problem.scores(np.array([], dtype=int))
    lines = []
    for method, gone in sets.items():
        joint, guard = problem.scores(gone)
        line = {"scene": scene, "seed": seed, "method": method, "rows": len(gone), "seconds": seconds}
        line |= {"found": len(set(gone) & set(problem.bad)), "joint": joint - first[0], "guard": guard - first[1]}
        lines.append(line)
    return lines


def clean_run(kind: str, seed: int) -> dict:
    """One fit without bad rows, its failures among 200 held-out rows, and the size of the set found."""
    rng = np.random.default_rng([seed, 99])
    beta, x = rng.normal(size=FEATURES), rng.normal(size=(ROWS + 200, FEATURES))
    mean, noise = x @ beta, rng.normal(size=len(x))
    model = {"normal": LinearKnownNoise, "normal, unknown noise": LinearUnknownNoise, "logistic": Logistic}[kind](
        FEATURES
    )
    y = (rng.random(len(x)) < expit(mean)).astype(int) if kind == "logistic" else mean + noise
    rows = _rows(x[:ROWS], y[:ROWS])
    start = Draws.plain(np.zeros((DRAWS, FEATURES)))
    fit = br.Fit(model, rows, model.train(rows, start=start, rng=rng))
    failures = br.find_failures(fit, _rows(x[ROWS:], y[ROWS:]), level=0.1)
    search = br.find_causes(fit, failures, progressbar=False).search(6, progressbar=False)
    return {"scene": f"clean {kind}", "seed": seed, "method": "search", "rows": search.size}


def main(argv: list[str]) -> None:
    """Run every scene and write the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks set_search", description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--clean", type=int, default=12, help="runs of each of three models without bad rows")
    options = parser.parse_args(argv)
    lines = [line for scene in SCENES for seed in range(options.seeds) for line in planted_run(scene, seed)]
    lines += [clean_run(kind, seed) for kind in CLEAN for seed in range(options.clean)]
    frame = pd.DataFrame(lines)
    table = summary(frame)
    print(table.to_string(float_format="{:.3f}".format))
    print(f"written to {save('set_search', frame, table=table, about=__doc__.strip())}")


def summary(frame: pd.DataFrame) -> pd.DataFrame:
    """Means over seeds, and search minus top as a paired difference with its 95 % interval (Student)."""
    lines = {}
    for scene, part in frame.groupby("scene", sort=False):
        if scene.startswith("clean"):
            lines[scene, "search"] = {"rows": part["rows"].mean(), "none": (part["rows"] == 0).mean()}
            continue
        wide = part.pivot(index="seed", columns="method", values=["rows", "found", "joint", "guard"])
        for method in ("top", "search", "planted"):
            lines[scene, method] = {name: wide[name][method].mean() for name in ("rows", "found", "joint", "guard")}
        paired = {}
        for name in ("joint", "guard"):
            gap = wide[name]["search"] - wide[name]["top"]
            half = student.ppf(0.975, len(gap) - 1) * gap.std(ddof=1) / np.sqrt(len(gap))
            paired |= {name: gap.mean(), f"{name} ±": half}
        lines[scene, "search − top"] = paired
    table = pd.DataFrame.from_dict(lines, orient="index")
    table.index = pd.MultiIndex.from_tuples(table.index, names=["scene", "method"])
    return table[["rows", "found", "joint", "joint ±", "guard", "guard ±", "none"]]
