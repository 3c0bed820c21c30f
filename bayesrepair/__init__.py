"""bayesrepair: find the training records behind a Bayesian model's failures, and take them out of the posterior.

From a fitted model to ranked causes in five lines::

    fit = br.from_pymc(model, idata)
    failures = br.find_failures(fit, holdout)
    causes = br.find_causes(fit, failures)
    repaired = br.repair(fit, causes.top(20))
    br.report(repaired, "report.html")
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from bayesrepair import editors
from bayesrepair.causes import Causes, find_causes
from bayesrepair.choice import Choice, choose_top, cross_fitted_top
from bayesrepair.edit import Edited, edit
from bayesrepair.failures import Failures, find_failures
from bayesrepair.fit import Factor, Fit
from bayesrepair.ledger import Ledger
from bayesrepair.receipt import Receipt, receipt
from bayesrepair.repairs import repair
from bayesrepair.rows import Rows
from bayesrepair.set_search import SetSearch
from bayesrepair.status import Status
from bayesrepair.suspects import PooledSuspects, Suspects, find_suspects, pool_suspects
from bayesrepair.verification import Verification, verify

if TYPE_CHECKING:
    from bayesrepair import datasets, evaluation, oracles
    from bayesrepair.auditor import LabelAuditor
    from bayesrepair.bridges.bambi import from_bambi
    from bayesrepair.bridges.pymc import from_pymc
    from bayesrepair.cross_fitting import suspects_from_classifier
    from bayesrepair.pred_probs import suspects_from_predictions
    from bayesrepair.rehearsal import Rehearsal, rehearse
    from bayesrepair.reporting import report
    from bayesrepair.tables import from_table

__version__ = "0.1.0"

# What is heavy loads on first use: importing the package starts no compiler, and brings no statistics or plots along.
_LAZY = {
    "from_pymc": "bayesrepair.bridges.pymc",
    "from_bambi": "bayesrepair.bridges.bambi",
    "from_table": "bayesrepair.tables",
    "LabelAuditor": "bayesrepair.auditor",
    "suspects_from_predictions": "bayesrepair.pred_probs",
    "suspects_from_classifier": "bayesrepair.cross_fitting",
    "rehearse": "bayesrepair.rehearsal",
    "Rehearsal": "bayesrepair.rehearsal",
    "report": "bayesrepair.reporting",
    "datasets": "bayesrepair.datasets",
    "evaluation": "bayesrepair.evaluation",
    "oracles": "bayesrepair.oracles",
}

__all__ = [  # noqa: RUF022 - grouped by stage
    # a fit
    "from_pymc",
    "from_bambi",
    "from_table",
    "Fit",
    "Rows",
    # failures and causes
    "find_failures",
    "Failures",
    "find_causes",
    "Causes",
    "SetSearch",
    "choose_top",
    "cross_fitted_top",
    "Choice",
    # wrong labels
    "find_suspects",
    "Suspects",
    "suspects_from_predictions",
    "suspects_from_classifier",
    "pool_suspects",
    "PooledSuspects",
    "LabelAuditor",
    "rehearse",
    "Rehearsal",
    # repair
    "repair",
    "edit",
    "Factor",
    "Edited",
    "Status",
    # proof
    "verify",
    "Verification",
    "receipt",
    "Receipt",
    "Ledger",
    "report",
    # beside it
    "datasets",
    "editors",
    "evaluation",
    "oracles",
]


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module 'bayesrepair' has no attribute {name!r}")
    module = import_module(_LAZY[name])
    return module if _LAZY[name] == f"bayesrepair.{name}" else getattr(module, name)


def __dir__() -> list[str]:
    return sorted([*__all__, "__version__"])
