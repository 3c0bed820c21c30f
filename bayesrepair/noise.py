"""What a noise-aware model takes to be wrong with the outcomes of a table.

A noise-aware model is the user's own model with one more step: the outcome that stands in the table is the true one, or
it went wrong. The true one is summed out, so that nothing discrete is sampled, and what `Model.predict` gives remains
the prediction of the *true* outcome. One specification for each kind of outcome: `LabelNoise` for classes,
`bayesrepair.number_noise.NumberNoise` for measurements and counts; `noise_for` chooses.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, Protocol, get_args, runtime_checkable

import numpy as np

from bayesrepair.model import Outcome, Trainable
from bayesrepair.number_noise import NumberNoise
from bayesrepair.posterior import Draws
from bayesrepair.rows import Rows
from bayesrepair.status import MethodError

SOURCE = "label_source"
"""Array of `Rows` that says where an outcome is from: group 0 … G−1, G where unknown, G + 1 where it is known to be
right."""

Mechanism = Literal["auto", "uniform", "class"]


@dataclass(frozen=True)
class LabelNoise:
    """Class labels observed through a transition matrix, with a prior that shrinks towards one rate for all.

    A record of true class c, from group g, is given another class with probability

        r_cg = ½ sigmoid(μ + s_class sinh(z_c) + τ_group u_g),

    μ ~ N(``level``, ``level_sd``²), z_c, u_g ~ N(0, 1), τ_group ~ HalfNormal(``group_spread``), and then class d ≠ c
    with probability

        q_cd = softmax_d(s_target sinh(v_cd)),  v_cd ~ N(0, 1).

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
    level, level_sd : float
        Of the logit of twice the rate: −2.2 is a rate of 5 %.
    class_spread, target_spread : float
        s_class and s_target.
    group_spread : float
        Scale of the prior of τ_group.

    Examples
    --------
    >>> noise = LabelNoise()
    >>> round(float(0.5 / (1 + np.exp(-noise.level))), 3)  # the rate at the prior's median
    0.05
    """

    mechanism: Mechanism = "auto"
    groups: int = 0
    trusted: bool = False
    level: float = -2.2
    level_sd: float = 1.0
    class_spread: float = 0.25
    group_spread: float = 0.5
    target_spread: float = 1.0

    def __post_init__(self) -> None:
        _refuse_unknown(self.mechanism)


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


def noise_for(outcome: Outcome, mechanism: Mechanism, *, groups: int, trusted: bool) -> Noise:
    """The specification for a kind of outcome.

    Raises
    ------
    MethodError
        If the mechanism is unknown, or none for such outcomes.
    """
    _refuse_unknown(mechanism)
    if outcome.kind != "class":
        if mechanism == "class":
            got = f"'class' for the {outcome.kind} outcome {outcome.name!r}"
            raise MethodError("noise='auto'", got, "Only classes have rates of their own.")
        return NumberNoise(groups=groups, trusted=trusted)
    return LabelNoise(mechanism, groups=groups, trusted=trusted)


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
