"""Data, splits and planted errors of B2: one cell is a data set, a kind of noise and a seed."""

from __future__ import annotations

import os
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn import datasets as bundled
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import StandardScaler

import bayesrepair as br
from bayesrepair.datasets import flip_labels
from bayesrepair.datasets.bundled import DIGITS
from bayesrepair.datasets.synthetic import radial, two_moons

TRAIN = 0.6
FEW, MANY = 5, 20  # seeds: of expensive cells, and of logistic ones
MISSING_AS_ZERO = ["glucose", "blood_pressure", "skin_thickness", "insulin", "bmi"]
Table = tuple[np.ndarray, np.ndarray]


@dataclass(frozen=True)
class Noise:
    """Errors that are planted in the training labels."""

    kind: str
    rate: float


NOISES = {
    "u10": Noise("uniform", 0.1),
    "u20": Noise("uniform", 0.2),
    "asym20": Noise("class", 0.2),
    "rep50": Noise("redrawn", 0.5),
    "pairs20": Noise("class", 0.2),
    "aggre": Noise("human", 0.091),
    "random1": Noise("human", 0.178),
    "worse": Noise("human", 0.410),
}
HUMAN = tuple(name for name, noise in NOISES.items() if noise.kind == "human")


@dataclass(frozen=True)
class Data:
    """A data set of B2.

    Parameters
    ----------
    load : callable
        Seed to features and class codes.
    net : {"", "mlp", "cnn"}
        Which net is trained; a logistic regression where there is none.
    asym : tuple of int
        Which class is taken for which under ``asym20``.
    noises : tuple of str
    overlapping : bool
        Whether the classes truly overlap, so that calibration against planted errors cannot be asked for.
    scaled : bool
        Whether features are standardised on the training rows.
    """

    load: Callable[[int], Table]
    net: str = ""
    asym: tuple[int, int] = (1, 0)
    noises: tuple[str, ...] = ("u10", "u20", "asym20")
    overlapping: bool = False
    scaled: bool = True
    seeds: int = MANY

    @property
    def pairs(self) -> dict[str, dict[int, int]]:
        """Confusions of the noises that depend on the class."""
        return {"asym20": {self.asym[0]: self.asym[1]}, "pairs20": {1: 7, 7: 1, 4: 9, 9: 4, 3: 5, 5: 3}}


@dataclass(frozen=True, eq=False)
class Cell:
    """Training rows with planted errors, and clean test rows.

    Parameters
    ----------
    data, noise : str
    seed : int
    x, x_test : array, shape (N, ...), (M, ...)
        Standardised on the training rows; images keep their shape.
    y : array of int, shape (N,)
        Given labels.
    clean : array of int, shape (N,)
        The labels before errors were planted.
    y_test : array of int, shape (M,)
    """

    data: str
    noise: str
    seed: int
    x: np.ndarray
    y: np.ndarray
    clean: np.ndarray
    x_test: np.ndarray
    y_test: np.ndarray

    @property
    def name(self) -> str:
        """``data-noise-seed``."""
        return f"{self.data}-{self.noise}-{self.seed}"

    @property
    def planted(self) -> np.ndarray:
        """Which training labels are wrong, shape (N,)."""
        return self.y != self.clean

    @property
    def n_classes(self) -> int:
        """How many classes there are."""
        return int(max(self.clean.max(), self.y.max(), self.y_test.max())) + 1

    @property
    def net(self) -> str:
        """Which net is trained; empty for a logistic regression."""
        return DATA[self.data].net


def _coded(frame: pd.DataFrame, target: str, positive: str) -> Table:
    x = pd.get_dummies(frame.drop(columns=target), drop_first=True).to_numpy(dtype=float)
    return x, (frame[target] == positive).to_numpy(dtype=int)


def _pima(seed: int) -> Table:
    data = br.datasets.load("pima")
    zeros = {
        c: data.frame[c].where(data.frame[c] > 0, data.frame[c][data.frame[c] > 0].median()) for c in MISSING_AS_ZERO
    }
    return _coded(data.frame.assign(**zeros), data.target, "diabetes")


def _german(seed: int) -> Table:
    data = br.datasets.load("german_credit")
    return _coded(data.frame, data.target, "bad")


def _synthetic(seed: int) -> Table:
    """Logistic: ten standard normal features, standard normal slopes, natural overlap."""
    rng = np.random.default_rng([seed, 2000])
    x = rng.standard_normal((2000, 10))
    chance = 1 / (1 + np.exp(-x @ rng.standard_normal(10)))
    return x, (rng.random(2000) < chance).astype(int)


def _plane(draw: Callable, n: int) -> Callable[[int], Table]:
    def load(seed: int) -> Table:
        frame, _ = draw(n, rng=np.random.default_rng([seed, n]))
        return frame[["x1", "x2"]].to_numpy(), pd.factorize(frame["label"], sort=True)[0]

    return load


@cache
def _mnist_frame() -> Table:
    frame = br.datasets.load("mnist").frame
    codes = {word: code for code, word in enumerate(DIGITS)}
    return frame.filter(regex=r"^p\d+$").to_numpy().reshape(-1, 28, 28), frame["digit"].map(codes).to_numpy(dtype=int)


def _mnist(seed: int) -> Table:
    """5000 images: 3000 to train on, 2000 held out."""
    images, labels = _mnist_frame()
    some = np.random.default_rng([seed, 28]).choice(len(images), 5000, replace=False)
    return images[some].astype(np.float32) / 255, labels[some]


def _archive(name: str) -> dict[str, np.ndarray]:
    with np.load(Path(os.environ["BAYESREPAIR_DATA"]) / name) as kept:
        return {key: kept[key] for key in kept.files}


def _cifar(seed: int) -> Table:
    """The first 10 000 training images of CIFAR-10, then the first 1000 test images."""
    parts = [_archive(f"cifar10/cifar10_{part}.npz") for part in ("train10k", "test1000")]
    images = np.concatenate([part["images"] for part in parts]).transpose(0, 3, 1, 2)
    labels = np.concatenate([part["labels"] for part in parts]).astype(int)
    return images.astype(np.float32) / 127.5 - 1, labels


def _human(data: str, noise: str, seed: int) -> Cell:
    """CIFAR-10N (Wei et al. 2022, arXiv:2110.12088): labels as raters gave them; nothing is planted or split."""
    x, labels = DATA[data].load(seed)
    given = _archive("label_errors/cifar10n_train_labels.npz")
    given = given[{"aggre": "aggre_label", "random1": "random_label1", "worse": "worse_label"}[noise]]
    n = len(labels) - 1000
    return Cell(data, noise, seed, x[:n], given[:n].astype(int), labels[:n], x[n:], labels[n:])


DATA: dict[str, Data] = {
    "breast": Data(lambda seed: bundled.load_breast_cancer(return_X_y=True)),
    "wine": Data(lambda seed: bundled.load_wine(return_X_y=True)),
    "digits": Data(lambda seed: bundled.load_digits(return_X_y=True), asym=(4, 9), seeds=FEW),
    "synthetic": Data(_synthetic),
    "pima": Data(_pima, noises=("u10", "u20", "asym20", "rep50"), overlapping=True),
    "german": Data(_german, noises=("u10", "u20"), overlapping=True, seeds=FEW),
    "moons": Data(_plane(two_moons, 1000), net="mlp", seeds=FEW),
    "radial": Data(_plane(radial, 600), net="mlp", seeds=FEW),
    "mnist3k": Data(_mnist, net="cnn", noises=("u10", "pairs20"), scaled=False, seeds=FEW),
    "cifar10n": Data(_cifar, net="cnn", noises=HUMAN, overlapping=True, scaled=False, seeds=1),
}
LOGISTIC = ("breast", "wine", "digits", "synthetic", "pima")  # the cells that the rule of the verdict speaks of


def cell(data: str, noise: str, seed: int) -> Cell:
    """Split, standardise, plant errors."""
    if noise in HUMAN:
        return _human(data, noise, seed)
    what = DATA[data]
    x, clean = what.load(seed)
    x, x_test, clean, y_test = train_test_split(x, clean, train_size=TRAIN, stratify=clean, random_state=seed)
    if what.scaled:
        scaler = StandardScaler().fit(x)
        x, x_test = scaler.transform(x), scaler.transform(x_test)
    planted = NOISES[noise]
    rng = np.random.default_rng([seed, zlib.crc32(noise.encode())])
    pairs = what.pairs[noise] if planted.kind == "class" else None
    y, _ = flip_labels(clean, rate=planted.rate, rng=rng, kind=planted.kind, pairs=pairs)
    return Cell(data, noise, seed, x, y.to_numpy(), clean, x_test, y_test)
