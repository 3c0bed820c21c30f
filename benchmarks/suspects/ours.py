"""The library's suspects and causes, as a user gets them."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn.metrics import average_precision_score

import bayesrepair as br
from bayesrepair.posterior import Draws
from benchmarks.suspects.base import Base
from benchmarks.suspects.logistic import classifier
from benchmarks.suspects.models import problem, too_large


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
    *, trusted: bool = False, basis: str = "features", laplace: bool = False, learned: bool = False
) -> Callable:
    def run(base: Base) -> dict[str, Any]:
        some = problem(base, basis=basis, laplace=laplace, learned=learned)
        known = some.test.at(base.trusted) if trusted else None
        suspects = br.find_suspects(some.fit, trusted=known, random_seed=base.cell.seed)
        return _told(suspects, some.fit, base)

    return run


def _known(base: Base, *, trusted: bool) -> np.ndarray:
    """Test rows that are known to be right."""
    return base.trusted if trusted else np.array([], dtype=int)


def _read(*, trusted: bool = False, in_sample: bool = False) -> Callable:
    """From class probabilities alone: those of the training rows out of fold, those of trusted rows from the net.

    ``in_sample``: beside them those of the classifier that was trained on all training rows.
    """

    def run(base: Base) -> dict[str, Any]:
        cell, at = base.cell, _known(base, trusted=trusted)
        given, probs = np.concatenate([cell.y, cell.y_test[at]]), np.concatenate([base.oof, base.test_probs[at]])
        known = np.arange(len(cell.y), len(given)) if trusted else None
        also = np.concatenate([base.probs, base.test_probs[at]]) if in_sample else None
        suspects = br.suspects_from_predictions(given, probs, in_sample=also, trusted=known, random_seed=cell.seed)
        return _told(suspects, suspects.plain, base)

    return run


def _cross_fitted(*, trusted: bool = False) -> Callable:
    """The logistic regression that the peers have, trained on what is probably right."""

    def run(base: Base) -> dict[str, Any]:
        suspects = _of_classifier(base, trusted=trusted)
        return _told(suspects, suspects.plain, base)

    return run


def _of_classifier(base: Base, *, trusted: bool) -> br.Suspects:
    cell, at = base.cell, _known(base, trusted=trusted)
    x, given = np.concatenate([base.features, base.test_features[at]]), np.concatenate([cell.y, cell.y_test[at]])
    known = np.arange(len(cell.y), len(given)) if trusted else None
    return br.suspects_from_classifier(classifier(), x, given, trusted=known, random_seed=cell.seed)


def _pooled(*, trusted: bool = False) -> Callable:
    """A regression of the table (the size of its slopes learned; too large, cross-fitted), a discriminant, a forest."""

    def run(base: Base) -> dict[str, Any]:
        if too_large(base):
            model = _of_classifier(base, trusted=trusted)
        else:
            some = problem(base, learned=True)
            known = some.test.at(base.trusted) if trusted else None
            model = br.find_suspects(some.fit, trusted=known, random_seed=base.cell.seed)
        features = np.concatenate([base.cell.x, base.cell.x_test[_known(base, trusted=trusted)]])
        started = time.perf_counter()
        options = {"features": features, "random_seed": base.cell.seed}
        pooled = model.with_discriminant(**options).with_forest(**options)
        seconds = {"sampling_seconds": model.seconds, "opinion_seconds": time.perf_counter() - started}
        wrong, opinions = base.cell.planted, pooled.opinions.reindex(np.arange(len(base.cell.y)))
        alone = {f"ap_{name}": average_precision_score(wrong, opinions[name]) for name in pooled.names}
        weights = {f"weight_{name}": weight for name, weight in zip(pooled.names, pooled.weights, strict=True)}
        return _told(pooled, model.plain, base) | seconds | alone | weights

    return run


def _best(*, trusted: bool = False) -> Callable:
    """By what the data call for.

    A table: a regression, a discriminant and a forest, pooled. Moons and radial, where the classes are bent: the
    regression on Fourier features. Images: what class probabilities say, those out of fold and those of the classifier
    that was trained on all rows.
    """
    by_net = {
        "": _pooled(trusted=trusted),
        "mlp": _suspects(trusted=trusted, basis="fourier"),
        "cnn": _read(trusted=trusted, in_sample=True),
    }
    return lambda base: by_net[base.cell.net](base)


def _told(suspects: br.Suspects, plain: br.Fit, base: Base) -> dict[str, Any]:
    """What is kept of suspects, in the order of the rows."""
    prob = suspects.scores["prob_wrong"].reindex(plain.rows.index).to_numpy()[: len(base.cell.y)]
    precision = suspects.expected_precision(int(base.cell.planted.sum()))
    count, evidence = suspects.expected_count, suspects.noise_evidence
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
        "prob_noise": suspects.prob_noise,
        "exceptions": np.nan if evidence is None else evidence.exceptions,
        "rhat": suspects.rhat,
        "ess": suspects.ess,
        "sampling_seconds": suspects.seconds,
        "plain_seconds": np.nan if sampling is None else sampling.seconds,
        "plain_ess": np.nan if sampling is None else sampling.ess_min,
    }


def _surprise(base: Base) -> dict[str, Any]:
    """PSIS-LOO surprise of the plain fit: the Bayesian form of an out-of-fold loss."""
    from bayesrepair.suspects.suspicion import surprise

    some = problem(base)
    return {"score": surprise(some.fit, some.fit.rows)}


def _causes(base: Base) -> dict[str, Any]:
    """First-order causes of the failures that may be used."""
    some = problem(base)
    failures = some.test.at(base.halves["F_q"])
    causes = br.find_causes(some.fit, failures, progressbar=False, random_seed=base.cell.seed)
    return {"score": causes.frame()["score"].reindex(some.fit.rows.index).to_numpy()}


OURS: dict[str, Ours] = {
    "ours": Ours(_best()),
    "ours [V]": Ours(_best(trusted=True)),
    "surprise": Ours(_surprise),
    "causes [Fq]": Ours(_causes),
    "ours, class probabilities": Ours(_read()),
    "ours, last layer": Ours(_suspects(), serves=bool),
    "ours, cross-fitted": Ours(_cross_fitted()),
    "ours, cross-fitted [V]": Ours(_cross_fitted(trusted=True)),
    "ours, regression alone": Ours(_suspects(learned=True), serves=lambda net: not net),
    "ours, Laplace": Ours(_suspects(laplace=True), serves=lambda net: not net),
}
DEFAULT = ("ours", "ours [V]", "surprise", "causes [Fq]", "ours, class probabilities", "ours, last layer")
