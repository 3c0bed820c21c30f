"""Calibration of the rank intervals and ``prob_top`` of `find_causes`, however few failures were seen.

Linear regression with known noise, where the score against the whole population of failures is known in closed form.
Per number of failures, over independent draws and failures: share of rows whose 90 % rank interval covers the rank
against the population (all rows, and the true top 20), and how often a row said to be in the top 20 with probability
.95 or more is there.
"""

from __future__ import annotations

import argparse

import numpy as np
import pandas as pd

import bayesrepair as br
from benchmarks.results import save

FEATURES, ROWS, BAD, TOP = 5, 100, 10, 20
POPULATION = 20_000


class Population:
    """Training rows with some bad ones, and a population of held-out rows from a shifted model."""

    def __init__(self) -> None:
        rng = np.random.default_rng(0)
        beta = rng.normal(size=FEATURES)
        self.shifted = beta + np.array([0.5, 0.0, 0.0, -0.4, 0.0])
        x = rng.normal(size=(ROWS, FEATURES))
        y = x @ beta + rng.normal(size=ROWS)
        y[:BAD] += rng.choice([-3.0, 3.0], BAD)
        self.model = br.oracles.LinearKnownNoise(n_features=FEATURES, prior_sd=2.0, noise_sd=1.0)
        self.rows = br.Rows({"x": x, "y": y}, np.arange(ROWS))
        self.posterior = self.model.posterior(self.rows)
        score = self.exact_score(self.failures(POPULATION, np.random.default_rng(1)))
        self.rank = pd.Series(score).rank(ascending=False)

    def failures(self, size: int, rng: np.random.Generator) -> br.Rows:
        """Held-out rows to be explained."""
        x = rng.normal(size=(size, FEATURES))
        return br.Rows({"x": x, "y": x @ self.shifted + rng.normal(size=size)}, np.arange(size))

    def exact_score(self, failures: br.Rows) -> np.ndarray:
        """Mean of −Cov(log p_i, log p_f) over the failures, in closed form for a Gaussian posterior."""
        covariance = np.linalg.solve(self.posterior.precision, np.eye(FEATURES))
        x, y = self.rows.values["x"], self.rows.values["y"]
        shared = x @ covariance @ failures.values["x"].T
        residual = y - x @ self.posterior.mean
        missed = failures.values["y"] - failures.values["x"] @ self.posterior.mean
        return -(0.5 * shared**2 + np.outer(residual, missed) * shared).mean(axis=1)

    def run(self, size: int, seed: int) -> dict[str, float]:
        """One set of failures."""
        rng = np.random.default_rng([size, seed])
        fit = br.Fit(self.model, self.rows, self.posterior.draws(2000, rng))
        frame = br.find_causes(fit, self.failures(size, rng), top=TOP, progressbar=False).frame()
        rank = self.rank.reindex(frame.index)
        covered = rank.between(frame["rank_low"], frame["rank_high"])
        sure = frame["prob_top"] >= 0.95
        return {
            "failures": size,
            "seed": seed,
            "covered": covered.mean(),
            "covered_top": covered[rank <= TOP].mean(),
            "sure": int(sure.sum()),
            "sure_and_right": int((rank[sure] <= TOP).sum()),
        }


def main(argv: list[str]) -> None:
    """Run every number of failures and write the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks ranks", description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=60)
    options = parser.parse_args(argv)
    population = Population()
    frame = pd.DataFrame([population.run(size, seed) for size in (5, 10, 30, 120) for seed in range(options.seeds)])
    by = frame.groupby("failures")
    table = by[["covered", "covered_top", "sure"]].mean()
    table["right_when_sure"] = by["sure_and_right"].sum() / by["sure"].sum()
    print(table.to_string(float_format="{:.3f}".format))
    print(f"written to {save('ranks', frame, table=table, about=__doc__.strip())}")
