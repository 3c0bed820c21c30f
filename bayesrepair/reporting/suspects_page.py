"""The page about suspects."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd

from bayesrepair.reporting.html import write_page
from bayesrepair.reporting.sections import suspects as sections
from bayesrepair.review import review_frame
from bayesrepair.suspects import Suspects


def report_suspects(
    suspects: Suspects,
    path: str | os.PathLike[str],
    *,
    review: pd.DataFrame | None = None,
    title: str | None = None,
    asked: Mapping[str, str] | None = None,
    notes: Sequence[str] = (),
    contents: str | os.PathLike[str] | None = None,
) -> Path:
    """Write one self-contained HTML file about suspects.

    Parameters
    ----------
    suspects : Suspects
    path : path
        Written beside and renamed, so that no half of a file is ever left; an existing file is replaced.
    review : DataFrame, optional
        The rows that are handed out; by default `bayesrepair.review.review_frame`.
    title : str, optional
    asked : mapping of str to str, optional
        Further lines of what was asked.
    notes : sequence of str
    contents : path, optional
        Also save what the page says as JSON, for `report_again`.

    Returns
    -------
    Path
    """
    review = review_frame(suspects) if review is None else review
    parts = [sections.in_short(suspects, review), sections.rows(suspects)]
    if suspects.evidence.groups:
        parts.append(sections.by_group(suspects))
    if sections.has_confusions(suspects):
        parts.append(sections.confusions(suspects))
    parts.append(sections.asked(suspects, list((asked or {}).items()), notes))
    title = title or f"Suspects among the labels of {suspects.plain.model.outcome.name}"
    return write_page(title, parts, path, contents=contents)
