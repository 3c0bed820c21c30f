"""The prior of a transition from true to given classes, as expressions of unconstrained values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytensor.tensor as pt
from pytensor.graph.basic import Variable

from bayesrepair.bridges.pymc.naming import unique
from bayesrepair.noise import LARGEST_RATE, LabelNoise, NoisePart, Prior


@dataclass(frozen=True, eq=False)
class Transition:
    """Values of a label noise, their prior, and what they mean.

    Parameters
    ----------
    value_vars : tuple of Variable
        Unconstrained; those of spreads are logarithms.
    shapes : tuple of tuple of int
    initial : array, shape (Q,)
        Low noise, flattened like theta.
    log_prior_terms : dict of str to Variable
        Log prior of each on its own scale.
    log_prior : Variable
        Their sum with the log-Jacobians.
    rate : Variable
        (G + 1, K), or (1, K) without groups: probability of a wrong label by group and true class; the last line is
        that of an unknown group.
    target : Variable
        (K, K): where it goes; zero on the diagonal.
    constrained : dict of str to Variable
        What is worth reporting, by name.
    priors : tuple of Prior
        Of each value, entry by entry.
    """

    value_vars: tuple[Variable, ...]
    shapes: tuple[tuple[int, ...], ...]
    initial: np.ndarray
    log_prior_terms: dict[str, Variable]
    log_prior: Variable
    rate: Variable
    target: Variable
    constrained: dict[str, Variable]
    priors: tuple[Prior, ...]

    def prior_draws(self, size: int, rng: np.random.Generator) -> np.ndarray:
        """Unconstrained values from their prior, (size, Q)."""
        parts = [
            prior.draws((size, int(np.prod(shape))), rng) for prior, shape in zip(self.priors, self.shapes, strict=True)
        ]
        return np.concatenate(parts, axis=1)


class NoiseValues:
    """Unconstrained values as they are called for, with their priors."""

    def __init__(self, taken: Mapping[str, Any]) -> None:
        self.taken = dict(taken)
        self.variables: list[Any] = []
        self.shapes: list[tuple[int, ...]] = []
        self.initial: list[np.ndarray] = []
        self.priors: list[Prior] = []
        self.terms: dict[str, Any] = {}
        self.jacobian: Any = pt.constant(0.0)

    def normal(
        self, name: str, shape: tuple[int, ...] = (), *, mean: float = 0.0, sd: float = 1.0, is_bent: bool = False
    ) -> Any:
        """N(mean, sd²), started at low noise."""
        value = self._new(name, shape, Prior(mean, sd, is_bent=is_bent))
        self.terms[value.name] = (-0.5 * ((value - mean) / sd) ** 2 - np.log(sd * np.sqrt(2 * np.pi))).sum()
        return value

    def half_normal(self, name: str, sd: float) -> Any:
        """HalfNormal(sd), held as its logarithm."""
        value = self._new(name, (), Prior(0.0, sd, is_log=True))
        scale = pt.exp(value)
        self.terms[value.name] = -0.5 * (scale / sd) ** 2 + np.log(2 / (sd * np.sqrt(2 * np.pi)))
        self.jacobian = self.jacobian + value
        return scale

    def _new(self, name: str, shape: tuple[int, ...], prior: Prior) -> Any:
        value: Any = pt.tensor(dtype="float64", shape=shape)
        value.name = unique(name, self.taken)
        self.taken[value.name] = None
        self.variables.append(value)
        self.shapes.append(shape)
        self.priors.append(prior)
        self.initial.append(np.full(int(np.prod(shape)), prior.start()))
        return value


def label_transition(noise: LabelNoise, classes: int, taken: Mapping[str, Any]) -> Transition:
    """Expressions for a `LabelNoise` of K classes; ``taken`` are names that the user's model has."""
    values = NoiseValues(taken)
    found = {part.name: _called_for(values, part) for part in noise.parts(classes)}
    by_row = {name: value[None] if value.ndim == 0 else value for name, value in found.items()}
    rate = LARGEST_RATE * pt.sigmoid(noise.rate_logit(by_row, classes, pt))
    target = _targets(found.get("target"), noise, classes)
    terms = dict(values.terms)
    if noise.reviewed:
        terms["label_noise_reviewed"] = _log_reviewed(rate, target, np.array(noise.reviewed))
    names = dict.fromkeys([*taken, *terms])
    rates = unique("label_noise_rate", names)
    reported = {rates: rate if noise.groups else rate[0]}
    if classes > 2:
        reported[unique("label_noise_target", names)] = target
    return Transition(
        value_vars=tuple(values.variables),
        shapes=tuple(values.shapes),
        initial=np.concatenate(values.initial),
        log_prior_terms=terms,
        log_prior=sum(terms.values(), values.jacobian),
        rate=rate,
        target=target,
        constrained=reported,
        priors=tuple(values.priors),
    )


def _called_for(values: NoiseValues, part: NoisePart) -> Any:
    name, prior = f"label_noise_{part.name}", part.prior
    if prior.is_log:
        return values.half_normal(name, prior.sd)
    return values.normal(name, part.shape, mean=prior.mean, sd=prior.sd, is_bent=prior.is_bent)


def _log_reviewed(rate: Any, target: Any, counts: np.ndarray) -> Any:
    """``Σ n_gcd log T_gcd``."""
    right = np.einsum("gcc->gc", counts)
    g, c, d = np.nonzero(counts * (1 - np.eye(counts.shape[1], dtype=int)))
    wrong = counts[g, c, d] * (pt.log(rate[g, c]) + pt.log(target[c, d]))
    return (right * pt.log1p(-rate)).sum() + wrong.sum()


def _targets(values: Any, noise: LabelNoise, classes: int) -> Any:
    """(K, K) probabilities of the given class of wrong records; zero on the diagonal."""
    if values is None:
        return pt.constant((1.0 - np.eye(classes)) / (classes - 1))
    share = pt.special.softmax(noise.target_logit(values, pt), axis=-1)
    blank = pt.zeros((classes, 1))
    below, above = pt.concatenate([share, blank], axis=1), pt.concatenate([blank, share], axis=1)
    column, line = np.meshgrid(np.arange(classes), np.arange(classes))
    return below * (column < line) + above * (column > line)
