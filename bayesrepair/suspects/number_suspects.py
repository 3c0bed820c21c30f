"""Suspects among measurements and counts: the training rows whose number is probably wrong."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
import pandas as pd

from bayesrepair.fit import Fit
from bayesrepair.noise import Mechanism, Noise
from bayesrepair.predictive import given_outcome
from bayesrepair.ranking import ranked
from bayesrepair.rows import Rows
from bayesrepair.status import MethodError, Status
from bayesrepair.suspects.noise_evidence import ALONE, unsettled
from bayesrepair.suspects.number_suspicion import NumberSuspicion, number_suspicion
from bayesrepair.suspects.result import Suspects, convergence, stand_in
from bayesrepair.suspects.reviewed_rows import Reviewed
from bayesrepair.suspects.suspicion import Evidence, Method, evidence, noisy_fit, surprise

NUMBER_COLUMNS = ("given", "prob_wrong", "mcse", "predicted", "low", "high", "surprise", "reason")
TOO_MANY = 0.2  # share of wrong records beyond which the model, not the records, is the likelier culprit
NO_CUT = 0.5  # doubt beyond which wrong records cannot be told from natural extremes


class NumberSuspects(Suspects):
    """Training rows by the probability that their number is wrong; **high is suspicious**.

    Wrong means grossly wrong: an error no larger than the extremes of right records cannot be seen, and neither
    ``prob_wrong`` nor ``expected_count`` speaks of such. As `Suspects`, but that a row has no suggested class:
    ``predicted`` is the posterior mean of the outcome that a right record would have, ``low`` and ``high`` its central
    90 % predictive interval.
    """

    _what: ClassVar[str] = "number"

    def frame(self) -> pd.DataFrame:
        """Columns ``given, prob_wrong, mcse, predicted, low, high, surprise, reason``, then the table's own."""
        return super().frame()

    @property
    def noise_matrix(self) -> pd.DataFrame:
        """Only classes have one."""
        raise MethodError("classes", "numbers", "Use .error, or .groups for the error rate of each group.")

    @property
    def error(self) -> pd.DataFrame:
        """What the noise-aware model learned of errors: ``mean, low, high`` (90 % interval) of each quantity.

        ``error_rate``: share of wrong records, a line for each group and one for an unknown group, where there are
        any. ``error_distance``: median distance of wrong measurements, in scales of the outcome. ``tail_share``: right
        records with deviations twice as large. ``overdispersion``: variance beyond Poisson in units of the squared
        mean.
        """
        theta = self.fit.draws.theta
        constrained = self.fit.model.constrain(theta)
        lines: dict[str, tuple[float, float, float]] = {}
        for name in ("error_rate", "error_distance", "tail_share", "overdispersion"):
            values = constrained.get(f"{name} (noise)", constrained.get(name))
            if values is None:
                continue
            values = values.reshape(len(theta), -1)
            labels = [name] if values.shape[1] == 1 else [f"{name}[{g}]" for g in (*self.evidence.groups, "unknown")]
            lines |= {label: _summary(values[:, g]) for g, label in enumerate(labels)}
        return pd.DataFrame.from_dict(lines, orient="index", columns=["mean", "low", "high"])

    def _group_rates(self) -> np.ndarray:
        """Draws of the error rate of each group."""
        constrained = self.fit.model.constrain(self.fit.draws.theta)
        rate = constrained.get("error_rate (noise)", constrained.get("error_rate"))
        assert rate is not None  # the noise reports it
        return rate

    def _suggested(self, rows: pd.Index) -> dict[Any, Any]:
        predicted = self.scores.loc[rows, "predicted"]
        if self.plain.model.outcome.kind == "count":
            predicted = predicted.round()
        return dict(zip(rows, predicted, strict=True))


def number_suspects(
    fit: Fit,
    *,
    trusted: Any,
    reviewed: Reviewed | None,
    noise: Mechanism | Noise,
    groups: Any,
    method: Method,
    draws: int | None,
    client: Any,
    progressbar: bool,
    random_seed: int | np.random.Generator | None,
) -> NumberSuspects:
    """`bayesrepair.find_suspects` for measurements and counts; see there for the parameters."""
    rng = np.random.default_rng(random_seed)
    known = evidence(fit, trusted, groups, reviewed)
    noisy, seconds = noisy_fit(fit, known, noise, method=method, rng=rng, draws=draws)
    train = noisy.rows.at(slice(0, known.training))
    found = number_suspicion(noisy, train, rng, client=client, progressbar=progressbar)
    surprising = surprise(fit, train, client=client, progressbar=progressbar)
    frame = _frame(noisy, train, known, found, surprising)
    status = _status(noisy, found, known.confirmed)
    return NumberSuspects(fit, noisy, ranked(frame, "prob_wrong", fit.table), known, found, status, seconds)


def _frame(fit: Fit, rows: Rows, known: Evidence, found: NumberSuspicion, surprising: np.ndarray) -> pd.DataFrame:
    given = given_outcome(fit, rows)
    columns = {
        "given": given,
        "prob_wrong": found.prob_wrong,
        "mcse": found.mcse,
        "predicted": found.predicted,
        "low": found.low,
        "high": found.high,
        "surprise": surprising,
        "reason": [_reason(found, i, value, bool(known.trusted[i])) for i, value in enumerate(given)],
    }
    return pd.DataFrame(columns, index=rows.index)


def _reason(found: NumberSuspicion, i: int, given: float, trusted: bool) -> str:
    """A few words for a row."""
    side = "above" if given > found.high[i] else "below" if given < found.low[i] else ""
    if trusted:
        return "known to be right"
    if found.prob_wrong[i] >= 0.5:
        return f"far {side} what is expected" if side else "not what is expected"
    if found.prob_wrong[i] >= 0.1:
        return f"may be an error: {side} what is expected" if side else "may be an error"
    return f"{side} what is expected, but such values occur here" if side else "fits"


def _status(fit: Fit, found: NumberSuspicion, confirmed: int) -> Status:
    """How far the probabilities can be trusted: the sampling, then what the model says of itself."""
    chains = convergence(fit)
    failed = unsettled(**chains)
    if failed is not None:
        return failed
    share = float(found.count.mean()) / len(found.prob_wrong)
    if share > TOO_MANY:
        seen = f"{share:.0%} of all records would have to be wrong"
        wider = "A wider distribution fits them better: NegativeBinomial or a group effect for counts, StudentT else."
        return Status("unreliable", seen, wider)
    stands_out = bool((found.prob_wrong > 0.5).any())
    if stands_out and found.doubt > NO_CUT:
        seen = "errors and natural extremes overlap: most of the errors that are expected cannot be named"
        return Status("checked", seen, "Check the first rows by hand; do not read prob_wrong as proof.")
    if np.isnan(chains["ess"]):
        return Status("checked", stand_in(fit), "Look at the first rows by hand.")
    if np.isnan(chains["rhat"]):
        return Status("checked", ALONE, "Let the refits have several chains, such as chains=4.")
    known = f"{confirmed} reviewed records were wrong; " if confirmed else ""
    if stands_out:
        return Status("ok", f"{known}wrong records stand apart")
    return Status("ok", f"{known}no record stands out; errors that are no larger than natural extremes are not counted")


def _summary(values: np.ndarray) -> tuple[float, float, float]:
    low, high = np.quantile(values, [0.05, 0.95])
    return float(values.mean()), float(low), float(high)
