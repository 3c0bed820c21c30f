"""The posterior of a noise-aware model: who takes part, how it is sampled, and what it says of each row."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd

from bayesrepair.failures import Failures
from bayesrepair.fit import Fit
from bayesrepair.laplace import laplace
from bayesrepair.model import Curved, Outcome
from bayesrepair.nested_laplace import nested_laplace
from bayesrepair.noise import Corruptible, Flips, Mechanism, Noise, Noisy, noise_for, with_source
from bayesrepair.numerics.blocks import row_blocks
from bayesrepair.posterior import Draws, Gaussian, Posterior
from bayesrepair.rows import Rows
from bayesrepair.status import DataError, MethodError
from bayesrepair.streaming.scorer import RowScorer
from bayesrepair.suspects.neighbours import neighbour_check
from bayesrepair.suspects.noise_evidence import ENOUGH, GOOD_RHAT, NoiseEvidence
from bayesrepair.suspects.passes import COUNT_DRAWS, LabelPass, fastest, over_rows
from bayesrepair.suspects.reviewed_numbers import review_of_numbers
from bayesrepair.suspects.reviewed_rows import Review, Reviewed, review_of_classes

Method = Literal["auto", "nuts", "laplace"]
MANY_ROWS = 100_000  # beyond it method="auto" is the Laplace approximation
TIMES_PLAIN = 3.0  # sampling may go on for so many times as long as that of the plain fit took, or for what is quick
GRADIENT_PRICE = 1.5  # of a noise-aware gradient, in plain ones: measured 1.4 (two classes) and 1.45 (three)
FEW_GRADIENTS, MANY_GRADIENTS = 300_000, 4_000_000  # that are always allowed: at least, and at most
QUICK = 1e11  # … and between them so many gradients × (rows × P + P²): a minute of a processor or so
PRIOR_DRAWS = 4000
LEVEL = "label_noise_level"  # parameter along which the posterior is skew
LEVELS = (-5.5, -4.5, -3.7, -3.0, -2.4, -1.9, -1.4, -0.9, -0.4, 0.2, 0.9, 1.6)  # rates of .2 to 42 %
FEWEST_DRAWS, CELLS = 200, 10_000_000  # draws × rows × classes that are looked at, and the fewest draws


@dataclass(frozen=True, eq=False)
class Evidence:
    """The rows of a noise-aware fit.

    Parameters
    ----------
    rows : Rows
        Training rows that take part, then trusted rows from outside.
    training : int
        How many are training rows.
    trusted : array of bool, shape (N,)
    group : array of int, shape (N,)
        Code of each row's group; G where it is unknown.
    groups : tuple
        Names of the G groups.
    column : str
        What the groups are.
    reviewed : array of int, shape (G + 1, K, K), optional
        Reviewed rows by group, true class and given class; of numbers the two classes are right and wrong, and what is
        true is right.
    stood : int
        How many rows at the end are numbers as they stood before a review found them wrong.
    """

    rows: Rows
    training: int
    trusted: np.ndarray
    group: np.ndarray
    groups: tuple[Any, ...]
    column: str
    reviewed: np.ndarray | None = None
    stood: int = 0

    @property
    def confirmed(self) -> int:
        """How many reviewed rows were found wrong."""
        return 0 if self.reviewed is None else int(self.reviewed.sum() - np.einsum("gcc->", self.reviewed))

    @property
    def source(self) -> np.ndarray:
        """Codes as `bayesrepair.noise.SOURCE` has them."""
        codes = np.where(self.trusted, len(self.groups) + 1, self.group)
        codes[len(codes) - self.stood :] = len(self.groups) + 2
        return codes

    @property
    def marked(self) -> Rows:
        """Rows that say where each outcome is from, if that matters."""
        return with_source(self.rows, self.source) if self.groups or self.trusted.any() else self.rows

    def noise(self, outcome: Outcome, noise: Mechanism | Noise) -> Noise:
        """What can be wrong with these rows."""
        trusted = bool(self.trusted.any())
        return noise_for(outcome, noise, groups=len(self.groups), trusted=trusted, reviewed=self.reviewed)


def evidence(fit: Fit, trusted: Any, groups: Any, reviewed: Reviewed | None = None) -> Evidence:
    """Rows, which of them are trusted, and the group of each.

    Raises
    ------
    DataError
        If rows of the fit have fractional weights or were inserted, an id is unknown, a trusted row has no outcome,
        every row is trusted, or there is no such column of groups.
    """
    current, weight = fit.current()
    kept = np.flatnonzero(weight > 0)
    rows = current.at(kept)
    if (weight[kept] != 1).any() or len(fit.retained()[1]) != len(kept):
        raise DataError(
            "training rows that count once each, and no other rows",
            "rows that were weakened or inserted by an edit",
            "Find suspects in the fit before that edit.",
        )
    ids, extras = _trusted_parts(fit, trusted)
    known = np.zeros(len(rows), dtype=bool)
    known[rows.positions(ids)] = True
    codes, names, column = _group_codes(fit, kept, groups)
    review = None if reviewed is None else _review(fit, rows, reviewed, codes, len(names))
    if review is not None:
        known[rows.positions(review.ids)] = True
    if known.all():
        got = f"trusted= (or reviewed=) with all {len(known)}"
        raise DataError("training rows that may be wrong", got, "Leave out the rows in doubt.")
    stood = 0
    if review is not None and review.stood is not None and len(review.stood):
        extras, stood = [*extras, review.stood], len(review.stood)
    outside = sum(len(extra) for extra in extras)
    if outside:
        rows = _appended(rows, extras)
    return Evidence(
        rows=rows,
        training=len(known),
        trusted=np.concatenate([known, np.ones(outside, dtype=bool)]),
        group=np.concatenate([codes, np.full(outside, len(names))]),
        groups=names,
        column=column,
        reviewed=None if review is None else review.counts,
        stood=stood,
    )


def _review(fit: Fit, rows: Rows, reviewed: Reviewed, group: np.ndarray, groups: int) -> Review:
    if fit.model.outcome.kind == "class":
        return review_of_classes(fit, rows, reviewed, group, groups)
    return review_of_numbers(fit, rows, reviewed, group, groups)


def _trusted_parts(fit: Fit, trusted: Any) -> tuple[pd.Index, list[Rows]]:
    """Ids of training rows, and rows from outside."""
    if trusted is None:
        return pd.Index([]), []
    tables = (pd.DataFrame, Rows, Failures)
    parts = [trusted] if isinstance(trusted, (*tables, str, np.ndarray, pd.Index, pd.Series)) else list(trusted)
    outside = [part for part in parts if isinstance(part, tables)]
    if not outside:
        return pd.Index(trusted if isinstance(trusted, (np.ndarray, pd.Index)) else parts), []
    listed: list[Any] = [i for part in parts if not isinstance(part, tables) for i in _listed(part)]
    rows = [part.holdout if isinstance(part, Failures) else fit.as_rows(part) for part in outside]
    name = fit.model.outcome.name
    for part in rows:
        if name not in part.values:
            raise DataError(f"the outcome {name!r} of every trusted row", "trusted rows without it")
    return pd.Index(listed), rows


def _listed(part: Any) -> Iterable[Any]:
    return part if pd.api.types.is_list_like(part) else [part]


def _appended(rows: Rows, extras: list[Rows]) -> Rows:
    """Training rows, then the others; an id that is taken is marked."""
    ids = list(rows.row)
    seen = set(ids)
    for extra in extras:
        for row in extra.row:
            name: Any = row
            while name in seen:
                name = f"trusted {name}"
            seen.add(name)
            ids.append(name)
    index = np.empty(len(ids), dtype=object)
    index[:] = ids
    return Rows(rows.stacked(*extras).values, index)


def _group_codes(fit: Fit, kept: np.ndarray, groups: Any) -> tuple[np.ndarray, tuple[Any, ...], str]:
    """Code of each row that takes part (G where unknown), names, and what they are called."""
    if groups is None:
        return np.zeros(len(kept), dtype=int), (), ""
    if isinstance(groups, str):
        labels = fit.labels(groups)
        column = groups
    elif isinstance(groups, pd.Series):
        labels = groups.reindex(fit.rows.index)
        column = str(groups.name or "group")
    else:
        labels = pd.Series(np.asarray(groups))
        column = "group"
    if len(labels) != len(fit.rows):
        raise DataError(f"a group for each of {len(fit.rows)} training rows", f"{len(labels)}")
    codes, names = pd.factorize(labels.to_numpy()[kept], sort=True)
    if len(names) < 2:
        raise DataError(f"at least two groups in {column!r}", f"{len(names)}", "Leave out groups=.")
    codes = np.asarray(codes, dtype=int)
    return np.where(codes < 0, len(names), codes), tuple(names), column


def noisy_fit(
    fit: Fit,
    known: Evidence,
    noise: Mechanism | Noise,
    *,
    method: Method,
    rng: np.random.Generator,
    draws: int | None = None,
) -> tuple[Fit, float]:
    """The noise-aware fit, and the seconds that its sampling took.

    Raises
    ------
    MethodError
        If the method is unknown, or the model cannot be fitted anew.
    """
    if method not in ("auto", "nuts", "laplace"):
        raise MethodError("method='auto', 'nuts' or 'laplace'", repr(method))
    if not isinstance(fit.model, Corruptible):
        lacking = getattr(fit.model, "lacks", {}).get("Trainable", "no with_noise")
        raise MethodError("a model that can be fitted anew with noise", f"{type(fit.model).__name__}: {lacking}")
    model, rows = fit.model.with_noise(known.noise(fit.model.outcome, noise)), known.marked
    cheap = method == "laplace" or (method == "auto" and (isinstance(fit.posterior, Gaussian) or len(rows) > MANY_ROWS))
    started = time.perf_counter()
    posterior = _laplace(model, rows, fit, rng) if cheap else _sampled(model, rows, fit, rng, draws)
    seconds = time.perf_counter() - started
    if isinstance(posterior, Draws) and posterior.sampling is not None:
        seconds = posterior.sampling.seconds
    table = None if fit.table is None else fit.table.reindex(rows.index)
    return Fit(model, rows, posterior, table=table), seconds


def _laplace(model: Noisy, rows: Rows, fit: Fit, rng: np.random.Generator) -> Posterior:
    """Laplace approximations over a grid of the noise's level; where it has several, one at the mode of most mass."""
    if not isinstance(model, Curved):
        raise MethodError("a model with second derivatives for method='laplace'", f"{type(model).__name__}")
    low, high = (model.started(fit.draws, rng, high=high).theta.mean(axis=0) for high in (False, True))
    level = [k for k, name in enumerate(model.names) if name.startswith(LEVEL)]
    if len(level) == 1:
        return nested_laplace(model, rows, low, level[0], _levels(model.noise), rng=rng)
    found = max((laplace(model, rows, np.ones(len(rows)), start) for start in (low, high)), key=_log_mass)
    if _log_mass(found) == -np.inf:
        raise MethodError("a mode of the noise-aware posterior", "none", "Sample it instead: method='nuts'.")
    return found


def _levels(noise: Noise) -> list[float]:
    """`LEVELS`, for a prior of one's own at the same distances from its mean in its sds."""
    usual = type(noise)
    return [noise.level + noise.level_sd * (at - usual.level) / usual.level_sd for at in LEVELS]


def _log_mass(gaussian: Gaussian) -> float:
    """Laplace's approximation of the evidence, up to a constant; −inf where there is no mode."""
    search = gaussian.search
    if search is None or not search.converged or not gaussian.is_definite:
        return -np.inf
    return search.log_density - 0.5 * float(np.linalg.slogdet(gaussian.precision)[1])


def _sampled(model: Noisy, rows: Rows, fit: Fit, rng: np.random.Generator, draws: int | None) -> Draws:
    """Chains from draws of the plain fit and low noise, until they agree or have taken too many gradients."""
    sampling = fit.posterior.sampling if isinstance(fit.posterior, Draws) else None
    plain = 0 if sampling is None else sampling.gradients or 0
    quick = QUICK / (len(rows) * model.n_params + model.n_params**2)
    most = max(min(max(quick, FEW_GRADIENTS), MANY_GRADIENTS), TIMES_PLAIN / GRADIENT_PRICE * plain)
    start = model.started(fit.draws, rng)
    return model.sampled(rows, start=start, rng=rng, draws=draws, rhat=GOOD_RHAT, ess=ENOUGH, gradients=most)


@dataclass(frozen=True, eq=False)
class Suspicion:
    """What the noise-aware posterior says of each row.

    Parameters
    ----------
    prob_wrong, mcse : array, shape (N,)
    suggested : array of int, shape (N,)
        Code of the most probable other class.
    prob_suggested : array, shape (N,)
    looks : array, shape (N,)
        The model's probability of the suggested class, before the given one is looked at.
    count : array, shape (S',)
        Number of wrong rows, one draw of it for each of S' draws.
    loo : array, shape (N,)
        PSIS-LOO log score of the given class under the noise-aware model, nats.
    exceptional : array, shape (N,)
        Probability that the true class is not the most probable one.
    """

    prob_wrong: np.ndarray
    mcse: np.ndarray
    suggested: np.ndarray
    prob_suggested: np.ndarray
    looks: np.ndarray
    count: np.ndarray
    loo: np.ndarray
    exceptional: np.ndarray


def suspicion(
    fit: Fit, rows: Rows, rng: np.random.Generator, *, client: Any = None, progressbar: bool = False
) -> Suspicion:
    """One pass over the rows of a noise-aware fit, block by block; on the workers of ``client``, if there is one."""
    model = fit.model
    assert isinstance(model, Noisy)  # as `noisy_fit` made it
    draws = thinned(fit.draws, len(rows) * len(model.outcome.classes or (0,)))
    look = LabelPass(fastest(fit, rows, len(draws)), draws, int(rng.integers(2**63)))
    return Suspicion(**over_rows(look, rows, title="Looking for wrong labels", client=client, progressbar=progressbar))


def class_probabilities(fit: Fit, rows: Rows) -> tuple[np.ndarray, np.ndarray]:
    """Posterior mean of each true class of rows of a noise-aware fit, given the label and before it, (N, K) each."""
    model = fit.model
    assert isinstance(model, Noisy)  # as `noisy_fit` made it
    classes = len(model.outcome.classes or ())
    draws = thinned(fit.draws, len(rows) * classes)
    parts = []
    for _, block in row_blocks(rows, len(draws), outputs=classes):
        drawn = model.truth(draws.theta, block), model.predict(draws.theta, block)
        parts.append([values.mean(axis=0) for values in drawn])
    return np.concatenate([part[0] for part in parts]), np.concatenate([part[1] for part in parts])


def noise_evidence(fit: Fit, known: Evidence, found: Suspicion, surprising: np.ndarray) -> NoiseEvidence:
    """Fit with noise against plain fit, its noise against the prior, and suspects against the rows near them."""
    model = fit.model
    assert isinstance(model, Noisy)  # as above
    prior = model.flip_prior(PRIOR_DRAWS, np.random.default_rng(0))
    doubtful = ~known.trusted[: known.training]
    return NoiseEvidence(
        difference=(found.loo + surprising)[doubtful],
        exceptions=float(found.exceptional.mean()),
        rate=mean_rate(model.flips(fit.draws.theta), known).mean(axis=1),
        prior_rate=mean_rate(prior, known).mean(axis=1),
        confirmed=known.confirmed,
        neighbours=neighbour_check(fit, np.random.default_rng(0)),
    )


def mean_rate(flips: Flips, known: Evidence) -> np.ndarray:
    """Error rate of each true class, averaged over the groups of the rows that are not trusted, (S, K)."""
    count = np.bincount(known.group[~known.trusted], minlength=flips.rate.shape[1])
    if not known.groups or not count.sum():
        return flips.rate[:, len(known.groups)]
    return np.einsum("sgk,g->sk", flips.rate, count / count.sum())


def wrong_draws(fit: Fit, rows: Rows, rng: np.random.Generator) -> np.ndarray:
    """How many of some rows are wrong: one simulated number for each of at most 1000 draws, shape (S',)."""
    draws, model = fit.draws, fit.model
    assert isinstance(model, Noisy)  # as above
    counted = np.linspace(0, len(draws) - 1, min(len(draws), COUNT_DRAWS)).astype(int)
    theta, count = draws.theta[counted], np.zeros(len(counted))
    for _, block in row_blocks(rows, len(counted), outputs=len(model.outcome.classes or (0,))):
        count += (rng.random((len(counted), len(block))) < model.wrong(theta, block)).sum(axis=1)
    return count


def thinned(draws: Draws, cells: int) -> Draws:
    """Draws at even distances where there are many rows × classes: those leave little to average over.

    Examples
    --------
    >>> draws = Draws.plain(np.zeros((4000, 1)))
    >>> len(thinned(draws, 2500)), len(thinned(draws, 1_000_000))
    (4000, 200)
    """
    size = min(len(draws), max(FEWEST_DRAWS, CELLS // max(cells, 1)))
    if size == len(draws):
        return draws
    kept = np.linspace(0, len(draws) - 1, size).astype(int)
    r_eff = min(1.0, draws.r_eff * len(draws) / size)
    return Draws(draws.theta[kept], draws.log_weights[kept], draws.chain[kept], r_eff)


def surprise(fit: Fit, rows: Rows, *, client: Any = None, progressbar: bool = False) -> np.ndarray:
    """Minus the PSIS-LOO log score of training rows under a fit, nats, shape (N,); high is surprising.

    The ranking of a model in which no outcome can be wrong. ``client``: a Dask cluster whose workers compute it.

    References
    ----------
    Vehtari, Gelman, Gabry (2017), arXiv:1507.04544.
    """
    draws = thinned(fit.draws, len(rows) * len(fit.model.outcome.classes or (0,)))
    scorer = RowScorer(fastest(fit, rows, len(draws)), draws)
    return over_rows(scorer, rows, title="Scoring surprise", client=client, progressbar=progressbar)["surprise"]
