"""Repair: delete, weaken or relabel training rows in a fitted posterior."""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Mapping
from dataclasses import replace
from numbers import Real
from typing import Any

import numpy as np
import pandas as pd

from bayesrepair.edit import Edited, Editor, edit
from bayesrepair.fit import Factor, Fit, Repaired, as_fit
from bayesrepair.predictive import class_names
from bayesrepair.rows import Rows
from bayesrepair.status import DataError
from bayesrepair.top import Top
from bayesrepair.verification import verify as verify_edit


def repair(
    fit: Fit | Repaired,
    rows: Top | pd.DataFrame | Iterable[Any],
    *,
    relabel: Mapping[Any, Any] | pd.Series | None = None,
    weight: float | Mapping[Any, float] | pd.Series | None = None,
    method: str | Editor = "auto",
    verify: bool = False,
    random_seed: int | np.random.Generator | None = None,
) -> Edited:
    """Take training rows out of a fitted posterior, weaken them, or change their outcome.

    Parameters
    ----------
    fit : Fit or Edited
        Of an edit, the fit after it.
    rows : Top, DataFrame or iterable of row ids
        The training rows to treat, such as ``causes.top(20)``; of a frame the index is used.
    relabel : mapping or Series of row id to class, optional
        The outcome that each of the rows should have had (class names as the user knows them). A relabelled row
        keeps its id.
    weight : float, or mapping or Series of row id to float, optional
        The weight that the rows keep, at least 0; deletion is weight 0.
    method : str or Editor
        See `edit`.
    verify : bool
        Also refit and keep the comparison in ``Edited.verification``.
    random_seed : int or Generator, optional
        By default a new seed, which ``info.random_seed`` and the receipt keep.

    Returns
    -------
    Edited

    Raises
    ------
    DataError
        If no row or every row is named, an id is unknown or occurs twice, or a class is unknown.
    """
    fit = as_fit(fit)
    random_seed = secrets.randbelow(2**32) if random_seed is None else random_seed
    ids = rows.index if isinstance(rows, pd.DataFrame | Top) else pd.Index(list(rows))
    if relabel is not None and weight is not None:
        raise DataError("relabel or weight", "both", "Relabel some rows first, then weaken others.")
    relabel = _by_row(relabel, "relabel")
    kept = 0.0 if weight is None else float(weight) if isinstance(weight, Real) else _by_row(weight, "weight")
    _refuse_ids(fit, ids)
    if relabel is not None:
        factors: tuple[Factor, ...] = relabelling(fit, ids, relabel)
    else:
        factors = (reweighting(fit, ids, kept),)
    rng = np.random.default_rng(random_seed)
    edited = edit(fit, factors, method=method, random_seed=rng)
    if isinstance(random_seed, int | np.integer):  # the edit drew first: this seed alone repeats it
        edited = replace(edited, info=replace(edited.info, random_seed=int(random_seed)))
    if isinstance(rows, Top):
        edited = replace(edited, causes=rows.causes)
    return replace(edited, verification=verify_edit(edited, random_seed=rng)) if verify else edited


def _by_row(given: Any, name: str) -> Any:
    """A mapping by row id, or None."""
    if isinstance(given, pd.Series):
        return given.to_dict()
    if given is None or isinstance(given, Mapping):
        return given
    got = f"a {type(given).__name__}"
    raise DataError(f"{name}= as a mapping of row id", got, f"Pass {name}=dict(zip(row_ids, values)), or a Series.")


def _refuse_ids(fit: Fit, ids: pd.Index) -> None:
    if not len(ids):
        raise DataError("at least one row to treat", "none", "Pass the row ids, such as causes.top(20).")
    if not ids.is_unique:
        raise DataError("each row once", f"{ids[ids.duplicated()][0]!r} more than once")
    fit.rows.positions(ids)
    if len(ids) >= int((fit.current()[1] > 0).sum()):
        raise DataError(
            f"fewer than all {len(fit.rows)} training rows",
            f"{len(ids)}",
            "Without any row only the prior is left.",
        )


def reweighting(fit: Fit, ids: pd.Index, weight: float | Mapping[Any, float]) -> Factor:
    """Powers that bring the rows to the weights asked for."""
    if isinstance(weight, Mapping):
        missing = [i for i in ids if i not in weight]
        if missing or len(weight) != len(ids):
            raise DataError("a weight for each row, and no other", f"{len(weight)} weights for {len(ids)} rows")
        wanted = np.array([weight[i] for i in ids], dtype=float)
    else:
        wanted = np.full(len(ids), float(weight))
    if not (np.isfinite(wanted).all() and (wanted >= 0).all()):
        raise DataError("finite weights of at least 0", f"{wanted.min():g}", "Weight 0 deletes a row.")
    current, held = fit.current()
    positions = current.positions(ids)
    return Factor(current.at(positions), wanted - held[positions])


def relabelling(fit: Fit, ids: pd.Index, relabel: Mapping[Any, Any]) -> tuple[Factor, Factor]:
    """Factors that delete the rows as they are, and insert them with the other outcome."""
    if set(relabel) != set(ids):
        raise DataError("a new outcome for each row, and no other", f"{len(relabel)} outcomes for {len(ids)} rows")
    current, held = fit.current()
    positions = current.positions(ids)
    old, weight = current.at(positions), held[positions]
    outcome = fit.model.outcome
    given = np.asarray(old.values[outcome.name])
    if outcome.kind == "class":
        names = class_names(fit)
        code = {name: k for k, name in enumerate(names)}
        unknown = sorted({str(relabel[i]) for i in ids if relabel[i] not in code})
        if unknown:
            raise DataError(f"classes among {', '.join(map(str, names))}", ", ".join(unknown))
        new = np.array([code[relabel[i]] for i in ids])
    else:
        new = np.array([relabel[i] for i in ids], dtype=float)
    changed = old.replace(**{outcome.name: new.astype(given.dtype)})
    return Factor(old, -weight), Factor(Rows(changed.values, old.row), weight)
