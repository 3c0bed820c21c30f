"""Verification: an edited posterior against refits, in units of the distance between refits."""

from __future__ import annotations

import html
from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import permutations
from typing import Any

import numpy as np
import pandas as pd

from bayesrepair.edit import Edited
from bayesrepair.fit import Fit
from bayesrepair.model import Trainable
from bayesrepair.numerics.blocks import row_blocks
from bayesrepair.posterior import Draws
from bayesrepair.predictive import unbounded
from bayesrepair.receipt import Receipt, receipt
from bayesrepair.rows import Rows
from bayesrepair.status import DataError, MethodError

PREDICTED_ROWS = 500
ROUNDING = 1e-12  # relative


@dataclass(frozen=True, eq=False)
class Verification:
    """How far an edited posterior lies from refits on the retained rows.

    Parameters
    ----------
    distances : DataFrame
        Indexed by ``metric``: ``distance`` (edited to refit, mean over refits), ``refit_noise`` (refit to refit, mean
        over ordered pairs), ``ratio``, ``low`` and ``high`` (range of the ratio over the refits), ``limit``.
    refits : tuple of Draws
    passed : bool
        Whether every metric stays within its limit.
    edited : Edited
        What was compared.
    """

    distances: pd.DataFrame
    refits: tuple[Draws, ...]
    passed: bool
    edited: Edited

    def frame(self) -> pd.DataFrame:
        """One line a metric; lower is better, a ratio of 1 is as good as another refit."""
        return self.distances.copy()

    @property
    def receipt(self) -> Receipt:
        """The receipt of the edit, with this comparison in its verdict."""
        return receipt(replace(self.edited, verification=self))

    @property
    def verdict(self) -> str:
        """The outcome in one sentence."""
        frame = self.distances
        allowed = np.maximum(2 * frame["refit_noise"].to_numpy(), frame["limit"].to_numpy())
        at = int(np.argmax(frame["distance"].to_numpy() / allowed))
        worst = frame.index[at]
        distance, noise = frame["distance"].iloc[at], frame["refit_noise"].iloc[at]
        word = "as good as a refit" if self.passed else "not as good as a refit"
        return f"{word}; at worst {distance:.2g} to refits, {noise:.2g} between {len(self.refits)} refits ({worst})"

    def plot(self, *, ax: Any = None, figsize: tuple[float, float] | None = None) -> Any:
        """Each distance in units of refit noise (right = worse), and what is allowed; returns the axes."""
        from bayesrepair.reporting.plots import plot_verification

        return plot_verification(self, ax=ax, figsize=figsize)

    def __repr__(self) -> str:
        return f"{self.verdict}\n{self.distances.to_string(float_format='{:.3g}'.format)}"

    def _repr_html_(self) -> str:
        return f"<p>{html.escape(self.verdict)}</p>{self.distances.to_html(escape=True, float_format='{:.3g}'.format)}"


@dataclass(frozen=True, eq=False)
class _Summary:
    mean: np.ndarray  # predictions (N, K), on an unbounded scale
    sd: np.ndarray
    theta_mean: np.ndarray
    theta_sd: np.ndarray


def _scale(reference: np.ndarray) -> np.ndarray:
    return np.maximum(reference, 1e-12)


def _spread(variance: np.ndarray, mean: np.ndarray) -> np.ndarray:
    """Standard deviations; what rounding leaves of a constant is none."""
    sd = np.sqrt(variance)
    return np.where(sd > ROUNDING * (1 + np.abs(mean)), sd, 0.0)


def _shift(a: np.ndarray, b: np.ndarray, sd: np.ndarray) -> np.ndarray:
    """``|a − b| / sd``; a difference within rounding is none."""
    difference = np.abs(a - b)
    return np.where(difference > ROUNDING * (1 + np.abs(b)), difference, 0.0) / _scale(sd)


Distance = Callable[[_Summary, _Summary], float]

# Name → distance of a summary to a reference, and the limit below which more refit noise does not matter.
DISTANCES: dict[str, tuple[Distance, float]] = {
    "prediction mean, average |Δ|/sd": (
        lambda a, b: float(np.mean(_shift(a.mean, b.mean, b.sd))),
        0.05,
    ),
    "prediction mean, largest |Δ|/sd": (
        lambda a, b: float(np.max(_shift(a.mean, b.mean, b.sd))),
        0.2,
    ),
    "prediction sd, average |log ratio|": (
        lambda a, b: float(np.mean(np.abs(np.log(_scale(a.sd) / _scale(b.sd))))),
        0.1,
    ),
    "parameter mean, average |Δ|/sd": (
        lambda a, b: float(np.mean(_shift(a.theta_mean, b.theta_mean, b.theta_sd))),
        0.05,
    ),
    "parameter sd, average |log ratio|": (
        lambda a, b: float(np.mean(np.abs(np.log(_scale(a.theta_sd) / _scale(b.theta_sd))))),
        0.1,
    ),
}


def verify(
    edited: Edited,
    *,
    refits: int = 2,
    data: Any = None,
    random_seed: int | np.random.Generator | None = None,
) -> Verification:
    """Compare an edited posterior with refits on the same rows and weights.

    Predictions are compared on an unbounded scale (logits of classes, logarithms of counts), where a probability close
    to 0 or 1 has an error worth measuring. A distance passes when it is at most twice the distance between refits, or
    below a limit that no reader of the predictions would notice (.05 posterior sd on average).

    Parameters
    ----------
    edited : Edited
    refits : int
        At least 2, so that there is a noise to compare with.
    data : Rows or data, optional
        Rows to predict; by default the training rows and those of the edit (at most 500, drawn at random).
    random_seed : int or Generator, optional

    Returns
    -------
    Verification

    Raises
    ------
    DataError
        If fewer than two refits are asked for.
    MethodError
        If the model cannot be refitted.
    """
    if refits < 2:
        raise DataError("at least 2 refits, to know the noise between them", f"{refits}")
    fit = edited.after
    if not isinstance(fit.model, Trainable):
        raise MethodError("a model that can be refitted", type(fit.model).__name__)
    rng = np.random.default_rng(random_seed)
    rows, weight = fit.net()
    drawn = []
    for child in rng.spawn(refits):
        # The edited draws take no part in their own proof: what they missed, a refit must be free to find.
        posterior = fit.model.train(rows, start=edited.before.sampled.posterior, rng=child, weights=weight)
        if not isinstance(posterior, Draws):
            raise MethodError("refits that give draws", type(posterior).__name__)
        drawn.append(posterior)
    shown = fit.as_rows(data) if data is not None else _some_rows(rows, rng)
    summaries = [_summary(fit, posterior, shown) for posterior in drawn]
    frame = _distances(_summary(fit, fit.draws, shown), summaries)
    passed = bool((frame["distance"] <= np.maximum(2 * frame["refit_noise"], frame["limit"])).all())
    return Verification(frame, tuple(drawn), passed, edited)


def _some_rows(rows: Rows, rng: np.random.Generator) -> Rows:
    if len(rows) <= PREDICTED_ROWS:
        return rows
    return rows.at(np.sort(rng.choice(len(rows), PREDICTED_ROWS, replace=False)))


def _summary(fit: Fit, draws: Draws, rows: Rows) -> _Summary:
    means, sds = [], []
    for _, block in row_blocks(rows, len(draws), outputs=len(fit.model.outcome.classes or (0,))):
        values = unbounded(fit.model.predict(draws.theta, block), fit.model.outcome)
        means.append(np.einsum("s,snk->nk", draws.weights, values))
        sds.append(np.sqrt(np.einsum("s,snk->nk", draws.weights, np.square(values - means[-1]))))
    mean, sd = np.concatenate(means), np.concatenate(sds)
    theta_mean = draws.weights @ draws.theta
    theta_sd = _spread(draws.weights @ np.square(draws.theta - theta_mean), theta_mean)
    return _Summary(mean, _spread(np.square(sd), mean), theta_mean, theta_sd)


def _distances(edited: _Summary, refits: list[_Summary]) -> pd.DataFrame:
    lines = {}
    for name, (distance, limit) in DISTANCES.items():
        to_refits = np.array([distance(edited, refit) for refit in refits])
        noise = float(np.mean([distance(a, b) for a, b in permutations(refits, 2)]))
        ratios = to_refits / _scale(np.array(noise))
        lines[name] = {
            "distance": to_refits.mean(),
            "refit_noise": noise,
            "ratio": ratios.mean(),
            "low": ratios.min(),
            "high": ratios.max(),
            "limit": limit,
        }
    return pd.DataFrame.from_dict(lines, orient="index").rename_axis("metric")
