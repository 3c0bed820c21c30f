"""The set of training rows whose joint deletion helps the failures most without harming a guard."""

from __future__ import annotations

import html
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from scipy.special import stdtrit

from bayesrepair.edit import Editor
from bayesrepair.editors.transport import Transport
from bayesrepair.failures import Failures
from bayesrepair.model import Differentiable
from bayesrepair.numerics.scoring import batch_error
from bayesrepair.progress import row_progress
from bayesrepair.rows import Rows
from bayesrepair.set_anchor import Ground, Step
from bayesrepair.set_path import STARTS, Path, ranked, search_path
from bayesrepair.status import DataError, MethodError

if TYPE_CHECKING:
    from bayesrepair.causes import Causes
    from bayesrepair.top import Top

LEVEL = 0.005  # one-sided, for each size that is tried
QUICK = Transport(fit_draws=100, regression_draws=300, iterations=8, rounds=3)


@dataclass(frozen=True, eq=False)
class SetSearch:
    """The set that was found, the best set of each smaller size, and how they do on rows that took no part.

    The sets are chosen *on* the failures, so that ``score`` flatters them; ``unseen`` does not.

    Parameters
    ----------
    causes : Causes
    size : int
        Rows in the set; 0 where no set clearly helps rows that took no part.
    path : DataFrame
        Indexed by ``size``; see `frame`.
    sets : dict of int to Index
        Row ids of the best set of each size.
    comparison : DataFrame
        See `compared`.
    tolerance : float
        Nats a guard row that a set may cost.
    judged_on : str
        The rows behind ``unseen``, in words.
    """

    causes: Causes
    size: int
    path: pd.DataFrame
    sets: dict[int, pd.Index]
    comparison: pd.DataFrame
    tolerance: float
    judged_on: str

    @property
    def rows(self) -> pd.Index:
        """Ids of the rows of the set, for `bayesrepair.repair`."""
        return self.at(self.size)

    @property
    def top(self) -> Top:
        """The same rows with their causes, so that a report finds its way back."""
        return replace(self.causes.top(self.size), chosen=self.rows)

    @property
    def compared(self) -> pd.DataFrame:
        """The set beside as many rows from the top of the single scores, and the paired difference.

        Lines ``search``, ``top``, ``difference``; ``score`` and ``guard`` as in `frame` with their Monte Carlo
        errors, ``unseen`` with its standard error over rows. Where no set was chosen, the largest on the path.
        """
        return self.comparison.copy()

    def at(self, size: int) -> pd.Index:
        """Ids of the best set of another size on the path.

        Raises
        ------
        DataError
            If the path has no set of that size.
        """
        if size == 0:
            return self.causes.rows.index[:0]
        if size not in self.sets:
            raise DataError(f"a size among {', '.join(map(str, [0, *self.sets]))}", f"{size}")
        return self.sets[size]

    def frame(self) -> pd.DataFrame:
        """The path, indexed by ``size``.

        ``added`` and ``removed`` (ids, against the line before), ``score`` (``log p(F|D∖C) − log p(F|D)``, nats;
        positive: deleting C helps the failures) and ``mcse``, ``guard`` (mean change of the guard rows' log scores,
        nats a row; negative: they lose) and ``guard_mcse``, ``khat`` of the weights behind the line,
        ``predicted_khat`` of deleting C from the draws as they are, ``rung``, ``status`` (``estimated``, or
        ``unreliable`` where ``khat`` is bad), ``unseen`` (mean change of the log score of rows that took no part,
        nats a row) with ``unseen_se`` (over rows, given how many failures are among them), ``unseen_failures`` and
        ``unseen_guard``.
        """
        return self.path.copy()

    def plot(self, *, ax: Any = None, figsize: tuple[float, float] | None = None) -> Any:
        """Gain of rows that took no part for each size (up: better), and the size chosen; returns the axes."""
        from bayesrepair.reporting.plots import plot_search

        return plot_search(self, ax=ax, figsize=figsize)

    def _head(self) -> str:
        what = f"{self.size} rows to delete together" if self.size else "no set of rows clearly helps"
        return (
            f"{what} (of sets up to {max(self.sets, default=0)} rows; a guard row may lose {self.tolerance:g} nats). "
            f"score flatters: the sets were chosen on these failures; unseen: {self.judged_on}"
        )

    def __repr__(self) -> str:
        return f"{self._head()}\n{self.path.to_string(float_format='{:.4g}'.format)}"

    def _repr_html_(self) -> str:
        body = self.path.to_html(escape=True, float_format="{:.4g}".format)
        return f"<p>{html.escape(self._head())}</p>{body}"


@dataclass(frozen=True, eq=False)
class _Part:
    """Failures and guard rows that choose, and those that judge."""

    failures: Rows
    guard: Rows
    judging: tuple[Rows, Rows]


def set_search(
    causes: Causes,
    size: int = 20,
    *,
    guard: Failures | Rows | Any | None = None,
    judge: Failures | None = None,
    folds: int = 2,
    tolerance: float = 0.01,
    method: str = "transport",
    starts: Sequence[str] = STARTS,
    pool: int = 400,
    progressbar: bool = True,
    random_seed: int = 0,
) -> SetSearch:
    """See `Causes.search`."""
    _refuse(causes, size, starts, method, tolerance, pool)
    guarded = _guard(causes, guard)
    rng = np.random.default_rng(random_seed)
    parts = [_set_apart(causes, guarded, judge)] if judge is not None else _folds(causes, guarded, folds, rng)
    editor: Editor | None = QUICK if method == "transport" and isinstance(causes.fit.model, Differentiable) else None
    surprise = causes.scores["surprise"].reindex(causes.fit.rows.index).fillna(-np.inf).to_numpy()

    def searched(part: _Part, top: np.ndarray | None, advance: Callable[[int], None]) -> tuple[Ground, Path]:
        watched = (part.guard, *part.judging)
        ground = Ground(causes.fit, part.failures, watched, editor, pool, size, surprise, random_seed)
        return ground, search_path(ground, top=top, tolerance=tolerance, starts=tuple(starts), advance=advance)

    top = causes.fit.rows.positions(causes.scores.index)
    rounds = len(starts) * (1 if judge is not None else 1 + len(parts))
    with row_progress("Searching for the best set", rounds, shown=progressbar) as advance:
        nobody = causes.failures.at(slice(0, 0))
        whole = parts[0] if judge is not None else _Part(causes.failures, guarded, (nobody, nobody))
        ground, path = searched(whole, top, advance)
        tried = [(ground, path)] if judge is not None else [searched(part, None, advance) for part in parts]
    unseen = _Unseen.of(tried)
    chosen = unseen.chosen(tolerance, ground.start.chance)
    chosen = max((k for k, step in path.best.items() if k <= chosen and step.reliable), default=0)
    sets = {k: causes.fit.rows.index[sorted(step.members)] for k, step in sorted(path.best.items())}
    frame = _frame(ground, path, unseen)
    compared = _compared(ground, path, tried, top, chosen or max(path.best, default=0))
    words = (
        f"{sum(map(len, parts[0].judging))} rows set apart"
        if judge is not None
        else f"held-out rows in {folds} parts, each judging sets that the others chose"
    )
    return SetSearch(causes, chosen, frame, sets, compared, tolerance, words)


def _refuse(causes: Causes, size: int, starts: Sequence[str], method: str, tolerance: float, pool: int) -> None:
    usable = int((causes.fit.current()[1] > 0).sum())
    if not 1 <= size < usable:
        raise DataError(f"a size between 1 and {usable - 1}", f"{size}")
    if method not in ("transport", "weights"):
        raise MethodError("method='transport' or 'weights'", repr(method))
    if not starts or not set(starts) <= set(STARTS):
        raise MethodError(f"starts among {', '.join(map(repr, STARTS))}", f"{list(starts)}")
    if tolerance < 0:
        raise DataError("a tolerance of at least 0 nats a row", f"{tolerance:g}")
    if pool < size:
        raise DataError(f"a pool of at least {size} rows", f"{pool}")
    _ = causes.fit.draws  # says what is missing where the posterior is none


def _guard(causes: Causes, guard: Failures | Rows | Any | None) -> Rows:
    """The guard rows: of a `Failures` the handled ones, of anything else all rows that are no failures."""
    if guard is None:
        guard = causes.found if causes.found is not None and causes.against == "failures" else None
    if guard is None:
        return causes.failures.at(slice(0, 0))
    rows = guard.handled if isinstance(guard, Failures) else causes.fit.as_rows(guard)
    if causes.fit.model.outcome.name not in rows.values:
        raise DataError(f"the outcome {causes.fit.model.outcome.name!r} of each guard row", "rows without it")
    return rows.at(np.setdiff1d(np.arange(len(rows)), _shared(rows, causes.failures)))


def _shared(rows: Rows, others: Rows) -> np.ndarray:
    """Positions of rows that are also among the others, by id and content."""
    at = others.index.get_indexer(rows.index)
    found = np.flatnonzero(at >= 0)
    return found[others.same_content(at[found], rows, found)]


def _set_apart(causes: Causes, guard: Rows, judge: Failures) -> _Part:
    if len(judge.holdout) < 2:
        raise DataError("at least 2 rows to judge on", f"{len(judge.holdout)}", "Hold out more rows.")
    seen = len(_shared(judge.holdout, causes.failures)) + len(_shared(judge.holdout, guard))
    if seen:
        raise DataError(
            "judging rows that took no part",
            f"{seen} that are failures or guard rows",
            "Split the held-out rows first: one, other = failures.split(2).",
        )
    return _Part(causes.failures, guard, (judge.rows, judge.handled))


def _folds(causes: Causes, guard: Rows, folds: int, rng: np.random.Generator) -> list[_Part]:
    count = len(causes.failures)
    if folds < 2 or count < folds:
        raise DataError(
            f"2 folds or more, each with a failure of the {count}", f"{folds} folds", "Or pass rows apart as judge=."
        )
    fold = [rng.permutation(len(rows)) % folds for rows in (causes.failures, guard)]
    return [
        _Part(
            causes.failures.at(np.flatnonzero(fold[0] != k)),
            guard.at(np.flatnonzero(fold[1] != k)),
            (causes.failures.at(np.flatnonzero(fold[0] == k)), guard.at(np.flatnonzero(fold[1] == k))),
        )
        for k in range(folds)
    ]


@dataclass(frozen=True, eq=False)
class _Unseen:
    """Gains of the rows that took no part, for each size, and whether the draws behind them can be trusted."""

    failures: dict[int, np.ndarray]
    guard: dict[int, np.ndarray]
    reliable: dict[int, bool]

    @classmethod
    def of(cls, tried: Sequence[tuple[Ground, Path]]) -> _Unseen:
        sizes = sorted({size for _, path in tried for size in path.best})
        gains = {k: [_judged(ground, path, k) for ground, path in tried] for k in sizes}
        return cls(
            {k: np.concatenate([g[0] for g in parts]) for k, parts in gains.items()},
            {k: np.concatenate([g[1] for g in parts]) for k, parts in gains.items()},
            {k: all(path.best[k].reliable for _, path in tried if k in path.best) for k in sizes},
        )

    def gain(self, size: int, *, over: int | None = None) -> tuple[float, float]:
        """Mean gain of all of them, a row counting as much as any other, and its error; ``over`` another size."""
        kinds = [kind[size] - (kind[over] if over is not None else 0.0) for kind in (self.failures, self.guard)]
        return _stratified(kinds)

    def chosen(self, tolerance: float, chance: float) -> int:
        """The smallest set within one standard error of the best; none unless some gain is clear and no chance.

        Parameters
        ----------
        tolerance : float
            What the unseen guard may lose, nats a row.
        chance : float
            What deleting rows can gain where none is bad, nats a row.
        """
        clear = []
        for k, failures in self.failures.items():
            gain, error = self.gain(k)
            spared = not len(self.guard[k]) or self.guard[k].mean() >= -tolerance
            least = max(chance, -stdtrit(max(1, len(failures) + len(self.guard[k]) - 2), LEVEL) * error)
            if self.reliable[k] and spared and failures.sum() > 0 and gain > least:
                clear.append(k)
        if not clear:
            return 0
        best = max(clear, key=lambda k: self.gain(k)[0])
        return min(k for k in clear if k == best or np.subtract(*self.gain(best, over=k)) <= 0)


def _stratified(kinds: Sequence[np.ndarray]) -> tuple[float, float]:
    """Mean over failures and guard rows together, and its error given how many there are of each."""
    count = sum(map(len, kinds))
    if not count or any(len(kind) == 1 for kind in kinds):
        return (float(np.concatenate(kinds).mean()) if count else np.nan), np.inf
    variance = sum(len(kind) * kind.var(ddof=1) for kind in kinds if len(kind))
    return float(np.concatenate(kinds).mean()), float(np.sqrt(variance) / count)


def _judged(ground: Ground, path: Path, size: int) -> tuple[np.ndarray, ...]:
    """Gains of the judging rows under the largest set of at most ``size`` rows."""
    held = [k for k in path.best if k <= size]
    if held:
        return path.best[max(held)].gains[1:]
    return tuple(np.zeros(len(rows)) for rows in ground.watched[1:])


def _frame(ground: Ground, path: Path, unseen: _Unseen) -> pd.DataFrame:
    lines, before = [], frozenset[int]()
    for step in path:
        size, index = len(step.members), ground.fit.rows.index
        gain, error = unseen.gain(size) if size in unseen.failures else (np.nan, np.nan)
        lines.append(
            {
                "size": size,
                "added": index[sorted(step.members - before)].tolist(),
                "removed": index[sorted(before - step.members)].tolist(),
                "score": step.score,
                "mcse": step.mcse,
                "guard": step.guard,
                "guard_mcse": step.guard_mcse,
                "khat": step.khat,
                "predicted_khat": ground.predicted_khat(step.members),
                "rung": step.rung,
                "status": "estimated" if step.reliable else "unreliable",
                "unseen": gain,
                "unseen_se": error,
                "unseen_failures": _mean(unseen.failures.get(size)),
                "unseen_guard": _mean(unseen.guard.get(size)),
            }
        )
        before = step.members
    return pd.DataFrame(lines, columns=COLUMNS).set_index("size")


COLUMNS = (
    *("size", "added", "removed", "score", "mcse", "guard", "guard_mcse", "khat", "predicted_khat", "rung", "status"),
    *("unseen", "unseen_se", "unseen_failures", "unseen_guard"),
)


def _mean(values: np.ndarray | None) -> float:
    return np.nan if values is None or not len(values) else float(values.mean())


def _compared(
    ground: Ground, path: Path, tried: Sequence[tuple[Ground, Path]], top: np.ndarray, size: int
) -> pd.DataFrame:
    """The set of one size against as many rows from the top of the single scores, paired."""
    columns = ["score", "mcse", "guard", "guard_mcse", "unseen", "unseen_se", "unseen_failures"]
    if not size:
        return pd.DataFrame(columns=columns, index=pd.Index([], name="set"))
    found, first = path.best[size], ground.anchor(frozenset(top[:size].tolist())).step
    gains = {"search": [_judged(g, p, size) for g, p in tried], "top": []}
    for g, _ in tried:
        at = top if g is ground else ranked(g)
        step = first if g is ground else g.anchor(frozenset(at[:size].tolist())).step
        gains["top"].append(step.gains[1:])
    lines = {"search": _line(found), "top": _line(first)}
    lines["difference"] = {
        "score": found.score - first.score,
        "mcse": float(batch_error((found.influence - first.influence)[None])[0]),
        "guard": found.guard - first.guard,
        "guard_mcse": float(batch_error((found.guard_influence - first.guard_influence)[None])[0]),
    }
    seen = {name: [np.concatenate(kind) for kind in zip(*parts, strict=True)] for name, parts in gains.items()}
    seen["difference"] = [a - b for a, b in zip(seen["search"], seen["top"], strict=True)]
    for name, (failures, guard) in seen.items():
        gain, error = _stratified([failures, guard])
        lines[name] |= {"unseen": gain, "unseen_se": error, "unseen_failures": _mean(failures)}
    return pd.DataFrame.from_dict(lines, orient="index", columns=columns).rename_axis("set")


def _line(step: Step) -> dict[str, float]:
    return {"score": step.score, "mcse": step.mcse, "guard": step.guard, "guard_mcse": step.guard_mcse}
