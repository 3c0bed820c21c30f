"""Row scores that are linear in the pointwise log-likelihood, with their errors, in one pass over the rows.

Every score is a difference of weighted means of ``log p_i``: ``Σ_s a_s l_si`` with coefficients that sum to zero. The
block ``L`` (draws × rows) is multiplied once from the left by a small matrix ``A`` and then dropped. ``A`` holds the
coefficients themselves, the same coefficients restricted to each of B batches of draws (blocks within chains), and one
row for each group of failures. The batch rows give the Monte Carlo error, the group rows say how the score leans on
the failures that happened to be seen.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

CHUNK = 2**16  # rows whose parts are looked at together


class Sliced(Protocol):
    """An array, in memory or on disk, of which any stretch of rows can be had."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Rows first."""
        ...

    def __len__(self) -> int: ...

    def __getitem__(self, rows: slice) -> np.ndarray: ...


@dataclass(frozen=True, eq=False)
class Side:
    """One posterior as seen by a score: draws, normalised weights, batches.

    Parameters
    ----------
    theta : array, shape (S, P)
    weight : array, shape (S,)
        Sum to one.
    batch : array, shape (S,)
    """

    theta: np.ndarray
    weight: np.ndarray
    batch: np.ndarray

    def batch_rows(self, coefficient: np.ndarray) -> np.ndarray:
        """The coefficients restricted to each batch, shape (B, S)."""
        rows = np.zeros((int(self.batch.max()) + 1, len(self.batch)))
        rows[self.batch, np.arange(len(self.batch))] = coefficient
        return rows


@dataclass(frozen=True, eq=False)
class Scored:
    """Scores of rows with the parts their errors are made of.

    Parameters
    ----------
    score : array, shape (N,)
        Nats; positive works against the failures.
    batch : array, shape (N, B)
        Influence of each batch of draws on the score; their squares add up to the Monte Carlo variance. Of many rows
        it may lie on disk, and so may ``group``: they are read in chunks of rows.
    group : array, shape (N, G)
        First-order share of each group of failures in the score.
    """

    score: np.ndarray
    batch: Sliced
    group: Sliced

    @property
    def mcse(self) -> np.ndarray:
        """Monte Carlo standard error, ``√(B/(B−1) Σ_b influence_b²)``, shape (N,)."""
        return np.concatenate([batch_error(self.batch[where]) for where in _chunks(len(self.score))])

    def summed(self, membership: np.ndarray, count: int) -> Scored:
        """Scores of groups of rows: sums over the rows with each label 0 … count−1."""

        def add(values: Any) -> np.ndarray:
            out = np.zeros((count, *values.shape[1:]))
            for where in _chunks(len(values)):
                np.add.at(out, membership[where], values[where].astype(float))
            return out

        return Scored(add(self.score), add(self.batch), add(self.group))

    def replicates(self, rng: np.random.Generator, count: int, *, together: int = 1) -> Iterator[np.ndarray]:
        """Scores under other draws and other failures, ``together`` of them at a time: shape (together, N).

        Monte Carlo error by a Gaussian multiplier on the batches, failures by the Bayesian bootstrap (Rubin 1981,
        doi:10.1214/aos/1176345338) with its variance made unbiased, ``(G + 1)/(G − 1)``; both studentised, since their
        spread is itself an estimate from few batches and few failures.
        """
        for start in range(0, count, together):
            factors = [self._factors(rng) for _ in range(start, min(start + together, count))]
            noise, share = (np.array(part).T for part in zip(*factors, strict=True))
            out = np.empty((len(factors), len(self.score)))
            for where in _chunks(len(self.score)):
                out[:, where] = (self.batch[where] @ noise + self.group[where] @ share).T
            yield np.add(out, self.score, out=out)

    def _factors(self, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """What one replicate multiplies the batches (B,) and the groups of failures (G,) with."""
        B, G = self.batch.shape[1], self.group.shape[1]
        spread = np.sqrt((G + 1) / (G - 1)) if G > 1 else 0.0
        noise = _student_scale(rng, B) * np.sqrt(B / (B - 1)) * rng.standard_normal(B)
        return noise, _student_scale(rng, G) * spread * (rng.dirichlet(np.ones(G)) * G - 1)


def _chunks(rows: int) -> Iterator[slice]:
    return (slice(start, min(start + CHUNK, rows)) for start in range(0, rows, CHUNK))


def _student_scale(rng: np.random.Generator, parts: int) -> float:
    """``√(ν/χ²_ν)`` with ν = parts − 1: turns a Gaussian into Student's t."""
    return float(np.sqrt((parts - 1) / rng.chisquare(parts - 1))) if parts > 1 else 1.0


def batch_error(batch: np.ndarray) -> np.ndarray:
    """Standard error of a sum of batch influences, shape (N, B) → (N,)."""
    B = batch.shape[1]
    return np.sqrt(B / (B - 1) * np.square(batch.astype(float)).sum(axis=1))


LogLik = Callable[[np.ndarray, slice], np.ndarray]
"""``(theta (S, P), rows) → (S, n)``: pointwise log-likelihood of a block of rows, or what ``A @`` takes instead."""


def batch_influence(product: np.ndarray, A: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Weighted mean, and the influence of each batch on it."""
    count = len(A) - 1
    mean, by_batch = product[0], product[1 : 1 + count]
    return mean, by_batch - np.outer(A[1:].sum(axis=1), mean)


def ranks(score: np.ndarray) -> np.ndarray:
    """Rank of each score, the highest first, ties by position; shape (N,), from one.

    Examples
    --------
    >>> ranks(np.array([0.1, 0.9, 0.1]))
    array([2, 1, 3], dtype=int32)
    """
    order = np.argsort(-score)
    if _has_ties(score[order]):  # a stable sort takes twice as long
        order = np.argsort(-score, kind="stable")
    out = np.empty(len(score), dtype=np.int32)
    out[order] = np.arange(1, len(score) + 1, dtype=np.int32)
    return out


def _has_ties(in_order: np.ndarray) -> bool:
    return bool((in_order[1:] == in_order[:-1]).any())


def rank_summary(
    scored: Scored, *, top: int, rng: np.random.Generator, replicates: int = 200
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """P(rank ≤ top) and a central 90 % interval of the rank of each row.

    Only the smallest and the largest twentieth of each row's ranks are held, never all replicates.

    Returns
    -------
    prob_top, rank_low, rank_high : array, shape (N,)
    """
    held = max(1, replicates // 20)
    size = len(scored.score)
    hits = np.zeros(size, np.int32)
    low, high = np.full((held, size), size + 1, np.int32), np.zeros((held, size), np.int32)
    for chunk in scored.replicates(rng, replicates, together=held):
        seen = np.array([ranks(replicate) for replicate in chunk])
        for where in _chunks(size):  # a few rows at a time: sorting needs all these ranks once more
            some = seen[:, where]
            hits[where] += (some <= top).sum(axis=0, dtype=np.int32)
            low[:, where] = np.sort(np.concatenate([low[:, where], some]), axis=0)[:held]
            high[:, where] = np.sort(np.concatenate([high[:, where], some]), axis=0)[-held:]
    return hits / replicates, low[-1].astype(int), high[0].astype(int)
