"""What a model must offer: Protocols, and the description of its outcome.

Letters: S draws, P unconstrained parameters, N rows, K outputs. Log densities are in nats.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, Protocol, runtime_checkable

import numpy as np

from bayesrepair.posterior import Draws, Posterior
from bayesrepair.rows import Rows

Kind = Literal["class", "count", "continuous"]


@dataclass(frozen=True)
class Outcome:
    """What the model predicts.

    Parameters
    ----------
    name : str
        The array of `Rows` that holds the observed outcome (class codes 0 … K−1 for classes).
    kind : {"class", "count", "continuous"}
        Decides what a failure is and what `Model.predict` returns.
    classes : tuple, optional
        Class names in the order of their codes; only for ``kind="class"``.
    """

    name: str
    kind: Kind
    classes: tuple[Any, ...] | None = None


@runtime_checkable
class Model(Protocol):
    """A model whose rows are conditionally independent given its parameters."""

    n_params: int
    names: tuple[str, ...]
    outcome: Outcome
    dims: Mapping[str, tuple[str, ...]]
    coords: Mapping[str, np.ndarray]

    def log_prior(self, theta: np.ndarray) -> np.ndarray:
        """Log prior density in the unconstrained space, log-Jacobian and potentials included: (S, P) → (S,)."""
        ...

    def log_lik(self, theta: np.ndarray, rows: Rows) -> np.ndarray:
        """Pointwise log-likelihood: (S, P) → (S, N). Callers hand in blocks of rows."""
        ...

    def predict(self, theta: np.ndarray, rows: Rows) -> np.ndarray:
        """Class probabilities (K classes) or the mean of the outcome (K = 1): (S, P) → (S, N, K)."""
        ...

    def simulate(self, theta: np.ndarray, rows: Rows, rng: np.random.Generator) -> np.ndarray:
        """One outcome a draw and row from the predictive: (S, P) → (S, N)."""
        ...

    def constrain(self, theta: np.ndarray) -> Mapping[str, np.ndarray]:
        """The parameters as the user named and scaled them: (S, P) → arrays (S, ...)."""
        ...

    def rows(self, data: Any) -> Rows:
        """Rows of this model from the user's own data (DataFrame, mapping of arrays, xarray Dataset)."""
        ...


@runtime_checkable
class Summing(Model, Protocol):
    """A model that sums over rows faster than row by row, and that divides its work into blocks by itself."""

    def summed_log_lik(self, theta: np.ndarray, rows: Rows, weight: np.ndarray) -> np.ndarray:
        """``Σ weight · log_lik``: (S, P), (N,) → (S,); rows of weight 0 take no part."""
        ...


@runtime_checkable
class Differentiable(Model, Protocol):
    """A model with gradients in the unconstrained space."""

    def log_target_and_grad(self, theta: np.ndarray, rows: Rows, weight: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """``log_prior + Σ weight · log_lik`` and its gradient: (S, P), (N,) → (S,), (S, P)."""
        ...


@runtime_checkable
class Curved(Differentiable, Protocol):
    """A model with second derivatives in the unconstrained space."""

    def curvature(self, theta: np.ndarray, rows: Rows, weight: np.ndarray) -> np.ndarray:
        """Minus the Hessian of ``log_prior + Σ weight · log_lik`` at one point: (P,), (N,) → (P, P).

        At a mode it is the precision of the Laplace approximation.
        """
        ...


@runtime_checkable
class Trainable(Model, Protocol):
    """A model that can be fitted anew."""

    def train(
        self,
        rows: Rows,
        *,
        start: Posterior | None = None,
        rng: np.random.Generator,
        weights: np.ndarray | None = None,
    ) -> Posterior:
        """The posterior of ``log_prior + Σ weights · log_lik`` (weights default to one).

        Where ``start`` is a Gaussian, a Gaussian comes back: the Laplace approximation.
        """
        ...


@runtime_checkable
class Resumable(Model, Protocol):
    """A model whose sampler can start from draws that are nearly right."""

    def resume(
        self,
        rows: Rows,
        *,
        start: Draws,
        rng: np.random.Generator,
        weights: np.ndarray | None = None,
        draws: int,
        tune: int,
    ) -> Draws:
        """Short chains of ``log_prior + Σ weights · log_lik``, as many as ``start`` has.

        They start at draws of ``start``, and its covariance is their scale.
        """
        ...


@runtime_checkable
class Timed(Model, Protocol):
    """A model that knows how long a refit takes."""

    def refit_seconds(self, posterior: Posterior, n_rows: int) -> float:
        """Wall time that a refit on so many rows is expected to take; nan where nothing is known."""
        ...


@runtime_checkable
class Conjugate(Model, Protocol):
    """A model whose posterior follows an edit in closed form."""

    def update(self, posterior: Any, rows: Rows, power: np.ndarray) -> Any:
        """The posterior after multiplying by ``Π p(row|θ)^power``; exact."""
        ...
