"""Which list to believe: what the failures and the scores look like, and what served in such cases.

Two questions are often taken for one: which rows explain these failures (`find_causes`), and which outcomes are wrong
(`find_suspects`). Where wrong outcomes cause the failures, both lists find them. Where the failures are natural, as
they are wherever classes overlap, scores against them point at rows that are right.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd

from bayesrepair.failures import Failures
from bayesrepair.fit import Fit
from bayesrepair.numerics.blocks import row_blocks
from bayesrepair.predictive import given_outcome, mean_prediction
from bayesrepair.rows import Rows

if TYPE_CHECKING:
    from bayesrepair.causes import Causes
    from bayesrepair.suspects import Suspects

Believe = Literal["causes", "suspects", "both"]

# From simulated classifications (uniform, class-wise and clustered flips, none; 8 to 83 failures): scores against
# failures that flips had caused had .58 to .90 of their positive mass in a tenth of the rows and rank correlations of
# -.14 to .15 with surprise; against natural failures .29 to .40 and -.53 to .15.
CONCENTRATED, CONTRARY = 0.5, -0.2
FEW = 30
ONE_KIND, ALIKE = 0.75, 1.5
TENTH = 0.1
SOME_DRAWS, SOME_ROWS = 500, 200


@dataclass(frozen=True)
class Regime:
    """What the failures and the scores look like, and which list to believe.

    Parameters
    ----------
    failures : int
        |F|, of those that scored.
    against : {"failures", "held_out"}
    kind : str
        The most common outcome among the failures: a class, or ``above`` or ``below`` what was predicted.
    kind_share, kind_base : float
        Its share among the failures, and among all held-out rows (training rows where these are unknown).
    alike, alike_base : float
        Share of the first principal component in the failures' log-likelihoods over the posterior draws, and the same
        for as many training rows: high where the failures are one kind of case.
    positive : float
        Share of the scores above zero.
    concentrated : float
        Share of the positive scores' sum in the first tenth of the rows.
    agreement : float
        Spearman's correlation of score and surprise.
    with_suspects : float
        Of score and ``prob_wrong``; nan where no suspects are at hand.
    believe : {"causes", "suspects", "both"}
    why : str
    """

    failures: int
    against: str
    kind: str
    kind_share: float
    kind_base: float
    alike: float
    alike_base: float
    positive: float
    concentrated: float
    agreement: float
    with_suspects: float
    believe: Believe
    why: str

    def frame(self) -> pd.DataFrame:
        """One line a figure: ``value``, and what it is compared with."""
        lines = {
            "failures": (self.failures, FEW),
            f"share of {self.kind!r} among them": (self.kind_share, self.kind_base),
            "alike": (self.alike, self.alike_base),
            "share of positive scores": (self.positive, 0.5),
            "positive score in the first tenth": (self.concentrated, CONCENTRATED),
            "rank correlation with surprise": (self.agreement, CONTRARY),
            "rank correlation with prob_wrong": (self.with_suspects, np.nan),
        }
        return pd.DataFrame.from_dict(lines, orient="index", columns=["value", "against"])

    def __str__(self) -> str:
        named = {"causes": "the causes", "suspects": "the suspects", "both": "both lists"}
        return f"For wrong outcomes believe {named[self.believe]}: {self.why}"

    def __repr__(self) -> str:
        return f"{self}\n{self.frame().to_string(float_format='{:.2f}'.format)}"


def regime(causes: Causes, suspects: Suspects | None = None, *, random_seed: int = 0) -> Regime:
    """Look at the failures and the scores, and say which list to believe and why.

    Parameters
    ----------
    causes : Causes
    suspects : Suspects, optional
    random_seed : int
        For the training rows that the failures are compared with.

    Returns
    -------
    Regime
        Thresholds and advice come from simulated classifications; for numbers and counts they are borrowed.
    """
    rng = np.random.default_rng(random_seed)
    fit, rows = causes.fit, _failing(causes)
    kind, share, base = _kind(causes, rows)
    some = rows.at(np.sort(rng.permutation(len(rows))[:SOME_ROWS]))
    train = causes.training
    others = train.at(np.sort(rng.permutation(len(train))[: len(some)]))
    score, surprise = causes.scores["score"], causes.scores["surprise"]
    up = np.sort(np.maximum(score.to_numpy(), 0.0))[::-1]
    figures: dict[str, Any] = {
        "failures": len(rows),
        "against": causes.against,
        "kind": str(kind),
        "kind_share": share,
        "kind_base": base,
        "alike": _alike(fit, some),
        "alike_base": _alike(fit, others),
        "positive": float((score > 0).mean()),
        "concentrated": float(up[: max(1, round(TENTH * len(up)))].sum() / max(up.sum(), np.finfo(float).tiny)),
        "agreement": _correlation(score, surprise),
        "with_suspects": np.nan if suspects is None else _correlation(score, suspects.scores["prob_wrong"]),
    }
    believe, why = _advice(figures, handled=_has_handled(causes.found))
    return Regime(**figures, believe=believe, why=why)


def _failing(causes: Causes) -> Rows:
    """The failures themselves, where handled rows scored beside them."""
    return causes.found.rows if causes.against == "held_out" and causes.found is not None else causes.failures


def _has_handled(found: Failures | None) -> bool:
    return found is not None and len(found.handled) > 0


def _kind(causes: Causes, failures: Rows) -> tuple[Any, float, float]:
    """The most common outcome among the failures, its share there, and its share among all."""
    everything = causes.training if causes.found is None else causes.found.holdout
    among, base = _kinds(causes.fit, failures), _kinds(causes.fit, everything)
    counted = among.value_counts(normalize=True)
    if counted.empty:
        return "", np.nan, np.nan
    return counted.index[0], float(counted.iloc[0]), float((base == counted.index[0]).mean())


def _kinds(fit: Fit, rows: Rows) -> pd.Series:
    given = given_outcome(fit, rows)
    if fit.model.outcome.kind == "class":
        return pd.Series(given)
    return pd.Series(np.where(given > mean_prediction(fit, rows)[:, 0], "above", "below"))


def _alike(fit: Fit, rows: Rows) -> float:
    """Share of the first principal component in the standardised log-likelihoods over draws, which are few."""
    draws = fit.draws
    theta = draws.theta[draws.resampled(min(len(draws), SOME_DRAWS), np.random.default_rng(0))]
    parts = [fit.model.log_lik(theta, block) for _, block in row_blocks(rows, len(theta))]
    if not parts:
        return np.nan
    centred = np.concatenate(parts, axis=1)
    centred = centred - centred.mean(axis=0)
    spread = centred.std(axis=0)
    used = np.isfinite(spread) & (spread > 0)
    if not used.any():
        return np.nan
    variance = np.linalg.svd(centred[:, used] / spread[used], compute_uv=False) ** 2
    return float(variance[0] / variance.sum())


def _correlation(score: pd.Series, other: pd.Series) -> float:
    both = other.reindex(score.index)
    if score.nunique() < 2 or both.nunique() < 2:
        return np.nan
    return float(score.rank().corr(both.rank()))


def _advice(figures: dict[str, Any], *, handled: bool) -> tuple[Believe, str]:
    """The list to believe, and the reason in a sentence or two."""
    if figures["against"] == "held_out":
        return "both", (
            "these scores weigh failures and handled rows together, which found wrong outcomes well in every trial; "
            "causes.with_suspects(suspects) joins them."
        )
    also = (
        " The held-out rows hold handled ones too: find_causes(..., against='held_out') finds wrong outcomes better."
        if handled
        else ""
    )
    natural = figures["concentrated"] < CONCENTRATED or figures["agreement"] < CONTRARY
    if natural:
        badly = "" if np.isnan(figures["agreement"]) else _badly(figures["agreement"])
        return "suspects", (
            f"the failures look natural (the first tenth of the rows holds {figures['concentrated']:.0%} of the "
            f"positive score{badly}), and scores against natural failures point at rows that are right. {_use()}{also}"
        )
    if figures["failures"] < FEW:
        return "suspects", (
            f"{figures['failures']} failures are few: scores against so few missed most wrong outcomes in trials. "
            f"{_use()}{also}"
        )
    return "both", (
        f"a few rows work against the failures ({figures['concentrated']:.0%} of the positive score in a tenth of the "
        f"rows){_of_one_kind(figures)}, as where wrong outcomes cause them; a row high in both lists is wrong most "
        f"often: causes.with_suspects(suspects).{also}"
    )


def _badly(agreement: float) -> str:
    return f", and rows that fit badly do not score high: rank correlation {agreement:+.2f} with surprise"


def _use() -> str:
    return "The causes still say whose removal would change these failures."


def _of_one_kind(figures: dict[str, Any]) -> str:
    said = []
    if figures["kind_share"] >= ONE_KIND and figures["kind_share"] > figures["kind_base"] + 0.1:
        said.append(f"{figures['kind_share']:.0%} of the failures are {figures['kind']!r}")
    if figures["alike"] > ALIKE * figures["alike_base"]:
        said.append("they are one kind of case")
    return f", {' and '.join(said)}" if said else ""
