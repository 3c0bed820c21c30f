"""Streams of edits: the records that may take part, the strategies that draw streams, and the truth after them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache, cached_property

import numpy as np
from hypothesis import strategies as st

from bayesrepair.fit import Factor, Fit
from bayesrepair.posterior import Draws
from bayesrepair.rows import Rows
from tests.cases import Problem, moments, problem

TOUCHED = 8  # training rows that edits touch: few, so that streams meet the same record again
STRANGERS = 4
WEIGHTS = (0.0, 0.25, 0.5, 1.0, 2.0)  # their sums and differences are exact
RELABELLED, INSERTED = TOUCHED, 2 * TOUCHED  # where these records start
RECORDS = 2 * TOUCHED + STRANGERS


@dataclass(frozen=True, eq=False)
class Pool:
    """Some training rows, the same rows with another outcome, and rows that were never trained on.

    The last have the ids of training rows, as the rows of another table would, unless one outcome is like another:
    a record is its id and its content. A state is one weight a record.
    """

    problem: Problem

    @cached_property
    def touched(self) -> Rows:
        """The rows with the smallest and the largest outcomes: an edit of them has a direction."""
        order = np.argsort(self.problem.rows.values["y"], kind="stable")
        return self.problem.rows.at(np.sort(np.r_[order[: TOUCHED // 2], order[-TOUCHED // 2 :]]))

    @cached_property
    def parts(self) -> tuple[Rows, Rows, Rows]:
        """The records: each part has ids of its own."""
        y = self.touched.values["y"]
        classes = self.problem.model.outcome.kind == "class"
        other = self.touched.replace(y=1 - y if classes else 0.7 - y)
        strangers = self.problem.others.at(slice(0, STRANGERS))
        return self.touched, other, strangers if classes else Rows(strangers.values, self.touched.row[:STRANGERS])

    @property
    def start(self) -> np.ndarray:
        """Before any edit."""
        return np.where(np.arange(RECORDS) < RELABELLED, 1.0, 0.0)

    def factors(self, before: np.ndarray, after: np.ndarray) -> list[Factor]:
        """What leads from one state to another; a relabelling is two factors."""
        power, bounds = after - before, (0, RELABELLED, INSERTED, RECORDS)
        made = []
        for rows, low, high in zip(self.parts, bounds[:-1], bounds[1:], strict=True):
            at = np.flatnonzero(power[low:high])
            if len(at):
                made.append(Factor(rows.at(at), power[low + at]))
        return made

    def truth(self, state: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Mean and sd of every parameter, from the closed form of the net weights."""
        untouched = self.problem.rows.drop(self.touched.row)
        rows = untouched.stacked(*self.parts)
        weight = np.concatenate([np.ones(len(untouched)), state])
        return moments(self.problem.model.posterior(rows, weight))[:2]

    def fit(self, draws: int | None) -> Fit:
        """The fit before any edit, in closed form or as draws in four chains."""
        whole = self.problem.fit(closed=draws is None)
        if draws is None:
            return whole
        at = np.arange(0, len(whole.posterior), len(whole.posterior) // draws)
        return Fit(whole.model, whole.rows, Draws.plain(whole.posterior.theta[at], whole.posterior.chain[at]))


@cache
def pool(name: str) -> Pool:
    """The pool of a problem, made once."""
    return Pool(problem(name))


Step = Mapping[int, float] | int
"""New weights of some records, or the training row whose outcome changes (or changes back)."""


def steps() -> st.SearchStrategy[Step]:
    """Deletions, insertions and changes of weight of up to four records at once; relabellings."""
    weights = st.dictionaries(st.integers(0, RECORDS - 1), st.sampled_from(WEIGHTS), min_size=1, max_size=4)
    return st.one_of(weights, st.integers(0, TOUCHED - 1))


def streams(most: int) -> st.SearchStrategy[list[Step]]:
    """Up to so many steps, at least two."""
    return st.lists(steps(), min_size=2, max_size=most)


def after(state: np.ndarray, step: Step) -> np.ndarray:
    """The state after a step."""
    state = state.copy()
    if isinstance(step, Mapping):
        state[list(step)] = list(step.values())
    else:
        state[[step, RELABELLED + step]] = state[[RELABELLED + step, step]]
    return state


def states(stream: Sequence[Step], start: np.ndarray) -> list[np.ndarray]:
    """The states after 0, 1, 2, … steps."""
    visited = [start]
    for step in stream:
        visited.append(after(visited[-1], step))
    return visited
