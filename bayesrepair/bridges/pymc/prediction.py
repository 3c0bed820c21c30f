"""What a model predicts for a row: class probabilities, or the mean of the outcome."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pymc as pm
import pytensor.tensor as pt
from pymc.distributions.moments import mean as moment_mean
from pymc.exceptions import UndefinedMomentException
from pytensor.graph.basic import Constant, Variable
from pytensor.tensor.random.basic import BernoulliRV, BinomialRV, CategoricalRV, CauchyRV

from bayesrepair.bridges.pymc.graph import RowInput
from bayesrepair.model import Outcome


def n_classes(rv: Any, evaluate: Callable[[Variable], np.ndarray]) -> int | None:
    """Number of classes of a categorical outcome; None for counts and continuous outcomes."""
    op = rv.owner.op
    if rv.type.ndim != 1:
        return None
    if isinstance(op, BernoulliRV):
        return 2
    if isinstance(op, BinomialRV):
        trials = op.dist_params(rv.owner)[0]
        return 2 if _all_one(trials) else None
    if isinstance(op, CategoricalRV):
        p: Any = op.dist_params(rv.owner)[0]
        known = p.type.shape[-1]
        return int(evaluate(p.shape[-1])) if known is None else known
    return None


def _all_one(trials: Variable) -> bool:
    while trials.owner is not None and len(trials.owner.inputs) == 1:
        trials = trials.owner.inputs[0]
    return isinstance(trials, Constant) and bool((np.asarray(trials.data) == 1).all())


def class_probabilities(rv: Any, classes: int, n: Variable) -> Variable:
    """(n, K), from the distribution's own log density, so that no probability cancels to zero."""
    op = rv.owner.op
    if isinstance(op, CategoricalRV):
        [p] = op.dist_params(rv.owner)
        return p + pt.zeros((n, 1))
    columns = [pt.exp(pm.logp(rv, pt.full((n,), k, dtype=rv.dtype))) for k in range(classes)]
    return pt.stack(columns, axis=-1)


def closed_mean(rv: Any, n: Variable) -> Variable | None:
    """(n, K) mean of the outcome; the centre of a Cauchy, which has no mean; None without a closed form."""
    op = rv.owner.op
    if isinstance(op, CauchyRV):
        centre = op.dist_params(rv.owner)[0] + pt.zeros(n)
    else:
        try:
            centre = moment_mean(rv)
        except (NotImplementedError, UndefinedMomentException):
            return None
    centre = pt.as_tensor(centre).astype("float64")
    if centre.type.ndim == 1:
        return centre[:, None]
    return centre.reshape((n, -1))


def outcome_of(source: RowInput, rv: Any, classes: int | None, labels: tuple | None) -> Outcome:
    """Name, kind and classes of the outcome."""
    if classes is not None:
        known = [names for names in (source.levels, labels) if names is not None and len(names) == classes]
        return Outcome(source.name, "class", tuple(known[0]) if known else tuple(range(classes)))
    kind = "continuous" if np.dtype(rv.dtype).kind == "f" else "count"
    return Outcome(source.name, kind)  # type: ignore[arg-type]
