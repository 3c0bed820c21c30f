"""Representations of a posterior: draws, a Gaussian, a point, an ensemble."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from bayesrepair.numerics.psis import effective_sample_size, smooth
from bayesrepair.status import DataError


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
    """

    chains: int
    draws: int
    tune: int
    divergences: int
    rhat_max: float
    ess_min: float
    seconds: float
    sampler: str


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
    """

    theta: np.ndarray
    log_weights: np.ndarray
    chain: np.ndarray
    r_eff: float = 1.0
    sampling: Sampling | None = None

    def __post_init__(self) -> None:
        theta = np.asarray(self.theta, dtype=float)
        if theta.ndim != 2 or len(theta) == 0:
            raise DataError("draws of shape (S, P) with S > 0", f"shape {theta.shape}")
        for name in ("log_weights", "chain"):
            if np.shape(getattr(self, name)) != (len(theta),):
                raise DataError(f"{name} of shape ({len(theta)},)", f"shape {np.shape(getattr(self, name))}")

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


@dataclass(frozen=True, eq=False)
class Gaussian:
    """A Gaussian in the unconstrained space.

    Parameters
    ----------
    mean : array, shape (P,)
    precision : array, shape (P, P)
    """

    mean: np.ndarray
    precision: np.ndarray

    def draws(self, size: int, rng: np.random.Generator) -> Draws:
        """Independent draws."""
        factor = np.linalg.cholesky(self.precision)
        noise = np.linalg.solve(factor.T, rng.standard_normal((len(self.mean), size))).T
        return Draws.plain(self.mean + noise)


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
