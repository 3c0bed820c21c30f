"""Models with a prior to simulate from: outcomes drawn from the model itself, parameters drawn from its prior."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from joblib import Parallel, delayed
from threadpoolctl import threadpool_limits

import bayesrepair as br
from bayesrepair.oracles import LinearUnknownNoise, Logistic, NormalNormal
from bayesrepair.oracles.base import ConjugateOracle, Oracle
from bayesrepair.posterior import Draws
from bayesrepair.rows import Rows
from benchmarks.hierarchy import Hierarchy
from benchmarks.kept import CACHE, code_version

CHAINS = 4


@dataclass(frozen=True)
class Simulated:
    """A model, and how its predictors are drawn.

    Parameters
    ----------
    model : Oracle
    features : callable
        (number of rows, Generator) → predictors (N, d).
    rows : int
        Training rows where each simulation is a small one.
    scale : str
        The parameter that a choice of rows by their fit moves most.
    """

    model: Oracle
    features: Callable[[int, np.random.Generator], np.ndarray]
    rows: int
    scale: str

    def theta(self, rng: np.random.Generator) -> np.ndarray:
        """One draw of the prior, (1, P)."""
        if isinstance(self.model, Hierarchy):
            return self.model.prior_draws(1, rng)
        if isinstance(self.model, ConjugateOracle):
            return self.model.prior.draws(1, rng).theta
        assert isinstance(self.model, Logistic)
        return rng.normal(0.0, self.model.prior_sd, (1, self.model.n_params))

    def data(self, theta: np.ndarray, size: int, rng: np.random.Generator) -> Rows:
        """Rows with predictors, and outcomes drawn given θ."""
        blank = self.model.rows({"x": self.features(size, rng), "y": np.zeros(size)})
        return blank.replace(y=self.model.simulate(theta, blank, rng)[0])

    def fit(self, rows: Rows, draws: int, rng: np.random.Generator) -> br.Fit:
        """The posterior given some rows as independent draws, said to be four chains."""
        return br.Fit(self.model, rows, self.exact(rows, draws, rng))

    def exact(self, rows: Rows, draws: int, rng: np.random.Generator, weights: np.ndarray | None = None) -> Draws:
        """Independent draws of the posterior under row weights."""
        start = Draws.plain(np.zeros((draws, self.model.n_params)))
        theta = self.model.train(rows, start=start, rng=rng, weights=weights).theta
        return Draws.plain(theta, np.arange(draws) * CHAINS // draws)


def _normal(columns: int) -> Callable[[int, np.random.Generator], np.ndarray]:
    return lambda size, rng: rng.standard_normal((size, columns))


def _with_intercept(size: int, rng: np.random.Generator) -> np.ndarray:
    return np.column_stack([np.ones(size), rng.standard_normal((size, 2))])


def _groups(count: int) -> Callable[[int, np.random.Generator], np.ndarray]:
    return lambda size, rng: rng.integers(count, size=(size, 1))


def _intercept(size: int, rng: np.random.Generator) -> np.ndarray:
    return np.ones((size, 1))


MODELS: dict[str, Simulated] = {
    "normal": Simulated(NormalNormal(0.0, 1.0, 1.0), _intercept, 40, "mu"),
    "linear": Simulated(LinearUnknownNoise(3, shape=3.0, rate=3.0), _with_intercept, 40, "log_variance"),
    "logistic": Simulated(Logistic(3), _normal(3), 80, "beta[0]"),
    "hierarchical": Simulated(Hierarchy(5), _groups(5), 40, "log_variance"),
}
LOCATION_SCALE = Simulated(LinearUnknownNoise(1, shape=3.0, rate=3.0), _intercept, 919, "log_variance")


Simulate = Callable[[str, int], list[dict[str, Any]]]


def simulations(benchmark: str, names: Iterable[str], simulate: Simulate, *, runs: int, jobs: int) -> pd.DataFrame:
    """Lines of all simulations of some models; those that the same code has made before come from the cache."""
    version = code_version()
    tasks = (delayed(_simulated)(benchmark, name, simulate, runs, version) for name in names)
    return pd.concat(Parallel(n_jobs=jobs)(tasks), ignore_index=True)


def _simulated(benchmark: str, name: str, simulate: Simulate, runs: int, version: str) -> pd.DataFrame:
    file = CACHE.parent / benchmark / f"{name.replace(' ', '_')}-{version}.jsonl"
    file.parent.mkdir(parents=True, exist_ok=True)
    done: dict[int, list[dict[str, Any]]] = {}
    if file.exists():
        whole = [text for text in file.read_text().splitlines(keepends=True) if text.endswith("\n")]
        done = dict(map(json.loads, whole))
        file.write_text("".join(whole))  # without the line that a killed run left unfinished
    with threadpool_limits(1), file.open("a") as stream:  # arrays this small only wait for one another
        for k in range(runs):
            if k not in done:
                done[k] = simulate(name, k)
                stream.write(json.dumps([k, done[k]]) + "\n")
                stream.flush()
    return pd.DataFrame([{"model": name, "run": k, **line} for k in range(runs) for line in done[k]])
