"""A fit and rows in pieces, for the tests of streamed scoring."""

import numpy as np
import pandas as pd

import bayesrepair as br
from bayesrepair.oracles import Logistic

N, D, S = 1000, 3, 400


def logistic_problem(rows=N):
    """A logistic fit on some rows, and failures."""
    rng = np.random.default_rng(0)
    x, beta = rng.normal(size=(rows + 10, D)), rng.normal(size=D)
    y = (rng.random(rows + 10) < 1 / (1 + np.exp(-x @ beta))).astype(int)
    train = br.Rows({"x": x[:rows], "y": y[:rows]}, np.arange(rows) * 2)
    failures = br.Rows({"x": x[rows:], "y": 1 - y[rows:]}, np.arange(10))
    theta = beta + 0.1 * rng.normal(size=(S, D))
    draws = br.posterior.Draws.plain(theta, np.repeat(np.arange(4), S // 4))
    return br.Fit(Logistic(n_features=D), train, draws), failures


def assert_same_bits(first, second):
    """Two results of `find_causes`, to the bit."""
    pd.testing.assert_frame_equal(first.frame(), second.frame(), check_exact=True)
    for name in ("score", "batch", "group"):
        np.testing.assert_array_equal(getattr(first.scored, name)[:], getattr(second.scored, name)[:])
