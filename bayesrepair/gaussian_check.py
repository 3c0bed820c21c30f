"""What a Gaussian posterior is worth: whether it sits at the mode, and how far it is from the posterior itself."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace

import numpy as np

from bayesrepair.check import Check, independent_check
from bayesrepair.fit import Change
from bayesrepair.model import Differentiable
from bayesrepair.numerics.psis import effective_sample_size, khat_threshold, smooth
from bayesrepair.posterior import Draws, Gaussian
from bayesrepair.status import Status
from bayesrepair.target import Target

DRAWS = 2000
LARGEST_DECREMENT = 1e-3  # posterior sds from the mode
EQUAL = 1e-9  # nats; log ratios that differ by less are those of an exact Gaussian
_SAMPLE = "For exact tails sample the model (method='nuts') and edit the draws."


@dataclass(frozen=True)
class GaussianCheck:
    """A Gaussian against the density that it stands for.

    Parameters
    ----------
    definite : bool
        Whether the precision is positive definite.
    decrement : float
        ``√(gᵀ Λ⁻¹ g)`` at the mean: its distance from the mode, in posterior sds. nan without gradients.
    khat, ess : float
        Pareto k̂ and effective sample size of draws from the Gaussian, weighted to the density; they judge the
        Gaussian, the draws themselves are not weighted.
    size : int
        Draws behind them.
    check : Check, optional
        The check of those draws, unweighted, by Stein identities and HMC moves at the density.
    log_lik_evals : int
    seconds : float
    """

    definite: bool
    decrement: float = np.nan
    khat: float = np.nan
    ess: float = np.nan
    size: int = DRAWS
    check: Check | None = None
    log_lik_evals: int = 0
    seconds: float = 0.0

    def status(self, rung: str) -> Status:
        """``ok`` where it is at the mode and good as a posterior; ``checked`` where it is the first and not the second.

        Elsewhere, and where nothing can be known, ``unreliable``.
        """
        if not self.definite:
            seen = f"{rung} ended where the curvature is not positive definite, which is no mode"
            return Status("unreliable", seen, "Sample the model (method='nuts') and edit the draws.")
        weights = f"k-hat of the Gaussian {self.khat:.2f} (good up to {khat_threshold(self.size):.2f})"
        good = self.khat <= khat_threshold(self.size)
        if self.check is None:
            return Status("checked" if good else "unreliable", f"{weights}; no gradients to check it by", _SAMPLE)
        if not self.decrement <= LARGEST_DECREMENT:
            seen = f"{rung} stopped {self.decrement:.2g} posterior sd from the mode"
            return Status("unreliable", seen, "Use method='retrain', or sample the model (method='nuts').")
        mode = f"{rung} is the Laplace approximation of the edited posterior"
        if not self.check.passed:
            seen = self.check.message.removeprefix("the check fails: ")
            return Status("checked", f"{mode}, but a Gaussian is poor here: {seen}; {weights}", _SAMPLE)
        if not good:
            return Status("checked", f"{mode}; {self.check.message}, but {weights}", _SAMPLE)
        return Status("ok", f"{mode}; {weights}, {self.check.message}")


def gaussian_check(change: Change, posterior: Gaussian, *, rng: np.random.Generator) -> GaussianCheck:
    """Hold a Gaussian against the edited density.

    Parameters
    ----------
    change : Change
    posterior : Gaussian
        The result to be checked.
    rng : Generator

    Returns
    -------
    GaussianCheck

    Examples
    --------
    >>> from bayesrepair.fit import Factor, Fit
    >>> from bayesrepair.oracles import NormalNormal
    >>> oracle = NormalNormal(prior_mean=0.0, prior_sd=1.0, noise_sd=1.0)
    >>> rows = oracle.rows({"y": np.array([1.0, 2.0, 9.0])})
    >>> change = Fit(oracle, rows, oracle.posterior(rows)).change(Factor(rows.take([2]), -1.0))
    >>> at_the_mode, beside_it = Gaussian(np.array([1.0]), np.eye(1) * 3), Gaussian(np.array([1.5]), np.eye(1) * 3)
    >>> rng = np.random.default_rng(0)
    >>> gaussian_check(change, at_the_mode, rng=rng).status("newton").level
    'ok'
    >>> print(gaussian_check(change, beside_it, rng=rng).status("newton").message)
    newton stopped 0.87 posterior sd from the mode
    """
    started = time.perf_counter()
    if not posterior.is_definite:
        return GaussianCheck(definite=False)
    target = Target.after(change)
    draws = posterior.draws(DRAWS, rng)
    check, decrement = None, np.nan
    if isinstance(change.model, Differentiable):
        value, gradient = target.value_and_gradient(draws.theta)
        at_mean = target.value_and_gradient(posterior.mean[None])[1][0]
        decrement = float(np.sqrt(at_mean @ np.linalg.solve(posterior.precision, at_mean)))
        draws = replace(draws, gradient=gradient)
        check = independent_check(replace(change, posterior=draws), draws, rng=rng)
    else:
        value = target.log_density(draws.theta)
    khat, ess = _importance(posterior, draws, value)
    evals = target.log_lik_evals + (check.log_lik_evals if check is not None else 0)
    seconds = time.perf_counter() - started
    return GaussianCheck(True, decrement, khat, ess, DRAWS, check, evals, seconds)


def _importance(posterior: Gaussian, draws: Draws, log_density: np.ndarray) -> tuple[float, float]:
    """Pareto k̂ and effective sample size of the draws, weighted from the Gaussian to the density."""
    centred = draws.theta - posterior.mean
    log_ratio = log_density + np.einsum("sp,pq,sq->s", centred, posterior.precision, centred) / 2
    if np.ptp(log_ratio) < EQUAL:
        return -np.inf, float(len(draws))
    if np.isposinf(log_ratio).any():
        return np.inf, 0.0
    log_weights, khat = smooth(np.where(np.isnan(log_ratio), -np.inf, log_ratio))
    return khat, effective_sample_size(np.exp(log_weights))
