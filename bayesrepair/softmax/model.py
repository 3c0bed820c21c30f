"""Softmax models of classes whose labels can be wrong, with derivatives in closed form."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from bayesrepair.fit import Fit
from bayesrepair.laplace import laplace
from bayesrepair.model import Outcome
from bayesrepair.noise import JITTER, SOURCE, Flips, LabelNoise
from bayesrepair.numerics import hmc
from bayesrepair.numerics.blocks import row_blocks
from bayesrepair.numerics.label_posterior import true_class, wrong
from bayesrepair.numerics.log_sum_exp import log_sum_exp, softmax
from bayesrepair.posterior import GAUSSIAN_CHAINS, Draws, Gaussian, Posterior
from bayesrepair.rows import Rows
from bayesrepair.softmax.designs import Design, normal_log_prior
from bayesrepair.softmax.transition import LabelTransition
from bayesrepair.status import MethodError

LABEL = "label"
_MOVES = 12

Reader = Callable[[Any], Rows]


class SoftmaxModel:
    """``p(true class = k) = softmax_k(η_i)``, η linear in θ; the given class goes through a transition T where noisy.

    With a = softmax(η + log T_·y) and π = softmax(η), the log-likelihood of a row is ``logsumexp(η + log T_·y) −
    logsumexp(η)``, its gradient in η is a − π, in log T_·y it is a, and its second derivatives are those of the two
    log-sum-exps. Parameters are those of the design, then those of the noise.

    Parameters
    ----------
    design : Design
    outcome : Outcome
        Of classes; rows hold their codes under its name.
    noise : LabelNoise, optional
        None: every label is right.
    reader : callable, optional
        From the user's data to rows.

    Examples
    --------
    >>> from bayesrepair.softmax import Calibration
    >>> model = SoftmaxModel(Calibration(2), Outcome("label", "class", ("no", "yes")))
    >>> rows = Rows({"log_p": np.log([[0.2, 0.8]]), "label": np.array([1])}, np.array([0]))
    >>> np.exp(model.log_lik(np.array([[1.0, 0.0, 0.0]]), rows))  # slope 1, no bias: the probability itself
    array([[0.8]])
    """

    def __init__(
        self, design: Design, outcome: Outcome, noise: LabelNoise | None = None, *, reader: Reader | None = None
    ) -> None:
        self.design, self.outcome, self.noise, self.reader = design, outcome, noise, reader
        self.classes = design.classes
        self.transition = None if noise is None else LabelTransition(noise, design.classes)
        self.names = (*design.names, *(() if self.transition is None else self.transition.names))
        self.n_params = len(self.names)
        self.dims: Mapping[str, tuple[str, ...]] = {}
        self.coords: Mapping[str, np.ndarray] = {}

    @property
    def initial(self) -> np.ndarray:
        """The prior's mean and low noise, (P,)."""
        return np.concatenate([self.design.mean, [] if self.transition is None else self.transition.initial])

    def __repr__(self) -> str:
        noisy = "" if self.noise is None else f", labels wrong at unknown rates ({self.noise.mechanism})"
        return f"SoftmaxModel({type(self.design).__name__}, {self.classes} classes{noisy})"

    def rows(self, data: Any) -> Rows:
        """Rows of new data."""
        if isinstance(data, Rows):
            return data
        if self.reader is None:
            raise MethodError("Rows", f"a {type(data).__name__}", "This model has no recipe to read it.")
        return self.reader(data)

    def with_noise(self, noise: LabelNoise) -> SoftmaxModel:
        """The same model of labels that can be wrong."""
        return SoftmaxModel(self.design, self.outcome, noise, reader=self.reader)

    def _parts(self, theta: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        count = len(self.design.names)
        return theta[:, :count], theta[:, count:]

    def log_prior(self, theta: np.ndarray) -> np.ndarray:
        """(S, P) → (S,)."""
        own, phi = self._parts(theta)
        total = normal_log_prior(self.design, own)
        return total if self.transition is None else total + self.transition.log_prior(phi)

    def _given(self, rows: Rows) -> np.ndarray:
        return np.asarray(rows.values[self.outcome.name]).astype(int)

    def _source(self, rows: Rows) -> np.ndarray:
        """Group of each row; G + 1 where its label is right."""
        groups = self.noise.groups if self.noise else 0
        if self.noise is None:
            return np.full(len(rows), groups + 1)
        return np.asarray(rows.values[SOURCE]) if SOURCE in rows.values else np.full(len(rows), groups)

    def _log_matrix(self, phi: np.ndarray) -> np.ndarray:
        """Log T, (S, Q) → (S, G + 2, K, K), the identity at the end."""
        right = np.where(np.eye(self.classes) > 0, 0.0, -np.inf)
        right = np.broadcast_to(right, (len(phi), 1, self.classes, self.classes))
        return right if self.transition is None else np.concatenate([self.transition.log_matrix(phi), right], axis=1)

    def _to_given(self, log_matrix: np.ndarray, rows: Rows) -> np.ndarray:
        """Log T_·y of each row, (S, N, K)."""
        at = np.minimum(self._source(rows), log_matrix.shape[1] - 1)
        return log_matrix[:, at, :, self._given(rows)].transpose(1, 0, 2)

    def log_lik(self, theta: np.ndarray, rows: Rows) -> np.ndarray:
        """Log probability of the given class, (S, P) → (S, N)."""
        own, phi = self._parts(theta)
        eta = self.design.predictor(own, rows)
        if self.transition is None:
            return eta[:, np.arange(len(rows)), self._given(rows)] - log_sum_exp(eta)
        return log_sum_exp(eta + self._to_given(self._log_matrix(phi), rows)) - log_sum_exp(eta)

    def predict(self, theta: np.ndarray, rows: Rows) -> np.ndarray:
        """Probability of each true class, (S, P) → (S, N, K)."""
        return softmax(self.design.predictor(self._parts(theta)[0], rows))

    def simulate(self, theta: np.ndarray, rows: Rows, rng: np.random.Generator) -> np.ndarray:
        """True classes, (S, P) → (S, N)."""
        cumulative = self.predict(theta, rows).cumsum(axis=2)
        return (rng.random(cumulative.shape[:2])[..., None] > cumulative[..., :-1]).sum(axis=2)

    def constrain(self, theta: np.ndarray) -> Mapping[str, np.ndarray]:
        """Parameters by name; of the noise, the rates."""
        own, phi = self._parts(theta)
        named: dict[str, list[np.ndarray]] = {}
        for j, name in enumerate(self.design.names):
            named.setdefault(name.partition("[")[0], []).append(own[:, j])
        found = {name: np.stack(columns, axis=1) for name, columns in named.items()}
        return found if self.transition is None else {**found, "label_noise_rate": self._flips(phi).rate[:, :-1]}

    def log_target_and_grad(self, theta: np.ndarray, rows: Rows, weight: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """``log_prior + Σ weight · log_lik`` and its gradient: (S, P), (N,) → (S,), (S, P)."""
        own, phi = self._parts(theta)
        value = self.log_prior(theta)
        own_gradient = -(own - self.design.mean) / self.design.sd**2
        log_matrix = self._log_matrix(phi)
        posterior = np.zeros((len(theta), *log_matrix.shape[1:]))
        for at, block in row_blocks(rows, len(theta), outputs=2 * self.classes):
            w = weight[at][None, :, None]
            eta = self.design.predictor(own, block)
            joint = eta + self._to_given(log_matrix, block)
            total, observed = log_sum_exp(eta, keepdims=True), log_sum_exp(joint, keepdims=True)
            value = value + (w * (observed - total)).sum(axis=(1, 2))
            a = w * np.exp(joint - observed)
            own_gradient += self.design.pulled(a - w * np.exp(eta - total), block)
            self._collect(posterior, a, block)
        if self.transition is None:
            return value, own_gradient
        noise_gradient = self.transition.prior_gradient(phi)
        for s, one in enumerate(phi):
            known = posterior[s, :-1] + self.transition.reviewed
            noise_gradient[s] += np.tensordot(known, self.transition.jacobian(one), axes=3)
        return value, np.concatenate([own_gradient, noise_gradient], axis=1)

    def _collect(self, total: np.ndarray, a: np.ndarray, rows: Rows) -> None:
        """Add the posterior of the true class to the sums by group, true class and given class, in place."""
        if self.transition is None:
            return
        source, given = self._source(rows), self._given(rows)
        for g, y in np.unique(np.stack([source, given]), axis=1).T:
            total[:, g, :, y] += a[:, (source == g) & (given == y)].sum(axis=1)

    def curvature(self, theta: np.ndarray, rows: Rows, weight: np.ndarray) -> np.ndarray:
        """Minus the Hessian of ``log_prior + Σ weight · log_lik`` at one point: (P,), (N,) → (P, P)."""
        own, phi = self._parts(np.asarray(theta, dtype=float)[None])
        count, total = own.shape[1], np.zeros((self.n_params, self.n_params))
        total[:count, :count] = np.diag(self.design.sd**-2.0)
        log_matrix = self._log_matrix(phi)
        posterior = np.zeros(log_matrix.shape)
        jacobian = None if self.transition is None else self.transition.jacobian(phi[0])
        for at, block in row_blocks(rows, self.classes, outputs=self.classes):
            w = np.asarray(weight, dtype=float)[at]
            eta = self.design.predictor(own, block)[0]
            a = softmax(eta + self._to_given(log_matrix, block)[0])
            spread = w[:, None, None] * _spread(a)
            total[:count, :count] += self.design.squared(w[:, None, None] * _spread(softmax(eta)) - spread, block)
            if jacobian is not None:
                self._collect(posterior, (w[:, None] * a)[None], block)
                self._add_noise(total, spread, jacobian, block)
        if self.transition is not None:
            total[count:, count:] += np.diag(self.transition.prior_curvature(phi)[0])
            known = posterior[0, :-1] + self.transition.reviewed
            total[count:, count:] -= self.transition.contracted_curvature(phi[0], known)
        return (total + total.T) / 2

    def _add_noise(self, total: np.ndarray, spread: np.ndarray, jacobian: np.ndarray, rows: Rows) -> None:
        """Second derivatives that pass through log T, in place."""
        count, right = len(self.design.names), len(jacobian)
        source, given = self._source(rows), self._given(rows)
        for g, y in np.unique(np.stack([source, given]), axis=1).T:
            if g == right:
                continue
            chosen = np.flatnonzero((source == g) & (given == y))
            J, some = jacobian[g, :, y], spread[chosen]
            total[count:, count:] -= J.T @ some.sum(axis=0) @ J
            across = self.design.pulled(np.moveaxis(some, 2, 0), rows.at(chosen)).T @ J
            total[:count, count:] -= across
            total[count:, :count] -= across.T

    def train(
        self, rows: Rows, *, start: Posterior | None = None, rng: np.random.Generator, weights: np.ndarray | None = None
    ) -> Gaussian | Draws:
        """The Laplace approximation; where ``start`` is draws, as many draws moved from it by HMC.

        Raises
        ------
        MethodError
            If no mode was found.
        """
        weights = np.ones(len(rows)) if weights is None else np.asarray(weights, dtype=float)
        first = start.mean if isinstance(start, Gaussian) else self.initial
        found = laplace(self, rows, weights, first)
        if found.search is not None and not found.search.converged:
            raise MethodError("a mode of the posterior", f"none after {found.search.steps} Newton steps")
        if not isinstance(start, Draws):
            return found
        factor = np.linalg.cholesky(np.linalg.inv(found.precision))
        drawn = found.draws(len(start), rng).theta
        moved = hmc.sample(
            lambda t: self.log_target_and_grad(t, rows, weights), drawn, factor=factor, rng=rng, moves=_MOVES
        )
        return replace(Draws.plain(moved.theta), chain=np.arange(len(start)) * GAUSSIAN_CHAINS // len(start))

    def sampled(
        self,
        rows: Rows,
        *,
        start: Draws,
        rng: np.random.Generator,
        draws: int | None,
        rhat: float,
        ess: float,
        gradients: float,
    ) -> Draws:
        """As many draws as ``start`` has, of independent short chains: there is no r̂ to wait for."""
        moved = self.train(rows, start=start, rng=rng)
        assert isinstance(moved, Draws)  # as it starts from draws
        return moved

    def flips(self, theta: np.ndarray) -> Flips:
        """The transition from the true to the given class: (S, P) → S draws."""
        return self._flips(self._parts(theta)[1])

    def _flips(self, phi: np.ndarray) -> Flips:
        assert self.transition is not None  # asked of a noisy model
        return self.transition.flips(phi)

    def flip_prior(self, size: int, rng: np.random.Generator) -> Flips:
        """The same from the prior."""
        assert self.transition is not None
        return self._flips(self.transition.prior_draws(size, rng))

    def started(self, draws: Draws, rng: np.random.Generator, *, high: bool = False) -> Draws:
        """Points to start from: draws of the model without noise, and low noise, or high noise."""
        assert self.transition is not None
        start = np.tile(self.transition.high if high else self.transition.initial, (len(draws), 1))
        start += JITTER * rng.uniform(-1, 1, start.shape)
        return replace(draws, theta=np.hstack([draws.theta, start]))

    def truth(self, theta: np.ndarray, rows: Rows) -> np.ndarray:
        """Probability of each true class, given the parameters and the given class: (S, P) → (S, N, K)."""
        flips = self.flips(theta)
        return true_class(self.predict(theta, rows), flips.rate[:, self._source(rows)], flips.target, self._given(rows))

    def wrong(self, theta: np.ndarray, rows: Rows) -> np.ndarray:
        """Probability that each given class is wrong, given the parameters: (S, P) → (S, N)."""
        return wrong(self.truth(theta, rows), self._given(rows))


def softmax_fit(model: SoftmaxModel, rows: Rows, *, table: pd.DataFrame | None = None) -> Fit:
    """Fit a softmax model: the Laplace approximation.

    Raises
    ------
    MethodError
        If no mode was found.
    """
    return Fit(model, rows, model.train(rows, rng=np.random.default_rng(0)), table=table)


def _spread(p: np.ndarray) -> np.ndarray:
    """diag(p) − p pᵀ of each row, (N, K) → (N, K, K)."""
    out = -p[:, :, None] * p[:, None, :]
    diagonal = np.arange(p.shape[1])
    out[:, diagonal, diagonal] += p
    return out
