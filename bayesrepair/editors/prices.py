"""What a rung of the ladder is predicted to take, beside a refit."""

from __future__ import annotations

import time
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from bayesrepair.check import gradients_of_check
from bayesrepair.edit import Editor
from bayesrepair.fit import Change
from bayesrepair.model import Differentiable, Timed
from bayesrepair.posterior import Draws
from bayesrepair.target import Target

_TIMED_DRAWS = 150  # fewer would be priced by the calls into Python
_TIMES = 3  # the shortest counts: one that another process interrupts takes several times as long
_FIRST_DRAWS = 10


@dataclass(eq=False)
class Prices:
    """Predicted wall times of the rungs of an edit. Nothing is timed before a rung with a price is reached.

    Parameters
    ----------
    change : Change
    refittable : bool
        Whether a refit is among the rungs.
    """

    change: Change
    refittable: bool

    def complaint(self, editor: Editor) -> str:
        """Why a rung is not worth its price; empty where it is, or where nothing is known."""
        predicted = self.seconds(editor)
        if not predicted > self.refit:  # nan where nothing is known
            return ""
        return f"predicted to take {predicted:.2g} s, a refit {self.refit:.2g} s"

    def seconds(self, editor: Editor, *, checked: bool = True) -> float:
        """Of an editor and, unless told otherwise, the check of what it gives; nan where it is not known."""
        gradients = getattr(editor, "gradients", None)
        if gradients is None or not np.isfinite(self.refit):
            return np.nan
        taken = gradients(self.change)
        calls = taken * getattr(editor, "seconds_a_call", 0.0)  # where gradients are asked for one by one
        taken += gradients_of_check(self.change) if checked else 0
        return float(taken * self.gradient + calls)

    @cached_property
    def refit(self) -> float:
        """Of a refit; nan where it is not known."""
        model = self.change.model
        if not (self.refittable and isinstance(model, Timed)):
            return np.nan
        return model.refit_seconds(self.change.posterior, int(np.count_nonzero(self.change.after)))

    @cached_property
    def gradient(self) -> float:
        """Of one gradient of all rows with the two matrix products of a move, from first blocks of draws."""
        assert isinstance(self.change.model, Differentiable)  # rungs with a price need it
        assert isinstance(self.change.posterior, Draws)
        target, some = Target.after(self.change), self.change.posterior.theta[:_TIMED_DRAWS]
        target.value_and_gradient(some[:_FIRST_DRAWS])  # whatever is to be made first
        factor, seconds = np.eye(some.shape[1]), []
        for _ in range(_TIMES):
            started = time.perf_counter()
            slope = target.value_and_gradient(some)[1]
            slope @ factor, some @ factor
            seconds.append(time.perf_counter() - started)
        return min(seconds) / len(some)
