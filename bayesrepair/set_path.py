"""Climbing from the empty set to the best sets of each size, from several starts."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import numpy as np

from bayesrepair.set_anchor import BETWEEN, Anchor, Ground, Step

BATCHES_A_CLIMB = 4  # at least so often the draws are brought along
EXCHANGES = 4  # a climb, at most
SMALLEST_GAIN = 0.1  # nats that an exchange must promise
FOLLOWED = 0.1  # of the effective draws that must be left after a batch, before the draws are brought along
REFUSALS = 5  # rows a climb may find to hurt the guard before it ends
OVERLAP = 0.5  # of two paths that count as the same start

STARTS = ("top", "joint", "greedy", "apart")
"""Where climbs begin.

``top``: the rows by their single scores. ``joint``: the path whose predicted score at full size is the best.
``greedy``: always the row that gains most next. ``apart``: the best predicted path that shares at most half of its
rows with ``joint``.
"""


@dataclass
class Path:
    """The best sets so far, by size.

    Parameters
    ----------
    tolerance : float
        Nats a guard row that a set may cost.
    best : dict of int to Step
    passed : set of frozenset of int
        Sets where a climb has stood: another one that comes there has nothing new to find.
    """

    tolerance: float
    best: dict[int, Step] = field(default_factory=dict)
    passed: set[frozenset[int]] = field(default_factory=set)

    def offer(self, step: Step) -> bool:
        """Keep a set where it is the best of its size that spares the guard; whether it spares the guard."""
        spared = step.guarded(self.tolerance)
        held = self.best.get(len(step.members))
        if spared and step.members and (held is None or _worth(step) > _worth(held)):
            self.best[len(step.members)] = step
        return spared

    def __iter__(self) -> Iterator[Step]:
        return (self.best[size] for size in sorted(self.best))


def _worth(step: Step) -> tuple[bool, float]:
    return step.reliable, step.score


def search_path(
    ground: Ground,
    *,
    top: np.ndarray | None,
    tolerance: float,
    starts: tuple[str, ...],
    advance: Callable[[int], None],
) -> Path:
    """The best set of each size up to ``ground.reach`` that any climb passes.

    Parameters
    ----------
    ground : Ground
    top : array of int, optional
        Positions by single score, most harmful first; by the covariance score where not given.
    tolerance : float
    starts : tuple of str
        Some of `STARTS`.
    advance : callable
        Told after each climb.
    """
    path, anchor = Path(tolerance), ground.start
    if top is None:
        top = ranked(ground)
    for name, moves in _first_moves(anchor, top, tolerance, starts):
        _climb(path, anchor, moves, greedy=name == "greedy", fixed=name == "top")
        advance(1)
    _measured_again(path, ground)
    return path


def _measured_again(path: Path, ground: Ground) -> None:
    """Sets that were only weighed from draws of a smaller set get draws of their own."""
    for size, step in list(path.best.items()):
        if step.rung == BETWEEN:
            own = ground.anchor(step.members).step
            if own.guarded(path.tolerance):
                path.best[size] = own
            else:
                del path.best[size]


def ranked(ground: Ground) -> np.ndarray:
    """Positions of the rows by their covariance score, most harmful first."""
    covariance = np.where(ground.weight > 0, ground.start.screened[2], -np.inf)
    return np.argsort(-covariance, kind="stable")[: int((ground.weight > 0).sum())]


def _first_moves(
    anchor: Anchor, top: np.ndarray, tolerance: float, starts: tuple[str, ...]
) -> Iterator[tuple[str, list[int]]]:
    """The first path of each start, as positions among the candidates."""
    ground = anchor.ground
    order, value = anchor.quadratic.paths(ground.reach, slack=tolerance)
    first: set[int] = set()
    for name in starts:
        if name == "top":
            where = {int(row): i for i, row in enumerate(anchor.candidates)}
            yield name, [where[i] for i in top[: ground.reach].tolist() if i in where]
        elif name == "greedy":
            yield name, _best(order, value, 1)
        elif name == "apart":
            apart = np.array([len(first & set(line.tolist())) <= OVERLAP * len(first) for line in order], dtype=bool)
            if apart.any():
                yield name, _best(order[apart], value[apart], None)
        else:
            moves = _best(order, value, None)
            first = set(moves)
            yield name, moves


def _best(order: np.ndarray, value: np.ndarray, horizon: int | None) -> list[int]:
    """The path of the highest value at its best length, or within ``horizon``; empty where nothing gains."""
    if not order.size:
        return []
    seen = value[:, :horizon]
    line, length = np.unravel_index(seen.argmax(), seen.shape)
    if seen[line, length] <= 0:
        return []
    whole = order[line] if horizon is not None else order[line, : length + 1]
    return whole[whole >= 0].tolist()


def _climb(path: Path, anchor: Anchor, moves: list[int], *, greedy: bool, fixed: bool) -> None:
    """Add rows batch by batch, bring the draws along after each, exchange rows where that helps."""
    ground = anchor.ground
    barred: set[int] = set()
    exchanges = EXCHANGES
    rows = [int(anchor.candidates[i]) for i in moves] if fixed else []
    while True:
        anchor, exchanges = _exchanged(path, anchor, exchanges, barred)
        room = ground.reach - len(anchor.members)
        if room <= 0 or len(barred) > REFUSALS or (not fixed and anchor.members in path.passed):
            return
        if anchor.members and not fixed:  # a fixed order goes on elsewhere
            path.passed.add(anchor.members)
        if fixed:
            where = {int(row): i for i, row in enumerate(anchor.candidates)}
            moves = [where[i] for i in rows if i in where and i not in anchor.members and i not in barred][:room]
        elif anchor.members or barred:
            moves = _best(*_paths(path, anchor, room, barred), horizon=1 if greedy else None)
        if not moves:
            return
        batch = _trusted(anchor, moves)
        following = _advanced(path, anchor, batch, barred)
        anchor = anchor if following is None else following


def _paths(path: Path, anchor: Anchor, room: int, barred: set[int]) -> tuple[np.ndarray, np.ndarray]:
    blocked = np.isin(anchor.candidates, list(barred))
    return anchor.quadratic.paths(room, slack=_slack(path, anchor), barred=blocked)


def _slack(path: Path, anchor: Anchor) -> float:
    """How far the guard may still fall."""
    if not anchor.members or not len(anchor.step.gains[0]):
        return path.tolerance
    return max(0.0, path.tolerance + anchor.step.guard - 2 * anchor.step.guard_mcse)


def _trusted(anchor: Anchor, moves: list[int]) -> list[int]:
    """The first moves, as many as weights on these draws can follow; one at least."""
    most = max(1, -(-anchor.ground.reach // BATCHES_A_CLIMB))
    kept = 1
    for k in range(2, min(most, len(moves)) + 1):
        _, plain, probe = anchor.after(moves[:k])
        if min(plain.ess, probe.ess) < FOLLOWED * min(anchor.plain.ess, anchor.probe.ess):
            break
        kept = k
    return moves[:kept]


def _advanced(path: Path, anchor: Anchor, batch: list[int], barred: set[int]) -> Anchor | None:
    """The anchor after a batch, its smaller sets offered on the way; None where the guard would suffer."""
    sets = [anchor.after(batch[:k]) for k in range(1, len(batch))]
    spared = [path.offer(step) for step in (anchor.steps(sets) if sets else [])]
    following = anchor.ground.anchor(anchor.after(batch)[0])
    if path.offer(following.step):
        return following
    kept = spared.index(False) if False in spared else len(spared)
    if kept:
        barred.add(int(anchor.candidates[batch[kept]]))
        return anchor.ground.anchor(sets[kept - 1][0])
    barred.add(int(anchor.candidates[batch[0]]))
    return None


def _exchanged(path: Path, anchor: Anchor, left: int, barred: set[int]) -> tuple[Anchor, int]:
    """Put rows back, alone or for others, while that raises the score."""
    while left and len(anchor.members) > 1:
        blocked = np.isin(anchor.candidates, list(barred))
        moves, gain = anchor.quadratic.exchange(slack=_slack(path, anchor), barred=blocked)
        if gain < SMALLEST_GAIN:
            break
        left -= 1
        other = anchor.ground.anchor(anchor.after(moves)[0])
        spared = path.offer(other.step)
        if not spared or other.step.score <= anchor.step.score:
            return anchor, 0
        anchor = other
    return anchor, left
