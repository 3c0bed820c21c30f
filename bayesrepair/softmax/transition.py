"""The transition from true to given classes as a function of unconstrained values, with its derivatives.

The same prior as `bayesrepair.bridges.pymc.label_transition`, which a test holds it to, without a compiler.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy.special import expit, log_expit, log_softmax
from scipy.stats import halfnorm, norm

from bayesrepair.noise import Flips, LabelNoise

_LOW_LEVEL, _HIGH_LEVEL, _SMALL = -3.0, -0.5, 0.3  # where a search starts: rates of 2 and 19 %, spreads of about .3


@dataclass(frozen=True)
class _Part:
    """One run of values and its prior: normal, or the logarithm of a half-normal."""

    name: str
    size: int
    kind: str
    mean: float = 0.0
    scale: float = 1.0


@dataclass(frozen=True)
class LabelTransition:
    """Unconstrained values φ of a `LabelNoise` of K classes and what they mean; Q values.

    ``log T_g[c, c] = log(1 − r_gc)`` and ``log T_g[c, d] = log r_gc + log q_cd``, for groups g = 0 … G−1, then G for
    an unknown group.

    Parameters
    ----------
    noise : LabelNoise
    classes : int

    Examples
    --------
    >>> transition = LabelTransition(LabelNoise("uniform"), 3)
    >>> log_T = transition.log_matrix(np.array([[0.0]]))  # a rate of one quarter
    >>> np.exp(log_T[0, 0])
    array([[0.75 , 0.125, 0.125],
           [0.125, 0.75 , 0.125],
           [0.125, 0.125, 0.75 ]])
    """

    noise: LabelNoise
    classes: int

    @cached_property
    def parts(self) -> tuple[_Part, ...]:
        """Runs of values, in order."""
        noise, K = self.noise, self.classes
        by_class = noise.mechanism == "class"
        parts = [_Part("label_noise_level", K if by_class else 1, "normal", noise.level, noise.level_sd)]
        if noise.mechanism == "auto":
            parts.append(_Part("label_noise_class", K, "normal"))
        if noise.groups:
            parts.append(_Part("label_noise_group_spread", 1, "spread", 0.0, noise.group_spread))
            parts.append(_Part("label_noise_group", noise.groups, "normal"))
        if self._learns_targets:
            parts.append(_Part("label_noise_target", K * (K - 1), "normal"))
        return tuple(parts)

    @property
    def _learns_targets(self) -> bool:
        return self.classes > 2 and self.noise.mechanism != "uniform"

    @property
    def size(self) -> int:
        """Q."""
        return sum(part.size for part in self.parts)

    @property
    def names(self) -> tuple[str, ...]:
        """One for each value."""
        return tuple(f"{p.name}[{j}]" if p.size > 1 else p.name for p in self.parts for j in range(p.size))

    @property
    def initial(self) -> np.ndarray:
        """Low noise, (Q,)."""
        return self._at_level(_LOW_LEVEL)

    @property
    def high(self) -> np.ndarray:
        """High noise, (Q,)."""
        return self._at_level(_HIGH_LEVEL)

    def _at_level(self, level: float) -> np.ndarray:
        start = {"label_noise_level": level, "label_noise_group_spread": np.log(_SMALL)}
        return np.concatenate([np.full(part.size, start.get(part.name, 0.0)) for part in self.parts])

    @cached_property
    def _where(self) -> dict[str, slice]:
        ends = np.cumsum([0, *(part.size for part in self.parts)])
        return {part.name: slice(a, b) for part, a, b in zip(self.parts, ends[:-1], ends[1:], strict=True)}

    def _values(self, phi: np.ndarray, name: str) -> np.ndarray:
        return phi[:, self._where[f"label_noise_{name}"]]

    def _has(self, name: str) -> bool:
        return f"label_noise_{name}" in self._where

    def log_prior(self, phi: np.ndarray) -> np.ndarray:
        """(S, Q) → (S,), log-Jacobian included."""
        total = np.zeros(len(phi))
        for part in self.parts:
            value = phi[:, self._where[part.name]]
            if part.kind == "normal":
                total += norm.logpdf(value, part.mean, part.scale).sum(axis=1)
            else:
                total += (halfnorm.logpdf(np.exp(value), scale=part.scale) + value).sum(axis=1)
        return total

    def prior_gradient(self, phi: np.ndarray) -> np.ndarray:
        """(S, Q) → (S, Q)."""
        return self._by_part(
            phi,
            normal=lambda v, part: -(v - part.mean) / part.scale**2,
            spread=lambda v, part: 1 - np.exp(2 * v) / part.scale**2,
        )

    def prior_curvature(self, phi: np.ndarray) -> np.ndarray:
        """Diagonal of minus the Hessian, (S, Q) → (S, Q)."""
        return self._by_part(
            phi,
            normal=lambda v, part: np.full_like(v, part.scale**-2),
            spread=lambda v, part: 2 * np.exp(2 * v) / part.scale**2,
        )

    def _by_part(self, phi: np.ndarray, *, normal: Callable, spread: Callable) -> np.ndarray:
        out = np.empty_like(phi)
        for part in self.parts:
            where = self._where[part.name]
            function = {"normal": normal, "spread": spread}[part.kind]
            out[:, where] = function(phi[:, where], part)
        return out

    def prior_draws(self, size: int, rng: np.random.Generator) -> np.ndarray:
        """Values from the prior, (size, Q)."""
        columns = []
        for part in self.parts:
            shape = (size, part.size)
            if part.kind == "normal":
                columns.append(rng.normal(part.mean, part.scale, shape))
            else:
                columns.append(np.log(np.abs(rng.normal(0.0, part.scale, shape))))
        return np.concatenate(columns, axis=1)

    def _logits(self, phi: np.ndarray) -> np.ndarray:
        """Logits of twice the rate, (S, Q) → (S, G + 1, K)."""
        by_class = self._values(phi, "level") + np.zeros(self.classes)
        if self._has("class"):
            by_class = by_class + self.noise.class_spread * np.sinh(self._values(phi, "class"))
        effect = np.zeros((len(phi), self.noise.groups + 1))
        if self.noise.groups:
            effect[:, :-1] = np.exp(self._values(phi, "group_spread")) * self._values(phi, "group")
        return effect[:, :, None] + by_class[:, None, :]

    def _log_target(self, phi: np.ndarray) -> np.ndarray:
        """Log q with −inf on the diagonal, (S, Q) → (S, K, K)."""
        K = self.classes
        shares = np.full((len(phi), K, K - 1), -np.log(K - 1.0))
        if self._learns_targets:
            effect = np.sinh(self._values(phi, "target")).reshape(-1, K, K - 1)
            shares = log_softmax(self.noise.target_spread * effect, axis=2)
        full = np.full((len(phi), K, K), -np.inf)
        full[:, ~np.eye(K, dtype=bool)] = shares.reshape(len(phi), -1)
        return full

    def log_matrix(self, phi: np.ndarray) -> np.ndarray:
        """Log T, (S, Q) → (S, G + 1, K, K): group, true class, given class."""
        logits = self._logits(phi)
        log_rate = log_expit(logits) - np.log(2.0)
        matrix = log_rate[..., None] + self._log_target(phi)[:, None]
        diagonal = np.arange(self.classes)
        matrix[:, :, diagonal, diagonal] = np.log1p(-np.exp(log_rate))
        return matrix

    def flips(self, phi: np.ndarray) -> Flips:
        """Rates by group, with those of rows known to be right (zero) at the end, and targets."""
        rate = 0.5 * expit(self._logits(phi))
        known = np.zeros((len(phi), 1, self.classes))
        return Flips(np.concatenate([rate, known], axis=1), np.exp(self._log_target(phi)))

    def jacobian(self, phi: np.ndarray) -> np.ndarray:
        """∂ log T / ∂φ at one point, (Q,) → (G + 1, K, K, Q)."""
        K, G, at = self.classes, self.noise.groups, phi[None]
        slope = np.zeros((G + 1, K, self.size))
        self._add_slopes(slope, phi)
        share = expit(self._logits(at)[0])
        rate = 0.5 * share
        out = np.repeat(((1 - share)[..., None] * slope)[:, :, None, :], K, axis=2)
        diagonal = np.arange(K)
        out[:, diagonal, diagonal] = (-rate * (1 - share) / (1 - rate))[..., None] * slope
        if self._learns_targets:
            self._add_targets(out, np.exp(self._log_target(at)[0]), phi)
        return out

    def _add_slopes(self, slope: np.ndarray, phi: np.ndarray) -> None:
        """∂ logit / ∂φ, in place."""
        K, G, where = self.classes, self.noise.groups, self._where
        level = where["label_noise_level"]
        slope[:, :, level] = np.eye(K) if self.noise.mechanism == "class" else 1.0
        if self._has("class"):
            values = where["label_noise_class"]
            slope[:, :, values] = self.noise.class_spread * np.diag(np.cosh(phi[values]))
        if G:
            spread, group = where["label_noise_group_spread"], where["label_noise_group"]
            size = np.exp(phi[spread])
            slope[:G, :, spread] = (size * phi[group])[:, None, None]
            slope[np.arange(G), :, group.start + np.arange(G)] = size

    def _add_targets(self, out: np.ndarray, target: np.ndarray, phi: np.ndarray) -> None:
        """∂ log q / ∂φ = spread (δ − q) cosh φ, in place."""
        K = self.classes
        first = self._where["label_noise_target"].start
        for c in range(K):
            others = np.flatnonzero(np.arange(K) != c)
            columns = first + c * (K - 1) + np.arange(K - 1)
            block = self.noise.target_spread * (np.eye(K - 1) - target[c, others][None, :]) * np.cosh(phi[columns])
            out[:, c, others[:, None], columns[None, :]] += block

    def contracted_curvature(self, phi: np.ndarray, slope: np.ndarray) -> np.ndarray:
        """Σ slope · ∂² log T / ∂φ∂φ' at one point, (Q,), (G + 1, K, K) → (Q, Q)."""
        total = np.zeros((self.size, self.size))
        along = np.zeros((self.noise.groups + 1, self.classes, self.size))
        self._add_slopes(along, phi)
        right = np.einsum("gcc->gc", slope)
        other = slope.sum(axis=2) - right
        share = expit(self._logits(phi[None])[0])
        rate, rest = 0.5 * share, 1 - share
        first = right * -rate * rest / (1 - rate) + other * rest  # ∂ / ∂ logit
        bend = rate * rest * (1 - 2 * share) * (1 - rate) + (rate * rest) ** 2
        second = -right * bend / (1 - rate) ** 2 - other * share * rest
        total += np.einsum("gc,gcp,gcq->pq", second, along, along, optimize=True)
        self._add_bends(total, phi, first)
        if self._learns_targets:
            self._add_target_bends(total, phi, slope.sum(axis=0))
        return total

    def _add_bends(self, total: np.ndarray, phi: np.ndarray, first: np.ndarray) -> None:
        """Second derivatives of the logits, in place."""
        where = self._where
        if self._has("class"):
            own = np.arange(self.size)[where["label_noise_class"]]
            total[own, own] += self.noise.class_spread * np.sinh(phi[own]) * first.sum(axis=0)
        if self.noise.groups:
            spread = where["label_noise_group_spread"].start
            group = where["label_noise_group"]
            weight = np.exp(phi[spread]) * first[:-1].sum(axis=1)
            total[spread, spread] += weight @ phi[group]
            total[spread, group] += weight
            total[group, spread] += weight

    def _add_target_bends(self, total: np.ndarray, phi: np.ndarray, slope: np.ndarray) -> None:
        """Second derivatives of log q, in place."""
        K, begin = self.classes, self._where["label_noise_target"].start
        target = np.exp(self._log_target(phi[None])[0])
        for c in range(K):
            others = np.flatnonzero(np.arange(K) != c)
            columns = slice(begin + c * (K - 1), begin + (c + 1) * (K - 1))
            q, some = target[c, others], slope[c, others]
            along, bend = (self.noise.target_spread * f(phi[columns]) for f in (np.cosh, np.sinh))
            spread = np.diag(q) - np.outer(q, q)
            curved = np.diag((some - some.sum() * q) * bend)
            total[columns, columns] += curved - some.sum() * np.outer(along, along) * spread
