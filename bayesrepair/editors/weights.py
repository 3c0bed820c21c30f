"""Importance weights: the draws stay, their weights change (Vehtari et al. 2024, arXiv:1507.02646)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from bayesrepair.fit import Change
from bayesrepair.judgement import Info
from bayesrepair.posterior import Draws
from bayesrepair.target import Target


@dataclass(frozen=True)
class Weights:
    """Weight each draw by ``Π_r p(row_r | θ)^power_r``, smoothed by PSIS.

    Cheap, and unreliable exactly where rows matter: watch k̂ and the status.

    Examples
    --------
    >>> from bayesrepair.fit import Factor, Fit
    >>> from bayesrepair.oracles import NormalNormal
    >>> oracle = NormalNormal(prior_mean=0.0, prior_sd=1.0, noise_sd=1.0)
    >>> rows = oracle.rows({"y": np.array([1.0, 2.0, 0.5, 0.7])})
    >>> rng = np.random.default_rng(0)
    >>> fit = Fit(oracle, rows, oracle.posterior(rows).draws(4000, rng))
    >>> posterior, info = Weights()(fit.change(Factor(rows.take([1]), -1.0)), rng)
    >>> exact = oracle.posterior(rows.drop([1]))
    >>> bool(abs(posterior.weights @ posterior.theta[:, 0] - exact.mean[0]) < 0.05)
    True
    """

    accepts: ClassVar[tuple[type, ...]] = (Draws,)
    needs: ClassVar[tuple[type, ...]] = ()
    directions: ClassVar[frozenset[str]] = frozenset({"insert", "delete"})

    def __call__(self, change: Change, rng: np.random.Generator) -> tuple[Draws, Info]:
        """Return the same draws with new weights."""
        draws = change.posterior
        assert isinstance(draws, Draws)  # `edit` refuses the others
        ratio = Target.changed(change)
        log_weights = draws.log_weights + ratio.log_likelihood(draws.theta)
        posterior = Draws(draws.theta, log_weights, draws.chain, draws.r_eff)
        info = Info("weights", khat=posterior.khat, ess=posterior.ess, log_lik_evals=ratio.log_lik_evals)
        return posterior, info
