"""The densities of right and of wrong numbers, as expressions on a row graph."""

from __future__ import annotations

from dataclasses import dataclass
from functools import reduce
from typing import Any

import numpy as np
import pymc as pm
import pytensor.tensor as pt
from pymc.distributions.transforms import _default_transform
from pymc.logprob.transforms import LogTransform
from pytensor.graph.basic import Variable
from pytensor.tensor.random.basic import (
    BetaBinomialRV,
    BinomialRV,
    CauchyRV,
    GumbelRV,
    LaplaceRV,
    LogisticRV,
    LogNormalRV,
    NormalRV,
    StudentTRV,
)

from bayesrepair.bridges.pymc.graph import RowGraph
from bayesrepair.bridges.pymc.lowering import rebuilt
from bayesrepair.status import UnsupportedModelError

LOCATION_SCALE = (NormalRV, StudentTRV, LaplaceRV, LogisticRV, GumbelRV, CauchyRV, LogNormalRV)  # last two: m and s
HEAVY_TAILED = (StudentTRV, CauchyRV)
TRIALS = (BinomialRV, BetaBinomialRV)
TAIL = 2.0  # how many times as large the deviations of a natural extreme are
LARGEST = 10  # times the largest count: as far as a wrong count may go


@dataclass(frozen=True, eq=False)
class Numbers:
    """The outcome of a row graph, with what its distribution is centred on.

    Parameters
    ----------
    graph : RowGraph
    op : Op
        The distribution.
    value : Variable
        (n,) the given outcome.
    on_log : bool
        Whether deviations are those of the logarithm.
    centre : Variable
        Location m (of the logarithm), or the mean.
    scale : Variable or None
        Scale s; None where the distribution is not of a location and a scale.
    """

    graph: RowGraph
    op: Any
    value: Any
    on_log: bool
    centre: Any
    scale: Any

    @property
    def size(self) -> Any:
        """Shape of one outcome a row."""
        position: Any = self.graph.position  # not the outcome's, which rows to be predicted lack
        return position.shape

    @property
    def deviation(self) -> Any:
        """``y − m``, or ``log y − m``."""
        return (pt.log(self.value) if self.on_log else self.value) - self.centre

    def stretched(self, times: Any) -> Any:
        """(n,) log density of an outcome whose deviations are ``times`` as large as the model's own."""
        inner = self.centre + self.deviation / times
        as_given = pt.exp(inner) if self.on_log else inner
        (log_lik,) = rebuilt([self.graph.log_lik], {self.value: as_given.astype(self.value.dtype)})
        log_lik = log_lik - pt.log(times)
        return log_lik + inner - pt.log(self.value) if self.on_log else log_lik

    def distant(self, median: Any) -> Any:
        """(n,) density (not its logarithm) of an outcome whose distance ``|z|``, in scales, is log-logistic.

        ``q(y) = (3 / 2 d s) r² / (1 + r³)²``, ``r = |z| / d``.
        """
        r = abs(self.deviation) / (self.scale * median)
        ratio = r / (1.0 + r * r * r)
        density = 1.5 / (median * self.scale) * ratio * ratio
        return density / self.value if self.on_log else density


def numbers(graph: RowGraph) -> Numbers:
    """Read the outcome's distribution.

    Raises
    ------
    UnsupportedModelError
        If there are several observed variables, an outcome of several columns, or no mean in closed form.
    """
    value: Any = graph.inputs[graph.outcome.name]
    if len(graph.observed) > 1 or value.type.ndim != 1:
        found = f"{len(graph.observed)} observed variables, {value.type.ndim} axes"
        raise UnsupportedModelError("one observed variable with one number a row", found, "Look at one at a time.")
    rv: Any = graph.draw
    op = rv.owner.op
    if isinstance(op, LOCATION_SCALE):
        centre, scale = op.dist_params(rv.owner)[-2:]
        return Numbers(graph, op, value, isinstance(op, LogNormalRV), centre, scale)
    if graph.predicted is None:
        raise UnsupportedModelError(f"an outcome {graph.outcome.name!r} whose mean has a closed form", "none")
    mean: Any = graph.predicted
    mean = mean[:, 0]
    on_log = graph.outcome.kind == "continuous" and isinstance(_default_transform(op, rv), LogTransform)
    return Numbers(graph, op, value, on_log, pt.log(mean) if on_log else mean, None)


def has_tail(outcome: Numbers) -> bool:
    """Whether natural extremes are allowed for: a measurement without heavy tails of its own."""
    return outcome.graph.outcome.kind == "continuous" and not isinstance(outcome.op, HEAVY_TAILED)


def is_normal(outcome: Numbers) -> bool:
    """Whether the outcome, or its logarithm, is normal."""
    return isinstance(outcome.op, (NormalRV, LogNormalRV))


@dataclass(frozen=True, eq=False)
class Right:
    """Right records: a mixture of densities, and a draw from it.

    Parameters
    ----------
    parts : tuple of (Variable, Variable)
        Weight, and (n,) log density.
    draw : Variable
    """

    parts: tuple[tuple[Any, Any], ...]
    draw: Variable

    @property
    def log_density(self) -> Any:
        """(n,), safe where a density is too small for a float."""
        return reduce(pt.logaddexp, (pt.log(weight) + part for weight, part in self.parts))

    @property
    def density(self) -> Any:
        """(n,), cheaper."""
        return sum(weight * pt.exp(part) for weight, part in self.parts)


def tailed(outcome: Numbers, share: Any) -> Right:
    """Right measurements, a share of which has deviations twice as large."""
    parts = ((1.0 - share, outcome.graph.log_lik), (share, outcome.stretched(pt.constant(TAIL))))
    drawn: Any = outcome.graph.draw
    far = pm.Bernoulli.dist(share, shape=outcome.size)
    times = 1.0 + (TAIL - 1.0) * far
    if outcome.on_log:
        return Right(parts, pt.exp(outcome.centre + (pt.log(drawn) - outcome.centre) * times))
    return Right(parts, outcome.centre + (drawn - outcome.centre) * times)


def overdispersed(outcome: Numbers, dispersion: Any) -> Right:
    """Right counts: negative binomial of the model's mean, variance ``m + φ m²``."""
    y, size = outcome.value.astype("float64"), 1.0 / dispersion
    mean = pt.maximum(outcome.centre, np.finfo(float).tiny)
    log_density = pt.gammaln(y + size) - pt.gammaln(size) - pt.gammaln(y + 1.0)
    log_density += -size * pt.log1p(mean * dispersion) + y * (pt.log(mean) - pt.log(mean + size))
    drawn = pm.NegativeBinomial.dist(mu=mean, alpha=size, shape=outcome.size)
    return Right(((pt.constant(1.0), log_density),), drawn)


def any_count(outcome: Numbers) -> Any:
    """(n,) probability of wrong counts."""
    if isinstance(outcome.op, TRIALS):
        rv: Any = outcome.graph.draw
        trials: Any = outcome.op.dist_params(rv.owner)[0]
        return pt.ones(outcome.value.shape) / (1.0 + trials.astype("float64"))
    training = outcome.graph.sources[outcome.graph.outcome.name].training
    most = LARGEST * max(int(training.max()), 1)
    return 1.0 / (1.0 + outcome.value.astype("float64")) / np.sum(1.0 / np.arange(1, most + 2))
