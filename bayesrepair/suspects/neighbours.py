"""Whether rows like the suspects disagree with them, as they do where labels, not the model, are wrong."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from bayesrepair.fit import Fit
from bayesrepair.noise import SOURCE, Noisy
from bayesrepair.posterior import Draws
from bayesrepair.rows import Rows
from bayesrepair.status import Level

NEAREST = 10  # neighbours of a row
MOST_ROWS = 5000  # of more rows a random sample is looked at
REPLICATES = 200  # simulated tables
CELLS = 2_000_000  # draws × rows × classes at a time
FEW_LEVELS = 12  # of codes and words, up to which each gets a column
SURPRISING = 0.05  # p-value from which on the excess is no accident
NOTABLE = 0.05  # excess below which it changes little
MOSTLY, LARGE = 0.5, 0.2  # share and excess from which on the model, not the labels, is the likelier culprit


@dataclass(frozen=True)
class Neighbours:
    """How many neighbours carry the class that a suspect is given, and how many should if the model is right.

    Parameters
    ----------
    share : float
        Of the nearest rows, those that carry the given class; the mean over rows with weights ``prob_wrong``.
    expected : float
        The same under the noise-aware model.
    p_value : float
        Share of simulated tables in which the neighbours agree as much.
    """

    share: float
    expected: float
    p_value: float

    @property
    def excess(self) -> float:
        """What ``share`` has above ``expected``; positive speaks for a shape that the model lacks."""
        return self.share - self.expected

    @property
    def level(self) -> Level:
        """``ok``: as the model expects. ``checked``: more agree. ``unreliable``: most agree where they should not."""
        if self.p_value > SURPRISING or self.excess < NOTABLE:
            return "ok"
        return "unreliable" if self.share >= MOSTLY and self.excess >= LARGE else "checked"

    def __str__(self) -> str:
        return (
            f"of the rows like a suspect {self.share:.0%} carry its class (the model expects {self.expected:.0%}; "
            f"p {self.p_value:.2g})"
        )


def neighbour_check(fit: Fit, rng: np.random.Generator) -> Neighbours | None:
    """Compare the labels of rows near the suspects with what the noise-aware model says of them.

    A label that is wrong by accident stands among rows of another class. Where the model lacks a shape, such as a
    second cluster of a class, its suspects lie side by side and carry the same class: the noise stands in for the
    shape. With the posterior θ, the probability ``g_ic = Σ_b π_ib T_bc`` of each given class and
    ``w_ic = 1 − π_ic T_cc / g_ic`` of its being wrong, the discrepancy is

        T(y, θ) = Σ_i w_i,y_i · 1/k Σ_j∈near(i) ([y_j = y_i] − g_j,y_i),

    whose mean is zero if the model is right, for given θ. It is compared with T(y', θ) of labels y' drawn from the
    same θ: a posterior predictive p-value of a realised discrepancy. As θ has seen y, it is conservative: of 160 tables
    of two and three classes under their own model, with no wrong labels, a tenth and a fifth anywhere and two fifths
    of one class, one was doubted (benchmark ``neighbours``).

    Near is what is near in the standardised inputs of the fit, whichever these are: poor ones cost power only.
    Wrong labels that cluster, such as those of one device or of one kind of record, look exactly like a shape that
    the model lacks; only rows whose class somebody knows tell them apart.

    Parameters
    ----------
    fit : Fit
        Noise-aware.
    rng : Generator

    Returns
    -------
    Neighbours or None
        None where the rows hold no inputs, or only another classifier's probabilities.

    References
    ----------
    Gelman, Meng, Stern (1996), Posterior predictive assessment of model fitness via realized discrepancies, Statistica
    Sinica 6.
    """
    from bayesrepair.softmax import Calibration  # loads scipy.stats

    if isinstance(getattr(fit.model, "design", None), Calibration):
        return None
    some = rng.choice(len(fit.rows), min(len(fit.rows), MOST_ROWS), replace=False)
    rows = fit.rows.at(np.sort(some))
    x = inputs(rows, fit.model.outcome.name)
    if x is None or len(rows) < 2:
        return None
    near = _nearest(x)
    theta = _some_draws(fit.draws, rng)
    cells = len(theta) * len(rows) * len(fit.model.outcome.classes or (0,))
    blocks = np.array_split(theta, min(len(theta), cells // CELLS + 1))
    parts = [_observed_and_simulated(fit.model, block, rows, near, rng) for block in blocks]
    carried, expected, weight, discrepancy = np.concatenate(parts, axis=1)
    as_much = int((discrepancy >= carried - expected).sum())
    total = max(float(weight.sum()), np.finfo(float).tiny)
    share, model_share = float(carried.sum()) / total, float(expected.sum()) / total
    return Neighbours(share, model_share, (1 + as_much) / (1 + len(theta)))


def _observed_and_simulated(
    model: Any, theta: np.ndarray, rows: Rows, near: Any, rng: np.random.Generator
) -> np.ndarray:
    """What `agreement` gives of the labels in the table, then the discrepancy of simulated ones, (4, S)."""
    probability, wrong = _given_and_wrong(model, theta, rows)
    simulated = (rng.random(probability.shape[:2])[..., None] > probability.cumsum(axis=2)[..., :-1]).sum(axis=2)
    given = np.asarray(rows.values[model.outcome.name]).astype(int)
    observed = agreement(near, probability, wrong, np.broadcast_to(given, simulated.shape))
    carried, expected, _ = agreement(near, probability, wrong, simulated)
    return np.stack([*observed, carried - expected])


def inputs(rows: Rows, outcome: str) -> np.ndarray | None:
    """Standardised numbers of rows, and a column for each of a few codes or words, (N, D); None if there are none.

    Whole numbers of many levels are left out: most are codes, whose order means nothing.

    Examples
    --------
    >>> rows = Rows({"y": np.array([0, 1]), "x": np.array([3.0, 5.0]), "site": np.array(["a", "b"])}, np.arange(2))
    >>> inputs(rows, "y")
    array([[-1.,  1., -1.],
           [ 1., -1.,  1.]])
    """
    columns: list[np.ndarray] = []
    for name, value in rows.values.items():
        if name in (outcome, SOURCE) or value.ndim > 2:
            continue
        if value.dtype.kind in "fb":
            columns.append(value.reshape(len(value), -1).astype(float))
        elif value.ndim == 1:
            codes = value.astype(str) if value.dtype.kind == "O" else value
            levels = np.unique(codes)
            columns += [(codes[:, None] == levels).astype(float)] if len(levels) <= FEW_LEVELS else []
    if not columns:
        return None
    x = np.concatenate(columns, axis=1)
    spread = x.std(axis=0)
    kept = np.isfinite(spread) & (spread > 0)
    return (x[:, kept] - x[:, kept].mean(axis=0)) / spread[kept] if kept.any() else None


def agreement(near: Any, probability: np.ndarray, wrong: np.ndarray, given: np.ndarray) -> tuple[np.ndarray, ...]:
    """Sums over rows of ``w_i,y_i`` times the share of neighbours of class y_i.

    Parameters
    ----------
    near : array or sparse array, shape (N, N)
        Each row averages over the neighbours of a row.
    probability : array, shape (S, N, K)
        Of each given class.
    wrong : array, shape (S, N, K)
        Probability that each class, if given, is wrong.
    given : array of int, shape (S, N)

    Returns
    -------
    carried, expected, weight : array, shape (S,)
        With the classes that neighbours have, with those that they should have, and with one.

    Examples
    --------
    Two rows, each the neighbour of the other, of different classes: nobody agrees, .8 × .1 + .2 × .9 is expected.

    >>> near, probability = np.array([[0.0, 1.0], [1.0, 0.0]]), np.array([[[0.9, 0.1], [0.9, 0.1]]])
    >>> wrong = np.array([[[0.2, 0.8], [0.2, 0.8]]])
    >>> [float(part[0].round(3)) for part in agreement(near, probability, wrong, np.array([[1, 0]]))]
    [0.0, 0.26, 1.0]
    """
    own = given[..., None]
    w = np.take_along_axis(wrong, own, axis=2)[..., 0]
    carried = _averaged(near, (own == np.arange(probability.shape[2])).astype(float))
    at = [np.take_along_axis(each, own, axis=2)[..., 0] for each in (carried, _averaged(near, probability))]
    return (w * at[0]).sum(axis=1), (w * at[1]).sum(axis=1), w.sum(axis=1)


def _averaged(near: Any, values: np.ndarray) -> np.ndarray:
    """Means over neighbours, (S, N, K) → (S, N, K)."""
    size, rows, classes = values.shape
    return np.moveaxis((near @ np.moveaxis(values, 1, 0).reshape(rows, -1)).reshape(rows, size, classes), 0, 1)


def _nearest(x: np.ndarray) -> Any:
    """Sparse matrix that averages over the nearest other rows, (N, N)."""
    from sklearn.neighbors import NearestNeighbors

    count = min(NEAREST, len(x) - 1)
    return NearestNeighbors(n_neighbors=count).fit(x).kneighbors_graph() / count


def _some_draws(draws: Draws, rng: np.random.Generator) -> np.ndarray:
    """Draws of equal weight, (S', P)."""
    return draws.theta[draws.resampled(min(len(draws), REPLICATES), rng)]


def _given_and_wrong(model: Any, theta: np.ndarray, rows: Rows) -> tuple[np.ndarray, np.ndarray]:
    """Probability of each given class, and of its being wrong, (S, N, K)."""
    assert isinstance(model, Noisy)  # as `noisy_fit` made it
    flips, pi = model.flips(theta), model.predict(theta, rows)
    source = np.asarray(rows.values[SOURCE]) if SOURCE in rows.values else np.full(len(rows), model.noise.groups)
    rate = flips.rate[:, source]
    astray = (pi * rate) @ flips.target
    given = pi * (1 - rate) + astray
    return given, np.divide(astray, given, out=np.zeros_like(given), where=given > 0)
