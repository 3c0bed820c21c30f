"""The log density of a model under row weights, streamed over rows, with a count of what it cost."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import cast

import numpy as np

from bayesrepair.fit import Change
from bayesrepair.model import Differentiable, Model, Summing
from bayesrepair.numerics.blocks import row_blocks
from bayesrepair.rows import Rows

GRADIENT_COST = 3  # evaluations of the likelihood that a value and its gradient count for
DRAW_BLOCK = 250  # draws handed to the gradient at once: bounds memory at block × rows
SUMMED_BLOCK = 1000  # where no array of rows is made: arrays of draws × parameters that stay in the cache


@dataclass(eq=False)
class Target:
    """``log_prior + Σ weight · log_lik`` as a function of the draws.

    Parameters
    ----------
    model : Model
    rows : Rows
    weight : array, shape (N,)
        Rows of weight zero are left out (an impossible row must not turn the sum into nan).
    log_lik_evals : int
        Row × draw evaluations so far; a gradient counts as three.

    Examples
    --------
    >>> from bayesrepair.oracles import NormalNormal
    >>> oracle = NormalNormal(prior_mean=0.0, prior_sd=1.0, noise_sd=1.0)
    >>> target = Target(oracle, oracle.rows({"y": np.array([1.0, 5.0])}), np.array([1.0, 0.0]))
    >>> value, gradient = target.value_and_gradient(np.array([[0.5]]))
    >>> gradient  # (0 − .5) + (1 − .5)
    array([[0.]])
    >>> target.log_lik_evals
    3
    """

    model: Model
    rows: Rows
    weight: np.ndarray
    log_lik_evals: int = field(default=0)
    _draw_block: int = field(init=False, repr=False)

    def __post_init__(self) -> None:
        # asked once: a look at a Protocol takes as long as some gradients
        self._draw_block = SUMMED_BLOCK if isinstance(self.model, Summing) else DRAW_BLOCK
        used = np.flatnonzero(self.weight)
        if len(used) < len(self.rows):
            self.rows, self.weight = self.rows.at(used), self.weight[used]

    @classmethod
    def before(cls, change: Change) -> Target:
        """The posterior that the draws came from."""
        return cls(change.model, *change.trained)

    @classmethod
    def after(cls, change: Change) -> Target:
        """The posterior that the edit asks for."""
        return cls(change.model, *change.retained)

    @classmethod
    def changed(cls, change: Change) -> Target:
        """What the rows that change contribute: ``log_likelihood`` is the difference of the two."""
        return cls(change.model, change.factor.rows, change.factor.powers)

    def log_density(self, theta: np.ndarray) -> np.ndarray:
        """Unnormalised log density, (S, P) → (S,)."""
        return self.model.log_prior(theta) + self.log_likelihood(theta)

    def log_likelihood(self, theta: np.ndarray) -> np.ndarray:
        """``Σ weight · log_lik``, (S, P) → (S,); the draws × rows matrix is never held."""
        self.log_lik_evals += len(theta) * len(self.rows)
        return weighted_log_lik(self.model, theta, self.rows, self.weight)

    def value_and_gradient(self, theta: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Unnormalised log density and its gradient, (S, P) → (S,), (S, P)."""
        model = cast(Differentiable, self.model)  # `edit` refuses editors whose needs are not met
        self.log_lik_evals += GRADIENT_COST * len(theta) * len(self.rows)
        if len(theta) <= self._draw_block:
            return model.log_target_and_grad(theta, self.rows, self.weight)
        parts = [
            model.log_target_and_grad(theta[start : start + self._draw_block], self.rows, self.weight)
            for start in range(0, len(theta), self._draw_block)
        ]
        return np.concatenate([value for value, _ in parts]), np.concatenate([grad for _, grad in parts])


def weighted_log_lik(model: Model, theta: np.ndarray, rows: Rows, weight: np.ndarray) -> np.ndarray:
    """``Σ weight · log p(row|θ)`` at each draw, (S, P) → (S,), streamed over rows."""
    if isinstance(model, Summing):
        return model.summed_log_lik(theta, rows, weight)
    total = np.zeros(len(theta))
    for where, block in row_blocks(rows, len(theta)):
        total += model.log_lik(theta, block) @ weight[where]
    return total
