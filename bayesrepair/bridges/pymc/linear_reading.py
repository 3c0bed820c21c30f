"""Linear predictors read off a graph: a sum of terms, each a known array of the rows times unknown coefficients.

What is recognised: ``X @ b`` and ``(X * b).sum(-1)``, columns times scalars, ``b[group]`` and ``column * b[group]``,
intercepts, offsets, and sums, differences and multiples of these; with one predictor a row, or (for a softmax) K of
them. The coefficients may be any expression of the parameters that does not depend on the rows.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from functools import reduce
from typing import Any

import pytensor.tensor as pt
from pytensor.compile.builders import OpFromGraph
from pytensor.compile.ops import ViewOp
from pytensor.compile.rewriting import inline_ofg_node
from pytensor.graph.basic import Variable
from pytensor.graph.traversal import ancestors
from pytensor.scalar import basic as ps
from pytensor.tensor.basic import Alloc, ARange, Join
from pytensor.tensor.blockwise import Blockwise
from pytensor.tensor.elemwise import DimShuffle, Elemwise
from pytensor.tensor.math import Dot, Sum
from pytensor.tensor.shape import SpecifyShape
from pytensor.tensor.subtensor import AdvancedSubtensor, Subtensor, indices_from_subtensor


class NotLinearError(Exception):
    """The graph is no sum of recognised terms; the message says where it stops being one."""


@dataclass(frozen=True, eq=False)
class Term:
    """``known · coefficient``; K is absent from all shapes where a row has one predictor.

    Parameters
    ----------
    coefficient : Variable or None
        (d,) or (d, K) of columns, (G,) or (G, K) of groups; None for an offset.
    known : Variable or None
        (n, d) columns; (n,) factor of a group term, or None; (n,) or (n, K) offset.
    index : Variable or None
        (n,) group of each row.
    classes : slice
        Which of the K predictors it is a part of.
    """

    coefficient: Any
    known: Any
    index: Any = None
    classes: slice = slice(None)


@dataclass(eq=False)
class LinearReader:
    """Reads graphs of value variables and row inputs.

    Parameters
    ----------
    unknown : collection of Variable
        What holds parameters.
    rows : collection of Variable
        What has a row axis.
    """

    unknown: Collection[Variable]
    rows: Collection[Variable]

    def of_rows(self, variable: Variable) -> bool:
        """Whether a graph depends on the rows, if only on their number."""
        return not set(self.rows).isdisjoint(ancestors([variable]))

    def of_parameters(self, variable: Variable) -> bool:
        """Whether a graph depends on the parameters."""
        return not set(self.unknown).isdisjoint(ancestors([variable]))

    def mixed(self, variable: Variable) -> bool:
        """Whether a graph depends on both."""
        return self.of_rows(variable) and self.of_parameters(variable)

    def scalar(self, variable: Any) -> Any:
        """A parameter without rows as a graph without axes.

        Raises
        ------
        NotLinearError
            If it varies over rows.
        """
        if self.of_rows(variable) or not all(variable.type.broadcastable):
            raise NotLinearError(f"a parameter of the outcome that varies over rows ({_what(variable)})")
        return variable if variable.type.ndim == 0 else variable.reshape(())

    def terms(self, variable: Any) -> list[Term]:
        """Terms whose sum is the graph, rows first: (n,) or (n, K).

        Raises
        ------
        NotLinearError
            If an operation is none of those recognised.
        """
        if not self.of_parameters(variable):
            return [Term(None, variable)]
        if not self.of_rows(variable):
            if not variable.type.broadcastable[0]:
                raise NotLinearError(f"parameters with an axis of fixed length in place of rows ({_what(variable)})")
            return [Term(variable, None)]
        node, op = variable.owner, variable.owner.op
        if isinstance(op, ViewOp | SpecifyShape):
            return self.terms(node.inputs[0])
        if isinstance(op, OpFromGraph):
            inner: Any = inline_ofg_node(node)
            return self.terms(inner[node.outputs.index(variable)])
        for kind, read in (
            (Elemwise, self._elementwise),
            (Dot | Blockwise, self._product),
            (DimShuffle, self._reshaped),
            (AdvancedSubtensor, self._looked_up),
            (Subtensor, self._column),
            (Sum, self._summed),
            (Join, self._joined),
            (Alloc, self._repeated),
        ):
            if isinstance(op, kind):
                return read(variable)
        raise NotLinearError(_what(variable))

    def _elementwise(self, variable: Any) -> list[Term]:
        inputs, kind = variable.owner.inputs, type(variable.owner.op.scalar_op)
        if kind in (ps.Identity, ps.Cast):
            return self.terms(inputs[0])
        if kind is ps.Add:
            return [term for part in inputs for term in self.terms(part)]
        if kind is ps.Sub:
            return self.terms(inputs[0]) + [_scaled(term, pt.constant(-1.0)) for term in self.terms(inputs[1])]
        if kind is ps.Neg:
            return [_scaled(term, pt.constant(-1.0)) for term in self.terms(inputs[0])]
        if kind is ps.Mul:
            return self._multiplied(inputs)
        if kind is ps.TrueDiv and not self.mixed(inputs[1]):
            return self._multiplied([inputs[0], pt.reciprocal(inputs[1])])
        raise NotLinearError(_what(variable))

    def _multiplied(self, factors: Sequence[Any]) -> list[Term]:
        mixed = [f for f in factors if self.mixed(f)]
        known = [f for f in factors if self.of_rows(f) and not self.of_parameters(f)]
        unknown = [f for f in factors if not self.of_rows(f)]
        if len(mixed) > 1:
            raise NotLinearError("a product of two expressions of rows and parameters")
        terms = self.terms(mixed[0]) if mixed else [Term(None, reduce(pt.mul, known))]
        for factor in known if mixed else ():
            terms = [self._weighted(term, factor) for term in terms]
        for factor in unknown:
            if factor.type.ndim and not factor.type.broadcastable[0]:
                raise NotLinearError(f"parameters with an axis of fixed length in place of rows ({_what(factor)})")
            terms = [self._times(term, factor) for term in terms]
        return terms

    def _times(self, term: Term, factor: Any) -> Term:
        """A term times something of the parameters alone, with a row axis of length one."""
        if term.coefficient is not None:
            return _scaled(term, factor)
        if term.known.type.ndim == 2 and not term.known.type.broadcastable[1]:
            raise NotLinearError("a matrix of the rows that multiplies parameters class by class")
        column = term.known if term.known.type.ndim == 2 else term.known[:, None]
        return Term(factor if factor.type.ndim else factor[None], column)

    def _weighted(self, term: Term, factor: Any) -> Term:
        """A term times something of the rows alone."""
        if factor.type.ndim == 2:
            if not factor.type.broadcastable[1]:
                raise NotLinearError("a matrix of the rows that multiplies parameters class by class")
            factor = factor[:, 0]
        if term.coefficient is None:
            return replace(term, known=term.known * (factor if term.known.type.ndim == 1 else factor[:, None]))
        if term.known is None:
            return replace(term, known=factor if term.index is not None else factor[:, None])
        return replace(term, known=term.known * (factor if term.index is not None else factor[:, None]))

    def _product(self, variable: Any) -> list[Term]:
        op = variable.owner.op
        if isinstance(op, Blockwise) and not isinstance(op.core_op, Dot):
            raise NotLinearError(_what(variable))
        left, right = variable.owner.inputs
        if left.type.ndim != 2 or self.of_parameters(left) or self.of_rows(right):
            raise NotLinearError(f"a product that is not rows times parameters ({_what(variable)})")
        return [Term(right, left)]

    def _reshaped(self, variable: Any) -> list[Term]:
        [inner] = variable.owner.inputs
        order = tuple(variable.owner.op.new_order)
        if inner.type.ndim == 2 and order == (1,) and _is_product(inner):
            left, right = inner.owner.inputs  # parameters times the transposed rows
            if self.of_rows(left) or self.of_parameters(right):
                raise NotLinearError(f"a product that is not rows times parameters ({_what(inner)})")
            return [Term(left[0], right.T)]
        terms = self.terms(inner)
        if order == tuple(range(inner.type.ndim)):
            return terms
        if inner.type.ndim == 2 and order == (0,):
            return [_first(term) for term in terms]
        if inner.type.ndim == 1 and order == (0, "x"):
            return [_widened(term) for term in terms]
        raise NotLinearError(_what(variable))

    def _looked_up(self, variable: Any) -> list[Term]:
        array, *flat = variable.owner.inputs
        index, *rest = indices_from_subtensor(flat, variable.owner.op.idx_list)
        if isinstance(getattr(getattr(index, "owner", None), "op", None), ARange) and self.of_rows(array):
            return self.terms(array)  # rows with an outcome among all rows, when these are the only ones left
        if isinstance(index, slice) or index.type.ndim != 1 or index.type.dtype == "bool":
            raise NotLinearError(_what(variable))
        if self.of_rows(array) or self.of_parameters(index):
            raise NotLinearError(f"a look-up that is not parameters by a group of each row ({_what(variable)})")
        for k in rest:
            if isinstance(k, slice) and k != slice(None):
                raise NotLinearError(_what(variable))
        if any(not isinstance(k, slice) for k in rest):
            array = array[(slice(None), *rest)]
        if array.type.ndim != variable.type.ndim:
            raise NotLinearError(_what(variable))
        return [Term(array, None, index)]

    def _column(self, variable: Any) -> list[Term]:
        array, *flat = variable.owner.inputs
        index = indices_from_subtensor(flat, variable.owner.op.idx_list)
        if array.type.ndim != 2 or len(index) != 2 or index[0] != slice(None):
            raise NotLinearError(_what(variable))
        k = index[1]
        if isinstance(k, slice) or self.of_rows(k) or self.of_parameters(k):
            raise NotLinearError(_what(variable))
        return [_first(term, k) for term in self.terms(array)]

    def _summed(self, variable: Any) -> list[Term]:
        """``(X * b).sum(-1)`` and ``(X * b[group]).sum(-1)``."""
        [inner] = variable.owner.inputs
        if inner.type.ndim != 2 or tuple(variable.owner.op.axis or ()) != (1,):
            raise NotLinearError(_what(variable))
        is_product = isinstance(getattr(inner.owner, "op", None), Elemwise) and type(inner.owner.op.scalar_op) is ps.Mul
        if not is_product:
            raise NotLinearError(f"a sum of something other than a product ({_what(inner)})")
        factors = inner.owner.inputs
        known = [f for f in factors if not self.of_parameters(f)]
        unknown = [f for f in factors if self.of_parameters(f)]
        if len(known) != 1 or len(unknown) != 1:
            raise NotLinearError("a sum over a product of more than two factors")
        X, b = known[0], unknown[0]
        if not self.of_rows(b) and b.type.broadcastable[0] and not X.type.broadcastable[1]:
            return [Term(pt.broadcast_to(b[0], (X.shape[1],)) if b.type.broadcastable[1] else b[0], X)]
        node = b.owner
        width = X.type.shape[1]
        if node is None or not isinstance(node.op, AdvancedSubtensor) or width is None:
            raise NotLinearError(_what(variable))
        [term] = self._looked_up(b)
        return [replace(_first(term, k), known=X[:, k]) for k in range(width)]

    def _joined(self, variable: Any) -> list[Term]:
        """Predictors of several classes side by side; a class may be fixed at zero."""
        parts: list[Any] = list(variable.owner.inputs)
        widths = [part.type.shape[-1] for part in parts]
        if variable.type.ndim != 2 or _join_axis(variable.owner) != 1 or None in widths:
            raise NotLinearError(_what(variable))
        terms, before = [], 0
        for part, width in zip(parts, widths, strict=True):
            for term in self.terms(part):
                if term.classes != slice(None):
                    raise NotLinearError("predictors of classes joined twice")
                terms.append(replace(term, classes=slice(before, before + width)))
            before += width
        return terms

    def _repeated(self, variable: Any) -> list[Term]:
        value, _, *rest = variable.owner.inputs
        if self.of_rows(value) or rest:
            raise NotLinearError(_what(variable))
        if value.type.ndim and not value.type.broadcastable[0]:
            raise NotLinearError(_what(variable))
        return [Term(value if value.type.ndim else value[None], None)]


def _is_product(variable: Any) -> bool:
    op = getattr(variable.owner, "op", None)
    return isinstance(op, Dot) or (isinstance(op, Blockwise) and isinstance(op.core_op, Dot))


def _join_axis(node: Any) -> int | None:
    axis = getattr(node.op, "axis", None)
    return axis % node.outputs[0].type.ndim if isinstance(axis, int) else None


def _scaled(term: Term, factor: Any) -> Term:
    """A term times a number, or times one number a class (1, K)."""
    if factor.type.ndim == 1 and term.coefficient is not None and term.coefficient.type.ndim == 1:
        factor = factor[0]
    if term.coefficient is None:
        return replace(term, known=term.known * factor)
    return replace(term, coefficient=term.coefficient * factor)


def _first(term: Term, k: Any = 0) -> Term:
    """The predictor of one class among several."""
    if term.classes != slice(None):
        raise NotLinearError("one of several predictors that were joined")
    if term.coefficient is None:
        return replace(term, known=term.known[:, k])
    coefficient = term.coefficient
    if coefficient.type.broadcastable[1]:
        owner = coefficient.owner
        added = owner is not None and isinstance(owner.op, DimShuffle) and owner.op.new_order == (0, "x")
        return replace(term, coefficient=owner.inputs[0] if added else coefficient[:, 0])
    return replace(term, coefficient=coefficient[:, k])


def _widened(term: Term) -> Term:
    """A predictor as that of a single class."""
    if term.coefficient is None:
        return replace(term, known=term.known[:, None])
    return replace(term, coefficient=term.coefficient[:, None])


def _what(variable: Any) -> str:
    return str(variable.owner.op) if variable.owner is not None else str(variable)
