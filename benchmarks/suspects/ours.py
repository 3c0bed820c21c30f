"""The library's suspects and causes, as a user gets them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

import bayesrepair as br
from bayesrepair.posterior import Draws
from benchmarks.suspects.base import Base
from benchmarks.suspects.models import problem


@dataclass(frozen=True)
class Ours:
    """A way to use the library.

    Parameters
    ----------
    run : callable
        Gives ``score``, high = suspicious, and what else is to be tabulated.
    serves : callable
        Whether it is measured for a kind of net (empty: logistic regression).
    """

    run: Callable[[Base], dict[str, Any]]
    serves: Callable[[str], bool] = lambda net: True


def _suspects(
    *, trusted: bool = False, basis: str = "features", laplace: bool = False, noise: Any = "auto"
) -> Callable:
    def run(base: Base) -> dict[str, Any]:
        some = problem(base, basis=basis, laplace=laplace)
        known = some.test.at(base.trusted) if trusted else None
        suspects = br.find_suspects(some.fit, trusted=known, noise=noise, random_seed=base.cell.seed)
        return _told(suspects, some.fit, int(base.cell.planted.sum()))

    return run


def _told(suspects: br.Suspects, plain: br.Fit, k: int) -> dict[str, Any]:
    """What is kept of suspects, in the order of the rows."""
    prob = suspects.frame()["prob_wrong"].reindex(plain.rows.index).to_numpy()
    precision, count = suspects.expected_precision(k), suspects.expected_count
    sampling = plain.posterior.sampling if isinstance(plain.posterior, Draws) else None
    return {
        "score": prob,
        "prob": prob,
        "precision_mean": precision.mean,
        "precision_low": precision.low,
        "precision_high": precision.high,
        "count_mean": count.mean,
        "count_low": count.low,
        "count_high": count.high,
        "status": suspects.status.level,
        "why": str(suspects.status),
        "rhat": suspects.rhat,
        "ess": suspects.ess,
        "sampling_seconds": suspects.seconds,
        "plain_seconds": np.nan if sampling is None else sampling.seconds,
    }


def _surprise(base: Base) -> dict[str, Any]:
    """PSIS-LOO surprise of the plain fit: the Bayesian form of an out-of-fold loss."""
    from bayesrepair.suspicion import surprise

    some = problem(base)
    return {"score": surprise(some.fit, some.fit.rows)}


def _causes(base: Base) -> dict[str, Any]:
    """First-order causes of the failures that may be used."""
    some = problem(base)
    failures = some.test.at(base.halves["F_q"])
    causes = br.find_causes(some.fit, failures, progressbar=False, random_seed=base.cell.seed)
    return {"score": causes.frame()["score"].reindex(some.fit.rows.index).to_numpy()}


OURS: dict[str, Ours] = {
    "ours": Ours(_suspects()),
    "ours [V]": Ours(_suspects(trusted=True)),
    "surprise": Ours(_surprise),
    "causes [Fq]": Ours(_causes),
    "ours, Laplace": Ours(_suspects(laplace=True), serves=lambda net: not net),
    "ours, Fourier": Ours(_suspects(basis="fourier"), serves=lambda net: net == "mlp"),
    "ours, Fourier [V]": Ours(_suspects(basis="fourier", trusted=True), serves=lambda net: net == "mlp"),
}
