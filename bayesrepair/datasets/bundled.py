"""The data sets that come with scikit-learn, with class words and column names that fit a formula."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd

from bayesrepair.datasets.card import Card
from bayesrepair.datasets.dataset import Dataset

DIGITS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")


@dataclass(frozen=True)
class _Source:
    loader: str
    target: str
    classes: tuple[str, ...]  # in the order of scikit-learn's codes; empty for a number
    title: str
    about: str
    unit: str
    licence: str


_UCI = "CC BY 4.0 (UCI Machine Learning Repository)."

_SOURCES: Mapping[str, _Source] = {
    "breast_cancer": _Source(
        "load_breast_cancer",
        "diagnosis",
        ("malignant", "benign"),
        "30 measurements of cell nuclei, malignant or benign",
        "Breast Cancer Wisconsin (Diagnostic), 569 images of fine needle aspirates (Street, Wolberg and "
        "Mangasarian, 1993). Mean, standard error and mean of the three largest values of ten measurements.",
        "measured on the digitised image",
        _UCI,
    ),
    "wine": _Source(
        "load_wine",
        "cultivar",
        ("first", "second", "third"),
        "13 chemical measurements of wines from three cultivars",
        "178 wines of one region of Italy (Forina et al., PARVUS, 1988).",
        "chemical measurement",
        _UCI,
    ),
    "digits": _Source(
        "load_digits",
        "digit",
        DIGITS,
        "handwritten digits, 8 x 8 pixels",
        "1797 digits, the test part of Optical Recognition of Handwritten Digits (Alpaydin, Kaynak, 1998).",
        "number of dark pixels in a block, 0 to 16; the name tells row and column",
        _UCI,
    ),
    "iris": _Source(
        "load_iris",
        "species",
        ("setosa", "versicolor", "virginica"),
        "4 measurements of three species of iris",
        "150 flowers (Fisher, 1936; collected by Anderson). scikit-learn's copy follows Fisher's paper.",
        "centimetres",
        _UCI,
    ),
    "diabetes": _Source(
        "load_diabetes",
        "progression",
        (),
        "disease progression of diabetes patients after one year (a number)",
        "442 patients (Efron, Hastie, Johnstone and Tibshirani, 2004, Least Angle Regression). Not scaled: "
        "age in years, sex 1 or 2, body mass index, mean blood pressure, six blood serum measurements.",
        "measured at the start",
        "Published with the paper without terms; distributed with scikit-learn.",
    ),
}


def _name(text: str) -> str:
    """Turn scikit-learn's feature name into one that a formula can hold."""
    return re.sub(r"\W+", "_", text.replace("(cm)", "")).strip("_")


def _card(name: str) -> Card:
    source = _SOURCES[name]
    values = ", ".join(f"`{word}`" for word in source.classes)
    return Card(
        name=name,
        title=source.title,
        about=source.about,
        made=f"`sklearn.datasets.{source.loader}`, without change but for the names of columns and classes.",
        columns={
            "row": "position in scikit-learn's table, no predictor",
            "every other": source.unit,
            source.target: f"the target: {values}" if values else "the target, 25 to 346",
        },
        truth="No label was changed; how many are wrong is not known.",
        licence=source.licence,
    )


def _loader(name: str) -> Callable[[], Dataset]:
    def load() -> Dataset:
        # Imported here: scikit-learn's loaders take a second to import, and most sets do without them.
        from sklearn import datasets as bundled

        source = _SOURCES[name]
        options: dict[str, Any] = {} if source.classes else {"scaled": False}
        raw = getattr(bundled, source.loader)(as_frame=True, **options)
        frame: pd.DataFrame = raw.data.rename(columns=_name)
        target = raw.target
        frame[source.target] = target.map(dict(enumerate(source.classes))) if source.classes else target
        return Dataset(CARDS[name], frame.rename_axis("row"), source.target)

    return load


CARDS: Mapping[str, Card] = {name: _card(name) for name in _SOURCES}
SETS: Mapping[str, Callable[[], Dataset]] = {name: _loader(name) for name in _SOURCES}
