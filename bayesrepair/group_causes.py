"""Cause scores of groups of rows: which annotator, site or batch works against the failures."""

from __future__ import annotations

import html
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from bayesrepair.set_score import set_score
from bayesrepair.status import DataError

if TYPE_CHECKING:
    from bayesrepair.causes import Causes

REPLICATES = 1000


@dataclass(frozen=True, eq=False)
class GroupCauses:
    """Groups of training rows ranked by the sum of their cause scores; positive: harmful to the failures.

    Parameters
    ----------
    groups : DataFrame
        Indexed by group, sorted by ``sum`` descending: ``sum`` (nats), ``mcse``, ``low`` and ``high`` (90 % interval
        over draws *and* over which failures were seen), ``mean`` a row, ``rows``, ``prob_first``, ``joint`` (exact
        score of deleting the group), ``joint_khat``.
    column : str
    against : str
        What a positive sum works against: ``failures`` or ``held_out`` rows.
    """

    groups: pd.DataFrame
    column: str
    against: str

    def frame(self) -> pd.DataFrame:
        """One line a group, most harmful first."""
        return self.groups.copy()

    def plot(self, *, ax: Any = None, figsize: tuple[float, float] | None = None) -> Any:
        """Sums with their 90 % intervals (right, positive: harmful); returns the axes."""
        from bayesrepair.reporting.plots import plot_groups

        return plot_groups(self, ax=ax, figsize=figsize)

    def _head(self) -> str:
        whom = self.against.replace("held_out", "held-out rows")
        return f"cause scores by {self.column}; a positive sum works against the {whom} (sums favour big groups)"

    def __repr__(self) -> str:
        return f"{self._head()}\n{self.groups.to_string(float_format='{:.4g}'.format)}"

    def _repr_html_(self) -> str:
        body = self.groups.to_html(escape=True, float_format="{:.4g}".format)
        return f"<p>{html.escape(self._head())}</p>{body}"


def group_causes(causes: Causes, column: str | pd.Series) -> GroupCauses:
    """Sum the scores of the rows of each group, with the errors of the sums.

    Parameters
    ----------
    causes : Causes
    column : str or Series
        A column of the fit's table, or group labels indexed by row id.

    Returns
    -------
    GroupCauses

    Raises
    ------
    DataError
        If there is no such column, or a row has no label.
    """
    labels = _labels(causes, column)
    codes, names = pd.factorize(labels, sort=True)
    summed = causes.scored.summed(codes, len(names))
    replicates = np.concatenate(list(summed.replicates(np.random.default_rng(0), REPLICATES)))
    low, high = np.quantile(replicates, [0.05, 0.95], axis=0)
    first = np.bincount(replicates.argmax(axis=1), minlength=len(names)) / REPLICATES
    size = np.bincount(codes, minlength=len(names))
    weight = causes.fit.current()[1]
    held = weight[weight > 0]  # in the order of the scored rows
    joint = []
    for g in range(len(names)):
        at = np.flatnonzero(codes == g)
        joint.append(set_score(causes.fit, causes.training.at(at), causes.failures, causes.after, weight=held[at]))
    frame = pd.DataFrame(
        {
            "sum": summed.score,
            "mcse": summed.mcse,
            "low": low,
            "high": high,
            "mean": summed.score / size,
            "rows": size,
            "prob_first": first,
            "joint": [s.score for s in joint],
            "joint_khat": [s.khat for s in joint],
        },
        index=pd.Index(names, name=labels.name or "group"),
    )
    order = np.argsort(-summed.score, kind="stable")
    return GroupCauses(frame.iloc[order], str(labels.name or "group"), causes.against)


def _labels(causes: Causes, column: str | pd.Series) -> pd.Series:
    if isinstance(column, pd.Series):
        labels = column.reindex(causes.rows.index)
    else:
        table = causes.fit.table
        if table is None or column not in table.columns:
            known = "no table" if table is None else ", ".join(map(repr, table.columns))
            raise DataError(
                f"a column of the fit's table named {column!r}",
                known,
                "Pass a Series of labels by row id instead.",
            )
        labels = table[column].reindex(causes.rows.index)
    if labels.isna().any():
        raise DataError("a group for each row", f"{int(labels.isna().sum())} rows without one", "Fill them in.")
    return labels
