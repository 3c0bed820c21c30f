"""Reading tables: delimiter, encoding, header, types, ids, held-out parts, and what is refused."""

import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from bayesrepair.reading import (
    check_held_out,
    check_training,
    column_named,
    hold_out,
    read_row_list,
    read_table,
    with_row_ids,
)
from bayesrepair.reading.header import has_header
from bayesrepair.status import DataError


@pytest.fixture
def write(tmp_path):
    def write(text, name="table.csv", encoding="utf-8"):
        path = tmp_path / name
        path.write_bytes(text.encode(encoding))
        return path

    return write


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_delimiter_is_found(write, delimiter):
    table = read_table(write(delimiter.join(["a", "b"]) + "\n" + delimiter.join(["1", "x"]) + "\n"))
    assert list(table.frame.columns) == ["a", "b"]


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_line_ends_do_not_matter(write, end):
    table = read_table(write(end.join(["a,b", "1,2", "3,4"])))
    np.testing.assert_array_equal(table.frame.to_numpy(), [[1, 2], [3, 4]])


def test_quoted_delimiters_belong_to_the_cell(write):
    assert read_table(write('name,n\n"Doe, Jane",1\n"Roe, Jim",2\n')).frame["name"].tolist() == [
        "Doe, Jane",
        "Roe, Jim",
    ]


@pytest.mark.parametrize(
    ("encoding", "said"), [("utf-8-sig", ""), ("utf-16", "UTF-16 text"), ("latin-1", "Latin-1 text")]
)
def test_encodings(write, encoding, said):
    table = read_table(write("größe,n\nmäßig,1\ngroß,2\n", encoding=encoding))
    assert list(table.frame.columns) == ["größe", "n"]
    assert said == "" or said in table.decided


def test_decimal_commas_where_the_comma_does_not_divide(write):
    table = read_table(write("x;y\n1,5;a\n2;b\n"))
    np.testing.assert_array_equal(table.frame["x"], [1.5, 2.0])
    assert "x: decimal commas" in table.decided


@pytest.mark.parametrize(
    ("rows", "header"),
    [
        ([["6", "148"], ["1", "85"], ["8", "183"]], False),
        ([["A11", "6"], ["A12", "48"], ["A14", "12"]], False),
        ([["A410", "x"], ["A43", "y"], ["A46", "x"], ["A40", "y"]], False),
        ([["age", "sex"], ["61", "m"], ["44", "f"]], True),
        ([["name", "town"], ["Ann", "Rome"], ["Bob", "Rome"], ["Cid", "Rome"]], True),
        ([["m", "yes"], ["f", "no"], ["m", "no"], ["f", "yes"]], False),
        ([["?", "3"], ["4", "5"]], False),
        ([["", "y"], ["1", "3"], ["2", "4"]], True),
        ([["2024-01-02", "a"], ["2024-01-03", "b"]], False),
        ([["day", "a"], ["2024-01-03", "b"]], True),
        ([["a", "b"]], True),
    ],
)
def test_header_is_told_from_data(rows, header):
    assert has_header(rows)[0] is header


def test_no_header_names_columns_by_position(write):
    table = read_table(write("1,2\n3,4\n"))
    assert not table.header
    assert list(table.frame.columns) == ["c1", "c2"]
    assert len(table.frame) == 2


def test_header_can_be_forced(write):
    path = write("2019,2020\n1,2\n3,4\n")
    assert list(read_table(path).frame.columns) == ["c1", "c2"]
    assert list(read_table(path, header="yes").frame.columns) == ["2019", "2020"]
    assert len(read_table(write("a,b\nb,a\n"), header="no").frame) == 2


def test_types(write):
    text = (
        "n,missing,truth,day,code,word\n"
        "1,NA,True,2024-01-05,0123,None\n"
        "2,?,false,2024-02-05,0456, x \n"
        "3,4.5,TRUE,,9999,\n"
    )
    frame = read_table(write(text)).frame
    assert frame["n"].dtype == np.int64
    np.testing.assert_array_equal(frame["missing"], [np.nan, np.nan, 4.5])
    assert frame["truth"].tolist() == ["True", "False", "True"]
    assert frame["day"].iloc[1] == pd.Timestamp("2024-02-05")
    assert frame["code"].tolist() == ["0123", "0456", "9999"]
    assert frame["word"].tolist()[:2] == ["None", "x"]
    assert pd.isna(frame["word"].iloc[2])


@pytest.mark.parametrize(
    ("days", "first", "said"),
    [
        (["03/04/2024", "25/12/2024"], "2024-04-03", False),
        (["03/04/2024", "12/25/2024"], "2024-03-04", False),
        (["03/04/2024", "05/06/2024"], "2024-03-04", True),
        (["03.04.2024", "05.06.2024"], "2024-04-03", True),
    ],
)
def test_order_of_day_and_month(write, days, first, said):
    table = read_table(write("day,n\n" + "\n".join(f"{day},{k}" for k, day in enumerate(days))))
    assert table.frame["day"].iloc[0] == pd.Timestamp(first)
    assert any("dates read as" in phrase for phrase in table.decided) is said


def test_second_table_is_read_like_the_first(write):
    train = read_table(write("1,a,25/12/2024\n2,7,01/02/2024\n1,a,01/02/2024\n"))
    test = read_table(write("5,8,03/04/2024\n6,9,01/01/2024\n", name="test.csv"), like=train)
    assert test.frame["c2"].tolist() == ["8", "9"]
    assert test.frame["c3"].iloc[0] == pd.Timestamp("2024-04-03")


@pytest.mark.parametrize("text", [",x,y\na,1,2\nb,3,4\n", "row,x,y\na,1,2\nb,3,4\n", "x,y\na,1,2\nb,3,4\n"])
def test_ids_that_the_file_brings(write, text):
    frame = read_table(write(text)).frame
    assert frame.index.tolist() == ["a", "b"]
    assert list(frame.columns) == ["x", "y"]


def test_parquet(tmp_path):
    frame = pd.DataFrame({"x": [1.0, 2.0], "b": [True, False]}, index=pd.Index(["p", "q"], name="id"))
    frame.to_parquet(tmp_path / "t.parquet")
    table = read_table(tmp_path / "t.parquet")
    assert table.frame.index.tolist() == ["p", "q"]
    assert table.frame["b"].tolist() == ["True", "False"]


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("", "an empty file"),
        ("a\n1\n", "one column"),
        ("a,a\n1,2\n", "more than once"),
        ("a,b\n1,2\n3,4,5\n", "2 cells in each row"),
        ("a,b\n", "rows in"),
    ],
)
def test_files_without_a_table(write, text, match):
    with pytest.raises(DataError, match=match):
        read_table(write(text))


def test_missing_and_binary_files(tmp_path):
    with pytest.raises(DataError, match="no such file"):
        read_table(tmp_path / "none.csv")
    with pytest.raises(DataError, match="a folder"):
        read_table(tmp_path)
    (tmp_path / "b.csv").write_bytes(b"a,b\0\0\0")
    with pytest.raises(DataError, match="binary"):
        read_table(tmp_path / "b.csv")
    (tmp_path / "b.parquet").write_bytes(b"nothing")
    with pytest.raises(DataError, match="a Parquet table"):
        read_table(tmp_path / "b.parquet")


def test_columns_by_name_and_position():
    frame = pd.DataFrame({"age": [1], "sex": [2], "outcome": [3]})
    assert [column_named(frame, name) for name in ("sex", "-1", 1, "2")] == ["sex", "outcome", "age", "sex"]
    with pytest.raises(DataError, match="Did you mean 'outcome'"):
        column_named(frame, "outcomes")
    with pytest.raises(DataError, match="Did you mean 'age'"):
        column_named(frame, "AGE")
    for position in ("0", "4", "-4"):
        with pytest.raises(DataError, match="from 1 to 3"):
            column_named(frame, position)


def test_row_ids_from_a_column():
    frame = pd.DataFrame({"id": ["a", "b"], "x": [1, 2]})
    assert with_row_ids(frame, "id").index.tolist() == ["a", "b"]
    with pytest.raises(DataError, match="more than once"):
        with_row_ids(frame.assign(id="a"), "id")
    with pytest.raises(DataError, match="1 missing"):
        with_row_ids(frame.assign(id=["a", None]), "id")


def test_row_lists(write):
    index = pd.Index([3, 5, 9])
    for text in ("9\n3\n", "row\n9\n3\n", "row,score\n9,1\n3,2\n"):
        np.testing.assert_array_equal(read_row_list(write(text), index), [True, False, True])
    with pytest.raises(DataError, match="1 unknown, such as '4'"):
        read_row_list(write("4\n"), index)
    with pytest.raises(DataError, match="an empty file"):
        read_row_list(write("\n"), index)
    with pytest.raises(DataError, match="a column 'row'"):
        read_row_list(write("id,score\n9,1\n"), index)


def training():
    rng = np.random.default_rng(0)
    return pd.DataFrame({"x": rng.normal(size=20), "w": ["a", "b"] * 10, "y": ["no", "yes"] * 10})


@pytest.mark.parametrize(
    ("spoil", "match"),
    [
        (lambda f: f.head(9), "at least 10 training rows"),
        (lambda f: f.assign(y="no"), "at least two classes"),
        (lambda f: f.assign(y=1.5), "at least two values"),
        (lambda f: f.assign(y=f["y"].where(f.index > 0)), "an outcome in every row"),
        (lambda f: f.assign(x=np.nan), "values in the column 'x'"),
        (lambda f: f.assign(x=f["x"].where(f.index > 0, np.inf)), "1 infinite, such as row 0"),
        (lambda f: f.assign(w=f["w"].where(f.index > 1)), "a group in every row"),
    ],
)
def test_training_tables_that_are_refused(spoil, match):
    check_training(training(), "y", predictors=["x", "w"], group="w")
    with pytest.raises(DataError, match=match):
        check_training(spoil(training()), "y", predictors=["x", "w"], group="w")


def test_a_target_alone_predicts_nothing():
    with pytest.raises(DataError, match="at least one column that predicts"):
        check_training(training(), "y", predictors=[])


@pytest.mark.parametrize(
    ("spoil", "match"),
    [
        (lambda f: f.drop(columns="x"), "1 missing: 'x'"),
        (lambda f: f.rename(columns={"x": "xx"}), "Is it 'xx'"),
        (lambda f: f.assign(x="low"), "numbers in the held-out column 'x'"),
        (lambda f: f.assign(x=-np.inf), "finite values in 'x'"),
        (lambda f: f.assign(y=None), "an outcome in every row"),
        (lambda f: f.assign(y="maybe"), "classes of 'y' seen in training"),
    ],
)
def test_held_out_tables_that_are_refused(spoil, match):
    train = training()
    check_held_out(train, train, "y", predictors=["x", "w"], classes=["no", "yes"])
    with pytest.raises(DataError, match=match):
        check_held_out(spoil(train), train, "y", predictors=["x", "w"], classes=["no", "yes"])


def test_hold_out_keeps_the_share_of_each_class_and_is_seeded():
    frame = pd.DataFrame({"x": np.arange(100), "y": [0] * 80 + [1] * 20})
    train, held, moved = hold_out(frame, "y", share=0.3, random_seed=4)
    assert moved == 0
    assert held["y"].value_counts().to_dict() == {0: 24, 1: 6}
    assert sorted([*train.index, *held.index]) == list(range(100))
    assert hold_out(frame, "y", share=0.3, random_seed=4)[1].index.equals(held.index)
    assert not hold_out(frame, "y", share=0.3, random_seed=5)[1].index.equals(held.index)


def test_levels_that_training_would_not_see_go_back():
    frame = pd.DataFrame({"w": [f"only {k}" for k in range(40)] + ["common"] * 60, "y": [0, 1] * 50})
    train, held, moved = hold_out(frame, "y", share=0.5, categorical=["w"])
    assert moved > 0
    assert set(held["w"]) <= set(train["w"])


def test_hold_out_refuses_shares_without_sense():
    frame = pd.DataFrame({"x": range(4), "y": [0, 1, 0, 1]})
    for share in (0, 1, -0.2):
        with pytest.raises(DataError, match="between 0 and 1"):
            hold_out(frame, "y", share=share)
    with pytest.raises(DataError, match="rows held out"):
        hold_out(frame, "y", share=0.01)


@pytest.mark.shared_data
@pytest.mark.parametrize(
    ("file", "shape"), [("pima/pima_indians_diabetes.csv", (768, 9)), ("german_credit/german.csv", (1000, 21))]
)
def test_public_files_without_header(file, shape):
    table = read_table(Path(os.environ["BAYESREPAIR_DATA"]) / file)
    assert not table.header
    assert table.frame.shape == shape
    assert column_named(table.frame, "-1") == f"c{shape[1]}"
