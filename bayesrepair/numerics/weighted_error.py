"""Monte Carlo errors of means under weights, of correlated draws, and of draws that share an ancestor."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from bayesrepair.numerics import array_stats
from bayesrepair.numerics.batches import batches

BATCHES = 40  # for the effective sizes of many quantities together
SHORTEST = 8  # draws a chain, for autocorrelations
FEWEST_DRAWS = 25  # below it a fifth of the draws is no tail to fit


class WeightedError(NamedTuple):
    """Monte Carlo errors of weighted means, a number a column."""

    mcse: np.ndarray
    """Standard error of the mean, in the units of the values."""
    ess: np.ndarray
    """Independent draws that would leave the same error: weighted variance / mcse²."""


def weighted_mcse(
    values: np.ndarray, weights: np.ndarray, chain: np.ndarray, *, ancestor: np.ndarray | None = None
) -> WeightedError:
    """Standard errors and effective sample sizes of weighted means.

    The self-normalised mean ``μ = Σ w h`` errs, to first order, by the sum of ``w_s (h_s − μ)``: for independent draws
    its variance is ``Σ w² (h − μ)²``. The draws of a chain are correlated, and so are these terms: the variance of
    their sum is taken from ArviZ's effective sample size of the series (Geyer's sequence, over split chains, so that
    chains that disagree count too). Terms of draws with a common ancestor are summed first. Kish's ``1 / Σ w²``
    agrees where ``h`` does not depend on the weight.

    Parameters
    ----------
    values : array, shape (S, H)
        Draws of H quantities, chain after chain in the order in which they were sampled.
    weights : array, shape (S,)
        Smoothed weights that sum to one. The error means nothing where their k̂, or that of w·h, is poor.
    chain : array, shape (S,)
        Chain of each draw; of its ancestor where ``ancestor`` is given.
    ancestor : array of int, shape (S,), optional
        Position of the draw that each one was moved from: draws of one ancestor are one cluster, and clusters stand in
        the order of their ancestors.

    Returns
    -------
    WeightedError

    References
    ----------
    Owen (2013), Monte Carlo theory, methods and examples, §9.3. Vehtari et al. (2021), arXiv:1903.08008.

    Examples
    --------
    >>> h = np.array([[0.0], [1.0]] * 2000)
    >>> independent = np.random.default_rng(0).permutation(h)
    >>> error = weighted_mcse(independent, np.full(4000, 1 / 4000), np.zeros(4000))
    >>> bool(abs(error.mcse[0] / (0.5 / np.sqrt(4000)) - 1) < 0.1)
    True
    """
    mean = weights @ values
    centred = values - mean
    terms = _series(weights[:, None] * centred, chain, ancestor)
    variance = weights @ np.square(centred)
    varying = np.flatnonzero(variance > 1e-24 * np.square(mean))  # what rounding leaves of a constant is none
    mcse = np.zeros(values.shape[1])
    mcse[varying] = np.sqrt(np.square(terms[:, :, varying]).sum(axis=(0, 1)))  # of independent terms
    if terms.shape[1] >= SHORTEST and len(varying):
        count = terms.shape[0] * terms.shape[1]
        correlated = count * array_stats.mcse(terms[:, :, varying], chain_axis=0, draw_axis=1, method="mean")
        mcse[varying] = np.where(np.isfinite(correlated), correlated, mcse[varying])
    ess = np.full(values.shape[1], float(len(values)))
    ess[varying] = variance[varying] / np.square(mcse[varying])
    return WeightedError(mcse, ess)


class Effective(NamedTuple):
    """Effective sample sizes over several quantities: harmonic means, so that squared errors average."""

    mean: float
    """Of their means."""
    tails: float
    """Of their 5 and 95 % quantiles, the worse of the two."""


def effective(values: np.ndarray, weights: np.ndarray, chain: np.ndarray) -> Effective:
    """Effective sample sizes of weighted means and quantiles, from batches within chains.

    A quantile errs as the weighted share of draws beyond it does. The variance of such a mean is ``B / (B − 1)`` times
    the sum of squares of the batch sums of ``w_s (h_s − μ)``: cruder than `weighted_mcse` for a single quantity,
    but one product for all of them. Draws that share an ancestor lie beside each other, and so within a batch.

    Parameters
    ----------
    values : array, shape (S, H)
        Draws of H quantities, chain after chain.
    weights : array, shape (S,)
        They sum to one.
    chain : array, shape (S,)

    Returns
    -------
    Effective
        At most the number of draws.

    Examples
    --------
    >>> independent = np.random.default_rng(0).standard_normal((1000, 50))
    >>> found = effective(np.repeat(independent, 4, axis=0), np.full(4000, 1 / 4000), np.zeros(4000))
    >>> bool(800 < found.mean < 1200 and 700 < found.tails < 1200)
    True
    """
    label = batches(chain, BATCHES)
    low, high = _outer(values, weights)
    sizes = [batched_ess(part, weights, label) for part in (values, values <= low, values >= high)]
    mean, lower, upper = (min(float(len(values)), 1 / float(np.mean(1 / size))) for size in sizes)
    return Effective(mean, min(lower, upper))


def _outer(values: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Weighted 5 and 95 % quantiles of each column, (2, H), of draws that stand for equal weight: within 1 / S."""
    size = len(weights)
    equal = np.searchsorted(np.cumsum(weights), (np.arange(size) + 0.5) / size).clip(max=size - 1)
    ranks = [int(0.05 * size), size - 1 - int(0.05 * size)]
    return np.partition(values.T[:, equal], ranks, axis=1).T[ranks]


def batched_ess(values: np.ndarray, weights: np.ndarray, label: np.ndarray) -> np.ndarray:
    """Weighted variance of each column over the variance of its weighted mean; the draws' number where none varies."""
    count = int(label.max()) + 1
    centred = values - weights @ values
    weighted = weights[:, None] * centred
    order = np.argsort(label, kind="stable")
    sums = np.add.reduceat(weighted[order], np.searchsorted(label[order], np.arange(count)), axis=0)
    noise = np.square(sums).sum(axis=0) * count / max(1, count - 1)
    variance = np.einsum("sh,sh->h", weighted, centred)
    varies = noise > 1e-24
    return np.where(varies, variance / np.where(varies, noise, 1.0), float(len(weights)))


def khat_of_means(values: np.ndarray, log_weights: np.ndarray, *, r_eff: float = 1.0) -> np.ndarray:
    """Pareto k̂ of each weighted mean: the heavier of the tails of ``w`` and of ``w (h − μ)``.

    Above .7 the mean has no trustworthy error, however good the weights look by themselves.

    Parameters
    ----------
    values : array, shape (S, H)
    log_weights : array, shape (S,)
        Raw log weights, up to a constant.
    r_eff : float
        Relative efficiency of the draws.

    Returns
    -------
    array, shape (H,)
        −inf where no tail varies; +inf where there are too few draws to tell.

    References
    ----------
    Vehtari et al. (2024), arXiv:1507.02646, §3.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> h = np.stack([rng.standard_normal(4000), rng.standard_cauchy(4000)], axis=1)
    >>> normal, cauchy = khat_of_means(h, np.zeros(4000))
    >>> bool(normal < 0.3 and 0.8 < cauchy < 1.2)  # a Cauchy variable has k = 1
    True
    """
    if len(values) < FEWEST_DRAWS:
        return np.full(values.shape[1], np.inf)
    weights = np.exp(log_weights - np.max(log_weights))
    mean = weights @ values / weights.sum()
    of_weights = _tail_khat(weights, r_eff, "right")
    products = (weights[:, None] * (values - mean)).T
    return np.array([max(of_weights, _tail_khat(product, r_eff, "both")) for product in products])


def _series(terms: np.ndarray, chain: np.ndarray, ancestor: np.ndarray | None) -> np.ndarray:
    """Terms as (chains, draws, H): clusters summed, short chains filled with zeros, their mean."""
    if ancestor is not None:
        _, first, where = np.unique(ancestor, return_index=True, return_inverse=True)
        summed = np.zeros((len(first), terms.shape[1]))
        np.add.at(summed, where, terms)
        terms, chain = summed, np.asarray(chain)[first]
    names, counts = np.unique(chain, return_counts=True)
    series = np.zeros((len(names), counts.max(), terms.shape[1]))
    for k, name in enumerate(names):
        series[k, : counts[k]] = terms[chain == name]
    return series


def _tail_khat(values: np.ndarray, r_eff: float, tail: str) -> float:
    try:
        with np.errstate(divide="ignore", invalid="ignore"):  # it also divides by the sum, zero here, to no end
            khat = float(array_stats.pareto_khat(values[None], chain_axis=0, draw_axis=1, r_eff=r_eff, tail=tail))
    except ValueError:  # the tail is one repeated value
        return -np.inf
    return khat if not np.isnan(khat) else -np.inf
