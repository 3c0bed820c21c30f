"""A check of edited draws that does not reuse their weights: short HMC moves, and Stein identities."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from bayesrepair.fit import Change
from bayesrepair.glance import Glance
from bayesrepair.model import Differentiable
from bayesrepair.numerics import array_stats, hmc
from bayesrepair.numerics.covariance import covariance_factor
from bayesrepair.numerics.discrepancy import move_figures, stein_figures
from bayesrepair.numerics.efficiency import by_chain
from bayesrepair.posterior import Draws
from bayesrepair.target import Target

LEVEL = 0.015  # of all the tests together; measured, with the estimated errors, it makes under 5 % false alarms
LARGEST_ERROR = 0.08  # mean error of the predictions, posterior sds: beyond it a repair is bad
LARGEST_SPREAD = 0.15  # mean |log sd ratio| of the predictions
HARMLESS_SHIFT = 0.05  # of a single mean, posterior sds: below it a difference is never held against a result
HARMLESS_SCALE = 0.1  # of a single variance, relative
HARMLESS_DIRECTION = 0.1  # along the worst direction of the parameter space, posterior sds
LARGEST_SHARE_DIVERGENT = 0.001
LARGEST_RHAT = 1.05
SHORTEST_CHAIN = 20  # draws, for r-hat
SMALLEST_ACCEPTANCE = 0.3
STEIN_DRAWS = 1000
FEWEST_DISTINCT = 10  # draws among them, to tell an error from chance
MOVED_DRAWS = 150
MOVES = 2
LEAPFROGS = 8  # at most, of one move


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
        Estimated error of the predictions' means as they came out (bias and Monte Carlo), in posterior sds, cleared
        of the estimate's own noise.
    spread_mean : float
        Estimated mean ``|log sd ratio|`` of the predictions, cleared likewise.
    shift : float
        Largest shift of the mean of a parameter or prediction, in posterior sds, by the first Stein identity; a
        lower bound (two standard errors below the estimate).
    scale : float
        Largest relative error of a parameter's variance, by the second Stein identity; a lower bound.
    direction : float
        Shift along the worst direction of the parameter space, in posterior sds; a lower bound.
    moved : float
        Largest change that the moves made to a mean or to a mean absolute deviation (of a parameter, a prediction),
        in posterior sds; a lower bound.
    z_stein, z_moves : float
        Largest standardised statistics.
    p_stein, p_direction, p_moves : float
        p-values, each for all its statistics jointly.
    acceptance : float
        Mean acceptance probability of the moves.
    ess_mean, ess_tails : float
        Effective draws for the means and for the 5 and 95 % quantiles of predictions (harmonic means over some of
        them), as the batches of the draws themselves tell.
    """

    passed: bool | None
    message: str
    doubts: str = ""
    log_lik_evals: int = 0
    seconds: float = 0.0
    error_mean: float = np.nan
    error_max: float = np.nan
    spread_mean: float = np.nan
    shift: float = np.nan
    scale: float = np.nan
    direction: float = np.nan
    moved: float = np.nan
    z_stein: float = np.nan
    z_moves: float = np.nan
    p_stein: float = np.nan
    p_direction: float = np.nan
    p_moves: float = np.nan
    acceptance: float = np.nan
    ess_mean: float = np.nan
    ess_tails: float = np.nan

    @property
    def p_value(self) -> float:
        """p-value of all the tests together (Bonferroni)."""
        return min(1.0, 3 * min(self.p_stein, self.p_direction, self.p_moves))

    def frame(self) -> pd.DataFrame:
        """The figures, one a line."""
        figures = {name: value for name, value in vars(self).items() if isinstance(value, (int, float))}
        return pd.DataFrame({"value": figures | {"p_value": self.p_value}}).rename_axis("figure")


def gradients_of_check(change: Change) -> int:
    """Gradients of all rows that the moves of a check take, at most; those at the draws themselves come apart."""
    return MOVED_DRAWS * (MOVES * LEAPFROGS + 1)


def independent_check(
    change: Change,
    posterior: Draws,
    *,
    rng: np.random.Generator,
    draws: int = MOVED_DRAWS,
    moves: int = MOVES,
    glance: Glance | None = None,
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
    glance : Glance, optional
        At these draws, if there was one before.

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
    some, share, gradient = _with_gradients(target, posterior, used, rng)
    if len(some) < FEWEST_DISTINCT:
        figures: dict[str, float] = {}
        message = f"the check fails: {len(some)} of {len(posterior)} draws carry all the weight"
    elif not np.isfinite(gradient).all():
        figures, message = {}, "the gradient of the edited density is not finite at some draws"
    else:
        glance = Glance.of(change, posterior, rng) if glance is None else glance
        before = glance.predictions
        figures = stein_figures(theta[some], gradient, share, before[some], posterior.chain[used][some], rng=rng)
        ancestor = np.searchsorted(used, posterior.resampled(min(draws, len(theta)), rng))
        factor = covariance_factor(theta, weights)
        moved = hmc.sample(
            target.value_and_gradient, theta[ancestor], factor=factor, rng=rng, moves=moves, most_leapfrogs=LEAPFROGS
        )
        after = np.stack([glance.rows(state) for state in moved.path])
        figures |= move_figures(moved, after, ancestor, theta, weights, before, some=some, share=share, rng=rng)
        message = _complaint(figures)
        figures |= {"ess_mean": glance.ess_mean, "ess_tails": glance.ess_tails}
    seconds = time.perf_counter() - started
    passed = not message
    if passed:
        message = f"the check passes: predictions within an estimated {figures['error_mean']:.3f} posterior sd"
    return Check(passed, message, _doubts(change), target.log_lik_evals, seconds, **figures)


def _with_gradients(
    target: Target, posterior: Draws, used: np.ndarray, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Draws that the Stein identities are tried on: positions among those used, weights, gradients there.

    A sample by the weights where there are many: a thousand have power enough.
    """
    if len(used) <= STEIN_DRAWS:
        at, weights = used, posterior.weights[used]
    else:
        at, count = np.unique(posterior.resampled(STEIN_DRAWS, rng), return_counts=True)
        weights = count / STEIN_DRAWS
    known = posterior.gradient
    gradient = target.value_and_gradient(posterior.theta[at])[1] if known is None else known[at]
    return np.searchsorted(used, at), weights, gradient


def _complaint(figures: Mapping[str, float]) -> str:
    """What speaks against the draws, worst first; empty where nothing does."""
    if figures["acceptance"] < SMALLEST_ACCEPTANCE:
        return f"the moves of the check were mostly rejected (acceptance {figures['acceptance']:.2f})"
    if figures["error_mean"] > LARGEST_ERROR:
        off = figures["error_mean"]
        return f"the check fails: predictions off by an estimated {off:.2f} posterior sd (limit {LARGEST_ERROR})"
    if figures["spread_mean"] > LARGEST_SPREAD:
        return f"the check fails: posterior sds of the predictions off by {figures['spread_mean']:.0%} on average"
    level = LEVEL / 3  # three tests
    for p_value, effect, harmless, text in (
        ("p_stein", "shift", HARMLESS_SHIFT, "a mean is off by at least {:.2f} posterior sd"),
        ("p_stein", "scale", HARMLESS_SCALE, "a variance is off by at least {:.0%}"),
        (
            "p_direction",
            "direction",
            HARMLESS_DIRECTION,
            "some direction is off by at least {:.2f} posterior sd",
        ),
        ("p_moves", "moved", HARMLESS_SHIFT, "HMC moves change a mean by at least {:.2f} posterior sd"),
    ):
        if figures[p_value] <= level and figures[effect] > harmless:
            return f"the check fails: {text.format(figures[effect])} (p {figures[p_value]:.3f})"
    return ""


def _doubts(change: Change) -> str:
    """What moves and gradients cannot see: regions that the edited chains missed, and the weight of modes."""
    draws = change.posterior
    assert isinstance(draws, Draws)  # only draws are checked
    divergences = draws.sampling.divergences if draws.sampling is not None else 0
    if divergences > LARGEST_SHARE_DIVERGENT * len(draws):
        return f"{divergences} of the {len(draws)} draws that were edited diverged, and what they missed stays missed"
    rhat = _rhat(draws) if draws.sampling is None or np.isnan(draws.sampling.rhat_max) else draws.sampling.rhat_max
    if rhat <= LARGEST_RHAT:
        return ""
    return f"the chains disagree (r-hat {rhat:.2f}), and no local check sees the weight of modes"


def _rhat(draws: Draws) -> float:
    """Largest r-hat of all parameters; 1 where the chains are too short for one."""
    split = by_chain(draws.theta, draws.chain)
    if len(split) == 1:  # one chain is compared with itself: its first half with its second
        half = split.shape[1] // 2
        split = np.concatenate([split[:, :half], split[:, half : 2 * half]])
    varying = split[:, :, np.ptp(split, axis=(0, 1)) > 0]
    if split.shape[1] < SHORTEST_CHAIN or not varying.size:
        return 1.0
    return float(np.max(array_stats.rhat(varying, chain_axis=0, draw_axis=1)))
