"""The first rows of a ranking by cause score, ready for a repair."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pandas as pd

if TYPE_CHECKING:
    from bayesrepair.causes import Causes


@dataclass(frozen=True, eq=False)
class Top:
    """The rows that work hardest against the failures, ready for `repair`; iterates over row ids.

    Parameters
    ----------
    causes : Causes
        Where they come from; a report finds its way back through it.
    size : int
    chosen : Index, optional
        Row ids where they are not simply the first ones, such as a set from `Causes.search`.
    """

    causes: Causes
    size: int
    chosen: pd.Index | None = None

    @property
    def index(self) -> pd.Index:
        """Row ids, most harmful first."""
        scores = self.causes.scores.index
        return scores[: self.size] if self.chosen is None else scores[scores.isin(self.chosen)]

    def __iter__(self) -> Iterator[Any]:
        return iter(self.index)

    def __len__(self) -> int:
        return self.size

    def frame(self) -> pd.DataFrame:
        """The lines of `Causes.frame` for these rows."""
        return self.causes.scores.loc[self.index].copy()

    def __repr__(self) -> str:
        return self.frame().to_string(float_format="{:.4g}".format)

    def _repr_html_(self) -> str:
        return self.frame().to_html(escape=True, float_format="{:.4g}".format)
