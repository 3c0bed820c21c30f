"""The contents of a report as JSON, so that the page can be made again without the model."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from typing import Any

from bayesrepair.reporting.blocks import (
    Block,
    Cell,
    Column,
    Facts,
    Items,
    Note,
    Paragraph,
    Picture,
    Pictures,
    Section,
    Table,
)
from bayesrepair.status import DataError

FORMAT = 1
_BLOCKS: Mapping[str, type] = {kind.kind: kind for kind in (Paragraph, Note, Items, Facts, Table, Picture, Pictures)}


def to_json(title: str, sections: Sequence[Section]) -> str:
    """Write a report's title and sections as JSON; nothing but text and numbers.

    Examples
    --------
    >>> section = Section("asked", "What was asked", (Paragraph("One thing."),))
    >>> from_json(to_json("Title", [section])) == ("Title", (section,))
    True
    """
    record = {"format": FORMAT, "title": title, "sections": [dataclasses.asdict(section) for section in sections]}
    return json.dumps(record, ensure_ascii=False, allow_nan=False)


def from_json(text: str) -> tuple[str, tuple[Section, ...]]:
    """Read what `to_json` wrote.

    Raises
    ------
    DataError
        If it is not the contents of a report.
    """
    try:
        record = json.loads(text)
        if record["format"] != FORMAT:
            raise ValueError(f"format {record['format']}")
        return record["title"], tuple(_section(section) for section in record["sections"])
    except (ValueError, TypeError, KeyError) as error:
        what = f"{type(error).__name__}: {error}"
        raise DataError("the contents of a report", what, "Run diagnose again.") from error


def _section(record: dict[str, Any]) -> Section:
    return Section(record["anchor"], record["title"], tuple(_block(block) for block in record["blocks"]))


def _block(record: dict[str, Any]) -> Block:
    values = dict(record)
    if values["kind"] == "table":
        values["columns"] = tuple(Column(**column) for column in values["columns"])
        values["lines"] = tuple(tuple(_cell(cell) for cell in line) for line in values["lines"])
    elif values["kind"] == "pictures":
        values["pictures"] = tuple(Picture(**picture) for picture in values["pictures"])
    elif values["kind"] == "facts":
        values["facts"] = tuple((name, value) for name, value in values["facts"])
    block: Block = _BLOCKS[values["kind"]](**values)
    return block


def _cell(cell: Any) -> str | Cell:
    return Cell(**cell) if isinstance(cell, dict) else cell
