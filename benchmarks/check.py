"""Power and false alarms of the independent check on planted errors.

Exact draws of an edited posterior are handed to the check as they are, or with an error planted: the mean shifted by
.2 posterior sd (of one parameter, or along a random direction of the whitened space), or an sd wrong by 20 % (of one
parameter, or of all). A result is caught when the check fails. Harmless shifts (.03 sd) are meant to pass. Goals: at
least 90 % caught at no more than 5 % false alarms. ``draws`` is the effective number of draws; fewer than a few
hundred show a shift of .2 sd only just, and `edit` never calls fewer than 200 ok. A shift of .2 along a random
direction of 90 or 400 moves each parameter by .02 or .01 sd: harmless to any of them, and mostly not seen.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterable
from functools import partial

import numpy as np
import pandas as pd

from bayesrepair.check import Check, independent_check
from bayesrepair.fit import Change, Factor, Fit
from bayesrepair.oracles import LinearUnknownNoise, Logistic
from bayesrepair.posterior import Draws
from benchmarks.results import save

CHAINS = 4
POOL = 40_000
SHIFT, WRONG_SD, HARMLESS = 0.2, 0.2, 0.03


def logistic(rng: np.random.Generator) -> Change:
    """Logistic regression, N = 300, P = 10; the ten rows that fit worst are deleted."""
    model, x = Logistic(n_features=10), rng.normal(size=(300, 10))
    y = (rng.random(300) < 1 / (1 + np.exp(-x @ rng.normal(size=10)))).astype(int)
    return _change(model, {"x": x, "y": y}, rng)


def linear(rng: np.random.Generator, *, features: int = 5, rows: int = 100) -> Change:
    """Linear regression with unknown noise; the ten rows that fit worst are deleted."""
    model, x = LinearUnknownNoise(n_features=features), rng.normal(size=(rows, features))
    return _change(model, {"x": x, "y": x @ rng.normal(size=features) + rng.normal(size=rows)}, rng)


def _change(model: Logistic | LinearUnknownNoise, data: dict, rng: np.random.Generator) -> Change:
    rows = model.rows(data)
    draws = model.train(rows, start=Draws.plain(np.zeros((2000, model.n_params))), rng=rng)
    worst = np.argsort(model.log_lik(draws.theta, rows).mean(axis=0))[:10]
    chained = Draws.plain(draws.theta, np.repeat(np.arange(CHAINS), 500))
    return Fit(model, rows, chained).change(Factor(rows.at(worst), -1.0))


PROBLEMS: dict[str, Callable[[np.random.Generator], Change]] = {
    "logistic P=10": logistic,
    "linear P=6": linear,
    "linear P=90": partial(linear, features=89, rows=300),
    "linear P=400": partial(linear, features=399, rows=1000),
}


def nothing(theta: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Exact draws."""
    return theta


def harmless(theta: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The mean of one parameter shifted by .03 sd."""
    return _shifted(theta, rng, HARMLESS)


def shift_parameter(theta: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The mean of one parameter shifted by .2 sd."""
    return _shifted(theta, rng, SHIFT)


def shift_direction(theta: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """All draws shifted by .2 sd along a random direction of the whitened space."""
    direction = rng.standard_normal(theta.shape[1])
    return theta + SHIFT * np.linalg.cholesky(np.cov(theta.T)) @ (direction / np.linalg.norm(direction))


def sd_parameter(theta: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The sd of one parameter 20 % too large or too small."""
    scale = np.ones(theta.shape[1])
    scale[rng.integers(theta.shape[1])] = 1 + WRONG_SD * rng.choice([-1, 1])
    return theta.mean(0) + (theta - theta.mean(0)) * scale


def sd_all(theta: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """All sds 20 % too large or too small."""
    return theta.mean(0) + (theta - theta.mean(0)) * (1 + WRONG_SD * rng.choice([-1, 1]))


def _shifted(theta: np.ndarray, rng: np.random.Generator, size: float) -> np.ndarray:
    j = rng.integers(theta.shape[1])
    shift = np.zeros(theta.shape[1])
    shift[j] = size * theta[:, j].std() * rng.choice([-1, 1])
    return theta + shift


PLANTS: dict[str, Callable[[np.ndarray, np.random.Generator], np.ndarray]] = {
    "nothing": nothing,
    "harmless shift": harmless,
    "shift of a parameter": shift_parameter,
    "shift along a direction": shift_direction,
    "sd of a parameter": sd_parameter,
    "all sds": sd_all,
}


def exact_draws(change: Change, size: int, rng: np.random.Generator) -> np.ndarray:
    """Independent draws of the edited posterior, (size, P)."""
    model, part = change.model, 2000  # parts of this size stay in the cache
    start = Draws.plain(np.zeros((part, model.n_params)))
    parts = [
        model.train(change.rows, start=start, rng=rng, weights=change.after).theta  # type: ignore[attr-defined]
        for _ in range(0, size, part)
    ]
    return np.concatenate(parts)[:size]


def planted(change: Change, exact: np.ndarray, plant: str, *, draws: int, rng: np.random.Generator) -> Check:
    """Check some of the exact draws of the edited posterior, with one error planted."""
    theta = PLANTS[plant](exact[rng.choice(len(exact), draws, replace=False)], rng)
    return independent_check(change, Draws.plain(theta, np.arange(draws) * CHAINS // draws), rng=rng)


def run(problems: Iterable[str], *, runs: int, sizes: tuple[int, ...], seed: int = 0) -> pd.DataFrame:
    """Every plant and number of draws; one line a run."""
    lines = []
    for name in problems:
        rng = np.random.default_rng(seed)
        change = PROBLEMS[name](rng)
        exact = exact_draws(change, POOL, rng)
        for draws in sizes:
            for plant in PLANTS:
                for k in range(runs):
                    check = planted(change, exact, plant, draws=draws, rng=rng)
                    figures = {n: v for n, v in vars(check).items() if isinstance(v, (int, float))}
                    about = {"problem": name, "draws": draws, "plant": plant, "run": k}
                    lines.append(about | figures | {"caught": not check.passed})
                shares = [line["caught"] for line in lines[-runs:]]
                print(f"{name}, {draws} draws, {plant}: caught {np.mean(shares):.2f}", flush=True)
    return pd.DataFrame(lines)


def main(argv: list[str]) -> None:
    """Run, and write the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks check", description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=50)
    parser.add_argument("--draws", type=int, action="append", help="may be given several times")
    parser.add_argument("--problem", choices=list(PROBLEMS), action="append", help="write no table; may be repeated")
    options = parser.parse_args(argv)
    problems = options.problem or list(PROBLEMS)
    frame = run(problems, runs=options.runs, sizes=tuple(options.draws or (4000, 1000)))
    if options.problem:
        return
    caught = frame.pivot_table(index=["problem", "draws"], columns="plant", values="caught", sort=False)
    about = f"{__doc__.strip()}\n\nShare caught, {options.runs} runs each."
    print(f"written to {save('check', frame, table=caught[list(PLANTS)], about=about)}")
