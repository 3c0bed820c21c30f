"""What a forest of the same rows says of their labels, as a second opinion.

A regression calls what bends an error; a forest bends, but sees no line where there is one. Each row is judged by the
trees that did not see it. What they saw are no labels, which teach their errors, but the probabilities of the true
classes that the others have.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.ensemble import ExtraTreesRegressor

from bayesrepair.suspects.opinion import features_of, label_noise, opinion
from bayesrepair.suspects.result import Suspects

TREES, LEAF = 500, 5
SLOPE, SLOPE_SD = 5.0, 2.0  # of the recalibration: votes of many trees are far too timid
_LEFT_OUT = 0.37  # share of the trees that did not see a row
_VOTE = 0.5  # shared by the classes, so that no probability is zero
NAME = "forest"


def forest_opinion(
    suspects: Suspects,
    *,
    features: Any = None,
    trees: int = TREES,
    leaf: int = LEAF,
    random_seed: int = 0,
) -> Suspects:
    """Suspects of a forest, among the rows, trusted rows, groups and reviews of others.

    Extremely randomised trees on bootstrap samples learn the probabilities of the true classes that the others have.
    Their out-of-bag votes are recalibrated, and the noise is learned anew, as in
    `bayesrepair.suspects_from_predictions`. The others have seen the label of a row that is left out: where few rows
    have many columns, a little of it comes back by way of its neighbours, and the forest is heard a little too much.

    Parameters
    ----------
    suspects : Suspects
        Of classes.
    features : array or DataFrame, shape (N, d), optional
        Of the rows that took part: the training rows, then trusted rows from outside. By default all numbers that the
        model reads of each row.
    trees, leaf : int
        How many, and the fewest rows of a leaf.
    random_seed : int

    Returns
    -------
    Suspects

    Raises
    ------
    DataError
        If the outcome is no class, features do not belong to the rows or are missing, or the model reads no numbers.

    References
    ----------
    Geurts, Ernst, Wehenkel (2006), doi:10.1007/s10994-006-6226-1. Breiman (1996), Out-of-bag estimation.
    """
    x = features_of(suspects, features)
    votes = out_of_bag(x, suspects.truth, trees=trees, leaf=leaf, seed=random_seed)
    noise = label_noise(suspects)
    return opinion(suspects, votes, noise=noise, slope=SLOPE, slope_sd=SLOPE_SD, random_seed=random_seed)


def out_of_bag(x: np.ndarray, truth: np.ndarray, *, trees: int = TREES, leaf: int = LEAF, seed: int = 0) -> np.ndarray:
    """Class probabilities of each row by the trees without it, (N, K); none is quite zero.

    Parameters
    ----------
    x : array, shape (N, d)
    truth : array, shape (N, K)
        Probabilities of the classes to learn; of labels as they stand ``np.eye(K)[y]``.
    trees, leaf, seed : int

    Examples
    --------
    >>> x = np.linspace(-1, 1, 100)[:, None]
    >>> out_of_bag(x, np.eye(2)[(x[:, 0] > 0).astype(int)])[[0, 99], 1].round()
    array([0., 1.])
    """
    options: dict[str, Any] = {"bootstrap": True, "oob_score": True, "random_state": seed, "n_jobs": -1}
    forest = ExtraTreesRegressor(trees, min_samples_leaf=leaf, max_features="sqrt", **options)
    voted = np.clip(forest.fit(x, truth).oob_prediction_, 0.0, 1.0)  # none, where every tree saw the row
    votes = voted * trees * _LEFT_OUT + _VOTE / truth.shape[1]
    return votes / votes.sum(axis=1, keepdims=True)
