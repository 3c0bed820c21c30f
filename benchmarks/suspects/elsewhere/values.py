"""Data-OOB and KNN-Shapley by pyDVL; runs in an environment of its own, for NumPy below 2.

Reads lines ``IN.npz OUT.npz`` from standard input and answers each with ``done``. Values come back negated: pyDVL calls
helpful rows positive, we call suspicious ones so.
"""

from __future__ import annotations

import sys

import numpy as np
from pydvl.valuation import DataOOBValuation, Dataset, KNNShapleyValuation
from sklearn.ensemble import BaggingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier
from sklearn.neural_network import MLPClassifier

BAGS = {"logistic": 100, "mlp": 50}
NEIGHBOURS = 5


def data_oob(task: dict) -> np.ndarray:
    """Accuracy of the bags that did not see a row (Kwon and Zou 2023, arXiv:2304.07718)."""
    kind = str(task["model"])
    member = MLPClassifier((64, 32), max_iter=100) if kind == "mlp" else LogisticRegression(C=1.0, max_iter=1000)
    bags = BaggingClassifier(member, n_estimators=BAGS[kind], random_state=int(task["seed"])).fit(task["x"], task["y"])
    return _values(DataOOBValuation(bags), Dataset(task["x"], task["y"]))


def knn_shapley(task: dict) -> np.ndarray:
    """Exact Shapley values of a nearest-neighbour classifier on trusted rows (Jia et al. 2019, arXiv:1908.08619)."""
    trusted = Dataset(task["x_trusted"], task["y_trusted"])
    method = KNNShapleyValuation(KNeighborsClassifier(NEIGHBOURS), trusted, progress=False)
    return _values(method, Dataset(task["x"], task["y"]))


def _values(method: object, rows: Dataset) -> np.ndarray:
    result = method.fit(rows).result
    values = np.empty(len(rows))
    values[np.asarray(result.indices)] = np.asarray(result.values)  # the result may come sorted
    return -values


METHODS = {"data_oob": data_oob, "knn_shapley": knn_shapley}


def main() -> None:
    for line in sys.stdin:
        source, target = line.split()
        with np.load(source) as kept:
            task = {name: kept[name] for name in kept.files}
        np.savez(target, score=METHODS[str(task["method"])](task))
        print("done", flush=True)


if __name__ == "__main__":
    main()
