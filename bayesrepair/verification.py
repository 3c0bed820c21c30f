"""Verification: an edited posterior against refits, in units of the distance between refits."""

from __future__ import annotations

import html
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from bayesrepair.edit import Edited
from bayesrepair.fit import Fit
from bayesrepair.model import Trainable
from bayesrepair.posterior import Draws, Gaussian
from bayesrepair.progress import row_progress
from bayesrepair.receipt import Receipt, receipt
from bayesrepair.refit_distances import distances_to_refits
from bayesrepair.rows import Rows
from bayesrepair.status import DataError, MethodError

PREDICTED_ROWS = 500


@dataclass(frozen=True, eq=False)
class Verification:
    """How far an edited posterior lies from refits on the retained rows.

    Parameters
    ----------
    distances : DataFrame
        Indexed by ``metric``: ``distance`` (edited to refit, mean over refits), ``refit_noise`` (refit to refit, mean
        over ordered pairs), ``ratio``, ``low`` and ``high`` (range of the ratio over the refits), ``limit`` (what does
        not matter, or is within chance for another refit).
    refits : tuple of Draws
    passed : bool
        Whether every metric stays within its limit.
    edited : Edited
        What was compared.
    omitted : str
        What could not be measured, and why; empty where nothing was left out.
    random_seed : int, optional
        The seed that `verify` was given; None where it was none or a generator.
    """

    distances: pd.DataFrame
    refits: tuple[Draws, ...]
    passed: bool
    edited: Edited
    omitted: str = ""
    random_seed: int | None = None

    @property
    def fits(self) -> tuple[Fit, ...]:
        """Each refit as a fit of its own."""
        return tuple(replace(self.edited.after, posterior=draws, source=None) for draws in self.refits)

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
        kind = "a Laplace refit" if isinstance(self.edited.before.sampled.posterior, Gaussian) else "a refit"
        word = f"{'' if self.passed else 'not '}as good as {kind}"
        text = f"{word}; at worst {distance:.2g} to refits, {noise:.2g} between {len(self.refits)} refits ({worst})"
        return f"{text}; {self.omitted}" if self.omitted else text

    def plot(self, *, ax: Any = None, figsize: tuple[float, float] | None = None) -> Any:
        """Each distance in units of refit noise (right = worse), and what is allowed; returns the axes."""
        from bayesrepair.reporting.plots import plot_verification

        return plot_verification(self, ax=ax, figsize=figsize)

    def __repr__(self) -> str:
        return f"{self.verdict}\n{self.distances.to_string(float_format='{:.3g}'.format)}"

    def _repr_html_(self) -> str:
        return f"<p>{html.escape(self.verdict)}</p>{self.distances.to_html(escape=True, float_format='{:.3g}'.format)}"


def verify(
    edited: Edited,
    *,
    refits: int | Verification = 2,
    data: Any = None,
    random_seed: int | np.random.Generator | None = None,
    progressbar: bool = True,
) -> Verification:
    """Compare an edited posterior with refits on the same rows and weights.

    Compared are means, sds and 5 and 95 % quantiles of the predictions and of the parameters, the predictive
    distributions (total variation and Kullback-Leibler divergence; `bayesrepair.predictive_masses` says how), and
    the draws themselves by classifier two-sample tests. Predictions are compared on an unbounded scale (logits of
    classes, logarithms of counts), where a probability close to 0 or 1 has an error worth measuring. A distance passes
    when it is at most twice the distance between refits, or below a limit that no reader of the predictions would
    notice (.05 posterior sd on average).

    Parameters
    ----------
    edited : Edited
    refits : int or Verification
        At least 2, so that there is a noise to compare with; or an earlier verification of an edit that led to the
        same rows and weights, whose refits serve again.
    data : Rows or data, optional
        Rows to predict; by default the training rows and those of the edit (at most 500, drawn at random).
    random_seed : int or Generator, optional
    progressbar : bool
        A bar over the refits.

    Returns
    -------
    Verification

    Raises
    ------
    DataError
        If fewer than two refits are asked for, or those handed in are of other rows or weights.
    MethodError
        If the model cannot be refitted.
    """
    fit, rng = edited.after, np.random.default_rng(random_seed)
    if isinstance(refits, Verification):
        drawn = _refits_again(refits, fit)
    else:
        drawn = _refitted(edited, refits, rng, progressbar=progressbar)
    shown = fit.as_rows(data) if data is not None else _some_rows(fit.net()[0], rng)
    frame, omitted = distances_to_refits(fit, drawn, shown, rng=rng)
    passed = bool((frame["distance"] <= np.maximum(2 * frame["refit_noise"], frame["limit"])).all())
    seed = int(random_seed) if isinstance(random_seed, int | np.integer) else None
    return Verification(frame, tuple(drawn), passed, edited, omitted, seed)


def _refitted(edited: Edited, count: int, rng: np.random.Generator, *, progressbar: bool) -> list[Draws]:
    if count < 2:
        raise DataError("at least 2 refits, to know the noise between them", f"{count}")
    fit = edited.after
    if not isinstance(fit.model, Trainable):
        raise MethodError("a model that can be refitted", type(fit.model).__name__)
    rows, weight = fit.net()
    drawn = []
    with row_progress("Refitting", count, shown=progressbar) as advance:
        for child in rng.spawn(count):
            # The edited draws take no part in their own proof: what they missed, a refit must be free to find.
            posterior = fit.model.train(rows, start=edited.before.sampled.posterior, rng=child, weights=weight)
            # A Gaussian refit is compared through draws from the same normal numbers as those of the edited Gaussian.
            drawn.append(replace(fit, posterior=posterior, source=None).draws)
            advance(1)
    return drawn


def _refits_again(earlier: Verification, fit: Fit) -> list[Draws]:
    """The refits of an earlier verification, if they are of the same rows and weights."""
    known, weight = earlier.edited.after.net()
    rows, wanted = fit.net()
    at = np.flatnonzero(wanted)
    same = type(fit.model) is type(earlier.edited.after.model) and np.array_equal(at, np.flatnonzero(weight))
    if not same or not np.allclose(weight[at], wanted[at]) or not rows.same_content(at, known, at).all():
        raise DataError(
            "refits of the same rows and weights",
            "a verification of another edit",
            "Pass a number of refits instead.",
        )
    return list(earlier.refits)


def _some_rows(rows: Rows, rng: np.random.Generator) -> Rows:
    if len(rows) <= PREDICTED_ROWS:
        return rows
    return rows.at(np.sort(rng.choice(len(rows), PREDICTED_ROWS, replace=False)))
