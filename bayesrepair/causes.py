"""Causes: the training rows ranked by how much they work against the failures."""

from __future__ import annotations

import html
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd

from bayesrepair.arithmetic import Arithmetic, Precision
from bayesrepair.edit import Editor
from bayesrepair.failures import Against, Failures, scoring_rows
from bayesrepair.fit import Fit, Repaired, as_fit
from bayesrepair.group_causes import GroupCauses, group_causes
from bayesrepair.judgement import Info
from bayesrepair.model import Differentiable
from bayesrepair.numerics.scoring import Scored
from bayesrepair.posterior import Draws
from bayesrepair.rows import Rows
from bayesrepair.scored_rows import score_rows
from bayesrepair.set_path import STARTS
from bayesrepair.set_score import SetScore, moved_set_score, set_score
from bayesrepair.set_search import SetSearch, set_search
from bayesrepair.status import DataError, MethodError
from bayesrepair.streaming.stored_rows import StoredRows
from bayesrepair.top import Top

if TYPE_CHECKING:
    from bayesrepair.fusion import Joined
    from bayesrepair.regime import Regime
    from bayesrepair.suspects import Suspects

FEW_FAILURES = 30  # below it a 90 % rank interval covers clearly less: `python -m benchmarks ranks`


@dataclass(frozen=True, eq=False)
class Causes:
    """Rows ranked by cause score; **a positive score works against the failures**.

    Parameters
    ----------
    fit : Fit
    failures : Rows
        The rows that scored: the failures, or all held-out rows.
    scores : DataFrame
        One line a row, sorted by ``score`` descending, ties by row.
    scored : Scored
        The scores with the parts of their errors, in the order of ``rows``.
    rows : Rows or StoredRows
        The rows that were scored.
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
    own : bool
        Whether these are the rows that the fit was trained on, which alone can be taken out of it.
    arithmetic : Arithmetic
        What computed the log-likelihoods of the rows, in which precision, and what else was tried.
    """

    fit: Fit
    failures: Rows
    scores: pd.DataFrame
    scored: Scored
    rows: Rows | StoredRows
    method: str
    top_size: int
    after: Draws
    info: Info | None
    found: Failures | None = None
    against: Against = "failures"
    own: bool = True
    arithmetic: Arithmetic = field(default_factory=Arithmetic)

    def __len__(self) -> int:
        return len(self.scores)

    @property
    def training(self) -> Rows:
        """The fit's training rows: those that were scored, where they are its own."""
        return self.rows if self.own and isinstance(self.rows, Rows) else self.fit.rows

    def frame(self) -> pd.DataFrame:
        """Columns ``score, mcse, prob_top, rank_low, rank_high, given, surprise``, then the table's own."""
        return self.scores.copy()

    def to_parquet(self, path: str | Path) -> Path:
        """Write the frame, row ids included, to a Parquet file, a stretch of rows at a time; returns the path."""
        from bayesrepair.streaming.export import write_parquet

        return write_parquet(self.scores, path)

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
            If there is no such column, a row has no label, or the rows are not those of the fit.
        """
        self._refuse_foreign("groups")
        return group_causes(self, column)

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
            If an id is unknown, or the rows are not those of the fit.
        MethodError
            If the method is unknown, or the model has no gradient for ``"transport"``.
        """
        self._refuse_foreign("joint scores")
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
            If the size, the guard or the folds do not fit the data, judging rows took part in the search, or the causes
            are without surprise.
        MethodError
            If the method or a start is unknown, or the posterior is not represented by draws.
        """
        self._refuse_foreign("a search")
        if self.scores["surprise"].isna().all():
            raise DataError(
                "the surprise of each row for a search", "causes without it", "Call find_causes without surprise=False."
            )
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

    def _refuse_foreign(self, what: str) -> None:
        if not self.own:
            raise DataError(
                f"the fit's own training rows for {what}: only they can be taken out of it",
                f"{len(self)} rows that were scored beside them (rows=)",
                "Call find_causes without rows=.",
            )

    def plot(self, k: int = 20, *, ax: Any = None, figsize: tuple[float, float] | None = None) -> Any:
        """The top ``k`` scores with their Monte Carlo errors (right, positive: harmful); returns the axes."""
        from bayesrepair.reporting.plots import plot_causes

        return plot_causes(self, k, ax=ax, figsize=figsize)

    def _head(self) -> str:
        whom = "failures" if self.against == "failures" else "held-out rows, failures and handled ones"
        return (
            f"{len(self)} {'training rows' if self.own else 'rows'} ranked by cause score ({self.method}) against "
            f"{len(self.failures)} {whom}; "
            f"a positive score works against them{self._caveat}{self._single}"
        )

    @property
    def _caveat(self) -> str:
        few = len(self.failures) < FEW_FAILURES
        return "; with so few failures prob_top and the rank intervals are too sure of themselves" if few else ""

    @property
    def _single(self) -> str:
        return f". In single precision: {self.arithmetic.error}" if self.arithmetic.error is not None else ""

    def __repr__(self) -> str:
        return f"{self._head()}\n{self.regime}\n{self.scores.head(10).to_string(float_format='{:.4g}'.format)}"

    def _repr_html_(self) -> str:
        body = self.scores.head(10).to_html(escape=True, float_format="{:.4g}".format)
        return f"<p>{html.escape(self._head())}</p><p>{html.escape(str(self.regime))}</p>{body}"


def find_causes(
    fit: Fit | Repaired,
    failures: Failures | Any,
    *,
    method: str | Editor = "covariance",
    against: Against = "failures",
    rows: Any = None,
    top: int = 20,
    block: int | None = None,
    store: str | Path | None = None,
    client: Any = None,
    precision: Precision = "double",
    surprise: bool = True,
    progressbar: bool = True,
    random_seed: int | np.random.Generator | None = 0,
) -> Causes:
    """Rank rows by how much they work against the failures.

    ``score_i = E_D[log p_i] − E_{D+F}[log p_i]`` in nats, **positive = harmful to the failures** (Tanno et al. 2022,
    eq. 6-7, arXiv:2207.04806), or its first-order limit ``−Cov_D(log p_i, log p_F)``.

    Parameters
    ----------
    fit : Fit or Edited
        Of an edit, the fit after it.
    failures : Failures, Rows or data
        The failures F. Of a `Failures` only the failing rows are used, unless ``against`` says otherwise.
    method : str or Editor
        ``"covariance"`` (first order; never collapses), ``"single"`` (the sum over failures inserted one by one), or
        any editor that can insert F: ``"weights"``, ``"transport"``, ``"retrain"``, ``"auto"``.
    against : {"failures", "held_out"}
        ``"failures"``: which rows explain the failures. ``"held_out"``: which rows work against all held-out rows of
        a `Failures`, correctly handled ones included; where their outcomes can be trusted, that finds wrong training
        outcomes better, and removing the top rows costs the handled ones less.
    rows : DataFrame, Rows, mapping of arrays, path, Dask DataFrame or Dataset, optional
        What to rank, by default the training rows. A path is that of a CSV file, a Parquet file or a folder of Parquet
        files, which are never in memory as a whole. Of a row that the fit was not trained on, the covariance score is
        the derivative with respect to giving it weight: positive where learning the row would work against the
        failures.
    top : int
        K of ``prob_top = P(rank ≤ K)``.
    block : int, optional
        Rows in a block; the result does not depend on it.
    store : path, optional
        A folder, new or of this very run: results go there as a Zarr store while the rows are scored. A run that was
        killed or interrupted goes on where it was when the same call is made again, with the same results to the bit.
    client : distributed.Client or str, optional
        A Dask cluster whose workers score the rows, or the address of its scheduler. The results are those of one
        process, whatever happens to a worker; workers need this package, and files under the same paths.
    precision : {"double", "single"}
        ``"single"`` computes the log-likelihoods of the rows in float32, for likelihoods that have kernels; everything
        that is summed over draws stays in float64. ``causes.arithmetic.error`` says what that changes, measured on a
        sample of rows.
    surprise : bool
        Whether to compute the column ``surprise``, which looks at every draw of each row; without it the column is nan
        and `Causes.search` refuses, and under a normal likelihood of few columns no draw is looked at row by row.
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
        If there are no failures, they lack the outcome, ``rows`` are no rows of the model, or ``store`` holds another
        run.
    MethodError
        If ``method``, ``against`` or ``precision`` is unknown, or the likelihood has no kernel for single precision.
    ScoringInterrupted
        On Ctrl-C, where ``store`` keeps what was done.
    """
    fit = as_fit(fit)
    whom = scoring_rows(fit, failures, against)
    done = score_rows(
        fit,
        whom,
        method=method,
        rows=rows,
        top=top,
        block=block,
        store=store,
        client=client,
        precision=precision,
        surprise=surprise,
        progressbar=progressbar,
        rng=np.random.default_rng(random_seed),
    )
    return Causes(
        fit,
        failures=whom,
        scores=done.frame,
        scored=done.scored,
        rows=done.rows,
        method=method if isinstance(method, str) else type(method).__name__,
        top_size=min(top, len(done)),
        after=done.after,
        info=done.info,
        found=failures if isinstance(failures, Failures) else None,
        against=against,
        own=rows is None,
        arithmetic=done.arithmetic,
    )
