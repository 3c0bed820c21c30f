"""Rehearsal: plant errors in the fit's own outcomes and run the whole search and repair, before acting on the real."""

from __future__ import annotations

import html
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any, get_args

import numpy as np
import pandas as pd

from bayesrepair.fit import Fit, Repaired, as_fit
from bayesrepair.model import Trainable
from bayesrepair.noise import Mechanism
from bayesrepair.numerics.one_more import next_number, next_share, share_of_runs
from bayesrepair.numerics.one_more_by_part import next_shares
from bayesrepair.posterior import Gaussian
from bayesrepair.predictive import class_names
from bayesrepair.progress import row_progress
from bayesrepair.rehearsal.harm import Action
from bayesrepair.rehearsal.planting import Where
from bayesrepair.rehearsal.run import BIN_EDGES, By, Stage, Told, reference_fit, run
from bayesrepair.rehearsal.standing import standing
from bayesrepair.rehearsal.words import in_words
from bayesrepair.status import DataError, MethodError, Status
from bayesrepair.suspects import Expected, Suspects
from bayesrepair.suspects.suspicion import MANY_ROWS, Method, evidence

# figure: what it says, and what it is a share of ("k" rows removed, "planted" rows, "clean_rows", "runs"), or the range
# that it has: any "number", a "positive" one, a "proportion"
RANGES = {"number": (-np.inf, np.inf), "positive": (0.0, np.inf), "proportion": (0.0, 1.0)}
FIGURES: dict[str, tuple[str, str]] = {
    "precision": ("share of the removed outcomes that were planted errors", "k"),
    "recall": ("share of the planted errors that are removed", "planted"),
    "average_precision": ("of prob_wrong", "planted"),
    "surprise_precision": ("average precision of surprise alone (the baseline)", "planted"),
    "causes_precision": ("average precision of the causes of the held-out rows", "planted"),
    "joined_precision": ("average precision of causes and suspects joined", "planted"),
    "group_found": ("runs in which the group with the errors came out as the worst", "runs"),
    "claimed": ("precision that prob_wrong promises", "k"),
    "inside": ("runs in which the precision lay inside the promised 90 % interval", "runs"),
    "flagged": ("rows with prob_wrong above one half", "positive"),
    "flagged_right": ("of these, rows without a planted error", "positive"),
    "counted": ("wrong outcomes that the model expects in all", "positive"),
    "corrected": ("given outcomes that were probably wrong already and were put right first", "positive"),
    "score_planted": ("log score of a clean row, nats: what the errors change", "number"),
    "score_repaired": ("log score of a clean row, nats: what is left of it after the repair", "number"),
    "accuracy": ("accuracy on clean rows before anything was done", "clean_rows"),
    "accuracy_planted": ("accuracy on clean rows with the errors", "clean_rows"),
    "accuracy_repaired": ("accuracy on clean rows after the repair", "clean_rows"),
    "shift": ("mean move of the posterior means after the repair, in posterior sds", "positive"),
    "sd_ratio": ("posterior sds after the repair against before, geometric mean", "positive"),
    "covered": ("share of the true parameters inside 90 % intervals before the repair", "proportion"),
    "covered_repaired": ("the same after the repair", "proportion"),
}
REPLICATES = 1000


@dataclass(frozen=True, eq=False)
class Rehearsal:
    """What searching for wrong outcomes, and repairing, would be worth on data like these.

    Parameters
    ----------
    runs : DataFrame
        A line a run; columns as the index of `frame`, and ``planted, k, clean_rows, status, edit_status, rhat``.
    bins : list of DataFrame
        Of each run: ``rows, claimed, wrong`` (sums) by bin of ``prob_wrong``.
    parts : DataFrame
        A line a run and true class or group: ``run, by, part, planted, found`` (among the removed rows).
    rows : int
        Training rows.
    noise : float
    mechanism : {"uniform", "class", "group"}
    action : {"drop", "relabel"}
    held_out : bool
        Whether the clean rows are held-out ones.
    cheap : bool
        Whether posteriors were Laplace approximations.
    already : Expected
        Wrong outcomes that the model expects among the given ones.
    status : Status
        Whether the outcomes that the runs start from can be relied on; see `bayesrepair.rehearsal.standing.standing`.
    """

    runs: pd.DataFrame
    bins: list[pd.DataFrame]
    parts: pd.DataFrame
    rows: int
    noise: float
    mechanism: Where
    action: Action
    held_out: bool
    cheap: bool
    already: Expected
    status: Status

    def __len__(self) -> int:
        return len(self.runs)

    def frame(self) -> pd.DataFrame:
        """One line a figure: ``mean, low, high, what``.

        Ends are those of the 90 % interval for one more run (Student's predictive interval; of shares on the arcsine
        scale), so that few runs make it wide; for shares of runs, of that share (Jeffreys).
        """
        lines = {name: [*self._interval(name, of), what] for name, (what, of) in FIGURES.items() if name in self.runs}
        return pd.DataFrame.from_dict(lines, orient="index", columns=["mean", "low", "high", "what"])

    def expected(self, name: str) -> Expected:
        """Mean and 90 % interval of one figure.

        Raises
        ------
        DataError
            If this rehearsal has no such figure.
        """
        if name not in FIGURES or name not in self.runs:
            known = ", ".join(map(repr, (figure for figure in FIGURES if figure in self.runs)))
            raise DataError(f"a figure among {known}", repr(name))
        return Expected(*self._interval(name, FIGURES[name][1]))

    def _interval(self, name: str, of: str) -> tuple[float, float, float]:
        values = self.runs[name].dropna().to_numpy()
        if not len(values):
            return np.nan, np.nan, np.nan
        if of == "runs":
            return share_of_runs(values.astype(bool))
        values = values.astype(float)
        if of not in RANGES:
            return next_share(values, int(self.runs[of].median()))
        mean, low, high = next_number(values)
        return mean, float(np.maximum(low, RANGES[of][0])), float(np.minimum(high, RANGES[of][1]))

    def by(self, what: By) -> pd.DataFrame:
        """How many of the planted errors of each true class, or of each group, are removed.

        Parts with few errors, or none so far, learn from the others (`bayesrepair.numerics.one_more_by_part`).

        Parameters
        ----------
        what : {"class", "group"}

        Returns
        -------
        DataFrame
            A line a part: ``planted``, errors in a run that had any there; ``recall, low, high``, the share of them
            that is removed, with the 90 % interval for one more run with as many.

        Raises
        ------
        DataError
            If nothing was planted, or the rehearsal knows no such parts.
        """
        some = self.parts[self.parts["by"] == what]
        if not len(some) or not self.noise:
            known = ", ".join(map(repr, self.parts["by"].unique())) if self.noise else ""
            raise DataError(f"parts among {known}" if known else "planted errors in classes or groups", repr(what))
        names = some["part"].unique()  # each run has a line for each, in this order
        sizes, hits = (some[name].to_numpy(dtype=float).reshape(-1, len(names)) for name in ("planted", "found"))
        typical = np.full(len(names), np.median(sizes[sizes > 0]))
        for j in np.flatnonzero(sizes.any(axis=0)):
            typical[j] = np.median(sizes[sizes[:, j] > 0, j])
        frame = pd.DataFrame(next_shares(hits, sizes, typical), columns=["recall", "low", "high"])
        return frame.assign(planted=typical).set_index(pd.Index(names, name=what))[["planted", "recall", "low", "high"]]

    @property
    def reliability(self) -> pd.DataFrame:
        """Whether ``prob_wrong`` can be believed: ``rows, claimed, true, low, high`` by bin of ``prob_wrong``.

        ``true`` is the share of planted errors; 90 % intervals from resampled runs, with the chance of few rows.
        """
        counts = np.stack([part[["rows", "claimed", "wrong"]].to_numpy() for part in self.bins])
        rows, claimed, wrong = counts.sum(axis=0).T
        rng = np.random.default_rng(0)
        again = counts[rng.integers(len(counts), size=(REPLICATES, len(counts)))].sum(axis=1)
        simulated = rng.beta(again[:, :, 2] + 0.5, again[:, :, 0] - again[:, :, 2] + 0.5)
        low, high = np.quantile(simulated, [0.05, 0.95], axis=0)
        names = [f"{a:.0%} to {b:.0%}" for a, b in pairwise(BIN_EDGES)]
        columns = {"rows": rows.astype(int), "claimed": claimed, "true": wrong, "low": low, "high": high}
        frame = pd.DataFrame(columns, index=pd.Index(names, name="prob_wrong"))
        frame[["claimed", "true"]] = frame[["claimed", "true"]].div(np.maximum(rows, 1), axis=0)
        frame["low"], frame["high"] = frame[["low", "true"]].min(axis=1), frame[["high", "true"]].max(axis=1)
        return frame[frame["rows"] > 0]

    def plot(self, *, ax: Any = None, figsize: tuple[float, float] | None = None) -> Any:
        """Share of planted errors against ``prob_wrong``: below the diagonal it claims too much; returns the axes."""
        from bayesrepair.reporting.plots import plot_rehearsal

        return plot_rehearsal(self, ax=ax, figsize=figsize)

    def __repr__(self) -> str:
        return "\n".join(in_words(self))

    def _repr_html_(self) -> str:
        said = "".join(f"<p>{html.escape(line)}</p>" for line in in_words(self))
        return said + self.frame().to_html(escape=True, float_format="{:.3g}".format)


def rehearse(
    fit: Fit | Repaired,
    *,
    noise: float = 0.1,
    mechanism: Where = "uniform",
    runs: int = 10,
    k: int | None = None,
    action: Action = "drop",
    holdout: Any = None,
    trusted: Any = None,
    groups: Any = None,
    model_noise: Mechanism = "auto",
    method: Method = "auto",
    progressbar: bool = True,
    random_seed: int | np.random.Generator | None = 0,
) -> Rehearsal:
    """Plant errors in the fit's own outcomes, run the whole search and repair, and report what came of it.

    The given outcomes may hold real errors, and errors planted among them would be found beside these. Each run
    therefore starts from outcomes as they may truly be: one draw from the posterior of the noise-aware model
    (`bayesrepair.rehearsal.truths.drawn_truth`). ``status`` says where that cannot tell what is wrong already.

    In each run some outcomes are then made wrong as `bayesrepair.rehearsal.planting.plant` says: a class is drawn from
    the model's predictive *given that it is another one*; a number is moved by 4 to 8 predictive sds.
    The model is fitted anew (compiled code serves again), `find_suspects` looks for wrong outcomes, the first ``k``
    rows are treated as `Suspects.drop` or `Suspects.relabel` does it, and all is compared with what was planted.

    With ``noise=0`` all outcomes of a run are drawn anew from the model, so that none is wrong, and ``k`` rows
    are treated all the same: the price of a needless repair.

    Parameters
    ----------
    fit : Fit or Edited
        Of a model that can be fitted anew.
    noise : float
        Share of the rows, of one class or of one group that becomes wrong; 0 plants nothing.
    mechanism : {"uniform", "class", "group"}
        Errors everywhere; of one class, all taken for one other; of one group. Classes and groups take turns.
    runs : int
        The more, the narrower the intervals, down to what chance does in a single run.
    k : int, optional
        Rows to treat; by default as many as were planted, with ``noise=0`` as many as the model expects to be wrong
        among the given ones.
    action : {"drop", "relabel"}
    holdout : Failures, Rows or data, optional
        Held-out rows with right outcomes. They measure the harm, and `find_causes` is rehearsed beside. Without them
        harm is measured on the training rows that were not planted, left out one at a time (PSIS).
    trusted, groups : optional
        As for `find_suspects`; trusted rows get no errors.
    model_noise : {"auto", "uniform", "class"}
        ``noise`` of `find_suspects`.
    method : {"auto", "nuts", "laplace"}
        How the runs find their posteriors; ``"auto"`` as the fit's own was. Laplace takes a second a run and finds
        errors about as well; but of what *sampled* suspects claim it says little.
    progressbar : bool
    random_seed : int or Generator, optional

    Returns
    -------
    Rehearsal

    Raises
    ------
    DataError
        If the share is not in [0, 1), there are no runs, no groups for ``mechanism="group"``, or ``k`` does not fit.
    MethodError
        If a name is unknown, or the model cannot be fitted anew.
    """
    fit = as_fit(fit)
    _refuse(fit, noise, runs, action, mechanism, groups, method)
    rng = np.random.default_rng(random_seed)
    known = evidence(fit, trusted, groups)
    rows = known.rows.at(slice(0, known.training))
    if k is not None and not 1 <= k < len(rows):
        raise DataError(f"k between 1 and {len(rows) - 1}", f"{k}")
    cheap = method == "laplace" or (method == "auto" and (isinstance(fit.posterior, Gaussian) or len(rows) > MANY_ROWS))
    group = known.group[: known.training]
    open_to_errors = ~known.trusted[: known.training] & ((mechanism != "group") | (group < len(known.groups)))
    if noise and not open_to_errors.any():
        raise DataError("rows that may become wrong", "none that are not trusted", "Trust fewer rows.")
    told: list[Told] = []
    with row_progress("Rehearsing", runs + 1, shown=progressbar) as advance:
        stage = Stage(
            fit=reference_fit(fit, rows, cheap=cheap, rng=rng),
            group=group,
            open_to_errors=open_to_errors,
            noise=noise,
            mechanism=mechanism,
            model_noise=model_noise,
            groups=_labels(known.groups, group),
            trusted=trusted,
            holdout=_held_out(fit, holdout),
            k=k,
            action=action,
        )
        given = stage.suspects(stage.fit, rng)
        advance(1)
        already = given.expected_count
        wanted = min(max(1, round(already.mean)), len(rows) - 1) if k is None and not noise else k
        stage, first = replace(stage, k=wanted), int(rng.integers(2**16))
        for r in range(runs):
            told.append(run(stage, given, first + r, rng))
            advance(1)
    lines = pd.DataFrame([each.line for each in told]).rename_axis("run")
    return Rehearsal(
        runs=lines,
        bins=[each.bins for each in told],
        parts=_named(pd.concat([each.parts.assign(run=r) for r, each in enumerate(told)]), given),
        rows=len(rows),
        noise=noise,
        mechanism=mechanism,
        action=action,
        held_out=holdout is not None,
        cheap=cheap,
        already=already,
        status=standing(given, lines["corrected"]),
    )


def _refuse(fit: Fit, noise: float, runs: int, action: str, mechanism: str, groups: Any, method: str) -> None:
    if not 0 <= noise < 1:
        raise DataError("noise of at least 0 and below 1", f"{noise!r}", "Pass noise=0.1, say.")
    if runs < 1:
        raise DataError("at least one run", f"{runs}", "Pass runs=10, say.")
    for name, value, names in (
        ("action", action, get_args(Action)),
        ("mechanism", mechanism, get_args(Where)),
        ("method", method, get_args(Method)),
    ):
        if value not in names:
            raise MethodError(f"{name} one of {', '.join(map(repr, names))}", repr(value), "Pass one of these.")
    if mechanism == "group" and groups is None:
        raise DataError("groups for mechanism='group'", "none", "Pass groups='annotator', say.")
    if not isinstance(fit.model, Trainable):
        lacking = getattr(fit.model, "lacks", {}).get("Trainable", "no train")
        raise MethodError("a model that can be fitted anew", f"{type(fit.model).__name__}: {lacking}")


def _named(parts: pd.DataFrame, given: Suspects) -> pd.DataFrame:
    """Parts by name, not by code."""
    names: dict[str, Any] = {"group": given.evidence.groups}
    if given.plain.model.outcome.kind == "class":
        names["class"] = class_names(given.plain)
    part = [names[by][code] for by, code in zip(parts["by"], parts["part"], strict=True)]
    return parts.assign(part=pd.Series(part, dtype=object, index=parts.index)).reset_index(drop=True)


def _labels(names: tuple[Any, ...], group: np.ndarray) -> np.ndarray | None:
    """Name of each row's group; None where there are no groups, or where it is unknown."""
    if not names:
        return None
    labels = np.empty(len(group), dtype=object)
    labels[:] = [names[code] if code < len(names) else None for code in group]
    return labels


def _held_out(fit: Fit, holdout: Any) -> Any:
    if holdout is None:
        return None
    rows = getattr(holdout, "holdout", None)
    rows = fit.as_rows(holdout) if rows is None else rows
    if fit.model.outcome.name not in rows.values:
        raise DataError(f"the outcome {fit.model.outcome.name!r} of each held-out row", "rows without it")
    return rows
