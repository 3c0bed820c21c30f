"""The regression guard: ratios that got worse are named, the worst first; noise, gains and new lines are not."""

import pandas as pd

from benchmarks import guard
from benchmarks.guard import Guarded, worse

GUARDED = Guarded(("what",), faster=("share",), slower=("cost",), tolerance=0.2)


def table(**columns):
    return pd.DataFrame({"what": ["a", "b", "c"], **columns})


def test_what_got_slower_is_named_the_worst_first():
    before = table(share=[1.0, 1.0, 1.0], cost=[0.1, 0.1, 0.1])
    now = table(share=[0.7, 1.5, 0.9], cost=[0.1, 0.3, 0.05])
    assert worse(now, before, GUARDED) == ["b: cost 0.1 → 0.3", "a: share 1 → 0.7"]


def test_the_direction_counts():
    before, now = table(share=[1.0, 1.0, 1.0]), table(share=[2.0, 1.0, 1.0])
    assert worse(now, before, GUARDED) == []
    assert worse(before, now, GUARDED) == ["a: share 2 → 1"]


def test_lines_and_columns_that_are_new_are_left_out():
    before = pd.DataFrame({"what": ["a"], "share": [1.0]})
    assert worse(table(share=[1.0, 0.1, 0.1], cost=[9.0, 9.0, 9.0]), before, GUARDED) == []


def test_medians_of_several_lines_are_compared():
    before = pd.DataFrame({"what": ["a"] * 3, "cost": [0.1, 0.2, 0.3]})
    now = pd.DataFrame({"what": ["a"] * 3, "cost": [0.2, 0.9, 0.2]})
    assert worse(now, before, GUARDED) == []


def test_committed_tables_are_found_and_as_good_as_themselves(capsys):
    for name, guarded in guard.TABLES.items():
        committed = guard.committed(name)
        assert {*guarded.keys, *guarded.faster, *guarded.slower} <= set(committed)
        guard.guard(name, committed)
    assert capsys.readouterr().out.count("0 ratios worse") == len(guard.TABLES)
    guard.guard("no such table", committed)
    assert "no table is committed" in capsys.readouterr().out
