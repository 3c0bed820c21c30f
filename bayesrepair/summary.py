"""What an edit did, as frames: parameters and predictions before and after, with the Monte Carlo error of each."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pandas as pd

from bayesrepair.fit import Fit
from bayesrepair.numerics.blocks import row_blocks
from bayesrepair.numerics.weighted_error import khat_of_means, weighted_mcse
from bayesrepair.posterior import Draws
from bayesrepair.predictive import class_names, mean_prediction
from bayesrepair.status import DataError

COLUMNS = 500  # quantities summarised at once: bounds memory at a few times draws × 500


def parameter_changes(before: Fit, after: Fit, *, var_names: Sequence[str] | None = None) -> pd.DataFrame:
    """Every scalar parameter before and after an edit, the largest shift first.

    Means and sds are those of the weighted draws: nothing is resampled.

    Parameters
    ----------
    before, after : Fit
    var_names : sequence of str, optional
        Variables wanted, as ArviZ names them; by default all, Deterministics included.

    Returns
    -------
    DataFrame
        Indexed by ``parameter``: ``mean_before, sd_before, mean, sd``; ``shift`` of the mean in posterior sds before
        (0 for a constant); ``sd_ratio`` after / before; of the mean after, its standard error ``mcse``, its effective
        sample size ``ess``, and ``khat``, the Pareto k̂ of w and of w·h: above .7 the error means nothing.

    Raises
    ------
    DataError
        If a variable is unknown.

    Examples
    --------
    >>> from bayesrepair.fit import Factor
    >>> from bayesrepair.oracles import NormalNormal
    >>> oracle = NormalNormal(prior_mean=0.0, prior_sd=1.0, noise_sd=1.0)
    >>> rows = oracle.rows({"y": np.array([1.0, 2.0, 9.0])})
    >>> before = Fit(oracle, rows, oracle.posterior(rows))  # N(12 / 4, 1 / 4)
    >>> after = Fit(oracle, rows.drop([2]), oracle.posterior(rows.drop([2])))  # N(3 / 3, 1 / 3)
    >>> line = parameter_changes(before, after).loc["mu"]
    >>> bool(abs(line["shift"] + 4) < 0.1), bool(abs(line["sd_ratio"] - np.sqrt(4 / 3)) < 0.05)
    (True, True)
    """
    old, new = _scalars(before, var_names), _scalars(after, var_names)
    lines = []
    for (name, values), (_, moved) in zip(old, new, strict=True):
        for start in range(0, len(name), COLUMNS):
            part = slice(start, start + COLUMNS)
            first, second = _described(before.draws, values[:, part]), _described(after.draws, moved[:, part])
            line = first[["mean", "sd"]].add_suffix("_before").join(second).set_index(pd.Index(name[part]))
            lines.append(line)
    frame = pd.concat(lines).rename_axis("parameter")
    sd = frame["sd_before"].where(frame["sd_before"] > 0)
    frame.insert(4, "shift", ((frame["mean"] - frame["mean_before"]) / sd).fillna(0.0))
    frame.insert(5, "sd_ratio", frame["sd"] / sd)
    return frame.iloc[np.argsort(-frame["shift"].abs().to_numpy(), kind="stable")]


def prediction_changes(before: Fit, after: Fit, data: Any) -> pd.DataFrame:
    """What an edit does to the predictions of some rows, the largest change first.

    Parameters
    ----------
    before, after : Fit
    data : Rows, DataFrame, mapping of arrays or xarray Dataset

    Returns
    -------
    DataFrame
        Indexed by row id: ``before`` and ``after`` (the outcome's mean; for classes the probability of ``class``, the
        one whose probability gains most), ``change`` (after − before), and of the prediction after its standard error
        ``mcse``, its effective sample size ``ess`` and its ``khat``, as in `parameter_changes`.
    """
    rows = before.as_rows(data)
    old, new = mean_prediction(before, rows), mean_prediction(after, rows)
    which = np.argmax(new - old, axis=1)
    at = np.arange(len(rows))
    draws, parts = after.draws, []
    for where, block in row_blocks(rows, len(draws), outputs=old.shape[1]):
        values = after.model.predict(draws.theta, block)
        parts.append(_described(draws, values[:, np.arange(len(block)), which[where]]))
    frame = pd.concat(parts)[["mcse", "ess", "khat"]].set_index(rows.index)
    frame.insert(0, "before", old[at, which])
    frame.insert(1, "after", new[at, which])
    frame.insert(2, "change", frame["after"] - frame["before"])
    if before.model.outcome.kind == "class":
        frame.insert(0, "class", class_names(before)[which])
    return frame.iloc[np.argsort(-frame["change"].abs().to_numpy(), kind="stable")]


def _described(draws: Draws, values: np.ndarray) -> pd.DataFrame:
    """Mean, sd, error, ESS and k-hat of each column of some values (S, H)."""
    mean = draws.weights @ values
    sd = np.sqrt(draws.weights @ np.square(values - mean))
    error = weighted_mcse(values, draws.weights, draws.chain, ancestor=draws.ancestor)
    khat = khat_of_means(values, draws.log_weights, r_eff=draws.r_eff)
    return pd.DataFrame({"mean": mean, "sd": sd, "mcse": error.mcse, "ess": error.ess, "khat": khat})


def _scalars(fit: Fit, var_names: Sequence[str] | None) -> Iterator[tuple[list[str], np.ndarray]]:
    """For each variable the names of its elements, and their draws (S, H)."""
    variables = fit.model.constrain(fit.draws.theta)
    unknown = [name for name in var_names or () if name not in variables]
    if unknown:
        raise DataError(f"variables among {', '.join(variables)}", ", ".join(unknown))
    for name in variables if var_names is None else var_names:
        values = np.asarray(variables[name])
        yield _elements(fit, name, values.shape[1:]), values.reshape(len(values), -1)


def _elements(fit: Fit, name: str, shape: tuple[int, ...]) -> list[str]:
    """Names of the elements, by the coordinates of their dims, as ArviZ writes them."""
    dims = fit.model.dims.get(name) or ("",) * len(shape)
    coords = fit.model.coords
    labels: list[Any] = [coords[d] if d in coords else range(n) for d, n in zip(dims, shape, strict=True)]
    parts = ([str(labels[k][i]) for k, i in enumerate(index)] for index in np.ndindex(*shape))
    return [f"{name}[{', '.join(part)}]" if part else name for part in parts]
