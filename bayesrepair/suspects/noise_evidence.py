"""Whether the data speak for wrong labels at all, and how far the probabilities of a noise-aware model go."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from bayesrepair.numerics.model_weight import bootstrap_weight
from bayesrepair.posterior import MANY_DIVERGE
from bayesrepair.status import Level, Status
from bayesrepair.suspects.neighbours import Neighbours

GOOD_RHAT, ENOUGH = 1.01, 400.0  # r̂, and effective draws, that every parameter should reach
CLEAR = 0.95  # weight of the noise-aware model from which on its word is taken
MUCH_OVERLAP = 0.1  # share of records that are exceptions by nature, beyond which the model's shape matters

_SAMPLE = "of a PyMC model method='nuts' samples it"
GAUSSIAN = f"a Gaussian at the mode stands in for the posterior; {_SAMPLE}"
WEIGHTED = f"Gaussians at modes, put right by importance weights, stand in for the posterior; {_SAMPLE}"
ALONE = "a single chain has no other to disagree with"
_ASK = "Have the first rows checked before the others, and pass what was found as reviewed=."
_SHAPE = "Give the model more shape, such as from_table(..., basis='auto')."


@dataclass(frozen=True, eq=False)
class NoiseEvidence:
    """What speaks for wrong labels.

    Parameters
    ----------
    difference : array, shape (N,)
        PSIS-LOO log score of each given label under the noise-aware model, less that under the plain one, nats.
    exceptions : float
        Share of records whose true class is not the most probable one, as the noise-aware model has it.
    rate, prior_rate : array, shape (S,), (S',)
        Share of wrong labels: draws of the posterior and of the prior.
    confirmed : int
        Labels that somebody found to be wrong.
    neighbours : Neighbours, optional
        Whether rows like the suspects disagree with them.
    """

    difference: np.ndarray
    exceptions: float
    rate: np.ndarray
    prior_rate: np.ndarray
    confirmed: int = 0
    neighbours: Neighbours | None = None

    @property
    def gain(self) -> float:
        """Difference in elpd, nats; positive speaks for wrong labels."""
        return float(self.difference.sum())

    @property
    def gain_se(self) -> float:
        """Standard error of ``gain``; infinite where a single row is in doubt."""
        if len(self.difference) < 2:
            return np.inf
        return float(np.sqrt(len(self.difference)) * self.difference.std(ddof=1))

    @cached_property
    def weight(self) -> float:
        """Pseudo-BMA+ weight of the noise-aware model against a model in which every label is right."""
        return bootstrap_weight(self.difference)

    @property
    def overlaps(self) -> bool:
        """Whether exceptions by nature are so common that wrong labels can be mistaken for them."""
        return self.exceptions > MUCH_OVERLAP

    @property
    def prob_noise(self) -> float:
        """Probability that the noise is there at all: ``weight`` where the classes overlap, else one.

        Leave-one-out scores have little power: on breast cancer with a fifth of the labels flipped they gain 7 ± 5
        nats, on Pima with a tenth up to 4 ± 3, where true exceptions alone gain 1 ± 3. Where the classes separate, a
        row far inside the other class is worth a look whatever the scores say. One label found wrong settles it.
        """
        return self.weight if self.overlaps and not self.confirmed else 1.0

    @property
    def shape(self) -> Level:
        """Whether the model may miss a shape: ``unreliable`` where it likely does and no label was found wrong."""
        level: Level = "ok" if self.neighbours is None else self.neighbours.level
        return "checked" if level == "unreliable" and self.confirmed else level

    @property
    def learned(self) -> float:
        """Share of the prior variance of the logarithm of the error rate that the data removed; at least 0."""
        return float(max(0.0, 1 - np.log(self.rate).var() / np.log(self.prior_rate).var()))

    def __str__(self) -> str:
        low, high = np.quantile(self.rate, [0.05, 0.95])
        rate = (
            f"error rate {self.rate.mean():.3f} ({low:.3f} to {high:.3f}), about which the data removed "
            f"{self.learned:.0%} of the prior's uncertainty"
        )
        if self.neighbours is not None:
            rate = f"{rate}; {self.neighbours}"
        if self.confirmed:  # rows left after a review were chosen for being unsuspicious: their scores say nothing
            return f"{self.confirmed} reviewed labels were wrong; {rate}"
        return (
            f"labels that can be wrong predict the given ones by {self.gain:+.1f} ± {self.gain_se:.1f} nats against "
            f"labels that cannot (weight {self.weight:.2f}); {rate}"
        )


def unsettled(*, rhat: float, ess: float, divergent: float = 0.0) -> Status | None:
    """What is wrong with the chains of a noise-aware model, if anything.

    Parameters
    ----------
    rhat, ess : float
        Worst of all parameters; r̂ is nan of a single chain, both where no chains were run.
    divergent : float
        Share of the draws at which a trajectory diverged.

    Examples
    --------
    >>> unsettled(rhat=1.002, ess=900.0), unsettled(rhat=1.2, ess=30.0).level
    (None, 'unreliable')
    """
    remedy = "Pass more draws=, such as twice as many."
    if rhat > GOOD_RHAT or ess < ENOUGH:
        seen = f"the chains of the noise-aware model do not agree well enough: r-hat {rhat:.3f}, ESS {ess:.0f}"
        return Status("unreliable", f"{seen} (wanted: at most {GOOD_RHAT}, at least {ENOUGH:.0f})", remedy)
    if divergent > MANY_DIVERGE:
        seen = f"the chains of the noise-aware model diverge at {divergent:.1%} of their draws"
        return Status("unreliable", seen, "Tune the plain fit longer, such as tune=1000.")
    return None


def noise_status(
    evidence: NoiseEvidence, *, rhat: float, ess: float, divergent: float = 0.0, stand_in: str = GAUSSIAN
) -> Status:
    """How far ``prob_wrong`` can be trusted.

    Parameters
    ----------
    evidence : NoiseEvidence
    rhat, ess, divergent : float
        As `unsettled` takes them.
    stand_in : str
        What is in the place of chains where none were run.

    Returns
    -------
    Status
        ``unreliable``: the chains do not agree, or most rows like the suspects carry their class where the model
        expects another. ``checked``: a label that is wrong and an exception by nature cannot be told apart, more rows
        carry the class of suspects than the model expects, or no chains were run. ``ok``: none.

    Examples
    --------
    >>> clear = NoiseEvidence(np.full(100, 0.2), 0.02, np.linspace(0.09, 0.11, 50), np.linspace(0.01, 0.2, 50))
    >>> noise_status(clear, rhat=1.002, ess=900.0).level, noise_status(clear, rhat=1.2, ess=30.0).level
    ('ok', 'unreliable')
    """
    failed = unsettled(rhat=rhat, ess=ess, divergent=divergent)
    if failed is not None:
        return failed
    if evidence.shape == "unreliable":
        seen = "rows like the suspects carry the same label: the model, not the labels, is likely wrong there"
        known = "If somebody knows that labels of such rows are wrong together, pass what was found as reviewed=."
        return Status("unreliable", f"{seen}; {evidence}", f"{_SHAPE} {known}")
    doubts = []
    if evidence.shape == "checked":
        doubts.append("rows like the suspects carry the same label too often: the model may miss a shape")
    if evidence.overlaps:
        doubts.append(
            f"the classes overlap ({evidence.exceptions:.0%} of the records are exceptions by nature), and what looks "
            "like wrong labels can be a shape of the classes that the model lacks"
        )
        if evidence.prob_noise < CLEAR:
            doubts.append(
                "a wrong label and a natural exception cannot be told apart: a model in which every label is right "
                "predicts about as well, and the expected count and precision allow for no wrong label at all"
            )
    if np.isnan(ess):
        doubts.append(stand_in)
    elif np.isnan(rhat):
        doubts.append(ALONE)
    if doubts:
        remedy = _ASK if evidence.shape == "ok" else f"{_SHAPE} {_ASK}"
        return Status("checked", f"{'; '.join(doubts)}; {evidence}", remedy)
    little = "; little speaks for wrong labels at all" if evidence.weight < 0.5 and not evidence.confirmed else ""
    return Status("ok", f"r-hat {rhat:.3f}, ESS {ess:.0f}; {evidence}{little}")
