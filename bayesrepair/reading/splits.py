"""Hold out a part of a table: by class, seeded, and without levels that training never sees."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from bayesrepair.status import DataError

MOST_CLASSES = 20  # an outcome of more values is split without regard to them


def hold_out(
    frame: pd.DataFrame, target: str, *, share: float, categorical: Sequence[str] = (), random_seed: int = 0
) -> tuple[pd.DataFrame, pd.DataFrame, int]:
    """Split off held-out rows, each class in proportion.

    A held-out row with a level or class that is left in no training row goes back to training: nothing could be
    said about it.

    Parameters
    ----------
    frame : DataFrame
    target : str
    share : float
        Share of the rows to hold out, between 0 and 1.
    categorical : sequence of str
        Columns whose levels training must see.
    random_seed : int

    Returns
    -------
    train, held_out : DataFrame
        In the order of the table.
    moved : int
        Rows that went back.

    Raises
    ------
    DataError
        If the share is not between 0 and 1, or leaves either part without rows.

    Examples
    --------
    >>> frame = pd.DataFrame({"x": range(10), "y": [0] * 8 + [1] * 2})
    >>> train, held, moved = hold_out(frame, "y", share=0.5)
    >>> len(held), int(held["y"].sum()), moved
    (5, 1, 0)
    """
    if not 0 < share < 1:
        raise DataError("a share of rows to hold out between 0 and 1", f"{share:g}", "Say --holdout 0.3.")
    rng = np.random.default_rng(random_seed)
    strata = frame[target].astype(object) if frame[target].nunique() <= MOST_CLASSES else np.zeros(len(frame))
    held = np.zeros(len(frame), dtype=bool)
    for positions in pd.Series(np.arange(len(frame))).groupby(np.asarray(strata), sort=True):
        members = rng.permutation(positions[1].to_numpy())
        held[members[: round(share * len(members))]] = True
    moved = 0
    for name in [*categorical, *([target] if frame[target].nunique() <= MOST_CLASSES else [])]:
        seen = frame[name][~held].dropna().unique()
        back = held & (frame[name].notna() & ~frame[name].isin(seen)).to_numpy()
        held &= ~back
        moved += int(back.sum())
    if held.all() or not held.any():
        raise DataError("rows for training and rows held out", f"{int(held.sum())} of {len(frame)} held out")
    return frame[~held], frame[held], moved
