"""From a table and a target to a repaired posterior."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np
import pandas as pd

from bayesrepair.causes import Causes, find_causes
from bayesrepair.choice import Choice, choose_top, cross_fitted_top
from bayesrepair.diagnosis.parts import Parts, divide
from bayesrepair.diagnosis.preparation import Tables, check_request
from bayesrepair.diagnosis.relabelling import suggested_classes
from bayesrepair.diagnosis.result import Diagnosis
from bayesrepair.edit import Edited, edit
from bayesrepair.evaluation import detection, held_out
from bayesrepair.failures import Against, Failures, find_failures
from bayesrepair.fit import Factor, Fit
from bayesrepair.predictive import log_score
from bayesrepair.repairs import repair
from bayesrepair.status import DataError
from bayesrepair.tables import from_table
from bayesrepair.verification import verify as verify_edit

Action = Literal["delete", "relabel", "none"]
Tell = Callable[[str, Literal["step", "note"]], None]


@dataclass(eq=False)
class Steps:
    """Says what is being done, and keeps how long it took."""

    tell: Tell
    seconds: dict[str, float] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    @contextmanager
    def step(self, name: str, said: str) -> Iterator[None]:
        """Say what begins, and keep how long it takes."""
        self.tell(said, "step")
        started = time.perf_counter()
        yield
        self.seconds[name] = time.perf_counter() - started

    def note(self, said: str) -> None:
        """Say what was decided, and keep it."""
        self.notes.append(said)
        self.tell(said, "note")

    def note_choice(self, fit: Fit) -> None:
        """Say what was decided when the table was fitted."""
        model: Any = fit.model
        for said in model.preparation.notes:
            if said not in self.notes:
                self.note(said)


def diagnose(
    tables: Tables,
    *,
    failed: np.ndarray | None = None,
    level: float = 0.05,
    against: Against = "held_out",
    top: int | Literal["auto"] = "auto",
    action: Action = "delete",
    method: str = "auto",
    verify: bool = False,
    draws: int = 1000,
    truth: pd.Series | None = None,
    title: str = "Diagnosis",
    notes: tuple[str, ...] = (),
    client: Any = None,
    random_seed: int = 0,
    progressbar: bool = True,
    tell: Tell | None = None,
    sampling: Mapping[str, Any] | None = None,
) -> Diagnosis:
    """Fit a table, find what it gets wrong, rank the training rows behind it, repair the posterior and prove it.

    Parameters
    ----------
    tables : Tables
        See `prepare`.
    failed : array of bool, shape of the held-out rows, optional
        The failures, where the user knows them; see `find_failures` otherwise.
    level : float
        For counts and numbers: a failure lies outside the central ``1 − level`` predictive interval.
    against : {"failures", "held_out"}
        See `find_causes`. The outcomes of held-out rows are taken to be right.
    top : int or "auto"
        How many rows to repair; ``"auto"`` chooses on held-out rows, 0 allowed.
    action : {"delete", "relabel", "none"}
    method : str
        How the posterior is edited; see `edit`.
    verify : bool
        Also compare with refits.
    draws : int
        Draws a chain.
    truth : Series of bool, optional
        By row id: rows made wrong on purpose, to see how well they are found.
    title, notes : str, tuple of str
        For the report.
    client : distributed.Client or str, optional
        Of the Dask cluster that scores the training rows; see `find_causes`.
    random_seed : int
    progressbar : bool
    tell : callable, optional
        Receives one line and its kind, ``"step"`` (what is being done) or ``"note"`` (what was decided).
    sampling : mapping, optional
        Further keywords for the sampler.

    Returns
    -------
    Diagnosis

    Raises
    ------
    DataError
        If ``top`` does not suit the tables, or there are no failures.
    MethodError
        If action or method is unknown, or relabelling is asked for where there are no classes.
    """
    check_request(tables, top=top, action=action, method=method)
    steps = Steps(tell or (lambda said, kind: None), notes=list(notes))
    for said in tables.notes:
        steps.note(said)
    seeds = np.random.SeedSequence(random_seed).generate_state(4).tolist()
    options = {"draws": draws, "random_seed": random_seed, "progressbar": progressbar, **(sampling or {})}
    model = f"{tables.recipe.target.family} model of {tables.target!r}"
    with steps.step("sampling", f"Compiling and sampling a {model} on {len(tables.train)} rows"):
        fit = fitted(tables, options)
    steps.note_choice(fit)
    with steps.step("failures", f"Finding failures among {len(tables.held_out)} held-out rows"):
        failures = _failures(fit, tables.held_out, failed, level)
    parts = divide(failures, choosing=top == "auto", repairing=action != "none", random_seed=random_seed)
    steps.note(parts.described)
    scoring: dict[str, Any] = {"against": against, "client": client, "random_seed": seeds[0]}
    with steps.step("scoring", f"Ranking {len(fit.rows)} training rows by what they do to the failures"):
        first = 20 if top == "auto" else max(top, 1)
        causes = find_causes(fit, parts.scoring, top=first, progressbar=progressbar, **scoring)
    choice, k = None, 0 if top == "auto" or action == "none" else top
    if parts.choosing is not None:
        with steps.step("choosing", "Choosing how many rows to remove, on held-out rows"):
            choice = _chosen(fit, causes, parts, against, seeds[1], progressbar=progressbar)
        k = choice.k
        causes = find_causes(fit, parts.scoring, top=k or 20, progressbar=False, **scoring)
        steps.note(_explained(choice))
    elif action != "none" and not k:
        steps.note("Too few failures to choose how many rows to remove: nothing is repaired. Give a number with top.")
    with steps.step("repair", f"Repairing the posterior: {action} {k} rows" if k else "Nothing to repair"):
        edited = _repaired(fit, causes, k, action, method, seeds[2])
    if verify and k:
        with steps.step("verifying", "Verifying against refits on the retained rows"):
            edited = replace(edited, verification=verify_edit(edited, random_seed=seeds[3], progressbar=progressbar))
    with steps.step("evaluation", "Comparing before and after on held-out rows"):
        before_after = held_out(edited.before, edited.after, parts.shown(failures))
        groups = None if tables.group is None else causes.by(tables.train[tables.group])
        found = None if truth is None else detections(fit, causes, parts.scoring, truth)
    settings = {
        "target": tables.target, "formula": tables.formula, "family": tables.recipe.target.family,
        "basis": tables.basis, "group": tables.group, "against": against, "top": top, "action": action,
        "method": method, "verify": verify,
        "draws": draws, "seed": random_seed,
    }  # fmt: skip
    done = action if k else "none"
    return Diagnosis(
        title, fit, failures, parts, causes, groups, choice, edited, done, before_after, truth, found,
        tuple(steps.notes), settings, steps.seconds,
    )  # fmt: skip


def detections(fit: Fit, causes: Causes, scoring: Failures, truth: pd.Series) -> pd.DataFrame:
    """How well each ranking finds rows made wrong on purpose; see `evaluation.detection`."""
    frame = causes.frame()
    rankings = {f"cause score ({_against(causes.against)})": frame["score"]}
    if causes.against == "held_out" and len(scoring):
        alone = find_causes(fit, scoring, progressbar=False).frame()["score"]
        rankings[f"cause score ({_against('failures')})"] = alone
    rankings["PSIS-LOO surprise"] = frame["surprise"]
    rankings["training loss"] = pd.Series(-log_score(fit, fit.rows), index=fit.rows.index)
    lines = {name: detection(scores, truth) for name, scores in rankings.items()}
    return pd.DataFrame.from_dict(lines, orient="index").rename_axis("ranking")


def _against(against: str) -> str:
    return "failures and handled rows" if against == "held_out" else "failures alone"


def options_of(method: str, *, draws: int, random_seed: int, progressbar: bool) -> dict[str, Any]:
    """Keywords of `from_table`: those of the sampler, or the Gaussian at the mode."""
    if method == "laplace":
        return {"method": "laplace", "progressbar": progressbar}
    return {"random_seed": random_seed, "progressbar": progressbar, "draws": draws}


def fitted(tables: Tables, options: Mapping[str, Any]) -> Fit:
    """Fit of the training rows; all their columns are shown beside results."""
    columns = [*tables.predictors, tables.target]
    family = tables.recipe.target.family
    read = {"target": tables.target, "formula": tables.formula, "family": family, "basis": tables.basis}
    fit = from_table(tables.train[columns], **read, **options)  # type: ignore[arg-type]
    return replace(fit, table=tables.train.loc[fit.rows.index])


def _failures(fit: Fit, held: pd.DataFrame, failed: np.ndarray | None, level: float) -> Failures:
    if failed is None:
        failures = find_failures(fit, held, level=level)
    else:

        def as_listed(frame: pd.DataFrame) -> np.ndarray:
            return failed

        failures = replace(find_failures(fit, held, rule=as_listed), rule="as listed by the user")
    if not len(failures):
        # Gross errors among the training rows widen the predictive: nothing then lies outside of it.
        narrower = "" if fit.model.outcome.kind == "class" else "pass a larger --level (such as 0.2), "
        raise DataError(
            "at least one failure among the held-out rows",
            f"none in {len(held)} ({failures.rule})",
            f"There is nothing to explain. Hold out more rows, {narrower}or list the failures with --failures.",
        )
    return failures


def _chosen(fit: Fit, causes: Causes, parts: Parts, against: Against, seed: int, *, progressbar: bool) -> Choice:
    """Candidates are removed by transport throughout: a refit for each would cost more than it tells."""
    if parts.cross_fitted:
        return cross_fitted_top(fit, parts.scoring, against=against, progressbar=progressbar, random_seed=seed)
    assert parts.choosing is not None  # asked by the caller
    return choose_top(causes, parts.choosing, progressbar=progressbar, random_seed=seed)


def _explained(choice: Choice) -> str:
    if not choice.k:
        return "K = 0: no removal makes the held-out rows clearly more probable, so nothing is repaired."
    line = choice.curve.loc[choice.k]
    return (
        f"K = {choice.k}: the fewest rows whose removal gains about as much as the best "
        f"({line['gain']:+.3f} ± {line['se']:.3f} in log score a row)."
    )


def _repaired(fit: Fit, causes: Causes, k: int, action: str, method: str, seed: int) -> Edited:
    if not k:
        nothing = edit(fit, Factor(fit.rows.take([]), -1.0))
        return replace(nothing, factors=(), causes=causes)
    rows = causes.top(k)
    if action == "delete":
        return repair(fit, rows, method=method, random_seed=seed)
    classes = suggested_classes(fit, rows.index, method=method, random_seed=seed)
    return repair(fit, rows, relabel=classes, method=method, random_seed=seed)
