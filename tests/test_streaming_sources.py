"""Rows in files, partitions and slices are the rows they were written from, in any cut."""

import dask.dataframe as dd
import numpy as np
import pandas as pd
import pytest
import xarray as xr

import bayesrepair as br
from bayesrepair.status import DataError
from bayesrepair.streaming import csv_file, pieces
from bayesrepair.streaming.opening import opened
from bayesrepair.streaming.pieces import SegmentedSource
from bayesrepair.tables.sample import whole_or_sample

N = 1000


@pytest.fixture(scope="module")
def table():
    rng = np.random.default_rng(0)
    words = np.array(["plain", 'quoted "twice"', "two\nlines", "with, comma", "5"])
    return pd.DataFrame(
        {
            "number": rng.normal(size=N),
            "count": rng.integers(0, 9, N),
            "gaps": np.where(rng.random(N) < 0.1, np.nan, rng.integers(0, 9, N)),
            "late": [None] * 700 + ["word"] * 300,
            "word": words[rng.integers(0, 5, N)],
            "flag": rng.random(N) < 0.5,
        }
    )


def whole(source):
    return pd.concat([piece.load() for piece in source.pieces])


def cut(source, size=333):
    """The same source in pieces of another size."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pieces, "PIECE_ROWS", size)
        again = SegmentedSource(source.segments, source.index, source.mark)
        assert again.pieces[0].stop == min(size, len(source))
    return again


@pytest.fixture
def small_pieces(monkeypatch):
    for module in (csv_file, pieces):
        monkeypatch.setattr(module, "PIECE_ROWS", 300)


def test_a_parquet_file_is_its_table_whatever_the_row_groups(table, tmp_path):
    table.to_parquet(tmp_path / "rows.parquet", row_group_size=170)
    source = opened(tmp_path / "rows.parquet")
    assert len(source.segments) == 6
    for size in (170, 333, 5000):
        again = whole(cut(source, size))
        pd.testing.assert_frame_equal(again, table, check_names=False, check_index_type=False, check_dtype=False)


def test_a_folder_of_parquet_files_is_their_concatenation_under_the_ids_of_the_index(table, tmp_path):
    named = table.set_axis(pd.Index([f"id-{i}" for i in range(N)]))
    for k, start in enumerate(range(0, N, 400)):
        named.iloc[start : start + 400].to_parquet(tmp_path / f"part-{k}.parquet")
    source = opened(str(tmp_path))
    assert source.index.name == "row"
    pd.testing.assert_frame_equal(whole(cut(source)), named, check_names=False, check_dtype=False)


@pytest.mark.parametrize("newline", ["\n", "\r\n"])
@pytest.mark.parametrize("read", [7, 64, 2**24])
def test_a_csv_file_is_what_pandas_reads_in_one_go(table, tmp_path, monkeypatch, small_pieces, read, newline):
    monkeypatch.setattr(csv_file, "_READ", read)
    if read < 2**24:
        table = table.iloc[::23]
        monkeypatch.setattr(csv_file, "PIECE_ROWS", 13)
    text = table.to_csv(index=False, lineterminator=newline)
    text = text.replace(newline, newline + newline, 3)  # empty lines are no rows
    path = tmp_path / "rows.csv"
    for ending in ("", newline, newline * 3):
        path.write_bytes((text.rstrip("\r\n") + ending).encode())
        source = opened(path)
        assert len(source) == len(table)
        pd.testing.assert_frame_equal(whole(cut(source, 31)), pd.read_csv(path, low_memory=False), check_names=False)


def test_a_csv_column_has_one_type_in_the_whole_file(tmp_path, small_pieces):
    values = {
        "whole then fraction": [*range(300), *[0.5] * 300],
        "number then word": [*range(300), *["x"] * 300],
        "flag then gap": [*[True] * 300, *[None] * 300],
        "gap then number": [*[None] * 300, *range(300)],
    }
    pd.DataFrame(values).to_csv(tmp_path / "rows.csv", index=False)
    source = opened(tmp_path / "rows.csv")
    types = {name: {str(piece.load()[name].dtype) for piece in source.pieces} for name in values}
    assert types == {
        "whole then fraction": {"float64"},
        "number then word": {"str"},
        "flag then gap": {"str"},
        "gap then number": {"float64"},
    }


def test_a_csv_file_that_cannot_be_cut_says_so(tmp_path):
    (tmp_path / "rows.csv").write_text('a,b\n1,5" pipe\n2,6\n3,7" pipe\n')
    with pytest.raises(DataError, match="Parquet"):
        opened(tmp_path / "rows.csv")
    (tmp_path / "empty.csv").write_text("a,b\n")
    with pytest.raises(DataError, match="below the header"):
        opened(tmp_path / "empty.csv")


def test_partitions_of_a_dask_frame_are_its_rows(table):
    named = table.set_axis(np.arange(N) * 3)
    source = opened(dd.from_pandas(named, npartitions=3))
    assert len(source.segments) == 3
    again = whole(cut(source))
    pd.testing.assert_frame_equal(again, named, check_names=False, check_dtype=False)
    assert source.fingerprint == opened(dd.from_pandas(named, npartitions=3)).fingerprint


@pytest.mark.parametrize("chunks", [None, 170])
def test_slices_of_a_dataset_are_its_rows(chunks, monkeypatch):
    monkeypatch.setattr("bayesrepair.streaming.lazy.PIECE_ROWS", 300)
    x, y = np.random.default_rng(0).normal(size=(N, 3)), np.arange(N)
    data = xr.Dataset({"x": (("obs", "k"), x), "y": ("obs", y)}, coords={"obs": np.arange(N) + 7})
    source = opened(data if chunks is None else data.chunk({"obs": chunks}))
    for piece in cut(source).pieces:
        loaded = piece.load()
        np.testing.assert_array_equal(loaded["x"], x[piece.start : piece.stop])
        np.testing.assert_array_equal(loaded["obs"], np.arange(piece.start, piece.stop) + 7)
    flat = opened(data[["y"]])
    assert isinstance(flat.pieces[0].load(), pd.DataFrame)
    with pytest.raises(DataError, match="transpose"):
        opened(data.transpose("k", ...))


def test_some_rows_of_a_source_come_in_the_order_asked_for(table, tmp_path):
    table.to_parquet(tmp_path / "rows.parquet", row_group_size=170)
    source = opened(tmp_path / "rows.parquet")
    positions = np.array([901, 3, 3, 200, 171])
    pd.testing.assert_frame_equal(
        source.at(positions), table.iloc[positions], check_names=False, check_index_type=False, check_dtype=False
    )


def test_ids_that_occur_twice_are_refused(table, tmp_path):
    table.set_axis(np.arange(N) // 2).to_parquet(tmp_path / "rows.parquet")
    with pytest.raises(DataError, match="reset_index"):
        opened(tmp_path / "rows.parquet")


def test_what_is_no_table_is_refused(tmp_path):
    with pytest.raises(DataError, match="none there"):
        opened(tmp_path / "absent.csv")
    (tmp_path / "rows.txt").write_text("1")
    with pytest.raises(DataError, match="csv"):
        opened(tmp_path / "rows.txt")
    (tmp_path / "rows.parquet").write_text("no parquet")
    with pytest.raises(DataError, match="to_parquet"):
        opened(tmp_path / "rows.parquet")
    (tmp_path / "folder").mkdir()
    with pytest.raises(DataError, match="none in"):
        opened(tmp_path / "folder")


def test_a_table_in_memory_is_cut_without_copies(table):
    source = opened(table)
    assert np.shares_memory(source.pieces[0].load()["number"].to_numpy(), table["number"].to_numpy())
    changed = table.assign(count=table["count"] + 1)
    assert opened(changed).fingerprint != source.fingerprint == opened(table.copy()).fingerprint


def test_a_long_file_is_modelled_by_a_uniform_sample_that_keeps_its_ids(tmp_path):
    rng = np.random.default_rng(0)
    table = pd.DataFrame({"a": rng.normal(size=N), "y": rng.integers(0, 2, N).astype(str)})
    table.to_parquet(tmp_path / "rows.parquet", row_group_size=170)
    read, said = whole_or_sample(tmp_path / "rows.parquet", max_rows=N, random_seed=1)
    pd.testing.assert_frame_equal(read, table, check_names=False, check_index_type=False, check_dtype=False)
    assert said == ""
    drawn = [whole_or_sample(tmp_path / "rows.parquet", max_rows=100, random_seed=seed)[0] for seed in range(300)]
    pd.testing.assert_frame_equal(drawn[0], table.loc[drawn[0].index], check_names=False, check_dtype=False)
    times = np.bincount(np.concatenate([part.index for part in drawn]), minlength=N)  # Binomial(300, 1/10) each
    np.testing.assert_allclose(times.var(), 27, rtol=0.2)
    assert all(part.index.is_unique and len(part) == 100 for part in drawn)
    fit = br.from_table(tmp_path / "rows.parquet", target="y", max_rows=200, method="laplace", random_seed=3)
    assert len(fit.rows) == 200
    assert "200 of 1000 rows, drawn at random" in fit.model.preparation.notes[-1]
    with pytest.raises(DataError, match="max_rows"):
        br.from_table(tmp_path / "rows.parquet", target="y", max_rows=0)
