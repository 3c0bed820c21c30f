"""How far the outcomes that a rehearsal starts from can be relied on."""

from __future__ import annotations

import pandas as pd

from bayesrepair.status import Status
from bayesrepair.suspects import Suspects
from bayesrepair.suspects.noise_evidence import CLEAR

NO_NAME = 0.5  # share of the wrong outcomes that are expected beyond those that can be named
FEW_WRONG = 2.0  # so few wrong outcomes change little, whichever they are

_ASK = "Have the most suspicious rows checked, pass the right ones as trusted=, and rehearse again."


def standing(given: Suspects, corrected: pd.Series) -> Status:
    """Whether what is wrong already could be put right before errors were planted.

    Parameters
    ----------
    given : Suspects
        Of the outcomes as given.
    corrected : Series of int, shape (R,)
        How many outcomes each run put right.

    Returns
    -------
    Status
        ``unreliable``: the suspects are. ``checked``: it cannot be told whether anything is wrong (probability of any
        wrong outcome below .95), or which: Σ p (1 − p) / Σ p, the share of the expected wrong outcomes that are not
        those with the highest ``prob_wrong``, is above one half. ``ok``: neither, or next to nothing is wrong.
    """
    if given.status.level == "unreliable":
        seen = (
            f"what is wrong already cannot be told, so that the runs started from poor guesses: {given.status.message}"
        )
        return Status("unreliable", seen, given.status.remedy)
    p = given.scores["prob_wrong"].to_numpy()
    expected = float(p.sum())
    if expected < FEW_WRONG:
        return Status("ok", f"about {expected:.1f} of the {len(p)} given outcomes are wrong already")
    weight = given.prob_noise
    if weight < CLEAR:
        kept = int((corrected == 0).sum())
        seen = (
            f"whether the given outcomes hold any error cannot be told (probability {weight:.2f}): {kept} of "
            f"{len(corrected)} runs took them as they stand, the others put {corrected[corrected > 0].mean():.0f} right"
            if kept < len(corrected)
            else f"whether the given outcomes hold any error cannot be told (probability {weight:.2f}): all runs took "
            "them as they stand"
        )
        return Status("checked", f"{seen}; intervals allow for both as far as the runs show both", _ASK)
    if float((p * (1 - p)).sum()) / expected > NO_NAME:
        seen = f"about {expected:.0f} given outcomes are wrong already, but most of them cannot be named"
        return Status("checked", f"{seen}: each run put others right", _ASK)
    return Status("ok", f"about {expected:.0f} given outcomes are wrong already, and most can be named")
