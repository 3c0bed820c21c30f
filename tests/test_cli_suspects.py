"""``bayesrepair suspects`` and ``bayesrepair apply``: refusals before sampling, files, and the way back."""

import json

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from bayesrepair.cli import app
from bayesrepair.diagnosis import APPLIED_FILES, LABEL_FILES, labels, reviewed

PLANTED = 12


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    return tmp_path


@pytest.fixture
def nothing_fitted(monkeypatch):
    def fail(*arguments, **options):
        raise AssertionError("a model was fitted")

    for module in (labels, reviewed):
        monkeypatch.setattr(module, "fitted", fail)


def run(*arguments):
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def refused(result, *said):
    assert result.exit_code == 2, result.output
    message = " ".join(result.output.split())
    for words in said:
        assert words in message
    assert "Traceback" not in message


def table(n=160):
    """A clear class boundary, the first labels wrong, half of them by Bob."""
    rng = np.random.default_rng(3)
    x = rng.choice([-1.0, 1.0], n) * rng.uniform(1.0, 2.0, n)
    sick = np.where((x > 0) ^ (np.arange(n) < PLANTED), "yes", "=no")
    who = np.where(np.arange(n) % 2, "Bob", "<b>Ann</b>")
    return pd.DataFrame({"id": np.arange(n) + 100, "x": x, "z": rng.normal(size=n), "who": who, "sick": sick})


def write(frame, name="train.csv"):
    frame.to_csv(name, index=False)
    return name


REFUSED = {
    "unknown target": (["--target", "sik"], "Did you mean 'sick'?"),
    "unknown annotator": (["--target", "sick", "--annotator", "whom"], "Did you mean 'who'?"),
    "target as annotator": (["--target", "sick", "--annotator", "sick"], "another column than the target"),
    "no review": (["--target", "sick", "--reviewed", "none.csv"], "apply writes it: reviewed.csv"),
    "another file as a review": (["--target", "sick", "--reviewed", "half.csv"], "the columns 'row' and 'before'"),
    "unknown class in a review": (["--target", "sick", "--reviewed", "odd.csv"], "classes among", "'perhaps'"),
    "unknown row in a review": (["--target", "sick", "--reviewed", "odd_row.csv"], "row ids such as"),
    "a basis beside a formula": (["--target", "sick", "--formula", "x", "--basis", "auto"], "beside a formula"),
    "no trusted file": (["--target", "sick", "--trusted", "none.txt"], "no such file"),
    "unknown trusted": (["--target", "sick", "--trusted", "ids.txt"], "ids of rows known to be right", "'9999'"),
    "trusted without a column": (["--target", "sick", "--trusted", "half.csv"], "missing: 'z'"),
    "a review as trusted": (["--target", "sick", "--trusted", "review.csv"], "bayesrepair apply"),
}


@pytest.mark.usefixtures("nothing_fitted")
@pytest.mark.parametrize("case", REFUSED)
def test_refused_before_anything_is_fitted(case, here):
    arguments, *said = REFUSED[case]
    write(table())
    (here / "ids.txt").write_text("3\n9999\n")
    write(table().drop(columns="z"), "half.csv")
    write(table().assign(decision=""), "review.csv")
    (here / "odd.csv").write_text("row,before\n3,perhaps\n")
    (here / "odd_row.csv").write_text("row,before\n9999,yes\n")
    refused(run("suspects", "train.csv", *arguments), *said)
    assert not (here / "suspects").exists()


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    """One run of suspects by the quick method, in a folder of its own."""
    folder = tmp_path_factory.mktemp("run")
    write(table(), folder / "train.csv")
    pd.Series([130, 131], name="row").to_csv(folder / "right.txt", index=False)
    result = run(
        "suspects", folder / "train.csv", "--target", "sick", "--id", "id", "--annotator", "who", "--method", "laplace",
        "--trusted", folder / "right.txt", "--out", folder / "out",
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    return folder, result.output


def test_suspects_writes_what_it_says(found):
    folder, printed = found
    out = folder / "out"
    assert {path.name for path in out.iterdir()} == set(LABEL_FILES)
    review = pd.read_csv(out / "review.csv", index_col="row", keep_default_na=False)
    assert set(range(100, 100 + PLANTED)) <= set(review.index[: PLANTED + 2])
    assert list(review.columns[:5]) == ["given", "suggested", "prob_wrong", "why", "decision"]
    assert (review["given"].isin(["'=no", "yes"])).all()
    every = pd.read_csv(out / "suspects.csv", index_col="row")
    assert len(every) == 160
    np.testing.assert_array_equal(every.loc[[130, 131], "prob_wrong"], 0.0)
    summary = json.loads((out / "summary.json").read_text())
    assert summary["settings"]["target"] == "sick"
    page = (out / "report.html").read_text()
    assert "<b>Ann" not in page
    assert "&lt;b&gt;Ann" in page
    for words in ("Suspects among 160 rows", "Errors by who", "bayesrepair apply"):
        assert words in printed


def test_the_page_can_be_made_again(found):
    folder, _ = found
    before = (folder / "out" / "report.html").read_bytes()
    assert run("report", folder / "out").exit_code == 0
    assert (folder / "out" / "report.html").read_bytes() == before


def decided(folder, name="done.csv", **decisions):
    """The review with decisions, by row id."""
    review = pd.read_csv(folder / "out" / "review.csv", dtype=str, keep_default_na=False).set_index("row")
    for row, what in decisions.items():
        review.loc[row.strip("_"), "decision"] = what
    review.reset_index().to_csv(folder / "out" / name, index=False)
    return folder / "out" / name


def test_decisions_come_back(found, here):
    folder, _ = found
    path = decided(folder, _100="relabel", _101="relabel", _102="drop", _103="KEEP")
    result = run("apply", path, "--out", "applied")
    path.unlink()
    assert result.exit_code == 0, result.output
    out = here / "applied"
    assert {path.name for path in out.iterdir()} == set(APPLIED_FILES)
    corrected, original = pd.read_csv(out / "corrected.csv", index_col="row"), table().set_index("id")
    expected = original.drop(index=102)
    expected.loc[[100, 101], "sick"] = np.where(expected.loc[[100, 101], "sick"] == "yes", "=no", "yes")
    pd.testing.assert_frame_equal(corrected, expected, check_names=False)
    stood = pd.read_csv(out / "reviewed.csv", index_col="row", keep_default_na=False)["before"].str.lstrip("'")
    expected = original.loc[[103, 100, 101], "sick"]
    pd.testing.assert_series_equal(stood, expected, check_names=False)
    summary = json.loads((out / "summary.json").read_text())
    assert summary["decisions"]["relabel"].keys() == {"100", "101"}
    assert "2 relabelled, 1 dropped" in " ".join(result.output.split())


@pytest.mark.usefixtures("nothing_fitted")
@pytest.mark.parametrize(
    ("decisions", "said"),
    [
        ({"_100": "perhaps"}, "'perhaps' in row 100"),
        ({"_100": "keep"}, "a decision that changes a row"),
        ({}, "a decision that changes a row"),
    ],
)
def test_bad_decisions_are_refused_and_nothing_is_lost(found, here, decisions, said):
    folder, _ = found
    path = decided(folder, "bad.csv", **decisions)
    before = path.read_bytes()
    refused(run("apply", path, "--out", "applied"), said)
    assert path.read_bytes() == before
    path.unlink()
    assert not (here / "applied").exists()


@pytest.mark.usefixtures("nothing_fitted")
def test_a_review_far_from_its_run_needs_the_table(found, here):
    folder, _ = found
    path = decided(folder, "moved.csv", _100="relabel")
    path.rename(here / "moved.csv")
    refused(run("apply", "moved.csv"), "--table TABLE.csv --target COLUMN")
    refused(run("apply", "moved.csv", "--table", folder / "train.csv", "--target", "sick"), "Is this the table", "--id")


@pytest.mark.usefixtures("nothing_fitted")
def test_force_never_replaces_decisions(found):
    folder, _ = found
    review = folder / "out" / "review.csv"
    before = review.read_bytes()
    decided(folder, "review.csv", _100="relabel")
    result = run("suspects", folder / "train.csv", "--target", "sick", "--out", folder / "out", "--force")
    review.write_bytes(before)
    refused(result, "no decisions in", "Move that file")


def test_a_basis_is_chosen_said_and_remembered(here):
    rng = np.random.default_rng(5)
    x = rng.uniform(-2, 2, 240)
    sick = np.where((np.abs(x) > 1) ^ (np.arange(240) < PLANTED), "yes", "no")
    write(pd.DataFrame({"x": x, "z": rng.normal(size=240), "sick": sick}))
    result = run("suspects", "train.csv", "--target", "sick", "--method", "laplace", "--basis", "auto", "--out", "out")
    assert result.exit_code == 0, result.output
    assert "basis='auto' chose" in " ".join(result.output.split())
    summary = json.loads((here / "out" / "summary.json").read_text())
    assert summary["settings"]["basis"] == "auto"
    assert any("chose 'splines'" in note or "chose 'fourier'" in note for note in summary["notes"])
    review = pd.read_csv(here / "out" / "review.csv", keep_default_na=False)
    assert set(range(PLANTED)) <= set(review["row"].head(PLANTED + 8))  # no line finds these
    review["decision"] = np.where(review["row"] < PLANTED, "relabel", "keep")
    review.to_csv(here / "out" / "review.csv", index=False)
    result = run("apply", here / "out" / "review.csv", "--out", "applied")
    assert result.exit_code == 0, result.output
    applied = json.loads((here / "applied" / "summary.json").read_text())
    assert applied["settings"]["basis"] == "auto"
    assert any("basis='auto' chose" in note for note in applied["notes"])


def test_a_second_look_knows_what_the_first_one_found(found, here):
    folder, _ = found
    path = decided(folder, **{f"_{row}": "relabel" for row in range(100, 106)}, _106="keep")
    assert run("apply", path, "--out", "applied").exit_code == 0
    path.unlink()
    corrected = ["applied/corrected.csv", "--target", "sick", "--annotator", "who"]
    result = run("suspects", *corrected, "--method", "laplace", "--reviewed", "applied/reviewed.csv", "--out", "again")
    assert result.exit_code == 0, result.output
    frame = pd.read_csv(here / "again" / "suspects.csv", index_col="row")
    np.testing.assert_array_equal(frame.loc[range(100, 107), "prob_wrong"], 0.0)
    assert set(range(107, 100 + PLANTED)) <= set(frame.index[: PLANTED - 5])
    summary = json.loads((here / "again" / "summary.json").read_text())
    assert "6 reviewed labels were wrong" in summary["status"]
    assert summary["expected_count"]["high"] >= PLANTED - 7
    review = pd.read_csv(here / "again" / "review.csv", keep_default_na=False)
    review["decision"] = np.where(review["row"] == 107, "relabel", "")
    review.to_csv(here / "again" / "review.csv", index=False)
    assert run("apply", here / "again" / "review.csv", "--out", "twice").exit_code == 0
    stood = pd.read_csv(here / "twice" / "reviewed.csv", index_col="row")
    assert set(stood.index) == set(range(100, 108))  # both reviews
