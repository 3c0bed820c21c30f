"""Whether held-out rows fare better or worse after a repair, by the log score and by accuracy together."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd

Turn = Literal["better", "worse", ""]

FOR = 2.0  # standard errors that a gain must exceed to be called one
AGAINST = 1.0  # that a loss of accuracy must exceed: what speaks against a repair needs less to be said


@dataclass(frozen=True)
class Effect:
    """What one line of `held_out` says of a repair.

    Praise takes two standard errors. A loss by the log score takes two as well, a loss of accuracy only one: the log
    score may gain from probabilities that are less extreme while more rows are predicted wrong, and that is no plain
    gain.

    Parameters
    ----------
    measure : str
        ``"accuracy"`` or ``"rmse"``.
    log_score, by_measure : {"better", "worse", ""}
        Empty where nothing is clear.
    unchanged : bool
        Whether every row is predicted as before.

    Examples
    --------
    >>> line = {"accuracy_change": -0.021, "accuracy_change_se": 0.012, "log_score_gain": 0.055, "gain_se": 0.011}
    >>> Effect.of(pd.Series(line)).words
    'better by the log score, worse by accuracy'
    """

    measure: str
    log_score: Turn
    by_measure: Turn
    unchanged: bool = False

    @classmethod
    def of(cls, line: pd.Series) -> Effect:
        """The effect on one part of the held-out rows."""
        gain, error = line["log_score_gain"], line["gain_se"]
        measure = measure_of(line)
        change, its_error = (line.get(f"{measure}_{what}", np.nan) for what in ("change", "change_se"))
        merit = change if measure == "accuracy" else -change
        by_measure: Turn = "better" if merit > FOR * its_error else "worse" if merit < -AGAINST * its_error else ""
        log_score: Turn = "better" if gain > FOR * error else "worse" if gain < -FOR * error else ""
        return cls(measure, log_score, by_measure, unchanged=bool(gain == 0 and not error > 0))

    @property
    def mixed(self) -> bool:
        """Whether the two measures disagree, or only one of them sees a change."""
        return bool(self.by_measure) and self.by_measure != self.log_score

    @property
    def words(self) -> str:
        """In a few words."""
        if self.unchanged:
            return "unchanged"
        if self.mixed:
            return f"{self.log_score or 'no clear change'} by the log score, {self.by_measure} by {self.measure}"
        return self.log_score or "no clear change"


def measure_of(line: pd.Series | pd.DataFrame) -> str:
    """Which measure stands beside the log score: accuracy (higher is better) or rmse (lower is better)."""
    return "accuracy" if "accuracy_before" in line or "accuracy_change" in line else "rmse"
