"""The target of a table: which family describes it, and how its values enter the model."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
import pandas as pd

from bayesrepair.status import DataError
from bayesrepair.tables.columns import refuse_infinite, some

Family = Literal["bernoulli", "categorical", "gaussian", "t", "poisson", "negativebinomial"]
_FEW_INTEGERS = 10  # integers of at most so many different values are read as classes
_MANY_CLASSES = 50


@dataclass(frozen=True)
class Target:
    """The outcome of a table.

    Parameters
    ----------
    name : str
    family : str
    classes : tuple, optional
        Class names as the table has them, in the order of their codes; of two, the second has code 1.
    centre, scale : float
        Mean and standard deviation of the training rows, for the priors; the outcome itself is not scaled.
    """

    name: str
    family: Family
    classes: tuple[Any, ...] | None
    centre: float
    scale: float

    def prepared(self, values: pd.Series) -> Any:
        """Return 0 and 1 for two classes, a categorical for more, numbers otherwise; shape (N,).

        Raises
        ------
        DataError
            If a value is missing, infinite, or a class unseen in training.
        """
        if values.isna().any():
            rows = some(values.index[values.isna()])
            raise DataError(f"an outcome {self.name!r} in every row", f"none in rows {rows}", "Leave these rows out.")
        if self.classes is None:
            return _counts_or_numbers(values, self.name, self.family)
        codes = _codes(values, self.classes)
        if (codes < 0).any():
            raise DataError(
                f"classes of {self.name!r} seen in training: {some(self.classes, 12)}",
                f"{some(values[codes < 0].unique())} in rows {some(values.index[codes < 0])}",
                "Correct these rows, or leave them out.",
            )
        if self.family == "bernoulli":
            return codes
        return pd.Categorical.from_codes(codes, categories=pd.Index(list(self.classes)), ordered=True)


def read_target(name: str, values: pd.Series, family: str = "auto") -> tuple[Target, list[str]]:
    """Decide on the family of an outcome from its training values.

    Two different values: ``bernoulli``. Words, or integers of at most ten different values: ``categorical``.
    Other integers from 0 up: ``negativebinomial``. Anything else: ``gaussian``.

    Returns
    -------
    target : Target
    notes : list of str

    Raises
    ------
    DataError
        If the outcome never varies, is no outcome (dates, one class a row), or does not suit the family asked for.

    Examples
    --------
    >>> read_target("sick", pd.Series(["no", "yes", "no"]))[0].classes
    ('no', 'yes')
    """
    if family != "auto" and family not in get_args(Family):
        known = ", ".join(map(repr, ("auto", *get_args(Family))))
        raise DataError(f"a family among {known}", repr(family))
    if values.nunique() < 2:
        only = f"{values.iloc[0]!r} in every row" if len(values) else "no row"
        raise DataError(f"at least two classes or values of {name!r}", only, "Choose another target.")
    if pd.api.types.is_datetime64_any_dtype(values):
        raise DataError(f"classes or numbers in the target {name!r}", "dates", "Choose another target.")
    chosen, notes = (_family_of(name, values), []) if family == "auto" else (family, [])
    if family == "auto":
        notes = [f"{name!r} is modelled as {chosen}."]
    if chosen in ("bernoulli", "categorical"):
        classes = _classes(name, values, chosen)
        if chosen == "bernoulli":
            notes = [*notes, f"Coefficients are log odds of {name} = {classes[1]!r}."]
        return Target(name, chosen, classes, 0.0, 1.0), notes  # type: ignore[arg-type]
    numbers = _counts_or_numbers(values, name, chosen)
    return Target(name, chosen, None, float(numbers.mean()), float(numbers.std())), notes  # type: ignore[arg-type]


def _family_of(name: str, values: pd.Series) -> Family:
    levels = values.nunique()
    if levels == 2:
        return "bernoulli"
    if not pd.api.types.is_numeric_dtype(values):
        if levels > _MANY_CLASSES:
            raise DataError(
                f"a target of at most {_MANY_CLASSES} classes", f"{levels} different words in {name!r}",
                "Choose another target, or join classes.",
            )  # fmt: skip
        return "categorical"
    whole = bool((values == np.round(values)).all())
    if whole and levels <= _FEW_INTEGERS:
        return "categorical"
    return "negativebinomial" if whole and values.min() >= 0 else "gaussian"


def _classes(name: str, values: pd.Series, family: str) -> tuple[Any, ...]:
    if isinstance(values.dtype, pd.CategoricalDtype) and values.cat.ordered:
        found = [c for c in values.cat.categories if (values == c).any()]
    else:
        found = list(pd.unique(values))
        try:
            found = sorted(found)
        except TypeError:  # words and numbers together
            found = sorted(found, key=str)
    classes = tuple(c.item() if isinstance(c, np.generic) else c for c in found)
    if family == "bernoulli" and len(classes) != 2:
        raise DataError(
            f"two classes in {name!r} for the bernoulli family",
            f"{len(classes)}: {some(classes, 5)}",
            "Use family='categorical'.",
        )
    return classes


def _codes(values: pd.Series, classes: tuple[Any, ...]) -> Any:
    return pd.Index(list(classes), dtype=object).get_indexer(pd.Index(list(values), dtype=object))


def _counts_or_numbers(values: pd.Series, name: str, family: str) -> np.ndarray:
    numbers = pd.to_numeric(values, errors="coerce").to_numpy(dtype=float, na_value=np.nan)
    refuse_infinite(numbers, values, name)
    if np.isnan(numbers).any():
        words = values[np.isnan(numbers)]
        raise DataError(f"numbers in the target {name!r} for the {family} family", some(words), "Use family='auto'.")
    if family not in ("poisson", "negativebinomial"):
        return numbers
    wrong = (numbers < 0) | (numbers != np.round(numbers))
    if wrong.any():
        raise DataError(
            f"counts 0, 1, 2, … in {name!r} for the {family} family",
            f"{some(numbers[wrong])} in rows {some(values.index[wrong])}",
            "Use family='gaussian'.",
        )
    return numbers.astype(np.int64)
