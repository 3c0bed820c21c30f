"""The prior of a transition from true to given classes, as expressions of unconstrained values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytensor.tensor as pt
from pytensor.graph.basic import Variable

from bayesrepair.bridges.pymc.naming import unique
from bayesrepair.noise import LabelNoise

_LOW_LEVEL, _SMALL = -3.0, 0.3  # where chains start: a rate of 2 %, and spreads of about .3


@dataclass(frozen=True)
class Prior:
    """N(mean, sd²), or the logarithm of a HalfNormal(sd).

    Parameters
    ----------
    mean, sd : float
    is_log : bool
    """

    mean: float
    sd: float
    is_log: bool = False

    def draws(self, size: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
        """Independent draws, unconstrained."""
        normal = self.mean + self.sd * rng.standard_normal(size)
        return np.log(np.abs(normal)) if self.is_log else normal


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

    def normal(self, name: str, shape: tuple[int, ...] = (), *, mean: float = 0.0, sd: float = 1.0) -> Any:
        """N(mean, sd²), started at low noise."""
        value = self._new(name, shape, np.full(shape, _LOW_LEVEL if mean else 0.0), Prior(mean, sd))
        self.terms[value.name] = (-0.5 * ((value - mean) / sd) ** 2 - np.log(sd * np.sqrt(2 * np.pi))).sum()
        return value

    def half_normal(self, name: str, sd: float) -> Any:
        """HalfNormal(sd), held as its logarithm."""
        value = self._new(name, (), np.log(_SMALL), Prior(0.0, sd, is_log=True))
        scale = pt.exp(value)
        self.terms[value.name] = -0.5 * (scale / sd) ** 2 + np.log(2 / (sd * np.sqrt(2 * np.pi)))
        self.jacobian = self.jacobian + value
        return scale

    def _new(self, name: str, shape: tuple[int, ...], start: Any, prior: Prior) -> Any:
        value: Any = pt.tensor(dtype="float64", shape=shape)
        value.name = unique(name, self.taken)
        self.taken[value.name] = None
        self.variables.append(value)
        self.shapes.append(shape)
        self.priors.append(prior)
        self.initial.append(np.ravel(start).astype(float))
        return value


def label_transition(noise: LabelNoise, classes: int, taken: Mapping[str, Any]) -> Transition:
    """Expressions for a `LabelNoise` of K classes; ``taken`` are names that the user's model has."""
    values = NoiseValues(taken)
    logit = _logits(values, noise, classes)
    rate = 0.5 * pt.sigmoid(logit)
    target = _targets(values, noise, classes)
    terms = values.terms
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


def _logits(values: NoiseValues, noise: LabelNoise, classes: int) -> Any:
    """(G + 1, K) or (1, K) logits of twice the rate."""
    by_class: Any
    if noise.mechanism == "class":
        by_class = values.normal("label_noise_level", (classes,), mean=noise.level, sd=noise.level_sd)
    else:
        level = values.normal("label_noise_level", mean=noise.level, sd=noise.level_sd)
        by_class = level + pt.zeros(classes)
        if noise.mechanism == "auto":
            by_class = by_class + noise.class_spread * pt.sinh(values.normal("label_noise_class", (classes,)))
    if not noise.groups:
        return by_class[None, :]
    spread = values.half_normal("label_noise_group_spread", noise.group_spread)
    effect = spread * values.normal("label_noise_group", (noise.groups,))
    return by_class[None, :] + pt.concatenate([effect, pt.zeros(1)])[:, None]


def _targets(values: NoiseValues, noise: LabelNoise, classes: int) -> Any:
    """(K, K), rows sum to one, zero on the diagonal."""
    if classes == 2 or noise.mechanism == "uniform":
        return pt.constant((1.0 - np.eye(classes)) / (classes - 1))
    effect = pt.sinh(values.normal("label_noise_target", (classes, classes - 1)))
    share = pt.special.softmax(noise.target_spread * effect, axis=-1)
    blank = pt.zeros((classes, 1))
    below, above = pt.concatenate([share, blank], axis=1), pt.concatenate([blank, share], axis=1)
    column, line = np.meshgrid(np.arange(classes), np.arange(classes))
    return below * (column < line) + above * (column > line)
