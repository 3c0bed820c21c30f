"""Causes and suspects in one list: rows that work against the failures and are probably wrong."""

from __future__ import annotations

import html
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from bayesrepair.ranking import ranked
from bayesrepair.regime import Regime, regime
from bayesrepair.status import DataError

if TYPE_CHECKING:
    from bayesrepair.causes import Causes
    from bayesrepair.suspects import Suspects

OWN = ("fused", "score", "rank_score", "prob_wrong", "rank_prob_wrong")


@dataclass(frozen=True, eq=False)
class Joined:
    """Training rows by the sum of two ranks; **high is harmful and suspicious**.

    Parameters
    ----------
    scores : DataFrame
        One line a training row, sorted by ``fused`` descending, ties by row.
    regime : Regime
        What the failures look like, and which of the two lists to believe here.
    """

    scores: pd.DataFrame
    regime: Regime

    def __len__(self) -> int:
        return len(self.scores)

    def frame(self) -> pd.DataFrame:
        """Columns ``fused, score, rank_score, prob_wrong, rank_prob_wrong, given, suggested``, then the table's own.

        Of numbers ``predicted`` stands in for ``suggested``. Ranks are 1 for the worst; ``fused`` is 1 where both
        lists put a row first, 0 where both put it last.
        """
        return self.scores.copy()

    def top(self, k: int = 20) -> pd.DataFrame:
        """The first ``k`` rows; goes straight into `bayesrepair.repair`."""
        if not 0 <= k <= len(self):
            raise DataError(f"k between 0 and {len(self)}", f"{k}")
        return self.scores.head(k).copy()

    def plot(self, k: int = 20, *, ax: Any = None, figsize: tuple[float, float] | None = None) -> Any:
        """Cause score against ``prob_wrong`` (right and up: bad), the first ``k`` rows filled; returns the axes."""
        from bayesrepair.reporting.plots import plot_joined

        return plot_joined(self, k, ax=ax, figsize=figsize)

    def __repr__(self) -> str:
        return f"{self.regime}\n{self.scores.head(10).to_string(float_format='{:.4g}'.format)}"

    def _repr_html_(self) -> str:
        body = self.scores.head(10).to_html(escape=True, float_format="{:.4g}".format)
        return f"<p>{html.escape(str(self.regime))}</p>{body}"


def join(causes: Causes, suspects: Suspects) -> Joined:
    """Fuse the ranks by cause score and by ``prob_wrong``.

    ``fused = 1 − (rank_score + rank_prob_wrong − 2) / (2 (N − 1))``, ranks being means over ties. A sum of ranks needs
    no common scale, and a row must stand high in both lists to come first.

    Parameters
    ----------
    causes : Causes
    suspects : Suspects
        Of the same rows.

    Returns
    -------
    Joined

    Raises
    ------
    DataError
        If the two speak of different rows.
    """
    index = causes.rows.index
    if len(suspects) != len(index) or not index.isin(suspects.scores.index).all():
        raise DataError(
            f"suspects of the {len(index)} rows that were scored",
            f"suspects of {len(suspects)} rows",
            "Run find_suspects and find_causes on the same fit.",
        )
    score = causes.scores["score"].reindex(index)
    found = suspects.scores.reindex(index)
    ranks = [(-column).rank().to_numpy() for column in (score, found["prob_wrong"])]
    columns: dict[str, Any] = {
        "fused": 1 - (ranks[0] + ranks[1] - 2) / (2 * max(len(index) - 1, 1)),
        "score": score,
        "rank_score": ranks[0],
        "prob_wrong": found["prob_wrong"],
        "rank_prob_wrong": ranks[1],
        "given": found["given"],
    }
    columns |= {name: found[name] for name in ("suggested", "predicted") if name in found}
    frame = pd.DataFrame({name: np.asarray(column) for name, column in columns.items()}, index=index)
    return Joined(ranked(frame, "fused", causes.fit.table), regime(causes, suspects))
