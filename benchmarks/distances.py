"""Distances of predictive distributions to a pool of refits, in the pool's posterior sds.

Two scales: ``natural`` (probabilities, means) and ``unbounded`` (logits of classes, logarithms of counts), see
`bayesrepair.predictive.unbounded`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from bayesrepair.posterior import Draws
from bayesrepair.predictive import unbounded
from benchmarks.models import Problem

SCALES = ("unbounded", "natural")
METRICS = ("e", "max", "log_sd", "q05", "q95")
_BLOCK = 40  # rows; bounds the memory of a pool of 20 000 draws

type Summary = dict[str, np.ndarray]
"""Per prediction: mean, sd, q05, q95 under some draws."""


def summaries(problem: Problem, draws: Draws) -> dict[str, Summary]:
    """Mean, sd and two quantiles of every prediction, on both scales, and its Monte Carlo standard error."""
    weights = draws.weights if draws.is_weighted else None
    parts = []
    for values in _predicted(problem, draws.theta):
        found, errors = _both(values, problem, weights), _errors(values, problem, draws)
        parts.append({scale: found[scale] | errors[scale] for scale in SCALES})
    return _joined(parts)


def reference(problem: Problem, refits: Sequence[Draws]) -> dict[str, dict[str, np.ndarray]]:
    """Of a pool: ``scale`` → summary; ``scale noise`` → each refit's distances to the pool of the others, (R,)."""
    count = len(refits)
    theta = np.concatenate([draws.theta for draws in refits])
    pool, each, others = [], [[] for _ in refits], [[] for _ in refits]
    for values in _predicted(problem, theta):
        split = values.reshape(count, -1, *values.shape[1:])
        pool.append(_both(values, problem, None))
        for k in range(count):
            each[k].append(_both(split[k], problem, None))
            rest = np.delete(split, k, axis=0)
            others[k].append(_both(rest.reshape(-1, *values.shape[1:]), problem, None))
    whole, single, rest = _joined(pool), [_joined(e) for e in each], [_joined(o) for o in others]
    found: dict[str, dict[str, np.ndarray]] = {}
    for scale in SCALES:
        apart = [distance(a[scale], b[scale]) for a, b in zip(single, rest, strict=True)]
        means = np.stack([one[scale]["mean"] for one in single])
        found[scale] = whole[scale] | {"error": means.std(axis=0, ddof=1) / np.sqrt(count)}
        found[f"{scale} noise"] = {name: np.array([a[name] for a in apart]) for name in METRICS}
    return found


def distance(some: Summary, pool: Summary) -> dict[str, float]:
    """``e`` = mean |Δ mean| / sd, its maximum, mean |log sd ratio|, mean |Δ quantile| / sd."""
    shift = np.abs(some["mean"] - pool["mean"]) / pool["sd"]
    return {
        "e": shift.mean(),
        "max": shift.max(),
        "log_sd": np.abs(np.log(some["sd"] / pool["sd"])).mean(),
        "q05": (np.abs(some["q05"] - pool["q05"]) / pool["sd"]).mean(),
        "q95": (np.abs(some["q95"] - pool["q95"]) / pool["sd"]).mean(),
    }


def bias_and_noise(some: Summary, pool: Summary) -> dict[str, float]:
    """Root mean squares over predictions, in posterior sds.

    ``mc`` is the Monte Carlo error of the edited means, from how the chains disagree. ``bias`` is what is left of the
    squared distance once that and the pool's own error are taken off; zero where they explain it all.
    ``ess_seen`` = 1 / mc² is the number of independent draws that would show the same error.
    """
    mc = np.mean((some["error"] / pool["sd"]) ** 2)
    total = np.mean(((some["mean"] - pool["mean"]) / pool["sd"]) ** 2)
    own = np.mean((pool["error"] / pool["sd"]) ** 2)
    return {"bias": np.sqrt(max(0.0, total - mc - own)), "mc": np.sqrt(mc), "ess_seen": 1 / max(mc, 1e-12)}


def _predicted(problem: Problem, theta: np.ndarray) -> Iterator[np.ndarray]:
    """Predictions of blocks of rows, (S, n, K'); of two classes one is enough."""
    for _, block in problem.evaluated.blocks(_BLOCK):
        values = problem.fit.model.predict(theta, block)
        yield values[:, :, : 1 if values.shape[2] == 2 else None]


def _both(values: np.ndarray, problem: Problem, weights: np.ndarray | None) -> dict[str, Summary]:
    outcome = problem.fit.model.outcome
    wide = unbounded(values, outcome)
    # Quantiles follow a monotone map, so they are sorted out once.
    low, high = np.quantile(values, [0.05, 0.95], axis=0, method="inverted_cdf", weights=weights)
    found = {}
    for scale, on_scale in (("unbounded", wide), ("natural", values)):
        mean = np.average(on_scale, axis=0, weights=weights)
        sd = np.sqrt(np.average(np.square(on_scale - mean), axis=0, weights=weights))
        ends = [unbounded(q[None], outcome)[0] if scale == "unbounded" else q for q in (low, high)]
        stats = zip(("mean", "sd", "q05", "q95"), (mean, sd, *ends), strict=True)
        found[scale] = {name: value.ravel() for name, value in stats}
    return found


def _errors(values: np.ndarray, problem: Problem, draws: Draws) -> dict[str, Summary]:
    """Standard error of each mean: half the difference between two halves of the chains, over all such halvings."""
    labels = np.unique(draws.chain)
    member = [draws.chain == label for label in labels]
    if len(labels) < 2:
        member = [np.arange(len(draws)) * 4 // len(draws) == quarter for quarter in range(4)]
    first, *rest = range(len(member))
    found = {}
    for scale, on_scale in (("unbounded", unbounded(values, problem.fit.model.outcome)), ("natural", values)):
        squares = []
        for partner in rest if len(member) > 2 else [None]:
            half = member[first] if partner is None else member[first] | member[partner]
            means = [
                np.average(on_scale[part], axis=0, weights=_positive(draws.weights[part])) for part in (half, ~half)
            ]
            squares.append(((means[0] - means[1]) / 2) ** 2)
        found[scale] = {"error": np.sqrt(np.mean(squares, axis=0)).ravel()}
    return found


def _positive(weights: np.ndarray) -> np.ndarray:
    """Weights of one half; equal ones where a single draw of the other half has everything."""
    return weights if weights.sum() > 0 else np.ones_like(weights)


def _joined(parts: list[dict[str, Summary]]) -> dict[str, Summary]:
    return {
        scale: {name: np.concatenate([part[scale][name] for part in parts]) for name in parts[0][scale]}
        for scale in SCALES
    }
