"""What a noise-aware model takes to be wrong with the outcomes of a table.

A noise-aware model is the user's own model with one more step: the outcome that stands in the table is the true one, or
it went wrong. The true one is summed out, so that nothing discrete is sampled, and what `Model.predict` gives remains
the prediction of the *true* outcome. One specification for each kind of outcome: `LabelNoise` for classes,
`bayesrepair.number_noise.NumberNoise` for measurements and counts; `noise_for` chooses.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal, Protocol, get_args, runtime_checkable

import numpy as np

from bayesrepair.model import Outcome, Trainable
from bayesrepair.number_noise import NumberNoise
from bayesrepair.posterior import Draws
from bayesrepair.rows import Rows
from bayesrepair.status import MethodError

SOURCE = "label_source"
"""Array of `Rows` that says where an outcome is from: group 0 … G−1, G where unknown, G + 1 where it is known to be
right, G + 2 where it is a number known to be wrong."""

Mechanism = Literal["auto", "uniform", "class"]
Counts = tuple[tuple[tuple[int, ...], ...], ...]
LARGEST_RATE = 0.5
LOW, HIGH, SMALL = -3.0, -0.5, 0.3  # where a search starts: rates of 2 and 19 %, spreads of about .3
JITTER = 0.3  # of the noise at the start of a chain, on the unconstrained scale


@dataclass(frozen=True)
class Prior:
    """N(mean, sd²), or the logarithm of a HalfNormal(sd).

    Parameters
    ----------
    mean, sd : float
    is_log : bool
    is_bent : bool
        Whether the model takes the hyperbolic sine of it: a sampler then moves it in 2 sinh(z / 2).
    """

    mean: float = 0.0
    sd: float = 1.0
    is_log: bool = False
    is_bent: bool = False

    def draws(self, size: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
        """Independent draws, unconstrained."""
        normal = self.mean + self.sd * rng.standard_normal(size)
        return np.log(np.abs(normal)) if self.is_log else normal

    def start(self, level: float = LOW) -> float:
        """Where a search starts: that level where the prior is about one, small spreads, else zero."""
        return float(np.log(SMALL)) if self.is_log else level if self.mean else 0.0


@dataclass(frozen=True)
class NoisePart:
    """A run of unconstrained values with independent priors.

    Parameters
    ----------
    name : str
        ``level``, ``class``, ``group_spread``, ``group`` or ``target``.
    shape : tuple of int
    prior : Prior
    """

    name: str
    shape: tuple[int, ...]
    prior: Prior

    @property
    def size(self) -> int:
        """How many."""
        return int(np.prod(self.shape))


@dataclass(frozen=True)
class LabelNoise:
    """Class labels observed through a transition matrix, with a prior that shrinks towards one rate for all.

    A record of true class c, from group g, is given another class with probability

        r_cg = ½ sigmoid(μ + s_class sinh(z_c) + τ_group u_g),

    μ ~ N(``level``, ``level_sd``²), z_c, u_g ~ N(0, 1), τ_group ~ HalfNormal(``group_spread``), and then class d ≠ c
    with probability

        q_cd = softmax_d(s_target sinh(v_cd)),  v_cd ~ N(0, 1).

    Of two classes one z says how far they are apart, +z for the first and −z for the second: two rates leave two values
    to learn, and a third would be a ridge of the posterior along which chains crawl. Of more classes s_class is √2
    ``class_spread``, so that the logits of any two differ as those of two alone do, with the sd of 2 ``class_spread``
    sinh(z).

    The hyperbolic sine of a normal variable (Johnson 1949, doi:10.1093/biomet/36.1-2.149) has most of its mass where
    all classes err alike, and tails for the one class that does not, or whose errors all go to one other; in z it is
    sampled as easily as a normal variable, where Student's t is not. The rate never exceeds one half, so that the given
    class is the most probable consequence of each true one: classes cannot trade places.

    Parameters
    ----------
    mechanism : {"auto", "uniform", "class"}
        ``"auto"``: as above. ``"uniform"``: all z and v are zero. ``"class"``: the rates of the classes do not learn
        from one another, each logit has the prior of μ.
    groups : int
        Number G of groups that may differ; none by default.
    trusted : bool
        Whether some rows are known to be right.
    reviewed : tuple of tuple of tuple of int, shape (G + 1, K, K), optional
        Rows whose true class somebody found out: how many of each group (unknown last), true class and given class. The
        prior is that after n_gcd of them, with the factor ``Π T_gcd^n_gcd``; the rows themselves count as known.
    level, level_sd : float
        Of the logit of twice the rate: a median of 9 %, and nine times of ten between 1 and 36 %.
    class_spread, target_spread : float
        s_class of two classes, and s_target.
    group_spread : float
        Scale of the prior of τ_group.

    Examples
    --------
    >>> noise = LabelNoise()
    >>> round(float(0.5 / (1 + np.exp(-noise.level))), 3)  # the rate at the prior's median
    0.091
    """

    mechanism: Mechanism = "auto"
    groups: int = 0
    trusted: bool = False
    reviewed: Counts = ()
    level: float = -1.5
    level_sd: float = 1.5
    class_spread: float = 0.15
    group_spread: float = 0.5
    target_spread: float = 1.0

    def __post_init__(self) -> None:
        _refuse_unknown(self.mechanism)

    def parts(self, classes: int) -> tuple[NoisePart, ...]:
        """Values φ of a noise of K classes, in order, and their priors: μ, z, log τ_group, u and v above."""
        by_class = self.mechanism == "class"
        parts = [NoisePart("level", (classes,) if by_class else (), Prior(self.level, self.level_sd))]
        if self.mechanism == "auto":
            parts.append(NoisePart("class", (1 if classes == 2 else classes,), Prior(is_bent=True)))
        if self.groups:
            parts.append(NoisePart("group_spread", (), Prior(0.0, self.group_spread, is_log=True)))
            parts.append(NoisePart("group", (self.groups,), Prior()))
        if classes > 2 and self.mechanism != "uniform":
            parts.append(NoisePart("target", (classes, classes - 1), Prior()))
        return tuple(parts)

    def class_scale(self, classes: int) -> float:
        """s_class."""
        return self.class_spread * (1.0 if classes == 2 else 2**0.5)

    def rate_logit(self, values: Mapping[str, Any], classes: int, array: Any) -> Any:
        """Logit of twice the rate, by group and true class, (…, G + 1, K); an unknown group's is the last.

        Parameters
        ----------
        values : mapping of str to array, shape (…, size)
            By name of part, spreads themselves, not their logarithms.
        classes : int
        array : module
            ``numpy``, or ``pytensor.tensor``.
        """
        by_class = values["level"] + array.zeros(classes)
        if "class" in values:
            apart = self.class_scale(classes) * array.sinh(values["class"])
            by_class = by_class + (array.concatenate([apart, -apart], axis=-1) if classes == 2 else apart)
        if not self.groups:
            return by_class[..., None, :]
        effect = values["group_spread"] * values["group"]
        effect = array.concatenate([effect, array.zeros_like(effect[..., :1])], axis=-1)
        return by_class[..., None, :] + effect[..., :, None]

    def target_logit(self, values: Any, array: Any) -> Any:
        """Logit of each other class that a wrong record may get, of the values v."""
        return self.target_spread * array.sinh(values)


def _refuse_unknown(mechanism: str) -> None:
    if mechanism in get_args(Mechanism):
        return
    remedy = "Pass noise='auto'."
    if mechanism == "none":
        remedy = (
            "In a model without noise no outcome can be wrong: it has no prob_wrong. Its own ranking is the column "
            "'surprise' of find_suspects(fit), or without another fit bayesrepair.suspects.surprise(fit, fit.rows)."
        )
    raise MethodError(f"noise one of {', '.join(map(repr, get_args(Mechanism)))}", repr(mechanism), remedy)


Noise = LabelNoise | NumberNoise
"""Every specification."""


def noise_for(
    outcome: Outcome, noise: Mechanism | Noise, *, groups: int, trusted: bool, reviewed: np.ndarray | None = None
) -> Noise:
    """The specification for a kind of outcome; of one that is given, groups and what is known are filled in.

    Raises
    ------
    MethodError
        If the mechanism is unknown, or none for such outcomes.
    """
    of_classes = outcome.kind == "class"
    counts: Any = () if reviewed is None else tuple(tuple(map(tuple, of_group)) for of_group in reviewed.tolist())
    found: Any = () if reviewed is None else tuple(map(tuple, reviewed[:, 0].tolist()))
    known: dict[str, Any] = {"groups": groups, "trusted": trusted, "reviewed": counts if of_classes else found}
    if not isinstance(noise, str):
        fitting = LabelNoise if of_classes else NumberNoise
        if not isinstance(noise, fitting):
            wanted = f"a {fitting.__name__} for the {outcome.kind} outcome {outcome.name!r}"
            raise MethodError(wanted, type(noise).__name__)
        return replace(noise, **known)
    _refuse_unknown(noise)
    if of_classes:
        return LabelNoise(noise, **known)
    if noise == "class":
        got = f"'class' for the {outcome.kind} outcome {outcome.name!r}"
        raise MethodError("noise='auto'", got, "Only classes have rates of their own.")
    return NumberNoise(**known)


@dataclass(frozen=True, eq=False)
class Flips:
    """Draws of the transition from the true to the given class.

    Parameters
    ----------
    rate : array, shape (S, G + 2, K)
        Probability that a record of each true class is given another: by group, then of unknown group (the group effect
        at zero), then of rows known to be right (zero).
    target : array, shape (S, K, K)
        Where it goes then; rows sum to one, the diagonal is zero.
    """

    rate: np.ndarray
    target: np.ndarray


@runtime_checkable
class Corruptible(Trainable, Protocol):
    """A model that can be given outcomes that may be wrong."""

    def with_noise(self, noise: Noise) -> Noisy:
        """A model with one more step between the true and the given outcome; the same object each time."""
        ...


@runtime_checkable
class Noisy(Trainable, Protocol):
    """A model whose given outcomes may be wrong; ``predict`` is about the true outcome."""

    noise: Noise

    def wrong(self, theta: np.ndarray, rows: Rows) -> np.ndarray:
        """Probability that each given outcome is wrong, given the parameters: (S, P) → (S, N)."""
        ...

    def truth(self, theta: np.ndarray, rows: Rows) -> np.ndarray:
        """Probability of each true class, given the parameters and the given outcome: (S, P) → (S, N, K)."""
        ...

    def flips(self, theta: np.ndarray) -> Flips:
        """The transition from the true to the given class: (S, P) → S draws."""
        ...

    def flip_prior(self, size: int, rng: np.random.Generator) -> Flips:
        """The same from the prior."""
        ...

    def started(self, draws: Draws, rng: np.random.Generator, *, high: bool = False) -> Draws:
        """Points to start from: draws of the model without noise, and low noise, or high noise."""
        ...

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
        """Draws; more of them until r̂ and effective sample size are good, while no more gradients are taken."""
        ...


def with_source(rows: Rows, source: np.ndarray) -> Rows:
    """Rows that say where each outcome is from."""
    values: Mapping[str, Any] = {**rows.values, SOURCE: np.asarray(source, dtype="int64")}
    return Rows(values, rows.row)
