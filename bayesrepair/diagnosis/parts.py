"""Which held-out rows rank the training rows, which choose how many to remove, and which report."""

from __future__ import annotations

from dataclasses import dataclass

from bayesrepair.failures import Failures
from bayesrepair.rows import Rows

FEWEST_FOR_THREE = 60  # failures; with fewer, ranking and choosing share a part by cross-fitting
FEWEST_FOR_TWO = 4


@dataclass(frozen=True, eq=False)
class Parts:
    """The held-out rows by their use.

    Parameters
    ----------
    scoring : Failures
        They rank the training rows.
    choosing : Failures, optional
        They choose how many to remove; the scoring part itself where that is cross-fitted, None where no choice is
        made.
    reporting : Failures, optional
        They took no part in anything; None where failures are too few to keep some apart, or nothing is repaired.
    described : str
        Which rows did what, in one sentence.
    """

    scoring: Failures
    choosing: Failures | None
    reporting: Failures | None
    described: str

    @property
    def cross_fitted(self) -> bool:
        """Whether ranking and choosing share their rows."""
        return self.choosing is self.scoring

    def shown(self, failures: Failures) -> dict[str, Rows]:
        """Rows to show figures for: held apart first, then all."""
        everything = {"all held-out rows": failures.holdout}
        if self.reporting is None:
            return {"failures": failures.rows, "other rows": failures.handled, **everything}
        return {
            "failures held apart": self.reporting.rows,
            "other rows held apart": self.reporting.handled,
            "all rows held apart": self.reporting.holdout,
            **everything,
        }


def divide(failures: Failures, *, choosing: bool, repairing: bool, random_seed: int = 0) -> Parts:
    """Deal the held-out rows out, failures and handled rows evenly.

    Three parts rank, choose and report. With fewer than 60 failures two parts do: one ranks and, cross-fitted,
    chooses; the other reports. With fewer than 4 nothing can be kept apart, and K is not chosen.

    Parameters
    ----------
    failures : Failures
    choosing : bool
        Whether the number of rows to remove is to be chosen.
    repairing : bool
    random_seed : int

    Returns
    -------
    Parts
    """
    if not repairing:
        return Parts(failures, None, None, f"All {_count(failures)} rank the training rows; nothing is repaired.")
    if len(failures) < FEWEST_FOR_TWO:
        described = f"All {_count(failures)} both rank and report: too few failures to keep some apart."
        return Parts(failures, None, None, described)
    if choosing and len(failures) >= FEWEST_FOR_THREE:
        scoring, choice, report = failures.split(3, random_seed=random_seed)
        described = f"{_count(scoring)} rank, {_count(choice)} choose K, {_count(report)} are kept apart to report."
        return Parts(scoring, choice, report, described)
    scoring, report = failures.split(2, random_seed=random_seed)
    what = "rank and, cross-fitted, choose K" if choosing else "rank"
    described = f"{_count(scoring)} {what}; {_count(report)} are kept apart to report."
    return Parts(scoring, scoring if choosing else None, report, described)


def _count(part: Failures) -> str:
    return f"{len(part.holdout)} held-out rows ({len(part)} failures)"
