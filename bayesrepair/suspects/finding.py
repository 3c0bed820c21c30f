"""From a fit to its suspects: the fit with noise, its passes over the rows, and what is said of each."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import pandas as pd

from bayesrepair.fit import Fit, Repaired, as_fit
from bayesrepair.noise import Mechanism, Noise
from bayesrepair.predictive import class_names, given_outcome
from bayesrepair.ranking import ranked
from bayesrepair.rows import Rows
from bayesrepair.suspects.noise_evidence import noise_status
from bayesrepair.suspects.result import Suspects, convergence, stand_in
from bayesrepair.suspects.reviewed_rows import Reviewed
from bayesrepair.suspects.suspicion import (
    Evidence,
    Method,
    Suspicion,
    evidence,
    noise_evidence,
    noisy_fit,
    surprise,
    suspicion,
)


def find_suspects(
    fit: Fit | Repaired,
    *,
    trusted: Any = None,
    reviewed: Reviewed | None = None,
    noise: Mechanism | Noise = "auto",
    groups: str | pd.Series | Iterable[Any] | None = None,
    method: Method = "auto",
    draws: int | None = None,
    client: Any = None,
    progressbar: bool = False,
    random_seed: int | np.random.Generator | None = 0,
) -> Suspects:
    """Probability that each training label is wrong, from a model that knows that labels can be wrong.

    The user's own model is fitted anew with one more step: the given class y of a record of true class c is drawn from
    ``T_c·``, with a prior on T that shrinks between one rate for all and a rate for each class, each group, and each
    pair of classes (`bayesrepair.noise.LabelNoise`). The true classes are summed out. Then

        prob_wrong = E_θ[Σ_{c≠y} π_c T_cy / Σ_c π_c T_cy],

    π being the model's probability of each class. What looks like wrong labels can be a shape of the classes that the
    model lacks: where rows like the suspects carry their class more often than the model expects, the status says so
    (`bayesrepair.suspects.neighbours.neighbour_check`).

    Parameters
    ----------
    fit : Fit or Edited
        That can be fitted anew. Of measurements and counts the result is
        `bayesrepair.suspects.number_suspects.NumberSuspects`, and `bayesrepair.number_noise.NumberNoise` says what is
        taken to be wrong.
    trusted : ids, DataFrame, Rows or Failures, optional
        Rows whose label is known to be right: ids of training rows, or further rows with their outcomes (held-out
        failures and correctly handled rows); a list may hold some of each. That a row is among them must say nothing
        of the others: see ``reviewed``.
    reviewed : ids, or mapping of id to class (or number), optional
        Training rows that somebody looked at, and that have their true outcome by now, such as ``decisions.trusted`` of
        a fit that `bayesrepair.review.Decisions` repaired. Rows are reviewed because they are suspicious; taken as
        ``trusted``, they would make the rest look cleaner than it is. What stood in the table before is what the
        fit had before its edits; a mapping gives it outright.
    noise : {"auto", "uniform", "class"}, LabelNoise or NumberNoise
        See `bayesrepair.noise.LabelNoise`; one of your own has other priors. There is no "none": without noise no label
        can be wrong; the ranking of such a model is the column ``surprise``, or `bayesrepair.suspects.surprise`.
    groups : str, Series or array, optional
        Column of the fit's table, labels by row id, or one label a training row: who or what gave the label. Each
        group gets an error rate of its own, shrunk towards the others. Missing: nothing known.
    method : {"auto", "nuts", "laplace"}
        ``"laplace"``: the Gaussian at the mode instead of draws; ``"auto"`` takes it for a Laplace fit and beyond
        100 000 rows.
    draws : int, optional
        Draws of each chain, at first; by default as many as refits of the plain fit take, and half as many among
        measurements and counts. Chains that do not agree go on, for up to twice the gradients of the plain fit, or
        some CPU minutes if that is longer.
    client : distributed.Client or str, optional
        A Dask cluster, or the address of its scheduler, whose workers look at the rows; the sampling stays here.
    progressbar : bool
    random_seed : int or Generator, optional

    Returns
    -------
    Suspects

    Raises
    ------
    DataError
        If an id, a column or a class is unknown, or rows of the fit were weakened or inserted.
    MethodError
        If the model cannot be fitted anew, its outcome has no noise model, or a name is unknown.
    SamplingInterrupted
        If fewer draws came back than were asked for.

    References
    ----------
    Raykar et al. (2010), Learning from crowds, JMLR 11. Vehtari, Gelman, Gabry (2017), arXiv:1507.04544 (surprise).
    """
    fit = as_fit(fit)
    if fit.model.outcome.kind != "class":
        from bayesrepair.suspects.number_suspects import number_suspects

        return number_suspects(
            fit,
            trusted=trusted,
            reviewed=reviewed,
            noise=noise,
            groups=groups,
            method=method,
            draws=draws,
            client=client,
            progressbar=progressbar,
            random_seed=random_seed,
        )
    known, rng = evidence(fit, trusted, groups, reviewed), np.random.default_rng(random_seed)
    return suspects_among(
        fit, known, noise, method=method, rng=rng, draws=draws, client=client, progressbar=progressbar
    )


def suspects_among(
    fit: Fit,
    known: Evidence,
    noise: Mechanism | Noise,
    *,
    method: Method,
    rng: np.random.Generator,
    draws: int | None = None,
    client: Any = None,
    progressbar: bool = False,
) -> Suspects:
    """`find_suspects` of classes, among rows of which it is settled what is known."""
    noisy, seconds = noisy_fit(fit, known, noise, method=method, rng=rng, draws=draws)
    train = noisy.rows.at(slice(0, known.training))
    surprising = surprise(fit, train, client=client, progressbar=progressbar)
    found, frame = suspects_in(noisy, known, surprising, rng, fit.table, client=client, progressbar=progressbar)
    speaks = noise_evidence(noisy, known, found, surprising)
    status = noise_status(speaks, **convergence(noisy), stand_in=stand_in(noisy))
    return Suspects(fit, noisy, frame, known, found, status, seconds, speaks)


def suspects_in(
    noisy: Fit,
    known: Evidence,
    surprising: np.ndarray,
    rng: np.random.Generator,
    table: pd.DataFrame | None,
    *,
    client: Any = None,
    progressbar: bool = False,
) -> tuple[Suspicion, pd.DataFrame]:
    """What a noise-aware fit of classes says of its training rows, and the frame of it, the most suspicious first."""
    train = noisy.rows.at(slice(0, known.training))
    found = suspicion(noisy, train, rng, client=client, progressbar=progressbar)
    return found, ranked(framed(noisy, train, known, found, surprising), "prob_wrong", table)


def framed(fit: Fit, rows: Rows, known: Evidence, found: Suspicion, surprising: np.ndarray) -> pd.DataFrame:
    """A line for each row, in order: what `Suspects.frame` has, without the table's own columns."""
    names = class_names(fit)
    columns = {
        "given": given_outcome(fit, rows),
        "prob_wrong": found.prob_wrong,
        "mcse": found.mcse,
        "suggested": names[found.suggested],
        "prob_suggested": found.prob_suggested,
        "surprise": surprising,
        "reason": _reasons(names, known, found, surprising),
    }
    return pd.DataFrame(columns, index=rows.index)


def _reasons(names: np.ndarray, known: Evidence, found: Suspicion, surprising: np.ndarray) -> list[str]:
    """A few words for each row."""
    reasons = []
    for i, prob in enumerate(found.prob_wrong):
        suggested = names[found.suggested[i]]
        if known.trusted[i]:
            reasons.append("known to be right")
        elif prob >= 0.5:
            reasons.append(f"looks like {suggested} ({found.looks[i]:.0%})")
        elif prob >= 0.1:
            reasons.append(f"may be {suggested}")
        elif surprising[i] > np.log(10):
            reasons.append("unusual, but exceptions are common here")
        else:
            reasons.append("fits its label")
    return reasons
