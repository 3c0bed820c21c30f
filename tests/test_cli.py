"""The command line: what it refuses, before sampling and without traces; what it prints and writes."""

import json
import os
import signal
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from typer.testing import CliRunner

import bayesrepair
from bayesrepair.cli import app
from bayesrepair.cli.errors import clear_errors, heard_warnings
from bayesrepair.cli.folder import output_folder
from bayesrepair.diagnosis import run as run_module
from bayesrepair.status import BayesRepairWarning, DataError, SamplingInterrupted

FILES = {"report.html", "causes.csv", "failures.csv", "posterior.nc", "receipt.json", "summary.json", "report.json"}


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    return tmp_path


@pytest.fixture
def nothing_sampled(monkeypatch):
    def fail(*arguments, **options):
        raise AssertionError("a model was sampled")

    monkeypatch.setattr(run_module, "from_table", fail)


def run(*arguments):
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def table(n=60, seed=0):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=n)
    sick = rng.random(n) < 1 / (1 + np.exp(-2 * x))
    who = np.resize(["Ann", "Bob", "Cid"], n)
    return pd.DataFrame({"id": np.arange(n) + 100, "x": x, "who": who, "sick": np.where(sick, "yes", "no")})


def write(frame, name="train.csv"):
    frame.to_csv(name, index=False)
    return name


def refused(result, *said):
    """One clear message and exit code 2."""
    assert result.exit_code == 2, result.output
    message = " ".join(result.output.split())
    for words in said:
        assert words in message
    assert message.count("error:") == 1
    assert "Traceback" not in message


def spoiled(row, **values):
    frame = table().astype(dict.fromkeys(values, object))
    for name, value in values.items():
        frame.loc[row, name] = value
    return frame


BAD_TABLES = {
    "unknown target": (table(), ["--target", "sik"], "Did you mean 'sick'?"),
    "position of no column": (table(), ["--target", "9"], "from 1 to 4"),
    "unknown id": (table(), ["--target", "sick", "--id", "ident"], "a column of ids among id, x, who, sick"),
    "unknown group": (table(), ["--target", "sick", "--group", "whom"], "Did you mean 'who'?"),
    "unknown in formula": (table(), ["--target", "sick", "--formula", "sick ~ xx"], "'xx'"),
    "one class": (table().assign(sick="yes"), ["--target", "sick"], "at least two classes"),
    "few rows": (table(9), ["--target", "sick"], "at least 10 training rows"),
    "few rows to train on": (table(12), ["--target", "sick", "--holdout", "0.5"], "at least 10 training rows"),
    "empty column": (table().assign(x=np.nan), ["--target", "sick"], "values in the column 'x'"),
    "missing target": (spoiled(3, sick=""), ["--target", "sick"], "an outcome in every row of 'sick'; got 1"),
    "infinite": (spoiled(3, x="inf"), ["--target", "sick"], "finite values in 'x'", "row 3"),
    "duplicate ids": (spoiled(3, id=100), ["--target", "sick", "--id", "id"], "100 more than once"),
    "missing ids": (spoiled(3, id=""), ["--target", "sick", "--id", "id"], "an id in each row"),
    "target as ids": (table(), ["--target", "sick", "--id", "sick"], "another column than the target"),
    "words for numbers": (table(), ["--target", "who", "--family", "gaussian"], "numbers in the target"),
    "counts below zero": (table(), ["--target", "x", "--family", "poisson"], "counts 0, 1, 2"),
    "three classes": (table(), ["--target", "who", "--family", "bernoulli"], "two classes in 'who'"),
    "share": (table(), ["--target", "sick", "--holdout", "1.5"], "between 0 and 1"),
    "all rows": (table(), ["--target", "sick", "--top", "42"], "leaves none"),
    "more than all rows": (table(), ["--target", "sick", "--top", "400"], "fewer rows to repair"),
    "no rows": (table(), ["--target", "sick", "--top", "0"], "at least one row to repair"),
    "no number": (table(), ["--target", "sick", "--top", "many"], "--top auto, or a number of rows"),
    "relabelled numbers": (table(), ["--target", "x", "--action", "relabel"], "--action delete"),
    "unknown method": (
        table(),
        ["--target", "sick", "--method", "magic"],
        "a method among auto, weights, marginal, transport, moves, resample, newton, retrain;",
    ),
    "failures without test": (table(), ["--target", "sick", "--failures", "f"], "--test with --failures"),
}


@pytest.mark.usefixtures("nothing_sampled")
@pytest.mark.parametrize("case", BAD_TABLES)
def test_bad_training_tables_are_refused(here, case):
    frame, options, *said = BAD_TABLES[case]
    refused(run("diagnose", write(frame), *options), *said)
    assert os.listdir(here) == ["train.csv"]


BAD_TESTS = {
    "missing column": (table().drop(columns="x"), "1 missing: 'x'"),
    "renamed column": (table().rename(columns={"x": "x1"}), "Is it 'x1' there?"),
    "words for numbers": (table().assign(x="low"), "numbers in the held-out column 'x'"),
    "unseen class": (spoiled(3, sick="perhaps"), "classes of 'sick' seen in training; got 'perhaps'"),
    "unseen level": (spoiled(3, who="Dan"), "levels of 'who' seen in training", "'Dan'"),
    "missing outcome": (spoiled(3, sick=""), "an outcome in every row of 'sick'"),
    "infinite": (spoiled(3, x="-inf"), "finite values in 'x'"),
}


@pytest.mark.usefixtures("nothing_sampled")
@pytest.mark.parametrize("case", BAD_TESTS)
def test_bad_held_out_tables_are_refused(here, case):
    frame, *said = BAD_TESTS[case]
    options = ["--target", "sick", "--test", write(frame, "test.csv")]
    refused(run("diagnose", write(table()), *options), *said)
    assert sorted(os.listdir(here)) == ["test.csv", "train.csv"]


@pytest.mark.usefixtures("nothing_sampled")
def test_failures_must_be_held_out_rows():
    Path("failed.txt").write_text("7\n999\n")
    options = ["--target", "sick", "--test", write(table(), "test.csv"), "--failures", "failed.txt"]
    refused(run("diagnose", write(table()), *options), "1 unknown, such as '999'")


@pytest.mark.usefixtures("nothing_sampled")
def test_files_must_exist_and_options_agree():
    refused(run("diagnose", "none.csv", "--target", "sick"), "no such file")
    options = ["--target", "sick", "--test", write(table(), "test.csv"), "--holdout", "0.3"]
    refused(run("diagnose", write(table()), *options), "--test or --holdout; got both")
    assert run("diagnose", "train.csv").exit_code == 2
    assert run("diagnose", "train.csv", "--target", "sick", "--family", "beta").exit_code == 2


@pytest.mark.usefixtures("nothing_sampled")
def test_existing_folders_are_not_overwritten(here):
    (here / "diagnosis").mkdir()
    (here / "diagnosis" / "novel.txt").write_text("chapter one")
    write(table())
    refused(run("diagnose", "train.csv", "--target", "sick"), "which does", "Add --force")
    refused(run("diagnose", "train.csv", "--target", "sick", "--force"), "novel.txt")
    assert (here / "diagnosis" / "novel.txt").read_text() == "chapter one"
    refused(run("diagnose", "train.csv", "--target", "sick", "--out", ".", "--force"), "train.csv")


def half_written(folder, error, *, force):
    with output_folder(folder, force=force) as partial:
        (partial / "causes.csv").write_text("half")
        raise error


def test_output_folder_appears_whole_or_not_at_all(here):
    with pytest.raises(ZeroDivisionError):
        half_written(here / "out", ZeroDivisionError, force=False)
    assert os.listdir(here) == []
    with output_folder(here / "out", force=False) as partial:
        assert os.listdir(here) == ["out.partial"]
        (partial / "causes.csv").write_text("old")
    with pytest.raises(KeyboardInterrupt):
        half_written(here / "out", KeyboardInterrupt, force=True)
    assert (here / "out" / "causes.csv").read_text() == "old"
    with output_folder(here / "out", force=True) as partial:
        (partial / "summary.json").write_text("new")
    assert os.listdir(here) == ["out"]
    assert os.listdir(here / "out") == ["summary.json"]
    (here / "out.partial").mkdir()
    with pytest.raises(DataError, match="no unfinished folder"), output_folder(here / "out", force=True):
        pass
    assert (here / "out.partial").is_dir()


def test_interruption_leaves_nothing_and_says_so(here, monkeypatch):
    def interrupted(*arguments, **options):
        raise SamplingInterrupted("120 of 1000 draws")

    monkeypatch.setattr(run_module, "from_table", interrupted)
    result = run("diagnose", write(table()), "--target", "sick")
    assert result.exit_code == 130
    assert "interrupted: nothing was written" in result.output
    assert os.listdir(here) == ["train.csv"]


def test_only_what_the_user_can_mend_becomes_a_message():
    with pytest.raises(ZeroDivisionError), clear_errors():
        raise ZeroDivisionError


def test_own_warnings_become_notes_and_others_stay():
    told = []
    with warnings.catch_warnings(record=True) as others:
        warnings.simplefilter("always")
        with heard_warnings(told.append) as heard:
            warnings.warn("chains disagree", BayesRepairWarning, stacklevel=1)
            warnings.warn("chains disagree", BayesRepairWarning, stacklevel=1)
            warnings.warn("old", UserWarning, stacklevel=1)
    assert told == heard == ["chains disagree"]
    assert [str(w.message) for w in others] == ["old"]


def test_examples_are_listed_and_written(here):
    listed = run("example")
    assert listed.exit_code == 0
    assert "clinic" in listed.output
    refused(run("example", "clinc"), "Did you mean load('clinic')?")
    written = run("example", "radial", "--out", "r")
    assert written.exit_code == 0
    assert "bayesrepair diagnose" in written.output
    assert {"train.csv", "test.csv", "truth.csv"} <= set(os.listdir(here / "r"))
    refused(run("example", "radial", "--out", "r"), "which does")
    assert run("example", "radial", "--out", "r", "--force").exit_code == 0


def test_version_and_help():
    assert run("--version").output.strip() == f"bayesrepair {bayesrepair.__version__}"
    for command in ("diagnose", "example", "report", "demo"):
        assert "bayesrepair" in run(command, "--help").output
    shown = subprocess.run(
        [sys.executable, "-m", "bayesrepair", "--version"], capture_output=True, text=True, check=True
    )
    assert bayesrepair.__version__ in shown.stdout


def small(frame, *options, out="out"):
    return run("diagnose", write(frame), "--draws", "100", "--out", out, *options)


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """One run from a table to a report, with everything on."""
    folder = tmp_path_factory.mktemp("finished")
    frame = table(240)
    wrong = frame.index[(frame["who"] == "Bob") & (frame["x"] > 0)][:20]
    frame.loc[wrong, "sick"] = "no"
    test = table(150, seed=1).assign(id=lambda f: f["id"] + 1000)
    frame.to_csv(folder / "train.csv", index=False)
    test.to_csv(folder / "test.csv", index=False)
    options = ["--test", folder / "test.csv", "--id", "id", "--group", "who", "--top", "8", "--verify"]
    result = run(
        "diagnose", folder / "train.csv", "--target", "sick", *options, "--draws", "150", "--out", folder / "out"
    )
    return folder, result


def test_a_run_says_what_it_does(finished):
    folder, result = finished
    assert result.exit_code == 0, result.output
    first = result.output.splitlines()[0]
    for words in ("train.csv: 240 rows", "header in row 1", "row ids from 'id'", "target 'sick'", "bernoulli"):
        assert words in first
    for words in ("sampling", "Ranking 240", "Repairing", "Verifying", "Top causes", "By who", "report.html"):
        assert words in result.output
    assert not (folder / "out.partial").exists()


def test_a_run_writes_its_files(finished):
    folder, _ = finished
    out = folder / "out"
    assert set(os.listdir(out)) == FILES
    causes = pd.read_csv(out / "causes.csv")
    columns = ["row", "score", "mcse", "prob_top", "rank_low", "rank_high", "given", "surprise"]
    assert list(causes.columns[:8]) == columns
    assert len(causes) == 240
    assert causes["row"].min() >= 100
    tree = xr.open_datatree(out / "posterior.nc", engine="h5netcdf")
    assert {"/original/posterior", "/repaired/posterior", "/receipt"} <= set(tree.groups)
    tree.close()
    summary = json.loads((out / "summary.json").read_text())
    assert summary["k"] == 8
    assert summary["treated"] == causes["row"].head(8).tolist()
    assert {line["part"] for line in summary["held_out"]} >= {"failures held apart", "all held-out rows"}
    receipt = json.loads((out / "receipt.json").read_text())
    assert len(receipt["rows"]) == 8
    assert receipt["verdict"] in ("verified", "unverified")
    failed = pd.read_csv(out / "failures.csv")
    assert len(failed) == summary["failures"]["count"]
    assert failed["row"].min() >= 1000


def test_a_report_can_be_written_again(finished):
    out = finished[0] / "out"
    page = (out / "report.html").read_text()
    (out / "report.html").unlink()
    result = run("report", out)
    assert result.exit_code == 0, result.output
    assert (out / "report.html").read_text() == page


def test_reports_need_a_finished_run(here):
    refused(run("report", here / "none"), "no such folder")
    refused(run("report", here), "report.json")
    (here / "report.json").write_text('{"format": 0}')
    refused(run("report", here), "the contents of a report", "format 0")
    assert os.listdir(here) == ["report.json"]


def test_demo_finds_flipped_labels_and_makes_predictions_better(here):
    result = run("demo", "--draws", "250")
    assert result.exit_code == 0, result.output
    assert "Wrong labels among the top 28" in result.output
    summary = json.loads((here / "demo-out" / "summary.json").read_text())
    found = {line["ranking"]: line for line in summary["detection"]}
    causes = found["cause score (failures and handled rows)"]
    assert causes["precision_at_k"] > 5 * causes["chance"]
    assert found["training loss"]["precision_at_k"] > 5 * causes["chance"]
    everything = next(line for line in summary["held_out"] if line["part"] == "all held-out rows")
    assert summary["k"] > 0
    assert everything["accuracy_after"] >= everything["accuracy_before"]
    assert everything["log_score_gain"] > 2 * everything["gain_se"]
    assert summary["verification"]


def test_listed_failures_are_the_failures(finished, here):
    folder, _ = finished
    test = pd.read_csv(folder / "test.csv")
    Path("failed.txt").write_text("\n".join(map(str, test["id"].head(5))))
    options = ["--test", folder / "test.csv", "--id", "id", "--failures", "failed.txt", "--action", "none"]
    result = run("diagnose", folder / "train.csv", "--target", "sick", *options, "--draws", "100")
    assert result.exit_code == 0, result.output
    assert pd.read_csv(here / "diagnosis" / "failures.csv")["row"].sort_values().tolist() == test["id"].head(5).tolist()
    assert json.loads((here / "diagnosis" / "summary.json").read_text())["action"] == "none"


def test_a_fit_without_failures_ends_with_a_message(here):
    frame = table(60).assign(sick=lambda f: np.where(f["x"] > 0, "yes", "no"), x=lambda f: 20 * np.sign(f["x"]))
    result = small(frame.drop(columns=["id", "who"]), "--target", "sick")
    refused(result, "at least one failure among the held-out rows", "nothing to explain")
    assert os.listdir(here) == ["train.csv"]


def test_a_narrower_interval_is_offered_where_no_number_fails(here):
    frame = table(60).drop(columns=["id", "who", "sick"])
    frame["weight"] = frame["x"] + np.random.default_rng(0).normal(size=60)
    result = small(frame, "--target", "weight", "--level", "0.0001")
    refused(result, "at least one failure among the held-out rows", "--level")


@pytest.mark.shared_data
@pytest.mark.parametrize(
    ("file", "options"),
    [("pima/pima_indians_diabetes.csv", []), ("german_credit/german.csv", ["--top", "10", "--action", "relabel"])],
)
def test_public_tables_as_they_lie(here, file, options):
    path = Path(os.environ["BAYESREPAIR_DATA"]) / file
    result = run("diagnose", path, "--target", "-1", "--draws", "250", *options)
    assert result.exit_code == 0, result.output
    assert "no header" in result.output.splitlines()[0]
    assert set(os.listdir(here / "diagnosis")) == FILES


def test_ctrl_c_during_sampling_is_noticed(here):
    write(table(400))
    command = [sys.executable, "-m", "bayesrepair", "diagnose", "train.csv", "--target", "sick", "--draws", "200000"]
    # what runs in the background of a shell ignores Ctrl-C, and hands that down
    heard = signal.signal(signal.SIGINT, signal.default_int_handler)
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    signal.signal(signal.SIGINT, heard)
    for line in process.stdout:
        if "sampling" in line:
            break
    process.send_signal(signal.SIGINT)
    rest, _ = process.communicate(timeout=120)
    assert process.returncode == 130, rest
    assert "interrupted" in rest
    assert os.listdir(here) == ["train.csv"]
