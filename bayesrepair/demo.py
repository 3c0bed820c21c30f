"""The demonstration: breast cancer with a tenth of the training labels flipped, and the flipped rows known."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

if TYPE_CHECKING:
    from bayesrepair.diagnosis import Diagnosis
    from bayesrepair.diagnosis.run import Tell

RATE = 0.1
SHARE = 0.5
TARGET = "diagnosis"
ABOUT = (
    "The flips are known here, so that every ranking can be judged. Training loss and surprise ask which labels are "
    "odd; the cause score asks which rows work against the held-out rows. They are different questions."
)


def planted(*, random_seed: int = 0) -> tuple[pd.DataFrame, pd.DataFrame, pd.Series]:
    """Breast cancer data with flipped training labels.

    Returns
    -------
    train, held_out : DataFrame
        Half of the rows each; the labels of the held-out half are right.
    truth : Series of bool
        By training row: whether its label was flipped.

    Examples
    --------
    >>> train, held_out, truth = planted()
    >>> len(train), len(held_out), int(truth.sum())
    (285, 284, 28)
    """
    from bayesrepair.datasets import flip_labels, load
    from bayesrepair.reading import hold_out

    frame = load("breast_cancer").frame
    train, held_out, _ = hold_out(frame, TARGET, share=SHARE, random_seed=random_seed)
    rng = np.random.default_rng(random_seed)
    labels, truth = flip_labels(train[TARGET], rate=RATE, rng=rng)
    return train.assign(**{TARGET: labels}), held_out, truth


def run(*, random_seed: int = 0, draws: int = 1000, tell: Tell | None = None, progressbar: bool = True) -> Diagnosis:
    """Diagnose and repair the planted data, K chosen on held-out rows, verified against refits.

    Parameters
    ----------
    random_seed : int
    draws : int
        Draws a chain.
    tell : callable, optional
        See `diagnose`.
    progressbar : bool

    Returns
    -------
    Diagnosis
    """
    from bayesrepair.diagnosis import diagnose, prepare

    train, held_out, truth = planted(random_seed=random_seed)
    return diagnose(
        prepare(train, held_out, target=TARGET),
        verify=True,
        draws=draws,
        truth=truth,
        title=f"Breast cancer with {int(truth.sum())} of {len(truth)} training labels flipped",
        notes=(f"{int(truth.sum())} of {len(truth)} training labels were flipped on purpose. {ABOUT}",),
        random_seed=random_seed,
        tell=tell,
        progressbar=progressbar,
    )
