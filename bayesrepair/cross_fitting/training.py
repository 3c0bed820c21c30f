"""Training a classifier on rows that may be of several classes, and predicting those that were left out."""

from __future__ import annotations

from collections.abc import Callable
from numbers import Integral
from typing import Any

import numpy as np
from sklearn.base import clone
from sklearn.model_selection import StratifiedKFold, check_cv
from sklearn.pipeline import Pipeline
from sklearn.utils import _safe_indexing
from sklearn.utils.validation import has_fit_parameter

from bayesrepair.pred_probs import SMALLEST
from bayesrepair.status import DataError

LEAST = 0.01  # probability of a class, below which nothing is trained on it
Split = list[tuple[np.ndarray, np.ndarray]]


class Folds:
    """Which rows are left out together.

    Parameters
    ----------
    cv : int, splitter or iterable
        As in scikit-learn; a number means stratified folds, drawn anew each time.
    codes : array of int, shape (N,)
    random_seed : int, optional
    """

    def __init__(self, cv: Any, codes: np.ndarray, random_seed: int | None) -> None:
        count = np.bincount(codes)
        if len(count) < 2 or count.min() < 2:
            got = f"{len(count)}, the smallest of {count.min(initial=len(codes))}"
            raise DataError("at least two classes of at least two rows", got, "Leave out rows of rarer classes.")
        self._codes = codes
        drawn = isinstance(cv, Integral)
        self._given = None if drawn else list(check_cv(cv, codes, classifier=True).split(codes, codes))
        self._number = min(int(cv), int(count.min())) if drawn else 0
        self._seeds = np.random.default_rng(random_seed)

    def split(self) -> Split:
        """Pairs of positions: to train on, and to leave out."""
        if self._given is not None:
            return self._given
        seed = int(self._seeds.integers(2**31))
        return list(StratifiedKFold(self._number, shuffle=True, random_state=seed).split(self._codes, self._codes))


def trained(classifier: Any, X: Any, share: np.ndarray) -> Any:
    """A clone trained on rows whose true classes have the probabilities ``share``, (N, K).

    Each row enters once for each class that it may have, with its probability as weight; where the classifier takes no
    weights, once, as one of its most probable class.
    """
    step = classifier.steps[-1] if isinstance(classifier, Pipeline) else ("", classifier)
    if not has_fit_parameter(step[1], "sample_weight"):
        return clone(classifier).fit(X, share.argmax(axis=1))
    kept = np.where(share >= LEAST, share, 0.0)
    row, code = np.nonzero(kept)
    weight = (kept / kept.sum(axis=1, keepdims=True))[row, code]
    name = f"{step[0]}__sample_weight" if step[0] else "sample_weight"
    return clone(classifier).fit(_safe_indexing(X, row), code, **{name: weight})


def probabilities(classifier: Any, X: Any, classes: int, rows: int) -> np.ndarray:
    """Of each class, (N, K): 0, also of classes unknown to it, is half a row of those it was trained on.

    Where the classifier gives smaller ones, it is the smallest of them.
    """
    found = np.zeros((np.shape(X)[0], classes))
    found[:, classifier.classes_] = classifier.predict_proba(X)
    return np.maximum(found, max(SMALLEST, min(0.5 / rows, float(found[found > 0].min()))))


def left_out(
    classifier: Any, X: Any, share: np.ndarray, split: Split, advance: Callable[[int], None] = lambda count: None
) -> np.ndarray:
    """Probability of each class for every row, from a classifier that did not see the row, (N, K).

    Raises
    ------
    DataError
        If some row is never left out.
    """
    found, seen = np.zeros_like(share), np.zeros(len(share))
    for train, test in split:
        model = trained(classifier, _safe_indexing(X, train), share[train])
        predicted = probabilities(model, _safe_indexing(X, test), share.shape[1], len(train))
        found[test] += np.log(predicted)
        seen[test] += 1
        advance(len(test))
    if (seen == 0).any():
        raise DataError("folds that leave out every row once", f"{int((seen == 0).sum())} rows never left out")
    return normalised(found / seen[:, None])


def normalised(log_p: np.ndarray) -> np.ndarray:
    """Logarithms of probabilities, up to a constant each row → probabilities, (N, K)."""
    p = np.exp(log_p - log_p.max(axis=1, keepdims=True))
    return p / p.sum(axis=1, keepdims=True)
