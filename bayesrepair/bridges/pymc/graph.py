"""The symbolic pieces of a PyMC model, with its rows laid open as inputs."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from pytensor.graph.basic import Variable

from bayesrepair.model import Outcome

Regime = Literal["dynamic", "static"]


@dataclass(frozen=True, eq=False)
class RowInput:
    """One row-aligned array of a model.

    Parameters
    ----------
    name : str
        Name of the array in `Rows`.
    training : array, shape (N, ...)
        Its values in the model, row axis first.
    aliases : tuple of str
        Other names under which a user may hand it in (the `pm.Data` of an outcome, for instance).
    columns : tuple of str
        Columns of the user's table that it was recognised in; several make a matrix.
    levels : tuple, optional
        The user's own labels in the order of the integer codes, where the codes were recognised in a column.
    span : tuple of int, optional
        Smallest and largest integer allowed where the array indexes a parameter.
    conflicting : bool
        Whether the user's table has a column of this name with other values (scaled outside the model, perhaps).
    """

    name: str
    training: np.ndarray
    aliases: tuple[str, ...] = ()
    columns: tuple[str, ...] = ()
    levels: tuple | None = None
    span: tuple[int, int] | None = None
    conflicting: bool = False

    @property
    def tail(self) -> tuple[int, ...]:
        """Shape of one row."""
        return self.training.shape[1:]


@dataclass(frozen=True, eq=False)
class RowGraph:
    """Expressions independent of the user's model object, which is never written.

    Flattened and concatenated in order, ``value_vars`` are theta, shape (P,). None of the expressions holds a shared
    variable: what was shared but is not row-aligned is frozen at its value when the graph was made.

    Parameters
    ----------
    value_vars : tuple of Variable
        Unconstrained values, in the order of ``model.value_vars`` and with their names.
    shapes : tuple of tuple of int
        Shape of each value.
    initial : array, shape (P,)
        The model's initial point.
    inputs : dict of str to Variable
        Row-aligned arrays, row axis first, by array name; the observed outcomes included.
    sources : dict of str to RowInput
        What each input is called, holds and allows.
    position : Variable
        Position of each row among the training rows, int64 (n,); it also carries the number of rows, so a
        function needs it even where no free variable has one value for each row.
    log_prior : Variable
        Scalar: priors, Jacobians and Potentials.
    log_lik : Variable
        (n,), of ``value_vars``, ``inputs`` and ``position``.
    predicted : Variable or None
        (n, K) class probabilities or mean of the outcome; None where the mean has no closed graph.
    draw : Variable
        One outcome for each row, (n,) or (n, D); random.
    constrained : dict of str to Variable
        Free variables, and Deterministics that are not row-wide, of ``value_vars``.
    regime : {"dynamic", "static"}
        Whether any number of rows can be handed in, or exactly ``n_rows`` at a time (shorter blocks are padded).
    n_rows : int
        Number of training rows N.
    row_ids : array, shape (N,)
    outcome : Outcome
    observed : tuple of str
        Names of all observed variables that the likelihood sums; the outcome is one of them.
    latents : tuple of str
        Free variables with one value for each training row; new rows are refused where there are any.
    discrete : tuple of str
        Discrete free variables; gradients are refused where there are any.
    log_prior_terms : dict of str to Variable
        Log prior of each free variable on its own scale, without the Jacobian.
    sampled_log_lik : Variable, optional
        The same as ``log_lik``, in operations that only numba compiles; what is sampled where it is there.
    """

    value_vars: tuple[Variable, ...]
    shapes: tuple[tuple[int, ...], ...]
    initial: np.ndarray
    inputs: dict[str, Variable]
    sources: dict[str, RowInput]
    position: Variable
    log_prior: Variable
    log_lik: Variable
    predicted: Variable | None
    draw: Variable
    constrained: dict[str, Variable]
    regime: Regime
    n_rows: int
    row_ids: np.ndarray
    outcome: Outcome
    observed: tuple[str, ...]
    latents: tuple[str, ...]
    discrete: tuple[str, ...]
    log_prior_terms: dict[str, Variable] = field(default_factory=dict)
    sampled_log_lik: Variable | None = None
