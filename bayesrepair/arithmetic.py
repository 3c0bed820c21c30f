"""How log-likelihoods are computed where many rows are scored, and what that is worth."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol, runtime_checkable

import numpy as np

from bayesrepair.model import Model
from bayesrepair.rows import Rows

Precision = Literal["double", "single"]
PRECISIONS = ("double", "single")
KERNELS, MOMENTS = "kernels", "moments"


@dataclass(frozen=True)
class SingleError:
    """What scores in single precision differ by from those in double precision, in Monte Carlo errors (``mcse``).

    Parameters
    ----------
    rows : int
        How many were scored both ways.
    median, largest : float

    Examples
    --------
    >>> print(SingleError(256, 0.0001, 0.002))  # doctest: +ELLIPSIS
    scores differ from double precision by 0.0001 (median) and at most 0.002 of their Monte Carlo error, measured on ...
    """

    rows: int
    median: float
    largest: float

    def __str__(self) -> str:
        return (
            f"scores differ from double precision by {self.median:.1g} (median) and at most {self.largest:.1g} "
            f"of their Monte Carlo error, measured on {self.rows} rows"
        )


@dataclass(frozen=True)
class Arithmetic:
    """What computes the log-likelihoods of a pass over many rows, and in which precision.

    Parameters
    ----------
    backend : str
        ``"model"``: the model's own function. Of PyMC models: ``"kernels"`` (a recognised likelihood), ``"moments"``
        (the same, with scores of a normal likelihood from second moments of the draws), ``"NUMPY"`` (the general graph
        by NumPy), ``"LOOPS"`` (the same, with compiled loops), or PyTensor's ``"C"``, ``"NUMBA"`` or ``"JAX"``.
    precision : {"double", "single"}
        Of the log-likelihoods; sums over draws are in double precision.
    speeds : mapping of str to str
        What was tried on one block to choose the backend, and how it did; empty where nothing was.
    error : SingleError, optional
        Measured, where the precision is single.

    Examples
    --------
    >>> print(Arithmetic("NUMPY"))
    log-likelihoods by NUMPY in double precision
    """

    backend: str = "model"
    precision: Precision = "double"
    speeds: Mapping[str, str] = field(default_factory=dict)
    error: SingleError | None = None

    def __str__(self) -> str:
        by = "the model's own function" if self.backend == "model" else self.backend
        text = f"log-likelihoods by {by} in {self.precision} precision"
        tried = "; ".join(f"{name} {speed}" for name, speed in self.speeds.items())
        text = f"{text} (one block: {tried})" if tried else text
        return f"{text}; {self.error}" if self.error is not None else text

    @property
    def concurrent(self) -> bool:
        """Whether several threads may do it at once: kernels leave Python alone while they run."""
        return self.backend in (KERNELS, MOMENTS)

    @property
    def identity(self) -> str:
        """What the bits of a result depend on, without what was measured."""
        return f"{self.backend}, {self.precision}"


@runtime_checkable
class Scoring(Protocol):
    """A model that can be made ready for a pass over many rows."""

    def for_scoring(
        self, theta: np.ndarray, rows: Rows, *, cells: int, precision: Precision, backend: str
    ) -> tuple[Model, Arithmetic]:
        """The model that computes them, and how; this one stays as it is.

        Parameters
        ----------
        theta : array, shape (S, P)
            Draws that it will be asked for.
        rows : Rows
            Some of the rows.
        cells : int
            Draws × rows of the whole pass.
        precision : {"double", "single"}
        backend : str
            Which one to take; empty to have it chosen.
        """
        ...


@runtime_checkable
class Summing(Protocol):
    """A model that may know weighted sums over the draws without their terms."""

    def log_lik_moments(self, theta: np.ndarray, rows: Rows) -> Any | None:
        """What ``A @`` multiplies in place of the pointwise log-likelihood (S, N); None where it knows nothing."""
        ...
