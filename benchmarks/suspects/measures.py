"""How well a score finds planted errors, what dropping its top rows does, and whether probabilities can be believed."""

from __future__ import annotations

import numpy as np
from sklearn.metrics import average_precision_score

from benchmarks.suspects.base import Base
from benchmarks.suspects.cells import NOISES

BINS = 10


def detection(score: np.ndarray, wrong: np.ndarray, rate: float) -> dict[str, float]:
    """Average precision, precision@K, share found in the first fifth, FNR at a budget of the noise rate.

    Examples
    --------
    >>> score, wrong = np.array([3.0, 2.0, 1.0, 0.0]), np.array([True, False, True, False])
    >>> {name: round(value, 2) for name, value in detection(score, wrong, 0.25).items()}
    {'ap': 0.83, 'precision': 0.5, 'found_fifth': 0.5, 'fnr': 0.5}
    """
    hit = wrong[np.argsort(-score, kind="stable")]
    n, k = len(wrong), int(wrong.sum())
    return {
        "ap": float(average_precision_score(wrong, score)),
        "precision": float(hit[:k].mean()),
        "found_fifth": float(hit[: int(np.ceil(n / 5))].sum() / k),
        "fnr": float(1 - hit[: round(rate * n)].sum() / k),
    }


def after_dropping(base: Base, score: np.ndarray) -> dict[str, float]:
    """Accuracy on held failures, on held other rows and on all test rows after the K most suspicious are dropped."""
    k = int(base.cell.planted.sum())
    return accuracies(base, base.without(np.argsort(-score, kind="stable")[:k]))


def accuracies(base: Base, test_probs: np.ndarray) -> dict[str, float]:
    """Accuracy on F_h, C_h and all test rows; nan where there is no such row."""
    right = test_probs.argmax(axis=1) == base.cell.y_test
    parts = {"F_h": right[base.halves["F_h"]], "C_h": right[base.halves["C_h"]], "test": right}
    return {name: float(part.mean()) if len(part) else float("nan") for name, part in parts.items()}


def calibration(prob: np.ndarray, wrong: np.ndarray) -> dict[str, float]:
    """Skill of probabilities above the true base rate, and expected calibration error of the 2K most suspicious rows.

    Skill is 1 − score / score of the base rate, for the log score and for Brier's: positive where the probabilities
    say more than a forecaster who knows how many rows are wrong.

    Examples
    --------
    >>> wrong = np.array([True, False, False, False])
    >>> found = calibration(np.full(4, 0.25), wrong)
    >>> found["log_skill"], found["brier_skill"]
    (0.0, 0.0)
    """
    base = wrong.mean()
    p = np.clip(prob, 1e-9, 1 - 1e-9)
    log = -np.where(wrong, np.log(p), np.log1p(-p)).mean()
    log_base = -(base * np.log(base) + (1 - base) * np.log1p(-base))
    brier = np.square(prob - wrong).mean()
    top = np.argsort(-prob, kind="stable")[: 2 * int(wrong.sum())]
    return {
        "log_skill": float(1 - log / log_base),
        "brier_skill": float(1 - brier / (base * (1 - base))),
        "ece": calibration_error(prob[top], wrong[top]),
        "claimed": float(prob[top].mean()),
        "true": float(wrong[top].mean()),
    }


def calibration_error(prob: np.ndarray, wrong: np.ndarray) -> float:
    """Expected calibration error over at most ten bins of equally many rows, at least ten rows in each.

    Examples
    --------
    >>> calibration_error(np.full(20, 0.5), np.arange(20) % 2 == 0)
    0.0
    """
    order = np.argsort(-prob, kind="stable")
    parts = np.array_split(order, max(1, min(BINS, len(prob) // 10)))
    return float(sum(len(part) * abs(prob[part].mean() - wrong[part].mean()) for part in parts) / len(prob))


def inspected(noise: str, n: int) -> int:
    """Rows that a budget of the noise rate pays for."""
    return round(NOISES[noise].rate * n)
