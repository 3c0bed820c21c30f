"""Points in the plane: two moons, spiral, radial, rectangular, with planted bad labels.

After the synthetic sets of PUMA (Wu, Hashemi and Srinivasa, 2022, arXiv:2203.00846), which gives the numbers
of rows, classes and clusters of the last two, and pictures of all; places and spreads are ours.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from bayesrepair.datasets.card import Card
from bayesrepair.datasets.dataset import Dataset
from bayesrepair.datasets.noise import flip_labels

Points = tuple[pd.DataFrame, np.ndarray]

# Which class each of the 4 x 4 cells of the rectangular set has: neighbours always differ.
_CELLS = np.array([[0, 1, 2, 0], [1, 2, 0, 1], [2, 0, 1, 2], [0, 1, 2, 0]])


def two_moons(n: int, *, rng: np.random.Generator, noise: float = 0.2) -> Points:
    """Draw two interleaved half circles of radius 1.

    Parameters
    ----------
    n : int
        Number of rows, halved between the classes.
    rng : numpy.random.Generator
        Source of randomness.
    noise : float
        Standard deviation of each coordinate about the half circle.

    Returns
    -------
    frame : pandas.DataFrame
        Columns ``x1``, ``x2``, ``label``, the index named ``row``.
    part : ndarray of int (n,)
        Which moon each row lies on.

    Examples
    --------
    >>> frame, part = two_moons(4, rng=np.random.default_rng(0), noise=0.0)
    >>> upper = frame[frame["label"] == "upper"]
    >>> np.allclose(upper["x1"]**2 + upper["x2"]**2, 1.0, atol=1e-4)
    True
    """
    part = _parts(n, 2, rng)
    angle = rng.uniform(0.0, np.pi, n)
    upper = np.column_stack([np.cos(angle), np.sin(angle)])
    lower = np.column_stack([1.0 - np.cos(angle), 0.5 - np.sin(angle)])
    points = np.where(part[:, None] == 0, upper, lower) + rng.normal(0.0, noise, (n, 2))
    return _frame(points, np.array(["upper", "lower"])[part]), part


def spiral(n: int, *, rng: np.random.Generator, noise: float = 0.05) -> Points:
    """Draw two spiral arms, each of 1.2 turns; arguments and results as in `two_moons`."""
    part = _parts(n, 2, rng)
    # The square root spreads the points evenly along the arm, whose circumference grows outwards.
    radius = np.sqrt(rng.uniform(0.04, 1.0, n))
    angle = 3.0 * np.pi * radius + np.pi * part
    points = radius[:, None] * np.column_stack([np.cos(angle), np.sin(angle)])
    points += rng.normal(0.0, noise, (n, 2))
    return _frame(points, np.array(["first", "second"])[part]), part


def radial(n: int, *, rng: np.random.Generator, noise: float = 0.25) -> Points:
    """Draw six round clusters on the unit circle, their two classes in turn.

    With the noise as it stands the best accuracy is about 1 − 2 Φ(−.5 / .25) = .95, as in PUMA.

    Arguments and results as in `two_moons`; ``part`` is the cluster, 0 to 5, anticlockwise from (1, 0).
    """
    part = _parts(n, 6, rng)
    angle = part * np.pi / 3.0
    points = np.column_stack([np.cos(angle), np.sin(angle)]) + rng.normal(0.0, noise, (n, 2))
    return _frame(points, np.array(["amber", "blue"])[part % 2]), part


def rectangular(n: int, *, rng: np.random.Generator, noise: float = 0.1) -> Points:
    """Draw sixteen squares of a 4 x 4 board, in three classes such that neighbours differ.

    Arguments and results as in `two_moons`; ``part`` is the cell, row by row from (0, 0), and ``noise``
    blurs the edges of the squares, whose side is 1.
    """
    part = _parts(n, 16, rng)
    corner = np.column_stack([part % 4, part // 4])
    points = corner + rng.uniform(0.0, 1.0, (n, 2)) + rng.normal(0.0, noise, (n, 2))
    return _frame(points, np.array(["amber", "blue", "green"])[_CELLS.ravel()[part]]), part


def _parts(n: int, k: int, rng: np.random.Generator) -> np.ndarray:
    return rng.permutation(np.arange(n) % k)


def _frame(points: np.ndarray, label: np.ndarray) -> pd.DataFrame:
    # Four decimals: more than the noise leaves, and the same text in a CSV file on every system.
    frame = pd.DataFrame(np.round(points, 4), columns=["x1", "x2"])
    frame["label"] = label
    return frame.rename_axis("row")


def _flip_any(frame: pd.DataFrame, part: np.ndarray, rng: np.random.Generator) -> tuple[pd.Series, pd.Series]:
    return flip_labels(frame["label"], rate=0.1, rng=rng)


def _flip_cluster(frame: pd.DataFrame, part: np.ndarray, rng: np.random.Generator) -> tuple[pd.Series, pd.Series]:
    # Within one cluster there is one class, so which other class a row gets must be said.
    cluster = np.flatnonzero(part == 0)
    hit = frame.index[rng.choice(cluster, size=round(0.7 * cluster.size), replace=False)]
    label = frame["label"].copy()
    label[hit] = label[hit].map({"amber": "blue", "blue": "amber"})
    return label, pd.Series(frame.index.isin(hit), index=frame.index, name="planted")


def _flip_one_class(frame: pd.DataFrame, part: np.ndarray, rng: np.random.Generator) -> tuple[pd.Series, pd.Series]:
    return flip_labels(frame["label"], rate=0.2, rng=rng, kind="class", pairs={"amber": "blue"})


@dataclass(frozen=True)
class _Recipe:
    draw: Callable[..., Points]
    n: int
    plant: Callable[[pd.DataFrame, np.ndarray, np.random.Generator], tuple[pd.Series, pd.Series]]
    seed: int
    title: str
    made: str
    truth: str
    classes: str


_RECIPES: Mapping[str, _Recipe] = {
    "two_moons": _Recipe(
        two_moons,
        1000,
        _flip_any,
        20231,
        "points on two interleaved half circles",
        "Half circles of radius 1 about (0, 0) and (1, 0.5), noise of sd 0.2 on each coordinate.",
        "A tenth of the training labels, chosen at random, have the other class.",
        "`upper` or `lower` moon",
    ),
    "spiral": _Recipe(
        spiral,
        1000,
        _flip_any,
        20232,
        "points on two spiral arms",
        "Two arms of 1.2 turns each, from radius 0.2 to 1, noise of sd 0.05 on each coordinate.",
        "A tenth of the training labels, chosen at random, have the other class.",
        "`first` or `second` arm",
    ),
    "radial": _Recipe(
        radial,
        600,
        _flip_cluster,
        20233,
        "2 classes in 6 clusters on a circle",
        "Six Gaussian clusters of sd 0.25, centred on the unit circle every 60 degrees, classes in turn.",
        "Seven in ten training labels of the cluster about (1, 0) have the other class, and no others.",
        "`amber` or `blue`",
    ),
    "rectangular": _Recipe(
        rectangular,
        800,
        _flip_one_class,
        20234,
        "3 classes in 16 squares of a 4 x 4 board",
        "Sixteen squares of side 1, uniform inside, edges blurred with sd 0.1; neighbouring squares differ.",
        "A fifth of the training rows of class `amber` are labelled `blue`, and no others.",
        "`amber`, `blue` or `green`",
    ),
}


def _card(name: str) -> Card:
    recipe = _RECIPES[name]
    return Card(
        name=name,
        title=recipe.title,
        about=f"{recipe.n} training rows and {recipe.n // 2} held-out rows in the plane, easy to draw and to "
        "interpret. After the synthetic data of PUMA (Wu, Hashemi and Srinivasa, arXiv:2203.00846).",
        made=f"{recipe.made} Equally many rows a part. Made by `data/make.py` from "
        f"`bayesrepair.datasets.synthetic.{name}`, seed {recipe.seed}; coordinates have four decimals.",
        columns={
            "row": "row id, no predictor; held-out rows go on counting",
            "x1": "first coordinate",
            "x2": "second coordinate",
            "label": f"the target: {recipe.classes}",
        },
        truth=f"{recipe.truth} `truth.csv` lists `planted` (the label was changed) and `clean` (the label "
        "before) for every training row. All held-out labels are right.",
        licence="CC0 1.0: no rights reserved.",
    )


def _loader(name: str) -> Callable[[], Dataset]:
    def load() -> Dataset:
        recipe = _RECIPES[name]
        rng = np.random.default_rng(recipe.seed)
        frame, part = recipe.draw(recipe.n, rng=rng)
        holdout, _ = recipe.draw(recipe.n // 2, rng=rng)
        holdout.index = pd.RangeIndex(recipe.n, recipe.n + len(holdout), name="row")
        clean = frame["label"].rename("clean")
        label, truth = recipe.plant(frame, part, rng)
        return Dataset(CARDS[name], frame.assign(label=label), "label", truth=truth, clean=clean, holdout=holdout)

    return load


CARDS: Mapping[str, Card] = {name: _card(name) for name in _RECIPES}
SETS: Mapping[str, Callable[[], Dataset]] = {name: _loader(name) for name in _RECIPES}
