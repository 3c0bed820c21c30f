"""What a report is made of: sections of paragraphs, tables, pictures and notes; the template decides how they look."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

Tone = Literal["good", "fair", "bad", "plain"]


@dataclass(frozen=True)
class Paragraph:
    """A paragraph of plain text; ``muted`` for remarks."""

    text: str
    muted: bool = False
    kind: str = "paragraph"


@dataclass(frozen=True)
class Note:
    """A boxed sentence with a tone: good, fair, bad or plain."""

    text: str
    tone: Tone = "plain"
    heading: str = ""
    kind: str = "note"


@dataclass(frozen=True)
class Items:
    """A list of sentences."""

    items: Sequence[str]
    kind: str = "items"


@dataclass(frozen=True)
class Facts:
    """Names and values, side by side."""

    facts: Sequence[tuple[str, str]]
    kind: str = "facts"


@dataclass(frozen=True)
class Cell:
    """A cell with more than text: a tone, a second line, or chips (short remarks)."""

    text: str
    tone: Tone = "plain"
    below: str = ""
    chips: Sequence[str] = ()


@dataclass(frozen=True)
class Column:
    """A column: its heading, an explanation below it, and whether it holds numbers."""

    heading: str
    hint: str = ""
    numeric: bool = True


@dataclass(frozen=True)
class Table:
    """A table; the first cell of each line is its heading.

    Parameters
    ----------
    caption : str
    columns : sequence of Column
    lines : sequence of sequences of str or Cell
    folded : bool
        Shown only when asked for (always in print).
    marked : sequence of int
        Lines that stand out.
    """

    caption: str
    columns: Sequence[Column]
    lines: Sequence[Sequence[str | Cell]]
    folded: bool = False
    marked: Sequence[int] = ()
    kind: str = "table"


@dataclass(frozen=True)
class Picture:
    """A figure as a data URI, with the text that stands for it."""

    uri: str
    alt: str
    caption: str = ""
    width: int = 700
    kind: str = "picture"


@dataclass(frozen=True)
class Pictures:
    """Figures side by side where there is room."""

    pictures: Sequence[Picture]
    kind: str = "pictures"


Block = Paragraph | Note | Items | Facts | Table | Picture | Pictures


@dataclass(frozen=True)
class Section:
    """A section with its anchor, title and blocks."""

    anchor: str
    title: str
    blocks: Sequence[Block] = field(default_factory=tuple)
