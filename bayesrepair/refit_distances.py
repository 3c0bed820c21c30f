"""Distances of an edited posterior to refits, beside those between refits: of parameters, predictions, draws."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import combinations, permutations
from typing import Any, get_args

import numpy as np
import pandas as pd
from scipy.special import ndtr

from bayesrepair.fit import Fit
from bayesrepair.numerics.blocks import row_blocks
from bayesrepair.numerics.distance import (
    FOLDS,
    LARGEST_SAMPLE,
    Classifier,
    chance_sd,
    kl_divergence,
    total_variation,
    two_sample_auc,
    weighted_quantiles,
)
from bayesrepair.posterior import Draws
from bayesrepair.predictive import unbounded
from bayesrepair.predictive_masses import BATCHES, predictive_masses
from bayesrepair.rows import Rows
from bayesrepair.status import UnsupportedModelError

ROUNDING = 1e-12  # relative
LEVELS = (0.05, 0.95)
# What a classifier may see. A shift of .18 posterior sd along the worst direction gives an AUC of .55; where P
# parameters are each off by the .05 sd that single means may be, their joint shift is .05 √P. Never less than 3 sds of
# chance.
LEAST_AUC = 0.05
SHIFT_OF_EACH = 0.05


@dataclass(frozen=True, eq=False)
class Summary:
    """Means, sds and quantiles of a posterior and of its predictions."""

    mean: np.ndarray  # predictions (N, K), on an unbounded scale
    sd: np.ndarray
    theta_mean: np.ndarray
    theta_sd: np.ndarray
    quantiles: np.ndarray = field(default_factory=lambda: np.zeros((len(LEVELS), 0)))  # of predictions, (2, N·K)
    chance: _Chance = field(default_factory=lambda: _Chance())


@dataclass(frozen=True)
class _Chance:
    """How far, in posterior sds, the means of two refits may lie apart by chance: 99.5 % quantiles."""

    prediction_average: float = 0.0
    prediction_largest: float = 0.0
    parameter_average: float = 0.0
    parameter_largest: float = 0.0


def _scale(reference: np.ndarray) -> np.ndarray:
    return np.maximum(reference, 1e-12)


def spread(variance: np.ndarray, mean: np.ndarray) -> np.ndarray:
    """Standard deviations; what rounding leaves of a constant is none."""
    sd = np.sqrt(variance)
    return np.where(sd > ROUNDING * (1 + np.abs(mean)), sd, 0.0)


def _shift(a: np.ndarray, b: np.ndarray, sd: np.ndarray) -> np.ndarray:
    """``|a − b| / sd``; a difference within rounding is none."""
    difference = np.abs(a - b)
    return np.where(difference > ROUNDING * (1 + np.abs(b)), difference, 0.0) / _scale(sd)


def _average(values: np.ndarray) -> float:
    return float(np.mean(values)) if values.size else 0.0


def _largest(values: np.ndarray) -> float:
    return float(np.max(values)) if values.size else 0.0


def _log_ratio(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return np.abs(np.log(_scale(a) / _scale(b)))


def _quantile(k: int) -> Callable[[Summary, Summary], float]:
    def distance(a: Summary, b: Summary) -> float:
        return _average(_shift(a.quantiles[k], b.quantiles[k], b.sd.ravel()[: b.quantiles.shape[1]]))

    return distance


# Name → distance of an edited posterior to a reference; the limit below which more refit noise does not matter; what
# chance allows a refit, where that may be more. .05 sd on average is what 800 independent draws know of a mean; a
# single one of many may be off by .2. A 5 % quantile is known 2.1 times less well than a mean from the same draws.
Distance = Callable[[Any, Any], float]
Metric = tuple[Distance, float, Callable[[Any], float]]
QUANTILE_NOISE = 2.1


def _none(reference: Any) -> float:
    return 0.0


DISTANCES: dict[str, Metric] = {
    "prediction mean, average |Δ|/sd": (
        lambda a, b: _average(_shift(a.mean, b.mean, b.sd)),
        0.05,
        lambda b: b.chance.prediction_average,
    ),
    "prediction mean, largest |Δ|/sd": (
        lambda a, b: _largest(_shift(a.mean, b.mean, b.sd)),
        0.2,
        lambda b: b.chance.prediction_largest,
    ),
    "prediction sd, average |log ratio|": (lambda a, b: _average(_log_ratio(a.sd, b.sd)), 0.1, _none),
    "prediction 5 % quantile, average |Δ|/sd": (
        _quantile(0),
        QUANTILE_NOISE * 0.05,
        lambda b: QUANTILE_NOISE * b.chance.prediction_average,
    ),
    "prediction 95 % quantile, average |Δ|/sd": (
        _quantile(1),
        QUANTILE_NOISE * 0.05,
        lambda b: QUANTILE_NOISE * b.chance.prediction_average,
    ),
    "parameter mean, average |Δ|/sd": (
        lambda a, b: _average(_shift(a.theta_mean, b.theta_mean, b.theta_sd)),
        0.05,
        lambda b: b.chance.parameter_average,
    ),
    "parameter mean, largest |Δ|/sd": (
        lambda a, b: _largest(_shift(a.theta_mean, b.theta_mean, b.theta_sd)),
        0.2,
        lambda b: b.chance.parameter_largest,
    ),
    "parameter sd, average |log ratio|": (lambda a, b: _average(_log_ratio(a.theta_sd, b.theta_sd)), 0.1, _none),
    "parameter sd, largest |log ratio|": (lambda a, b: _largest(_log_ratio(a.theta_sd, b.theta_sd)), 0.2, _none),
}
# Of predictive masses (edited, refit). At a total variation of .005 no event about an outcome changes its probability
# by more than half a percentage point, on average over rows; of a single row, by two points. A divergence is the log
# score that a reader of the edited predictive loses: at 1e-4 nats a row it takes ten thousand rows to lose one nat.
# Chance: the farthest of twenty batches of a refit's draws, scaled to the difference of two refits, whose variance is
# 2 / (BATCHES − 1) of that between a batch and the whole.
SQUARED_SCATTER = 2 / (BATCHES - 1)
PREDICTIVE_DISTANCES: dict[str, Metric] = {
    "predictive total variation, average": (
        lambda a, b: _average(total_variation(a[0], b[0])),
        0.005,
        lambda b: SQUARED_SCATTER**0.5 * max(_average(total_variation(batch, b[0])) for batch in b[1:]),
    ),
    "predictive total variation, largest": (
        lambda a, b: _largest(total_variation(a[0], b[0])),
        0.02,
        lambda b: SQUARED_SCATTER**0.5 * max(_largest(total_variation(batch, b[0])) for batch in b[1:]),
    ),
    "predictive KL from refits, average (nats)": (
        lambda a, b: _average(kl_divergence(b[0], a[0])),
        1e-4,
        lambda b: SQUARED_SCATTER * max(_average(kl_divergence(b[0], batch)) for batch in b[1:]),
    ),
}


def distances_to_refits(
    fit: Fit, refits: list[Draws], rows: Rows, *, rng: np.random.Generator
) -> tuple[pd.DataFrame, str]:
    """Every distance between a posterior and refits, beside the distances between the refits.

    Parameters
    ----------
    fit : Fit
        The posterior to be compared.
    refits : list of Draws
        Two at least.
    rows : Rows
        What is predicted.
    rng : Generator

    Returns
    -------
    distances : DataFrame
        Indexed by ``metric``: distance, refit_noise, ratio, low, high, limit; see `bayesrepair.Verification`.
    omitted : str
        What could not be measured, and why.
    """
    posteriors, omitted = [fit.draws, *refits], ""
    first, *others = (_summary(fit, draws, rows) for draws in posteriors)
    frames = [summary_distances(first, others)]
    try:
        mine, *theirs = predictive_masses(fit, posteriors, rows, rng=rng)
        frames.append(summary_distances(mine, theirs, PREDICTIVE_DISTANCES))
    except UnsupportedModelError as error:
        omitted = f"predictive distributions not compared ({error})"
    frames.append(_two_sample_tests(posteriors, rng))
    return pd.concat(frames), omitted


def _summary(fit: Fit, draws: Draws, rows: Rows) -> Summary:
    means, sds, quantiles = [], [], []
    total, largest, count = np.zeros(len(draws)), np.zeros(len(draws)), 0
    for _, block in row_blocks(rows, len(draws), outputs=len(fit.model.outcome.classes or (0,))):
        values = unbounded(fit.model.predict(draws.theta, block), fit.model.outcome).reshape(len(draws), -1)
        mean = draws.weights @ values
        sd = spread(draws.weights @ np.square(values - mean), mean)
        away = _shift(values, mean, sd)
        total, largest, count = total + away.sum(1), np.maximum(largest, away.max(1)), count + len(mean)
        quantiles.append(weighted_quantiles(values, draws.weights, LEVELS))
        means.append(mean)
        sds.append(sd)
    theta_mean = draws.weights @ draws.theta
    theta_sd = spread(draws.weights @ np.square(draws.theta - theta_mean), theta_mean)
    away = _shift(draws.theta, theta_mean, theta_sd)
    chance = _chance(draws, total / max(count, 1), largest, away.mean(1), away.max(1))
    parts = np.concatenate(means), np.concatenate(sds), theta_mean, theta_sd, np.concatenate(quantiles, axis=1)
    return Summary(*parts, chance)


def _chance(draws: Draws, *away: np.ndarray) -> _Chance:
    """By the central limit theorem two means differ as one draw does from the mean, times ``√(2 / ESS)``."""
    reach = weighted_quantiles(np.stack(away, axis=1), draws.weights, [0.995])[0]
    return _Chance(*(float(r) for r in reach * np.sqrt(2 / draws.ess)))


def summary_distances(edited: Any, refits: list, table: dict[str, Metric] | None = None) -> pd.DataFrame:
    """One line a metric of the table (by default, of summaries)."""
    lines = {}
    for name, (distance, limit, chance) in (DISTANCES if table is None else table).items():
        to_refits = np.array([distance(edited, refit) for refit in refits])
        noise = float(np.mean([distance(a, b) for a, b in permutations(refits, 2)]))
        lines[name] = _line(to_refits, noise, max(limit, float(np.mean([chance(refit) for refit in refits]))))
    return pd.DataFrame.from_dict(lines, orient="index").rename_axis("metric")


def _line(to_refits: np.ndarray, noise: float, limit: float) -> dict[str, float]:
    ratios = to_refits / _scale(np.array(noise))
    return {
        "distance": to_refits.mean(),
        "refit_noise": noise,
        "ratio": ratios.mean(),
        "low": ratios.min(),
        "high": ratios.max(),
        "limit": limit,
    }


def _two_sample_tests(posteriors: list[Draws], rng: np.random.Generator) -> pd.DataFrame:
    """How well classifiers tell edited draws from refits: AUC − ½, where chance alone is part of the noise."""
    samples = [_independent(draws, rng) for draws in posteriors]
    size = min(map(len, samples))
    chance = chance_sd(size, size) if size else 1.0
    together = ndtr(SHIFT_OF_EACH * np.sqrt(posteriors[0].theta.shape[1] / 2)) - 0.5
    limit = max(LEAST_AUC, float(together), 3 * chance)
    seed, lines = int(rng.integers(2**31)), {}
    for classifier in get_args(Classifier):

        def told(a: int, b: int, classifier: Classifier = classifier) -> float:
            if size < 2 * FOLDS:
                return 0.5  # a handful of draws is no posterior
            return max(0.0, two_sample_auc(samples[a], samples[b], classifier=classifier, seed=seed) - 0.5)

        refits = range(1, len(samples))
        to_refits = np.array([told(0, k) for k in refits])
        noise = max(chance, float(np.mean([told(j, k) for j, k in combinations(refits, 2)])))
        lines[f"two-sample test, {classifier}: AUC − ½"] = _line(to_refits, noise, limit)
    return pd.DataFrame.from_dict(lines, orient="index").rename_axis("metric")


def _independent(draws: Draws, rng: np.random.Generator) -> np.ndarray:
    """As many distinct draws as are effective, at most ``LARGEST_SAMPLE``, evenly along the chains.

    A draw of more weight than one in so many occurs once all the same: a classifier would learn a repeated one by
    heart. Very uneven weights are thereby flattened, which counts against them.
    """
    known = draws.sampling.ess_min if draws.sampling is not None else np.inf
    size = int(np.clip(np.nanmin([draws.ess, known]), 1, LARGEST_SAMPLE))
    return draws.theta[np.unique(draws.resampled(size, rng))]
