"""Causes: the training rows ranked by how much they work against the failures."""

from __future__ import annotations

import html
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd

from bayesrepair.edit import EDITORS, Editor, edit
from bayesrepair.failures import Failures
from bayesrepair.fit import Factor, Fit
from bayesrepair.group_causes import GroupCauses, group_causes
from bayesrepair.judgement import Info
from bayesrepair.model import Differentiable
from bayesrepair.numerics.blocks import row_blocks
from bayesrepair.numerics.loo import loo_log_score
from bayesrepair.numerics.scoring import Scored, Side, batches, rank_summary
from bayesrepair.posterior import Draws
from bayesrepair.predictive import given_outcome
from bayesrepair.progress import row_progress
from bayesrepair.ranking import ranked
from bayesrepair.rows import Rows
from bayesrepair.scores import SCORES, BlockScore
from bayesrepair.scores.insertion import InsertionScore
from bayesrepair.set_path import STARTS
from bayesrepair.set_score import SetScore, moved_set_score, set_score
from bayesrepair.set_search import SetSearch, set_search
from bayesrepair.status import DataError, MethodError
from bayesrepair.top import Top

if TYPE_CHECKING:
    from bayesrepair.fusion import Joined
    from bayesrepair.regime import Regime
    from bayesrepair.suspects import Suspects

FEW_FAILURES = 30  # below it a 90 % rank interval covers clearly less: `python -m benchmarks ranks`
FAILURE_GROUPS = 24  # beyond it, failures share a place in the bootstrap

Against = Literal["failures", "held_out"]


@dataclass(frozen=True, eq=False)
class Causes:
    """Training rows ranked by cause score; **a positive score works against the failures**.

    Parameters
    ----------
    fit : Fit
    failures : Rows
        The rows that scored: the failures, or all held-out rows.
    scores : DataFrame
        One line a training row, sorted by ``score`` descending, ties by row.
    scored : Scored
        The scores with the parts of their errors, in the order of ``rows``.
    rows : Rows
        The training rows that were scored.
    method : str
    top_size : int
        The K of ``prob_top``.
    after : Draws
        The posterior given D and F, for joint scores (weights on the draws of D where nothing was moved).
    info : Info, optional
        How the failures were inserted; None for scores that are no edits.
    found : Failures, optional
        The failures as found, with the held-out rows around them.
    against : {"failures", "held_out"}
        What a positive score works against.
    """

    fit: Fit
    failures: Rows
    scores: pd.DataFrame
    scored: Scored
    rows: Rows
    method: str
    top_size: int
    after: Draws
    info: Info | None
    found: Failures | None = None
    against: Against = "failures"

    def __len__(self) -> int:
        return len(self.scores)

    def frame(self) -> pd.DataFrame:
        """Columns ``score, mcse, prob_top, rank_low, rank_high, given, surprise``, then the table's own."""
        return self.scores.copy()

    def top(self, k: int | None = None) -> Top:
        """The ``k`` rows that work hardest against the failures (default: the K of ``prob_top``)."""
        k = self.top_size if k is None else k
        if not 0 <= k <= len(self):
            raise DataError(f"k between 0 and {len(self)}", f"{k}")
        return Top(self, k)

    def by(self, column: str | pd.Series) -> GroupCauses:
        """Scores of groups of rows: which annotator, site or batch.

        Parameters
        ----------
        column : str or Series
            A column of the fit's table, or group labels indexed by row id.

        Raises
        ------
        DataError
            If there is no such column, or a row has no label.
        """
        return group_causes(self, self._labels(column))

    def with_suspects(self, suspects: Suspects) -> Joined:
        """Both lists in one: rows that work against the failures *and* are probably wrong come first.

        See `bayesrepair.fusion.join`.
        """
        from bayesrepair.fusion import join

        return join(self, suspects)

    @cached_property
    def regime(self) -> Regime:
        """What the failures look like, and whether to believe this list or the suspects; `bayesrepair.regime`."""
        from bayesrepair.regime import regime

        return regime(self)

    def joint(
        self,
        rows: Iterable | pd.DataFrame,
        *,
        method: Literal["auto", "weights", "transport"] = "auto",
        random_seed: int | np.random.Generator | None = 0,
    ) -> SetScore:
        """Exact score of deleting a set of rows together (Tanno et al. 2022, eq. 4).

        ``log p(F|D∖C) − log p(F|D) = log E_{D+F}[1/p(C|θ)] − log E_D[1/p(C|θ)]``; positive: deleting C helps the
        failures. Row scores add up to it only to first order.

        Parameters
        ----------
        rows : iterable of row ids, or DataFrame
            The set C; of a frame the index is used.
        method : {"auto", "weights", "transport"}
            ``"weights"``: the two expectations as they stand, cheap, and unreliable where C weighs much.
            ``"transport"``: the draws are moved to D∖C, D+F and D∖C+F first. ``"auto"``: weights, and transport
            where their k̂ is bad and the model has gradients.
        random_seed : int or Generator, optional
            For the draws that fit the maps.

        Returns
        -------
        SetScore
            ``reliable`` says whether the k̂ of all weights behind it is good; ``method`` what served.

        Raises
        ------
        DataError
            If an id is unknown.
        MethodError
            If the method is unknown, or the model has no gradient for ``"transport"``.
        """
        if method not in ("auto", "weights", "transport"):
            raise MethodError("method='auto', 'weights' or 'transport'", repr(method))
        ids = rows.index if isinstance(rows, pd.DataFrame) else list(rows)
        current, weight = self.fit.current()
        at = current.positions(ids)
        chosen = current.at(at)
        if method != "transport":
            score = set_score(self.fit, chosen, self.failures, self.after, weight=weight[at])
            if method == "weights" or score.reliable or not isinstance(self.fit.model, Differentiable):
                return score
        moved = moved_set_score(self.fit, chosen, self.failures, weight=weight[at], random_seed=random_seed)
        return moved if method == "transport" or moved.khat <= score.khat else score

    def search(
        self,
        size: int = 20,
        *,
        guard: Failures | Rows | Any | None = None,
        judge: Failures | None = None,
        folds: int = 2,
        tolerance: float = 0.01,
        method: Literal["transport", "weights"] = "transport",
        starts: Sequence[str] = STARTS,
        pool: int = 400,
        progressbar: bool = True,
        random_seed: int = 0,
    ) -> SetSearch:
        """Search the set of rows whose *joint* deletion helps the failures most and spares a guard.

        Maximises ``log p(F|D∖C) − log p(F|D)`` (Tanno et al. 2022, eq. 4) over sets C, which single scores cannot
        rank: rows may help only together, or one of them may be enough. Climbs from several starts propose rows by
        the second-order expansion of that score, then bring the draws to D∖C and D∖C+F by transport and look again;
        rows are put back or exchanged where that helps.

        Parameters
        ----------
        size : int
            Rows at most.
        guard : Failures, Rows or data, optional
            Rows that must not get worse: of a `Failures` the handled ones, otherwise all rows given that are no
            failures. By default the handled rows beside the failures, where the causes know them. A set may cost them
            ``tolerance`` nats a row: mean change of ``log p(g|·)``, each guard row predicted on its own, less two
            Monte Carlo errors, at least ``−tolerance``.
        judge : Failures, optional
            Failures and handled rows that took no part in anything, on which the size is chosen. By default the
            failures and guard rows are cross-fitted: each part judges sets that the others chose, and all of them
            choose the set that is returned.
        folds : int
            Parts of the cross-fitting.
        tolerance : float
            Nats a guard row.
        method : {"transport", "weights"}
            ``"weights"`` never moves the draws; so it is for models without gradients in any case.
        starts : sequence of str
            Some of ``top``, ``joint``, ``greedy``, ``apart`` (`bayesrepair.set_path`); fewer are faster.
        pool : int
            Candidate rows looked at together, chosen anew whenever the draws were moved. Memory: 2 × draws × pool
            numbers in float64.
        progressbar : bool
        random_seed : int

        Returns
        -------
        SetSearch
            With ``size`` 0 unless some set is clearly better than none on rows that took no part: the mean gain in
            log score over those failures and guard rows together (a row is a row: failures were selected for being
            wrong, and almost any change helps them) is above Student's 99.5 % point of its standard errors and above
            ``p / 2N``, what deletions can gain where no row is bad; the failures' gain is positive; the guard is
            within the tolerance; the k̂ of all weights behind it is good. Then the smallest such size within one
            standard error of the best. Clean data: `python -m benchmarks set_search`.

        Raises
        ------
        DataError
            If the size, the guard or the folds do not fit the data, or judging rows took part in the search.
        MethodError
            If the method or a start is unknown, or the posterior is not represented by draws.
        """
        return set_search(
            self,
            size,
            guard=guard,
            judge=judge,
            folds=folds,
            tolerance=tolerance,
            method=method,
            starts=starts,
            pool=pool,
            progressbar=progressbar,
            random_seed=random_seed,
        )

    def _labels(self, column: str | pd.Series) -> pd.Series:
        if isinstance(column, pd.Series):
            labels = column.reindex(self.rows.index)
        else:
            table = self.fit.table
            if table is None or column not in table.columns:
                known = "no table" if table is None else ", ".join(map(repr, table.columns))
                raise DataError(
                    f"a column of the fit's table named {column!r}",
                    known,
                    "Pass a Series of labels by row id instead.",
                )
            labels = table[column].reindex(self.rows.index)
        if labels.isna().any():
            raise DataError("a group for each row", f"{int(labels.isna().sum())} rows without one", "Fill them in.")
        return labels

    def plot(self, k: int = 20, *, ax: Any = None, figsize: tuple[float, float] | None = None) -> Any:
        """The top ``k`` scores with their Monte Carlo errors (right, positive: harmful); returns the axes."""
        from bayesrepair.reporting.plots import plot_causes

        return plot_causes(self, k, ax=ax, figsize=figsize)

    def _head(self) -> str:
        whom = "failures" if self.against == "failures" else "held-out rows, failures and handled ones"
        return (
            f"{len(self)} training rows ranked by cause score ({self.method}) against {len(self.failures)} {whom}; "
            f"a positive score works against them{self._caveat}"
        )

    @property
    def _caveat(self) -> str:
        few = len(self.failures) < FEW_FAILURES
        return "; with so few failures prob_top and the rank intervals are too sure of themselves" if few else ""

    def __repr__(self) -> str:
        return f"{self._head()}\n{self.regime}\n{self.scores.head(10).to_string(float_format='{:.4g}'.format)}"

    def _repr_html_(self) -> str:
        body = self.scores.head(10).to_html(escape=True, float_format="{:.4g}".format)
        return f"<p>{html.escape(self._head())}</p><p>{html.escape(str(self.regime))}</p>{body}"


def find_causes(
    fit: Fit,
    failures: Failures | Any,
    *,
    method: str | Editor = "covariance",
    against: Against = "failures",
    top: int = 20,
    block: int | None = None,
    progressbar: bool = True,
    random_seed: int | np.random.Generator | None = 0,
) -> Causes:
    """Rank the training rows by how much they work against the failures.

    ``score_i = E_D[log p_i] − E_{D+F}[log p_i]`` in nats, **positive = harmful to the failures** (Tanno et al. 2022,
    eq. 6-7, arXiv:2207.04806), or its first-order limit ``−Cov_D(log p_i, log p_F)``.

    Parameters
    ----------
    fit : Fit
    failures : Failures, Rows or data
        The failures F. Of a `Failures` only the failing rows are used, unless ``against`` says otherwise.
    method : str or Editor
        ``"covariance"`` (first order; never collapses), ``"single"`` (the sum over failures inserted one by one), or
        any editor that can insert F: ``"weights"``, ``"transport"``, ``"retrain"``, ``"auto"``.
    against : {"failures", "held_out"}
        ``"failures"``: which rows explain the failures. ``"held_out"``: which rows work against all held-out rows of
        a `Failures`, correctly handled ones included; where their outcomes can be trusted, that finds wrong training
        outcomes better, and removing the top rows costs the handled ones less.
    top : int
        K of ``prob_top = P(rank ≤ K)``.
    block : int, optional
        Rows in a block; the result does not depend on it.
    progressbar : bool
    random_seed : int or Generator, optional
        For the insertion, and for the replicates behind ``prob_top`` and the rank intervals.

    Returns
    -------
    Causes
        ``mcse`` is the Monte Carlo error alone; ``prob_top`` and the 90 % rank intervals also cover which failures
        happened to be seen (studentised Bayesian bootstrap over F). With few failures they are still too sure: the
        intervals covered the rank against the population in 91 % with 120 failures, 87 % with 30 and 76 % with 5
        (``python -m benchmarks ranks``). ``surprise`` is minus the PSIS-LOO log
        score.

    Raises
    ------
    DataError
        If there are no failures, or they lack the outcome.
    MethodError
        If ``method`` or ``against`` is unknown.
    """
    rows = _scoring_rows(fit, failures, against)
    _refuse_failures(fit, rows)
    rng = np.random.default_rng(random_seed)
    current, weight = fit.current()
    train = current.at(np.flatnonzero(weight > 0))
    group = np.arange(len(rows)) % FAILURE_GROUPS
    score, after, info = _block_score(fit, rows, group, method, rng)
    scored, surprise = _stream(fit, train, score, block, progressbar)
    prob_top, low, high = rank_summary(scored, top=top, rng=rng, replicates=_replicates(len(train)))
    columns = {
        "score": scored.score,
        "mcse": scored.mcse,
        "prob_top": prob_top,
        "rank_low": low,
        "rank_high": high,
        "given": given_outcome(fit, train),
        "surprise": surprise,
    }
    frame = ranked(pd.DataFrame(columns, index=train.index), "score", fit.table)
    name = method if isinstance(method, str) else type(method).__name__
    found = failures if isinstance(failures, Failures) else None
    return Causes(fit, rows, frame, scored, train, name, min(top, len(train)), after, info, found, against)


def _scoring_rows(fit: Fit, failures: Failures | Any, against: Against) -> Rows:
    if against not in ("failures", "held_out"):
        raise MethodError("against='failures' or 'held_out'", repr(against))
    if not isinstance(failures, Failures):
        return fit.as_rows(failures)
    return failures.rows if against == "failures" else failures.holdout


def _replicates(count: int) -> int:
    """Replicates of all ranks: 200, and fewer where sorting so many rows would take minutes."""
    return int(np.clip(40_000_000 // max(count, 1), 40, 200))


def _refuse_failures(fit: Fit, rows: Rows) -> None:
    if not len(rows):
        raise DataError("at least one failure", "none", "Nothing to explain: the fit gets every held-out row right.")
    if fit.model.outcome.name not in rows.values:
        raise DataError(f"the outcome {fit.model.outcome.name!r} of each failure", "failures without it")


def _block_score(
    fit: Fit, rows: Rows, group: np.ndarray, method: str | Editor, rng: np.random.Generator
) -> tuple[BlockScore, Draws, Info | None]:
    draws = fit.draws
    side = Side(draws.theta, draws.weights, batches(draws.chain))
    if isinstance(method, str) and method in SCORES:
        failures = failure_log_lik(fit, draws.theta, rows)
        after = Draws(draws.theta, draws.log_weights + failures.sum(axis=1), draws.chain, draws.r_eff)
        return SCORES[method](side, failures, group, draws.r_eff), after, None
    if isinstance(method, str) and method not in EDITORS:
        known = ", ".join(map(repr, [*SCORES, *EDITORS]))
        raise MethodError(f"one of {known}", repr(method), "Pass one of these names.")
    edited = edit(fit, Factor(rows, 1.0), method=method, random_seed=rng)
    after = edited.after.draws
    afterwards = Side(after.theta, after.weights, batches(after.chain))
    groups = np.zeros((int(group.max()) + 1, len(after)))
    np.add.at(groups, group, failure_log_lik(fit, after.theta, rows).T)
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


def _stream(
    fit: Fit, train: Rows, score: BlockScore, block: int | None, progressbar: bool
) -> tuple[Scored, np.ndarray]:
    """Scores and surprise of all training rows, block by block; nothing of size draws × rows outlives a block."""
    draws = fit.draws
    log_w = np.log(np.maximum(draws.weights, np.finfo(float).tiny))
    parts, surprise = [], []
    with row_progress("Scoring training rows", len(train), shown=progressbar) as progress:
        for _, rows in row_blocks(train, len(draws), size=block):
            held: dict[int, np.ndarray] = {}

            def log_lik(theta: np.ndarray, where: slice, rows: Rows = rows, held: dict = held) -> np.ndarray:
                if id(theta) not in held:
                    held[id(theta)] = fit.model.log_lik(theta, rows)
                return held[id(theta)]

            part = score(log_lik, slice(0, len(rows)))
            parts.append(Scored(part.score, part.batch.astype(np.float32), part.group.astype(np.float32)))
            loo, _ = loo_log_score(log_lik(draws.theta, slice(0, len(rows))), log_w, r_eff=draws.r_eff)
            surprise.append(-loo)
            progress(len(rows))
    joined = (np.concatenate([getattr(p, name) for p in parts]) for name in ("score", "batch", "group"))
    return Scored(*joined), np.concatenate(surprise)
