"""What the oracles share: rows from the user's data, and exact training from the conjugate update."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, ClassVar

import numpy as np
import pandas as pd

from bayesrepair.model import Outcome
from bayesrepair.posterior import Draws, Posterior
from bayesrepair.rows import Rows
from bayesrepair.status import DataError

DRAWS = 4000


class Oracle(ABC):
    """A model with a known answer.

    Rows hold an outcome ``y`` (N,) and, for regressions, features ``x`` (N, d).
    """

    outcome: ClassVar[Outcome]
    has_features: ClassVar[bool] = False
    dims: ClassVar[Mapping[str, tuple[str, ...]]] = {}
    coords: ClassVar[Mapping[str, np.ndarray]] = {}

    @property
    @abstractmethod
    def names(self) -> tuple[str, ...]:
        """Names of the unconstrained parameters."""

    @property
    def n_params(self) -> int:
        """Number of unconstrained parameters, P."""
        return len(self.names)

    @abstractmethod
    def log_prior(self, theta: np.ndarray) -> np.ndarray:
        """Log prior density in the unconstrained space: (S, P) → (S,)."""

    @abstractmethod
    def log_lik(self, theta: np.ndarray, rows: Rows) -> np.ndarray:
        """Pointwise log-likelihood: (S, P) → (S, N)."""

    @abstractmethod
    def predict(self, theta: np.ndarray, rows: Rows) -> np.ndarray:
        """Class probabilities or means: (S, P) → (S, N, K)."""

    @abstractmethod
    def train(
        self,
        rows: Rows,
        *,
        start: Posterior | None = None,
        rng: np.random.Generator,
        weights: np.ndarray | None = None,
    ) -> Any:
        """The posterior of ``log_prior + Σ weights · log_lik``; independent draws where ``start`` is draws."""

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
        """Independent draws, ``draws`` for each chain of ``start``; there is nothing to tune."""
        chains = np.unique(start.chain)
        size = Draws.plain(np.zeros((draws * len(chains), self.n_params)))
        return replace(
            self.train(rows, start=size, rng=rng, weights=weights), chain=np.repeat(np.arange(len(chains)), draws)
        )

    def rows(self, data: Any) -> Rows:
        """Rows from a mapping of arrays (ids 0, 1, …) or a DataFrame (its index; columns other than y are features).

        Raises
        ------
        DataError
            If the features are missing, or nothing is there.
        """
        if isinstance(data, pd.DataFrame):
            values: dict[str, np.ndarray] = {"y": data["y"].to_numpy()} if "y" in data else {}
            if self.has_features:
                values["x"] = data.drop(columns="y", errors="ignore").to_numpy(dtype=float)
            ids = data.index.to_numpy()
        else:
            values = {name: np.asarray(data[name]) for name in ("x", "y") if name in data}
            ids = np.arange(len(next(iter(values.values()), ())))
        if not values or (self.has_features and "x" not in values):
            wanted = "arrays 'x' (N, d) and 'y' (N,)" if self.has_features else "an array 'y' (N,)"
            raise DataError(wanted, f"{sorted(map(str, data))}", "Name the arrays so.")
        return Rows(values, ids)


class ConjugateOracle(Oracle):
    """An oracle whose posterior follows every edit in closed form."""

    @property
    @abstractmethod
    def prior(self) -> Any:
        """The prior in the representation of the posterior."""

    @abstractmethod
    def update(self, posterior: Any, rows: Rows, power: np.ndarray) -> Any:
        """The exact posterior after multiplying by ``Π p(row|θ)^power``."""

    def posterior(self, rows: Rows, weights: np.ndarray | None = None) -> Any:
        """The exact posterior of ``log_prior + Σ weights · log_lik``."""
        return self.update(self.prior, rows, np.ones(len(rows)) if weights is None else weights)

    def train(
        self,
        rows: Rows,
        *,
        start: Posterior | None = None,
        rng: np.random.Generator,
        weights: np.ndarray | None = None,
    ) -> Any:
        """The exact posterior, as independent draws where ``start`` is draws (as many), else in closed form."""
        exact = self.posterior(rows, weights)
        return exact.draws(len(start), rng) if isinstance(start, Draws) else exact


def gaussian_quadratic(theta: np.ndarray, mean: np.ndarray, precision: np.ndarray) -> np.ndarray:
    """``−½ (θ − m)ᵀ Λ (θ − m)`` for each draw, (S, P) → (S,)."""
    centred = theta - mean
    return -0.5 * np.einsum("sp,pq,sq->s", centred, precision, centred)
