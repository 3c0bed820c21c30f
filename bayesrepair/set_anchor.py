"""Where a search for a set of rows stands: draws of D∖C and of D∖C+F, and all that is read off them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from bayesrepair.edit import Editor
from bayesrepair.fit import Change, Factor, Fit
from bayesrepair.moved import Moved, moved_by
from bayesrepair.numerics.blocks import row_blocks
from bayesrepair.numerics.psis import khat_threshold, smooth
from bayesrepair.numerics.scoring import batch_error
from bayesrepair.numerics.set_moves import Quadratic, pooled
from bayesrepair.rows import Rows
from bayesrepair.target import weighted_log_lik

RUNGS = ("base", "weights", "transport")
BETWEEN = "transport, weights"
TINY = np.finfo(float).tiny


@dataclass(frozen=True, eq=False)
class Step:
    """One set, measured.

    Parameters
    ----------
    members : frozenset of int
        Positions among the rows as they stand.
    score : float
        ``log p(F|D∖C) − log p(F|D)``, nats.
    influence : array, shape (B,)
        Of each batch of draws on the score.
    gains : tuple of array
        Change of the log score of each watched row: guard rows first, then rows that only judge.
    guard_influence : array, shape (B,)
        On the mean change of the guard.
    khat, ess : float
        Of the worse of the two weightings.
    reliable : bool
        Whether k̂ is small enough for the number of draws.
    rung : str
        ``transport``, ``weights``, or `BETWEEN` where a set was weighed from the transported draws of a smaller one.
    """

    members: frozenset[int]
    score: float
    influence: np.ndarray
    gains: tuple[np.ndarray, ...]
    guard_influence: np.ndarray
    khat: float
    ess: float
    reliable: bool
    rung: str

    @property
    def mcse(self) -> float:
        """Monte Carlo error of the score."""
        return float(batch_error(self.influence[None])[0])

    @property
    def guard(self) -> float:
        """Mean change of the guard's log scores, nats a row; nan without a guard."""
        return float(self.gains[0].mean()) if len(self.gains[0]) else np.nan

    @property
    def guard_mcse(self) -> float:
        """Its Monte Carlo error."""
        return float(batch_error(self.guard_influence[None])[0]) if len(self.gains[0]) else np.nan

    def guarded(self, tolerance: float) -> bool:
        """Whether the guard holds beyond two Monte Carlo errors."""
        return not len(self.gains[0]) or self.guard - 2 * self.guard_mcse >= -tolerance


@dataclass(frozen=True, eq=False)
class Ground:
    """The problem that a search moves on.

    Parameters
    ----------
    fit : Fit
    failures : Rows
        F.
    watched : sequence of Rows
        The guard first, then rows that only judge.
    editor : Editor or None
        None where only plain weights can serve.
    pool : int
        Candidate rows at most.
    reach : int
        Size of the sets that are looked for.
    surprise : array, shape (N,)
        Of the rows as they stand.
    seed : int
    """

    fit: Fit
    failures: Rows
    watched: Sequence[Rows]
    editor: Editor | None
    pool: int
    reach: int
    surprise: np.ndarray
    seed: int

    @cached_property
    def rows(self) -> Rows:
        """The training rows as they stand."""
        return self.fit.current()[0]

    @cached_property
    def weight(self) -> np.ndarray:
        """Their weights."""
        return self.fit.current()[1]

    @cached_property
    def start(self) -> Anchor:
        """The anchor of the empty set."""
        return self.anchor(frozenset())

    @cached_property
    def _probing(self) -> Change:
        """F inserted: found among the rows once, since looking rows up takes longer than weighing them."""
        return self.fit.change(Factor(self.failures, 1.0))

    def _moved(self, members: frozenset[int], *, probe: bool) -> Moved:
        at = np.array(sorted(members), dtype=int)
        change = self._probing if probe else self.fit.change()
        if self.fit.edits and len(at):  # a relabelled row stands elsewhere among the rows of a change
            gone = Factor(self.rows.at(at), -self.weight[at])
            change = self.fit.change(gone, Factor(self.failures, 1.0)) if probe else self.fit.change(gone)
        elif len(at):
            after = change.after.copy()
            after[at] -= self.weight[at]
            change = replace(change, after=after)
        return moved_by(change, editor=self.editor, rng=np.random.default_rng(self.seed))

    def anchor(self, members: frozenset[int]) -> Anchor:
        """Draws brought to D∖C and D∖C+F."""
        return Anchor(self, members, self._moved(members, probe=False), self._moved(members, probe=True))

    def predicted_khat(self, members: frozenset[int]) -> float:
        """Pareto k̂ of deleting C from the draws as they were sampled, by plain weights."""
        at = np.array(sorted(members), dtype=int)
        draws = self.fit.draws
        total = weighted_log_lik(self.fit.model, draws.theta, self.rows.at(at), -self.weight[at])
        return smooth(draws.log_weights + total, r_eff=draws.r_eff)[1]


@dataclass(frozen=True, eq=False)
class Anchor:
    """Draws of D∖C (``plain``) and of D∖C+F (``probe``).

    Holds 2 × draws × candidates numbers in float64 while its candidates are looked at; the draws × rows matrix never.
    """

    ground: Ground
    members: frozenset[int]
    plain: Moved
    probe: Moved

    @cached_property
    def step(self) -> Step:
        """The set itself, measured."""
        return self.steps([(self.members, self.plain, self.probe)])[0]

    def steps(self, sets: Sequence[tuple[frozenset[int], Moved, Moved]]) -> list[Step]:
        """Measure sets that share the draws of this anchor."""
        ground = self.ground
        weights = np.stack([plain.weights for _, plain, _ in sets], axis=1)
        seen = [pointwise(ground.fit, self.plain.theta, weights, rows) for rows in ground.watched]
        is_start = not self.members and len(sets) == 1
        first = None if is_start else ground.start.step
        out = []
        for k, (members, plain, probe) in enumerate(sets):
            score, influence = probe.log_mean - plain.log_mean, probe.influence - plain.influence
            guard = plain.by_batch(weights[:, k] * (seen[0][1][:, k] - 1))
            gains = tuple(scores[:, k] for scores, _ in seen)
            if first is not None:
                score, influence = score - first.score, influence - first.influence
                guard = guard - first.guard_influence
                gains = tuple(g - b for g, b in zip(gains, first.gains, strict=True))
            rung = max(plain.rung, probe.rung, key=RUNGS.index)
            rung = rung if members == self.members or rung != "transport" else BETWEEN
            khat, ess = max(plain.khat, probe.khat), min(plain.ess, probe.ess)
            reliable = khat <= khat_threshold(len(plain))
            out.append(Step(members, score, influence, gains, guard, khat, ess, bool(reliable), rung))
        return out

    @property
    def chance(self) -> float:
        """What deleting rows can gain unseen rows where none is bad: ``p / 2N`` nats a row.

        So much worse than the best parameters a fit to N rows predicts, on average, for its own sampling noise alone
        (Akaike 1974, doi:10.1109/TAC.1974.1100705). p is the effective number of parameters, the sum of the posterior
        variances of ``log p_i`` (Gelman et al. 2014, doi:10.1007/s11222-013-9416-2), at most P.
        """
        size = int((self.ground.weight > 0).sum())
        return float(min(self.screened[3].sum(), self.plain.theta.shape[1]) / (2 * size))

    @cached_property
    def screened(self) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """First order, own second order, covariance score and variance of every row: one streaming pass over them.

        Returns
        -------
        linear, own, covariance, variance : array, shape (N,)
        """
        ground, fit = self.ground, self.ground.fit
        failed = weighted_log_lik(fit.model, self.plain.theta, ground.failures, np.ones(len(ground.failures)))
        failed = failed - self.plain.weights @ failed
        linear, own, covariance, variance = (np.zeros(len(ground.rows)) for _ in range(4))
        for where, block in row_blocks(ground.rows, len(self.plain)):
            moments = []
            for side in (self.plain, self.probe):
                log_lik = fit.model.log_lik(side.theta, block) * -ground.weight[where]
                mean = side.weights @ log_lik
                moments.append((mean, side.weights @ np.square(log_lik - mean)))
                if side is self.plain:
                    covariance[where] = (side.weights * failed) @ log_lik
            linear[where], own[where] = moments[1][0] - moments[0][0], moments[1][1] - moments[0][1]
            variance[where] = moments[0][1]
        return linear, own, covariance, variance

    @cached_property
    def candidates(self) -> np.ndarray:
        """Positions of the rows to choose among: the set itself, and the best by four criteria.

        Alone; with as many twins as a set has rows (masked rows gain little alone); by their covariance with the
        failures; by their surprise.
        """
        ground = self.ground
        linear, own, covariance, _ = self.screened
        criteria = [linear + own / 2, linear + ground.reach * own / 2, covariance, ground.surprise]
        usable = (ground.weight > 0) & np.isfinite(linear + own)
        best = pooled([np.where(usable, values, -np.inf) for values in criteria], ground.pool)
        return np.union1d(best[usable[best]], np.array(sorted(self.members), dtype=int))

    @cached_property
    def z(self) -> tuple[np.ndarray, np.ndarray]:
        """``± weight · log p_i`` of the candidates at both kinds of draws, each (S, M)."""
        ground, at = self.ground, self.candidates
        sign = np.where(np.isin(at, list(self.members)), 1.0, -1.0) * ground.weight[at]
        rows = ground.rows.at(at)
        return tuple(ground.fit.model.log_lik(side.theta, rows) * sign for side in (self.plain, self.probe))

    @cached_property
    def quadratic(self) -> Quadratic:
        """The second-order expansion over the candidates."""
        moments = []
        for side, z in zip((self.plain, self.probe), self.z, strict=True):
            mean = side.weights @ z
            centred = (z - mean) * np.sqrt(side.weights)[:, None]
            moments.append((mean, centred.T @ centred))
        guard = np.zeros(len(self.candidates))
        if len(self.ground.watched[0]):
            weights = self.plain.weights[:, None]
            _, density = pointwise(self.ground.fit, self.plain.theta, weights, self.ground.watched[0])
            guard = (weights[:, 0] * (density[:, 0] - 1)) @ self.z[0]
        member = np.isin(self.candidates, list(self.members))
        return Quadratic(moments[1][0] - moments[0][0], moments[1][1] - moments[0][1], guard, member)

    def after(self, moves: Sequence[int]) -> tuple[frozenset[int], Moved, Moved]:
        """The set after some moves of candidates (positions among them), by weights on these draws."""
        at = self.candidates[list(moves)]
        members = self.members.symmetric_difference(at.tolist())
        plain, probe = (
            side.times(z[:, list(moves)].sum(axis=1)) for side, z in zip((self.plain, self.probe), self.z, strict=True)
        )
        return frozenset(members), plain, probe


def pointwise(fit: Fit, theta: np.ndarray, weights: np.ndarray, rows: Rows) -> tuple[np.ndarray, np.ndarray]:
    """Log score of each row under several weightings of the same draws, streamed over rows.

    Parameters
    ----------
    theta : array, shape (S, P)
    weights : array, shape (S, K)
    rows : Rows

    Returns
    -------
    log_score : array, shape (n, K)
    density : array, shape (S, K)
        Mean over rows of ``p(row|θ_s) / E[p(row|θ)]``: its weighted deviation from one is what a draw adds to the
        mean log score.
    """
    scores = np.zeros((len(rows), weights.shape[1]))
    density = np.zeros(weights.shape)
    for where, block in row_blocks(rows, len(theta)):
        log_lik = fit.model.log_lik(theta, block)
        highest = log_lik.max(axis=0)
        relative = np.exp(log_lik - highest)
        mean = np.maximum(weights.T @ relative, TINY)
        scores[where] = np.log(mean).T + highest[:, None]
        density += relative @ (1 / mean).T
    return scores, density / max(1, len(rows))
