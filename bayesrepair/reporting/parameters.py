"""Parameters before and after an edit as scalars under the user's own names, with ArviZ's summary of both."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pandas as pd
import xarray as xr
from arviz_stats import summary

from bayesrepair.datatree import posterior_tree
from bayesrepair.edit import Edited
from bayesrepair.fit import Fit
from bayesrepair.posterior import Draws, Gaussian
from bayesrepair.status import DataError

LARGEST_VARIABLE = 300  # elements; row-wide deterministics are not what a reader looks for
DRAWS = 4000


def with_draws(fit: Fit) -> Fit:
    """The fit itself, or with draws of its Gaussian posterior."""
    if not isinstance(fit.posterior, Gaussian):
        return fit
    posterior = fit.posterior.draws(DRAWS, np.random.default_rng(0))
    return Fit(fit.model, fit.rows, posterior, fit.edits, fit.source, fit.table)


def scalar_draws(fit: Fit, *, var_names: Sequence[str] | None = None) -> tuple[xr.Dataset, list[str]]:
    """One variable a scalar parameter, and the names of variables too large to show.

    A tree has no place for a name with a slash, such as a coefficient of ``miles/gallon``: its slash is written as a
    division slash (U+2215), which looks the same.

    Parameters
    ----------
    fit : Fit
    var_names : sequence of str, optional
        Variables wanted (of any size); by default all that are not too large.

    Raises
    ------
    DataError
        If a variable is unknown.
    """
    posterior = posterior_tree(with_draws(fit))["posterior"].to_dataset()
    known = list(map(str, posterior.data_vars))
    unknown = [name for name in var_names or () if name not in known]
    if unknown:
        raise DataError(f"variables among {', '.join(known)}", ", ".join(unknown))
    scalars, omitted = {}, []
    for name in known if var_names is None else var_names:
        variable = posterior[name].transpose("chain", "draw", ...)
        if var_names is None and variable[0, 0].size > LARGEST_VARIABLE:
            omitted.append(name)
            continue
        for index in np.ndindex(variable.shape[2:]):
            scalars[_element(name, variable, index)] = (("chain", "draw"), variable.values[(..., *index)])
    return xr.Dataset(scalars), omitted


def _element(name: str, variable: xr.DataArray, index: tuple[int, ...]) -> str:
    parts = [str(variable[dim].values[i]) for dim, i in zip(variable.dims[2:], index, strict=True)]
    return (f"{name}[{', '.join(parts)}]" if parts else name).replace("/", "\u2215")


def changes(before: xr.Dataset, after: xr.Dataset) -> pd.DataFrame:
    """ArviZ's summary of both sides, the largest change first.

    Returns
    -------
    DataFrame
        Indexed by parameter: ``mean_before, sd_before, low_before, high_before``, the same after, ``shift`` (change of
        the mean in posterior sds before) and ``sd_ratio``. The intervals are ArviZ's default ones.
    """
    old, new = _summary(before, "before"), _summary(after, "after")
    frame = old.join(new)
    sd = frame["sd_before"].where(frame["sd_before"] > 0)
    frame["shift"] = ((frame["mean_after"] - frame["mean_before"]) / sd).fillna(0.0)
    frame["sd_ratio"] = frame["sd_after"] / sd
    order = np.argsort(-frame["shift"].abs().to_numpy(), kind="stable")
    return frame.iloc[order]


def _summary(posterior: xr.Dataset, side: str) -> pd.DataFrame:
    frame = summary(xr.DataTree.from_dict({"posterior": posterior}), kind="stats", round_to="none")
    frame = frame.apply(pd.to_numeric)
    frame.columns = pd.Index([f"{name}_{side}" for name in ("mean", "sd", "low", "high")])
    return frame


def interval_name() -> str:
    """What ArviZ's default interval is called."""
    from arviz_base import rcParams

    kind = {"eti": "equal-tailed", "hdi": "highest-density"}[rcParams["stats.ci_kind"]]
    return f"{100 * rcParams['stats.ci_prob']:.0f} % {kind} interval"


def pooled_refits(edited: Edited) -> Fit | None:
    """The refits of a verified edit, pooled."""
    if edited.verification is None:
        return None
    refits = edited.verification.refits
    theta = np.concatenate([draws.theta for draws in refits])
    chain = np.concatenate([[f"{k}, {name}" for name in draws.chain] for k, draws in enumerate(refits)])
    return replace(edited.after, posterior=Draws.plain(theta, np.unique(chain, return_inverse=True)[1]))


def both_sides(edited: Edited, *, var_names: Sequence[str] | None = None) -> tuple[xr.Dataset, xr.Dataset, list[str]]:
    """Scalar draws before and after, and what was left out."""
    before, omitted = scalar_draws(edited.before, var_names=var_names)
    after, _ = scalar_draws(edited.after, var_names=var_names)
    return before, after, omitted
