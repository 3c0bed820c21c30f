"""The edits of B1 for one model: deletions, insertions, relabelling, down-weighting, and a sequence."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

import bayesrepair as br
from benchmarks.models import Problem

SIZES = (1, 5, 20, 50, 100, 200)
INSERTED = (5, 20, 60)
LARGEST_SHARE = 0.7  # of the rows; beyond it a deletion leaves hardly any data
SEQUENCE = "delete 20 worst, one by one"

type Edit = Sequence[br.Factor]
"""Factors of one edit; those of the sequence are applied in turn."""


def edits(problem: Problem, seed: int) -> dict[str, Edit]:
    """Every edit of this model by name."""
    rng = np.random.default_rng(1000 + seed)
    fit, rows = problem.fit, problem.fit.rows
    worst = rows.row[np.argsort(mean_log_lik(fit, rows))]
    failures = problem.holdout.row[np.argsort(mean_log_lik(fit, problem.holdout))]
    some = rng.permutation(rows.row)
    found: dict[str, Edit] = {}
    for size in (s for s in SIZES if s <= LARGEST_SHARE * len(rows)):
        found[f"delete {size} worst"] = [br.Factor(rows.take(worst[:size]), -1.0)]
        found[f"delete {size} random"] = [br.Factor(rows.take(some[:size]), -1.0)]
    if problem.groups is not None:
        labels, counts = np.unique(problem.groups, return_counts=True)
        group = rows.row[problem.groups == labels[counts.argmax()]]
        found["delete biggest group"] = [br.Factor(rows.take(group), -1.0)]
    if len(problem.bad):
        found["delete all planted errors"] = [br.Factor(rows.take(problem.bad), -1.0)]
    for size in INSERTED:
        found[f"insert {size} failures"] = [br.Factor(problem.holdout.take(failures[:size]), 1.0)]
    found["relabel 20"] = _relabelled(problem, worst)
    found["weaken 50 worst to .3"] = [br.Factor(rows.take(worst[:50]), -0.7)]
    found[SEQUENCE] = [br.Factor(rows.take([row]), -1.0) for row in worst[:20]]
    return found


def mean_log_lik(fit: br.Fit, rows: br.Rows) -> np.ndarray:
    """Posterior mean of each row's log-likelihood, shape (N,); the worst rows have the lowest."""
    return np.concatenate([fit.model.log_lik(fit.draws.theta, block).mean(axis=0) for _, block in rows.blocks(200)])


def _relabelled(problem: Problem, worst: np.ndarray) -> Edit:
    """Twenty planted errors get their true outcome; where none was planted, the worst rows get what is predicted."""
    rows = problem.fit.rows
    outcome = problem.fit.model.outcome.name
    ids = problem.bad[:20] if len(problem.bad) else worst[:20]
    chosen = rows.take(ids)
    if problem.truth is not None:
        right = problem.truth[rows.positions(ids)]
    else:
        right = np.rint(problem.fit.model.predict(problem.fit.draws.theta, chosen)[:, :, 0].mean(axis=0))
    given = np.asarray(chosen.values[outcome])
    return [br.Factor(chosen, -1.0), br.Factor(chosen.replace(**{outcome: right.astype(given.dtype)}), 1.0)]
