"""The recipe of a table: what each column becomes, and the formula and priors of the model."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from bayesrepair.status import DataError
from bayesrepair.tables.basis import Basis, read_basis, suitable
from bayesrepair.tables.columns import Column, NumericColumn, TextColumn, as_words, read_column, some
from bayesrepair.tables.formula import completed, used_columns
from bayesrepair.tables.outcome import Target, read_target

FEWEST_ROWS = 10
_COEFFICIENT = 1.0  # prior sd of the effect of one sd of a predictor, on the scale of the linear predictor
_LEARNED = 5.0  # scale of the prior of what all predictors together add, as an sd, where it is learned
_INTERCEPT = 2.5
_BASIS = {"nu": 3.0, "sigma": 1.0}  # of what a basis adds to the linear predictor: a size left to the data
# Names that Bambi and PyMC give to parts of the model.
_TAKEN = {
    "mu",
    "p",
    "sigma",
    "nu",
    "alpha",
    "kappa",
    "Intercept",
    "chain",
    "draw",
    "__obs__",
    "coefficient",
    "columns",
    "basis",
}

type Prior = tuple[str, Mapping[str, Any]]


@dataclass(frozen=True, eq=False)
class TableRecipe:
    """How a table becomes a model, with the constants of its training rows.

    Parameters
    ----------
    target : Target
    columns : mapping of str to Column
        By the names of the table; columns that say nothing are left out.
    group : TextColumn, optional
        Groups with an intercept each.
    formula : str
        In names of the prepared table.
    coded : bool
        Whether the prepared table holds the columns of one design matrix, x0, x1, …, rather than the columns that a
        user's formula speaks of.
    priors : mapping
        Name and arguments of each prior; empty for Bambi's own.
    notes : tuple of str
        What was decided that a user may want to know.
    basis : Basis, optional
        Functions of the numeric columns beside the columns themselves, b0, b1, … of the prepared table.
    """

    target: Target
    columns: Mapping[str, Column]
    group: TextColumn | None
    formula: str
    coded: bool
    priors: Mapping[str, Prior]
    notes: tuple[str, ...]
    basis: Basis | None = None

    @property
    def labels(self) -> tuple[str, ...]:
        """Names of the coefficients, where there is one design matrix."""
        return tuple(label for column in self.columns.values() for label in column.labels) if self.coded else ()

    def __call__(self, table: pd.DataFrame) -> pd.DataFrame:
        """Prepare new rows; a table without the target is for prediction.

        Raises
        ------
        DataError
            If a column is missing, a value is infinite, or a level or class was not seen in training.
        """
        return self.prepared(table, training=False)

    def prepared(self, table: pd.DataFrame, *, training: bool) -> pd.DataFrame:
        """Return the table that the formula speaks of."""
        _refuse_absent(table, [*self.columns, *([] if self.group is None else [self.group.name])])
        ready: dict[str, Any] = {}
        first: dict[str, np.ndarray] = {}
        for name, column in self.columns.items():
            if not self.coded:
                ready[name] = column.prepared(table[name], training=training)
                continue
            coded = column.coded(table[name], training=training)
            first[name] = coded[:, 0]
            ready |= {f"x{len(ready) + j}": values for j, values in enumerate(coded.T)}
        if self.basis is not None:
            ready |= {f"b{m}": values for m, values in enumerate(self.basis.coded(first).T)}
        if self.group is not None:
            name = inside(self.group.name) if self.coded else self.group.name
            ready[name] = self.group.prepared(table[self.group.name], training=training)
        if self.target.name in table.columns:
            name = inside(self.target.name) if self.coded else self.target.name
            ready[name] = self.target.prepared(table[self.target.name])
        return pd.DataFrame(ready, index=table.index)


def read_recipe(
    table: pd.DataFrame,
    *,
    target: str,
    formula: str | None = None,
    family: str = "auto",
    group: str | None = None,
    basis: str = "linear",
    prior_scale: str = "unit",
) -> tuple[TableRecipe, pd.DataFrame]:
    """Decide how a table becomes a model.

    The arguments are those of `bayesrepair.from_table`; a basis is ``"linear"``, ``"splines"`` or ``"fourier"``.

    Returns
    -------
    recipe : TableRecipe
    table : DataFrame
        The rows that have an outcome.

    Raises
    ------
    DataError
        See `bayesrepair.from_table`.
    """
    _refuse_table(table, [target, *([] if group is None else [group])])
    notes: list[str] = []
    absent = int(table[target].isna().sum())
    if absent:
        notes.append(f"{absent} row{'s' * (absent != 1)} without an outcome {target!r} left out.")
        table = table.loc[table[target].notna()]
    if len(table) < FEWEST_ROWS:
        raise DataError(f"at least {FEWEST_ROWS} rows with an outcome", f"{len(table)}", "Add rows.")
    outcome, said = read_target(target, table[target], family)
    notes += said
    aside = [] if group is None else [group]
    predictors = [n for n in used_columns(table, target, formula=formula, aside=aside) if n != group]
    columns, said = _columns(table, predictors, standardise=formula is None)
    notes += said
    if not columns and group is None:
        raise DataError("at least one column that predicts", "none that varies", "Add columns to the table.")
    groups = None if group is None else _groups(group, table[group])
    coded = formula is None
    if prior_scale not in ("unit", "learned"):
        raise DataError("prior_scale='unit' or 'learned'", repr(prior_scale))
    if prior_scale == "learned" and not coded:
        remedy = "Leave the formula out, or write the model in PyMC and pass it to from_pymc."
        raise DataError("prior_scale='unit' beside a formula, whose priors are Bambi's", repr(prior_scale), remedy)
    beyond = None if basis == "linear" else _basis(basis, table, columns, formula)
    text = _coded_formula(columns, target, group) if formula is None else completed(formula, target, group)
    priors = _priors(outcome, prior_scale, _width(columns)) if coded else {}
    for part, present in (("common", bool(columns)), ("group_specific", group is not None)):
        if not present:
            priors.pop(part, None)
    if beyond is not None:
        text, term = with_basis(text, len(beyond.labels))
        priors[term] = ("SphericalT", {**_BASIS, "sigma": _BASIS["sigma"] * _unit(outcome)})
        notes.append(f"{len(beyond.labels)} functions of the numeric columns ({basis}) enter beside the columns.")
    return TableRecipe(outcome, columns, groups, text, coded, priors, tuple(notes), beyond), table


def suitable_bases(table: pd.DataFrame, **options: Any) -> tuple[str, ...]:
    """What ``basis="auto"`` chooses from, the smallest first; the arguments are those of `read_recipe`.

    Raises
    ------
    DataError
        If there is a formula, or the table cannot be modelled.
    """
    recipe, rows = read_recipe(table, **options)
    if not recipe.coded:
        _refuse_beside_formula("auto")
    return "linear", *suitable(_numbers(rows, recipe.columns))


def _basis(kind: str, table: pd.DataFrame, columns: Mapping[str, Column], formula: str | None) -> Basis:
    if formula is not None:
        _refuse_beside_formula(kind)
    return read_basis(kind, _numbers(table, columns))


def _refuse_beside_formula(kind: str) -> None:
    remedy = "Write the functions into the formula, such as bs(x, df=5), or leave the formula out."
    raise DataError("basis='linear' beside a formula", repr(kind), remedy)


def _numbers(table: pd.DataFrame, columns: Mapping[str, Column]) -> dict[str, np.ndarray]:
    """Standardised numeric columns of the training rows."""
    return {name: c.prepared(table[name]) for name, c in columns.items() if isinstance(c, NumericColumn)}


def _refuse_table(table: Any, wanted: Sequence[str]) -> None:
    if not isinstance(table, pd.DataFrame):
        raise DataError("a DataFrame", f"a {type(table).__name__}", "Read the file with pandas.read_csv.")
    if not table.columns.is_unique:
        twice = table.columns[table.columns.duplicated()]
        raise DataError("a different name for each column", f"{some(twice)} more than once", "Rename one of them.")
    if not all(isinstance(name, str) for name in table.columns):
        wrong = [name for name in table.columns if not isinstance(name, str)]
        raise DataError("column names that are text", some(wrong), "Write df.columns = df.columns.map(str).")
    if not table.index.is_unique:
        twice = table.index[table.index.duplicated()].unique()
        raise DataError(
            "a different id for each row (the table's index)",
            f"{len(twice)} ids more than once, such as {some(twice)}",
            "Write df.reset_index(drop=True), or set another column as the index.",
        )
    _refuse_absent(table, wanted)


def _refuse_absent(table: pd.DataFrame, wanted: Sequence[str]) -> None:
    absent = [name for name in wanted if name not in table.columns]
    if absent:
        near = difflib.get_close_matches(absent[0], list(table.columns), n=3, cutoff=0.5)
        raise DataError(
            f"the columns {some(wanted, 8)}",
            f"a table without {some(absent, 8)}, with {some(table.columns, 8)}",
            f"Did you mean {' or '.join(map(repr, near))}?" if near else "Check the spelling.",
        )


def _columns(table: pd.DataFrame, names: Sequence[str], *, standardise: bool) -> tuple[dict[str, Column], list[str]]:
    columns, notes = {}, []
    for name in names:
        column, said = read_column(name, table[name], standardise=standardise)
        notes += said
        if column is not None:
            columns[name] = column
        elif not standardise:  # a formula speaks of it
            raise DataError(f"a column {name!r} that varies", said[0], "Leave it out of the formula.")
    return columns, notes


def _groups(name: str, values: pd.Series) -> TextColumn:
    words = as_words(values)
    if words.nunique() < 2:
        raise DataError(f"at least two groups in {name!r}", f"{words.iloc[0]!r} in every row", "Leave group out.")
    return TextColumn(name, tuple(sorted(words.unique())), pooled=False)


def inside(name: str) -> str:
    """Name of a column inside the model: its own, unless Bambi would stumble over it.

    Examples
    --------
    >>> inside("mean radius"), inside("a|b"), inside("p"), inside("x1")
    ('mean radius', 'a_b', 'p_', 'x1_')
    """
    safe = re.sub(r"[^\w .-]", "_", name).strip() or "column"
    return f"{safe}_" if safe in _TAKEN or re.fullmatch(r"[xb]\d+", safe) else safe


def _coded_formula(columns: Mapping[str, Column], target: str, group: str | None) -> str:
    """One term for the whole design matrix: a coefficient a column would be a random variable a column."""
    names = [f"x{k}" for k in range(_width(columns))]
    terms = [f"columns({', '.join(names)})"] if names else ["1"]
    if group is not None:
        terms.append(f"(1|`{inside(group)}`)")
    return f"`{inside(target)}` ~ {' + '.join(terms)}"


def with_basis(formula: str, size: int) -> tuple[str, str]:
    """The formula with one term more, and that term.

    Examples
    --------
    >>> with_basis("y ~ columns(x0)", 2)
    ('y ~ columns(x0) + basis(b0, b1)', 'basis(b0, b1)')
    """
    term = f"basis({', '.join(f'b{m}' for m in range(size))})"
    return f"{formula} + {term}", term


def _unit(target: Target) -> float:
    """Scale of the linear predictor."""
    return target.scale if target.family in ("gaussian", "t") else 1.0


def _width(columns: Mapping[str, Column]) -> int:
    """Number of coefficients."""
    return sum(len(column.labels) for column in columns.values())


def _priors(target: Target, prior_scale: str, width: int) -> dict[str, Prior]:
    """Weakly informative priors for so many predictors of unit variance, on the scale of the linear predictor."""
    identity = target.family in ("gaussian", "t")
    scale = _unit(target)
    centre = 0.0
    if identity:
        centre = target.centre
    elif target.family in ("poisson", "negativebinomial"):
        centre = float(np.log(max(target.centre, 0.1)))
    spread = ("HalfNormal", {"sigma": scale})
    priors: dict[str, Prior] = {
        "Intercept": ("Normal", {"mu": centre, "sigma": _INTERCEPT * scale}),
        "common": ("Normal", {"mu": 0.0, "sigma": _COEFFICIENT * scale}),
        "group_specific": ("Normal", {"mu": 0.0, "sigma": spread}),
    }
    if identity:
        priors["sigma"] = ("HalfStudentT", {"nu": 4.0, "sigma": scale})
    if prior_scale == "learned":
        priors["common"] = ("LearnedScale", {"sigma": _LEARNED * scale / max(width, 1) ** 0.5})
    return priors
