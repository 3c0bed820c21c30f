"""The classifier that peers are given, and the split of the test rows that its failures define."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from benchmarks.suspects import kept
from benchmarks.suspects.cells import Cell
from benchmarks.suspects.logistic import LastLayer, out_of_fold, probabilities
from benchmarks.suspects.outside import ask

NETS = {
    "mlp": {"epochs": 100, "folds": 5, "width": 64, "mirror": False},
    "cnn": {"epochs": 10, "folds": 3, "width": 16, "mirror": False},
}
CIFAR = {"epochs": 10, "folds": 3, "width": 16, "mirror": True}


@dataclass(frozen=True, eq=False)
class Base:
    """A classifier trained on the given labels.

    Parameters
    ----------
    cell : Cell
    probs, oof : array, shape (N, K)
        Class probabilities of the training rows, in-sample and from folds without the row.
    test_probs : array, shape (M, K)
    features, test_features : array, shape (N, d), (M, d)
        What the last layer sees: the table itself, or the net's penultimate layer.
    """

    cell: Cell
    probs: np.ndarray
    oof: np.ndarray
    test_probs: np.ndarray
    features: np.ndarray
    test_features: np.ndarray

    @cached_property
    def last_layer(self) -> LastLayer:
        """Curvature for the influence scores."""
        return LastLayer(self.features, self.probs)

    @cached_property
    def halves(self) -> dict[str, np.ndarray]:
        """Positions of test rows: failures to use and to keep (F_q, F_h), the same of the others (C_v, C_h)."""
        rng = np.random.default_rng([self.cell.seed, 60])
        wrong = self.test_probs.argmax(axis=1) != self.cell.y_test
        parts = {}
        for rows, used, held in ((np.flatnonzero(wrong), "F_q", "F_h"), (np.flatnonzero(~wrong), "C_v", "C_h")):
            mixed = rng.permutation(rows)
            parts[used], parts[held] = np.sort(mixed[: len(rows) // 2]), np.sort(mixed[len(rows) // 2 :])
        return parts

    @property
    def trusted(self) -> np.ndarray:
        """Positions in the test rows of V = F_q + C_v."""
        return np.sort(np.concatenate([self.halves["F_q"], self.halves["C_v"]]))

    def without(self, dropped: np.ndarray) -> np.ndarray:
        """Class probabilities of the test rows after training without some rows."""
        keep = np.setdiff1d(np.arange(len(self.cell.y)), dropped)
        y = self.cell.y[keep]  # of a net only the last layer is trained again
        return probabilities(self.features[keep], y, self.test_features, self.cell.n_classes)


def base(cell: Cell) -> Base:
    """The classifier of a cell, from the cache where it is there."""
    file = kept.path("base", cell.name, suffix=".npz")
    found = kept.load(file)
    if found is None:
        found = _net(cell) if cell.net else _logistic(cell)
        kept.save(file, **found)
    return Base(cell, *(found[name] for name in ("probs", "oof", "test_probs", "features", "test_features")))


def _logistic(cell: Cell) -> dict[str, np.ndarray]:
    both = probabilities(cell.x, cell.y, np.concatenate([cell.x, cell.x_test]), cell.n_classes)
    oof = out_of_fold(cell.x, cell.y, cell.seed)
    n = len(cell.y)
    return {"probs": both[:n], "oof": oof, "test_probs": both[n:], "features": cell.x, "test_features": cell.x_test}


def _net(cell: Cell) -> dict[str, np.ndarray]:
    settings = CIFAR if cell.data == "cifar10n" else NETS[cell.net]
    return ask(
        "nets",
        x=_shaped(cell.x),
        y=cell.y,
        x_test=_shaped(cell.x_test),
        n_classes=cell.n_classes,
        kind=cell.net,
        seed=cell.seed,
        **settings,
    )


def _shaped(x: np.ndarray) -> np.ndarray:
    """Grey images get a channel."""
    return x[:, None] if x.ndim == 3 else x
