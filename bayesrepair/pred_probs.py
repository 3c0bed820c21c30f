"""Suspects from another classifier's out-of-sample class probabilities: no model of the features is needed."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from bayesrepair.fit import Fit
from bayesrepair.in_sample import with_in_sample
from bayesrepair.model import Outcome
from bayesrepair.noise import Mechanism, Noise
from bayesrepair.rows import Rows
from bayesrepair.softmax import Calibration, SoftmaxModel, softmax_fit
from bayesrepair.softmax.model import LABEL
from bayesrepair.status import DataError, NumericsWarning, RepairWarning
from bayesrepair.suspects import Suspects, find_suspects
from bayesrepair.suspects.reviewed_rows import as_stood

SLOPE, SLOPE_SD = 1.0, 0.5  # of the prior of the recalibration
SUM_ERROR = 1e-3  # of the probabilities of a row; they are normalised
SMALLEST = 1e-12  # what a probability of 0 is taken as, unless others are smaller
TOO_GOOD, FEWEST_TO_TELL = 0.999, 100  # agreement with the given labels that out-of-sample predictions hardly reach


@dataclass(frozen=True)
class PredictionReader:
    """From class probabilities to rows.

    Parameters
    ----------
    classes : tuple
        In the order of the columns.
    floor : float
        What a probability of 0 is taken as.
    """

    classes: tuple[Any, ...]
    floor: float

    def __call__(self, data: Any) -> Rows:
        """Rows of a frame or an array of probabilities, without labels."""
        frame = data if isinstance(data, pd.DataFrame) else pd.DataFrame(np.asarray(data))
        return Rows({"log_p": self.logarithms(_probabilities(data, self.classes))}, frame.index.to_numpy())

    def logarithms(self, probability: np.ndarray) -> np.ndarray:
        """Of the probabilities, none below the floor, (N, K)."""
        return np.log(np.maximum(probability, self.floor))


def suspects_from_predictions(
    given: Iterable[Any],
    pred_probs: Any,
    *,
    in_sample: Any = None,
    classes: Sequence[Any] | None = None,
    row: Iterable[Any] | None = None,
    trusted: Any = None,
    reviewed: Mapping[Any, Any] | pd.Series | None = None,
    groups: pd.Series | Iterable[Any] | str | None = None,
    noise: Mechanism | Noise = "auto",
    slope: float = SLOPE,
    slope_sd: float = SLOPE_SD,
    table: pd.DataFrame | None = None,
    progressbar: bool = False,
    random_seed: int | np.random.Generator | None = 0,
) -> Suspects:
    """Probability that each label is wrong, from the class probabilities that any classifier gives out of sample.

    The probabilities p_i of a row are recalibrated and the given label goes through an unknown transition T:

        π_i = softmax(β log p_i + b),  P(given = y) = Σ_c π_ic T_cy,

    with β ~ N(``slope``, ``slope_sd``²), b_k ~ N(0, 1) and the prior of `bayesrepair.noise.LabelNoise` on T, all fitted
    together (Laplace approximation; seconds for 10⁵ rows). A confident classifier that is often wrong gets a β below 1,
    so that its confidence alone convicts nobody.

    Parameters
    ----------
    given : Series or sequence, length N
        The label of each row; the index of a Series gives the row ids.
    pred_probs : array or DataFrame, shape (N, K)
        Probability of each class, **from a model that did not train on that row** (cross-validation). The columns of
        a DataFrame name the classes.
    in_sample : array or DataFrame, shape (N, K), optional
        The same from the classifier trained on all rows, if it has not learned their labels by heart. It is the better
        classifier, and orders suspects better (CIFAR-10N and MNIST: benchmark ``suspects``); how many labels are wrong
        is still learned from ``pred_probs`` alone. ``prob_wrong`` is too low then; see `bayesrepair.in_sample`.
    classes : sequence, optional
        Class names in the order of the columns of an array; by default the sorted labels.
    row : sequence, optional
        Row ids; by default the index of ``given`` or ``pred_probs``, else 0, 1, ….
    trusted : row ids, optional
        Rows whose label is known to be right.
    reviewed : mapping or Series of row id to class, optional
        Rows that somebody looked at because they were suspicious: ``given`` has their true class by now, this the class
        that stood there before; see `find_suspects`.
    groups : Series, array, or column of ``table``, optional
        Who or what gave the label, as in `find_suspects`.
    noise : {"auto", "uniform", "class"} or LabelNoise
        As in `find_suspects`.
    slope, slope_sd : float
        What the slope β of the recalibration is by expectation, and how far from it it may be. Votes of many trees
        (``oob_decision_function_``) are far too timid: pass 5 and 2 for those.
    table : DataFrame, optional
        The user's own columns, shown beside the result; indexed by row id.
    progressbar : bool
    random_seed : int or Generator, optional

    Returns
    -------
    Suspects
        ``suspects.relabel`` and ``.drop`` change the recalibration, not the classifier: for that, take the rows from
        ``suspects.frame()``.

    Raises
    ------
    DataError
        If lengths or row ids differ, a label is missing or unknown, or the numbers are no probabilities.

    Warns
    -----
    NumericsWarning
        If probabilities of exactly 0 had to be bounded: their order is lost.
    RepairWarning
        If the predictions agree with the labels as only predictions of training rows do, or the classifier of
        ``in_sample`` has learned wrong labels by heart.

    References
    ----------
    Guo et al. (2017), arXiv:1706.04599. Northcutt, Jiang, Chuang (2021), arXiv:1911.00068 (the setting).

    Examples
    --------
    >>> given = ["cat"] * 30 + ["dog"] * 30
    >>> p = np.array([[0.97, 0.03]] * 29 + [[0.02, 0.98]] + [[0.03, 0.97]] * 30)
    >>> suspects = suspects_from_predictions(given, p)
    >>> suspects.frame().iloc[0][["given", "suggested"]].to_dict(), suspects.frame().index[0].item()
    ({'given': 'cat', 'suggested': 'dog'}, 29)
    """
    fit = calibrated_fit(given, pred_probs, classes=classes, row=row, table=table, slope=slope, slope_sd=slope_sd)
    assert isinstance(fit.model, SoftmaxModel)
    reader = fit.model.reader
    assert isinstance(reader, PredictionReader)
    also = None if in_sample is None else _probabilities(in_sample, reader.classes)
    if also is not None and len(also) != len(fit.rows):
        raise DataError(f"in-sample probabilities for each of {len(fit.rows)} labels", f"{len(also)} rows")
    rng = np.random.default_rng(random_seed)
    found = find_suspects(
        fit, trusted=trusted, reviewed=as_stood(reviewed), noise=noise, groups=groups, method="laplace",
        progressbar=progressbar, random_seed=rng,
    )  # fmt: skip
    return found if also is None else with_in_sample(found, reader.logarithms(also), rng)


def calibrated_fit(
    given: Iterable[Any],
    pred_probs: Any,
    *,
    classes: Sequence[Any] | None = None,
    row: Iterable[Any] | None = None,
    table: pd.DataFrame | None = None,
    slope: float = SLOPE,
    slope_sd: float = SLOPE_SD,
) -> Fit:
    """Recalibrated class probabilities as a fit in which no label is wrong; see `suspects_from_predictions`."""
    ids = _row_ids(given, pred_probs, row)
    label = _labels(given, ids)
    names = _class_names(label, pred_probs, classes)
    probability = _probabilities(pred_probs, names)
    if len(probability) != len(label):
        raise DataError(f"probabilities for each of {len(label)} labels", f"{len(probability)} rows")
    codes = _codes(label, names)
    reader = PredictionReader(names, floor=min(SMALLEST, float(probability[probability > 0].min())))
    _warn_of_saturation(probability, reader.floor)
    _warn_of_training_rows(probability, codes)
    rows = Rows({"log_p": reader.logarithms(probability), LABEL: codes}, ids.to_numpy())
    model = SoftmaxModel(Calibration(len(names), slope, slope_sd), Outcome(LABEL, "class", names), reader=reader)
    return softmax_fit(model, rows, table=None if table is None else _matching(table, ids))


def _row_ids(given: Any, pred_probs: Any, row: Iterable[Any] | None) -> pd.Index:
    """Ids of the rows; those of two pandas objects must agree."""
    own = [part.index for part in (given, pred_probs) if isinstance(part, pd.Series | pd.DataFrame)]
    if len(own) == 2 and not own[0].equals(own[1]):
        got = "another index" if len(own[0]) == len(own[1]) else f"{len(own[1])}"
        remedy = "Bring them into one order: pred_probs.loc[given.index]."
        raise DataError(f"probabilities of the {len(own[0])} rows of the labels, in their order", got, remedy)
    if row is not None:
        return pd.Index(list(row), name="row")
    return own[0].rename("row") if own else pd.RangeIndex(len(np.asarray(given)), name="row")


def _labels(given: Any, ids: pd.Index) -> pd.Series:
    label = pd.Series(np.asarray(given, dtype=object))
    if not len(label) or len(label) != len(ids):
        raise DataError(f"a label for each of {len(ids)} row ids", f"{len(label)}")
    missing = label.isna().to_numpy()
    if missing.any():
        first = ids[missing][0]
        got = f"{int(missing.sum())} without, such as row {first!r}"
        raise DataError("a label in every row", got, "Leave those rows out of both.")
    return label


def _class_names(label: pd.Series, pred_probs: Any, classes: Sequence[Any] | None) -> tuple[Any, ...]:
    if classes is not None:
        return tuple(classes)
    if isinstance(pred_probs, pd.DataFrame):
        return tuple(pred_probs.columns)
    width = np.shape(pred_probs)[-1] if np.ndim(pred_probs) == 2 else 0
    seen = pd.unique(label)
    if all(isinstance(value, int | np.integer) and 0 <= value < width for value in seen):
        return tuple(range(width))
    names = sorted(seen, key=lambda value: (isinstance(value, str), value))
    if width and len(names) != width:
        remedy = "Pass classes=[...], the class of each column."
        raise DataError(f"{width} classes, as many as columns of probabilities", f"{len(names)}", remedy)
    return tuple(names)


def _probabilities(pred_probs: Any, names: tuple[Any, ...]) -> np.ndarray:
    """Normalised, (N, K)."""
    if isinstance(pred_probs, pd.DataFrame) and set(pred_probs.columns) == set(names):
        pred_probs = pred_probs[list(names)]
    try:
        p = np.asarray(pred_probs, dtype=float)
    except (TypeError, ValueError) as error:
        raise DataError("numbers as class probabilities", str(error)) from error
    if p.ndim == 1:
        remedy = "For two classes pass np.column_stack([1 - p, p])."
        raise DataError("a column of probabilities for each class", f"shape {p.shape}", remedy)
    if p.ndim != 2 or p.shape[1] != len(names) or len(names) < 2:
        raise DataError(f"probabilities of shape (N, {len(names)}), a column a class", f"shape {p.shape}")
    if not np.isfinite(p).all():
        raise DataError("finite probabilities", f"{int((~np.isfinite(p)).any(axis=1).sum())} rows with nan or infinity")
    total = p.sum(axis=1)
    if (p < 0).any() or np.abs(total - 1).max() > SUM_ERROR:
        worst = int(np.abs(total - 1).argmax())
        got = f"values from {p.min():.3g} to {p.max():.3g}; the row at position {worst} sums to {total[worst]:.3g}"
        raise DataError("probabilities that sum to 1 in each row", got, "Of logits take the softmax first.")
    return p / total[:, None]


def _codes(label: pd.Series, names: tuple[Any, ...]) -> np.ndarray:
    if len(set(names)) != len(names):
        raise DataError("a different name for each class", f"{', '.join(map(str, names))}")
    code = {name: k for k, name in enumerate(names)}
    unknown = [value for value in pd.unique(label) if value not in code]
    if unknown:
        known = ", ".join(map(repr, names[:12]))
        remedy = "Pass classes=[...], the class of each column."
        raise DataError(f"labels among the classes {known}", repr(unknown[0]), remedy)
    return label.map(code).to_numpy(dtype=int)


def _matching(table: pd.DataFrame, ids: pd.Index) -> pd.DataFrame:
    if len(table) != len(ids) or not ids.isin(table.index).all():
        raise DataError(f"a table indexed by the {len(ids)} row ids", f"{len(table)} rows with another index")
    return table.loc[ids]


def _warn_of_saturation(probability: np.ndarray, floor: float) -> None:
    exact = (probability == 0).any(axis=1)
    if exact.any():
        warnings.warn(
            f"{int(exact.sum())} of {len(exact)} rows have probabilities of exactly 0, which no finite number of rows "
            f"can show; they are taken as {floor:.2g}: which of them was smaller is lost. Take the softmax in double "
            "precision.",
            NumericsWarning,
            stacklevel=4,
        )


def _warn_of_training_rows(probability: np.ndarray, codes: np.ndarray) -> None:
    agreed = float((probability.argmax(axis=1) == codes).mean())
    if len(codes) >= FEWEST_TO_TELL and agreed >= TOO_GOOD:
        warnings.warn(
            f"{agreed:.1%} of the labels are the predicted class: these look like predictions of rows that the "
            "classifier was trained on, which hide its wrong labels. Pass out-of-sample predictions "
            "(sklearn.model_selection.cross_val_predict(..., method='predict_proba')).",
            RepairWarning,
            stacklevel=4,
        )
