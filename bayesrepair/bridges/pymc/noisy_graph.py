"""A row graph whose outcomes may be wrong: the same rows and priors, another likelihood."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pytensor.tensor as pt
from pytensor.graph.basic import Variable
from pytensor.graph.replace import clone_replace

from bayesrepair.bridges.pymc.graph import RowGraph, RowInput
from bayesrepair.bridges.pymc.label_transition import Transition, label_transition
from bayesrepair.noise import SOURCE, LabelNoise
from bayesrepair.status import UnsupportedModelError


def noisy_graph(graph: RowGraph, noise: LabelNoise) -> tuple[RowGraph, Transition]:
    """The graph with ``log_lik_i = log Σ_c p(true = c) T_c,y_i``, the latent true class summed out.

    ``predicted`` stays the probability of the true class. Rows get an array `bayesrepair.noise.SOURCE` where groups
    or trusted rows are told apart. Numbers have a graph of their own, `bayesrepair.bridges.pymc.noisy_numbers`.

    Parameters
    ----------
    graph : RowGraph
        Of a class outcome.
    noise : LabelNoise

    Returns
    -------
    noisy : RowGraph
        Its last value variables are those of the noise.
    transition : Transition
        The noise itself.

    Raises
    ------
    UnsupportedModelError
        If the model already has an array of that name.
    """
    if SOURCE in graph.inputs:
        raise UnsupportedModelError(f"a model without an array {SOURCE!r}", "one", "Rename that array.")
    assert graph.outcome.classes is not None  # `noise_for` refuses other outcomes
    classes = len(graph.outcome.classes)
    taken = dict.fromkeys([*(str(v.name) for v in graph.value_vars), *graph.inputs, *graph.constrained])
    transition = label_transition(noise, classes, taken)
    inputs, sources = dict(graph.inputs), dict(graph.sources)
    source: Any = None
    if noise.groups or noise.trusted:
        source = inputs[SOURCE] = pt.tensor(SOURCE, dtype="int64", shape=graph.position.type.shape)
        unknown = np.full(graph.n_rows, noise.groups)
        sources[SOURCE] = RowInput(SOURCE, unknown, span=(0, noise.groups + 1))
    log_prior: Any = graph.log_prior
    log_lik = _label_log_lik(graph, noise, transition, classes, source)
    noisy = replace(
        graph,
        value_vars=(*graph.value_vars, *transition.value_vars),
        shapes=(*graph.shapes, *transition.shapes),
        initial=np.concatenate([graph.initial, transition.initial]),
        inputs=inputs,
        sources=sources,
        log_prior=log_prior + transition.log_prior,
        log_lik=log_lik,
        constrained=graph.constrained | transition.constrained,
        log_prior_terms=graph.log_prior_terms | transition.log_prior_terms,
    )
    return noisy, transition


def _label_log_lik(graph: RowGraph, noise: LabelNoise, transition: Transition, classes: int, source: Any) -> Variable:
    """(n,) log probability of the given class."""
    given: Any = graph.inputs[graph.outcome.name]
    given = given.astype("int64")
    rate: Any = transition.rate
    if noise.groups:
        rate = rate[pt.minimum(source, noise.groups)]
    if classes == 2 and len(graph.observed) == 1:
        noisy = _of_two(graph, rate, pt.eq(given, 1))
    else:
        noisy = _summed(graph, transition, rate, given, classes)
    if not noise.trusted:
        return noisy
    return pt.switch(pt.eq(source, noise.groups + 1), graph.log_lik, noisy)


def _of_two(graph: RowGraph, rate: Any, is_one: Any) -> Variable:
    """Two classes: ``P(1) = r_0 + (1 − r_0 − r_1) π_1``, bounded away from 0 and 1; one class is enough."""
    one = pt.exp(_of_each_class(graph, 2)[1])
    kept = 1 - rate[:, 0] - rate[:, 1]
    return pt.log(pt.switch(is_one, rate[:, 0], 1 - rate[:, 0]) + pt.switch(is_one, kept, -kept) * one)


def _summed(graph: RowGraph, transition: Transition, rate: Any, given: Any, classes: int) -> Variable:
    target: Any = transition.target
    # T_c,y for each row and true class c
    to_given = pt.switch(pt.eq(given[:, None], pt.arange(classes)), 1 - rate, rate * target.T[given])
    if graph.predicted is not None and len(graph.observed) == 1:
        pi: Any = graph.predicted
        return pt.log((pi * to_given).sum(axis=1))
    log_p = pt.stack(_of_each_class(graph, classes), axis=1)
    return pt.logsumexp(log_p + pt.log(to_given), axis=1)


def _of_each_class(graph: RowGraph, classes: int) -> list[Any]:
    """Log-likelihood of each row, were its outcome of class 0, 1, …; other observed variables included."""
    outcome: Any = graph.inputs[graph.outcome.name]
    swaps: list[Mapping[Variable, Variable]] = [{outcome: pt.full_like(outcome, k)} for k in range(classes)]
    return [clone_replace([graph.log_lik], dict(swap), rebuild_strict=False)[0] for swap in swaps]
