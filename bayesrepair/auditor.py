"""A scikit-learn estimator that knows that labels can be wrong."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.linear_model import LogisticRegression
from sklearn.utils import Tags, get_tags
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_consistent_length, check_is_fitted, validate_data

from bayesrepair.cross_fitting import CrossFitted, cross_fit
from bayesrepair.fit import Fit
from bayesrepair.model import Outcome
from bayesrepair.noise import Mechanism
from bayesrepair.predictive import mean_prediction
from bayesrepair.rows import Rows
from bayesrepair.softmax import Features, SoftmaxModel, softmax_fit
from bayesrepair.softmax.model import LABEL
from bayesrepair.status import DataError, MethodError
from bayesrepair.suspects import Suspects, find_suspects
from bayesrepair.suspects.reviewed_rows import as_stood
from bayesrepair.suspects.suspicion import Method
from bayesrepair.tables import TableRecipe, from_table, read_recipe

LOGISTIC = "logistic"
MOST_COEFFICIENTS = 0.25  # of a logistic regression, for each row: beyond it the Gaussian at the mode is far off
_TARGET = "label"  # column of the outcome in the table that a formula or a callable sees

ModelOf = Callable[[pd.DataFrame], Fit]


class LabelAuditor(ClassifierMixin, BaseEstimator):
    """Classifier that doubts its labels: which are wrong, and what it predicts in spite of them.

    Parameters
    ----------
    model : {"logistic"}, str, scikit-learn classifier or callable
        ``"logistic"``: multinomial logistic regression on standardised columns, by the Gaussian at the mode: tenths of
        a second, nothing is compiled; where it has more than a coefficient for every four rows, and every class two
        rows, as a classifier. A classifier with ``predict_proba``: cross-fitted on what is probably right, see
        `bayesrepair.suspects_from_classifier`. A formula such as ``"x0 + x1:x2"`` in the names of the columns
        (``x0``, ``x1``, … for an array): a Bambi model. A callable gets a table, those columns and ``label`` (classes
        as texts), and returns a `Fit`. A DataFrame may hold words, dates and gaps among its numbers: a classifier
        gets them as they are, for the others they enter as `from_table` has them, by the levels and medians of the
        training rows. Gaps among numbers alone are refused, as scikit-learn does, unless the classifier takes them.
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
    classifier_ : object
        Where a classifier was cross-fitted: the one trained on all rows.
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
        model: str | ModelOf | BaseEstimator = LOGISTIC,
        *,
        noise: Mechanism = "auto",
        method: Method = "auto",
        random_state: int | None = 0,
    ) -> None:
        self.model = model
        self.noise = noise
        self.method = method
        self.random_state = random_state

    def fit(
        self,
        X: Any,
        y: Any,
        *,
        groups: Any = None,
        trusted: Any = None,
        reviewed: Mapping[Any, Any] | pd.Series | None = None,
    ) -> LabelAuditor:
        """Fit the model, and the same model with labels that can be wrong.

        Parameters
        ----------
        X : array or DataFrame, shape (N, d)
            Numbers; of a DataFrame also words and dates.
        y : array, shape (N,)
            Labels; a missing one is an error.
        groups : array, shape (N,), optional
            Who or what gave each label.
        trusted : row ids, optional
            Rows whose label is known to be right.
        reviewed : mapping or Series of row id to class, optional
            Rows that somebody looked at because they were suspicious: y has their true class by now, this the class
            that stood there before; see `bayesrepair.find_suspects`.

        Raises
        ------
        ValueError
            If X or y are not what scikit-learn calls features and class labels, or all labels are the same.
        DataError
            If a table with words has fewer than 10 rows, ids that occur twice, or no column that varies.
        """
        index = X.index if isinstance(X, pd.DataFrame) else None
        self._mixed = _holds_words(X)
        if self._mixed:
            y = validate_data(self, "no_validation", y)
            validate_data(self, X, skip_check_array=True)  # last: it keeps the names of the columns
            check_consistent_length(X, y)
        else:
            finite: Any = "allow-nan" if self._has_classifier else True
            numbers, y = validate_data(self, X, y, ensure_min_samples=2, ensure_all_finite=finite)
            X = self._for_model(X, numbers)
        check_classification_targets(y)
        self.classes_, codes = np.unique(y, return_inverse=True)
        if len(self.classes_) < 2:
            raise ValueError(f"LabelAuditor needs labels of at least two classes; got 1 class, {self.classes_[0]!r}.")
        row = pd.RangeIndex(len(y)) if index is None else index
        stood = as_stood(reviewed)
        told = {"trusted": trusted, "groups": groups, "noise": self.noise, "random_seed": self.random_state}
        self._crossed: CrossFitted | None = None
        classifier, features = self._classifier(X, codes, row)
        if classifier is not None:
            given = pd.Series(np.asarray(y), index=row)
            self._crossed = cross_fit(classifier, features, given, reviewed=stood, **told)
            self.suspects_: Suspects = self._crossed.suspects
            self.classifier_ = self._crossed.classifier
        elif self._is_logistic:
            fit = self._regression(features, codes, row)
            self.suspects_ = find_suspects(fit, reviewed=stood, method="laplace", **told)
        else:
            texts = None if stood is None else {i: str(name) for i, name in stood.items()}
            self.suspects_ = find_suspects(self._modelled(X, codes, row), reviewed=texts, method=self.method, **told)
        self.prob_wrong_: np.ndarray = self.suspects_.scores.loc[row, "prob_wrong"].to_numpy()
        return self

    @property
    def _has_classifier(self) -> bool:
        return hasattr(self.model, "fit") and not isinstance(self.model, type)

    def _for_model(self, X: Any, numbers: Any) -> Any:
        """Features as the model gets them: of a DataFrame, a pipeline may want columns by name."""
        return X if self._has_classifier and isinstance(X, pd.DataFrame) else numbers

    @property
    def _is_logistic(self) -> bool:
        return isinstance(self.model, str) and self.model == LOGISTIC

    def _classifier(self, X: Any, codes: np.ndarray, row: pd.Index) -> tuple[Any, Any]:
        """The classifier to cross-fit, if one is to be, and the features for it or for a regression."""
        if self._has_classifier:
            return self.model, X
        if not self._is_logistic:
            return None, X
        x = self._features(X, codes, row)
        wide = (x.shape[1] + 1) * (len(self.classes_) - 1) > MOST_COEFFICIENTS * len(x)
        divisible = np.bincount(codes).min() > 1  # folds need two rows of each class
        return (LogisticRegression(max_iter=5000, tol=1e-3) if wide and divisible else None), x

    def _features(self, X: Any, codes: np.ndarray, row: pd.Index) -> np.ndarray:
        """Standardised columns of the training rows, and how to make them of others."""
        if self._mixed:
            table = self._labelled(X, codes, row)
            self._recipe: TableRecipe = read_recipe(table, target=_TARGET, family="categorical")[0]
            return self._coded(table, training=True)
        self._centre = X.mean(axis=0)
        spread = X.std(axis=0)
        self._spread = np.where(spread > 0, spread, 1.0)
        return self._standardised(X)

    def _regression(self, x: np.ndarray, codes: np.ndarray, row: pd.Index) -> Fit:
        names = tuple(self.classes_.tolist())
        model = SoftmaxModel(Features(x.shape[1], len(names)), Outcome(LABEL, "class", names))
        return softmax_fit(model, Rows({"x": x, LABEL: codes}, row.to_numpy()))

    def _coded(self, table: pd.DataFrame, *, training: bool) -> np.ndarray:
        """Columns of the design matrix of a table with words."""
        prepared = self._recipe.prepared(table.drop(columns=_TARGET, errors="ignore"), training=training)
        return prepared.to_numpy(dtype=float)

    def _standardised(self, X: np.ndarray) -> np.ndarray:
        return (X - self._centre) / self._spread

    def _modelled(self, X: Any, codes: np.ndarray, row: pd.Index) -> Fit:
        """Of a formula, or of the user's own making."""
        table = self._labelled(X, codes, row)
        if callable(self.model):
            fit = self.model(table)
        elif self.method == "laplace":
            fit = from_table(table, target=_TARGET, formula=self.model, method="laplace")
        else:
            options: dict[str, Any] = {"random_seed": self.random_state, "progressbar": False}
            fit = from_table(table, target=_TARGET, formula=self.model, **options)
        if not isinstance(fit, Fit) or fit.model.outcome.kind != "class":
            raise MethodError(
                "a Fit of classes from model=", f"{fit!r}", "Return br.from_pymc(...) or br.from_table(...)."
            )
        return fit

    def _labelled(self, X: Any, codes: np.ndarray, row: pd.Index) -> pd.DataFrame:
        table = self._table(X, row)
        if _TARGET in table.columns:
            raise DataError(f"no column {_TARGET!r} in X: the labels get that name", "one", "Rename the column.")
        table[_TARGET] = np.array([str(name) for name in self.classes_], dtype=object)[codes]
        return table

    def _table(self, X: Any, row: pd.Index) -> pd.DataFrame:
        names = getattr(self, "feature_names_in_", [f"x{j}" for j in range(X.shape[1])])
        if isinstance(X, pd.DataFrame):
            return X.infer_objects().set_axis(list(names), axis=1).set_axis(row)
        return pd.DataFrame(X, index=row, columns=list(names))

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = self._has_classifier and get_tags(self.model).input_tags.allow_nan
        return tags

    def predict_proba(self, X: Any) -> np.ndarray:
        """Probability of each true class, (N, d) → (N, K), labels' errors taken out."""
        check_is_fitted(self)
        finite: Any = "allow-nan" if self._has_classifier else True
        numbers = validate_data(self, X, reset=False, skip_check_array=self._mixed, ensure_all_finite=finite)
        X = self._for_model(X, numbers)
        fit, row = self.suspects_.fit, pd.RangeIndex(len(X))
        if self._is_logistic:
            X = self._coded(self._table(X, row), training=False) if self._mixed else self._standardised(X)
        if self._crossed is not None:
            return self._crossed.predict_proba(X)
        if not self._is_logistic:
            return mean_prediction(fit, fit.as_rows(self._table(X, row)))[:, self._order()]
        return mean_prediction(fit, Rows({"x": X}, np.arange(len(X))))

    def _order(self) -> list[int]:
        """Where the model has the classes of ``classes_``."""
        known = [str(name) for name in self.suspects_.fit.model.outcome.classes or ()]
        return [known.index(str(name)) for name in self.classes_]

    def predict(self, X: Any) -> np.ndarray:
        """The most probable true class, (N, d) → (N,)."""
        probability = self.predict_proba(X)
        return self.classes_[probability.argmax(axis=1)]


def _holds_words(X: Any) -> bool:
    """Whether a table has columns that are not numbers."""
    if not isinstance(X, pd.DataFrame):
        return False
    return not all(pd.api.types.is_numeric_dtype(kind) for kind in X.infer_objects().dtypes)
