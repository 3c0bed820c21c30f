"""A check of edited draws that does not reuse their weights: short HMC moves, and Stein identities."""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np
import pandas as pd
from arviz_stats.base import array_stats

from bayesrepair.fit import Change
from bayesrepair.model import Differentiable
from bayesrepair.numerics import hmc
from bayesrepair.numerics.blocks import block_size
from bayesrepair.numerics.sign_flip import FlipTest, batches, flip_test, sum_by
from bayesrepair.numerics.stein import mean_terms, scale_terms, standardise
from bayesrepair.posterior import Draws
from bayesrepair.target import Target

LEVEL = 0.05  # of all the tests together
LARGEST_ERROR = 0.08  # mean error of the predictions, posterior sds: beyond it a repair is bad
LARGEST_SHIFT = 0.1  # of a single mean, where it is significant
LARGEST_SCALE = 0.15  # of a single variance, relative, where it is significant
LARGEST_RHAT = 1.05
SMALLEST_ACCEPTANCE = 0.3
PREDICTED_ROWS = 200
LEAST_SD = 1e-9


@dataclass(frozen=True)
class Check:
    """What the check saw.

    Parameters
    ----------
    passed : bool or None
        None where the model has no gradients, so that nothing independent could be run.
    message : str
        The verdict in one sentence.
    doubts : str
        What the check cannot see although it passed, such as chains that disagree; empty without doubts.
    log_lik_evals : int
        Row × draw evaluations; a gradient counts as three.
    seconds : float
    error_mean, error_max : float
        Estimated error of the predictions' means as they came out (bias and Monte Carlo), in posterior sds.
    shift_max : float
        Largest mean of a parameter or prediction that is off, in posterior sds, by the first Stein identity.
    scale_max : float
        Largest relative error of a parameter's variance, by the second Stein identity.
    direction : float
        Shift along the worst direction of the parameter space, in sds, cleared of noise.
    z_stein, z_moves : float
        Largest standardised statistics.
    p_stein, p_direction, p_moves : float
        p-values, each for all its statistics jointly.
    acceptance : float
        Mean acceptance probability of the moves.
    """

    passed: bool | None
    message: str
    doubts: str = ""
    log_lik_evals: int = 0
    seconds: float = 0.0
    error_mean: float = np.nan
    error_max: float = np.nan
    shift_max: float = np.nan
    scale_max: float = np.nan
    direction: float = np.nan
    z_stein: float = np.nan
    z_moves: float = np.nan
    p_stein: float = np.nan
    p_direction: float = np.nan
    p_moves: float = np.nan
    acceptance: float = np.nan

    @property
    def p_value(self) -> float:
        """p-value of all the tests together (Bonferroni)."""
        return min(1.0, 3 * min(self.p_stein, self.p_direction, self.p_moves))

    def frame(self) -> pd.DataFrame:
        """The figures, one a line."""
        figures = {name: value for name, value in vars(self).items() if isinstance(value, (int, float))}
        return pd.DataFrame({"value": figures | {"p_value": self.p_value}}).rename_axis("figure")


def independent_check(
    change: Change, posterior: Draws, *, rng: np.random.Generator, draws: int = 300, moves: int = 4
) -> Check:
    """Check edited draws against the edited target itself.

    Parameters
    ----------
    change : Change
    posterior : Draws
        The result to be checked, weighted or not.
    rng : Generator
    draws : int
        Draws that are moved.
    moves : int
        HMC trajectories of each.

    Returns
    -------
    Check
        It fails where a difference is both beyond chance and large enough to matter, or where the predictions as
        they came out are estimated to be further off than ``LARGEST_ERROR``.
    """
    started = time.perf_counter()
    if not isinstance(change.model, Differentiable):
        return Check(None, "the model has no gradients, so nothing independent of the weights was run")
    target = Target.after(change)
    used = np.flatnonzero(posterior.weights > 0)
    theta, weights = posterior.theta[used], posterior.weights[used]
    gradient = target.value_and_gradient(theta)[1]
    if not np.isfinite(gradient).all():
        cost = {"log_lik_evals": target.log_lik_evals, "seconds": time.perf_counter() - started}
        return Check(False, "the gradient of the edited density is not finite at some draws", **cost)  # type: ignore[arg-type]
    prediction = _Predictions.of(change, rng)
    before = prediction(theta)
    stein = _stein(theta, gradient, weights, before, posterior.chain[used], rng)
    moved = _moved(target, posterior, theta, weights, used, prediction, before, rng, draws=draws, moves=moves)
    return _verdict(
        stein | moved, _doubts(change, moved["acceptance"]), target, time.perf_counter() - started
    )


def _verdict(figures: dict[str, float], doubts: str, target: Target, seconds: float) -> Check:
    check = Check(None, "", doubts, target.log_lik_evals, seconds, **figures)
    if figures["acceptance"] < SMALLEST_ACCEPTANCE:
        message = f"the moves of the check were mostly rejected (acceptance {figures['acceptance']:.2f})"
        return _with(check, False, message)
    error = f"predictions off by an estimated {check.error_mean:.3f} posterior sd (limit {LARGEST_ERROR})"
    if check.error_mean > LARGEST_ERROR:
        return _with(check, False, f"the check fails: {error}")
    matters = (
        check.shift_max > LARGEST_SHIFT
        or check.scale_max > LARGEST_SCALE
        or check.direction > 2 * LARGEST_SHIFT
    )
    if check.p_value <= LEVEL and matters:
        seen = (
            f"means shifted by up to {check.shift_max:.2f} sd, variances off by up to {check.scale_max:.0%}, "
            f"worst direction {check.direction:.2f} sd"
        )
        return _with(check, False, f"the check fails (p {check.p_value:.3f}): {seen}")
    return _with(check, True, f"the check passes: {error}, p {check.p_value:.2f}")


def _with(check: Check, passed: bool, message: str) -> Check:
    return Check(**{**vars(check), "passed": passed, "message": message})


@dataclass(frozen=True, eq=False)
class _Predictions:
    """Predictions of some rows: those that change, as far as they fit, and a random sample of the others."""

    change: Change
    at: np.ndarray

    @classmethod
    def of(cls, change: Change, rng: np.random.Generator) -> _Predictions:
        changed = np.flatnonzero(change.after != change.before)
        others = np.flatnonzero(change.after == change.before)
        classes = change.model.outcome.classes
        room = max(20, PREDICTED_ROWS // max(1, len(classes or ()) - 1))
        some = rng.permutation(changed)[: room // 2]
        rest = rng.permutation(others)[: room - len(some)]
        return cls(change, np.sort(np.concatenate([some, rest])))

    def __call__(self, theta: np.ndarray) -> np.ndarray:
        """Means or class probabilities (the last class is one minus the others), (S, P) → (S, H)."""
        rows, model = self.change.rows.at(self.at), self.change.model
        outputs = max(1, len(model.outcome.classes or ()))
        size = block_size(max(1, outputs * len(rows)))
        parts = [model.predict(theta[a : a + size], rows) for a in range(0, len(theta), size)]
        values = np.concatenate(parts)
        kept = values[:, :, : max(1, values.shape[2] - 1)]
        return kept.reshape(len(theta), -1)


def _stein(
    theta: np.ndarray,
    gradient: np.ndarray,
    weights: np.ndarray,
    predictions: np.ndarray,
    chain: np.ndarray,
    rng: np.random.Generator,
) -> dict[str, float]:
    """Stein identities over all draws, with errors from batches within chains."""
    label = batches(chain)
    whitened = gradient @ _factor(theta, weights)
    means = mean_terms(np.column_stack([theta, predictions]), theta, gradient, weights)
    scales = scale_terms(theta, gradient, weights)
    tests = _test(label, weights, np.column_stack([means, scales]), rng)
    directions = _test(label, weights, whitened, rng)
    excess = np.square(directions.mean) - np.square(directions.mcse)
    split = means.shape[1]
    return {
        "shift_max": float(np.abs(tests.mean[:split]).max()),
        "scale_max": float(np.abs(tests.mean[split:]).max()),
        "direction": float(np.sqrt(max(0.0, excess.sum()))),
        "z_stein": float(np.abs(tests.z).max()),
        "p_stein": tests.p_largest,
        "p_direction": directions.p_sum,
    }


def _test(label: np.ndarray, weights: np.ndarray, terms: np.ndarray, rng: np.random.Generator) -> FlipTest:
    return flip_test(sum_by(label, weights[:, None] * terms), rng=rng)


def _moved(
    target: Target,
    posterior: Draws,
    theta: np.ndarray,
    weights: np.ndarray,
    used: np.ndarray,
    prediction: _Predictions,
    before: np.ndarray,
    rng: np.random.Generator,
    *,
    draws: int,
    moves: int,
) -> dict[str, float]:
    """Paired differences that some HMC moves make, and the error of the predictions that they reveal."""
    ancestor = np.searchsorted(used, posterior.resampled(min(draws, len(theta)), rng))
    start = theta[ancestor]
    moved = hmc.sample(target.value_and_gradient, start, factor=_factor(theta, weights), rng=rng, moves=moves)
    after = prediction(moved.theta)
    centre, sd = _centre(np.column_stack([theta, before]), weights)
    old = (np.column_stack([start, before[ancestor]]) - centre) / sd
    new = (np.column_stack([moved.theta, after]) - centre) / sd
    terms = np.column_stack([new - old, np.square(new) - np.square(old)]) / len(start)
    test = flip_test(sum_by(ancestor, terms), rng=rng)
    slope = (theta - weights @ theta).T @ (weights[:, None] * (before - weights @ before))
    better = (after + moved.gradient @ slope - weights @ before) / sd[theta.shape[1] :]
    error = better.mean(0)
    noise = better.var(0) / len(start)
    cleared = np.sqrt(np.maximum(0.0, np.square(error) - noise))
    return {
        "error_mean": float(cleared.mean()),
        "error_max": float(cleared.max()),
        "z_moves": float(np.abs(test.z).max()),
        "p_moves": test.p_largest,
        "acceptance": float(moved.acceptance.mean()),
    }


def _centre(values: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return weights @ values, standardise(values, weights)[1]


def _factor(theta: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Cholesky factor of the draws' covariance, shrunk towards its diagonal where effective draws are few."""
    centred, sd = standardise(theta, weights)
    correlation = (centred / sd).T @ (weights[:, None] * (centred / sd))
    share = min(1.0, theta.shape[1] * np.square(weights).sum())  # parameters an effective draw
    correlation = (1 - share) * correlation + share * np.eye(len(sd))
    return sd[:, None] * np.linalg.cholesky(correlation + 1e-9 * np.eye(len(sd)))


def _doubts(change: Change, acceptance: float) -> str:
    """What moves and gradients cannot see: the weight of modes."""
    draws = change.posterior
    assert isinstance(draws, Draws)
    split = _by_chain(draws)
    if split is None:
        return ""
    rhat = float(np.nanmax(array_stats.rhat(split, chain_axis=0, draw_axis=1)))
    return (
        f"the chains disagree (r-hat {rhat:.2f}), and no local check sees the weight of modes"
        if rhat > LARGEST_RHAT
        else ""
    )


def _by_chain(draws: Draws) -> np.ndarray | None:
    """Draws as (chain, draw, P) with equally long chains; None where chains are too short to compare."""
    names, counts = np.unique(draws.chain, return_counts=True)
    if counts.min() < 20:
        return None
    return np.stack([draws.theta[draws.chain == name][: counts.min()] for name in names])
