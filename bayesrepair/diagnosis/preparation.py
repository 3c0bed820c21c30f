"""Tables made ready: held-out rows set apart, everything checked that can be checked before sampling."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd

from bayesrepair.diagnosis.constants import suspicious_constants
from bayesrepair.edit import EDITORS
from bayesrepair.model import Conjugate
from bayesrepair.reading.checks import check_held_out, check_training
from bayesrepair.reading.splits import hold_out
from bayesrepair.status import BayesRepairWarning, DataError, MethodError
from bayesrepair.tables.basis import BasisName
from bayesrepair.tables.columns import TextColumn
from bayesrepair.tables.formula import used_columns
from bayesrepair.tables.recipe import TableRecipe, read_recipe, suitable_bases

ACTIONS = ("delete", "relabel", "none")


@dataclass(frozen=True, eq=False)
class Tables:
    """Training and held-out rows, checked against each other, and the model that they are meant for.

    Parameters
    ----------
    train, held_out : DataFrame
        Indexed by row id.
    recipe : TableRecipe
        Family, classes and columns of the model, with the constants of the training rows.
    predictors : tuple of str
        Columns that may enter the model.
    formula : str, optional
    group : str, optional
        A column to rank groups by, such as the annotator.
    notes : tuple of str
        What was decided.
    basis : str
        See `bayesrepair.from_table`.
    """

    train: pd.DataFrame
    held_out: pd.DataFrame
    recipe: TableRecipe
    predictors: tuple[str, ...]
    formula: str | None
    group: str | None
    notes: tuple[str, ...]
    basis: BasisName = "linear"

    @property
    def target(self) -> str:
        """The outcome's column."""
        return self.recipe.target.name

    @property
    def described(self) -> str:
        """Target, family and groups in words."""
        target = self.recipe.target
        group = f"; groups by {self.group!r}" if self.group else ""
        if target.classes is None:
            return f"target {target.name!r}, numbers, family {target.family}{group}"
        some = ", ".join(map(str, target.classes[:6])) + (", …" if len(target.classes) > 6 else "")
        return f"target {target.name!r} with {len(target.classes)} classes ({some}), family {target.family}{group}"


def prepare(
    train: pd.DataFrame,
    held_out: pd.DataFrame | None = None,
    *,
    target: str,
    share: float = 0.3,
    formula: str | None = None,
    family: str = "auto",
    group: str | None = None,
    basis: BasisName = "linear",
    random_seed: int = 0,
) -> Tables:
    """Check the tables, and hold rows out where none are given.

    Parameters
    ----------
    train : DataFrame
        Indexed by row id.
    held_out : DataFrame, optional
        Rows with outcomes that can be trusted; by default a ``share`` of ``train``, each class in proportion.
    target : str
    share : float
    formula, family, basis : str
        See `bayesrepair.from_table`.
    group : str, optional
        A column to rank groups by; it predicts only where the formula names it.
    random_seed : int

    Returns
    -------
    Tables

    Raises
    ------
    DataError
        For anything that is wrong with the tables.

    Examples
    --------
    >>> frame = pd.DataFrame({"x": range(40), "y": ["no", "yes"] * 20})
    >>> prepare(frame, target="y").described
    "target 'y' with 2 classes (no, yes), family bernoulli"
    """
    aside = [] if group is None else [group]
    predictors = used_columns(train, target, formula=formula, aside=aside)
    check_training(train, target, predictors=predictors, family=family, group=group)
    columns = [*predictors, target]
    recipe = _recipe(train[columns], target, formula, family, basis)
    notes = suspicious_constants(train, predictors)
    if held_out is None:
        family = recipe.target.family  # as all rows say, not as those that stay say
        options = {"formula": formula, "family": family}
        train, held_out, said = _held_out(train, recipe, columns, options, share, random_seed)
        notes = [*said, *notes]
        recipe = _recipe(train[columns], target, formula, family, basis)
    else:
        extra = [str(name) for name in held_out.columns if name not in train.columns]
        if extra:
            notes.append(f"Columns of the held-out table that training lacks are left out: {', '.join(extra)}.")
    check_held_out(held_out, train, target, predictors=predictors, classes=recipe.target.classes)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", BayesRepairWarning)  # said when these rows are predicted
        recipe(held_out[columns])
    return Tables(train, held_out, recipe, tuple(predictors), formula, group, (*notes, *recipe.notes), basis)


def prepare_alone(
    frame: pd.DataFrame,
    *,
    target: str,
    formula: str | None = None,
    family: str = "auto",
    group: str | None = None,
    basis: BasisName = "linear",
) -> Tables:
    """Check a table of which nothing is held out; see `prepare`."""
    predictors = used_columns(frame, target, formula=formula, aside=[] if group is None else [group])
    check_training(frame, target, predictors=predictors, family=family, group=group)
    recipe = _recipe(frame[[*predictors, target]], target, formula, family, basis)
    notes = (*suspicious_constants(frame, predictors), *recipe.notes)
    return Tables(frame, frame.iloc[:0], recipe, tuple(predictors), formula, group, notes, basis)


def _recipe(frame: pd.DataFrame, target: str, formula: str | None, family: str, basis: BasisName) -> TableRecipe:
    """The recipe; of ``basis="auto"`` that of the linear model, which is one of those it chooses from."""
    options: dict[str, Any] = {"target": target, "formula": formula, "family": family}
    if basis == "auto":
        suitable_bases(frame, **options)  # refuses what cannot be chosen from
        basis = "linear"
    return read_recipe(frame, basis=basis, **options)[0]


def _held_out(
    frame: pd.DataFrame,
    recipe: TableRecipe,
    columns: list[str],
    options: Mapping[str, Any],
    share: float,
    random_seed: int,
) -> tuple[pd.DataFrame, pd.DataFrame, list[str]]:
    """Split so that training sees every level of the columns whose rare levels are not pooled."""
    target = recipe.target.name
    levelled = _levelled(recipe)
    while True:
        train, held_out, moved = hold_out(frame, target, share=share, categorical=levelled, random_seed=random_seed)
        check_training(train, target, predictors=columns[:-1], family=recipe.target.family)
        # A column pooled among all rows may have too few levels for that among those that stay.
        smaller, _ = read_recipe(train[columns], target=target, **options)
        missed = [name for name in _levelled(smaller) if name not in levelled]
        if not missed:
            break
        levelled = [*levelled, *missed]
    said = [f"{len(held_out)} of {len(frame)} rows are held out (seed {random_seed})."]
    if moved:
        said.append(f"{moved} rows with a level seen nowhere else stayed in training.")
    return train, held_out, said


def _levelled(recipe: TableRecipe) -> list[str]:
    return [n for n, column in recipe.columns.items() if isinstance(column, TextColumn) and not column.pooled]


def check_request(tables: Tables, *, top: int | str, action: str, method: str) -> None:
    """Refuse what cannot be done with these tables, before anything is sampled.

    Raises
    ------
    DataError
        If ``top`` would leave no row, or names none.
    MethodError
        If action or method is unknown, or relabelling is asked for where there are no classes.
    """
    if action not in ACTIONS:
        raise MethodError(f"an action among {', '.join(ACTIONS)}", repr(action))
    suitable = [name for name, editor in EDITORS.items() if Conjugate not in getattr(editor, "needs", ())]
    if method not in suitable:
        raise MethodError(f"a method among {', '.join(suitable)}", repr(method))
    if action == "relabel" and tables.recipe.target.classes is None:
        got = f"the numbers of {tables.target!r}"
        raise MethodError("classes, to suggest another one", got, "Delete the rows instead: --action delete.")
    if top == "auto":
        return
    if not isinstance(top, int) or top < 0:
        raise DataError("a number of rows to repair, or auto", repr(top))
    if top == 0 and action != "none":
        raise DataError("at least one row to repair", "0", "Say --action none to rank the rows only.")
    if top >= len(tables.train):
        got = f"{top}, which leaves none" if top == len(tables.train) else f"{top}"
        raise DataError(f"fewer rows to repair than the {len(tables.train)} training rows", got)
