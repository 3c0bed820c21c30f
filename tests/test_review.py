"""Rows for review, and decisions read back: right as a whole, or refused as a whole."""

import numpy as np
import pandas as pd
import pytest

import bayesrepair as br
from bayesrepair.diagnosis import read_reviewed
from bayesrepair.reporting import report_suspects, write_csv
from bayesrepair.review import Decisions, decisions_for, read_decisions, review_frame
from bayesrepair.status import DataError

CLASSES = ("no", "yes")


@pytest.fixture(scope="module")
def suspects():
    rng = np.random.default_rng(5)
    true = rng.random(200) < 0.5
    p = np.where(true, 0.95, 0.05)
    given = np.where(true ^ (rng.random(200) < 0.1), "<b>yes</b>", "=no")
    table = pd.DataFrame({"note": ["@cmd", "plain"] * 100, "x": p})
    columns = pd.DataFrame({"=no": 1 - p, "<b>yes</b>": p})
    return br.suspects_from_predictions(pd.Series(given), columns, table=table)


def given(*values):
    return pd.Series(values or ("no", "yes", "yes", "no"), index=[10, 11, 12, 13])


def reviewed(*decisions, suggested="yes", **columns):
    frame = pd.DataFrame({"suggested": suggested, "decision": decisions, **columns})
    return frame.set_index(pd.Index([str(10 + i) for i in range(len(decisions))], name="row"))


def test_decisions_say_what_they_mean():
    frame = reviewed("Relabel", " keep", "DROP", "", suggested=["yes", "no", "no", "yes"])
    made = read_decisions(frame, given=given(), classes=CLASSES)
    assert made.relabel == {10: "yes"}
    assert (made.keep, made.drop, made.undecided) == ((11,), (12,), (13,))
    assert list(made.trusted) == [11, 10]
    assert repr(made) == "1 kept, 1 relabelled, 1 dropped, 1 undecided"


def test_the_name_of_a_class_is_a_decision():
    made = read_decisions(reviewed("YES", "yes"), given=given(), classes=CLASSES)
    assert made.relabel == {10: "yes"}
    assert made.keep == (11,)


def test_numbers_take_numbers():
    made = read_decisions(reviewed("2,5", "keep", "relabel", suggested="7.25"), given=given(1.0, 2.0, 3.0, 4.0))
    assert made.relabel == {10: 2.5, 12: 7.25}


@pytest.mark.parametrize(
    ("frame", "classes", "message"),
    [
        (reviewed("maybe"), CLASSES, "keep, relabel, drop, 'no' or 'yes', or nothing.*'maybe' in row 10"),
        (reviewed("relabel", suggested=""), CLASSES, "suggested ''"),
        (reviewed("keep").rename(index={"10": "99"}), CLASSES, "1 unknown, such as '99'"),
        (reviewed("keep", "drop").rename(index={"11": "10"}), CLASSES, "row '10' more than once"),
        (reviewed("keep", given="yes"), CLASSES, "changed since"),
        (reviewed("keep"), ("keep", "no", "yes"), "one meaning"),
        (reviewed("keep"), ("no", "NO"), "upper and lower case"),
        (reviewed("keep").drop(columns="decision"), CLASSES, "a column 'decision'"),
        (reviewed("ten"), None, "a number"),
    ],
)
def test_one_bad_decision_refuses_all(frame, classes, message):
    with pytest.raises(DataError, match=message):
        read_decisions(frame, given=given(), classes=classes)


def test_the_review_survives_a_spreadsheet(suspects, tmp_path):
    review = review_frame(suspects, 30)
    path = write_csv(review, tmp_path / "review.csv")
    text = path.read_text()
    assert ",=no" not in text
    assert ",@cmd" not in text
    back = read_reviewed(path)
    np.testing.assert_array_equal(back["given"], review["given"])
    np.testing.assert_array_equal(back["note"], review["note"])
    back["decision"] = "relabel"
    back.reset_index().to_csv(tmp_path / "done.csv", sep=";", index=False, encoding="utf-8-sig")
    made = decisions_for(suspects.plain, read_reviewed(tmp_path / "done.csv"))
    assert made.relabel == review["suggested"].to_dict()


def test_a_review_holds_the_likely_rows_first(suspects):
    review = review_frame(suspects)
    frame = suspects.frame()
    assert len(review) == max(20, (frame["prob_wrong"] >= 0.1).sum())
    np.testing.assert_array_equal(review.index, frame.index[: len(review)])
    assert (review["decision"] == "").all()
    assert {"note", "x"} < set(review.columns)


def test_decisions_are_one_edit(suspects):
    fit = suspects.plain
    wrong, gone = suspects.frame().index[:3], suspects.frame().index[3:5]
    new = suspects.frame().loc[wrong, "suggested"].to_dict()
    made = Decisions(keep=(), relabel=new, drop=tuple(gone), undecided=())
    edited = made.apply(fit, random_seed=0)
    np.testing.assert_array_equal(edited.after.row_weights[fit.rows.positions(gone)], 0.0)
    again = fit.model.train(*_data(fit, new, gone), rng=np.random.default_rng(0))
    np.testing.assert_allclose(edited.after.draws.theta.mean(axis=0), again.mean, atol=0.1)
    with pytest.raises(DataError, match="a decision that changes a row"):
        Decisions((1,), {}, (), ()).apply(fit)


def _data(fit, new, gone):
    """The rows as they are decided to be."""
    names = list(fit.model.outcome.classes)
    codes = np.array(fit.rows.values["label"])
    codes[fit.rows.positions(list(new))] = [names.index(name) for name in new.values()]
    return (fit.rows.replace(label=codes).drop(gone),)


def test_a_corrected_table_keeps_the_rest_as_it_was():
    table = pd.DataFrame({"y": ["no", "yes", "no"], "x": [1.5, 2.5, 3.5]}, index=["a", "b", "c"])
    made = Decisions((), {"a": "yes"}, ("c",), ())
    pd.testing.assert_frame_equal(
        made.corrected(table, "y"), pd.DataFrame({"y": ["yes", "yes"], "x": [1.5, 2.5]}, index=["a", "b"])
    )
    assert table.loc["a", "y"] == "no"


def test_the_page_escapes_every_cell(suspects, tmp_path):
    from bs4 import BeautifulSoup

    text = report_suspects(suspects, tmp_path / "page.html", title="<i>t</i>").read_text()
    soup = BeautifulSoup(text, "html.parser")
    assert not soup.find_all("b", string="yes")
    assert not soup.find_all("i")
    assert "<b>yes</b>" in soup.get_text()
    assert soup.find(id="verdict")
    assert "bayesrepair apply" in soup.get_text()
