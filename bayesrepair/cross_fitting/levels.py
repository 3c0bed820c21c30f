"""What a classifier comes to if labels are wrong at a given rate, and how well it then predicts left-out labels.

Predictions of left-out rows alone hardly tell how many labels are wrong: a classifier trained on wrong labels predicts
wrong labels, with probabilities that are right in their way. But a classifier that was trained as if a tenth of the
labels were wrong predicts the given labels, errors included, better than others where a tenth is wrong, and worse where
none is. So the rate is learned as rates are compared: by the log score of left-out labels, whose exponential weights
the rates beside their prior (pseudo-Bayesian model averaging, with a Bayesian bootstrap of the rows; Yao et al. 2018,
doi:10.1214/17-BA1091).
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from scipy.special import logit
from scipy.stats import norm

from bayesrepair.cross_fitting.training import Split, left_out
from bayesrepair.fit import Fit
from bayesrepair.laplace import laplace
from bayesrepair.noise import LARGEST_RATE, LabelNoise, with_source
from bayesrepair.numerics.blocks import row_blocks
from bayesrepair.numerics.log_sum_exp import log_sum_exp
from bayesrepair.numerics.model_weight import bootstrap_weights
from bayesrepair.posterior import Gaussian
from bayesrepair.pred_probs import calibrated_fit
from bayesrepair.rows import Rows
from bayesrepair.softmax import SoftmaxModel
from bayesrepair.status import BayesRepairWarning, MethodError

RATES = (0.005, 0.02, 0.05, 0.09, 0.14, 0.2, 0.27, 0.35)
LEVELS = logit(np.array(RATES) / LARGEST_RATE)
NARROW = 0.1  # sd of the level about its value
DRAWS = 100
SEARCHES, ASIDE = 4, 0.1  # for a mode, and how far from the end of one the next begins
SLOPE_SD = 1.0  # of the prior of β: what was trained on probabilities of classes is unsure of all of them


@dataclass(frozen=True, eq=False)
class AtLevel:
    """The end of the rounds at one level of the noise.

    Parameters
    ----------
    probability : array, shape (N, K)
        Of each class, by classifiers that did not see the row.
    theta : array, shape (S, P)
        Draws of calibration and noise.
    truth : array, shape (N, K)
        Probability of each true class, given the label.
    score : array, shape (N,)
        Log predictive probability of each given label, left out; nats.
    reviewed : float
        Log probability of what a review found, nats; zero without one.
    """

    probability: np.ndarray
    theta: np.ndarray
    truth: np.ndarray
    score: np.ndarray
    reviewed: float


@dataclass(frozen=True, eq=False)
class Task:
    """What is the same at every level.

    Parameters
    ----------
    classifier, X : object
    given : Series
        Label of each row, by id.
    names : tuple
        Of the classes, in order.
    noise : LabelNoise
    source : array of int, shape (N,), or None
        Codes as `bayesrepair.noise.SOURCE` has them, if they matter.
    splits : sequence of Split
        One a round; the first is for the labels as they stand.
    """

    classifier: Any
    X: Any
    given: pd.Series
    names: tuple[Any, ...]
    noise: LabelNoise
    source: np.ndarray | None
    splits: Sequence[Split]

    def calibration(self, probability: np.ndarray) -> Fit:
        """Predictions of left-out rows as a fit without noise."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", BayesRepairWarning)  # said of the first round, and of none after it
            return calibrated_fit(self.given, probability, classes=self.names, slope_sd=SLOPE_SD)

    def at(self, level: float, first: np.ndarray, advance: Callable[[int], None]) -> AtLevel:
        """Train and predict in turn, as if the noise had this level; ``first`` is what the labels themselves teach."""
        noise, rng = self._noise_at(level), np.random.default_rng(0)
        found = self._implied(first, noise, rng)
        share = found.truth
        for split in self.splits[1:]:
            probability = left_out(self.classifier, self.X, share, split, advance)
            found = self._implied(probability, noise, rng)
            share = (share + found.truth) / 2  # every other step of EM overshoots
        return found

    def _noise_at(self, level: float) -> LabelNoise:
        by_class = self.noise.mechanism == "class"
        return replace(self.noise, level=level, level_sd=1.0 if by_class else NARROW)

    def _implied(self, probability: np.ndarray, noise: LabelNoise, rng: np.random.Generator) -> AtLevel:
        """What predictions of left-out rows say of the true classes and of the given ones."""
        fit = self.calibration(probability)
        assert isinstance(fit.model, SoftmaxModel)
        model = fit.model.with_noise(noise)
        rows = fit.rows if self.source is None else with_source(fit.rows, self.source)
        assert model.transition is not None
        gaussian = _gaussian(model, rows)
        theta = gaussian.draws(DRAWS, rng).theta
        truth, score = [], []
        for _, block in row_blocks(rows, DRAWS, outputs=len(self.names)):
            truth.append(model.truth(theta, block).mean(axis=0))
            score.append(log_sum_exp(model.log_lik(theta, block).T) - np.log(DRAWS))
        log_t = model.transition.log_matrix(gaussian.mean[None, len(model.design.names) :])[0]
        seen = model.transition.reviewed
        reviewed = float(np.sum(seen[seen > 0] * log_t[seen > 0]))
        return AtLevel(probability, theta, np.concatenate(truth), np.concatenate(score), reviewed)


def _gaussian(model: SoftmaxModel, rows: Rows) -> Gaussian:
    """Laplace approximation; a search that got lost among many classes goes on from beside where it ended."""
    start, rng = model.initial, np.random.default_rng(0)
    for _ in range(SEARCHES):
        found = laplace(model, rows, np.ones(len(rows)), start)
        if found.is_definite:
            return found
        start = found.mean + ASIDE * rng.standard_normal(len(start))
    raise MethodError("a mode of the calibration at each rate of errors", f"none after {SEARCHES} searches")


def level_weights(found: Sequence[AtLevel], noise: LabelNoise) -> np.ndarray:
    """Weight of each level: its prior times what it says of left-out labels, averaged over bootstraps of the rows.

    Parameters
    ----------
    found : sequence of AtLevel
        One for each of `LEVELS`.
    noise : LabelNoise
        Its prior of the level.

    Returns
    -------
    array, shape (len(LEVELS),)
        Sums to one.
    """
    middle = (LEVELS[1:] + LEVELS[:-1]) / 2
    mass = np.diff(norm.cdf(np.concatenate([[-np.inf], middle, [np.inf]]), noise.level, noise.level_sd))
    log_prior = np.log(mass) + np.array([one.reviewed for one in found])
    return bootstrap_weights(np.stack([one.score for one in found]), log_prior)
