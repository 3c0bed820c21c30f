"""Suspects: the training rows whose label is probably wrong."""

from __future__ import annotations

import html
import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

import numpy as np
import pandas as pd

from bayesrepair.edit import Edited, Editor
from bayesrepair.fit import Fit
from bayesrepair.noise import Flips, Noisy
from bayesrepair.numerics.label_posterior import transition
from bayesrepair.numerics.model_weight import bootstrap_weights, stacking_weights
from bayesrepair.posterior import Draws
from bayesrepair.predictive import class_names
from bayesrepair.repairs import repair
from bayesrepair.status import DataError, RepairWarning, Status
from bayesrepair.suspects.noise_evidence import GAUSSIAN, WEIGHTED, NoiseEvidence
from bayesrepair.suspects.number_suspicion import NumberSuspicion
from bayesrepair.suspects.suspicion import (
    Evidence,
    Suspicion,
    class_probabilities,
    mean_rate,
    wrong_draws,
)

if TYPE_CHECKING:
    from bayesrepair.suspects.pooling import PooledSuspects

COLUMNS = ("given", "prob_wrong", "mcse", "suggested", "prob_suggested", "surprise", "reason")


class Expected(NamedTuple):
    """A mean and the ends of a central 90 % interval."""

    mean: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.mean:.3g} ({self.low:.3g} to {self.high:.3g})"


def convergence(fit: Fit) -> dict[str, float]:
    """Worst r̂, smallest effective sample size, share of divergent draws; nan, nan, 0 for a Laplace approximation."""
    sampling = fit.posterior.sampling if isinstance(fit.posterior, Draws) else None
    if sampling is None:
        return {"rhat": np.nan, "ess": np.nan, "divergent": 0.0}
    return {"rhat": sampling.rhat_max, "ess": sampling.ess_min, "divergent": sampling.divergent}


def stand_in(fit: Fit) -> str:
    """What is in the place of chains where none were run."""
    posterior = fit.posterior
    return WEIGHTED if isinstance(posterior, Draws) and posterior.r_eff < 1 else GAUSSIAN


@dataclass(frozen=True, eq=False)
class Suspects:
    """Training rows by the probability that their label is wrong; **high is suspicious**.

    Parameters
    ----------
    plain : Fit
        The fit that was looked at; repairs are made in it.
    fit : Fit
        The noise-aware fit: predicts the true class, and can be edited like any other.
    scores : DataFrame
        One line a training row, sorted by ``prob_wrong`` descending, ties by row.
    evidence : Evidence
        Rows, trusted ones, groups.
    suspicion : Suspicion
        What the frame is made of, in the order of the rows.
    status : Status
        How far the probabilities can be trusted.
    seconds : float
        That the sampling of the noise-aware fit took, compilation apart.
    noise_evidence : NoiseEvidence, optional
        Whether the data speak for wrong labels at all.
    """

    plain: Fit
    fit: Fit
    scores: pd.DataFrame
    evidence: Evidence
    suspicion: Suspicion | NumberSuspicion
    status: Status
    seconds: float
    noise_evidence: NoiseEvidence | None = None
    _what: ClassVar[str] = "label"

    def __len__(self) -> int:
        return len(self.scores)

    def frame(self) -> pd.DataFrame:
        """Columns ``given, prob_wrong, mcse, suggested, prob_suggested, surprise, reason``, then the table's own."""
        return self.scores.copy()

    def top(self, k: int = 20) -> pd.DataFrame:
        """The ``k`` most suspicious rows; goes straight into `bayesrepair.repair`."""
        return self.scores.head(_checked_k(k, len(self))).copy()

    @property
    def rhat(self) -> float:
        """Worst r̂ over all parameters of the noise-aware fit; nan for one chain or a Laplace approximation."""
        return convergence(self.fit)["rhat"]

    @property
    def ess(self) -> float:
        """Smallest bulk effective sample size; nan for a Laplace approximation."""
        return convergence(self.fit)["ess"]

    @property
    def prob_noise(self) -> float:
        """Probability that there is noise at all, as expected counts and precisions have it; see `NoiseEvidence`."""
        return 1.0 if self.noise_evidence is None else self.noise_evidence.prob_noise

    @property
    def expected_count(self) -> Expected:
        """Number of wrong labels among the training rows, with its 90 % predictive interval.

        With probability 1 − `prob_noise` there are none: unlike ``prob_wrong`` it allows for the model in which every
        label is right.
        """
        return _expected(self._perhaps(self._wrong_of_all()))

    def expected_precision(self, k: int) -> Expected:
        """Share of wrong labels among the ``k`` most suspicious rows that somebody who checks them will see.

        The interval is predictive: it covers what is not known about the parameters, and chance. With probability
        1 − `prob_noise` no label is wrong, as in `expected_count`.
        """
        chosen = self.scores.index[: _checked_k(k, len(self), least=1)]
        return _expected(self._perhaps(self._wrong_among(chosen)), of=k)

    def _wrong_of_all(self) -> np.ndarray:
        """Draws of the number of wrong labels among the training rows, if there is noise."""
        return self.suspicion.count

    def _wrong_among(self, chosen: pd.Index) -> np.ndarray:
        """The same among some rows."""
        return wrong_draws(self.fit, self.fit.rows.take(chosen), np.random.default_rng(0))

    def _perhaps(self, count: np.ndarray) -> np.ndarray:
        """Draws of a count, none in as large a share of them as speaks for the plain model."""
        weight = self.prob_noise
        return count if weight == 1 else count * (np.random.default_rng(1).random(len(count)) < weight)

    @property
    def noise_matrix(self) -> pd.DataFrame:
        """P(given class | true class): ``mean, low, high`` (90 % interval), by ``true`` and ``given``.

        With groups it is the average over the rows that are not trusted.
        """
        names = class_names(self.fit)
        matrix = transition(mean_rate(self.flips, self.evidence), self.flips.target)
        low, high = np.quantile(matrix, [0.05, 0.95], axis=0)
        index = pd.MultiIndex.from_product([names, names], names=["true", "given"])
        parts = {"mean": matrix.mean(axis=0), "low": low, "high": high}
        return pd.DataFrame({name: value.ravel() for name, value in parts.items()}, index=index)

    @property
    def groups(self) -> pd.DataFrame:
        """Error rate of each group, the highest first: ``rows, rate, low, high, prob_highest``.

        A rate is the share of wrong outcomes among records like those of the whole table; 90 % intervals.
        """
        known = self.evidence
        if not known.groups:
            raise DataError("groups", "none", "Pass groups='annotator', say, to find_suspects.")
        rate = self._group_rates()[:, : len(known.groups)]
        low, high = np.quantile(rate, [0.05, 0.95], axis=0)
        highest = (rate == rate.max(axis=1, keepdims=True)).mean(axis=0)
        rows = np.bincount(known.group[: known.training], minlength=len(known.groups) + 1)[: len(known.groups)]
        columns = {"rows": rows, "rate": rate.mean(axis=0), "low": low, "high": high, "prob_highest": highest}
        frame = pd.DataFrame(columns, index=pd.Index(known.groups, name=known.column))
        return frame.sort_values("rate", ascending=False, kind="stable")

    def _group_rates(self) -> np.ndarray:
        """Draws of the error rate of each group, (S, G or more): records of no known group, if any, come last."""
        rates: np.ndarray = self.flips.rate @ self._class_share()
        return rates

    @property
    def flips(self) -> Flips:
        """Draws of the transition from the true to the given class."""
        assert isinstance(self.fit.model, Noisy)
        return self.fit.model.flips(self.fit.draws.theta)

    @property
    def truth(self) -> np.ndarray:
        """Probability of each true class, given the label, of all rows that took part, (N, K)."""
        return class_probabilities(self.fit, self.fit.rows)[0]

    def _class_share(self) -> np.ndarray:
        given = np.asarray(self.fit.rows.values[self.fit.model.outcome.name]).astype(int)
        count = np.bincount(given, minlength=len(class_names(self.fit)))
        return count / count.sum()

    def with_discriminant(self, *, features: Any = None, random_seed: int = 0) -> PooledSuspects:
        """Hear Gaussian classes of the same rows too: a linear discriminant that knows that labels can be wrong.

        See `bayesrepair.suspects.discriminant.discriminant_opinion` for the parameters. A regression and a discriminant
        are two ways to a line, of which one is right: weights are those of pseudo-BMA+, by the labels of rows left out
        (Yao et al. 2018, doi:10.1214/17-BA1091). It knows more where few rows fall into groups (wine of benchmark
        ``suspects``).
        """
        from bayesrepair.suspects.discriminant import NAME, discriminant_opinion
        from bayesrepair.suspects.pooling import heard_beside

        other = discriminant_opinion(self, features=features, random_seed=random_seed)
        return heard_beside(self, NAME, other, bootstrap_weights)

    def with_forest(self, *, features: Any = None, random_seed: int = 0) -> PooledSuspects:
        """Hear a forest of the same rows too.

        See `bayesrepair.suspects.forest.forest_opinion` for the parameters. It sees what bends, and complements what
        was heard before: weights are those of Bayesian stacking, as in `bayesrepair.pool_suspects`. Where classes
        overlap by nature it finds more (Pima and German credit of benchmark ``suspects``).
        """
        from bayesrepair.suspects.forest import NAME, forest_opinion
        from bayesrepair.suspects.pooling import heard_beside

        other = forest_opinion(self, features=features, random_seed=random_seed)
        return heard_beside(self, NAME, other, stacking_weights)

    def relabel(
        self,
        k: int | None = None,
        *,
        threshold: float | None = None,
        method: str | Editor = "auto",
        random_seed: int | np.random.Generator | None = None,
    ) -> Edited:
        """Give the most suspicious rows of the plain fit their suggested class.

        Parameters
        ----------
        k : int, optional
            The first k rows.
        threshold : float, optional
            Or all rows whose ``prob_wrong`` is at least this.
        method : str or Editor
        random_seed : int or Generator, optional
            As in `bayesrepair.repair`.

        Warns
        -----
        RepairWarning
            The model is taught its own opinion.
        """
        chosen = self._chosen(k, threshold)
        warnings.warn(
            f"{len(chosen)} rows get the {self._what} that the model itself expects: that is self-training, "
            "which makes the model surer of what it believed. Let somebody check these rows, or predict with "
            "suspects.fit, which knows that they may be wrong.",
            RepairWarning,
            stacklevel=2,
        )
        suggested = self._suggested(chosen)
        return repair(self.plain, chosen, relabel=suggested, method=method, random_seed=random_seed)

    def _suggested(self, rows: pd.Index) -> dict[Any, Any]:
        """The outcome that each row gets by `relabel`."""
        return dict(zip(rows, self.scores.loc[rows, "suggested"], strict=True))

    def drop(
        self,
        k: int | None = None,
        *,
        threshold: float | None = None,
        method: str | Editor = "auto",
        random_seed: int | np.random.Generator | None = None,
    ) -> Edited:
        """Delete the most suspicious rows from the plain fit; see `relabel` for the parameters."""
        return repair(self.plain, self._chosen(k, threshold), method=method, random_seed=random_seed)

    def _chosen(self, k: int | None, threshold: float | None) -> pd.Index:
        if (k is None) == (threshold is None):
            raise DataError("k or threshold", "neither or both", "Pass k=20, or threshold=0.5.")
        if k is not None:
            return self.scores.index[: _checked_k(k, len(self), least=1)]
        assert threshold is not None
        if not 0 < threshold <= 1:
            raise DataError("a threshold above 0, at most 1", f"{threshold}")
        chosen = self.scores.index[self.scores["prob_wrong"].to_numpy() >= threshold]
        if not len(chosen):
            highest = self.scores["prob_wrong"].max()
            raise DataError(f"a row with prob_wrong of at least {threshold:g}", f"at most {highest:.2g}", "Lower it.")
        return chosen

    def plot(self, k: int = 20, *, ax: Any = None, figsize: tuple[float, float] | None = None) -> Any:
        """The ``k`` most suspicious rows (right: suspicious); returns the axes."""
        from bayesrepair.reporting.plots import plot_suspects

        return plot_suspects(self, k, ax=ax, figsize=figsize)

    def _head(self) -> str:
        count = self.expected_count
        return (
            f"{len(self)} training rows ranked by the probability that their {self._what} is wrong; about "
            f"{count.mean:.3g} wrong {self._what}s (90 %: {count.low:.0f} to {count.high:.0f}); "
            f"r-hat {self.rhat:.3f}, ESS {self.ess:.0f}\n"
            f"{self.status}"
        )

    def __repr__(self) -> str:
        return f"{self._head()}\n{self.scores.head(10).to_string(float_format='{:.4g}'.format)}"

    def _repr_html_(self) -> str:
        body = self.scores.head(10).to_html(escape=True, float_format="{:.4g}".format)
        return f"<p>{html.escape(self._head())}</p>{body}"


def _checked_k(k: int, most: int, *, least: int = 0) -> int:
    if not least <= k <= most:
        raise DataError(f"k between {least} and {most}", f"{k}")
    return int(k)


def _expected(count: np.ndarray, *, of: int = 1) -> Expected:
    low, high = np.quantile(count, [0.05, 0.95])
    return Expected(float(count.mean()) / of, float(low) / of, float(high) / of)
