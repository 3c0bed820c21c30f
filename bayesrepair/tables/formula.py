"""Formulas as text: which columns of a table they speak of, and the formula that the model is handed."""

from __future__ import annotations

import difflib
import re
from collections.abc import Sequence

import pandas as pd

from bayesrepair.status import DataError

_LITERALS = ("True", "False", "None")


def used_columns(frame: pd.DataFrame, target: str, *, formula: str | None, aside: Sequence[str] = ()) -> list[str]:
    """Columns that may enter the model: all but the target and those aside, or those that the formula names.

    Parameters
    ----------
    frame : DataFrame
    target : str
    formula : str, optional
        In Bambi's language, with or without the left side.
    aside : sequence of str
        Columns that predict only where the formula names them.

    Raises
    ------
    DataError
        If the formula names something that is neither a column nor a function, or a column that a model cannot hold
        under its name.

    Examples
    --------
    >>> frame = pd.DataFrame(columns=["x", "z", "y"])
    >>> used_columns(frame, "y", formula="y ~ np.log(x) + poly(x, degree=2)")
    ['x']
    """
    if formula is None:
        return [str(name) for name in frame.columns if name != target and name not in aside]
    right = formula.partition("~")[2] or formula
    bare = re.sub(r"`[^`]*`|'[^']*'|\"[^\"]*\"", " ", right)
    # No function, attribute or keyword; a comparison (==) is no keyword.
    words = re.findall(r"(?<![\w.])[^\W\d]\w*\b(?!\s*(?:[.(]|=(?!=)))", bare)
    named = dict.fromkeys([*re.findall(r"`([^`]+)`", right), *words])
    for name in named:
        if name not in frame.columns and name not in _LITERALS:
            near = difflib.get_close_matches(name, map(str, frame.columns), n=1)
            remedy = f"Did you mean {near[0]!r}?" if near else "Check the formula."
            raise DataError("columns of the table in the formula", repr(name), remedy)
        _refuse_unfit(name)
    return [str(name) for name in frame.columns if name in named and name != target]


def completed(formula: str, target: str, group: str | None) -> str:
    """The formula with its left side, and an intercept for each group.

    Raises
    ------
    DataError
        If the formula is empty or of another outcome, or if a name could not be quoted: formulas are code, names of
        columns are not.

    Examples
    --------
    >>> completed("x", "y", "site")
    '`y` ~ x + (1|`site`)'
    """
    for name in (target, group):
        if name is not None:
            _refuse_unfit(name)
    left, tilde, right = formula.partition("~")
    if tilde and left.strip(" `") != target:
        raise DataError(
            f"a formula for the target {target!r}", f"one for {left.strip()!r}", f"Write '{target} ~{right}'."
        )
    text = right.strip() if tilde else formula.strip()
    if not text:
        raise DataError(f"a formula such as '{target} ~ x + z'", repr(formula))
    return f"`{target}` ~ {text}" + (f" + (1|`{group}`)" if group is not None else "")


def _refuse_unfit(name: str) -> None:
    """A backtick ends the quotes around a name; PyMC's variables have no slash in theirs."""
    if "`" in name or "/" in name:
        raise DataError("column names without backticks and slashes beside a formula", repr(name), "Rename the column.")
