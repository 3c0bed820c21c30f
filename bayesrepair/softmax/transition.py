"""The transition from true to given classes as a function of unconstrained values, with its derivatives.

Prior and formulas are those of `bayesrepair.noise.LabelNoise`; what stands here are derivatives, without a compiler.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy.special import expit, log_expit, log_softmax
from scipy.stats import halfnorm, norm

from bayesrepair.noise import HIGH, LARGEST_RATE, LOW, Flips, LabelNoise, NoisePart, Prior

FAR = 30.0  # prior sds; steps of a search that go farther would overflow, and are refused for their prior anyway


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
    def parts(self) -> tuple[NoisePart, ...]:
        """Runs of values, in order."""
        return self.noise.parts(self.classes)

    @cached_property
    def reviewed(self) -> np.ndarray:
        """Rows whose true class is known by group, true and given class, (G + 1, K, K)."""
        shape = (self.noise.groups + 1, self.classes, self.classes)
        return np.array(self.noise.reviewed, dtype=float).reshape(shape) if self.noise.reviewed else np.zeros(shape)

    @property
    def size(self) -> int:
        """Q."""
        return sum(part.size for part in self.parts)

    @property
    def names(self) -> tuple[str, ...]:
        """One for each value."""
        named = [(f"label_noise_{p.name}", p.size) for p in self.parts]
        return tuple(f"{name}[{j}]" if size > 1 else name for name, size in named for j in range(size))

    @property
    def initial(self) -> np.ndarray:
        """Low noise, (Q,)."""
        return self._at_level(LOW)

    @property
    def high(self) -> np.ndarray:
        """High noise, (Q,)."""
        return self._at_level(HIGH)

    def _at_level(self, level: float) -> np.ndarray:
        return np.concatenate([np.full(part.size, part.prior.start(level)) for part in self.parts])

    @cached_property
    def _where(self) -> dict[str, slice]:
        ends = np.cumsum([0, *(part.size for part in self.parts)])
        return {part.name: slice(a, b) for part, a, b in zip(self.parts, ends[:-1], ends[1:], strict=True)}

    def _values(self, phi: np.ndarray) -> dict[str, np.ndarray]:
        """Values by part, spreads themselves: (S, Q) → (S, size) each."""
        phi = _bounded(phi)
        return {
            part.name: np.exp(phi[:, self._where[part.name]]) if part.prior.is_log else phi[:, self._where[part.name]]
            for part in self.parts
        }

    def log_prior(self, phi: np.ndarray) -> np.ndarray:
        """(S, Q) → (S,), log-Jacobian and reviewed rows included."""
        total = np.zeros(len(phi))
        if self.noise.reviewed:
            g, c, d = np.nonzero(self.reviewed)
            total += self.log_matrix(phi)[:, g, c, d] @ self.reviewed[g, c, d]
        for part in self.parts:
            value, prior = phi[:, self._where[part.name]], part.prior
            if prior.is_log:
                with np.errstate(over="ignore"):  # a spread that far out has density zero
                    total += (halfnorm.logpdf(np.exp(value), scale=prior.sd) + value).sum(axis=1)
            else:
                total += norm.logpdf(value, prior.mean, prior.sd).sum(axis=1)
        return total

    def prior_gradient(self, phi: np.ndarray) -> np.ndarray:
        """Without reviewed rows, (S, Q) → (S, Q)."""
        return self._by_part(
            phi,
            normal=lambda v, prior: -(v - prior.mean) / prior.sd**2,
            spread=lambda v, prior: 1 - np.exp(2 * v) / prior.sd**2,
        )

    def prior_curvature(self, phi: np.ndarray) -> np.ndarray:
        """Diagonal of minus the Hessian without reviewed rows, (S, Q) → (S, Q)."""
        return self._by_part(
            phi,
            normal=lambda v, prior: np.full_like(v, prior.sd**-2),
            spread=lambda v, prior: 2 * np.exp(2 * v) / prior.sd**2,
        )

    def _by_part(
        self,
        phi: np.ndarray,
        *,
        normal: Callable[[np.ndarray, Prior], np.ndarray],
        spread: Callable[[np.ndarray, Prior], np.ndarray],
    ) -> np.ndarray:
        out = np.empty_like(phi)
        for part in self.parts:
            where = self._where[part.name]
            with np.errstate(over="ignore"):  # a spread that far out has density zero
                out[:, where] = (spread if part.prior.is_log else normal)(phi[:, where], part.prior)
        return out

    def prior_draws(self, size: int, rng: np.random.Generator) -> np.ndarray:
        """Values from the prior, (size, Q)."""
        return np.concatenate([part.prior.draws((size, part.size), rng) for part in self.parts], axis=1)

    def _logits(self, phi: np.ndarray) -> np.ndarray:
        """Logits of twice the rate, (S, Q) → (S, G + 1, K)."""
        return self.noise.rate_logit(self._values(phi), self.classes, np)

    def _log_target(self, phi: np.ndarray) -> np.ndarray:
        """Log q with −inf on the diagonal, (S, Q) → (S, K, K)."""
        K = self.classes
        shares = np.full((len(phi), K, K - 1), -np.log(K - 1.0))
        if "target" in self._where:
            values = self._values(phi)["target"].reshape(-1, K, K - 1)
            shares = log_softmax(self.noise.target_logit(values, np), axis=2)
        full = np.full((len(phi), K, K), -np.inf)
        full[:, ~np.eye(K, dtype=bool)] = shares.reshape(len(phi), -1)
        return full

    def log_matrix(self, phi: np.ndarray) -> np.ndarray:
        """Log T, (S, Q) → (S, G + 1, K, K): group, true class, given class."""
        logits = self._logits(phi)
        log_rate = log_expit(logits) + np.log(LARGEST_RATE)
        matrix = log_rate[..., None] + self._log_target(phi)[:, None]
        diagonal = np.arange(self.classes)
        matrix[:, :, diagonal, diagonal] = np.log1p(-np.exp(log_rate))
        return matrix

    def flips(self, phi: np.ndarray) -> Flips:
        """Rates by group, with those of rows known to be right (zero) at the end, and targets."""
        rate = LARGEST_RATE * expit(self._logits(phi))
        known = np.zeros((len(phi), 1, self.classes))
        return Flips(np.concatenate([rate, known], axis=1), np.exp(self._log_target(phi)))

    def jacobian(self, phi: np.ndarray) -> np.ndarray:
        """∂ log T / ∂φ at one point, (Q,) → (G + 1, K, K, Q)."""
        phi = _bounded(phi)
        K, G, at = self.classes, self.noise.groups, phi[None]
        slope = np.zeros((G + 1, K, self.size))
        self._add_slopes(slope, phi)
        share = expit(self._logits(at)[0])
        rate = LARGEST_RATE * share
        out = np.repeat(((1 - share)[..., None] * slope)[:, :, None, :], K, axis=2)
        diagonal = np.arange(K)
        out[:, diagonal, diagonal] = (-rate * (1 - share) / (1 - rate))[..., None] * slope
        if "target" in self._where:
            self._add_targets(out, np.exp(self._log_target(at)[0]), phi)
        return out

    @cached_property
    def _apart(self) -> np.ndarray:
        """Which logit each value of the classes moves, and which way, (K, K), of two classes (2, 1)."""
        return np.array([[1.0], [-1.0]]) if self.classes == 2 else np.eye(self.classes)

    def _add_slopes(self, slope: np.ndarray, phi: np.ndarray) -> None:
        """∂ logit / ∂φ, in place."""
        K, G, where = self.classes, self.noise.groups, self._where
        level = where["level"]
        slope[:, :, level] = np.eye(K) if self.noise.mechanism == "class" else 1.0
        if "class" in self._where:
            values = where["class"]
            slope[:, :, values] = self.noise.class_scale(K) * self._apart * np.cosh(phi[values])
        if G:
            spread, group = where["group_spread"], where["group"]
            size = np.exp(phi[spread])
            slope[:G, :, spread] = (size * phi[group])[:, None, None]
            slope[np.arange(G), :, group.start + np.arange(G)] = size

    def _add_targets(self, out: np.ndarray, target: np.ndarray, phi: np.ndarray) -> None:
        """∂ log q / ∂φ = spread (δ − q) cosh φ, in place."""
        K = self.classes
        first = self._where["target"].start
        for c in range(K):
            others = np.flatnonzero(np.arange(K) != c)
            columns = first + c * (K - 1) + np.arange(K - 1)
            block = self.noise.target_spread * (np.eye(K - 1) - target[c, others][None, :]) * np.cosh(phi[columns])
            out[:, c, others[:, None], columns[None, :]] += block

    def contracted_curvature(self, phi: np.ndarray, slope: np.ndarray) -> np.ndarray:
        """Σ slope · ∂² log T / ∂φ∂φ' at one point, (Q,), (G + 1, K, K) → (Q, Q)."""
        phi = _bounded(phi)
        total = np.zeros((self.size, self.size))
        along = np.zeros((self.noise.groups + 1, self.classes, self.size))
        self._add_slopes(along, phi)
        right = np.einsum("gcc->gc", slope)
        other = slope.sum(axis=2) - right
        share = expit(self._logits(phi[None])[0])
        rate, rest = LARGEST_RATE * share, 1 - share
        first = right * -rate * rest / (1 - rate) + other * rest  # ∂ / ∂ logit
        bend = rate * rest * (1 - 2 * share) * (1 - rate) + (rate * rest) ** 2
        second = -right * bend / (1 - rate) ** 2 - other * share * rest
        total += np.einsum("gc,gcp,gcq->pq", second, along, along, optimize=True)
        self._add_bends(total, phi, first)
        if "target" in self._where:
            self._add_target_bends(total, phi, slope.sum(axis=0))
        return total

    def _add_bends(self, total: np.ndarray, phi: np.ndarray, first: np.ndarray) -> None:
        """Second derivatives of the logits, in place."""
        where = self._where
        if "class" in self._where:
            own = np.arange(self.size)[where["class"]]
            total[own, own] += (
                self.noise.class_scale(self.classes) * np.sinh(phi[own]) * (first.sum(axis=0) @ self._apart)
            )
        if self.noise.groups:
            spread = where["group_spread"].start
            group = where["group"]
            weight = np.exp(phi[spread]) * first[:-1].sum(axis=1)
            total[spread, spread] += weight @ phi[group]
            total[spread, group] += weight
            total[group, spread] += weight

    def _add_target_bends(self, total: np.ndarray, phi: np.ndarray, slope: np.ndarray) -> None:
        """Second derivatives of log q, in place."""
        K, begin = self.classes, self._where["target"].start
        target = np.exp(self._log_target(phi[None])[0])
        for c in range(K):
            others = np.flatnonzero(np.arange(K) != c)
            columns = slice(begin + c * (K - 1), begin + (c + 1) * (K - 1))
            q, some = target[c, others], slope[c, others]
            along, bend = (self.noise.target_spread * f(phi[columns]) for f in (np.cosh, np.sinh))
            spread = np.diag(q) - np.outer(q, q)
            curved = np.diag((some - some.sum() * q) * bend)
            total[columns, columns] += curved - some.sum() * np.outer(along, along) * spread


def _bounded(phi: np.ndarray) -> np.ndarray:
    return np.clip(phi, -FAR, FAR)
