"""What a result is worth (`Status`), and every exception and warning of the library."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Level = Literal["ok", "checked", "unreliable"]


@dataclass(frozen=True)
class Status:
    """How far an edited posterior can be trusted.

    Parameters
    ----------
    level : {"ok", "checked", "unreliable"}
        ``ok``: the importance weights (if any) are reliable *and* a check that does not reuse them passes.
        ``checked``: the weights are poor, or the modes uncertain, yet the check passes.
        ``unreliable``: the check fails, or nothing vouches for the result.
        Of a Gaussian: ``checked`` where it is the Laplace approximation that a refit would give, yet poor as a
        posterior; ``ok`` where it is good as one too.
    message : str
        What was seen, in one sentence.
    remedy : str
        What to do next; empty when nothing needs doing.

    Examples
    --------
    >>> print(Status("ok", "k-hat 0.21, the check passes"))
    ok: k-hat 0.21, the check passes
    """

    level: Level
    message: str
    remedy: str = ""

    def __str__(self) -> str:
        text = f"{self.level}: {self.message}"
        return f"{text}. {self.remedy}" if self.remedy else text


class BayesRepairError(Exception):
    """Base of every error raised on purpose: what was expected, what was found, what to do next.

    Parameters
    ----------
    expected, got, remedy : str
        The three parts of the message.

    Examples
    --------
    >>> print(DataError("a column 'y'", "columns 'a', 'b'", "Pass target='a' or target='b'."))
    expected a column 'y'; got columns 'a', 'b'. Pass target='a' or target='b'.
    """

    def __init__(self, expected: str, got: str, remedy: str = "") -> None:
        self.expected, self.got, self.remedy = expected, got, remedy
        text = f"expected {expected}; got {got}."
        super().__init__(f"{text} {remedy}" if remedy else text)

    def __reduce__(self) -> tuple[type[BayesRepairError], tuple[str, str, str]]:
        return type(self), (self.expected, self.got, self.remedy)


class DataError(BayesRepairError, ValueError):
    """The rows, labels or columns handed in cannot be used as they are."""


class MissingDataError(DataError):
    """A public data set is neither on this machine nor to be had; the message names file and checksum."""


class EditError(BayesRepairError, ValueError):
    """The edit asked for is not defined: a row deleted twice, an empty result, a non-finite density."""


class UnsupportedModelError(BayesRepairError, TypeError):
    """The model lies outside what the library can edit soundly; the message names the part that does."""


class MethodError(BayesRepairError, ValueError):
    """An unknown method, or one that does not apply to this posterior or model."""


class MissingExtraError(BayesRepairError, ImportError):
    """An optional dependency is needed; the message holds the line that installs it."""


class LedgerError(BayesRepairError, RuntimeError):
    """A ledger belongs to another fit, is at work in another process, or cannot repeat what it recorded."""


class SamplingInterrupted(KeyboardInterrupt):
    """Sampling stopped early and returned fewer draws than asked; the draws are never used."""


class ScoringInterrupted(KeyboardInterrupt):
    """Scoring stopped early; what was done is kept, and the message says how to go on."""


class BayesRepairWarning(UserWarning):
    """Base of the library's warnings."""


class SamplingWarning(BayesRepairWarning):
    """The draws themselves are doubtful: divergences, or chains that disagree."""


class PriorWarning(BayesRepairWarning):
    """The prior is improper, so that deleting rows can leave no posterior."""


class NumericsWarning(BayesRepairWarning):
    """A computation needed help (jitter, damping); the message names the amount."""


class RepairWarning(BayesRepairWarning):
    """A repair that can mislead: relabelling with the model's own suggestion, for instance."""
