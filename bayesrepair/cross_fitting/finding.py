"""Suspects with a classifier of the user's as the model of the classes."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from sklearn.utils import indexable

from bayesrepair.cross_fitting.levels import LEVELS, AtLevel, Task, level_weights
from bayesrepair.cross_fitting.training import Folds, left_out, normalised, probabilities, trained
from bayesrepair.fit import Fit
from bayesrepair.in_sample import calibrated
from bayesrepair.noise import LabelNoise, Mechanism, with_source
from bayesrepair.numerics.blocks import row_blocks
from bayesrepair.pred_probs import calibrated_fit
from bayesrepair.progress import row_progress
from bayesrepair.rows import Rows
from bayesrepair.softmax import SoftmaxModel
from bayesrepair.status import DataError, MethodError
from bayesrepair.suspects import Suspects
from bayesrepair.suspects.finding import suspects_in
from bayesrepair.suspects.noise_evidence import noise_status
from bayesrepair.suspects.result import convergence
from bayesrepair.suspects.reviewed_rows import as_stood
from bayesrepair.suspects.suspicion import evidence, noise_evidence, surprise, thinned

ROUNDS, FOLDS = 4, 5
NOISES = 1000  # draws of the noise, over all levels
ON_AVERAGE = "a recalibrated classifier is right about its rows on average, and can be too sure of single ones"


@dataclass(frozen=True, eq=False)
class CrossFitted:
    """What came of it.

    Parameters
    ----------
    suspects : Suspects
    classifier : object
        Trained on all rows, with the probabilities of their true classes.
    """

    suspects: Suspects
    classifier: Any

    def predict_proba(self, X: Any) -> np.ndarray:
        """Probability of each true class, recalibrated as those of left-out rows were, (N, K)."""
        model, draws = self.suspects.fit.model, thinned(self.suspects.fit.draws, np.shape(X)[0])
        classes = len(model.outcome.classes or ())
        log_p = np.log(probabilities(self.classifier, X, classes, len(self.suspects.fit.rows)))
        rows = model.rows(normalised(log_p))
        blocks = row_blocks(rows, len(draws), outputs=classes)
        return np.concatenate([np.einsum("s,snk->nk", draws.weights, model.predict(draws.theta, b)) for _, b in blocks])


def suspects_from_classifier(
    classifier: Any,
    X: Any,
    y: Any,
    *,
    cv: Any = FOLDS,
    rounds: int = ROUNDS,
    trusted: Any = None,
    reviewed: Mapping[Any, Any] | pd.Series | None = None,
    groups: pd.Series | Iterable[Any] | None = None,
    noise: Mechanism = "auto",
    progressbar: bool = False,
    random_seed: int | None = 0,
) -> Suspects:
    """Probability that each label is wrong, with any scikit-learn classifier as the model of the classes.

    Trained on the labels as they stand, a classifier learns a part of the errors that it is to find. So it is trained,
    a few times, on the probabilities of the true classes that its own predictions p_i of left-out rows imply,

        q_ic ∝ π_ic T_cy,  π_i = softmax(β log p_i + b),

    T being the transition from true to given classes and β ~ N(1, 1): the EM algorithm of a model of wrong labels
    (Raykar et al. 2010), with cross-fitting between its steps, so that no row is judged by a classifier that saw its
    label. What its label taught of rows like it still comes back in later rounds: wrong labels look a little better
    than they are, most of all to classifiers that look at few neighbours. All that is done for error rates from half a
    per cent to 35 %, which are then weighted by how well the labels of left-out rows were predicted at each
    (`bayesrepair.cross_fitting.levels`).

    Parameters
    ----------
    classifier : scikit-learn classifier
        With ``predict_proba``; it is cloned, never changed, and trained ``8 (rounds − 1) cv`` times. One whose ``fit``
        takes no ``sample_weight`` is trained on the most probable class of each row; in a pipeline the last step
        counts.
    X : array or DataFrame, shape (N, d)
        Whatever the classifier takes. The index of a DataFrame gives the row ids.
    y : array or Series, shape (N,)
        Labels.
    cv : int, splitter or iterable
        As in scikit-learn; a number means stratified folds, drawn anew in each round, no more than the smallest class
        has rows.
    rounds : int
        At least 2; the first learns the labels as they stand.
    trusted : row ids, optional
        Rows whose label is known to be right.
    reviewed : mapping or Series of row id to class, optional
        Rows that somebody looked at, with the class that stood there before; see `bayesrepair.find_suspects`.
    groups : Series or array, optional
        Who or what gave each label.
    noise : {"auto", "uniform", "class"}
        See `bayesrepair.noise.LabelNoise`.
    progressbar : bool
    random_seed : int, optional
        Of folds and draws. A ``random_state`` of the classifier is its own.

    Returns
    -------
    Suspects
        ``surprise`` is that of the labels as they stand. ``suspects.relabel`` and ``.drop`` change the recalibration of
        the first round, not the classifier: for that, take the rows from ``suspects.frame()``.

    Raises
    ------
    MethodError
        If the classifier gives no probabilities, or ``rounds`` is less than 2.
    DataError
        If a class has fewer than two rows, lengths differ, labels are missing, or folds never leave out some row.

    References
    ----------
    Dempster, Laird, Rubin (1977), doi:10.1111/j.2517-6161.1977.tb01600.x. Raykar et al. (2010), Learning from crowds,
    JMLR 11. Chernozhukov et al. (2018), doi:10.1111/ectj.12097 (cross-fitting).

    Examples
    --------
    >>> from sklearn.linear_model import LogisticRegression
    >>> X = np.linspace(-2, 2, 60)[:, None]
    >>> y = np.where(X[:, 0] > 0, "high", "low")
    >>> y[50] = "low"
    >>> suspects = suspects_from_classifier(LogisticRegression(), X, y)
    >>> suspects.frame().iloc[0][["given", "suggested"]].to_dict(), suspects.frame().index[0].item()
    ({'given': 'low', 'suggested': 'high'}, 50)
    """
    found = cross_fit(
        classifier,
        X,
        y,
        cv=cv,
        rounds=rounds,
        trusted=trusted,
        reviewed=reviewed,
        groups=groups,
        noise=noise,
        progressbar=progressbar,
        random_seed=random_seed,
    )
    return found.suspects


def cross_fit(
    classifier: Any,
    X: Any,
    y: Any,
    *,
    cv: Any = FOLDS,
    rounds: int = ROUNDS,
    trusted: Any = None,
    reviewed: Mapping[Any, Any] | pd.Series | None = None,
    groups: pd.Series | Iterable[Any] | None = None,
    noise: Mechanism = "auto",
    progressbar: bool = False,
    random_seed: int | None = 0,
) -> CrossFitted:
    """`suspects_from_classifier`, and the classifier that was trained in the end."""
    started = time.perf_counter()
    _refuse(classifier, rounds)
    given, rng = _labelled(X, y), np.random.default_rng(random_seed)
    codes, names = pd.factorize(given.to_numpy(), sort=True)  # texts after numbers where there are both
    (X,) = indexable(X)  # not every sparse matrix is one
    folds = Folds(cv, codes, random_seed)
    splits = [folds.split() for _ in range(rounds)]
    labels = np.eye(len(names))[codes]
    todo = len(codes) * (1 + len(LEVELS) * (rounds - 1))
    with row_progress("Training on what is probably right", todo, shown=progressbar) as advance:
        first = left_out(classifier, X, labels, splits[0], advance)
        plain = calibrated_fit(given, first, classes=names.tolist())
        known = evidence(plain, _ids(trusted), groups, as_stood(reviewed))
        spec = known.noise(plain.model.outcome, noise)
        assert isinstance(spec, LabelNoise)  # of classes
        source = known.source if spec.groups or spec.trusted else None
        task = Task(classifier, X, given, tuple(names.tolist()), spec, source, splits)
        found = [task.at(level, first, advance) for level in LEVELS]
    share = level_weights(found, spec)
    smooth = task.calibration(normalised(np.tensordot(share, [np.log(one.probability) for one in found], axes=1)))
    noisy = _with_noise(smooth, task, found, share, rng)
    surprising = surprise(plain, plain.rows)
    seen, frame = suspects_in(noisy, known, surprising, rng, None, progressbar=progressbar)
    rival = min(surprising, surprise(smooth, smooth.rows), key=np.sum)  # smoother, which helps without wrong labels too
    speaks = noise_evidence(noisy, known, seen, rival)
    status = noise_status(speaks, **convergence(noisy), stand_in=ON_AVERAGE)
    suspects = Suspects(plain, noisy, frame, known, seen, status, time.perf_counter() - started, speaks)
    return CrossFitted(suspects, trained(classifier, X, np.tensordot(share, [one.truth for one in found], axes=1)))


def _refuse(classifier: Any, rounds: int) -> None:
    if not hasattr(classifier, "predict_proba"):
        remedy = "For a support vector machine take sklearn.calibration.CalibratedClassifierCV around it."
        raise MethodError("a classifier with predict_proba", type(classifier).__name__, remedy)
    if rounds < 2:
        remedy = "Of a classifier that learns the labels as they stand: suspects_from_predictions."
        raise MethodError("rounds of at least 2", f"{rounds}", remedy)


def _labelled(X: Any, y: Any) -> pd.Series:
    """Labels by row id."""
    labels = np.asarray(y, dtype=object)
    if labels.ndim != 1:
        raise DataError("one label a row", f"labels of shape {labels.shape}", "Pass a single column.")
    if len(labels) != np.shape(X)[0]:
        raise DataError(f"a label for each of {np.shape(X)[0]} rows", f"{len(labels)}")
    own = [part.index for part in (y, X) if isinstance(part, pd.Series | pd.DataFrame)]
    if len(own) == 2 and not own[0].equals(own[1]):
        remedy = "Pass y.loc[X.index], or y.to_numpy() where only the index differs."
        raise DataError(f"labels of the {len(labels)} rows of X, in their order", "another index", remedy)
    given = pd.Series(labels, index=own[0] if own else None)
    if given.isna().any():
        first = given.index[given.isna()][0]
        raise DataError("a label in every row", f"{int(given.isna().sum())} without, such as row {first!r}")
    return given.rename_axis(index=given.index.name or "row")


def _ids(trusted: Any) -> Any:
    """Rows from outside have no features here."""
    if isinstance(trusted, pd.DataFrame | Rows):
        remedy = "Put the trusted rows into X and y, and pass their ids."
        raise DataError("ids of rows of X as trusted=", f"a {type(trusted).__name__}", remedy)
    return trusted


def _with_noise(smooth: Fit, task: Task, found: list[AtLevel], share: np.ndarray, rng: np.random.Generator) -> Fit:
    """One noise-aware fit of all levels: mean log probabilities, noise by the levels' weights, calibrated given that.

    The noise keeps the distribution that left-out labels gave it: from the pooled predictions alone it could not be
    learned (a cut between two modules; Plummer 2015, doi:10.1007/s11222-014-9503-z).
    """
    assert isinstance(smooth.model, SoftmaxModel)
    rows = smooth.rows if task.source is None else with_source(smooth.rows, task.source)
    at = rng.choice(len(found), NOISES, p=share)
    theta = np.stack([found[k].theta[rng.integers(len(found[k].theta))] for k in at])
    model = smooth.model.with_noise(task.noise)
    return Fit(model, rows, calibrated(model, rows, theta))
