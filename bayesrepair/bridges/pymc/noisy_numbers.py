"""A PyMC model of measurements or counts of which a few are grossly wrong, as a `bayesrepair.noise.Noisy`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytensor.tensor as pt
from pytensor.graph.basic import Variable
from pytensor.tensor.random.basic import PoissonRV
from scipy.special import expit

from bayesrepair.bridges.pymc.contaminated_normal import contaminated_normal
from bayesrepair.bridges.pymc.evaluation import RowFunctions
from bayesrepair.bridges.pymc.fit import TrainablePyMCModel
from bayesrepair.bridges.pymc.graph import RowGraph, RowInput
from bayesrepair.bridges.pymc.label_transition import NoiseValues
from bayesrepair.bridges.pymc.noisy_model import NoisyPyMCModel, Pace
from bayesrepair.bridges.pymc.number_errors import (
    Numbers,
    Right,
    any_count,
    has_tail,
    is_normal,
    numbers,
    overdispersed,
    tailed,
)
from bayesrepair.noise import SOURCE, Prior
from bayesrepair.number_noise import NumberNoise
from bayesrepair.rows import Rows
from bayesrepair.status import UnsupportedModelError


@dataclass(frozen=True, eq=False)
class NumberErrors:
    """Values of a number noise, their prior, and the log odds that a record is wrong.

    Parameters
    ----------
    value_vars : tuple of Variable
        Unconstrained.
    shapes : tuple of tuple of int
    initial : array, shape (Q,)
    priors : tuple of Prior
        Of each value, entry by entry.
    rate : Variable
        (G + 1,), or (1,) without groups: share of wrong records by group; the last is that of an unknown group.
    log_odds : Variable
        (n,) ``log ε q − log (1 − ε) f``; minus infinity for records known to be right, infinity for wrong ones.
    """

    value_vars: tuple[Variable, ...]
    shapes: tuple[tuple[int, ...], ...]
    initial: np.ndarray
    priors: tuple[Prior, ...]
    rate: Variable
    log_odds: Variable

    def prior_draws(self, size: int, rng: np.random.Generator) -> np.ndarray:
        """Unconstrained values from their prior, (size, Q)."""
        pairs = zip(self.priors, self.shapes, strict=True)
        return np.concatenate([p.draws((size, int(np.prod(shape))), rng) for p, shape in pairs], axis=1)


def noisy_number_graph(graph: RowGraph, noise: NumberNoise) -> tuple[RowGraph, NumberErrors]:
    """The graph with ``log_lik_i = log((1 − ε) f_i(y_i) + ε q_i(y_i))``; see `bayesrepair.number_noise.NumberNoise`.

    ``predicted`` and ``draw`` are about right records. Rows get an array `bayesrepair.noise.SOURCE` where groups or
    trusted rows are told apart.

    Parameters
    ----------
    graph : RowGraph
        Of measurements or counts.
    noise : NumberNoise

    Returns
    -------
    noisy : RowGraph
        Its last value variables are those of the noise.
    errors : NumberErrors

    Raises
    ------
    UnsupportedModelError
        If the model already has an array of that name, several observed variables, or an outcome of several columns.
    """
    if SOURCE in graph.inputs:
        raise UnsupportedModelError(f"a model without an array {SOURCE!r}", "one", "Rename that array.")
    values = NoiseValues(dict.fromkeys([*(str(v.name) for v in graph.value_vars), *graph.inputs, *graph.constrained]))
    reported: dict[str, Any] = {}
    rate = _rates(values, noise)
    outcome = numbers(graph)
    right = _right(outcome, noise, values, reported)
    wrong = _wrong(outcome, noise, values, reported)
    inputs, sources = dict(graph.inputs), dict(graph.sources)
    own: Any = rate[0]
    known: Any = None
    bad: Any = None
    if noise.groups or noise.trusted:
        source: Any = pt.tensor(SOURCE, dtype="int64", shape=graph.position.type.shape)
        inputs[SOURCE] = source
        sources[SOURCE] = RowInput(SOURCE, np.full(graph.n_rows, noise.groups), span=(0, noise.groups + 2))
        own, known = rate[pt.minimum(source, noise.groups)], pt.eq(source, noise.groups + 1)
        bad = pt.eq(source, noise.groups + 2)
    is_right, is_wrong = pt.log1p(-own) + right.log_density, pt.log(own) + pt.log(wrong)
    log_odds = is_wrong - is_right
    if outcome.scale is not None and not noise.trusted:
        # far out the wrong density is a power law: where the right one is too small for a float, it is not
        log_lik = pt.log((1 - own) * right.density + own * wrong)
    else:
        log_lik = pt.logaddexp(is_right, is_wrong)
    normal = is_normal(outcome) and not noise.trusted
    if noise.trusted:
        log_lik, log_odds = pt.switch(known, right.log_density, log_lik), pt.switch(known, -np.inf, log_odds)
    if noise.reviewed:
        log_lik, log_odds = pt.switch(bad, pt.log(wrong), log_lik), pt.switch(bad, np.inf, log_odds)
        values.terms["error_reviewed"] = _log_reviewed(rate, np.array(noise.reviewed))
    log_prior: Any = graph.log_prior
    noisy = replace(
        graph,
        value_vars=(*graph.value_vars, *values.variables),
        shapes=(*graph.shapes, *values.shapes),
        initial=np.concatenate([graph.initial, *values.initial]),
        inputs=inputs,
        sources=sources,
        log_prior=log_prior + sum(values.terms.values(), values.jacobian),
        log_lik=log_lik,
        draw=right.draw,
        constrained=_named(graph.constrained, {"error_rate": rate if noise.groups else rate[0], **reported}),
        log_prior_terms=graph.log_prior_terms | values.terms,
        sampled_log_lik=_in_one_pass(outcome, own, reported) if normal else None,
    )
    start = np.concatenate(values.initial)
    errors = NumberErrors(tuple(values.variables), tuple(values.shapes), start, tuple(values.priors), rate, log_odds)
    return noisy, errors


def _rates(values: NoiseValues, noise: NumberNoise) -> Any:
    """(G + 1,) or (1,) shares of wrong records."""
    level = values.normal("error_level", mean=noise.level, sd=noise.level_sd)
    if not noise.groups:
        return 0.5 * pt.sigmoid(level)[None]
    spread = values.half_normal("error_group_spread", noise.group_spread)
    effect = spread * values.normal("error_group", (noise.groups,))
    return 0.5 * pt.sigmoid(level + pt.concatenate([effect, pt.zeros(1)]))


def _log_reviewed(rate: Any, counts: np.ndarray) -> Any:
    """``Σ right log(1 − ε) + wrong log ε``."""
    right, wrong = counts.T
    return (right * pt.log1p(-rate)).sum() + (wrong * pt.log(rate)).sum()


def _right(outcome: Numbers, noise: NumberNoise, values: NoiseValues, reported: dict[str, Any]) -> Right:
    if isinstance(outcome.op, PoissonRV):
        reported["overdispersion"] = values.half_normal("error_overdispersion", noise.dispersion)
        return overdispersed(outcome, reported["overdispersion"])
    if has_tail(outcome):
        share = 0.5 * pt.sigmoid(values.normal("error_tail", mean=noise.tail_level, sd=noise.tail_sd))
        reported["tail_share"] = share
        return tailed(outcome, share)
    return Right(((pt.constant(1.0), outcome.graph.log_lik),), outcome.graph.draw)


def _wrong(outcome: Numbers, noise: NumberNoise, values: NoiseValues, reported: dict[str, Any]) -> Any:
    """(n,) density of wrong records."""
    if outcome.graph.outcome.kind == "count":
        return any_count(outcome)
    beyond = np.log(noise.beyond) + noise.beyond_sd * values.normal("error_beyond")
    reported["error_distance"] = median = noise.nearest + pt.exp(beyond)
    return pt.exp(outcome.stretched(median)) if outcome.scale is None else outcome.distant(median)


def _in_one_pass(outcome: Numbers, rate: Any, reported: Mapping[str, Any]) -> Any:
    """The log density of normal or log-normal measurements again, cheaper to sample."""
    scale = outcome.scale.astype("float64")  # of a number such as 0.5 PyTensor makes a float of fewer digits
    z = outcome.deviation / scale
    log_lik = contaminated_normal(z, rate, reported["tail_share"], reported["error_distance"]) - pt.log(scale)
    return log_lik - pt.log(outcome.value) if outcome.on_log else log_lik


def _named(constrained: Mapping[str, Variable], reported: Mapping[str, Any]) -> dict[str, Variable]:
    """The model's own variables, and those of the noise under names that are free."""
    named = dict(constrained)
    for name, variable in reported.items():
        named[name if name not in named else f"{name} (noise)"] = variable
    return named


class NoisyNumberModel(NoisyPyMCModel):
    """The user's model of measurements or counts, of which a few may be grossly wrong.

    Its parameters are those of the user's model, then those of the noise. ``predict`` and ``simulate`` are about right
    records, ``log_lik`` about the given ones.
    """

    noise: NumberNoise
    pace = Pace(accept=0.8, tune=1 / 5, draws=1 / 2)  # errors of numbers hardly bend what is sampled

    def __init__(self, clean: TrainablePyMCModel, noise: Any) -> None:
        super().__init__(clean, noise)
        self.odds = RowFunctions(replace(self.graph, log_lik=self.transition.log_odds), self.mode)

    def _noisy(self, graph: RowGraph, noise: Any) -> tuple[RowGraph, Any]:
        return noisy_number_graph(graph, noise)

    def wrong(self, theta: np.ndarray, rows: Rows) -> np.ndarray:
        """Probability that each given outcome is wrong, given the parameters: (S, P) → (S, N)."""
        arrays, position = self._arrays(rows, with_outcome=True)
        return expit(self.odds.over_rows("log_lik", self._checked(theta), arrays, position))
