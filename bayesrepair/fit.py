"""A fitted model, a power on some of its rows, and the change that both make to a posterior."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Protocol

import numpy as np
import pandas as pd
import xarray as xr

from bayesrepair.model import Model
from bayesrepair.posterior import Draws, Gaussian, Posterior
from bayesrepair.row_weights import net_weights, rounded
from bayesrepair.rows import Rows
from bayesrepair.status import DataError, EditError, MethodError, UnsupportedModelError


@dataclass(frozen=True, eq=False)
class Factor:
    """Rows and the power with which their likelihood multiplies a posterior.

    ``p(θ | D, edit) ∝ p(θ | D) · Π_r p(row_r | θ)^power_r``: the sign of an edit lives here and nowhere else.

    Parameters
    ----------
    rows : Rows
    power : float or array, shape (N,)
        −1 deletes, +1 inserts, between −1 and 0 weakens; any real number re-weights.

    Examples
    --------
    >>> rows = Rows({"y": np.array([1.0, 2.0])}, np.array([10, 11]))
    >>> Factor(rows, -1.0).powers
    array([-1., -1.])
    """

    rows: Rows
    power: float | np.ndarray

    def __post_init__(self) -> None:
        power = np.asarray(self.power, dtype=float)
        if power.ndim > 1 or (power.ndim == 1 and len(power) != len(self.rows)):
            raise EditError(f"one power, or one for each of {len(self.rows)} rows", f"shape {power.shape}")
        if not np.isfinite(power).all():
            raise EditError("finite powers", "nan or infinity among them")

    @property
    def powers(self) -> np.ndarray:
        """One power a row, shape (N,)."""
        return np.broadcast_to(np.asarray(self.power, dtype=float), (len(self.rows),))

    @property
    def inverse(self) -> Factor:
        """The factor that undoes this one."""
        return Factor(self.rows, -np.asarray(self.power, dtype=float))


@dataclass(frozen=True, eq=False)
class Fit:
    """A model, the rows it was trained on, and its posterior; an edited posterior is again a fit.

    Parameters
    ----------
    model : Model
    rows : Rows
        The training rows D.
    posterior : Posterior
        The posterior after all ``edits``.
    edits : tuple of Factor
        Everything that was multiplied into the posterior since the training on D.
    source : Fit, optional
        The fit whose posterior was drawn directly; None where that is this one. Every further edit starts from
        there with summed powers, so that a sequence accumulates no error.
    table : DataFrame, optional
        The user's own columns, indexed like ``rows``: shown beside results, never modelled from here.
    """

    model: Model
    rows: Rows
    posterior: Posterior
    edits: tuple[Factor, ...] = ()
    source: Fit | None = None
    table: pd.DataFrame | None = None

    def __post_init__(self) -> None:
        if self.table is not None and not self.table.index.equals(self.rows.index):
            raise DataError(
                f"a table indexed by the {len(self.rows)} row ids",
                f"{len(self.table)} rows with another index",
                "Set the table's index to the ids of the rows.",
            )

    def __repr__(self) -> str:
        edits = f", edits: {len(self.edits)}" if self.edits else ""
        return f"Fit({len(self.rows)} rows, {self.model!r}, {self.posterior!r}{edits})"

    @property
    def sampled(self) -> Fit:
        """The fit whose posterior was drawn directly."""
        return self if self.source is None else self.source

    @property
    def draws(self) -> Draws:
        """The posterior as draws; of a Gaussian 4000 draws, the same each time.

        Raises
        ------
        MethodError
            If the posterior is represented otherwise, or its precision is not positive definite.
        """
        if isinstance(self.posterior, Gaussian):
            return self.posterior.fixed_draws
        if not isinstance(self.posterior, Draws):
            raise MethodError(
                "a posterior represented by draws",
                f"a {type(self.posterior).__name__}",
                "Sample the model.",
            )
        return self.posterior

    @property
    def row_weights(self) -> np.ndarray:
        """Net weight of each training row: one plus its powers, shape (N,)."""
        return self.net()[1][: len(self.rows)]

    def current(self) -> tuple[Rows, np.ndarray]:
        """Training rows as they stand now, a relabelled one with the outcome it has now, and their net weights.

        Returns
        -------
        rows : Rows
            The training rows in their order, under their own ids.
        weight : array, shape (N,)
        """
        weight = self.row_weights.copy()
        if (weight > 0).all():
            return self.rows, weight
        outcome = self.model.outcome.name
        given = np.array(self.rows.values[outcome])
        features = Rows({k: v for k, v in self.rows.values.items() if k != outcome}, self.rows.row)
        for factor in self.edits:
            rows, at = factor.rows, self.rows.index.get_indexer(factor.rows.index)
            gone = np.flatnonzero((at >= 0) & (weight[at] == 0))
            for i in gone[features.same_content(at[gone], rows, gone)]:
                single = rows.at(np.array([i]))
                net = self._weight_of(single)
                if net > 0:
                    given[at[i]], weight[at[i]] = single.values[outcome][0], net
        return self.rows.replace(**{outcome: given}), weight

    def _weight_of(self, single: Rows) -> float:
        """Net weight of one record, by its id and content."""
        weight, zero = 0.0, np.array([0])
        for factor in self.edits:
            at = factor.rows.index.get_indexer(single.index)
            if at[0] >= 0 and factor.rows.same_content(at, single, zero)[0]:
                weight += float(factor.powers[at[0]])
        return float(rounded(np.array(weight)))

    def net(self, *factors: Factor) -> tuple[Rows, np.ndarray]:
        """All rows that ever took part, and their net weights after further ``factors``.

        Returns
        -------
        rows : Rows
            The training rows, then each other row (new, or with another outcome), with positions as ids.
        weight : array, shape (N',)

        Raises
        ------
        EditError
            If a weight falls below zero.
        """
        rows, weights, _ = net_weights(self.rows, _parts([*self.edits, *factors]))
        return rows, weights[-1]

    def retained(self) -> tuple[Rows, np.ndarray, np.ndarray]:
        """The rows that this posterior rests on.

        Returns
        -------
        rows : Rows
            Training rows in their order, a relabelled one in its place; then the inserted ones. Positions as ids.
        row : array, shape (N',)
            Their ids, as the user knows them; an inserted row may share the id of another.
        weight : array, shape (N',)
            Net weights, all positive.
        """
        rows, weights, ids = net_weights(self.rows, _parts(self.edits))
        kept = np.flatnonzero(weights[-1])
        size = len(self.rows)
        place = kept.astype(float)
        extra = np.flatnonzero(kept >= size)
        home = self.rows.index.get_indexer(pd.Index(ids[kept[extra]], dtype=object))
        vacant = (home >= 0) & (weights[-1][home] == 0)
        place[extra[vacant]] = home[vacant]
        kept = kept[np.argsort(place, kind="stable")]
        row = self.rows.row[kept] if not len(extra) else pd.Series(ids[kept]).infer_objects().to_numpy()
        return rows.at(kept), row, weights[-1][kept]

    def change(self, *factors: Factor) -> Change:
        """What the factors do, seen from the fit that was drawn directly.

        Raises
        ------
        EditError
            If a row's net weight falls below zero: it was deleted twice, or never was in the data.
        """
        source = self.sampled
        rows, weights, _ = net_weights(self.rows, _parts([*self.edits, *factors]))
        before, after = weights[len(source.edits)], weights[-1]
        # a row that came and went since is no part of it: what is undone leaves no trace
        there = np.flatnonzero((np.arange(len(rows)) < len(self.rows)) | (before > 0) | (after > 0))
        if len(there) < len(rows):
            rows, before, after = Rows(rows.at(there).values, np.arange(len(there))), before[there], after[there]
        return Change(self.model, source.posterior, rows, before, after)

    def edited(self, posterior: Posterior, factors: Sequence[Factor], *, drawn: bool) -> Fit:
        """The fit after an edit; ``drawn`` where the posterior no longer leans on earlier draws."""
        after = replace(self, posterior=posterior, edits=(*self.edits, *factors), source=None)
        return after if drawn else replace(after, source=self.sampled)

    def group(self, column: str, values: Any) -> pd.Index:
        """Ids of the training rows of one group or several, in their order.

        Parameters
        ----------
        column : str
            A column of ``table``, or an array of ``rows`` with one number a row, such as an index.
        values : scalar or iterable of scalars
            What the column holds in the rows wanted.

        Returns
        -------
        Index

        Raises
        ------
        DataError
            If there is no such column, or a value occurs nowhere in it.

        Examples
        --------
        >>> from bayesrepair.oracles import NormalNormal
        >>> rows = Rows({"y": np.zeros(3), "site": np.array([0, 1, 1])}, np.array(["a", "b", "c"]))
        >>> Fit(NormalNormal(), rows, Draws.plain(np.zeros((4, 1)))).group("site", 1).tolist()
        ['b', 'c']
        """
        labels = self.labels(column)
        listed = pd.api.types.is_list_like(values)
        wanted = list(values) if listed else [values]
        unknown = [value for value in wanted if not (labels == value).any()]
        if unknown or not wanted:
            raise _no_such_group(column, labels, unknown)
        return self.rows.index[labels.isin(wanted).to_numpy()]

    def labels(self, column: str) -> pd.Series:
        """One value a training row, by position, of a column of ``table`` or an array of ``rows``.

        Raises
        ------
        DataError
            If there is no such column.
        """
        arrays = {name: value for name, value in self.rows.values.items() if value.ndim == 1}
        if self.table is not None and column in self.table:
            return pd.Series(self.table[column].to_numpy())
        if column in arrays:
            return pd.Series(arrays[column])
        known = list(dict.fromkeys([*([] if self.table is None else self.table.columns), *arrays]))
        close = difflib.get_close_matches(str(column), map(str, known), n=1)
        raise DataError(
            f"a column among {', '.join(map(repr, known))}",
            repr(column),
            f"Did you mean {close[0]!r}?" if close else "Name one of these.",
        )

    def predict(self, data: Any) -> pd.DataFrame:
        """Predictions for rows or data, with their Monte Carlo errors; see `bayesrepair.predictive.predict`."""
        from bayesrepair.predictive import predict

        return predict(self, data)

    @property
    def datatree(self) -> xr.DataTree:
        """The posterior for ArviZ, resampled to equal weights where it is weighted."""
        from bayesrepair.datatree import posterior_tree

        return posterior_tree(self)

    def as_rows(self, data: Any) -> Rows:
        """Rows of the model from `Rows` or from the user's own data."""
        return data if isinstance(data, Rows) else self.model.rows(data)


@dataclass(frozen=True, eq=False)
class Change:
    """What an editor is handed: a posterior, and each row's weight before and after.

    Parameters
    ----------
    model : Model
    posterior : Posterior
        Of ``log_prior + Σ before · log_lik``.
    rows : Rows
        Training rows and every other row that takes part; ids are positions.
    before, after : array, shape (N,)
        Net weights; never negative.
    """

    model: Model
    posterior: Posterior
    rows: Rows
    before: np.ndarray
    after: np.ndarray

    @cached_property
    def factor(self) -> Factor:
        """The rows whose weight changes, and by how much."""
        power = self.after - self.before
        where = np.flatnonzero(power)
        return Factor(self.rows.at(where), power[where])

    @cached_property
    def trained(self) -> tuple[Rows, np.ndarray]:
        """Rows with positive weight before the edit, and those weights; the same objects each time."""
        where = np.flatnonzero(self.before)
        return self.rows.at(where), self.before[where]

    @cached_property
    def retained(self) -> tuple[Rows, np.ndarray]:
        """The same after the edit."""
        where = np.flatnonzero(self.after)
        return self.rows.at(where), self.after[where]


class Repaired(Protocol):
    """What leaves a fit behind, such as `bayesrepair.Edited`."""

    @property
    def after(self) -> Fit:
        """The fit to go on with."""
        ...


_MAKES_A_FIT = {
    "pymc": "br.from_pymc(model, idata) makes one of it",
    "bambi": "br.from_bambi(model, idata) makes one of it",
    "pandas": "br.from_table(table, target=...) makes one of it",
    "xarray": "br.from_pymc(model, idata) makes one of it and its model",
}


def as_fit(given: Fit | Repaired) -> Fit:
    """The fit itself, or the one that an edit left behind.

    Raises
    ------
    UnsupportedModelError
        If it is neither.

    Examples
    --------
    >>> as_fit({"y": 1})
    Traceback (most recent call last):
        ...
    bayesrepair.status.UnsupportedModelError: expected a Fit; got a dict. br.from_pymc or br.from_table makes one.
    """
    found = given if isinstance(given, Fit) else getattr(given, "after", None)
    if isinstance(found, Fit):
        return found
    kind = type(given)
    remedy = _MAKES_A_FIT.get(kind.__module__.partition(".")[0], "br.from_pymc or br.from_table makes one")
    raise UnsupportedModelError("a Fit", f"a {kind.__name__}", f"{remedy}.")


def _parts(factors: Sequence[Factor]) -> list[tuple[Rows, np.ndarray]]:
    return [(factor.rows, factor.powers) for factor in factors]


def _no_such_group(column: str, labels: pd.Series, unknown: list[Any]) -> DataError:
    some = [value.item() if isinstance(value, np.generic) else value for value in labels.dropna().unique()]
    named = ", ".join(map(repr, some[:5])) + (", …" if len(some) > 5 else "")
    if not unknown:
        return DataError(f"at least one value of {column!r}", "none", f"Pass one of {named}.")
    close = difflib.get_close_matches(str(unknown[0]), map(str, some), n=3, cutoff=0.5)
    meant = [repr(value) for value in some if str(value) in close]
    return DataError(
        f"values that {column!r} has (such as {named})",
        ", ".join(map(repr, unknown[:3])),
        f"Did you mean {' or '.join(meant)}?" if meant else "Pass one of its values.",
    )
