"""Outcomes as they may truly be: what a rehearsal starts from, since the given ones may be wrong already."""

from __future__ import annotations

import numpy as np

from bayesrepair.rows import Rows
from bayesrepair.suspects import Suspects

CLEAR = 0.5  # prob_wrong from which an outcome is put right at least


def drawn_truth(suspects: Suspects, rows: Rows, rng: np.random.Generator) -> Rows:
    """The given outcomes, the suspicious ones of them put right: as few as are clear, or as many as are expected.

    Which of the two is drawn, for the truth lies between. *Few*: rows with ``prob_wrong`` above one half; the errors
    that remain count as right, and finding them as false alarms. *Many*: the first rows, as many as one draw of the
    number of wrong outcomes says; right outcomes that look most like errors go as well, so that fewer are left to be
    taken for one. Where wrong outcomes stand apart both are about the same rows. *Many* has probability
    `Suspects.prob_noise` / 2, since without noise there are none, else *few*.

    A class becomes the suggested one. A number is drawn anew as a right record would be.

    Parameters
    ----------
    suspects : Suspects
        Of the outcomes as given.
    rows : Rows
        The N training rows of that search, in its order, as given. Trusted ones keep their outcome.
    rng : Generator

    Returns
    -------
    Rows
        The same rows; outcomes of their former type.
    """
    prob = suspects.scores["prob_wrong"].reindex(rows.index).to_numpy()
    count = int((prob > CLEAR).sum())
    if rng.random() < 0.5 * suspects.prob_noise:
        count = max(count, int(rng.choice(suspects.suspicion.count)))
    chosen = first_rows(prob, count)
    if not len(chosen):
        return rows
    noisy, name = suspects.fit, suspects.fit.model.outcome.name
    new = np.array(rows.values[name])
    if noisy.model.outcome.kind == "class":
        new[chosen] = suspects.suspicion.suggested[chosen]  # type: ignore[union-attr]  # of classes
    else:
        theta = noisy.draws.theta[[rng.choice(len(noisy.draws), p=noisy.draws.weights)]]
        new[chosen] = noisy.model.simulate(theta, noisy.rows.at(chosen), rng)[0]
    return rows.replace(**{name: new})


def first_rows(prob: np.ndarray, count: int) -> np.ndarray:
    """Positions of the most probable rows, at most ``count`` and none that is impossible, (N,) → (n,).

    Examples
    --------
    >>> first_rows(np.array([0.2, 0.0, 0.9]), 1), first_rows(np.array([0.2, 0.0, 0.9]), 3)
    (array([2]), array([2, 0]))
    """
    order = np.argsort(-prob, kind="stable")[:count]
    return order[prob[order] > 0]
