"""How an edit was made (`Info`), and the verdict on it: ok, checked or unreliable."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pandas as pd

from bayesrepair.check import LARGEST_SHARE_DIVERGENT, Check, independent_check
from bayesrepair.fit import Change
from bayesrepair.gaussian_check import gaussian_check
from bayesrepair.glance import Glance
from bayesrepair.model import Conjugate
from bayesrepair.numerics.psis import khat_threshold
from bayesrepair.posterior import Draws, Gaussian, Posterior
from bayesrepair.status import Status

SMALLEST_ESS = 200.0  # below this, an expectation is off by more than .07 posterior sd for Monte Carlo reasons alone
NEARLY_EQUAL = 2.0  # times the average weight
LARGEST_RHAT = 1.05
CLIMB = "Use method='auto', which climbs on, or method='retrain'."


@dataclass(frozen=True)
class Attempt:
    """One rung that was tried: how it did, what it cost, and what became of it."""

    rung: str
    khat: float
    ess: float
    log_lik_evals: int
    seconds: float
    status: Status

    def as_dict(self) -> dict[str, Any]:
        """The attempt as a flat record."""
        return {
            "rung": self.rung,
            "khat": self.khat,
            "ess": self.ess,
            "log_lik_evals": self.log_lik_evals,
            "seconds": self.seconds,
            "status": self.status.level,
            "message": str(self.status),
        }


@dataclass(frozen=True)
class Info:
    """How an edit was made and how far to trust it.

    Parameters
    ----------
    rung : str
        The editor that served.
    khat : float
        Pareto k̂ of the weights; −inf where there are none.
    ess : float
        Effective sample size of what came out.
    log_lik_evals : int
        Evaluations of the likelihood of one row at one draw (a gradient counts as three).
    seconds : float
        Wall time.
    status : Status, optional
        Filled in by `edit` where the editor leaves it open.
    attempts : tuple of Attempt
        Every rung tried, in order.
    check : Check, optional
        The check that does not reuse the weights.
    exact : bool
        Whether the posterior is drawn (or computed) directly rather than approximated.
    updated : bool
        Whether an exact posterior was computed from the one before the edit. Later edits then start from the latter
        all the same: a chain of updates would add up the rounding errors of all its steps.
    details : mapping
        What the editor has to add, such as the map it chose.
    random_seed : int, optional
        The seed that `edit` was given; None where it was none or a generator.
    """

    rung: str
    khat: float = -np.inf
    ess: float = np.nan
    log_lik_evals: int = 0
    seconds: float = 0.0
    status: Status | None = None
    attempts: tuple[Attempt, ...] = ()
    check: Check | None = None
    exact: bool = False
    updated: bool = False
    details: Mapping[str, Any] = field(default_factory=dict)
    random_seed: int | None = None

    def frame(self) -> pd.DataFrame:
        """One line for each rung that was tried, in order."""
        return pd.DataFrame([attempt.as_dict() for attempt in self.attempts])


def judged(
    change: Change, posterior: Posterior, info: Info, rng: np.random.Generator, *, glance: Glance | None = None
) -> Info:
    """Fill in the status: the weights' own diagnostics, and the check that does not reuse them."""
    if isinstance(posterior, Gaussian) and not (info.exact and isinstance(change.model, Conjugate)):
        return _judged_gaussian(change, posterior, info, rng)
    if info.exact:
        status = _status_of_exact(posterior, info)
        return replace(info, status=status, attempts=(*info.attempts, _attempt(info, status)))
    check = None
    if isinstance(posterior, Draws):
        check = independent_check(change, posterior, rng=rng, glance=glance)
        info = replace(info, check=check, log_lik_evals=info.log_lik_evals + check.log_lik_evals)
    status = _status_of_approximation(posterior, info, check)
    return replace(info, status=status, attempts=(*info.attempts, _attempt(info, status)))


def _judged_gaussian(change: Change, posterior: Gaussian, info: Info, rng: np.random.Generator) -> Info:
    """Whether it is at the mode, and what a Gaussian is worth there."""
    seen = gaussian_check(change, posterior, rng=rng)
    status = seen.status(info.rung)
    evals = info.log_lik_evals + seen.log_lik_evals
    info = replace(info, khat=seen.khat, ess=seen.ess, check=seen.check, log_lik_evals=evals, status=status)
    return replace(info, attempts=(*info.attempts, _attempt(info, status)))


def _attempt(info: Info, status: Status) -> Attempt:
    return Attempt(info.rung, info.khat, info.ess, info.log_lik_evals, info.seconds, status)


def _status_of_exact(posterior: Posterior, info: Info) -> Status:
    sampling = posterior.sampling if isinstance(posterior, Draws) else None
    if not isinstance(posterior, Draws) or sampling is None:
        return Status("ok", f"{info.rung} is exact here")
    seen = f"{info.rung}: r-hat up to {sampling.rhat_max:.3f}, {sampling.divergences} divergences"
    remedy = "Refit with more tuning or a higher target_accept."
    if sampling.rhat_max > LARGEST_RHAT or sampling.divergences > LARGEST_SHARE_DIVERGENT * len(posterior):
        return Status("unreliable", seen, remedy)
    if sampling.divergences:
        return Status("checked", seen, remedy)
    if np.isnan(sampling.rhat_max):
        return Status("checked", f"{info.rung}: drawn afresh, but r-hat is not known", "Refit with several chains.")
    return Status("ok", f"{info.rung}: drawn afresh, r-hat at most {sampling.rhat_max:.3f}")


def _status_of_approximation(posterior: Posterior, info: Info, check: Check | None) -> Status:
    if not isinstance(posterior, Draws):
        return Status(
            "unreliable",
            f"{info.rung} gives a {type(posterior).__name__}, unchecked",
            "Verify against a refit.",
        )
    tail = f"k-hat {info.khat:.2f} (good up to {khat_threshold(len(posterior)):.2f})"
    weights = f"{'nearly equal weights' if _without_tail(posterior) else tail}, ESS {info.ess:.0f}"
    good = good_weights(posterior, info)
    if check is None or check.passed is None:
        why = "no independent check is possible" if check is None else check.message
        level = "checked" if good else "unreliable"
        return Status(level, f"{weights}; {why}", "Verify against a refit.")  # type: ignore[arg-type]
    if not check.passed:
        return Status("unreliable", f"{weights}; {check.message}", CLIMB)
    sampling = posterior.sampling
    if sampling is not None and sampling.rhat_max > LARGEST_RHAT:
        why = f"the chains disagree (r-hat {sampling.rhat_max:.2f})"
        return Status("unreliable", f"{weights}; {check.message}, but {why}", CLIMB)
    if good and not check.doubts:
        return Status("ok", f"{weights}; {check.message}")
    doubt = check.doubts or "the weights are poor"
    return Status("checked", f"{weights}; {check.message}, but {doubt}", "Verify against a refit.")


def good_weights(posterior: Draws, info: Info) -> bool:
    """Whether the weights can be trusted by themselves, by k-hat and ESS."""
    tail = _without_tail(posterior) or info.khat <= khat_threshold(len(posterior))
    return bool(tail and info.ess >= min(SMALLEST_ESS, len(posterior) / 4))


def _without_tail(posterior: Draws) -> bool:
    """Whether no weight exceeds twice the average: a tail fitted to the largest of them would mean nothing."""
    return bool(len(posterior) * posterior.weights.max() <= NEARLY_EQUAL)
