"""What Gaussian classes say of the labels of the same rows, as an opinion of its own.

A regression learns a line from the labels alone; of few rows, wrong labels turn it. How the rows lie says where the
classes are even where labels are wrong: those of a class about a middle of their own. The discriminant finds middles
and spread by expectation and maximisation over the true classes (robust discriminant analysis), each row judged without
its fold.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from scipy.linalg import solve_triangular
from scipy.special import softmax
from sklearn.model_selection import KFold
from sklearn.preprocessing import StandardScaler

from bayesrepair.numerics.label_posterior import transition
from bayesrepair.suspects.opinion import features_of, label_noise, opinion
from bayesrepair.suspects.result import Suspects

NAME = "discriminant"
FOLDS = 10
ROUNDS, SETTLED = 10, 1e-3  # at most: with more, middles of classes that overlap wander off to other groups of rows
SLOPE, SLOPE_SD = 1.0, 0.3  # of the recalibration
CLASS_SPREAD = 0.4  # classes may differ more in their errors than `LabelNoise` has it: another prior, to be weighed
_MIDDLE = 0.1  # rows at the centre of the table that each class is given, so that an empty one has a middle
_SMALLEST = 1e-12  # probability


def discriminant_opinion(suspects: Suspects, *, features: Any = None, random_seed: int = 0) -> Suspects:
    """Suspects of a linear discriminant, among the rows, trusted rows, groups and reviews of others.

    It takes labels to be wrong as often as the others do, and knows no more of them. Its probabilities of rows left out
    are recalibrated, and the noise is learned anew.

    Parameters
    ----------
    suspects, features, random_seed
        As in `bayesrepair.suspects.forest.forest_opinion`.

    Returns
    -------
    Suspects

    Raises
    ------
    DataError
        As there.

    References
    ----------
    Lawrence, Schölkopf (2001), Estimating a kernel Fisher discriminant in the presence of label noise, ICML. Bouveyron,
    Girard (2009), doi:10.1016/j.patcog.2009.03.027.
    """
    x = features_of(suspects, features)
    left_out = cross_fitted(x, _likelihood(suspects), seed=random_seed)
    noise = label_noise(suspects)
    noise = replace(noise, class_spread=max(noise.class_spread, CLASS_SPREAD))
    return opinion(suspects, left_out, noise=noise, slope=SLOPE, slope_sd=SLOPE_SD, random_seed=random_seed)


def _likelihood(suspects: Suspects) -> np.ndarray:
    """P(given label | true class) of each row, (N, K); of a row that is known to be right, one or zero."""
    flips, known = suspects.flips, suspects.evidence
    matrix = np.stack([transition(rate, flips.target).mean(axis=0) for rate in np.moveaxis(flips.rate, 1, 0)])
    given = np.asarray(suspects.fit.rows.values[suspects.fit.model.outcome.name]).astype(int)
    return np.asarray(matrix[known.source, :, given])


def cross_fitted(x: np.ndarray, likelihood: np.ndarray, *, seed: int = 0) -> np.ndarray:
    """Class probabilities of each row by the discriminant of the other folds, (N, K); none is quite zero.

    Parameters
    ----------
    x : array, shape (N, d)
    likelihood : array, shape (N, K)
        P(given label | true class).
    seed : int

    Examples
    --------
    Two groups, and labels of which a tenth are wrong.

    >>> rng = np.random.default_rng(0)
    >>> true = np.arange(200) % 2
    >>> given = np.where(rng.random(200) < 0.1, 1 - true, true)
    >>> x = rng.standard_normal((200, 2)) + 3 * true[:, None]
    >>> likelihood = np.where(np.eye(2)[given] == 1, 0.9, 0.1)
    >>> found = cross_fitted(x, likelihood).argmax(axis=1)
    >>> (given == true).mean().item(), (found == true).mean().item() > 0.96
    (0.895, True)
    """
    x = StandardScaler().fit_transform(x)
    left_out = np.empty_like(likelihood, dtype=float)
    for rest, some in KFold(min(FOLDS, len(x)), shuffle=True, random_state=seed).split(x):
        found = settled(x[rest], likelihood[rest])
        left_out[some] = np.maximum(found.probability(x[some]), _SMALLEST)
    return left_out / left_out.sum(axis=1, keepdims=True)


@dataclass(frozen=True, eq=False)
class Discriminant:
    """Classes as Gaussians of one covariance.

    Parameters
    ----------
    share : array, shape (K,)
    mean : array, shape (K, d)
    factor : array, shape (d, d)
        Lower Cholesky factor of the covariance.
    """

    share: np.ndarray
    mean: np.ndarray
    factor: np.ndarray

    def probability(self, x: np.ndarray) -> np.ndarray:
        """Of each class, before the label is looked at, (N, d) → (N, K)."""
        return np.asarray(softmax(self._log_odds(x), axis=1))

    def truth(self, x: np.ndarray, log_likelihood: np.ndarray) -> np.ndarray:
        """Of each true class, given the label."""
        return np.asarray(softmax(self._log_odds(x) + log_likelihood, axis=1))

    def _log_odds(self, x: np.ndarray) -> np.ndarray:
        """Up to a constant for each row."""
        rows, middle = (solve_triangular(self.factor, part.T, lower=True) for part in (x, self.mean))
        return np.asarray(np.log(self.share) + rows.T @ middle - np.square(middle).sum(axis=0) / 2)


def settled(x: np.ndarray, likelihood: np.ndarray) -> Discriminant:
    """Expectation and maximisation from what the labels alone say, until the true classes stay, or ten times."""
    with np.errstate(divide="ignore"):
        log_likelihood = np.log(likelihood)
    truth = likelihood / likelihood.sum(axis=1, keepdims=True)
    found = maximised(x, truth)
    for _ in range(ROUNDS):
        before, truth = truth, found.truth(x, log_likelihood)
        found = maximised(x, truth)
        if np.abs(truth - before).max() < SETTLED:
            break
    return found


def maximised(x: np.ndarray, truth: np.ndarray) -> Discriminant:
    """The discriminant of rows that belong to each class with some probability.

    The scatter is shrunk: one row at one sd of the table is added to each column, then as many rows as there are
    columns, without correlations. Shares have a uniform prior.
    """
    rows, width = x.shape
    count = truth.sum(axis=0)
    mean = truth.T @ x / (count + _MIDDLE)[:, None]
    scatter = x.T @ x - (mean.T * (count + _MIDDLE)) @ mean
    scatter[np.diag_indices(width)] += 1.0  # what never varied among these rows may yet
    covariance = (scatter + width * np.diag(np.diag(scatter) / rows)) / (rows + width)
    return Discriminant((count + 1) / (rows + len(count)), mean, np.linalg.cholesky(covariance))
