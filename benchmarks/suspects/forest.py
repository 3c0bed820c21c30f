"""A forest of a table: what it says of each row by the trees that did not see it."""

from __future__ import annotations

import numpy as np
from sklearn.ensemble import ExtraTreesClassifier

TREES, LEAF = 500, 5
SLOPE_SD = 2.0  # of the recalibration of its votes, which are timid
LEFT_OUT = 0.37  # share of the trees that did not see a row


def out_of_bag(x: np.ndarray, y: np.ndarray, seed: int) -> np.ndarray:
    """Class probabilities (N, K) of each row by extremely randomised trees without it; none is quite zero."""
    forest = ExtraTreesClassifier(TREES, min_samples_leaf=LEAF, bootstrap=True, oob_score=True, random_state=seed)
    voted = forest.fit(x, y).oob_decision_function_ * TREES * LEFT_OUT
    voted += 0.5 / voted.shape[1]
    return voted / voted.sum(axis=1, keepdims=True)
