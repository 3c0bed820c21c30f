"""Resample: a short run of the sampler that starts where transport has brought the draws."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np

from bayesrepair.editors.transport import Transport
from bayesrepair.fit import Change
from bayesrepair.judgement import Info
from bayesrepair.model import Differentiable, Resumable
from bayesrepair.posterior import Draws

TRAJECTORY = 7  # gradients of a NUTS trajectory in whitened coordinates: two doublings and a part of the third
# seconds that a sampler in compiled code takes to ask Python for a gradient, beside the gradient itself: an upper
# bound, for what numba compiled is not asked for by way of Python
CALL = 8e-5


@dataclass(frozen=True)
class Resample:
    """Run a few short chains at the edited posterior, from transported draws and in their coordinates.

    Positions *and* scales come from the transported draws: the chains run in the coordinates in which the covariance
    of these is the identity, so that tuning has next to nothing to do and trajectories are short.

    Parameters
    ----------
    draws, tune : int
        Of each chain; there are as many chains as the draws came from.
    transport : Transport
        Brings the draws to where this starts.
    start : Draws, optional
        Draws that have been transported already.

    Examples
    --------
    >>> from bayesrepair.fit import Factor, Fit
    >>> from bayesrepair.oracles import NormalNormal
    >>> oracle = NormalNormal(prior_mean=0.0, prior_sd=1.0, noise_sd=1.0)
    >>> rows = oracle.rows({"y": np.array([1.0, 2.0, 9.0])})
    >>> rng = np.random.default_rng(0)
    >>> fit = Fit(oracle, rows, oracle.posterior(rows).draws(1000, rng))
    >>> posterior, info = Resample(draws=1000)(fit.change(Factor(rows.take([2]), -1.0)), rng)
    >>> len(posterior), abs(posterior.theta.mean() - 1.0) < 0.1  # 3 before, 1 after
    (1000, np.True_)
    """

    draws: int = 500
    tune: int = 100
    transport: Transport = Transport()  # noqa: RUF009 - frozen
    start: Draws | None = None

    accepts: ClassVar[tuple[type, ...]] = (Draws,)
    needs: ClassVar[tuple[type, ...]] = (Differentiable, Resumable)
    directions: ClassVar[frozenset[str]] = frozenset({"insert", "delete"})
    seconds_a_call: ClassVar[float] = CALL

    def __call__(self, change: Change, rng: np.random.Generator) -> tuple[Draws, Info]:
        """Return the draws of the short chains."""
        assert isinstance(change.model, Resumable)  # `edit` refuses the others
        start, info = self.start, Info("resample")
        if start is None:
            start, info = self.transport(change, rng)
        posterior = change.model.resume(
            change.rows, start=start, rng=rng, weights=change.after, draws=self.draws, tune=self.tune
        )
        ess = posterior.ess if posterior.sampling is None else posterior.sampling.ess_min
        details = {**info.details, "start_khat": start.khat, "start_ess": start.ess}
        return posterior, replace(info, rung="resample", khat=-np.inf, ess=ess, details=details)

    def gradients(self, change: Change) -> int:
        """Gradients of all rows that this will take, about.

        Trajectories that were long for another reason than correlations, such as several modes, become longer still in
        coordinates that a covariance of all modes defines.
        """
        draws = change.posterior
        assert isinstance(draws, Draws)  # `edit` refuses the others
        steps = len(np.unique(draws.chain)) * (self.draws + self.tune)
        on_the_way = self.transport.gradients(change) if self.start is None else 0
        expected = _whitened_trajectory(draws)
        return on_the_way + round(steps * max(TRAJECTORY, expected * max(1.0, expected / TRAJECTORY)))


def _whitened_trajectory(draws: Draws) -> float:
    """Gradients of a trajectory of the run that the draws came from, less what correlations took; 0 where unknown.

    In coordinates with their own scales, as the sampler's were, a trajectory is longer by the square root of the
    condition number of the correlations.
    """
    run = draws.sampling
    if run is None or run.gradients is None:
        return 0.0
    sd = draws.theta.std(axis=0)
    varying = (draws.theta[:, sd > 0] - draws.theta.mean(axis=0)[sd > 0]) / sd[sd > 0]
    values = np.linalg.eigvalsh(varying.T @ varying / len(varying))
    condition = values[-1] / max(values[0], values[-1] * np.finfo(float).eps)
    return float(run.gradients / (run.chains * (run.draws + run.tune)) / np.sqrt(condition))
