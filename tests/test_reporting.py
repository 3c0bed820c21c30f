"""Reports, figures and CSV files: by structure, with hostile text in every place a user can put text."""

import base64
import csv
import shutil
import subprocess
from dataclasses import replace

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
from bs4 import BeautifulSoup
from matplotlib import pyplot
from matplotlib.figure import Figure

import bayesrepair as br
from bayesrepair.model import Outcome
from bayesrepair.oracles import Logistic, NormalNormal
from bayesrepair.posterior import Draws, Sampling
from bayesrepair.reporting import plots as figures
from bayesrepair.reporting import report, write_csv
from bayesrepair.reporting.standouts import standouts

BAD, GOOD = "<script>alert('class')</script>", "good & $5"
COLUMN = "<img src=x onerror=alert(1)>"
CELL = "</td><script>alert('cell')</script>"
ROW = "<script>alert('row')</script>"
TITLE = "</title><script>alert('title')</script>"
NOTE = "<iframe src='https://example.org'></iframe>"
BASE_SECTIONS = [
    "verdict", "asked", "sampling", "failures", "causes", "effect", "ladder", "verification", "posterior", "caveats",
    "receipt",
]  # fmt: skip


class Named(Logistic):
    """Logistic regression whose classes have names."""

    outcome = Outcome("y", "class", (BAD, GOOD))


def _rows(rng, count, first):
    x = rng.normal(size=(count, 3))
    y = (x[:, 0] + 0.5 * x[:, 1] + 0.4 * rng.normal(size=count) > 0).astype(int)
    return x, y, np.array([f"id{first + i}" for i in range(count)], dtype=object)


@pytest.fixture(scope="module")
def fit():
    rng = np.random.default_rng(5)
    x, y, row = _rows(rng, 120, 0)
    row[7] = ROW
    flipped = np.zeros(120, bool)
    flipped[[7, *range(20, 31)]] = True
    y = np.where(flipped, 1 - y, y)
    model = Named(3, 2.0)
    rows = br.Rows({"x": x, "y": y}, row)
    start = model.laplace(rows).draws(400, rng)
    table = pd.DataFrame({"size": x[:, 0] * 3 + 10, COLUMN: x[:, 1], "annotator": rng.choice(["Ann", "Bo"], 120)})
    table["remark"] = np.where(np.arange(120) == 7, CELL, "none")
    table["diagnosis"] = np.array([BAD, GOOD], dtype=object)[y]
    table.index = rows.index
    table.loc[ROW, "size"] = 400.0
    draws = model.train(rows, start=start, rng=rng)
    draws = replace(draws, chain=np.repeat([0, 1], 200), sampling=Sampling(2, 200, 100, 3, 1.08, 150.0, 2.0, "hmc"))
    return br.Fit(model, rows, draws, table=table)


@pytest.fixture(scope="module")
def truth(fit):
    return pd.Series(np.isin(np.arange(120), [7, *range(20, 31)]), index=fit.rows.index)


@pytest.fixture(scope="module")
def failures(fit):
    x, y, row = _rows(np.random.default_rng(6), 90, 500)
    return br.find_failures(fit, br.Rows({"x": x, "y": y}, row))


@pytest.fixture(scope="module")
def causes(fit, failures):
    return br.find_causes(fit, failures, top=10, progressbar=False)


@pytest.fixture(scope="module")
def repaired(fit, causes):
    return br.repair(fit, causes.top(10), method="retrain", random_seed=0)


@pytest.fixture(scope="module")
def full(repaired, causes, failures, truth, tmp_path_factory):
    """The report with everything in it."""
    selection, kept = failures.split(2, random_seed=1)
    edited = replace(repaired, verification=br.verify(repaired, random_seed=1))
    choice = br.choose_top(causes, selection, sizes=[3, 10], method="retrain", progressbar=False)
    path = tmp_path_factory.mktemp("report") / "report.html"
    report(
        edited, path, held_out=kept, truth=truth, choice=choice, groups="annotator", title=TITLE, notes=[NOTE],
        asked={"Command": "bayesrepair diagnose <b>x</b>"}, shown=120,
    )  # fmt: skip
    return path


@pytest.fixture(autouse=True)
def _no_figure_is_left():
    yield
    pyplot.close("all")


def _soup(path):
    return BeautifulSoup(path.read_text(encoding="utf-8"), "html.parser")


def _table(soup, anchor, caption):
    [found] = [t for t in soup.find(id=anchor).find_all("table") if t.caption and caption in t.caption.text]
    return [list(line.find_all(["th", "td"])) for line in found.tbody.find_all("tr")]


def test_a_repair_alone_makes_a_report(repaired, tmp_path):
    path = br.report(repaired, tmp_path / "report.html")
    assert path == tmp_path / "report.html"
    assert [p.name for p in tmp_path.iterdir()] == ["report.html"]
    soup = _soup(path)
    assert [s["id"] for s in soup.find_all("section")] == BASE_SECTIONS
    assert [a["href"] for a in soup.nav.find_all("a")] == [f"#{name}" for name in BASE_SECTIONS]
    assert "10 of 120 training rows were deleted" in soup.find(id="verdict").text
    assert "Estimated" in soup.find(id="verdict").text
    assert "retrain" in soup.find(id="ladder").text
    assert "These rows also ranked the training rows" in soup.find(id="effect").text


def test_every_section_appears_when_there_is_something_to_say(full):
    found = [s["id"] for s in _soup(full).find_all("section")]
    assert found == [*BASE_SECTIONS[:5], "groups", "truth", *BASE_SECTIONS[5:]]


def test_page_is_accessible(full):
    soup = _soup(full)
    assert soup.html["lang"] == "en"
    assert len(soup.find_all("h1")) == 1
    images = soup.find_all("img")
    assert len(images) >= 8
    assert all(len(image["alt"]) > 20 for image in images)
    assert all(th.get("scope") in ("row", "col") for th in soup.find_all("th"))
    for section in soup.find_all("section"):
        assert soup.find(id=section["aria-labelledby"]).name == "h2"
    ids = [tag["id"] for tag in soup.find_all(id=True)]
    assert len(ids) == len(set(ids))


def test_user_text_is_shown_and_never_becomes_markup(full):
    soup = _soup(full)
    assert not soup.find_all(["script", "iframe", "b", "object", "link rel=stylesheet"])
    assert not [tag for tag in soup.find_all(True) for name in tag.attrs if name.startswith("on")]
    assert soup.title.text == TITLE
    assert soup.h1.text == TITLE
    text = soup.get_text()
    for shown in (ROW, BAD, GOOD, COLUMN, CELL, NOTE, "<b>x</b>"):
        assert shown in text, shown


def test_page_asks_for_nothing_from_elsewhere(full):
    raw = full.read_text(encoding="utf-8")
    soup = _soup(full)
    assert all(image["src"].startswith("data:image/") for image in soup.find_all("img"))
    assert all(tag["href"].startswith(("#", "data:,")) for tag in soup.find_all(href=True))
    assert not soup.find_all(srcset=True)
    assert "url(" not in raw
    assert "@import" not in raw
    policy = soup.find("meta", attrs={"http-equiv": "Content-Security-Policy"})["content"]
    assert policy.startswith("default-src 'none'")


def test_pictures_hold_text_as_text_without_markup(full):
    vector = [
        base64.b64decode(image["src"].partition(",")[2]).decode()
        for image in _soup(full).find_all("img")
        if image["src"].startswith("data:image/svg")
    ]
    assert len(vector) >= 8
    assert not any("<script" in one for one in vector)
    [ranking] = [one for one in vector if "cause score" in one and "2 MCSE" in one]
    assert "id2" in ranking
    assert any("good &amp; $5" in one for one in vector)


def test_ranking_shows_the_rows_of_the_frame(full, causes, truth):
    lines = _table(_soup(full), "causes", "work hardest")
    frame = causes.frame().head(len(lines))
    assert [line[0].contents[0].strip() for line in lines] == [str(row) for row in frame.index]
    assert [line[1].contents[0].strip() for line in lines] == list(frame["given"])
    assert [line[1].small.text if line[1].small else "" for line in lines] == ["deleted"] * 10 + [""] * (
        len(lines) - 10
    )
    assert [line[6].text.strip() == "bad" for line in lines] == truth[frame.index].tolist()
    first = lines[0][3].text.split("±")[0].strip().replace("−", "-")
    assert abs(float(first) - frame["score"].iloc[0]) <= frame["mcse"].iloc[0]


def test_detection_table_agrees_with_evaluation(full, causes, truth):
    from bayesrepair.evaluation import detection

    lines = {line[0].text.strip(): line for line in _table(_soup(full), "truth", "each ranking")}
    assert list(lines) == ["cause score", "PSIS-LOO surprise", "training loss", "chance"]
    expected = detection(causes.scores["surprise"], truth, k=10)
    assert lines["PSIS-LOO surprise"][1].text.startswith(f"{round(10 * expected['precision_at_k'])} (")
    assert lines["chance"][1].text.startswith("1.0 (10 %)")


def test_ranking_against_held_out_rows_is_judged_beside_the_failures_alone(fit, failures, truth, tmp_path):
    causes = br.find_causes(fit, failures, against="held_out", top=5, progressbar=False)
    edited = br.repair(fit, causes.top(5), method="retrain", random_seed=0)
    soup = _soup(report(edited, tmp_path / "r.html", truth=truth))
    names = [line[0].text.strip() for line in _table(soup, "truth", "each ranking")]
    assert names[:2] == ["cause score", "cause score, failures alone"]
    first = ", ".join(map(str, causes.top(5)))
    assert f"Most harmful to the held-out rows: rows {first}." in soup.find(id="verdict").text


def test_sampling_troubles_are_said(full):
    text = _soup(full).find(id="sampling").text
    assert "3 of 400 draws diverged" in text
    assert "r-hat 1.080" in text
    assert "Only 150 effective draws" in text


def test_verified_repair_says_so_and_a_failed_one_warns(full, repaired, tmp_path):
    assert "Verified repair" in _soup(full).find(id="verdict").text
    verification = replace(br.verify(repaired, random_seed=1), passed=False)
    path = report(replace(repaired, verification=verification), tmp_path / "failed.html")
    verdict = _soup(path).find(id="verdict")
    assert "Do not rely on the repaired posterior" in verdict.text
    assert verdict.find(class_="note")["class"] == ["note", "bad"]


def test_poor_weights_are_called_unreliable(fit, causes, tmp_path):
    edited = br.repair(fit, causes.top(60), method="weights", random_seed=0)
    assert edited.status.level == "unreliable"
    verdict = _soup(report(edited, tmp_path / "r.html")).find(id="verdict").text
    assert "Do not rely" in verdict
    assert edited.status.remedy in verdict


def test_nothing_repaired_is_said(fit, causes, tmp_path):
    edited = replace(br.edit(fit, br.Factor(fit.rows.take([]), -1.0)), factors=(), causes=causes)
    soup = _soup(report(edited, tmp_path / "r.html"))
    assert "Nothing was repaired" in soup.find(id="verdict").text
    assert "unchanged" in soup.find(id="effect").text


def test_relabelled_and_weakened_rows_are_told_apart(fit, tmp_path):
    relabelled = br.repair(
        fit, ["id3"], relabel={"id3": GOOD if fit.rows.values["y"][3] == 0 else BAD}, method="retrain"
    )
    text = _soup(report(relabelled, tmp_path / "r.html")).find(id="causes").text
    assert "relabelled → " in text
    weakened = br.repair(fit, ["id3"], weight=0.25, method="retrain")
    text = _soup(report(weakened, tmp_path / "w.html")).find(id="causes").text
    assert "weight 1 → 0.25" in text


def test_numbers_in_closed_form_make_a_report_too(tmp_path):
    oracle = NormalNormal(prior_mean=0.0, prior_sd=1.0, noise_sd=1.0)
    rows = oracle.rows({"y": np.array([*np.linspace(-1, 1, 30), 9.0])})
    fit = br.Fit(oracle, rows, oracle.posterior(rows))
    edited = br.repair(fit, [30], method="conjugate")
    soup = _soup(report(edited, tmp_path / "r.html", held_out=oracle.rows({"y": np.array([0.1, -0.4, 5.0])})))
    assert "closed form" in soup.find(id="sampling").text
    assert "root mean square error" in soup.find(id="verdict").text


def test_posterior_table_lists_the_largest_change_first(full):
    lines = _table(_soup(full), "posterior", "ArviZ summary")
    shifts = [abs(float(line[7].text.replace("−", "-"))) for line in lines]
    assert len(lines) == 3
    assert shifts == sorted(shifts, reverse=True)


def test_equal_reports_are_equal_bytes(repaired, tmp_path):
    first, second = (report(repaired, tmp_path / name).read_bytes() for name in ("a.html", "b.html"))
    assert first == second


def test_a_report_that_fails_leaves_nothing_behind(repaired, tmp_path):
    with pytest.raises(br.status.DataError, match="no such group"):
        report(repaired, tmp_path / "r.html", groups="no such group")
    assert not list(tmp_path.iterdir())


def test_truth_must_know_every_row(repaired, truth, tmp_path):
    with pytest.raises(br.status.DataError, match="truth of each ranked row"):
        report(repaired, tmp_path / "r.html", truth=truth.iloc[:50])


def test_standouts_are_robust_and_name_rare_words(fit):
    [found] = [cells for row, cells in standouts(fit, pd.Index([ROW])).items() if row == ROW]
    assert found[0].column == "size"
    given = fit.rows.values["y"]
    peers = fit.table["size"].to_numpy()[given == given[7]]
    median = np.median(peers)
    expected = (400.0 - median) / (1.4826 * np.median(np.abs(peers - median)))
    np.testing.assert_allclose(found[0].size, expected, rtol=1e-12)
    assert "remark" in [cell.column for cell in found]
    assert "diagnosis" not in [cell.column for cell in found]  # the outcome itself


def test_standouts_use_the_models_arrays_where_there_is_no_table(fit):
    bare = replace(fit, table=None)
    positions = np.abs(fit.rows.values["x"]).max(axis=1).argsort()[-3:]
    found = standouts(bare, fit.rows.index[positions])
    assert all(cell.column.startswith("x[") for cells in found.values() for cell in cells)
    assert any(found.values())


def test_causes_plot_shows_ids_errors_and_the_sign(causes):
    axes = causes.plot(5)
    names = [t.get_text() for t in axes.get_yticklabels()]
    assert [name.split(" · ")[0] for name in names] == [str(row)[:34] for row in causes.top(5)]
    assert "right = harmful to the failures" in axes.get_xlabel()
    assert axes.get_title(loc="left").startswith("5 rows of 120 carry")
    bars = [c.lines[2][0].get_segments()[0][:, 0] for c in axes.containers]
    np.testing.assert_allclose([np.ptp(b) / 4 for b in bars], causes.frame()["mcse"].head(5))


def test_causes_against_all_held_out_rows_say_so(fit, failures):
    axes = br.find_causes(fit, failures, against="held_out", progressbar=False).plot(5)
    assert "harmful to the held-out rows" in axes.get_xlabel()


def test_plots_draw_into_axes_that_are_handed_in(causes, failures, repaired, truth):
    settings = mpl.rcParams.copy()
    figure = Figure()
    axes = figure.add_subplot()
    before = pyplot.get_fignums()
    assert causes.plot(3, ax=axes) is axes
    for draw in (
        lambda ax: figures.plot_causes(causes, 3, truth=truth, ax=ax),
        lambda ax: causes.by("annotator").plot(ax=ax),
        lambda ax: failures.plot(ax=ax),
        lambda ax: figures.plot_reliability(repaired.before, repaired.after, failures.holdout, ax=ax),
    ):
        ax = Figure().add_subplot()
        assert draw(ax) is ax
        assert ax.get_title(loc="left")
        assert ax.get_xlabel()
    assert pyplot.get_fignums() == before
    assert mpl.rcParams == settings


def test_prediction_plot_counts_what_it_shows(repaired, failures):
    from bayesrepair.predictive import mean_prediction

    rows, failed = failures.holdout, failures.judged["failed"].to_numpy()
    axes = figures.plot_predictions(repaired.before, repaired.after, rows, failed=failed)
    at = np.arange(len(rows)), rows.values["y"]
    gain = (mean_prediction(repaired.after, rows) - mean_prediction(repaired.before, rows))[at]
    title = " ".join(axes.get_title(loc="left").split())
    assert title.startswith(f"Better for {(gain[failed] > 0.01).sum()} of {failed.sum()} failures")
    handled, failing = axes.collections
    assert len(failing.get_offsets()) == failed.sum()
    assert len(handled.get_offsets()) == (~failed).sum()


def test_group_and_choice_plots_state_the_finding(causes, failures):
    axes = causes.by("annotator").plot()
    assert {t.get_text().split(" · ")[0] for t in axes.get_yticklabels()} == {"Ann", "Bo"}
    assert axes.get_title(loc="left").startswith(("Most harmful: annotator", "No annotator is harmful"))
    choice = br.choose_top(causes, failures, sizes=[4], method="retrain", progressbar=False)
    title = " ".join(figures.plot_choice(choice).get_title(loc="left").split())
    assert title.startswith("Removing 4 rows is chosen" if choice.k else "Removing no row is chosen")


def test_verification_plot_marks_what_fails(repaired):
    checked = br.verify(repaired, random_seed=1)
    axes = checked.plot()
    assert axes.get_title(loc="left").replace("\n", " ") == f"A{checked.verdict[1:]}"
    assert [t.get_text() for t in axes.get_yticklabels()] == list(checked.frame().index)
    assert not [line for line in axes.lines if line.get_marker() == "X"]
    frame = checked.frame()
    frame.loc[frame.index[0], ["distance", "ratio", "high"]] *= 1e6
    failed = replace(checked, distances=frame, passed=False).plot()
    assert len([line for line in failed.lines if line.get_marker() == "X"]) == 1


def test_edit_plot_shows_both_sides_of_each_parameter(repaired):
    plots = repaired.plot()
    assert sorted(plots.viz["dist"]["model"].to_numpy().tolist()) == ["after", "before"]
    assert len(plots.viz["plot"].data_vars) == 3
    assert all(name.startswith("beta[") and name.endswith(" sd") for name in plots.viz["plot"].data_vars)
    with pytest.raises(br.status.DataError, match="variables among beta"):
        repaired.plot(var_names=["gamma"])


def test_weighted_draws_are_called_what_they_are_worth(fit, tmp_path):
    edited = br.repair(fit, ["id3"], method="weights", random_seed=0)
    assert isinstance(edited.after.posterior, Draws)
    text = _soup(report(edited, tmp_path / "r.html")).find(id="posterior").text
    assert f"worth {round(edited.after.draws.ess)} independent ones" in text


def test_csv_defuses_formulas_in_text_and_leaves_numbers(tmp_path):
    frame = pd.DataFrame(
        {"score": [-1.5, 2.0], "given": ["=1+1", "fine"], "+note": ["@SUM(A1)", "-x"], "odd": ["\tx", "\n=b"]},
        index=pd.Index(["=cmd|' /C calc'!A0", "r2"], name="@id"),
    )
    path = write_csv(frame, tmp_path / "causes.csv")
    with path.open(newline="", encoding="utf-8") as handle:
        lines = list(csv.reader(handle))
    assert lines == [
        ["'@id", "score", "given", "'+note", "odd"],
        ["'=cmd|' /C calc'!A0", "-1.5", "'=1+1", "'@SUM(A1)", "'\tx"],
        ["r2", "2.0", "fine", "'-x", "'\n=b"],
    ]
    assert [p.name for p in tmp_path.iterdir()] == ["causes.csv"]


class Slashed(Logistic):
    """Logistic regression with a coefficient of a column whose name has a slash."""

    dims = {"beta": ("column",)}  # noqa: RUF012
    coords = {"column": np.array(["miles/gallon", "b", "c"], dtype=object)}  # noqa: RUF012


def test_a_slash_in_a_column_name_is_no_path(repaired, causes, tmp_path):
    model = Slashed(3, 2.0)
    edited = replace(repaired, before=replace(repaired.before, model=model), after=replace(repaired.after, model=model))
    section = _soup(report(edited, tmp_path / "r.html", causes=causes)).find(id="posterior")
    assert "beta[miles\u2215gallon]" in section.text


def test_causes_csv_has_the_columns_of_the_frame(causes, tmp_path):
    back = pd.read_csv(write_csv(causes.frame(), tmp_path / "causes.csv"), index_col="row")
    assert list(back.columns) == list(causes.frame().columns)
    np.testing.assert_allclose(back["score"], causes.frame()["score"])


def _chromium(page, profile):
    """The page as Chromium sees it, and what it said meanwhile."""
    names = ("chromium", "chromium-browser", "google-chrome")
    program = next((found for name in names if (found := shutil.which(name))), None)
    assert program, f"install one of {', '.join(names)}"
    done = subprocess.run(
        [program, "--headless", "--no-sandbox", "--disable-gpu", "--enable-logging=stderr", "--v=0",
         f"--user-data-dir={profile}", "--virtual-time-budget=2000", "--dump-dom", page.as_uri()],
        capture_output=True, text=True, timeout=120, check=True,
    )  # fmt: skip
    return done.stdout, [line for line in done.stderr.splitlines() if "CONSOLE" in line]


@pytest.mark.browser
def test_report_opens_in_a_browser_without_complaint(full, tmp_path):
    faulty = tmp_path / "faulty.html"
    faulty.write_text("<!DOCTYPE html><title>x</title><script>console.error('seen')</script>", encoding="utf-8")
    assert _chromium(faulty, tmp_path / "first")[1]  # complaints would be seen
    shown, complaints = _chromium(full, tmp_path / "second")
    assert not complaints
    soup = BeautifulSoup(shown, "html.parser")
    assert soup.h1.text == TITLE
    assert not soup.find_all("script")
    assert "Verified repair" in soup.find(id="verdict").text


def test_a_repair_that_does_harm_is_not_praised(repaired, failures, tmp_path):
    from bayesrepair.evaluation import held_out

    figures_of = held_out(repaired.before, repaired.after, {"all held-out rows": failures.holdout})
    for gain, said in ((-0.5, "the repair does harm"), (0.5, "become more probable"), (0.0, "gain nothing clear")):
        line = figures_of.assign(log_score_gain=gain, gain_se=0.1)
        note = _soup(report(repaired, tmp_path / "r.html", held_out=line)).find(id="verdict").find(class_="note")
        assert said in note.text
        assert ("good" in note["class"]) == (gain >= 0)


def test_a_gain_of_the_log_score_with_fewer_right_is_no_plain_success(repaired, failures, tmp_path):
    from bayesrepair.evaluation import held_out

    figures_of = held_out(repaired.before, repaired.after, {"all held-out rows": failures.holdout})
    line = figures_of.assign(log_score_gain=0.5, gain_se=0.1, accuracy_change=-0.2, accuracy_change_se=0.1)
    page = _soup(report(repaired, tmp_path / "r.html", held_out=line))
    note = page.find(id="verdict").find(class_="note")
    assert "become more probable, but fewer of them are predicted right" in note.text
    assert "good" not in note["class"]
    assert "better by the log score, worse by accuracy" in page.find(id="effect").text
