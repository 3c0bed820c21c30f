"""Newton's method on the retained rows: the mode and curvature that a Laplace refit would find.

The certified-removal step of Guo et al. (2020, arXiv:1911.03030) and eq. 14 of Tanno et al. (2022, arXiv:2207.04806),
iterated on the full retained gradient rather than on that of the removed rows, whose fixed point would be a θ with
``∇log p(C|θ) = 0``.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from bayesrepair.fit import Change
from bayesrepair.judgement import Info
from bayesrepair.laplace import laplace
from bayesrepair.model import Curved
from bayesrepair.numerics.newton import MOST_STEPS
from bayesrepair.posterior import Gaussian


@dataclass(frozen=True)
class Newton:
    """Iterate ``θ ← θ + [Σ w_i H_i(θ) + H₀(θ)]⁻¹ ∇[Σ w_i log p_i(θ) + log p(θ)]`` from the mean of a Gaussian.

    w are the row weights after the edit, H_i and H₀ minus the Hessians of ``log p_i`` and of the log prior. The start
    need not be a mode: the full gradient is used, so that a fit that was stopped early is mended on the way. Steps are
    damped where the curvature is not positive definite. One step is exact where the posterior is Gaussian.

    Parameters
    ----------
    most_steps : int
        1 gives the single step of the sources; the status then says how far from the mode it stopped.

    Examples
    --------
    >>> from bayesrepair.fit import Factor, Fit
    >>> from bayesrepair.oracles import NormalNormal
    >>> oracle = NormalNormal(prior_mean=0.0, prior_sd=1.0, noise_sd=1.0)
    >>> rows = oracle.rows({"y": np.array([1.0, 2.0, 9.0])})
    >>> fit = Fit(oracle, rows, oracle.posterior(rows))
    >>> posterior, info = Newton()(fit.change(Factor(rows.take([2]), -1.0)), np.random.default_rng(0))
    >>> posterior.mean, posterior.precision, info.details["steps"]  # 3 / (1 + 2), 1 + 2
    (array([1.]), array([[3.]]), 1)
    """

    most_steps: int = MOST_STEPS

    accepts: ClassVar[tuple[type, ...]] = (Gaussian,)
    needs: ClassVar[tuple[type, ...]] = (Curved,)
    directions: ClassVar[frozenset[str]] = frozenset({"insert", "delete"})

    def __call__(self, change: Change, rng: np.random.Generator) -> tuple[Gaussian, Info]:
        """Return the Gaussian at the mode of the retained rows."""
        before = change.posterior
        assert isinstance(before, Gaussian)  # `edit` refuses the others
        assert isinstance(change.model, Curved)
        started = time.perf_counter()
        after = laplace(change.model, *change.retained, before.mean, most_steps=self.most_steps)
        search = after.search
        assert search is not None  # `laplace` records it
        moved = after.mean - before.mean
        details = {
            "steps": search.steps,
            "damped_steps": search.damped,
            "second_derivatives": search.second_derivatives,
            "posterior_sds_left_to_the_mode": search.decrement,
            "posterior_sds_moved": float(np.sqrt(max(moved @ before.precision @ moved, 0.0))),
        }
        seconds = time.perf_counter() - started
        return after, Info("newton", log_lik_evals=search.log_lik_evals, seconds=seconds, details=details)
