"""One run of a rehearsal: refit with planted errors, look for them, repair, and see what that did to the clean rows."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import pandas as pd
from sklearn.metrics import average_precision_score

from bayesrepair.causes import find_causes
from bayesrepair.failures import find_failures
from bayesrepair.fit import Fit
from bayesrepair.model import Trainable
from bayesrepair.noise import Mechanism
from bayesrepair.posterior import Gaussian
from bayesrepair.rehearsal.harm import Action, Scored, covered, harm
from bayesrepair.rehearsal.planting import Planted, Where, clean, plant
from bayesrepair.rehearsal.truths import drawn_truth
from bayesrepair.rows import Rows
from bayesrepair.suspects import Suspects, find_suspects, surprise

By = Literal["class", "group"]
BIN_EDGES = np.array([0.0, 0.05, 0.2, 0.4, 0.6, 0.8, 0.95, 1.0])


@dataclass(frozen=True, eq=False)
class Stage:
    """What all runs of a rehearsal share.

    Parameters
    ----------
    fit : Fit
        On the outcomes as given, its posterior found in the way in which the runs find theirs.
    group : array of int, shape (N,)
    open_to_errors : array of bool, shape (N,)
        Rows that are not trusted.
    noise : float
    mechanism : {"uniform", "class", "group"}
    model_noise : {"auto", "uniform", "class"}
        What `find_suspects` takes the noise to be.
    groups : array of shape (N,), optional
        Labels of groups for `find_suspects`.
    trusted : Any
        As for `find_suspects`.
    holdout : Rows, optional
    k : int, optional
        Rows that are removed; as many as were planted by default.
    action : {"drop", "relabel"}
    """

    fit: Fit
    group: np.ndarray
    open_to_errors: np.ndarray
    noise: float
    mechanism: Where
    model_noise: Mechanism
    groups: np.ndarray | None
    trusted: Any
    holdout: Rows | None
    k: int | None
    action: Action

    @property
    def cheap(self) -> bool:
        """Whether posteriors are Laplace approximations."""
        return isinstance(self.fit.posterior, Gaussian)

    def suspects(self, fit: Fit, rng: np.random.Generator) -> Suspects:
        """The detection that is rehearsed."""
        return find_suspects(
            fit,
            trusted=self.trusted,
            noise=self.model_noise,
            groups=self.groups,
            method="laplace" if self.cheap else "nuts",
            random_seed=rng,
        )


def refit(fit: Fit, rows: Rows, rng: np.random.Generator) -> Fit:
    """The same model on rows with other outcomes; what is compiled serves again."""
    assert isinstance(fit.model, Trainable)  # `rehearse` has asked
    start = fit.posterior if isinstance(fit.posterior, Gaussian) else fit.draws
    return Fit(fit.model, rows, fit.model.train(rows, start=start, rng=rng), table=fit.table)


@dataclass(frozen=True, eq=False)
class Told:
    """What one run has to tell.

    Parameters
    ----------
    line : dict
        Its figures.
    bins : DataFrame
        A line for each bin of ``prob_wrong``: ``rows, claimed, wrong`` (sums).
    parts : DataFrame
        A line for each true class and each group: ``by, part, planted, found``.
    """

    line: dict[str, Any]
    bins: pd.DataFrame
    parts: pd.DataFrame


def run(stage: Stage, given: Suspects, turn: int, rng: np.random.Generator) -> Told:
    """Put right what may be wrong already, then plant errors, or none, and go through the search and the repair.

    Parameters
    ----------
    stage : Stage
    given : Suspects
        Of the outcomes as given.
    turn : int
        Of classes or groups; see `plant`.
    rng : Generator
    """
    before, corrected = _begun(stage, given, rng)
    told = _with_errors(stage, before, turn, rng) if stage.noise else _without_errors(stage, before.fit, rng)
    return replace(told, line=told.line | {"corrected": corrected})


def _begun(stage: Stage, given: Suspects, rng: np.random.Generator) -> tuple[Scored, int]:
    """The fit on outcomes as they may truly be, and how many of them are not as given."""
    rows = stage.fit.rows
    name = stage.fit.model.outcome.name
    true = drawn_truth(given, rows, rng)
    corrected = int((np.asarray(true.values[name]) != np.asarray(rows.values[name])).sum())
    if not corrected:
        return Scored(stage.fit, given.scores["surprise"]), 0
    fit = refit(stage.fit, true, rng)
    return Scored(fit, pd.Series(surprise(fit, true), index=true.index)), corrected


def _with_errors(stage: Stage, before: Scored, turn: int, rng: np.random.Generator) -> Told:
    planted = plant(
        before.fit,
        before.fit.rows,
        noise=stage.noise,
        mechanism=stage.mechanism,
        group=stage.group,
        open_to_errors=stage.open_to_errors,
        turn=turn,
        rng=rng,
    )
    fit = refit(before.fit, planted.rows, rng)
    suspects = stage.suspects(fit, rng)
    count = int(planted.wrong.sum())
    size = count if stage.k is None else stage.k
    line = {"planted": count, "k": size} | claims(suspects, planted, size) | detected(suspects, planted, size)
    if stage.holdout is not None:
        line |= _with_causes(fit, stage.holdout, suspects, planted, rng)
    harmed, _ = harm(before, suspects, planted, size, action=stage.action, holdout=stage.holdout, rng=rng)
    return Told(line | harmed, _bins(suspects, planted), _parts(stage, before.fit, suspects, planted, size))


def _without_errors(stage: Stage, fit: Fit, rng: np.random.Generator) -> Told:
    assert stage.k is not None  # `rehearse` has said how many
    draws = fit.draws
    theta = draws.theta[rng.choice(len(draws), p=draws.weights)]
    rows = clean(fit, fit.rows, theta, rng)
    holdout = None if stage.holdout is None else clean(fit, stage.holdout, theta, rng)
    planted = Planted(rows, np.zeros(len(rows), dtype=bool))
    clean_fit = refit(fit, rows, rng)
    suspects = stage.suspects(clean_fit, rng)
    line = {"planted": 0, "k": stage.k} | claims(suspects, planted, stage.k)
    before = Scored(clean_fit, suspects.scores["surprise"])
    harmed, after = harm(before, suspects, planted, stage.k, action=stage.action, holdout=holdout, rng=rng)
    line |= {name: value for name, value in harmed.items() if not name.endswith("_planted")}
    line |= {"covered": covered(clean_fit, theta), "covered_repaired": covered(after, theta)}
    return Told(line, _bins(suspects, planted), _parts(stage, fit, suspects, planted, stage.k))


def claims(suspects: Suspects, planted: Planted, size: int) -> dict[str, Any]:
    """What the suspects claim, and whether it is true of the first ``size`` rows."""
    scores = suspects.scores
    wrong = _in_order(planted, scores.index)
    claimed = suspects.expected_precision(size)
    flagged = scores["prob_wrong"].to_numpy() > 0.5
    return {
        "claimed": claimed.mean,
        "claimed_low": claimed.low,
        "claimed_high": claimed.high,
        "inside": bool(claimed.low <= wrong[:size].mean() <= claimed.high),
        "flagged": int(flagged.sum()),
        "flagged_right": int((flagged & ~wrong).sum()),
        "counted": suspects.expected_count.mean,
        "status": suspects.status.level,
        "rhat": suspects.rhat,
    }


def detected(suspects: Suspects, planted: Planted, size: int) -> dict[str, Any]:
    """What was found of the planted errors."""
    scores = suspects.scores
    wrong = _in_order(planted, scores.index)
    line = {
        "precision": float(wrong[:size].mean()),
        "recall": float(wrong[:size].sum() / wrong.sum()),
        "average_precision": float(average_precision_score(wrong, scores["prob_wrong"])),
        "surprise_precision": float(average_precision_score(wrong, scores["surprise"])),
    }
    if planted.group is not None:
        worst = suspects.groups.index[0]
        line["group_found"] = bool(worst == suspects.evidence.groups[planted.group])
    return line


def _in_order(planted: Planted, index: pd.Index) -> np.ndarray:
    """Which rows are wrong, in the order of an index."""
    return pd.Series(planted.wrong, index=planted.rows.index).reindex(index).to_numpy()


def _with_causes(
    fit: Fit, holdout: Rows, suspects: Suspects, planted: Planted, rng: np.random.Generator
) -> dict[str, Any]:
    """How well causes of the held-out rows find the errors, alone and joined with the suspects."""
    failures = find_failures(fit, holdout, random_seed=rng)
    line: dict[str, Any] = {"failures": len(failures)}
    if not len(failures):
        return line
    causes = find_causes(fit, failures, against="held_out", progressbar=False, random_seed=rng)
    joined = causes.with_suspects(suspects).frame()
    wrong = pd.Series(planted.wrong, index=planted.rows.index)
    for name, frame, column in (("causes", causes.scores, "score"), ("joined", joined, "fused")):
        line[f"{name}_precision"] = float(average_precision_score(wrong.reindex(frame.index), frame[column]))
    return line


def _parts(stage: Stage, right: Fit, suspects: Suspects, planted: Planted, size: int) -> pd.DataFrame:
    """Errors planted and found, by true class and by group."""
    found = planted.wrong & planted.rows.index.isin(suspects.scores.index[:size])
    codes: dict[By, tuple[np.ndarray, int]] = {}
    if right.model.outcome.kind == "class":
        true = np.asarray(right.rows.values[right.model.outcome.name]).astype(int)
        codes["class"] = true, len(right.model.outcome.classes or ())
    if stage.groups is not None:
        codes["group"] = stage.group, len(suspects.evidence.groups)
    frames = []
    for by, (code, size_of) in codes.items():
        counts = [np.bincount(code[which], minlength=size_of)[:size_of] for which in (planted.wrong, found)]
        frames.append(pd.DataFrame({"by": by, "part": range(size_of), "planted": counts[0], "found": counts[1]}))
    return pd.concat(frames) if frames else pd.DataFrame(columns=["by", "part", "planted", "found"])


def _bins(suspects: Suspects, planted: Planted) -> pd.DataFrame:
    prob = suspects.scores["prob_wrong"]
    wrong = pd.Series(planted.wrong, index=planted.rows.index).reindex(prob.index)
    at = np.clip(np.searchsorted(BIN_EDGES, prob.to_numpy(), side="right") - 1, 0, len(BIN_EDGES) - 2)
    frame = pd.DataFrame({"bin": at, "rows": 1, "claimed": prob.to_numpy(), "wrong": wrong.to_numpy(dtype=float)})
    return frame.groupby("bin").sum().reindex(range(len(BIN_EDGES) - 1), fill_value=0.0)


def reference_fit(fit: Fit, rows: Rows, *, cheap: bool, rng: np.random.Generator) -> Fit:
    """The fit on its own rows as they stand now, its posterior of the kind that the runs have."""
    table = None if fit.table is None else fit.table.reindex(rows.index)
    same = Fit(fit.model, rows, fit.posterior, table=table)
    if cheap == isinstance(fit.posterior, Gaussian):
        return same
    assert isinstance(fit.model, Trainable)  # `rehearse` has asked
    start = fit.draws
    if not cheap:
        return replace(same, posterior=fit.model.train(rows, start=start, rng=rng))
    middle = start.weights @ start.theta
    return replace(same, posterior=fit.model.train(rows, start=Gaussian(middle, np.eye(len(middle))), rng=rng))
