"""Net weights: the rows that take part in a posterior, and what the powers of all its edits add up to."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import numpy as np

from bayesrepair.rows import Rows
from bayesrepair.status import EditError

_ROUNDING, _DECIMALS = 1e-9, 6  # a sum of powers closer than this to a number of so many decimals is that number


def net_weights(base: Rows, factors: Sequence[tuple[Rows, np.ndarray]]) -> tuple[Rows, list[np.ndarray], np.ndarray]:
    """Add up the powers of a sequence of factors.

    Parameters
    ----------
    base : Rows
        The training rows, each of weight one to begin with.
    factors : sequence of (Rows, array)
        Rows and their powers, shape (N_k,).

    Returns
    -------
    rows : Rows
        Those of ``base``, then each other row that takes part; positions as ids.
    weights : list of array, shape (N,)
        After 0, 1, 2, … factors.
    ids : array of object, shape (N,)

    Raises
    ------
    EditError
        If a weight is below zero in the end.

    Examples
    --------
    >>> base = Rows({"y": np.zeros(2)}, np.array(["a", "b"]))
    >>> net_weights(base, [(base.take(["b"]), np.array([-0.25]))] * 4)[1][-1]
    array([1., 0.])
    """
    extra: list[Rows] = []
    known: defaultdict[Any, list[int]] = defaultdict(list)  # positions among the extra rows, by id
    powers = []
    for part, power in factors:
        powers.append((_locate(base, extra, known, part), power))
    rows = base.stacked(*extra) if extra else Rows(base.values, np.arange(len(base)))
    weight = np.concatenate([np.ones(len(base)), np.zeros(len(extra))])
    weights = [weight]
    ids = np.concatenate([base.row.astype(object), *(part.row.astype(object) for part in extra)])
    for at, power in powers:
        weight = weight.copy()
        np.add.at(weight, at, power)
        weight = rounded(weight)
        weights.append(weight)
    _refuse_negative(weights[-1], ids)
    return rows, weights, ids


def rounded(weight: np.ndarray) -> np.ndarray:
    """Sums of powers without their rounding errors: ten times a tenth is one, in any order."""
    decimal = np.round(weight, _DECIMALS)
    return np.where(np.abs(weight - decimal) < _ROUNDING, decimal, weight)


def _locate(base: Rows, extra: list[Rows], known: defaultdict[Any, list[int]], rows: Rows) -> np.ndarray:
    """Positions of the rows of a factor; those seen for the first time are appended to ``extra``.

    A record is its id *and* its content: a relabelled row keeps its id, and a held-out table may number its rows
    from zero as the training table did.
    """
    at = np.asarray(base.index.get_indexer(rows.index), dtype=int)
    found = np.flatnonzero(at >= 0)
    at[found[~base.same_content(at[found], rows, found)]] = -1
    for i in np.flatnonzero(at < 0):
        single = rows.at(np.array([i]))
        key = rows.row[i].item() if isinstance(rows.row[i], np.generic) else rows.row[i]
        zero = np.array([0])
        match = [k for k in known[key] if extra[k].same_content(zero, single, zero)[0]]
        if not match:
            match = [len(extra)]
            known[key].append(len(extra))
            extra.append(single)
        at[i] = len(base) + match[0]
    return at


def _refuse_negative(weight: np.ndarray, ids: np.ndarray) -> None:
    negative = np.flatnonzero(weight < 0)
    if len(negative):
        some = ", ".join(repr(i) for i in ids[negative[:3]])
        raise EditError(
            "a net weight of at least 0 for each row",
            f"{weight[negative].min():g} for {len(negative)} rows, such as {some}",
            "A row was deleted twice, was never in the data, or differs from the training row of that id.",
        )
