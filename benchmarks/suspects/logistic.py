"""Logistic regression at its mode: what the peers that need a fitted classifier are given."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from sklearn.base import ClassifierMixin
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold, cross_val_predict

BIAS_PRECISION = 1 / 2.5**2
FOLDS = 5


def classifier() -> LogisticRegression:
    """Slopes have standard normal priors, as in the Bayesian model."""
    return LogisticRegression(C=1.0, max_iter=5000, tol=1e-6)


def probabilities(x: np.ndarray, y: np.ndarray, at: np.ndarray, n_classes: int) -> np.ndarray:
    """Class probabilities of some rows, shape (M, K), after training on others; absent classes get a zero."""
    fitted = classifier().fit(x, y)
    found = np.zeros((len(at), n_classes))
    found[:, fitted.classes_] = fitted.predict_proba(at)
    return found


def out_of_fold(x: np.ndarray, y: np.ndarray, seed: int, estimator: ClassifierMixin | None = None) -> np.ndarray:
    """Class probabilities (N, K) of each row from the folds without it; by default of the logistic regression."""
    folds = StratifiedKFold(FOLDS, shuffle=True, random_state=seed)
    return cross_val_predict(estimator or classifier(), x, y, cv=folds, method="predict_proba")


@dataclass(frozen=True, eq=False)
class LastLayer:
    """Curvature of a softmax (two classes: a logistic) regression on features, at given probabilities.

    Parameters
    ----------
    features : array, shape (N, d)
    probs : array, shape (N, K)
    """

    features: np.ndarray
    probs: np.ndarray

    def gradients(self, features: np.ndarray, probs: np.ndarray, y: np.ndarray) -> np.ndarray:
        """Gradient of each row's loss −log p(y), shape (N, P)."""
        residual = probs - np.eye(probs.shape[1])[y]
        residual = residual[:, 1:] if probs.shape[1] == 2 else residual
        phi = _with_bias(features)
        return np.einsum("nk,nd->nkd", residual, phi).reshape(len(y), residual.shape[1] * phi.shape[1])

    @cached_property
    def precision(self) -> np.ndarray:
        """Σ curvature + prior precision, shape (P, P)."""
        phi, p = _with_bias(self.features), self.probs
        p = p[:, 1:] if p.shape[1] == 2 else p
        k, d = p.shape[1], phi.shape[1]
        total = np.zeros((k, d, k, d))
        for a in range(k):
            for b in range(a, k):
                weight = p[:, a] * ((a == b) - p[:, b])
                total[a, :, b, :] = total[b, :, a, :] = phi.T @ (weight[:, None] * phi)
        prior = np.concatenate([np.ones(d - 1), [BIAS_PRECISION]])
        return total.reshape(k * d, k * d) + np.diag(np.tile(prior, k))

    def self_influence(self, y: np.ndarray) -> np.ndarray:
        """Self-influence g' H⁻¹ g of each training row, shape (N,)."""
        g = self.gradients(self.features, self.probs, y)
        return np.einsum("np,pn->n", g, np.linalg.solve(self.precision, g.T))

    def influence(self, y: np.ndarray, features: np.ndarray, probs: np.ndarray, labels: np.ndarray) -> np.ndarray:
        """−∇log p(held out)' H⁻¹ ∇log p(row): positive where a row works against the held-out rows, shape (N,)."""
        towards = np.linalg.solve(self.precision, self.gradients(features, probs, labels).sum(axis=0))
        return -self.gradients(self.features, self.probs, y) @ towards


def _with_bias(features: np.ndarray) -> np.ndarray:
    return np.column_stack([features, np.ones(len(features))])
