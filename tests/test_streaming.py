"""Scoring piece by piece: the same scores from any source, kept on disk, resumed to the bit, in bounded memory."""

import json
import os
import pickle
import subprocess
import sys
import threading
import tracemalloc

import cloudpickle
import dask.dataframe as dd
import numpy as np
import pandas as pd
import pymc as pm
import pytest
import xarray as xr
import zarr

import bayesrepair as br
from bayesrepair.status import DataError, MethodError, ScoringInterrupted
from bayesrepair.streaming import pieces, runner
from bayesrepair.streaming.piecewise import Piecewise
from bayesrepair.streaming.scorer import RowScorer
from tests.streamed import N, S, assert_same_bits, logistic_problem


@pytest.fixture(autouse=True)
def small_pieces(monkeypatch):
    monkeypatch.setattr(pieces, "PIECE_ROWS", 300)


@pytest.fixture(scope="module")
def problem():
    return logistic_problem()


@pytest.fixture(scope="module")
def table_problem():
    """A fit of a table, and a longer table whose first rows are the fit's own."""
    rng = np.random.default_rng(1)
    size = 900
    table = pd.DataFrame({"a": rng.normal(size=size), "b": rng.normal(size=size)})
    table["site"] = rng.choice(["north", "south"], size)
    table["y"] = np.where(rng.random(size) < 1 / (1 + np.exp(-2 * table["a"])), "yes", "no")
    fit = br.from_table(table.iloc[:200], target="y", method="laplace")
    return fit, table.iloc[200:230], table


def scored(fit, failures, **options):
    return br.find_causes(fit, failures, progressbar=False, **options)


def test_pieces_give_the_scores_of_one_block(problem, monkeypatch):
    fit, failures = problem
    cut = scored(fit, failures)
    monkeypatch.setattr(pieces, "PIECE_ROWS", 10**6)
    whole = scored(fit, failures, block=N)
    pd.testing.assert_frame_equal(cut.frame().sort_index(), whole.frame().sort_index(), rtol=1e-5, atol=1e-9)


@pytest.fixture(scope="module")
def recognised():
    """A fit whose likelihood has kernels, and failures."""
    rng = np.random.default_rng(3)
    table = pd.DataFrame({"a": rng.normal(size=2000), "b": rng.normal(size=2000)})
    table["y"] = np.where(rng.random(2000) < 1 / (1 + np.exp(-2 * table["a"])), "yes", "no")
    return br.from_table(table.iloc[:1800], target="y", method="laplace"), table.iloc[1800:1830]


def test_threads_give_the_bits_of_one(recognised, monkeypatch):
    fit, failures = recognised
    monkeypatch.setattr(runner, "_processors", lambda: 1)
    alone = scored(fit, failures)
    assert alone.arithmetic.concurrent
    seen, scoring = set(), RowScorer.of_block

    def of_block(self, rows, rng):
        seen.add(threading.get_ident())
        meeting.wait(60)  # until three are at work at the same time
        return scoring(self, rows, rng)

    meeting = threading.Barrier(3, action=lambda: monkeypatch.setattr(RowScorer, "of_block", scoring))
    monkeypatch.setattr(runner, "_processors", lambda: 3)
    first = []

    def after_the_first(self, rows, rng):
        if not first:
            first.append(threading.get_ident())
            return scoring(self, rows, rng)
        return of_block(self, rows, rng)

    monkeypatch.setattr(RowScorer, "of_block", after_the_first)
    assert_same_bits(scored(fit, failures), alone)
    assert len(seen) == 3
    assert threading.main_thread().ident not in seen


def test_a_model_that_is_no_kernel_is_asked_by_one_thread(problem, monkeypatch):
    fit, failures = problem
    monkeypatch.setattr(runner, "ThreadPoolExecutor", None)
    monkeypatch.setattr(runner, "_processors", lambda: 3)
    assert not scored(fit, failures).arithmetic.concurrent


def test_the_same_rows_have_the_same_scores_from_every_source(table_problem, tmp_path):
    fit, failures, table = table_problem
    memory = scored(fit, failures, rows=table)
    table.to_parquet(tmp_path / "rows.parquet", row_group_size=170)
    table.to_csv(tmp_path / "rows.csv", index=False)
    lazy = dd.from_pandas(table, npartitions=3)
    assert len(memory) == len(table)
    for rows in (tmp_path / "rows.parquet", str(tmp_path / "rows.csv"), lazy):
        again = scored(fit, failures, rows=rows)
        pd.testing.assert_frame_equal(again.frame(), memory.frame(), check_exact=True, check_index_type=False)
        np.testing.assert_array_equal(again.rows.at(np.array([5, 700])).values["y"], table["y"].iloc[[5, 700]] == "yes")


@pytest.mark.parametrize("chunks", [None, 170])
def test_a_dataset_of_arrays_is_scored_by_a_pymc_model(chunks):
    rng = np.random.default_rng(2)
    x = rng.normal(size=(700, 2))
    y = rng.normal(x @ [1.0, -1.0])
    with pm.Model() as model:
        b = pm.Normal("b", shape=2)
        pm.Normal("y", pm.Data("x", x[:200]) @ b, 1.0, observed=y[:200])
    fit = br.from_pymc(model, method="laplace")
    data = xr.Dataset({"x": (("obs", "k"), x), "y": ("obs", y)}, coords={"obs": np.arange(700) + 5})
    failures = {"x": x[:9], "y": y[:9] + 3}
    found = scored(fit, failures, rows=data if chunks is None else data.chunk({"obs": chunks}))
    memory = scored(fit, failures, rows=br.Rows({"x": x, "y": y}, np.arange(700) + 5))
    assert_same_bits(found, memory)


def test_rows_that_are_the_fits_own_have_their_own_scores(table_problem):
    fit, failures, table = table_problem
    own, all_rows = scored(fit, failures), scored(fit, failures, rows=table)
    columns = ["score", "mcse", "surprise"]
    expected = own.frame()[columns].sort_index()
    found = all_rows.frame()[columns].loc[expected.index]
    pd.testing.assert_frame_equal(found, expected, check_names=False, rtol=1e-9)


def test_what_takes_rows_out_of_the_fit_wants_the_fits_own(table_problem):
    fit, failures, table = table_problem
    causes = scored(fit, failures, rows=table)
    assert not causes.own
    for call in (lambda: causes.by("site"), lambda: causes.joint([1]), lambda: causes.search()):
        with pytest.raises(DataError, match="rows="):
            call()
    assert "900 rows ranked" in repr(causes)


def test_rows_that_the_model_cannot_read_are_refused(table_problem):
    fit, failures, table = table_problem
    with pytest.raises(DataError, match="'a'"):
        scored(fit, failures, rows=table.drop(columns="a"))
    with pytest.raises(DataError, match="outcome"):
        scored(fit, failures, rows=table.drop(columns="y"))
    with pytest.raises(DataError, match="at least one row"):
        scored(fit, failures, rows=table.iloc[:0])


def test_the_frame_goes_to_parquet_and_back(problem, tmp_path):
    causes = scored(*problem)
    path = causes.to_parquet(tmp_path / "scores.parquet")
    pd.testing.assert_frame_equal(pd.read_parquet(path), causes.frame(), check_dtype=False, check_exact=True)
    assert os.listdir(tmp_path) == ["scores.parquet"]


@pytest.mark.parametrize("method", ["covariance", "single", "weights"])
def test_the_block_function_travels_and_gives_the_same_bits(problem, method, monkeypatch):
    fit, failures = problem
    seen = []
    monkeypatch.setattr("bayesrepair.scored_rows.RowScorer", lambda *parts: seen.append(RowScorer(*parts)) or seen[-1])
    scored(fit, failures, method=method)
    here = seen[0](fit.rows)
    for there in (pickle.loads(pickle.dumps(seen[0])), cloudpickle.loads(cloudpickle.dumps(seen[0]))):
        for name, values in there(fit.rows).items():
            np.testing.assert_array_equal(values, here[name])


def test_a_store_holds_what_the_result_says(problem, tmp_path):
    causes = scored(*problem, store=tmp_path / "scores.zarr")
    assert_same_bits(causes, scored(*problem))
    kept = zarr.open_group(tmp_path / "scores.zarr", mode="r")
    assert sorted(name for name, _ in kept.arrays()) == ["batch", "done", "given", "group", "score", "surprise"]
    np.testing.assert_array_equal(kept["score"][:], causes.scored.score)
    assert kept["done"][:].tolist() == [1] * 4


class Stop:
    """Lets a few pieces be scored, then stops the run."""

    def __init__(self, monkeypatch, after, error):
        self.calls, score = 0, Piecewise.__call__

        def call(scorer, *arguments):
            self.calls += 1
            if self.calls > after:
                raise error
            return score(scorer, *arguments)

        monkeypatch.setattr(Piecewise, "__call__", call)


def test_a_run_that_was_interrupted_goes_on_where_it_was(problem, tmp_path):
    whole, store = scored(*problem), tmp_path / "scores.zarr"
    for _ in range(2):
        with pytest.MonkeyPatch.context() as patch:
            Stop(patch, 1, KeyboardInterrupt())
            with pytest.raises(ScoringInterrupted, match="same call again"):
                scored(*problem, store=store)
    with pytest.MonkeyPatch.context() as patch:
        stop = Stop(patch, 2, AssertionError("pieces were scored again"))
        assert_same_bits(scored(*problem, store=store), whole)
        assert stop.calls == 2
        assert_same_bits(scored(*problem, store=store), whole)
        assert stop.calls == 2


def test_a_run_on_threads_that_was_interrupted_goes_on_where_it_was(recognised, tmp_path, monkeypatch):
    monkeypatch.setattr(runner, "_processors", lambda: 3)
    whole, store = scored(*recognised), tmp_path / "scores.zarr"
    with pytest.MonkeyPatch.context() as patch:
        Stop(patch, 3, KeyboardInterrupt())
        with pytest.raises(ScoringInterrupted, match="same call again"):
            scored(*recognised, store=store)
    assert_same_bits(scored(*recognised, store=store), whole)


def test_without_a_store_an_interrupt_is_an_interrupt(problem, monkeypatch):
    Stop(monkeypatch, 1, KeyboardInterrupt())
    with pytest.raises(KeyboardInterrupt) as stopped:
        scored(*problem)
    assert not isinstance(stopped.value, ScoringInterrupted)


def test_results_without_their_flag_are_written_anew(problem, tmp_path):
    whole, store = scored(*problem), tmp_path / "scores.zarr"
    scored(*problem, store=store)
    kept = zarr.open_group(store, mode="a")
    kept["done"][1] = 0
    kept["score"][300:600] = np.nan  # as if the process had been killed while it wrote
    assert_same_bits(scored(*problem, store=store), whole)


def test_a_store_of_another_run_is_refused_by_what_differs(problem, tmp_path):
    fit, failures = problem
    store = tmp_path / "scores.zarr"
    scored(fit, failures, store=store)
    fewer = failures.at(slice(0, 5))
    moved = br.Fit(fit.model, fit.rows, br.posterior.Draws.plain(fit.draws.theta + 0.1, fit.draws.chain))
    changed = fit.rows.replace(y=1 - fit.rows.values["y"])
    cases = [
        ("the failures", lambda: scored(fit, fewer, store=store)),
        ("the draws", lambda: scored(moved, failures, store=store)),
        ("the method", lambda: scored(fit, failures, method="single", store=store)),
        ("the rows", lambda: scored(fit, failures, rows=changed, store=store)),
        ("pieces and blocks", lambda: scored(fit, failures, block=7, store=store)),
    ]
    for name, call in cases:
        with pytest.raises(DataError, match=f"differs in.*{name}.*another path"):
            call()
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "file").write_text("")
    with pytest.raises(DataError, match="not there yet"):
        scored(fit, failures, store=tmp_path / "taken")
    with pytest.raises(MethodError):
        scored(fit, failures, method="none", store=tmp_path / "new")


KILLED = """
import os, sys
import bayesrepair as br
from bayesrepair.streaming import pieces, runner
from bayesrepair.streaming.store import ZarrStore
from tests.streamed import logistic_problem
pieces.PIECE_ROWS = 300
write = ZarrStore.write
def dying(self, piece, start, columns):
    if piece == 2:  # half of the arrays are written, the flag is not
        self._root["score"][start:start + 300] = 7.0
        os.kill(os.getpid(), 9)
    write(self, piece, start, columns)
ZarrStore.write = dying
br.find_causes(*logistic_problem(), progressbar=False, store=sys.argv[1])
"""


def test_a_killed_process_leaves_a_store_to_go_on_from(problem, tmp_path):
    whole, store = scored(*problem), tmp_path / "scores.zarr"
    ended = subprocess.run([sys.executable, "-c", KILLED, str(store)], capture_output=True, cwd=os.getcwd())
    assert ended.returncode == -9, ended.stderr.decode()
    with pytest.MonkeyPatch.context() as patch:
        stop = Stop(patch, 2, AssertionError("pieces were scored again"))
        assert_same_bits(scored(*problem, store=store), whole)
        assert stop.calls == 2


def test_parts_of_many_rows_stay_on_disk_for_as_long_as_they_are_needed(problem, monkeypatch):
    whole = scored(*problem)
    monkeypatch.setattr(pieces, "MANY_ROWS", 999)
    causes = scored(*problem)
    folder = causes.scored.batch.store.folder
    assert os.path.exists(folder)
    assert not isinstance(causes.scored.batch, np.ndarray)
    assert_same_bits(causes, whole)
    again = pickle.loads(pickle.dumps(causes.scored.batch))
    np.testing.assert_array_equal(again, whole.scored.batch)
    labels = pd.Series(np.arange(N) % 3, index=causes.rows.index, name="third")
    pd.testing.assert_frame_equal(causes.by(labels).frame(), whole.by(labels).frame())
    del causes
    assert not os.path.exists(folder)


def test_no_array_of_draws_by_rows_is_made(problem, monkeypatch):
    monkeypatch.setattr(pieces, "PIECE_ROWS", 4096)
    rows = 40_000
    fit, failures = logistic_problem(rows)
    tracemalloc.start()
    causes = scored(fit, failures, block=100)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    results = causes.scored.batch.nbytes + causes.scored.group.nbytes + causes.scores.memory_usage().sum()
    assert results < peak < S * rows * 8 / 3
    assert peak < 5 * results


def test_a_store_says_what_it_is(problem, tmp_path):
    scored(*problem, store=tmp_path / "scores.zarr")
    run = json.loads(zarr.open_group(tmp_path / "scores.zarr", mode="r").attrs["run"])
    assert run["the method"] == "covariance"
    assert run["the sizes of pieces and blocks"] == "300, 5000"
