"""Every data set by name."""

from __future__ import annotations

import difflib
from collections.abc import Callable

from bayesrepair.datasets import bundled, clinic, mnist, public, synthetic
from bayesrepair.datasets.card import Card
from bayesrepair.datasets.dataset import Dataset
from bayesrepair.status import DataError

_FAMILIES = (clinic, synthetic, bundled, public, mnist)
CARDS: dict[str, Card] = {name: card for family in _FAMILIES for name, card in family.CARDS.items()}
SETS: dict[str, Callable[[], Dataset]] = {name: load for family in _FAMILIES for name, load in family.SETS.items()}

# The tables that the project makes itself; ``data/`` in the repository holds them as files.
GENERATED: tuple[str, ...] = (*clinic.SETS, *synthetic.SETS)


def names() -> dict[str, str]:
    """Return what `load` knows: name to one-line description.

    Examples
    --------
    >>> names()["radial"]
    '2 classes in 6 clusters on a circle'
    """
    return {name: card.title for name, card in CARDS.items()}


def load(name: str) -> Dataset:
    """Return a data set by name.

    Generated tables are made in memory (the same ones on every call), scikit-learn's come with it, and the
    public ones are read from the folder that the environment variable ``BAYESREPAIR_DATA`` names or, where
    they are not there, downloaded once and kept in the user's cache; their checksums and contents are
    checked every time.

    Parameters
    ----------
    name : str
        One of `names`.

    Returns
    -------
    Dataset
        Rows, target, card, and what is known of wrong labels.

    Raises
    ------
    DataError
        If the name is unknown, or a file is not the published one.
    MissingDataError
        If a public file is neither on this machine nor to be downloaded.

    Examples
    --------
    >>> data = load("radial")
    >>> data.frame.shape, data.target, int(data.truth.sum())
    ((600, 3), 'label', 70)
    """
    if name not in SETS:
        near = difflib.get_close_matches(str(name), SETS, n=1)
        remedy = f"Did you mean load('{near[0]}')?" if near else "names() describes them."
        raise DataError(f"one of {', '.join(SETS)}", repr(name), remedy)
    return SETS[name]()
