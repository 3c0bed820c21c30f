"""The design recipe of a Bambi model: from a user's table to the arrays inside the PyMC model, transforms frozen."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from formulae.categorical import CategoricalBox
from formulae.environment import Environment
from formulae.terms.call import Call
from formulae.terms.call_resolver import LazyCall, LazyVariable

from bayesrepair.status import DataError, UnsupportedModelError


@dataclass(frozen=True, eq=False)
class CommonColumns:
    """Columns of all common terms, less the training means where Bambi centres them; (N, p)."""

    name: str
    terms: tuple[Any, ...]
    shift: np.ndarray

    def evaluate(self, table: pd.DataFrame) -> np.ndarray:
        """Return the array for new rows."""
        return np.column_stack([_numbers(term, table) for term in self.terms]) - self.shift


@dataclass(frozen=True, eq=False)
class Column:
    """An offset, or what multiplies a group-specific coefficient; (N,) or (N, e)."""

    name: str
    terms: tuple[Any, ...]
    tail: tuple[int, ...]

    def evaluate(self, table: pd.DataFrame) -> np.ndarray:
        """Return the array for new rows."""
        return _numbers(self.terms[0], table).reshape(len(table), *self.tail)


@dataclass(frozen=True, eq=False)
class GroupIndex:
    """Position of each row's group among the groups seen in training; (N,)."""

    name: str
    terms: tuple[Any, ...]

    def evaluate(self, table: pd.DataFrame) -> np.ndarray:
        """Return the array for new rows."""
        return np.asarray(self.terms[0].eval_new_data(table)).reshape(len(table), -1).argmax(axis=1)


type Piece = CommonColumns | Column | GroupIndex
"""One array inside the PyMC model, as a function of the table."""


@dataclass(frozen=True, eq=False)
class Response:
    """The outcome: its name in the model, the formula's response, and its classes in the order of their codes."""

    name: str
    component: Any
    classes: tuple | None

    def evaluate(self, table: pd.DataFrame) -> np.ndarray:
        """Return codes or numbers, shape (N,).

        Raises
        ------
        DataError
            If a class was not among the training rows, or a value is missing.
        """
        values = _values(self.component, table)
        if self.component.kind != "categoric":
            numbers = _as_numbers(values, self.component.name, table)
            wrong = np.zeros(len(numbers), dtype=bool) if self.classes is None else ~np.isin(numbers, (0, 1))
            if wrong.any():
                raise DataError(
                    f"0 or 1 in {self.component.name!r}",
                    f"{_some(pd.unique(numbers[wrong]))} in rows {_some(table.index[wrong])}",
                    "Correct these rows, or leave them out.",
                )
            return numbers
        assert self.classes is not None  # a categoric outcome has classes
        codes = pd.Index(self._known).get_indexer(pd.Index(np.asarray(values, dtype=object)))
        if (codes < 0).any():
            unknown = list(pd.unique(np.asarray(values, dtype=object)[codes < 0]))
            raise DataError(
                f"classes of {self.component.name!r} among {_some(self._known)}",
                f"{_some(unknown)} in rows {_some(table.index[codes < 0])}",
                "Correct these rows, or leave them out.",
            )
        reference = getattr(self.component, "reference", None)
        if reference is not None:
            return (codes == self._known.index(reference)).astype(np.int64)
        return np.asarray([self.classes.index(level) for level in self._known], dtype=np.int64)[codes]

    @property
    def columns(self) -> tuple[str, ...]:
        """Columns of the table that it is made of."""
        return tuple(sorted(name for name in self.component.var_names if name))

    @property
    def _known(self) -> list:
        return list(self.component.levels)


@dataclass(frozen=True, eq=False)
class Design:
    """Everything needed to make rows of a Bambi model from a table; it travels, the `bambi.Model` does not.

    Parameters
    ----------
    formula : str
    pieces : tuple of Piece
    response : Response
    columns : tuple of str
        Columns that the predictors are made of.
    numeric : tuple of str
        Those of them that held numbers in training.
    """

    formula: str
    pieces: tuple[Piece, ...]
    response: Response
    columns: tuple[str, ...]
    numeric: tuple[str, ...]

    def arrays(self, table: pd.DataFrame) -> dict[str, np.ndarray]:
        """Arrays of the PyMC model by name; the outcome is among them where the table has it.

        Raises
        ------
        DataError
            If a column or a value is missing, or a level was not seen in training.
        """
        self._refuse_missing(table)
        for name in self.numeric:
            _as_numbers(table[name], name, table)
        for piece in self.pieces:
            for component in _components(piece.terms):
                _refuse_unseen(component, table)
        arrays = {}
        for piece in self.pieces:
            array = piece.evaluate(table)
            if not np.isfinite(array).all():
                bad = ~np.isfinite(array).reshape(len(array), -1).all(axis=1)
                raise DataError(
                    f"finite values of {piece.name}",
                    f"nan or infinity in rows {_some(table.index[bad])}",
                    "Correct these rows, or leave them out.",
                )
            arrays[piece.name] = array
        if set(self.response.columns) <= set(table.columns):
            arrays[self.response.name] = self.response.evaluate(table)
        return arrays

    def _refuse_missing(self, table: pd.DataFrame) -> None:
        absent = [name for name in self.columns if name not in table.columns]
        if absent:
            raise DataError(
                f"the columns {_some(self.columns, 8)} of the formula {self.formula!r}",
                f"a table without {_some(absent, 8)}",
                "Pass a table with the training table's columns.",
            )
        outcome = [name for name in self.response.columns if name in table.columns]
        used = table[[*dict.fromkeys([*self.columns, *outcome])]]
        holes = used.isna()
        if holes.to_numpy().any():
            columns = [str(name) for name in used.columns[holes.any(axis=0)]]
            raise DataError(
                f"a value in every row of {_some(columns)}",
                f"missing values in rows {_some(table.index[holes.any(axis=1)])}",
                "Fill them in, or leave these rows out.",
            )


def design_of(model: Any, table: pd.DataFrame) -> Design:
    """Recipe of a built `bambi.Model`, with every transform frozen at its training constants.

    Parameters
    ----------
    model : bambi.Model
    table : DataFrame
        The training rows, those that Bambi dropped left out.

    Raises
    ------
    UnsupportedModelError
        If the model has parts that cannot be made for new rows: HSGP terms, weighted, censored, truncated or
        several-column outcomes, or a transform that forgets its training constants.
    """
    pieces: list[Piece] = []
    inside: list[np.ndarray] = []
    for backend in model.backend.distributional_components.values():
        for piece, array in _pieces(backend, centred=backend.has_intercept and model.center_predictors):
            pieces.append(piece)
            inside.append(array)
    used = set().union(*(term.var_names for piece in pieces for term in piece.terms))
    columns = tuple(str(name) for name in table.columns if name in used)
    numeric = tuple(name for name in columns if pd.api.types.is_numeric_dtype(table[name]))
    design = Design(str(model.formula.main), tuple(pieces), _response_of(model), columns, numeric)
    rebuilt = design.arrays(table)
    outcome = np.asarray(model.response_term.data)
    for name, array in [
        *((p.name, a) for p, a in zip(pieces, inside, strict=True)),
        (design.response.name, outcome),
    ]:
        if rebuilt[name].shape != array.shape or not np.allclose(rebuilt[name], array, rtol=1e-10, atol=1e-12):
            _unsupported(f"{name!r}, which comes out differently when the training rows are handed in again")
    return design


def _pieces(backend: Any, *, centred: bool) -> Iterator[tuple[Piece, np.ndarray]]:
    """Pieces of one linear predictor, each with the array that is inside the PyMC model."""
    component = backend.component
    prefix = f"{component.prefix}: " if component.prefix else ""
    if component.hsgp_terms:
        _unsupported(f"the HSGP terms {_some(component.hsgp_terms)}")
    if component.common_terms:
        terms = tuple(_travelling(term.term) for term in component.common_terms.values())
        data = np.column_stack([term.data for term in component.common_terms.values()])
        shift = data.mean(axis=0) if centred else np.zeros(data.shape[1])
        yield CommonColumns(f"{prefix}predictors", terms, shift), data - shift
    for offset in component.offset_terms.values():
        yield Column(f"{prefix}{offset.name}", (_travelling(offset.term),), ()), offset.data.squeeze()
    for group in component.group_specific_terms.values():
        name = f"{prefix}{group.term.name}"
        yield GroupIndex(f"{name}: group", (_travelling(group.term.factor),)), group.group_index
        if not hasattr(group.term.expr, "components"):
            continue  # an intercept: the model multiplies by one, whatever the row
        effect = np.asarray(group.predictor)
        yield Column(f"{name}: effect", (_travelling(group.term.expr),), effect.shape[1:]), effect


def _response_of(model: Any) -> Response:
    term = model.response_term
    special = [kind for kind in ("censored", "constrained", "truncated", "weighted") if getattr(term, f"is_{kind}")]
    if special or np.ndim(term.data) != 1 or len(term.term.components) != 1:
        _unsupported(f"the outcome {term.name!r}{f' ({special[0]})' if special else ' of several columns'}")
    component = _component_travelling(term.term.components[0])
    return Response(str(term.alias or term.name), component, _classes(model, component))


def _classes(model: Any, component: Any) -> tuple | None:
    """Class names in the order of their codes; Bambi's success level has code 1."""
    term = model.response_term
    if not term.categorical:
        if model.family.name != "bernoulli":
            return None
        return (False, True) if pd.Series(model.data[component.name]).dtype == bool else (0, 1)
    if model.family.name != "bernoulli":
        return tuple(term.levels)
    others = [level for level in component.levels if level != term.success]
    return (others[0] if len(others) == 1 else f"not {term.success}", term.success)


def _travelling(term: Any) -> Any:
    """Copy of a formulae term that holds only the names it needs, not the namespace it was written in."""
    if not hasattr(term, "components"):
        return term  # an intercept
    clone = copy.copy(term)
    clone.components = [_component_travelling(component) for component in term.components]
    return clone


def _component_travelling(component: Any) -> Any:
    if not isinstance(component, Call):
        return component
    clone = copy.copy(component)
    needed = {name: component.env.namespace[name] for name in _names(component.call) if name in component.env.namespace}
    clone.env = Environment([needed])
    return clone


def _names(lazy: Any) -> Iterator[str]:
    """Names that a call looks up: functions (``np`` of ``np.log``) and variables."""
    if isinstance(lazy, LazyCall):
        yield lazy.callee.split(".")[0]
        for argument in [*lazy.args, *lazy.kwargs.values()]:
            yield from _names(argument)
    elif isinstance(lazy, LazyVariable):
        yield lazy.name
    else:
        for argument in getattr(lazy, "args", ()):
            yield from _names(argument)


def _components(terms: tuple[Any, ...]) -> Iterator[Any]:
    for term in terms:
        yield from getattr(term, "components", ())


def _refuse_unseen(component: Any, table: pd.DataFrame) -> None:
    if component.kind != "categoric":
        return
    values = pd.Series(np.asarray(_values(component, table), dtype=object), index=table.index)
    unseen = ~values.isin(component.levels)
    if unseen.any():
        raise DataError(
            f"levels of {component.name!r} seen in training: {_some(component.levels, 12)}",
            f"{_some(pd.unique(values[unseen]))} in rows {_some(table.index[unseen])}",
            "Leave these rows out, or train on rows that have the level.",
        )


def _values(component: Any, table: pd.DataFrame) -> Any:
    """Values of a formula's variable or call, before they are coded."""
    if not isinstance(component, Call):
        return table[component.name]
    values = component.call.eval(table, component.env)
    return values.data if isinstance(values, CategoricalBox) else values


def _numbers(term: Any, table: pd.DataFrame) -> np.ndarray:
    return np.asarray(term.eval_new_data(table), dtype=float)


def _as_numbers(values: Any, name: str, table: pd.DataFrame) -> np.ndarray:
    array = np.asarray(values)
    if array.dtype.kind in "iufb":
        return array
    numbers = pd.to_numeric(pd.Series(array, index=table.index), errors="coerce")
    if numbers.isna().any():
        raise DataError(
            f"numbers in the column {name!r}",
            f"{_some(np.asarray(array, dtype=object)[numbers.isna()])} in rows {_some(table.index[numbers.isna()])}",
            "Correct these rows, or leave them out.",
        )
    return numbers.to_numpy()


def _unsupported(what: str) -> None:
    raise UnsupportedModelError(
        "common terms, group-specific terms and offsets, and an outcome of one column",
        what,
        "Write the model in PyMC and pass it to from_pymc.",
    )


def _some(values: Any, count: int = 4) -> str:
    listed = list(values)
    shown = ", ".join(repr(v.item() if isinstance(v, np.generic) else v) for v in listed[:count])
    return shown if len(listed) <= count else f"{shown} and {len(listed) - count} more"
