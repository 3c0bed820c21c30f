"""Scoring on Dask workers: the bits of one process, whatever happens to a worker."""

import os
import signal
import socket
import subprocess
import sys
import time

import dask
import numpy as np
import pandas as pd
import pytest
from distributed import Client, LocalCluster
from typer.testing import CliRunner

import bayesrepair as br
from bayesrepair.cli import app
from bayesrepair.status import DataError, MissingExtraError, ScoringInterrupted
from bayesrepair.streaming import cluster, pieces
from tests.streamed import assert_same_bits, logistic_problem

ROWS = 2000

# sockets that Dask leaves to the garbage collector, when a worker dies above all
pytestmark = [
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
]


@pytest.fixture(autouse=True)
def small_pieces(monkeypatch):
    monkeypatch.setattr(pieces, "PIECE_ROWS", 100)


@pytest.fixture(scope="module")
def client():
    patient = {
        "distributed.deploy.lost-worker-timeout": "300s"
    }  # a killed worker takes long to come back on a busy core
    with (
        dask.config.set(patient),
        LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=":0", host="127.0.0.1") as workers,
        Client(workers, set_as_default=False) as client,
    ):
        yield client


@pytest.fixture(scope="module")
def problem():
    return logistic_problem(ROWS)


def scored(fit, failures, **options):
    return br.find_causes(fit, failures, progressbar=False, **options)


def test_two_workers_give_the_bits_of_one_process(problem, client):
    assert_same_bits(scored(*problem, client=client), scored(*problem))


@pytest.fixture(scope="module")
def table_problem():
    rng = np.random.default_rng(0)
    table = pd.DataFrame({"a": rng.normal(size=600), "b": rng.normal(size=600)})
    table["y"] = np.where(rng.random(600) < 1 / (1 + np.exp(-table["a"])), "yes", "no")
    return br.from_table(table.iloc[:200], target="y", method="laplace"), table


def test_a_pymc_model_is_sent_and_compiled_once_a_worker(table_problem, client, tmp_path):
    fit, table = table_problem
    table.to_parquet(tmp_path / "rows.parquet", row_group_size=70)
    options = {"rows": tmp_path / "rows.parquet", "store": tmp_path / "scores.zarr"}
    there = scored(fit, table.iloc[200:220], client=client, **options)
    assert_same_bits(there, scored(fit, table.iloc[200:220], rows=options["rows"]))
    held = client.run(lambda: len(sys.modules["bayesrepair.streaming.cluster"]._functions))
    assert set(held.values()) == {1}


def test_suspects_from_workers_are_those_of_one_process(table_problem, client):
    fit, _ = table_problem
    here = br.find_suspects(fit, method="laplace")
    there = br.find_suspects(fit, method="laplace", client=client)
    pd.testing.assert_frame_equal(there.frame(), here.frame(), check_exact=True)
    np.testing.assert_array_equal(there.suspicion.count, here.suspicion.count)


def slow(seconds):
    """On a worker: let every piece take some time."""
    from bayesrepair.streaming import cluster

    done = cluster.__dict__.setdefault("_plain_done", cluster._call)

    def late(function, piece):
        time.sleep(seconds)
        return done(function, piece)

    cluster._call = late


@pytest.mark.parametrize("victims", [1, 2])
def test_a_killed_worker_costs_its_pieces_only(problem, client, monkeypatch, victims):
    client.run(slow, 0.1)
    result, pids, given_out = cluster._result, list(client.run(os.getpid).values()), []

    def killing(future):
        given_out.append(future)
        if len(given_out) == 4:
            for pid in pids[:victims]:
                os.kill(pid, signal.SIGKILL)
        return result(future)

    monkeypatch.setattr(cluster, "_result", killing)
    again = scored(*problem, client=client)
    assert len(given_out) <= 20 + 2 * len(pids)  # of 20 pieces, those that were handed out are done again
    assert not set(pids[:victims]) & set(client.run(os.getpid).values())
    assert_same_bits(again, scored(*problem))
    client.wait_for_workers(2)


def test_an_error_in_a_worker_is_the_error_here(problem, client):
    fit, failures = problem
    broken = br.Rows({"x": fit.rows.values["x"][:, :2], "y": fit.rows.values["y"]}, fit.rows.row)
    with pytest.raises(ValueError, match="matmul"):
        scored(fit, failures, rows=broken, client=client)


def test_an_interrupt_leaves_a_store_to_go_on_from(problem, client, tmp_path, monkeypatch):
    result, store, calls = cluster._result, tmp_path / "scores.zarr", []

    def stopping(future):
        calls.append(future)
        if len(calls) > 5:
            raise KeyboardInterrupt
        return result(future)

    monkeypatch.setattr(cluster, "_result", stopping)
    with pytest.raises(ScoringInterrupted, match="5 of 20 pieces"):
        scored(*problem, client=client, store=store)
    monkeypatch.setattr(cluster, "_result", result)
    assert_same_bits(scored(*problem, store=store), scored(*problem))


@pytest.fixture(scope="module")
def address():
    """A scheduler and a worker, each a process of its own, that know one another by TCP only."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    where = f"tcp://127.0.0.1:{port}"
    command = [sys.executable, "-m", "distributed.cli.dask_scheduler", "--host", "127.0.0.1", "--port", str(port)]
    worker = [
        sys.executable,
        "-m",
        "distributed.cli.dask_worker",
        where,
        "--nthreads",
        "1",
        "--dashboard-address",
        ":0",
    ]
    silent = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    started = [subprocess.Popen([*command, "--dashboard-address", ":0"], **silent), subprocess.Popen(worker, **silent)]
    yield where
    for process in reversed(started):
        process.terminate()
        process.wait()


def test_an_address_is_enough(problem, address):
    assert_same_bits(scored(*problem, client=address), scored(*problem))


def test_the_command_line_takes_an_address(table_problem, address, tmp_path):
    table_problem[1].iloc[:200].to_csv(tmp_path / "rows.csv", index=False)

    def run(out, *options):
        where = [str(tmp_path / "rows.csv"), "--target", "y", "--method", "laplace", "--out", str(tmp_path / out)]
        return CliRunner().invoke(app, ["suspects", *where, *options])

    for out, options in (("here", []), ("there", ["--dask", address])):
        result = run(out, *options)
        assert result.exit_code == 0, result.output
    here, there = (pd.read_csv(tmp_path / out / "suspects.csv") for out in ("here", "there"))
    pd.testing.assert_frame_equal(there, here, check_exact=True)
    refused = run("nowhere", "--dask", "no address")
    assert refused.exit_code == 2
    assert "dask scheduler" in " ".join(refused.output.split())


def test_what_is_no_cluster_is_refused(problem):
    with pytest.raises(DataError, match="dask scheduler"):
        scored(*problem, client="no address")
    with pytest.raises(DataError, match=r"distributed\.Client"):
        scored(*problem, client=3)


def test_without_dask_the_line_to_type_is_said(problem, monkeypatch):
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'bayesrepair\[dask\]'"):
        scored(*problem, client="tcp://127.0.0.1:1")
