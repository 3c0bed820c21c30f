"""Everything that can be seen to be wrong with a table before a model is sampled."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence

import numpy as np
import pandas as pd

from bayesrepair.status import DataError

FEWEST_ROWS = 10
CLASS_FAMILIES = ("bernoulli", "categorical")


def check_training(
    frame: pd.DataFrame, target: str, *, predictors: Sequence[str], family: str = "auto", group: str | None = None
) -> None:
    """Refuse a training table that no model can be fitted to.

    Parameters
    ----------
    frame : DataFrame
    target : str
    predictors : sequence of str
        Columns that may enter the model.
    family : str
        Of the outcome; classes where it is ``bernoulli`` or ``categorical``.
    group : str, optional
        Column of groups to be ranked.

    Raises
    ------
    DataError
        For fewer than 10 rows, no predictor, an outcome that is missing somewhere or never varies, a predictor
        without any value, infinite values, or a missing group.
    """
    if len(frame) < FEWEST_ROWS:
        raise DataError(f"at least {FEWEST_ROWS} training rows", f"{len(frame)}", "Add rows, or hold out fewer.")
    if not predictors:
        raise DataError("at least one column that predicts", f"only the target {target!r}", "Add columns to the table.")
    _refuse_gaps(frame[target], "an outcome")
    if frame[target].nunique() < 2:
        kind = "classes" if family in CLASS_FAMILIES or not _is_number(frame[target]) else "values"
        only = frame[target].iloc[0]
        raise DataError(
            f"a target {target!r} of at least two {kind}", f"{only!r} in every row", "Choose another target."
        )
    for name in predictors:
        if frame[name].isna().all():
            raise DataError(f"values in the column {name!r}", "none in any row", "Drop this column from the table.")
    _refuse_infinite(frame, [*predictors, target])
    if group is not None:
        _refuse_gaps(frame[group], "a group")


def check_held_out(
    frame: pd.DataFrame,
    train: pd.DataFrame,
    target: str,
    *,
    predictors: Sequence[str],
    classes: Sequence[object] | None = None,
) -> None:
    """Refuse held-out rows that a model of the training table cannot judge.

    Parameters
    ----------
    frame, train : DataFrame
    target : str
    predictors : sequence of str
    classes : sequence, optional
        Classes of the outcome, where it has classes. (The levels of other columns are the model's business: it may
        pool rare ones.)

    Raises
    ------
    DataError
        For missing columns, words where training had numbers, infinite values, a missing outcome, or a class that
        was not seen in training.
    """
    _refuse_absent(frame, [*predictors, target], train)
    for name in [*predictors, target]:
        if _is_number(train[name]) and not _is_number(frame[name]) and frame[name].notna().any():
            words = frame[name][pd.to_numeric(frame[name], errors="coerce").isna() & frame[name].notna()]
            shown = words.iloc[0] if len(words) else frame[name].dropna().iloc[0]
            raise DataError(f"numbers in the held-out column {name!r}, as in training", f"{shown!r}")
    _refuse_gaps(frame[target], "an outcome")
    _refuse_infinite(frame, [*predictors, target])
    if classes is not None:
        _refuse_unseen(frame[target], classes)


def _is_number(values: pd.Series) -> bool:
    return pd.api.types.is_numeric_dtype(values) and not pd.api.types.is_bool_dtype(values)


def _refuse_gaps(values: pd.Series, what: str) -> None:
    missing = values.index[values.isna()]
    if len(missing):
        got = f"{len(missing)} without, such as row {_plain(missing[0])!r}"
        raise DataError(f"{what} in every row of {values.name!r}", got, "Fill them in, or drop those rows.")


def _refuse_infinite(frame: pd.DataFrame, names: Iterable[str]) -> None:
    for name in names:
        if _is_number(frame[name]):
            infinite = np.isinf(frame[name].to_numpy(dtype=float, na_value=np.nan))
            if infinite.any():
                row = _plain(frame.index[infinite][0])
                got = f"{int(infinite.sum())} infinite, such as row {row!r}"
                raise DataError(f"finite values in {name!r}", got, "Correct them, or leave the cells empty.")


def _refuse_absent(frame: pd.DataFrame, names: Iterable[str], train: pd.DataFrame) -> None:
    absent = [name for name in names if name not in frame.columns]
    if absent:
        near = difflib.get_close_matches(absent[0], [n for n in frame.columns if n not in train.columns], n=1)
        got = f"{len(absent)} missing: {', '.join(map(repr, absent[:5]))}"
        remedy = f"Is it {near[0]!r} there?" if near else "Give the held-out table the training table's columns."
        raise DataError("held-out rows with the training table's columns", got, remedy)


def _refuse_unseen(outcome: pd.Series, classes: Sequence[object]) -> None:
    new = ~outcome.isin(list(classes))
    if new.any():
        got = f"{_plain(outcome[new].iloc[0])!r} in {int(new.sum())} held-out rows"
        remedy = "Leave those rows out, or train on rows that have it."
        raise DataError(f"classes of {outcome.name!r} seen in training", got, remedy)


def _plain(value: object) -> object:
    return value.item() if isinstance(value, np.generic) else value
