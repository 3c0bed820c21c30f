"""Representations of a posterior: draws, a Gaussian, a point, an ensemble."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from bayesrepair.numerics.psis import effective_sample_size, smooth
from bayesrepair.status import DataError, MethodError

GAUSSIAN_DRAWS, GAUSSIAN_CHAINS = 4000, 4
MANY_DIVERGE = 0.01  # share of draws at which trajectories diverge, beyond which longer chains do not help
_GAUSSIAN_SEED = 20240229  # the same normal numbers for every Gaussian: differences between two are no noise


@dataclass(frozen=True)
class Sampling:
    """How a set of draws came about, and what its sampler had to say.

    Parameters
    ----------
    chains, draws, tune : int
        Chains, draws a chain, tuning steps a chain.
    divergences : int
    rhat_max, ess_min : float
        Worst r̂ and smallest bulk effective sample size over all parameters.
    seconds : float
        Wall time of the sampling; nan where unknown.
    sampler : str
    gradients : int, optional
        Gradients that the run took, tuning included: what an edit is to be cheaper than. None where unknown.
    """

    chains: int
    draws: int
    tune: int
    divergences: int
    rhat_max: float
    ess_min: float
    seconds: float
    sampler: str
    gradients: int | None = None

    @property
    def divergent(self) -> float:
        """Share of the draws at which a trajectory diverged."""
        return self.divergences / (self.chains * self.draws)


@dataclass(frozen=True, eq=False)
class Draws:
    """Draws in the unconstrained space, with importance weights where an edit left them.

    Parameters
    ----------
    theta : array, shape (S, P)
        Draws, chain after chain.
    log_weights : array, shape (S,)
        Raw log importance ratios, up to a constant; all zero for plain draws.
    chain : array, shape (S,)
        Chain of each draw.
    r_eff : float
        Relative efficiency of the draws (ESS / S) used by PSIS.
    sampling : Sampling, optional
        How the draws came about; None where no sampler was involved.
    ancestor : array of int, shape (S,), optional
        For draws that were resampled and then moved: which draw each of them started from. Draws of one ancestor
        are one cluster, and no more than one independent draw until the moves have forgotten it.
    log_density : array, shape (S,), optional
        Unnormalised log density, up to a constant, of what the weighted draws stand for, where the sampler kept it or
        an editor computed it on the way.
    gradient : array, shape (S, P), optional
        Gradient of the log density that the weighted draws stand for, where an editor computed it on the way; the
        check needs it, and `edit` drops it.
    """

    theta: np.ndarray
    log_weights: np.ndarray
    chain: np.ndarray
    r_eff: float = 1.0
    sampling: Sampling | None = None
    ancestor: np.ndarray | None = None
    log_density: np.ndarray | None = None
    gradient: np.ndarray | None = None

    def __post_init__(self) -> None:
        theta = np.asarray(self.theta, dtype=float)
        if theta.ndim != 2 or len(theta) == 0:
            raise DataError("draws of shape (S, P) with S > 0", f"shape {theta.shape}")
        for name in ("log_weights", "chain", "ancestor", "log_density"):
            value = getattr(self, name)
            if value is not None and np.shape(value) != (len(theta),):
                raise DataError(f"{name} of shape ({len(theta)},)", f"shape {np.shape(value)}")
        if self.gradient is not None and self.gradient.shape != theta.shape:
            raise DataError(f"a gradient of shape {theta.shape}", f"shape {self.gradient.shape}")

    @classmethod
    def plain(cls, theta: np.ndarray, chain: np.ndarray | None = None, r_eff: float = 1.0) -> Draws:
        """Unweighted draws; one chain unless ``chain`` says otherwise."""
        theta = np.asarray(theta, dtype=float)
        chain = np.zeros(len(theta), dtype=int) if chain is None else np.asarray(chain)
        return cls(theta, np.zeros(len(theta)), chain, r_eff)

    def __len__(self) -> int:
        return len(self.theta)

    def __repr__(self) -> str:
        weighted = ", weighted" if (self.log_weights != self.log_weights[0]).any() else ""
        chains = len(np.unique(self.chain))
        return f"Draws({len(self)} draws, chains: {chains}{weighted}, parameters: {self.theta.shape[1]})"

    @cached_property
    def _smoothed(self) -> tuple[np.ndarray, float]:
        return smooth(self.log_weights, r_eff=self.r_eff)

    @property
    def weights(self) -> np.ndarray:
        """Pareto-smoothed weights that sum to one, shape (S,)."""
        return np.exp(self._smoothed[0])

    @property
    def khat(self) -> float:
        """Pareto k̂ of the weights; −inf when all are equal."""
        return self._smoothed[1]

    @property
    def ess(self) -> float:
        """Effective sample size: that of the weights, 1 / Σ w², times the relative efficiency of the chains."""
        return effective_sample_size(self.weights) * min(1.0, self.r_eff)

    @property
    def is_weighted(self) -> bool:
        """Whether the weights differ from one another."""
        return bool(np.ptp(self.log_weights) > 0)

    def resampled(self, size: int, rng: np.random.Generator) -> np.ndarray:
        """Positions of ``size`` draws taken by systematic resampling, in order of position."""
        points = (rng.random() + np.arange(size)) / size
        return np.minimum(np.searchsorted(np.cumsum(self.weights), points), len(self) - 1)


@dataclass(frozen=True)
class ModeSearch:
    """How the mode of a Laplace approximation was found.

    Parameters
    ----------
    steps : int
        Newton steps, of which ``damped`` needed damping.
    damped : int
    decrement : float
        Distance left to the mode in posterior sds, ``√(gᵀ H⁻¹ g)``; inf where the curvature is not positive definite.
    converged : bool
    log_density : float
        Unnormalised, at the point reached.
    second_derivatives : str
        Where they came from: in closed form, by automatic differentiation, or from differences of gradients.
    log_lik_evals : int
        Row × point evaluations; a gradient counts as three, a column of the curvature as six.
    seconds : float
    """

    steps: int
    damped: int
    decrement: float
    converged: bool
    log_density: float
    second_derivatives: str
    log_lik_evals: int
    seconds: float

    def __str__(self) -> str:
        end = f"{self.decrement:.1g} posterior sd from the mode" if self.converged else "no mode reached"
        return f"{self.steps} Newton steps ({self.damped} damped), second derivatives {self.second_derivatives}; {end}"


@dataclass(frozen=True, eq=False)
class Gaussian:
    """A Gaussian in the unconstrained space.

    Parameters
    ----------
    mean : array, shape (P,)
    precision : array, shape (P, P)
    search : ModeSearch, optional
        How the mode was found, where it is a Laplace approximation.

    Examples
    --------
    >>> gaussian = Gaussian(np.array([1.0]), np.array([[4.0]]))
    >>> gaussian
    Gaussian(1 parameter)
    >>> bool(abs(gaussian.fixed_draws.theta.std() - 0.5) < 0.02)  # 1/√4
    True
    """

    mean: np.ndarray
    precision: np.ndarray
    search: ModeSearch | None = None

    def __repr__(self) -> str:
        how = f"; {self.search}" if self.search is not None else ""
        return f"Gaussian({len(self.mean)} parameter{'s' * (len(self.mean) != 1)}{how})"

    @property
    def is_definite(self) -> bool:
        """Whether the precision is positive definite, so that this is a distribution at all."""
        try:
            np.linalg.cholesky(self.precision)
        except np.linalg.LinAlgError:
            return False
        return True

    def draws(self, size: int, rng: np.random.Generator) -> Draws:
        """Independent draws.

        Raises
        ------
        MethodError
            If the precision is not positive definite.
        """
        if not self.is_definite:
            lowest = float(np.linalg.eigvalsh(self.precision).min())
            raise MethodError(
                "a positive definite precision to draw from",
                f"a smallest eigenvalue of {lowest:.3g}",
                "The posterior has no mode there: sample it (method='nuts').",
            )
        factor = np.linalg.cholesky(self.precision)
        noise = np.linalg.solve(factor.T, rng.standard_normal((len(self.mean), size))).T
        return Draws.plain(self.mean + noise)

    @cached_property
    def fixed_draws(self) -> Draws:
        """Draws for everything that needs some: four chains of 1000, the same each time."""
        drawn = self.draws(GAUSSIAN_DRAWS, np.random.default_rng(_GAUSSIAN_SEED))
        return Draws.plain(drawn.theta, np.arange(GAUSSIAN_DRAWS) * GAUSSIAN_CHAINS // GAUSSIAN_DRAWS)


@dataclass(frozen=True, eq=False)
class Point:
    """A point estimate, with what was recorded on the way to it.

    Parameters
    ----------
    theta : array, shape (P,)
    trace : mapping
        Recordings by name; empty when none were kept.
    """

    theta: np.ndarray
    trace: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Ensemble:
    """Several posteriors, each trained on its own shard of the rows.

    Parameters
    ----------
    members : tuple of Posterior
    shards : tuple of array
        Row ids of each member.
    """

    members: tuple[Posterior, ...]
    shards: tuple[np.ndarray, ...]


type Posterior = Draws | Gaussian | Point | Ensemble
