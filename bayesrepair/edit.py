"""An edit of a posterior: the only entry point, with every check that all editors share."""

from __future__ import annotations

import html
import secrets
import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Protocol

import numpy as np
import pandas as pd
import xarray as xr

from bayesrepair.datatree import posterior_tree, weighted_tree
from bayesrepair.fit import Change, Factor, Fit, Repaired, as_fit
from bayesrepair.judgement import Info, judged
from bayesrepair.model import Trainable
from bayesrepair.posterior import Draws, Gaussian, Point, Posterior
from bayesrepair.predictive import predict
from bayesrepair.status import EditError, MethodError, PriorWarning, Status
from bayesrepair.summary import parameter_changes, prediction_changes


class Editor(Protocol):
    """A frozen dataclass of hyper-parameters that maps a change to a new posterior."""

    accepts: ClassVar[tuple[type, ...]]
    """Representations of the posterior it can edit."""
    needs: ClassVar[tuple[type, ...]]
    """Protocols the model must satisfy."""
    directions: ClassVar[frozenset[str]]
    """Which of ``insert`` and ``delete`` it can do."""

    def __call__(self, change: Change, rng: np.random.Generator) -> tuple[Posterior, Info]:
        """Return the edited posterior and how it was made."""
        ...


EDITORS: dict[str, Callable[[], Editor]] = {}
"""Editors by name; `bayesrepair.editors` fills it, one line each."""


@dataclass(frozen=True, eq=False)
class Edited:
    """The result of an edit: the fit before, the fit after, and how far to trust the step.

    Parameters
    ----------
    before, after : Fit
    factors : tuple of Factor
        What was multiplied in.
    info : Info
    verification : object, optional
        The comparison with refits, where one was made (`bayesrepair.verify`).
    causes : object, optional
        The `bayesrepair.Causes` that named the rows, where a repair started from them.
    """

    before: Fit
    after: Fit
    factors: tuple[Factor, ...]
    info: Info
    verification: Any = None
    causes: Any = None

    @property
    def status(self) -> Status:
        """ok, checked or unreliable, with the reason and the remedy."""
        assert self.info.status is not None  # `edit` never leaves it open
        return self.info.status

    def predict(self, data: Any) -> pd.DataFrame:
        """Predictions of the edited posterior; see `bayesrepair.predictive.predict`."""
        return predict(self.after, data)

    @property
    def datatree(self) -> xr.DataTree:
        """The edited posterior for ArviZ, resampled to equal weights, with the observed data and the receipt."""
        return self.to_datatree()

    def to_datatree(
        self, *, groups: Sequence[str] = ("posterior", "observed_data"), draws: int | None = None, random_seed: int = 0
    ) -> xr.DataTree:
        """The edited posterior for ArviZ; see `bayesrepair.datatree.posterior_tree`. The receipt is always there."""
        from bayesrepair.receipt import receipt, receipt_group

        tree = posterior_tree(self.after, groups=groups, draws=draws, random_seed=random_seed)
        return tree.assign({"receipt": xr.DataTree(receipt_group(receipt(self)))})

    @property
    def weighted(self) -> xr.DataTree:
        """All draws with ``log_weight`` and ``pareto_k``: nothing is lost."""
        return weighted_tree(self.after)

    def summary(self, *, var_names: Sequence[str] | None = None) -> pd.DataFrame:
        """Parameters before and after, with errors; see `bayesrepair.summary.parameter_changes`."""
        return parameter_changes(self.before, self.after, var_names=var_names)

    def changes(self, data: Any) -> pd.DataFrame:
        """Predictions before and after, with errors; see `bayesrepair.summary.prediction_changes`."""
        return prediction_changes(self.before, self.after, data)

    def undo(self) -> Fit:
        """The fit before this edit, as it was. To take back an earlier edit, `edit` with its factors' ``inverse``."""
        return self.before

    def frame(self) -> pd.DataFrame:
        """One line for each rung that was tried: k-hat, ESS, cost, verdict."""
        return self.info.frame()

    def plot(self, *, var_names: Sequence[str] | None = None, figsize: tuple[float, float] | None = None) -> Any:
        """Marginals before and after the edit, one plot a parameter; returns arviz-plots' PlotCollection."""
        from bayesrepair.reporting.plots import plot_edit

        return plot_edit(self, var_names=var_names, figsize=figsize)

    def plot_forest(self, *, var_names: Sequence[str] | None = None, figsize: tuple[float, float] | None = None) -> Any:
        """Intervals of the parameters that move most; see `bayesrepair.reporting.plots.plot_forest`."""
        from bayesrepair.reporting.plots import plot_forest

        return plot_forest(self, var_names=var_names, figsize=figsize)

    def plot_changes(self, data: Any, *, figsize: tuple[float, float] | None = None) -> Any:
        """The predictions that change most; see `bayesrepair.reporting.plots.plot_changes`."""
        from bayesrepair.reporting.plots import plot_changes

        return plot_changes(self, data, figsize=figsize)

    def _head(self) -> str:
        deleted = sum(int((f.powers < 0).sum()) for f in self.factors)
        inserted = sum(int((f.powers > 0).sum()) for f in self.factors)
        what = f"{deleted} rows weakened or removed, {inserted} added or strengthened"
        return f"{what}, by {self.info.rung} in {self.info.seconds:.1f} s: {self.status}"

    def __repr__(self) -> str:
        return f"{self._head()}\n{self.frame().to_string(index=False, float_format='{:.3g}'.format)}"

    def _repr_html_(self) -> str:
        body = self.frame().to_html(index=False, escape=True, float_format="{:.3g}".format)
        return f"<p>{html.escape(self._head())}</p>{body}"


def edit(
    fit: Fit | Repaired,
    factor: Factor | Sequence[Factor],
    *,
    method: str | Editor = "auto",
    random_seed: int | np.random.Generator | None = None,
) -> Edited:
    """Multiply powers of some rows' likelihoods into a fitted posterior.

    ``p(θ | D, edit) ∝ p(θ | D) · Π_r p(row_r | θ)^power_r``.

    Parameters
    ----------
    fit : Fit or Edited
        Of an edit, the fit after it.
    factor : Factor or sequence of Factor
        Several factors make one edit: a relabelling is a deletion and an insertion.
    method : str or Editor
        A name of `EDITORS`, or an editor with its own settings. ``"auto"`` climbs the ladder.
    random_seed : int or Generator, optional
        By default a new seed, which ``info.random_seed`` and the receipt keep.

    Returns
    -------
    Edited

    Raises
    ------
    EditError
        If a net weight falls below zero or the result is not finite.
    MethodError
        If the method is unknown, or does not apply to this model and posterior.

    Examples
    --------
    >>> from bayesrepair.oracles import NormalNormal
    >>> oracle = NormalNormal(prior_mean=0.0, prior_sd=1.0, noise_sd=1.0)
    >>> rows = oracle.rows({"y": np.array([1.0, 2.0, 9.0])})
    >>> fit = Fit(oracle, rows, oracle.posterior(rows))
    >>> edited = edit(fit, Factor(rows.take([2]), -1.0), method="conjugate")
    >>> edited.after.posterior.mean  # (1 + 2) / (1 + 2 rows)
    array([1.])
    """
    fit = as_fit(fit)
    random_seed = secrets.randbelow(2**32) if random_seed is None else random_seed
    factors = (factor,) if isinstance(factor, Factor) else tuple(factor)
    editor = _resolve(method)
    change = fit.change(*factors)
    if not len(change.factor.rows):
        return _identity(fit, factors)
    refuse_inapplicable(editor, change)
    _refuse_impossible(change)
    _warn_of_improper_prior(change)
    rng = np.random.default_rng(random_seed)
    started = time.perf_counter()
    posterior, info = editor(change, rng)
    _refuse_nonfinite(posterior, info.rung)
    if info.status is None:
        info = judged(change, posterior, info, rng)
    info = _refit_now(fit, change, info)
    if isinstance(posterior, Draws):
        posterior = replace(posterior, gradient=None)  # it was for the check
    seed = int(random_seed) if isinstance(random_seed, int | np.integer) else None
    seconds = time.perf_counter() - started
    attempts = info.attempts if len(info.attempts) > 1 else tuple(replace(a, seconds=seconds) for a in info.attempts)
    info = replace(info, seconds=seconds, random_seed=seed, attempts=attempts)
    return Edited(fit, fit.edited(posterior, factors, drawn=info.exact and not info.updated), factors, info)


def _resolve(method: str | Editor) -> Editor:
    if not isinstance(method, str):
        return method
    if method not in EDITORS:
        raise MethodError(f"one of {', '.join(map(repr, EDITORS))}", repr(method), "Pass one of these names.")
    return EDITORS[method]()


def _refit_now(fit: Fit, change: Change, info: Info) -> Info:
    # every edit starts from the draws that were sampled last: earlier edits may have carried the data too far from them
    status = info.status
    if status is None or status.level != "unreliable" or info.exact:
        return info
    if not isinstance(change.posterior, Draws) or not len(fit.change().factor.rows):
        return info
    how = "edit with method='retrain'" if isinstance(change.model, Trainable) else "sample the model on the rows left"
    remedy = f"Refit now ({how}): the fit carries earlier edits, and later ones then start from the new draws."
    return replace(info, status=replace(status, remedy=remedy))


def _identity(fit: Fit, factors: tuple[Factor, ...]) -> Edited:
    """All edits cancel: the posterior that was drawn directly comes back as it is."""
    posterior = fit.sampled.posterior
    size = float(len(posterior)) if isinstance(posterior, Draws) else np.nan
    status = Status("ok", "nothing to change")
    info = Info("identity", ess=size, status=status, exact=True)
    return Edited(fit, fit.edited(posterior, factors, drawn=False), factors, info)


def refuse_inapplicable(editor: Editor, change: Change) -> None:
    """Raise MethodError where an editor cannot serve this posterior, model or direction."""
    name = type(editor).__name__
    if not isinstance(change.posterior, editor.accepts):
        wanted = " or ".join(kind.__name__ for kind in editor.accepts)
        raise MethodError(
            f"a posterior of the kind {wanted} for {name}",
            f"a {type(change.posterior).__name__}",
            "Choose another method.",
        )
    for protocol in editor.needs:
        if not isinstance(change.model, protocol):
            why = getattr(change.model, "lacks", {}).get(protocol.__name__, "the model does not offer it")
            raise MethodError(f"a {protocol.__name__} model for {name}", why, "Use method='weights' or 'retrain'.")
    power = change.factor.powers
    for direction, used in (("insert", (power > 0).any()), ("delete", (power < 0).any())):
        if used and direction not in editor.directions:
            raise MethodError(f"an editor that can {direction}", name, "Choose another method.")


def _refuse_impossible(change: Change) -> None:
    """Rows to insert must be possible under some draws, or at the mean of a Gaussian."""
    if isinstance(change.posterior, Draws):
        some = change.posterior.theta[:: max(1, len(change.posterior) // 20)]
    elif isinstance(change.posterior, Gaussian):
        some = change.posterior.mean[None]
    else:
        return
    inserted = np.flatnonzero((change.after > change.before) & (change.before == 0))
    for start in range(0, len(inserted), 1000):
        at = inserted[start : start + 1000]
        log_lik = change.model.log_lik(some, change.rows.at(at))
        impossible = ~np.isfinite(log_lik).any(axis=0)
        if impossible.any():
            raise EditError(
                "rows to insert that the model holds possible",
                f"{int(impossible.sum())} of probability zero (or nan) at every draw looked at",
                "An observed value outside the support of its distribution, or a missing value?",
            )


def _warn_of_improper_prior(change: Change) -> None:
    improper = getattr(change.model, "improper", ())
    if improper and (change.after < change.before).any():
        warnings.warn(
            f"The prior of {', '.join(map(repr, improper))} is improper: with too few rows left there is no posterior. "
            "Give it a proper prior, however wide.",
            PriorWarning,
            stacklevel=3,
        )


def _refuse_nonfinite(posterior: Posterior, rung: str) -> None:
    parts: dict[str, np.ndarray] = {}
    if isinstance(posterior, Draws):
        parts = {"draws": posterior.theta}
        if not (posterior.log_weights < np.inf).all() or not np.isfinite(posterior.log_weights).any():
            parts["weights"] = np.array([np.nan])
    elif isinstance(posterior, Gaussian):
        parts = {"mean": posterior.mean, "precision": posterior.precision}
    elif isinstance(posterior, Point):
        parts = {"parameters": posterior.theta}
    bad = [name for name, value in parts.items() if not np.isfinite(value).all()]
    if bad:
        raise EditError(
            f"finite {' and '.join(bad)} from {rung}",
            "nan or infinity",
            "Some row is impossible under the model (an observed value outside its support?).",
        )
