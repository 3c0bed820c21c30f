"""Peers: one score a training row, high = suspicious, each with what it is told beside the training rows.

Told nothing more: ``D``; the failures that may be used: ``Fq``; trusted rows, failures and others: ``V``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

from bayesrepair.suspects.forest import out_of_bag
from benchmarks.suspects.base import Base
from benchmarks.suspects.logistic import out_of_fold, probabilities
from benchmarks.suspects.outside import ask

Score = Callable[[Base], np.ndarray]


@dataclass(frozen=True)
class Peer:
    """A score and its level of information.

    Parameters
    ----------
    score : callable
    level : {"D", "Fq", "V"}
    serves : callable
        Whether it can be had for a kind of net (empty: logistic regression).
    of_its_own : bool
        Whether it trains another classifier than the one that peers are given.
    """

    score: Score
    level: str = "D"
    serves: Callable[[str], bool] = lambda net: True
    of_its_own: bool = False


def _of_given(probs: np.ndarray, y: np.ndarray) -> np.ndarray:
    return probs[np.arange(len(y)), y]


def _training_loss(base: Base) -> np.ndarray:
    return -np.log(np.maximum(_of_given(base.probs, base.cell.y), 1e-300))


def _margin(base: Base) -> np.ndarray:
    """Probability of the most probable other class minus that of the given one, in-sample."""
    given, others = _of_given(base.probs, base.cell.y), base.probs.copy()
    others[np.arange(len(given)), base.cell.y] = -np.inf
    return others.max(axis=1) - given


def _cleanlab(method: str, *, adjust: bool = False) -> Score:
    def score(base: Base) -> np.ndarray:
        from cleanlab.rank import get_label_quality_scores

        # quality: low is bad; held off 0 and 1, where cleanlab's entropies go wrong
        probs = np.clip(base.oof, 1e-12, None)
        probs /= probs.sum(axis=1, keepdims=True)
        return -get_label_quality_scores(base.cell.y, probs, method=method, adjust_pred_probs=adjust)

    return score


def _data_oob(base: Base) -> np.ndarray:
    model = "mlp" if base.cell.net == "mlp" else "logistic"
    return ask("values", method="data_oob", model=model, x=base.cell.x, y=base.cell.y, seed=base.cell.seed)["score"]


def _forest(base: Base) -> np.ndarray:
    """Loss of the given labels by a forest like that which ours hears, trained on the labels as they stand."""
    probs = out_of_bag(base.cell.x, np.eye(base.cell.n_classes)[base.cell.y], seed=base.cell.seed)
    return -np.log(_of_given(probs, base.cell.y))


def _discriminant(base: Base) -> np.ndarray:
    """Loss of the given labels by a linear discriminant that did not see them, trained on the labels as they stand."""
    classifier = LinearDiscriminantAnalysis(solver="lsqr", shrinkage="auto")
    probs = out_of_fold(base.cell.x, base.cell.y, base.cell.seed, classifier)
    return -np.log(np.maximum(_of_given(probs, base.cell.y), 1e-300))


def _knn_shapley(base: Base) -> np.ndarray:
    flat = base.cell.x.reshape(len(base.cell.x), -1), base.cell.x_test.reshape(len(base.cell.x_test), -1)
    return _knn(base, *flat)


def _knn_shapley_features(base: Base) -> np.ndarray:
    return _knn(base, base.features, base.test_features)


def _knn(base: Base, x: np.ndarray, x_test: np.ndarray) -> np.ndarray:
    trusted, cell = base.trusted, base.cell
    task = {"x": x, "y": cell.y, "x_trusted": x_test[trusted], "y_trusted": cell.y_test[trusted]}
    return ask("values", method="knn_shapley", **task)["score"]


def _self_influence(base: Base) -> np.ndarray:
    return base.last_layer.self_influence(base.cell.y)


def _influence(rows: Callable[[Base], np.ndarray]) -> Score:
    def score(base: Base) -> np.ndarray:
        at = rows(base)
        held = base.test_features[at], base.test_probs[at], base.cell.y_test[at]
        return base.last_layer.influence(base.cell.y, *held)

    return score


def _loss_with_trusted(base: Base) -> np.ndarray:
    """Training loss under a (last-layer) regression that was also trained on the trusted rows."""
    at, cell = base.trusted, base.cell
    x, y = np.concatenate([base.features, base.test_features[at]]), np.concatenate([cell.y, cell.y_test[at]])
    probs = probabilities(x, y, base.features, cell.n_classes)
    return -np.log(np.maximum(_of_given(probs, cell.y), 1e-300))


PEERS: dict[str, Peer] = {
    "training loss": Peer(_training_loss),
    "margin": Peer(_margin),
    "cleanlab self-confidence": Peer(_cleanlab("self_confidence")),
    "cleanlab adjusted": Peer(_cleanlab("self_confidence", adjust=True)),
    "cleanlab margin": Peer(_cleanlab("normalized_margin")),
    "Data-OOB": Peer(_data_oob, serves=lambda net: net in ("", "mlp")),
    "forest, out of bag": Peer(_forest, serves=lambda net: not net, of_its_own=True),
    "discriminant, out of fold": Peer(_discriminant, serves=lambda net: not net, of_its_own=True),
    "self-influence": Peer(_self_influence),
    "influence [Fq]": Peer(_influence(lambda base: base.halves["F_q"]), "Fq"),
    "influence [V]": Peer(_influence(lambda base: base.trusted), "V"),
    "KNN-Shapley [V]": Peer(_knn_shapley, "V"),
    "KNN-Shapley, features [V]": Peer(_knn_shapley_features, "V", serves=bool),
    "training loss [V]": Peer(_loss_with_trusted, "V"),
}
