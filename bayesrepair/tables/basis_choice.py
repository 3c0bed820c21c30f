"""Which basis a table needs: the smallest that predicts left-out rows about as well as the best."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from bayesrepair.fit import Fit
from bayesrepair.numerics.blocks import row_blocks
from bayesrepair.numerics.loo import loo_log_score
from bayesrepair.suspects.suspicion import thinned

GOOD_KHAT = 0.7


@dataclass(frozen=True, eq=False)
class LeftOut:
    """Log predictive density of each row when it is left out.

    Parameters
    ----------
    score : array, shape (N,)
        Nats.
    unsure : int
        Rows whose k̂ exceeds .7.
    """

    score: np.ndarray
    unsure: int

    def gain(self, other: LeftOut) -> tuple[float, float]:
        """Gain in elpd over another model, nats, and its standard error."""
        difference = self.score - other.score
        return float(difference.sum()), float(np.sqrt(len(difference)) * difference.std(ddof=1))


def left_out(fit: Fit) -> LeftOut:
    """PSIS-LOO log score of the training rows (Vehtari, Gelman, Gabry 2017, arXiv:1507.04544)."""
    draws = thinned(fit.draws, len(fit.rows))
    scores, khats = [], []
    for _, block in row_blocks(fit.rows, len(draws)):
        score, khat = loo_log_score(fit.model.log_lik(draws.theta, block), draws.log_weights, r_eff=draws.r_eff)
        scores.append(score)
        khats.append(khat)
    return LeftOut(np.concatenate(scores), int((np.concatenate(khats) > GOOD_KHAT).sum()))


def smallest_good(scores: Mapping[str, LeftOut]) -> tuple[str, str]:
    """The first model that is within one standard error of the best, and the reason in words.

    Parameters
    ----------
    scores : mapping of str to LeftOut
        The smallest model first.

    Examples
    --------
    >>> wavy = LeftOut(np.array([-0.1, -0.2, -0.3]), 0)
    >>> name, why = smallest_good({"linear": LeftOut(wavy.score - [1.0, 1.1, 1.2], 0), "splines": wavy})
    >>> print(why)
    basis='auto' chose 'splines': PSIS-LOO +3.3 ± 0.2 nats (linear: +0.0 ± 0.0) against a linear predictor.
    """
    names = list(scores)
    best = max(names, key=lambda name: float(scores[name].score.sum()))
    for chosen in names:
        behind, error = scores[best].gain(scores[chosen])
        if behind <= error:
            break
    first = scores[names[0]]
    said = {name: "{:+.1f} ± {:.1f}".format(*scores[name].gain(first)) for name in names}
    others = ", ".join(f"{name}: {said[name]}" for name in names if name != chosen)
    why = f"basis='auto' chose {chosen!r}: PSIS-LOO {said[chosen]} nats ({others}) against a linear predictor."
    unsure = max(scores[name].unsure for name in (chosen, best))
    if unsure:
        why += f" Of {unsure} row{'s' * (unsure != 1)} PSIS-LOO is unsure (k̂ above {GOOD_KHAT})."
    return chosen, why
