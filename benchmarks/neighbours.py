"""Suspects against the rows near them: false alarms where the model is right, and shapes that it lacks.

Labels of a logistic model of 500 rows and three features under that model (right), and points in the plane with
clusters, moons, spirals and squares under a linear one (shape missing); a share of the labels, or of those of one
class, is flipped. Share of fits that are said to miss a shape (``checked`` or ``unreliable``), the smallest and the
median p-value, and what share of the rows like a suspect carry its class, beside what the noise-aware model expects.
"""

from __future__ import annotations

import argparse

import numpy as np
import pandas as pd

from bayesrepair.datasets import synthetic
from bayesrepair.datasets.noise import flip_labels
from bayesrepair.fit import Fit
from bayesrepair.model import Outcome
from bayesrepair.rows import Rows
from bayesrepair.softmax import Features, SoftmaxModel, softmax_fit
from bayesrepair.softmax.model import LABEL
from bayesrepair.suspects.neighbours import neighbour_check
from bayesrepair.suspects.suspicion import evidence, noisy_fit
from benchmarks.results import save

FLIPS = {"none": (0.0, False), "tenth": (0.1, False), "fifth": (0.2, False), "one class": (0.4, True)}
SHAPES = {
    each.__name__: each for each in (synthetic.radial, synthetic.two_moons, synthetic.spiral, synthetic.rectangular)
}
ROWS = 500


def logistic(classes: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Features and true classes."""
    x = rng.normal(size=(ROWS, 3))
    return x, (3 * x @ rng.normal(size=(3, classes)) + rng.gumbel(size=(ROWS, classes))).argmax(axis=1)


def shape(name: str, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Points in the plane and true classes."""
    frame, _ = SHAPES[name](ROWS, rng=rng)
    return frame[["x1", "x2"]].to_numpy(), pd.factorize(frame["label"], sort=True)[0]


def fitted(x: np.ndarray, y: np.ndarray) -> Fit:
    """Multinomial logistic regression by the Gaussian at the mode."""
    classes = int(y.max()) + 1
    model = SoftmaxModel(Features(x.shape[1], classes), Outcome(LABEL, "class", tuple(range(classes))))
    x = (x - x.mean(axis=0)) / x.std(axis=0)
    return softmax_fit(model, Rows({"x": x, LABEL: y}, np.arange(len(y))))


def run(data: str, flips: str, seed: int) -> dict[str, object]:
    """One table."""
    rng = np.random.default_rng(seed)
    x, y = shape(data, rng) if data in SHAPES else logistic(int(data[-1]), rng)
    rate, one = FLIPS[flips]
    labels = pd.Series(y)
    if rate:
        options = {"kind": "class", "pairs": {0: 1}} if one else {}
        labels, _ = flip_labels(labels, rate=rate, rng=rng, **options)
    fit = fitted(x, labels.to_numpy())
    noisy, _ = noisy_fit(fit, evidence(fit, None, None), "auto", method="laplace", rng=rng)
    found = neighbour_check(noisy, rng)
    assert found is not None  # there are features
    record: dict[str, object] = {"data": data, "model": "linear" if data in SHAPES else "right", "flips": flips}
    said = {"seed": seed, "level": found.level, "p_value": found.p_value}
    return {**record, **said, "share": found.share, "expected": found.expected}


def main(argv: list[str]) -> None:
    """Run every kind of data and of flips, and write the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks neighbours", description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=20, help="tables of a right model; a quarter of it of a wrong one")
    options = parser.parse_args(argv)
    cases = [(data, options.seeds) for data in ("logistic 2", "logistic 3")]
    cases += [(data, max(1, options.seeds // 4)) for data in SHAPES]
    frame = pd.DataFrame([run(data, flips, seed) for data, seeds in cases for flips in FLIPS for seed in range(seeds)])
    by = frame.assign(said=frame["level"] != "ok").groupby(["model", "data", "flips"], sort=False)
    table = pd.DataFrame(
        {
            "tables": by.size(),
            "said to miss a shape": by["said"].mean(),
            "unreliable": by["level"].agg(lambda level: float((level == "unreliable").mean())),
            "smallest p": by["p_value"].min(),
            "median p": by["p_value"].median(),
            "share": by["share"].mean(),
            "expected": by["expected"].mean(),
        }
    )
    print(table.to_string(float_format="{:.3f}".format))
    print(f"written to {save('neighbours', frame, table=table, about=__doc__.strip())}")
