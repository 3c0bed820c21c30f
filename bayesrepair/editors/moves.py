"""Moves: transported draws are resampled and moved by Hamiltonian Monte Carlo at the edited posterior itself."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np

from bayesrepair.editors.transport import Transport
from bayesrepair.fit import Change
from bayesrepair.judgement import Info
from bayesrepair.model import Differentiable
from bayesrepair.numerics import hmc
from bayesrepair.numerics.covariance import covariance_factor
from bayesrepair.numerics.efficiency import relative_efficiency
from bayesrepair.numerics.psis import effective_sample_size, effective_share
from bayesrepair.posterior import Draws
from bayesrepair.target import Target

STAGE_ESS = 0.5  # share of the draws that a stage of tempering keeps
SMALLEST_POWER = 1e-3
BISECTIONS = 30
STAGES = 10  # as a guess of the cost, where they are not known yet


@dataclass(frozen=True)
class Moves:
    """Resample the transported draws by their weights, then move each of them by some HMC trajectories.

    The moves leave the edited posterior as it is and carry every draw towards it, whatever the weights said. Where
    the transported draws are too few to start from (``least_ess``), the original draws are carried there in stages
    instead (annealed importance sampling with resampling; Neal 2001, arXiv:physics/9803008; Del Moral et al. 2006,
    doi:10.1111/j.1467-9868.2006.00553.x): stage k has the density ``p(θ | D) Π_r p(row_r | θ)^(β_k power_r)``, its
    β chosen so that half of the draws stay effective.

    Draws that started from one ancestor are one cluster until the moves have forgotten it. They lie beside each
    other, so that the effective sample size by batches sees them.

    Parameters
    ----------
    moves : int
        HMC trajectories of every draw at the edited posterior.
    stage_moves : int
        The same at each stage on the way.
    length : float
        Of a trajectory, in units of the posterior's own scale; π/2 forgets the start of a Gaussian, shorter ones are
        cheaper and more often accepted.
    leapfrogs : int
        Steps of a trajectory, at most.
    least_ess : float
        Share of the draws that must be effective after the transport.
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
    >>> posterior, info = Moves()(fit.change(Factor(rows.take([2]), -1.0)), rng)
    >>> abs(posterior.theta.mean() - 1.0) < 0.1, posterior.is_weighted  # 3 before, 1 after
    (np.True_, False)
    """

    moves: int = 3
    stage_moves: int = 2
    length: float = 1.5
    leapfrogs: int = 8
    least_ess: float = 0.05
    transport: Transport = Transport()  # noqa: RUF009 - frozen
    start: Draws | None = None

    accepts: ClassVar[tuple[type, ...]] = (Draws,)
    needs: ClassVar[tuple[type, ...]] = (Differentiable,)
    directions: ClassVar[frozenset[str]] = frozenset({"insert", "delete"})

    def __call__(self, change: Change, rng: np.random.Generator) -> tuple[Draws, Info]:
        """Return the moved draws, of equal weight."""
        draws = change.posterior
        assert isinstance(draws, Draws)  # `edit` refuses the others
        after = Target.after(change)
        started, info = self.start, Info("moves")
        if started is None:
            started, info = self.transport(change, rng)
        evals = info.log_lik_evals
        details = {**info.details, "start_khat": started.khat, "start_ess": started.ess, "stages": 0}
        if self._is_too_far(started):
            started, stages, spent = self._annealed(change, rng)
            evals += spent
            details["stages"] = stages
        moved = self._moved(after, started, self.moves, rng)
        info = replace(info, rung="moves", khat=-np.inf, ess=moved.ess, details=details)
        return moved, replace(info, log_lik_evals=evals + after.log_lik_evals)

    def gradients(self, change: Change) -> int:
        """Gradients of the rows that stay that this will take, about; with ten stages where it has to go in stages.

        Without stages a trajectory is priced by the steps that it would take at a Gaussian. A gradient of a stage looks
        at the rows that go as well, and counts for the more.
        """
        draws = change.posterior
        assert isinstance(draws, Draws)  # `edit` refuses the others
        trajectories, leapfrogs = float(self.moves), self.leapfrogs
        if self.start is not None and not self._is_too_far(self.start):
            leapfrogs = hmc.usual_leapfrogs(self.length, draws.theta.shape[1], self.leapfrogs)
        elif self.start is not None:
            between = int(np.count_nonzero((change.before != 0) | (change.after != 0)))
            trajectories += STAGES * self.stage_moves * between / max(1, int(np.count_nonzero(change.after)))
        on_the_way = self.transport.gradients(change) if self.start is None else 0
        return on_the_way + round(len(draws) * trajectories * leapfrogs)

    def _is_too_far(self, started: Draws) -> bool:
        """Whether the transport left too few draws to start from."""
        return effective_sample_size(started.weights) < self.least_ess * len(started)

    def _moved(self, target: Target, draws: Draws, moves: int, rng: np.random.Generator) -> Draws:
        """Resampled, in the order of the draws, and moved."""
        ancestor = draws.resampled(len(draws), rng)
        mass = np.sqrt(draws.weights)  # any mass matrix is right; by the weights themselves few draws would make it
        factor = covariance_factor(draws.theta, mass / mass.sum())
        moved = hmc.sample(
            target.value_and_gradient,
            draws.theta[ancestor],
            factor=factor,
            rng=rng,
            moves=moves,
            length=self.length,
            most_leapfrogs=self.leapfrogs,
            known=None
            if draws.gradient is None or draws.log_density is None
            else (draws.log_density[ancestor], draws.gradient[ancestor]),
        )
        origin = ancestor if draws.ancestor is None else draws.ancestor[ancestor]
        return Draws(
            moved.theta,
            np.zeros(len(draws)),
            draws.chain,
            relative_efficiency(moved.theta, draws.chain),
            ancestor=origin,
            log_density=moved.value,
            gradient=moved.path_gradient[-1],
        )

    def _annealed(self, change: Change, rng: np.random.Generator) -> tuple[Draws, int, int]:
        """The original draws carried to the edited posterior in stages, with the weights of the last one."""
        draws = change.posterior
        assert isinstance(draws, Draws)  # `edit` refuses the others
        ratio = Target.changed(change)
        power, stages, evals = 0.0, 0, 0
        while True:
            log_ratio = ratio.log_likelihood(draws.theta)
            step = _next_power(draws.log_weights, log_ratio, 1.0 - power)
            power += step
            weights = draws.log_weights + step * log_ratio
            draws = replace(draws, log_weights=weights, log_density=None, gradient=None)
            if power >= 1.0:
                return draws, stages, evals + ratio.log_lik_evals
            between = Target(change.model, change.rows, change.before + power * (change.after - change.before))
            draws = self._moved(between, draws, self.stage_moves, rng)
            stages, evals = stages + 1, evals + between.log_lik_evals


def _next_power(log_weights: np.ndarray, log_ratio: np.ndarray, left: float) -> float:
    """The longest step of β, at most ``left``, after which half of the draws are still effective."""
    if effective_share(log_weights + left * log_ratio) >= STAGE_ESS:
        return left
    low, high = 0.0, left
    for _ in range(BISECTIONS):
        middle = (low + high) / 2
        low, high = (middle, high) if effective_share(log_weights + middle * log_ratio) >= STAGE_ESS else (low, middle)
    return min(left, max(low, SMALLEST_POWER))
