"""Which rows to move together: a second-order expansion of the joint score, and greedy paths through it.

The joint score of moving rows is a difference of cumulant generating functions. With ``z_i = ± log p_i`` (minus for a
row that is deleted, plus for one that is put back),

    r = log E_{D+F}[exp Σ z_i] − log E_D[exp Σ z_i] ≈ Σ_i a_i + ½ Σ_ij H_ij,
    a = E_{D+F}[z] − E_D[z],   H = Cov_{D+F}(z) − Cov_D(z).

The first order is the usual row score. H holds what row scores cannot see: rows that help only together (masking,
H > 0) and rows of which one is enough (redundancy, H < 0).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, eq=False)
class Quadratic:
    """The expansion, and what each move does to the guard.

    Parameters
    ----------
    linear : array, shape (M,)
        a, in nats.
    interaction : array, shape (M, M)
        H, in nats.
    guard : array, shape (M,)
        First-order change of the guard by each move, nats a guard row.
    member : array of bool, shape (M,)
        Rows that are in the set already: their move puts them back.

    Examples
    --------
    >>> pair = Quadratic(np.array([0.1, 0.1, 0.5]), np.zeros((3, 3)), np.zeros(3), np.zeros(3, bool))
    >>> pair.interaction[0, 1] = pair.interaction[1, 0] = 2.0  # 0 and 1 help only together
    >>> order, value = pair.paths(2, slack=1.0)
    >>> order[value[:, -1].argmax()], round(float(value.max()), 12)
    (array([0, 1]), 2.2)
    """

    linear: np.ndarray
    interaction: np.ndarray
    guard: np.ndarray
    member: np.ndarray

    @property
    def single(self) -> np.ndarray:
        """Gain of each move alone, shape (M,)."""
        return self.linear + np.diag(self.interaction) / 2

    def paths(self, room: int, *, slack: float, barred: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
        """From every row outside the set, add the row that gains most with those before it.

        Parameters
        ----------
        room : int
            Rows to add at most.
        slack : float
            How far the guard may still fall, nats a guard row; a path never goes beyond, to first order.
        barred : array of bool, shape (M,), optional
            Rows not to be added.

        Returns
        -------
        order : array of int, shape (seeds, room)
            Rows in the order of their addition; −1 where no row was allowed any more.
        value : array, shape (seeds, room)
            Predicted score after each addition; −inf where there was none.
        """
        free = ~self.member if barred is None else ~(self.member | barred)
        seeds = np.flatnonzero(free & (self.guard >= -slack))
        count = len(seeds)
        order, value = np.full((count, room), -1), np.full((count, room), -np.inf)
        gain = np.where(free, self.single, -np.inf)[None].repeat(count, axis=0)
        total, spent, line = np.zeros(count), np.zeros(count), np.arange(count)
        going, chosen = np.ones(count, bool), seeds
        for k in range(room):
            if k:
                allowed = np.where(spent[:, None] + self.guard >= -slack, gain, -np.inf)
                chosen = allowed.argmax(axis=1)
                going = going & np.isfinite(allowed[line, chosen])
            if not going.any():
                break
            total = total + np.where(going, gain[line, chosen], 0.0)
            spent = spent + np.where(going, self.guard[chosen], 0.0)
            order[going, k], value[going, k] = chosen[going], total[going]
            gain += np.where(going[:, None], self.interaction[chosen], 0.0)
            gain[line, chosen] = -np.inf
        return order, value

    def exchange(self, *, slack: float, barred: np.ndarray | None = None) -> tuple[list[int], float]:
        """The best way to put one row back, alone or for another one, and its predicted gain.

        Returns
        -------
        moves : list of int
            One row of the set, or one and a row from outside; empty where there is no row in the set.
        gain : float
            Nats; −inf where there is none.
        """
        inside = np.flatnonzero(self.member)
        free = ~self.member if barred is None else ~(self.member | barred)
        outside = np.flatnonzero(free)
        if not len(inside):
            return [], -np.inf
        single = self.single
        drop = np.where(self.guard[inside] >= -slack, single[inside], -np.inf)
        moves, gain = [int(inside[drop.argmax()])], float(drop.max())
        if len(outside):
            pair = single[inside][:, None] + single[outside] + self.interaction[np.ix_(inside, outside)]
            pair = np.where(self.guard[inside][:, None] + self.guard[outside] >= -slack, pair, -np.inf)
            i, j = np.unravel_index(pair.argmax(), pair.shape)
            if pair[i, j] > gain:
                moves, gain = [int(inside[i]), int(outside[j])], float(pair[i, j])
        return moves, gain


def pooled(criteria: list[np.ndarray], size: int) -> np.ndarray:
    """Positions that are among the best by any criterion, dealt in turn until ``size`` are found; sorted.

    Examples
    --------
    >>> pooled([np.array([9.0, 1.0, 2.0, 0.0]), np.array([0.0, 0.0, 1.0, 5.0])], 2)
    array([0, 3])
    """
    count = len(criteria[0])
    if size >= count:
        return np.arange(count)
    ranked = np.array([np.argsort(-values, kind="stable")[:size] for values in criteria])
    dealt = ranked.T.ravel()
    first = np.sort(np.unique(dealt, return_index=True)[1])[:size]
    return np.sort(dealt[first])
