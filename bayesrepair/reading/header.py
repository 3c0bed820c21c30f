"""Whether the first record of a table names the columns."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence

from bayesrepair.reading.cells import MISSING, as_date, is_number


def has_header(records: Sequence[Sequence[str]]) -> tuple[bool, str]:
    """Decide whether the first record is a header, and say why.

    There is none when each cell of the first record parses like its column: a number above numbers, a date above
    dates, a word that occurs again (or is built like the others, as ``A14`` above ``A11``) above words. A word above
    numbers settles for a header. Without a column of numbers or dates the words decide.

    Parameters
    ----------
    records : sequence of sequence of str
        The first records of the file, cells stripped, of equal length.

    Returns
    -------
    header : bool
    why : str

    Examples
    --------
    >>> has_header([["age", "sex"], ["61", "m"], ["44", "f"]])
    (True, "'age' stands above numbers")
    >>> has_header([["61", "m"], ["44", "f"], ["50", "m"]])
    (False, 'the first row parses like the others')
    """
    first, rest = records[0], records[1:]
    if not rest:
        return True, "there is one row only"
    votes = [_vote(first[k], [record[k] for record in rest if record[k] not in MISSING]) for k in range(len(first))]
    for cell, (kind, fits) in zip(first, votes, strict=True):
        if kind != "words" and fits is False:
            return True, f"{cell!r} stands above {kind}"
    if any(kind != "words" and fits for kind, fits in votes):
        return False, "the first row parses like the others"
    words = [fits for kind, fits in votes if kind == "words" and fits is not None]
    repeated = [cell for cell, count in Counter(filter(None, first)).items() if count > 1]
    if (words and all(words)) or repeated:
        return False, "the first row parses like the others"
    return True, "the first row differs from the others"


def _vote(cell: str, column: list[str]) -> tuple[str, bool | None]:
    """Kind of a column, and whether the cell above parses like it (None: cannot be told)."""
    if cell in MISSING or not column:
        return "words", None
    for kind, parses in (("numbers", is_number), ("dates", as_date)):
        if all(parses(other) for other in column):
            return kind, bool(parses(cell))
    if cell in column:
        return "words", True
    shape, shapes = _shape(cell), Counter(map(_shape, column))
    if "9" in shape and shapes[shape] >= len(column) / 2:
        return "words", True
    free = len(set(column)) > len(column) / 2  # names or remarks: no cell occurs again
    return "words", None if free else False


def _shape(cell: str) -> str:
    """``A14`` → ``a9``: letters and digits in runs."""
    return re.sub(r"[^\W\d_]+", "a", re.sub(r"\d+", "9", cell))
