"""The text of a delimited file: its encoding, its delimiter, its first records."""

from __future__ import annotations

import csv
import io
from collections import Counter
from itertools import islice
from pathlib import Path

from bayesrepair.status import DataError

DELIMITERS = {",": "comma", ";": "semicolon", "\t": "tab", "|": "bar"}
SAMPLE = 1000  # records that decide on delimiter and header


def read_text(path: Path) -> tuple[str, str]:
    """Decode a file: UTF-16 or UTF-8 by its mark, else UTF-8, else Latin-1; line ends become newlines.

    Returns
    -------
    text, encoding : str

    Raises
    ------
    DataError
        If the file is empty or holds binary data.
    """
    raw = path.read_bytes()
    text, encoding = _decoded(raw)
    if not text.strip():
        raise DataError(f"a table in '{path}'", "an empty file")
    if "\0" in text[:10_000]:
        raise DataError(f"a CSV or Parquet table in '{path}'", "binary data", "Save the table as CSV or Parquet.")
    return text.replace("\r\n", "\n").replace("\r", "\n"), encoding


def _decoded(raw: bytes) -> tuple[str, str]:
    if raw[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return raw.decode("utf-16"), "UTF-16"
    try:
        return raw.decode("utf-8-sig"), "UTF-8"
    except UnicodeDecodeError:
        return raw.decode("latin-1"), "Latin-1"


def find_delimiter(text: str) -> str:
    r"""Choose the delimiter that cuts most records into the same number of cells, at least two.

    Raises
    ------
    DataError
        If no delimiter gives two columns.

    Examples
    --------
    >>> find_delimiter("a;b\n1,5;2\n2,5;3\n")
    ';'
    """
    best, score = "", (0.0, 0)
    for delimiter in DELIMITERS:
        widths = Counter(len(record) for record in first_records(text, delimiter))
        width, count = widths.most_common(1)[0]
        if width > 1 and (count / widths.total(), width) > score:
            best, score = delimiter, (count / widths.total(), width)
    if not best:
        known = ", ".join(DELIMITERS.values())
        raise DataError(f"two columns or more, divided by one of {known}", "one column")
    return best


def first_records(text: str, delimiter: str) -> list[list[str]]:
    """Return the first records as stripped cells, blank lines left out."""
    reader = csv.reader(io.StringIO(text), delimiter=delimiter, skipinitialspace=True)
    filled = (record for record in reader if any(cell.strip() for cell in record))
    return [[cell.strip() for cell in record] for record in islice(filled, SAMPLE)]
