"""Labels made wrong on purpose, with the truth kept apart: for demonstrations, tests and benchmarks."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from bayesrepair.status import DataError

Kind = Literal["uniform", "class", "redrawn"]
KINDS: tuple[Kind, ...] = ("uniform", "class", "redrawn")


def flip_labels(
    y: pd.Series | ArrayLike,
    *,
    rate: float,
    rng: np.random.Generator,
    kind: Kind = "uniform",
    pairs: Mapping[Hashable, Hashable] | None = None,
) -> tuple[pd.Series, pd.Series]:
    """Make a share of the labels wrong.

    Parameters
    ----------
    y : pandas.Series or array-like (N,)
        Class labels without missing values; never written to.
    rate : float in [0, 1]
        Share of the rows that are hit: of all N rows, or for ``kind="class"`` of each class in ``pairs``.
        Exactly ``round(rate * n)`` rows are chosen, without replacement.
    rng : numpy.random.Generator
        Source of randomness.
    kind : {"uniform", "class", "redrawn"}
        ``uniform``: a chosen row gets one of the other classes, each as likely. ``class``: a chosen row of
        class c gets ``pairs[c]``. ``redrawn``: a chosen row gets any class, its own included, each as
        likely; with two classes about half of the chosen labels come out as they were.
    pairs : mapping of class to class, required for ``kind="class"``
        Which class is taken for which.

    Returns
    -------
    labels : pandas.Series (N,)
        The new labels, with the index and dtype of ``y``.
    truth : pandas.Series of bool (N,)
        True where the new label differs from the old one.

    Raises
    ------
    DataError
        If a label is missing, there is one class only, the rate is outside [0, 1], or ``pairs`` does not
        fit.

    Examples
    --------
    >>> y = pd.Series(["yes", "no", "no", "yes", "no"], index=list("abcde"))
    >>> labels, truth = flip_labels(y, rate=0.4, rng=np.random.default_rng(1))
    >>> int(truth.sum()), bool((labels[truth] != y[truth]).all())
    (2, True)
    """
    old = y if isinstance(y, pd.Series) else pd.Series(np.asarray(y))
    codes, classes = pd.factorize(old, sort=True)
    codes = np.asarray(codes)
    _check(codes, len(classes), rate, kind, pairs)
    if kind == "uniform":
        new = _uniform(codes, len(classes), rate, rng)
    elif kind == "redrawn":
        new = _redrawn(codes, len(classes), rate, rng)
    else:
        assert pairs is not None
        new = _by_class(codes, _pair_codes(pd.Index(classes), pairs), rate, rng)
    labels = pd.Series(pd.Index(classes).take(new), index=old.index, name=old.name).astype(old.dtype)
    return labels, pd.Series(new != codes, index=old.index, name="planted")


def _check(codes: np.ndarray, n_classes: int, rate: float, kind: Kind, pairs: Mapping | None) -> None:
    if kind not in KINDS:
        raise DataError(f"kind to be one of {', '.join(KINDS)}", f"{kind!r}", "Pass kind='uniform'.")
    if not 0 <= rate <= 1:
        raise DataError("a rate between 0 and 1", f"{rate}", "Pass rate=0.1 for one row in ten.")
    if (codes < 0).any():
        raise DataError("a label in every row", f"{int((codes < 0).sum())} missing", "Drop those rows first.")
    if n_classes < 2:
        raise DataError("at least two classes", f"{n_classes}", "Pass the column of class labels.")
    if (kind == "class") != (pairs is not None):
        remedy = "Pass kind='class' together with pairs={'from': 'to'}."
        raise DataError("pairs with kind='class', and only then", f"kind={kind!r}, pairs={pairs!r}", remedy)


def _pair_codes(classes: pd.Index, pairs: Mapping) -> dict[int, int]:
    known = {label: code for code, label in enumerate(classes)}
    for label in (*pairs.keys(), *pairs.values()):
        if label not in known:
            expected = f"pairs of the classes {', '.join(map(repr, known))}"
            raise DataError(expected, repr(label), "Write the classes as they stand in y.")
    same = [label for label, into in pairs.items() if label == into]
    if same:
        raise DataError("every class taken for another", f"{same[0]!r} for itself", "Leave that pair out.")
    return {known[label]: known[into] for label, into in pairs.items()}


def _chosen(rows: np.ndarray, rate: float, rng: np.random.Generator) -> np.ndarray:
    return rng.choice(rows, size=round(rate * rows.size), replace=False)


def _uniform(codes: np.ndarray, n_classes: int, rate: float, rng: np.random.Generator) -> np.ndarray:
    new = codes.copy()
    hit = _chosen(np.arange(codes.size), rate, rng)
    # A step of 1 … K-1 round the circle of classes reaches each of the others with equal probability.
    new[hit] = (codes[hit] + rng.integers(1, n_classes, size=hit.size)) % n_classes
    return new


def _redrawn(codes: np.ndarray, n_classes: int, rate: float, rng: np.random.Generator) -> np.ndarray:
    new = codes.copy()
    hit = _chosen(np.arange(codes.size), rate, rng)
    new[hit] = rng.integers(n_classes, size=hit.size)
    return new


def _by_class(codes: np.ndarray, into: Mapping[int, int], rate: float, rng: np.random.Generator) -> np.ndarray:
    new = codes.copy()
    for source, target in into.items():
        new[_chosen(np.flatnonzero(codes == source), rate, rng)] = target
    return new
