"""Distances between distributions: of discrete masses, of weighted quantiles, and as a classifier sees two samples."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np

LARGEST_SAMPLE = 1000  # draws of each side that a classifier sees: an AUC is then known to ± .013
FOLDS = 5

Classifier = Literal["logistic", "trees"]


def total_variation(p: np.ndarray, q: np.ndarray) -> np.ndarray:
    """``½ Σ_k |p_k − q_k|``: the largest difference in the probability of any event, (N, K) → (N,).

    Examples
    --------
    >>> total_variation(np.array([[0.5, 0.5]]), np.array([[0.8, 0.2]])).round(12)
    array([0.3])
    """
    return 0.5 * np.abs(p - q).sum(axis=1)


def kl_divergence(p: np.ndarray, q: np.ndarray) -> np.ndarray:
    """``Σ_k p_k log(p_k / q_k)`` in nats, (N, K) → (N,); infinite where ``q`` rules out what ``p`` allows.

    Examples
    --------
    >>> kl_divergence(np.array([[1.0, 0.0]]), np.array([[0.5, 0.5]])).round(6)  # log 2
    array([0.693147])
    """
    from scipy.special import rel_entr

    return np.maximum(rel_entr(p, q).sum(axis=1), 0.0)


def weighted_quantiles(values: np.ndarray, weights: np.ndarray, levels: Sequence[float]) -> np.ndarray:
    """Quantiles of each column under weights that sum to one, linear between the middles of the weights.

    Parameters
    ----------
    values : array, shape (S, H)
    weights : array, shape (S,)
    levels : sequence of float

    Returns
    -------
    array, shape (len(levels), H)

    Examples
    --------
    >>> weighted_quantiles(np.array([[3.0], [1.0], [2.0]]), np.full(3, 1 / 3), [0.5])
    array([[2.]])
    """
    order = np.argsort(values, axis=0)
    ordered, mass = np.take_along_axis(values, order, axis=0), weights[order]
    middle = np.cumsum(mass, axis=0) - mass / 2
    columns = [np.interp(levels, middle[:, j], ordered[:, j]) for j in range(values.shape[1])]
    return np.stack(columns, axis=1)


def chance_sd(n: int, m: int) -> float:
    """Sd of the AUC of a classifier without skill on ``n`` and ``m`` cases, ``√((n + m + 1) / (12 n m))``.

    Source: Mann and Whitney (1947), doi:10.1214/aoms/1177730491.

    Examples
    --------
    >>> round(chance_sd(1000, 1000), 4)
    0.0129
    """
    return float(np.sqrt((n + m + 1) / (12 * n * m)))


def two_sample_auc(a: np.ndarray, b: np.ndarray, *, classifier: Classifier, seed: int) -> float:
    """Cross-validated AUC of a classifier that tells the draws ``a`` from ``b``; ½ where it cannot.

    The classifier two-sample test (Lopez-Paz and Oquab 2017, arXiv:1610.06545), read by its AUC: the probability that
    a draw of ``b`` gets a higher score than one of ``a``. Mean over folds, each by itself.

    Parameters
    ----------
    a, b : array, shapes (n, P) and (m, P)
        Independent draws: autocorrelated ones, or the same one twice, would be told apart by memory.
    classifier : {"logistic", "trees"}
        Logistic regression on the principal axes of ``b`` and their squares, which sees means, variances and
        correlations; or boosted trees, which see shapes and modes.
    seed : int
        Of the folds.

    Returns
    -------
    float

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> auc = two_sample_auc(rng.normal(size=(1000, 1)), rng.normal(1, 1, (1000, 1)), classifier="logistic", seed=0)
    >>> bool(abs(auc - 0.760) < 3 * 0.013)  # Φ(1 / √2) = .760
    True
    """
    from sklearn.metrics import roc_auc_score
    from sklearn.model_selection import StratifiedKFold
    from threadpoolctl import threadpool_limits

    values, label = np.concatenate([a, b]), np.repeat([0, 1], [len(a), len(b)])
    aucs = []
    with threadpool_limits(1):  # so small a problem is slower on several threads, and many times so on a busy machine
        for train, test in StratifiedKFold(FOLDS, shuffle=True, random_state=seed).split(values, label):
            # The axes are those of training draws alone: on axes of all of b its own draws would look too regular.
            white = _whitened(values, values[train[label[train] == 1]])
            model, features = _classifier(classifier, white, seed)
            model.fit(features[train], label[train])
            aucs.append(roc_auc_score(label[test], model.predict_proba(features[test])[:, 1]))
    return float(np.mean(aucs))


def _classifier(name: Classifier, white: np.ndarray, seed: int) -> tuple[Any, np.ndarray]:
    """An untrained classifier and its features."""
    from sklearn.ensemble import HistGradientBoostingClassifier
    from sklearn.linear_model import LogisticRegression

    if name == "logistic":
        return LogisticRegression(C=0.1), np.column_stack([white, np.minimum(np.square(white), 25.0)])
    trees = HistGradientBoostingClassifier(max_iter=30, max_leaf_nodes=8, early_stopping=False, random_state=seed)
    return trees, white


def _whitened(values: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """Values on the principal axes of the reference's correlations, in units of its sds; constants are left out."""
    sd = reference.std(axis=0)
    varying = sd > 1e-12 * (1 + np.abs(reference.mean(axis=0)))
    scaled = (values[:, varying] - reference[:, varying].mean(axis=0)) / sd[varying]
    own = (reference[:, varying] - reference[:, varying].mean(axis=0)) / sd[varying]
    variance, axes = np.linalg.eigh(own.T @ own / len(own))
    return scaled @ axes / np.sqrt(np.maximum(variance, 1e-6))
