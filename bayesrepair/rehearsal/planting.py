"""Errors planted in the outcomes of a fit's own rows, as its own model would make them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np

from bayesrepair.fit import Fit
from bayesrepair.predictive import mean_prediction
from bayesrepair.rows import Rows
from bayesrepair.status import DataError, MethodError

Where = Literal["uniform", "class", "group"]
SHIFT = (4.0, 8.0)  # predictive sds by which a number is moved
SPREAD_DRAWS, CHECK_DRAWS = 400, 20
FLOOR = 1e-6  # probability of a class that the model excludes: an error may be of any class


@dataclass(frozen=True, eq=False)
class Planted:
    """Rows some of whose outcomes are wrong, and which.

    Parameters
    ----------
    rows : Rows
    wrong : array of bool, shape (N,)
    group : int, optional
        Code of the group that got the errors; None where they are spread.
    """

    rows: Rows
    wrong: np.ndarray
    group: int | None = None


def plant(
    fit: Fit,
    rows: Rows,
    *,
    noise: float,
    mechanism: Where,
    group: np.ndarray,
    open_to_errors: np.ndarray,
    turn: int,
    rng: np.random.Generator,
) -> Planted:
    """Make the outcomes of some rows wrong.

    A class is drawn from the model's predictive given that it is another one, ``π_d / (1 − π_y)`` for d ≠ y: an error
    that a labeller with the model's eyes would make, harder to find than one drawn at random. A number is moved by 4
    to 8 predictive sds (half the width of the central 68 %), up or down; where that leaves the support, the outcome of
    another row takes its place.

    Parameters
    ----------
    fit : Fit
        Its posterior predicts.
    rows : Rows
        The training rows.
    noise : float
        Share of the rows, of one class or of one group that becomes wrong.
    mechanism : {"uniform", "class", "group"}
        Rows from everywhere; from one class, all taken for one other; or from one group.
    group : array of int, shape (N,)
        Group of each row; read for ``"group"`` alone.
    open_to_errors : array of bool, shape (N,)
        Rows that may become wrong.
    turn : int
        Whose turn it is: classes, or groups, with two rows open to errors take turns, so that a few runs see each.
    rng : Generator

    Returns
    -------
    Planted

    Raises
    ------
    MethodError
        If the mechanism is unknown or does not suit the outcome.
    DataError
        If no row is left for errors.
    """
    if mechanism not in get_args(Where):
        raise MethodError("mechanism='uniform', 'class' or 'group'", repr(mechanism))
    outcome = fit.model.outcome
    if mechanism == "class" and outcome.kind != "class":
        raise MethodError("an outcome of classes for mechanism='class'", f"the {outcome.kind} outcome {outcome.name!r}")
    given = np.asarray(rows.values[outcome.name])
    part = np.zeros(len(rows), dtype=int)
    if mechanism == "class":
        part = given.astype(int)
    elif mechanism == "group":
        part = group
    at, hit = _chosen(part, open_to_errors, noise, turn, rng)
    if outcome.kind == "class":
        new = _other_classes(mean_prediction(fit, rows.at(at)), given[at].astype(int), mechanism == "class", rng)
    else:
        new = _gross_errors(fit, rows, at, rng)
    changed = given.copy()
    changed[at] = new.astype(given.dtype)
    wrong = np.zeros(len(rows), dtype=bool)
    wrong[at] = changed[at] != given[at]
    if not wrong.any():
        raise DataError("outcomes that can be made wrong", "the same outcome in every row that was tried")
    return Planted(rows.replace(**{outcome.name: changed}), wrong, hit if mechanism == "group" else None)


def clean(fit: Fit, rows: Rows, theta: np.ndarray, rng: np.random.Generator) -> Rows:
    """Rows whose outcomes are all drawn anew at some parameters, (P,), so that none is wrong."""
    name = fit.model.outcome.name
    new = fit.model.simulate(theta[None], rows, rng)[0]
    return rows.replace(**{name: new.astype(np.asarray(rows.values[name]).dtype)})


def _chosen(
    part: np.ndarray, open_to_errors: np.ndarray, noise: float, turn: int, rng: np.random.Generator
) -> tuple[np.ndarray, int]:
    """Positions of the rows that become wrong, all of one part, and that part."""
    parts, sizes = np.unique(part[open_to_errors], return_counts=True)
    parts = parts[sizes >= 2]
    if not len(parts):
        raise DataError("at least two rows that may become wrong", "none that are not trusted", "Trust fewer rows.")
    hit = int(parts[turn % len(parts)])
    among = np.flatnonzero(open_to_errors & (part == hit))
    return np.sort(rng.choice(among, max(1, round(noise * len(among))), replace=False)), hit


def _other_classes(prob: np.ndarray, given: np.ndarray, one_target: bool, rng: np.random.Generator) -> np.ndarray:
    """A class other than the given one for each row, (n, K) → (n,)."""
    prob = np.maximum(prob, FLOOR)
    prob[np.arange(len(given)), given] = 0.0
    if one_target:
        prob = np.broadcast_to(prob.mean(axis=0), prob.shape)
        return np.full(len(given), rng.choice(prob.shape[1], p=prob[0] / prob[0].sum()))
    cumulative = np.cumsum(prob / prob.sum(axis=1, keepdims=True), axis=1)
    return np.minimum((cumulative < rng.random((len(given), 1))).sum(axis=1), prob.shape[1] - 1)


def _gross_errors(fit: Fit, rows: Rows, at: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A number that is far from what the model expects, for each row."""
    name, some = fit.model.outcome.name, rows.at(at)
    given = np.asarray(some.values[name], dtype=float)
    draws = fit.draws
    theta = draws.theta[draws.resampled(SPREAD_DRAWS, rng)]
    low, high = np.quantile(fit.model.simulate(theta, some, rng), [0.16, 0.84], axis=0)
    by = rng.uniform(*SHIFT, len(at)) * np.maximum((high - low) / 2, 1.0 if fit.model.outcome.kind == "count" else 0.0)
    by *= rng.choice([-1.0, 1.0], len(at))
    everything = np.asarray(rows.values[name], dtype=float)
    tries = [given + by, given - by, rng.permutation(everything)[: len(at)]]
    if fit.model.outcome.kind == "count":
        tries = [np.round(values) for values in tries]
    new = tries[-1]
    for values in tries[-2::-1]:
        new = np.where(_possible(fit, some, values, theta[:CHECK_DRAWS]), values, new)
    return new


def _possible(fit: Fit, rows: Rows, values: np.ndarray, theta: np.ndarray) -> np.ndarray:
    """Whether the model gives an outcome a positive density at some draws, (n,)."""
    name = fit.model.outcome.name
    tried = rows.replace(**{name: values.astype(np.asarray(rows.values[name]).dtype)})
    return np.isfinite(fit.model.log_lik(theta, tried)).all(axis=0)
