"""Bayesian models of the benchmark, each compiled once for all cells of a data set."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import numpy as np
import pymc as pm
from sklearn.metrics import pairwise_distances

import bayesrepair as br
from bayesrepair.bridges.pymc.extraction import row_graph
from bayesrepair.bridges.pymc.fit import TrainablePyMCModel
from bayesrepair.bridges.pymc.sampling import NutsSettings
from bayesrepair.model import Outcome
from bayesrepair.posterior import Gaussian
from bayesrepair.softmax import Features, SoftmaxModel, softmax_fit
from benchmarks.suspects.base import Base
from benchmarks.suspects.cells import Cell

SAMPLING = NutsSettings(cores=1)  # as the library samples by default
LARGE = 150  # parameters beyond which the closed form of softmax models serves, with its Laplace approximation
FREQUENCIES = 100
SIZES = {"features": 5.0, "fourier": 8.0}  # scale of the prior of what all features together add, where it is learned


@cache
def _bridge(n: int, d: int, n_classes: int, size: float | None) -> TrainablePyMCModel:
    """A logistic or softmax regression on d features; the number of rows is that of the first cell."""
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((n, d)), np.arange(n) % n_classes
    shape = (d,) if n_classes == 2 else (d, n_classes)
    with pm.Model() as model:
        features = pm.Data("x", x, dims=("row", "feature"))
        scale: Any = 1.0 if size is None else pm.HalfNormal("amplitude", size)
        bias = pm.Normal("bias", 0, 2.5, shape=shape[1:])
        slope = pm.Normal("slope", 0, 1, shape=shape)
        logit = bias + scale * (features @ slope)
        if n_classes == 2:
            pm.Bernoulli("y", logit_p=logit, observed=y, dims="row")
        else:
            pm.Categorical("y", logit_p=logit, observed=y, dims="row")
    return TrainablePyMCModel(model, row_graph(model), settings=SAMPLING)


@dataclass(frozen=True, eq=False)
class Problem:
    """A plain fit on the given labels, and the test rows as the model reads them."""

    fit: br.Fit
    test: br.Rows


@dataclass(eq=False)
class _Last:
    """The plain fit of the cell that is being worked on: its methods share it."""

    name: tuple[str, ...] = ()
    problem: Problem | None = None
    warm: set[int] = field(default_factory=set)


_LAST = _Last()


def too_large(base: Base) -> bool:
    """Whether sampling a regression on the features of a cell would take minutes."""
    return base.cell.n_classes > 2 and base.features.shape[1] * base.cell.n_classes > LARGE


def problem(base: Base, *, basis: str = "features", laplace: bool = False, learned: bool = False) -> Problem:
    """Plain fit of a cell.

    Parameters
    ----------
    base : Base
    basis : {"features", "fourier"}
        The table (of a net, its penultimate layer), or random Fourier features of the table.
    laplace : bool
        Laplace approximation instead of draws.
    learned : bool
        Whether the prior scale of the slopes is learned, as by ``from_table(..., prior_scale="learned")``; that of
        Fourier features always is.
    """
    cell = base.cell
    fourier = basis == "fourier"
    x, x_test = (base.features, base.test_features) if not fourier else _fourier(cell.x, cell.x_test, cell.seed)
    if cell.net and not fourier:
        middle, spread = x.mean(axis=0), x.std(axis=0)
        scale = np.where(spread > 1e-9, spread, 1.0)
        x, x_test = (x - middle) / scale, (x_test - middle) / scale
    large = too_large(base) and not fourier
    width = 1.0 if fourier else np.sqrt(x.shape[1])  # the squares of Fourier features add up to one
    size = SIZES[basis] / width if fourier or learned else None
    name = (cell.name, basis, str(laplace), str(size))
    if _LAST.name != name or _LAST.problem is None:
        made = _closed(cell, x, x_test) if large else _sampled(cell, x, x_test, size=size, laplace=laplace)
        _LAST.name, _LAST.problem = name, made
    return _LAST.problem


def _closed(cell: Cell, x: np.ndarray, x_test: np.ndarray) -> Problem:
    model = SoftmaxModel(Features(x.shape[1], cell.n_classes), Outcome("y", "class", tuple(range(cell.n_classes))))
    rows, test = (
        br.Rows({"x": part, "y": labels}, np.arange(len(labels)))
        for part, labels in ((x, cell.y), (x_test, cell.y_test))
    )
    return Problem(softmax_fit(model, rows), test)


def _sampled(cell: Cell, x: np.ndarray, x_test: np.ndarray, *, size: float | None, laplace: bool) -> Problem:
    model = _bridge(len(cell.y), x.shape[1], cell.n_classes, size)
    rows = model.rows({"x": x, "y": cell.y})
    start = Gaussian(np.zeros(model.n_params), np.eye(model.n_params)) if laplace else None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        posterior = model.train(rows, start=start, rng=np.random.default_rng([cell.seed, 4]))
    return Problem(br.Fit(model, rows, posterior), model.rows({"x": x_test, "y": cell.y_test}))


def _fourier(x: np.ndarray, x_test: np.ndarray, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Random Fourier features of a Gaussian kernel (Rahimi and Recht 2007), half the median distance wide."""
    rng = np.random.default_rng([seed, 100])
    distance = pairwise_distances(x[: min(len(x), 500)])
    width = 0.5 * np.median(distance[np.triu_indices_from(distance, 1)])
    frequency = rng.standard_normal((x.shape[1], FREQUENCIES)) / width
    phase = rng.uniform(0, 2 * np.pi, FREQUENCIES)
    made = [np.sqrt(2 / FREQUENCIES) * np.cos(part @ frequency + phase) for part in (x, x_test)]
    return made[0], made[1]
