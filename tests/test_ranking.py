"""Frames of rows in the order of a score."""

import tracemalloc

import numpy as np
import pandas as pd
import pytest

from bayesrepair.ranking import ranked, ranked_columns

TABLES = {
    "none": None,
    "own columns": pd.DataFrame({"mcse": [1, 2, 3, 4], "x": list("abcd")}, index=["d", "a", "c", "b"]),
}


@pytest.mark.parametrize("table", TABLES)
@pytest.mark.parametrize("ids", [["b", "d", "a", "c"], ["a", "b", "c", "d"]], ids=["any order", "in order"])
def test_columns_give_the_frame_that_the_frame_gives(ids, table):
    index = pd.Index(ids, name="row")
    columns = {
        "score": np.array([1.0, 3.0, 1.0, -2.0]),
        "mcse": np.arange(4.0),
        "given": np.array(list("wxyz"), object),
    }
    expected = ranked(pd.DataFrame(columns, index=index), "score", TABLES[table])
    assert expected["score"].is_monotonic_decreasing
    assert expected.index[1] == "a"  # of two equal scores the row that comes first
    given = dict(columns)
    pd.testing.assert_frame_equal(ranked_columns(given, index, "score", TABLES[table]), expected)
    assert not given


def test_columns_are_in_memory_once():
    N, names = 200_000, ["score", *"abcdef"]
    rng = np.random.default_rng(0)
    tracemalloc.start()
    frame = ranked_columns({name: rng.standard_normal(N) for name in names}, pd.RangeIndex(N), "score", None)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1.4 * N * 8 * (len(frame.columns) + 1)
