"""A scikit-learn estimator that knows that labels can be wrong."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, validate_data

from bayesrepair.fit import Fit
from bayesrepair.model import Outcome
from bayesrepair.noise import Mechanism
from bayesrepair.predictive import mean_prediction
from bayesrepair.rows import Rows
from bayesrepair.softmax import Features, SoftmaxModel, softmax_fit
from bayesrepair.softmax.model import LABEL
from bayesrepair.status import MethodError
from bayesrepair.suspects import Suspects, find_suspects
from bayesrepair.suspects.suspicion import Method

LOGISTIC = "logistic"
_TARGET = "label"  # column of the outcome in the table that a formula or a callable sees

ModelOf = Callable[[pd.DataFrame], Fit]


class LabelAuditor(ClassifierMixin, BaseEstimator):
    """Classifier that doubts its labels: which are wrong, and what it predicts in spite of them.

    Parameters
    ----------
    model : {"logistic"}, str or callable
        ``"logistic"``: multinomial logistic regression on standardised columns, by the Gaussian at the mode: tenths of
        a second, nothing is compiled. A formula such as ``"x0 + x1:x2"`` in the names of the columns (``x0``, ``x1``,
        … for an array): a Bambi model. A callable gets a table, those columns and ``label`` (classes as texts), and
        returns a `Fit`.
    noise : {"auto", "uniform", "class"}
        See `bayesrepair.noise.LabelNoise`.
    method : {"auto", "nuts", "laplace"}
        Of formulas and callables; see `bayesrepair.find_suspects`.
    random_state : int, optional

    Attributes
    ----------
    classes_ : array, shape (K,)
    n_features_in_ : int
    feature_names_in_ : array of str
        Where X had names of columns.
    suspects_ : Suspects
        The training rows, by position, or by index where X is a DataFrame.
    prob_wrong_ : array, shape (N,)
        Probability that each training label is wrong, in the order of the rows.

    References
    ----------
    Raykar et al. (2010), Learning from crowds, JMLR 11.

    Examples
    --------
    Forty rows of two classes far apart, one label flipped.

    >>> X = np.linspace(-2, 2, 40)[:, None]
    >>> y = (X[:, 0] > 0).astype(int)
    >>> y[35] = 0
    >>> auditor = LabelAuditor().fit(X, y)
    >>> int(auditor.prob_wrong_.argmax()), int(auditor.predict([[1.5]])[0])
    (35, 1)
    """

    def __init__(
        self,
        model: str | ModelOf = LOGISTIC,
        *,
        noise: Mechanism = "auto",
        method: Method = "auto",
        random_state: int | None = 0,
    ) -> None:
        self.model = model
        self.noise = noise
        self.method = method
        self.random_state = random_state

    def fit(self, X: Any, y: Any, *, groups: Any = None, trusted: Any = None) -> LabelAuditor:
        """Fit the model, and the same model with labels that can be wrong.

        Parameters
        ----------
        X : array or DataFrame, shape (N, d)
        y : array, shape (N,)
            Labels; a missing one is an error.
        groups : array, shape (N,), optional
            Who or what gave each label.
        trusted : row ids, optional
            Rows whose label is known to be right.

        Raises
        ------
        ValueError
            If X or y are not what scikit-learn calls features and class labels, or all labels are the same.
        """
        index = X.index if isinstance(X, pd.DataFrame) else None
        X, y = validate_data(self, X, y, ensure_min_samples=2)
        check_classification_targets(y)
        self.classes_, codes = np.unique(y, return_inverse=True)
        if len(self.classes_) < 2:
            raise ValueError(f"LabelAuditor needs labels of at least two classes; got 1 class, {self.classes_[0]!r}.")
        row = pd.RangeIndex(len(y)) if index is None else index
        fit = self._logistic(X, codes, row) if self.model == LOGISTIC else self._modelled(X, codes, row)
        self.suspects_: Suspects = find_suspects(
            fit, trusted=trusted, noise=self.noise, groups=groups, random_seed=self.random_state,
            method="laplace" if self.model == LOGISTIC else self.method,
        )  # fmt: skip
        self.prob_wrong_: np.ndarray = self.suspects_.scores.loc[row, "prob_wrong"].to_numpy()
        return self

    def _logistic(self, X: np.ndarray, codes: np.ndarray, row: pd.Index) -> Fit:
        self._centre = X.mean(axis=0)
        spread = X.std(axis=0)
        self._spread = np.where(spread > 0, spread, 1.0)
        names = tuple(self.classes_.tolist())
        model = SoftmaxModel(Features(X.shape[1], len(names)), Outcome(LABEL, "class", names))
        return softmax_fit(model, Rows({"x": self._standardised(X), LABEL: codes}, row.to_numpy()))

    def _standardised(self, X: np.ndarray) -> np.ndarray:
        return (X - self._centre) / self._spread

    def _modelled(self, X: np.ndarray, codes: np.ndarray, row: pd.Index) -> Fit:
        """Of a formula, or of the user's own making."""
        table = self._table(X, row)
        table[_TARGET] = np.array([str(name) for name in self.classes_], dtype=object)[codes]
        if callable(self.model):
            fit = self.model(table)
        else:
            from bayesrepair.tables import from_table

            if self.method == "laplace":
                fit = from_table(table, target=_TARGET, formula=self.model, method="laplace")
            else:
                options: dict[str, Any] = {"random_seed": self.random_state, "progressbar": False}
                fit = from_table(table, target=_TARGET, formula=self.model, **options)
        if not isinstance(fit, Fit) or fit.model.outcome.kind != "class":
            raise MethodError(
                "a Fit of classes from model=", f"{fit!r}", "Return br.from_pymc(...) or br.from_table(...)."
            )
        return fit

    def _table(self, X: np.ndarray, row: pd.Index) -> pd.DataFrame:
        names = getattr(self, "feature_names_in_", [f"x{j}" for j in range(X.shape[1])])
        return pd.DataFrame(X, index=row, columns=list(names))

    def predict_proba(self, X: Any) -> np.ndarray:
        """Probability of each true class, (N, d) → (N, K), labels' errors taken out."""
        check_is_fitted(self)
        X = validate_data(self, X, reset=False)
        fit = self.suspects_.fit
        if self.model == LOGISTIC:
            rows = Rows({"x": self._standardised(X)}, np.arange(len(X)))
        else:
            rows = fit.as_rows(self._table(X, pd.RangeIndex(len(X))))
        probability = mean_prediction(fit, rows)
        return probability[:, self._order()] if self.model != LOGISTIC else probability

    def _order(self) -> list[int]:
        """Where the model has the classes of ``classes_``."""
        known = [str(name) for name in self.suspects_.fit.model.outcome.classes or ()]
        return [known.index(str(name)) for name in self.classes_]

    def predict(self, X: Any) -> np.ndarray:
        """The most probable true class, (N, d) → (N,)."""
        probability = self.predict_proba(X)
        return self.classes_[probability.argmax(axis=1)]
