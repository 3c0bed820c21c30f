"""What a fit predicts: means, class probabilities, log scores and intervals, streamed over rows."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from scipy.special import logsumexp

from bayesrepair.fit import Fit
from bayesrepair.model import Outcome
from bayesrepair.numerics.blocks import row_blocks
from bayesrepair.numerics.weighted_error import weighted_mcse
from bayesrepair.posterior import Draws
from bayesrepair.rows import Rows

TINY = 1e-12  # the smallest probability or mean that has a logarithm of its own


def mean_prediction(fit: Fit, rows: Rows) -> np.ndarray:
    """Posterior mean of class probabilities (K classes) or of the outcome's mean (K = 1), shape (N, K)."""
    draws = fit.draws
    parts = [
        np.einsum("s,snk->nk", draws.weights, fit.model.predict(draws.theta, block))
        for _, block in row_blocks(rows, len(draws), outputs=_outputs(fit))
    ]
    return np.concatenate(parts) if parts else np.zeros((0, _outputs(fit)))


def mean_and_sd(fit: Fit, rows: Rows) -> tuple[np.ndarray, np.ndarray]:
    """Posterior mean and sd (over draws) of the prediction, each of shape (N, K)."""
    draws = fit.draws
    means, sds = [], []
    for _, block in row_blocks(rows, len(draws), outputs=_outputs(fit)):
        values = fit.model.predict(draws.theta, block)
        mean = np.einsum("s,snk->nk", draws.weights, values)
        means.append(mean)
        sds.append(np.sqrt(np.einsum("s,snk->nk", draws.weights, np.square(values - mean))))
    return np.concatenate(means), np.concatenate(sds)


def unbounded(values: np.ndarray, outcome: Outcome) -> np.ndarray:
    """Predictions on an unbounded scale, (S, N, K) → (S, N, K'): means, their logarithms (counts), logits of classes.

    There they are nearer to Gaussian, and a probability close to 0 or 1 has an error worth measuring. Of two
    classes one is enough.
    """
    if outcome.kind == "class":
        kept = values[:, :, : 1 if values.shape[2] == 2 else None]
        share = np.clip(kept, TINY, 1 - TINY)
        odds = np.divide(share, np.subtract(1, share), out=share)
        return np.log(odds, out=odds)  # vector instructions, in half the time that SciPy's logit takes
    if outcome.kind == "count":
        positive = np.maximum(values, TINY)
        return np.log(positive, out=positive)
    return values


def log_score(fit: Fit, rows: Rows) -> np.ndarray:
    """Log predictive density of each row's own outcome, ``log Σ_s w_s p(y_i|θ_s)``, shape (N,), in nats."""
    draws = fit.draws
    log_w = np.log(draws.weights, where=draws.weights > 0, out=np.full(len(draws), -np.inf))
    parts = [
        logsumexp(fit.model.log_lik(draws.theta, block) + log_w[:, None], axis=0)
        for _, block in row_blocks(rows, len(draws))
    ]
    return np.concatenate(parts) if parts else np.zeros(0)


def predictive_tail(fit: Fit, rows: Rows, rng: np.random.Generator) -> np.ndarray:
    """Two-sided predictive tail probability of each row's outcome, ``2 min(P(y* ≤ y), P(y* ≥ y))``, shape (N,).

    Ties count half, so that the probability of a count is not overstated; at most one.
    """
    theta = _equal_draws(fit.draws, rng)
    parts = []
    for _, block in row_blocks(rows, len(theta)):
        simulated = fit.model.simulate(theta, block, rng)
        given = np.asarray(block.values[fit.model.outcome.name])
        below = (simulated < given).mean(axis=0) + 0.5 * (simulated == given).mean(axis=0)
        parts.append(2 * np.minimum(below, 1 - below))
    return np.concatenate(parts) if parts else np.zeros(0)


def class_names(fit: Fit) -> np.ndarray:
    """Class names in the order of their codes, as an object array."""
    classes = fit.model.outcome.classes
    assert classes is not None  # callers have asked for a classification
    names = np.empty(len(classes), dtype=object)
    names[:] = classes
    return names


def given_outcome(fit: Fit, rows: Rows) -> np.ndarray:
    """The observed outcomes as the user knows them: class names, counts or numbers, shape (N,)."""
    return named_outcome(fit, np.asarray(rows.values[fit.model.outcome.name]))


def named_outcome(fit: Fit, given: np.ndarray) -> np.ndarray:
    """Outcomes as the model holds them → as the user knows them, shape (N,)."""
    return class_names(fit)[given.astype(int)] if fit.model.outcome.kind == "class" else given


def predict(fit: Fit, data: Any) -> pd.DataFrame:
    """Predictions for new rows, indexed by row id.

    Parameters
    ----------
    fit : Fit
    data : Rows, DataFrame, mapping of arrays or xarray Dataset

    Returns
    -------
    DataFrame
        For classes: ``predicted``, one column of probabilities for each class, and ``mcse``, the standard error of
        the probability of the predicted class. Otherwise: ``mean`` and ``sd`` of the outcome's expectation over the
        posterior, and ``mcse``, the standard error of that mean. These are errors of Monte Carlo alone.
    """
    rows = fit.as_rows(data)
    mean, sd = mean_and_sd(fit, rows)
    which = mean.argmax(axis=1)
    mcse = _error(fit, rows, which)
    if fit.model.outcome.kind != "class":
        return pd.DataFrame({"mean": mean[:, 0], "sd": sd[:, 0], "mcse": mcse}, index=rows.index)
    names = class_names(fit)
    frame = pd.DataFrame(mean, index=rows.index, columns=pd.Index(names, name="class"))
    frame.insert(0, "predicted", names[which])
    frame["mcse"] = mcse
    return frame


def _error(fit: Fit, rows: Rows, which: np.ndarray) -> np.ndarray:
    """Monte Carlo error of one output of each row, shape (N,)."""
    draws, error = fit.draws, np.empty(len(rows))
    for where, block in row_blocks(rows, len(draws), outputs=_outputs(fit)):
        values = fit.model.predict(draws.theta, block)[:, np.arange(len(block)), which[where]]
        error[where] = weighted_mcse(values, draws.weights, draws.chain, ancestor=draws.ancestor).mcse
    return error


def _outputs(fit: Fit) -> int:
    classes = fit.model.outcome.classes
    return 1 if classes is None else len(classes)


def _equal_draws(draws: Draws, rng: np.random.Generator) -> np.ndarray:
    """Draws of equal weight, for simulation."""
    return draws.theta[draws.resampled(len(draws), rng)] if draws.is_weighted else draws.theta
