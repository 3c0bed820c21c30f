"""One run of a rehearsal: refit with planted errors, look for them, repair, and see what that did to the clean rows."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from sklearn.metrics import average_precision_score

from bayesrepair.causes import find_causes
from bayesrepair.failures import find_failures
from bayesrepair.fit import Fit
from bayesrepair.model import Trainable
from bayesrepair.noise import Mechanism
from bayesrepair.planting import Planted, Where, clean, plant
from bayesrepair.posterior import Gaussian
from bayesrepair.rehearsal_harm import Action, repaired
from bayesrepair.rows import Rows
from bayesrepair.suspects import Suspects, find_suspects

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
    already : Series, optional
        ``prob_wrong`` of each row as given, by row id.
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
    already: pd.Series | None = None

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


def run(stage: Stage, rng: np.random.Generator) -> tuple[dict[str, Any], pd.DataFrame]:
    """A line of figures, and a line for each bin of ``prob_wrong``: ``rows, claimed, wrong`` (sums)."""
    theta, holdout = None, stage.holdout
    if stage.noise:
        planted = plant(
            stage.fit,
            stage.fit.rows,
            noise=stage.noise,
            mechanism=stage.mechanism,
            group=stage.group,
            open_to_errors=stage.open_to_errors,
            rng=rng,
        )
        fit = refit(stage.fit, planted.rows, rng)
    else:
        draws = stage.fit.draws
        theta = draws.theta[rng.choice(len(draws), p=draws.weights)]
        rows = clean(stage.fit, stage.fit.rows, theta, rng)
        holdout = None if holdout is None else clean(stage.fit, holdout, theta, rng)
        planted = Planted(rows, np.zeros(len(rows), dtype=bool))
        fit = refit(stage.fit, rows, rng)
    suspects = stage.suspects(fit, rng)
    size = int(planted.wrong.sum()) if stage.k is None else stage.k
    line = {"planted": int(planted.wrong.sum()), "k": size} | detected(suspects, planted, size, stage.already)
    if stage.holdout is not None and stage.noise:
        line |= _with_causes(fit, stage.holdout, suspects, planted, rng)
    line |= repaired(
        stage.fit, fit, suspects, planted, size, action=stage.action, holdout=holdout, theta=theta, rng=rng
    )
    return line, _bins(suspects, planted)


def detected(suspects: Suspects, planted: Planted, size: int, already: pd.Series | None = None) -> dict[str, Any]:
    """What was found, what was claimed, and whether both agree."""
    scores = suspects.scores
    wrong = pd.Series(planted.wrong, index=planted.rows.index).reindex(scores.index).to_numpy()
    claimed = suspects.expected_precision(size)
    true = wrong[:size].mean()
    line = {
        "claimed": claimed.mean,
        "claimed_low": claimed.low,
        "claimed_high": claimed.high,
        "inside": bool(claimed.low <= true <= claimed.high),
        "flagged": int((scores["prob_wrong"] > 0.5).sum()),
        "flagged_right": int((~wrong[scores["prob_wrong"].to_numpy() > 0.5]).sum()),
        "counted": suspects.expected_count.mean,
        "status": suspects.status.level,
        "rhat": suspects.rhat,
    }
    if not wrong.any():
        return line
    line |= {
        "precision": float(true),
        # were the model right about the given outcomes, some of the false alarms would be none
        "precision_most": float((wrong + ~wrong * _before(scores.index, already))[:size].mean()),
        "recall": float(wrong[:size].sum() / wrong.sum()),
        "average_precision": float(average_precision_score(wrong, scores["prob_wrong"])),
        "surprise_precision": float(average_precision_score(wrong, scores["surprise"])),
    }
    if planted.group is not None and suspects.evidence.groups:
        worst = suspects.groups.index[0]
        line["group_found"] = bool(worst == suspects.evidence.groups[planted.group])
    return line


def _before(index: pd.Index, already: pd.Series | None) -> np.ndarray:
    return np.zeros(len(index)) if already is None else already.reindex(index).to_numpy()


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
