"""Which parameters belong to some rows alone: the latents of a patient, county or annotator that is deleted whole."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.sparse.csgraph import connected_components

from bayesrepair.fit import Change
from bayesrepair.model import Differentiable
from bayesrepair.numerics.blocks import row_blocks
from bayesrepair.posterior import Draws
from bayesrepair.rows import Rows
from bayesrepair.status import MethodError
from bayesrepair.target import Target

LOOKED_AT = 5  # draws: no influence at any of them is no coincidence
ROUNDING = 1e-8  # of a gradient; what gradients let pass is decided by values, bit by bit


@dataclass(frozen=True, eq=False)
class OwnLatents:
    """Latents that only deleted rows touch, independent of all other such latents given the rest of theta.

    Parameters
    ----------
    entries : array of int
        Of theta.
    at : array of int
        Positions, among the rows of the change, of the deleted rows that touch them.
    """

    entries: np.ndarray
    at: np.ndarray


def own_latents(change: Change) -> tuple[OwnLatents, ...]:
    """Entries of theta that deleted rows touch and no retained row does, split where they are independent.

    An entry is touched by a row whose log-likelihood changes with it: candidates have no gradient over the retained
    rows at several draws; then candidates are exchanged between draws, which must leave each retained row's
    log-likelihood as it is, bit by bit. Entries that share a row, or whose prior does not factorise given all others
    (mixed second differences), stay together.

    Parameters
    ----------
    change : Change
        With draws, and a Differentiable model.

    Returns
    -------
    tuple of OwnLatents
        In the order of their first entries.

    Raises
    ------
    MethodError
        If there are none: a pooled model, or only some rows of each group.
    """
    model, theta = change.model, _some_draws(change)
    assert isinstance(model, Differentiable)  # `edit` refuses the others
    deleted = np.flatnonzero((change.before > 0) & (change.after == 0))
    retained, weight = change.retained
    prior = _gradient(model, theta, change.rows.at(slice(0, 0)), np.zeros(0))
    kept = _differs(_gradient(model, theta, retained, weight), prior)
    touched = _differs(_gradient(model, theta, change.rows.at(deleted), change.before[deleted]), prior)
    entries = np.flatnonzero(touched & ~kept)
    if len(entries) and _touching(model, theta, entries, retained).any():
        entries = np.array([j for j in entries if not _touching(model, theta, np.array([j]), retained).any()], int)
    if not len(entries):
        raise _no_latents(change, touched)
    touches = np.stack([_touching(model, theta, np.array([j]), change.rows.at(deleted)) for j in entries])
    together = touches @ touches.T | _coupled(model, theta, entries, change.rows.at(slice(0, 0)))
    count, part = connected_components(together, directed=False)
    groups = [part == k for k in range(count)]
    return tuple(OwnLatents(entries[g], deleted[touches[g].any(axis=0)]) for g in groups)


def _some_draws(change: Change) -> np.ndarray:
    draws = change.posterior
    assert isinstance(draws, Draws)  # `edit` refuses the others
    used = np.flatnonzero(draws.weights > 0)
    return draws.theta[used[np.linspace(0, len(used) - 1, min(LOOKED_AT, len(used))).astype(int)]]


def _gradient(model: Differentiable, theta: np.ndarray, rows: Rows, weight: np.ndarray) -> np.ndarray:
    return Target(model, rows, weight).value_and_gradient(theta)[1]


def _differs(gradient: np.ndarray, base: np.ndarray) -> np.ndarray:
    """Which columns of (S, P) differ beyond rounding at any draw, (P,)."""
    return (np.abs(gradient - base) > ROUNDING * (1 + np.abs(base))).any(axis=0)


def _touching(model: Differentiable, theta: np.ndarray, entries: np.ndarray, rows: Rows) -> np.ndarray:
    """Which rows' log-likelihood changes when draws exchange these entries, (N,)."""
    exchanged = theta.copy()
    exchanged[:, entries] = np.roll(theta[:, entries], 1, axis=0)
    changes = np.zeros(len(rows), dtype=bool)
    for where, block in row_blocks(rows, len(theta)):
        one, other = model.log_lik(theta, block), model.log_lik(exchanged, block)
        changes[where] = ((one != other) & ~(np.isnan(one) & np.isnan(other))).any(axis=0)
    return changes


def _coupled(model: Differentiable, theta: np.ndarray, entries: np.ndarray, none: Rows) -> np.ndarray:
    """Whether the prior's gradient in one entry changes with another entry, (n, n); ``none``: no rows."""
    base = _gradient(model, theta, none, np.zeros(0))[:, entries]
    coupled = np.zeros((len(entries), len(entries)), dtype=bool)
    for k, j in enumerate(entries):
        exchanged = theta.copy()
        exchanged[:, j] = np.roll(theta[:, j], 1)
        coupled[k] = _differs(_gradient(model, exchanged, none, np.zeros(0))[:, entries], base)
    return coupled | coupled.T


def _no_latents(change: Change, touched: np.ndarray) -> MethodError:
    named = [change.model.names[j] for j in np.flatnonzero(touched)]
    some = ", ".join(map(repr, named[:3])) + (", …" if len(named) > 3 else "")
    got = f"none: retained rows touch all {len(named)} parameters that the deleted rows touch ({some})"
    if not named:
        got = "no deleted rows, or rows that touch no parameter"
    return MethodError(
        "deleted rows with latent parameters of their own, such as all rows of a group",
        got,
        "Delete whole groups (fit.group), or use another method.",
    )
