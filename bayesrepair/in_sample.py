"""Suspects from a classifier that also gives class probabilities of the rows that it was trained on.

A classifier trained on every row is better than those of the folds, and one that has not learned its wrong labels by
heart orders suspects better. But it has seen the labels: to its probabilities fewer of them look wrong than are. So the
noise is learned from out-of-sample probabilities alone, and those of both are calibrated given that noise, without a
say in it: a cut between two modules (Plummer 2015, doi:10.1007/s11222-014-9503-z). What the classifier learned of wrong
labels still makes ``prob_wrong`` of those too low, which the status says (benchmark ``suspects``, cells of images).
"""

from __future__ import annotations

import warnings
from dataclasses import replace

import numpy as np

from bayesrepair.fit import Fit
from bayesrepair.numerics.newton import find_mode
from bayesrepair.posterior import GAUSSIAN_CHAINS, Draws
from bayesrepair.rows import Rows
from bayesrepair.softmax import SoftmaxModel, softmax_fit
from bayesrepair.status import MethodError, RepairWarning, Status
from bayesrepair.suspects import Suspects
from bayesrepair.suspects.finding import suspects_in

NOISES, EACH = 40, 25  # draws of the noise, and of the calibration given each


def with_in_sample(out_of_sample: Suspects, log_p: np.ndarray, rng: np.random.Generator) -> Suspects:
    """Suspects by both kinds of class probabilities, pooled as ``√(p_out p_in)``.

    Parameters
    ----------
    out_of_sample : Suspects
        From out-of-sample probabilities.
    log_p : array, shape (N, K)
        Logarithms of the in-sample ones, rows and classes in the same order.
    rng : Generator

    Returns
    -------
    Suspects
        ``surprise`` and the evidence for noise are those of the out-of-sample probabilities.

    Raises
    ------
    MethodError
        If no mode was found.

    Warns
    -----
    RepairWarning
        If the classifier has learned wrong labels by heart: it contradicts fewer labels than are wrong. The status is
        ``unreliable`` then.

    References
    ----------
    Genest and Zidek (1986), doi:10.1214/ss/1177013825 (pooling); Plummer (2015), doi:10.1007/s11222-014-9503-z (cuts).
    """
    noisy, plain = out_of_sample.fit, out_of_sample.plain
    assert isinstance(noisy.model, SoftmaxModel)
    assert isinstance(plain.model, SoftmaxModel)
    pooled = (np.asarray(noisy.rows.values["log_p"]) + log_p) / 2
    rows = noisy.rows.replace(log_p=pooled)
    draws = calibrated(noisy.model, rows, noisy.draws.theta)
    plain = softmax_fit(plain.model, plain.rows.replace(log_p=pooled), table=plain.table)
    fit = Fit(noisy.model, rows, draws, table=noisy.table)
    status = _doubted(out_of_sample.status)
    given = np.asarray(rows.values[noisy.model.outcome.name])
    contradicted, wrong = int((log_p.argmax(axis=1) != given).sum()), out_of_sample.expected_count
    if contradicted < wrong.low:
        seen = f"about {wrong.mean:.0f} labels are wrong, of which the classifier contradicts {contradicted} in-sample"
        remedy = "It has learned wrong labels by heart: leave out in_sample=, or stop its training earlier."
        warnings.warn(f"{seen}. {remedy}", RepairWarning, stacklevel=3)
        status = Status("unreliable", seen, remedy)
    surprising = out_of_sample.scores["surprise"].reindex(rows.index).to_numpy()
    known = replace(out_of_sample.evidence, rows=rows)
    found, frame = suspects_in(fit, known, surprising, rng, plain.table)
    return replace(out_of_sample, plain=plain, fit=fit, scores=frame, evidence=known, suspicion=found, status=status)


def _doubted(status: Status) -> Status:
    """That the classifier has seen the labels, before what else is to be said."""
    if status.level == "unreliable":
        return status
    seen = "the classifier has seen the labels, so that more of them are wrong than prob_wrong says"
    return Status("checked", f"{seen}; {status.message}", status.remedy or "Leave out in_sample= to count them.")


def calibrated(model: SoftmaxModel, rows: Rows, theta: np.ndarray) -> Draws:
    """Draws of the design's values at some draws of the noise, which keep their distribution: (S, P) → 1000 draws.

    Raises
    ------
    MethodError
        If no mode was found.
    """
    count, rng = len(model.design.names), np.random.default_rng(0)
    start, weight, parts = theta[:, :count].mean(axis=0), np.ones(len(rows)), []
    for one in theta[np.linspace(0, len(theta) - 1, NOISES).astype(int)]:
        noise = one[count:]

        def value_and_gradient(own: np.ndarray, noise: np.ndarray = noise) -> tuple[float, np.ndarray]:
            value, gradient = model.log_target_and_grad(np.concatenate([own, noise])[None], rows, weight)
            return float(value[0]), gradient[0, :count]

        def curvature(own: np.ndarray, noise: np.ndarray = noise) -> np.ndarray:
            return model.curvature(np.concatenate([own, noise]), rows, weight)[:count, :count]

        mode = find_mode(value_and_gradient, curvature, start)
        if not mode.converged:
            raise MethodError("a mode of the calibration", f"none after {mode.steps} Newton steps")
        start = mode.theta
        shift = np.linalg.solve(np.linalg.cholesky(mode.curvature).T, rng.standard_normal((count, EACH))).T
        parts.append(np.hstack([mode.theta + shift, np.tile(noise, (EACH, 1))]))
    drawn = np.concatenate(parts)  # not mixed: batches of neighbours show how much the noise matters
    return Draws.plain(drawn, np.arange(len(drawn)) * GAUSSIAN_CHAINS // len(drawn))
