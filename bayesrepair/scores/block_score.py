"""From the failures and the name of a method to the score of a block of rows."""

from __future__ import annotations

import numpy as np

from bayesrepair.edit import EDITORS, Editor, edit
from bayesrepair.fit import Factor, Fit
from bayesrepair.judgement import Info
from bayesrepair.numerics.batches import batches
from bayesrepair.numerics.blocks import row_blocks
from bayesrepair.numerics.scoring import Side
from bayesrepair.posterior import Draws
from bayesrepair.rows import Rows
from bayesrepair.scores import SCORES, BlockScore
from bayesrepair.scores.insertion import InsertionScore
from bayesrepair.status import DataError, MethodError

FAILURE_GROUPS = 24  # beyond it, failures share a place in the bootstrap


def block_score(
    fit: Fit, failures: Rows, method: str | Editor, rng: np.random.Generator
) -> tuple[BlockScore, Draws, Info | None]:
    """Score of a block of rows against the failures.

    Returns
    -------
    score : BlockScore
    after : Draws
        The posterior given D and F (weights on the draws of D where nothing was moved).
    info : Info or None
        How the failures were inserted; None for scores that are no edits.

    Raises
    ------
    DataError
        If a failure is impossible under some draw.
    MethodError
        If the method is unknown.
    """
    draws = fit.draws
    group = np.arange(len(failures)) % FAILURE_GROUPS
    side = Side(draws.theta, draws.weights, batches(draws.chain))
    if isinstance(method, str) and method in SCORES:
        log_lik = failure_log_lik(fit, draws.theta, failures)
        after = Draws(draws.theta, draws.log_weights + log_lik.sum(axis=1), draws.chain, draws.r_eff)
        return SCORES[method](side, log_lik, group, draws.r_eff), after, None
    if isinstance(method, str) and method not in EDITORS:
        known = ", ".join(map(repr, [*SCORES, *EDITORS]))
        raise MethodError(f"one of {known}", repr(method), "Pass one of these names.")
    edited = edit(fit, Factor(failures, 1.0), method=method, random_seed=rng)
    after = edited.after.draws
    afterwards = Side(after.theta, after.weights, batches(after.chain))
    groups = np.zeros((int(group.max()) + 1, len(after)))
    np.add.at(groups, group, failure_log_lik(fit, after.theta, failures).T)
    paired = not edited.info.exact and np.array_equal(after.chain, draws.chain)
    return InsertionScore(side, afterwards, groups.T, paired=paired), after, edited.info


def failure_log_lik(fit: Fit, theta: np.ndarray, rows: Rows) -> np.ndarray:
    """Log-likelihood of each failure at each draw, shape (S, F); failures are few.

    Raises
    ------
    DataError
        If a failure is impossible under some draw, so that no score against it is finite.
    """
    log_lik = np.concatenate([fit.model.log_lik(theta, part) for _, part in row_blocks(rows, len(theta))], axis=1)
    impossible = ~np.isfinite(log_lik).all(axis=0)
    if impossible.any():
        raise DataError(
            "failures that the model holds possible",
            f"{int(impossible.sum())} of probability zero (or nan), such as row {rows.row[impossible][0]!r}",
            "An outcome outside the support of its distribution? Leave those rows out.",
        )
    return log_lik
