"""What is known of a data set: one card, written beside the data and shown with it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Card:
    """Description of a data set, printed as Markdown.

    Parameters
    ----------
    name, title : str
        The name ``load`` knows, and one line that says what the rows are.
    about : str
        What the data are for, in a paragraph.
    made : str
        How the data were made, or where they come from and what was changed on the way.
    columns : mapping of str to str
        Column name to its meaning, unit and coding.
    truth : str
        What is known of wrong labels.
    licence : str
        Terms of use, as far as they are known.

    Examples
    --------
    >>> card = Card("toy", "Two rows", "A toy.", "By hand.", {"y": "yes or no"}, "No label is wrong.", "CC0")
    >>> print(card)  # doctest: +ELLIPSIS
    # toy: Two rows
    <BLANKLINE>
    A toy.
    ...
    """

    name: str
    title: str
    about: str
    made: str
    columns: Mapping[str, str]
    truth: str
    licence: str

    def __str__(self) -> str:
        cells = "\n".join(f"| `{name}` | {meaning} |" for name, meaning in self.columns.items())
        return (
            f"# {self.name}: {self.title}\n\n"
            f"{self.about}\n\n"
            f"## How it was made\n\n{self.made}\n\n"
            f"## Columns\n\n| column | meaning |\n|---|---|\n{cells}\n\n"
            f"## Wrong labels\n\n{self.truth}\n\n"
            f"## Licence\n\n{self.licence}\n"
        )
