"""Example data: every set keeps its promises, data/ is what the generators make, writing is all or none."""

import os
import runpy
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from bayesrepair import status
from bayesrepair.datasets import (
    Dataset,
    load,
    mnist,
    names,
    public,
    registry,
    synthetic,
)

DATA = Path(__file__).parent.parent / "data"
BUNDLED = ("breast_cancer", "wine", "digits", "iris", "diabetes")
PUBLIC = ("pima", "german_credit", "breast_cancer_wisconsin", "radon", "roaches", "mnist")


# ---- every set ----------------------------------------------------------------------------------------


def test_names_and_loaders_agree():
    assert set(names()) == set(registry.SETS) == {*registry.GENERATED, *BUNDLED, *PUBLIC}
    assert len(names()) == sum(len(family.SETS) for family in registry._FAMILIES)
    for name, card in registry.CARDS.items():
        assert card.name == name
        assert "\n" not in card.title


def test_unknown_name_says_what_to_type():
    with pytest.raises(status.DataError, match=r"pima.*load\('radial'\)"):
        load("radiall")


def check(data: Dataset) -> None:
    """What every set promises."""
    assert data.frame.index.name == "row"
    assert data.frame.index.is_unique
    assert data.frame[data.target].notna().all()
    assert data.target in data.columns
    assert data.target not in data.features
    assert set(data.groups) < set(data.frame.columns)
    assert str(data).splitlines()[0] == f"{data.name}: {names()[data.name]}"
    assert data.card.startswith(f"# {data.name}")
    if data.holdout is not None:
        assert list(data.holdout.columns) == list(data.frame.columns)
        assert data.holdout.index.intersection(data.frame.index).empty
        assert data.holdout.index.name == "row"
    if data.truth is not None:
        pd.testing.assert_index_equal(data.truth.index, data.frame.index)
        wrong = data.frame[data.target] != data.clean
        pd.testing.assert_series_equal(wrong, data.truth, check_names=False)


@pytest.mark.parametrize("name", [*registry.GENERATED, *BUNDLED])
def test_generated_and_bundled_sets_keep_their_promises(name):
    check(load(name))


@pytest.mark.shared_data
@pytest.mark.parametrize("name", PUBLIC)
def test_public_sets_keep_their_promises(name):
    check(load(name))


def test_html_is_escaped_and_shows_the_target_in_five_rows():
    data = load("digits")
    data.frame["digit"] = data.frame["digit"].replace("zero", "<b>")
    text = data._repr_html_()
    assert "<b>digits" in text
    assert "&lt;b&gt; 178" in text
    assert "<th>digit</th>" in text
    assert text.count("<tr") == 5 + 2  # the names of the columns and of the index


# ---- generated tables ---------------------------------------------------------------------------------


def test_data_folder_holds_exactly_what_the_generators_make(tmp_path, capsys):
    runpy.run_path(str(DATA / "make.py"))["make"](tmp_path)
    made = {path.relative_to(tmp_path): path.read_bytes() for path in tmp_path.glob("*/*")}
    kept = {path.relative_to(DATA): path.read_bytes() for path in DATA.glob("*/*") if path.parent.name in names()}
    assert set(made) == set(kept)
    assert [path for path in made if made[path] != kept[path]] == []
    assert capsys.readouterr().out.split() == list(registry.GENERATED)


@pytest.mark.parametrize(("name", "rows", "classes", "planted"), [
    ("two_moons", 1000, 2, 100),
    ("spiral", 1000, 2, 100),
    ("radial", 600, 2, 70),
    ("rectangular", 800, 3, None),
])  # fmt: skip
def test_sizes_after_puma(name, rows, classes, planted):
    data = load(name)
    assert len(data.frame) == rows
    assert len(data.holdout) == rows // 2
    assert data.clean.nunique() == classes
    expected = round(0.2 * (data.clean == "amber").sum()) if planted is None else planted
    assert data.truth.sum() == expected


def test_radial_flips_lie_in_one_cluster_and_rectangular_ones_in_one_class():
    data = load("radial")
    wrong = data.frame[data.truth]
    assert np.hypot(wrong["x1"] - 1.0, wrong["x2"]).max() < 1.0
    data = load("rectangular")
    assert set(data.clean[data.truth]) == {"amber"}
    assert set(data.frame["label"][data.truth]) == {"blue"}


@pytest.mark.parametrize("draw", [synthetic.two_moons, synthetic.spiral, synthetic.radial, synthetic.rectangular])
def test_parts_are_equally_big_and_have_one_class_each(draw):
    frame, part = draw(480, rng=np.random.default_rng(0))
    counts = np.bincount(part)
    assert counts.max() == counts.min()
    assert len(frame.assign(part=part)[["part", "label"]].drop_duplicates()) == len(counts)


def test_rectangular_neighbours_differ():
    frame, part = synthetic.rectangular(160, rng=np.random.default_rng(0), noise=0.0)
    cells = frame["label"].groupby(part).first().to_numpy().reshape(4, 4)
    assert (cells[1:] != cells[:-1]).all()
    assert (cells[:, 1:] != cells[:, :-1]).all()


def test_without_noise_the_shapes_are_exact():
    frame, part = synthetic.spiral(200, rng=np.random.default_rng(1), noise=0.0)
    radius = np.hypot(frame["x1"], frame["x2"])
    angle = np.arctan2(frame["x2"], frame["x1"]) - 3.0 * np.pi * radius - np.pi * part
    np.testing.assert_allclose(np.cos(angle), 1.0, atol=1e-5)
    frame, _ = synthetic.two_moons(200, rng=np.random.default_rng(1), noise=0.0)
    lower = frame[frame["label"] == "lower"]
    np.testing.assert_allclose(np.hypot(lower["x1"] - 1.0, lower["x2"] - 0.5), 1.0, atol=1e-4)


def test_every_load_gives_a_fresh_equal_frame():
    first, second = load("clinic"), load("clinic")
    pd.testing.assert_frame_equal(first.frame, second.frame)
    first.frame.iloc[0, 0] = -1
    assert second.frame.iloc[0, 0] != -1


# ---- the clinic ---------------------------------------------------------------------------------------


def logistic_fit(A, y, precision=0.16):
    beta = np.zeros(A.shape[1])
    for _ in range(30):
        p = 1.0 / (1.0 + np.exp(-A @ beta))
        hessian = (A * (p * (1.0 - p))[:, None]).T @ A + precision * np.eye(A.shape[1])
        beta += np.linalg.solve(hessian, A.T @ (y - p) - precision * beta)
    return beta, hessian


def clinic_design(data, frame):
    number = frame[["age", "bmi", "glucose", "creatinine"]]
    base = data.frame[number.columns]
    scaled = ((number - base.mean()) / base.std()).fillna(0.0)
    words = pd.get_dummies(frame[["sex", "smoking", "site"]], dtype=float)
    return np.column_stack([np.ones(len(frame)), scaled, words])


def test_clinic_only_one_annotator_errs_and_cells_are_missing():
    data = load("clinic")
    rate = data.truth.groupby(data.frame["annotator"]).mean()
    assert rate["Dunn"] > 0.3
    assert rate.drop("Dunn").max() == 0.0
    missing = data.frame.isna().mean()
    assert set(missing.index[missing > 0]) == {"creatinine", "smoking"}
    assert missing.max() < 0.1
    assert set(data.groups) == {"site", "annotator"}
    assert data.frame.index.str.fullmatch(r"P\d{4}").all()


def test_clinic_failures_come_from_the_bad_annotator():
    """The example must show what it is for: the planted cause is there to be found and worth repairing."""
    data = load("clinic")
    A, B = clinic_design(data, data.frame), clinic_design(data, data.holdout)
    y, t = ((frame["complication"] == "yes").to_numpy(float) for frame in (data.frame, data.holdout))
    theirs = (data.frame["annotator"] == "Dunn").to_numpy()
    beta, hessian = logistic_fit(A, y)
    repaired, _ = logistic_fit(A[~theirs], y[~theirs])
    failed = (B @ beta > 0) != t
    assert (failed & (t == 1)).sum() > 0.8 * failed.sum()
    assert ((B @ repaired > 0) == t).mean() > ((B @ beta > 0) == t).mean() + 0.05
    # Linear influence of each row on the log probability of the failures, positive = harmful.
    pull = (B[failed] * (t - 1.0 / (1.0 + np.exp(-B @ beta)))[failed][:, None]).sum(0)
    score = -(A * (y - 1.0 / (1.0 + np.exp(-A @ beta)))[:, None]) @ np.linalg.solve(hessian, pull)
    by = pd.Series(score).groupby(data.frame["annotator"].to_numpy()).mean()
    assert by.idxmax() == "Dunn"
    assert (by.drop("Dunn") < 0.5 * by["Dunn"]).all()


# ---- writing ------------------------------------------------------------------------------------------


def test_written_tables_read_back(tmp_path):
    data = load("clinic")
    folder = data.write(tmp_path / "deep" / "clinic")
    assert sorted(os.listdir(folder)) == ["CARD.md", "test.csv", "train.csv", "truth.csv"]
    read = pd.read_csv(folder / "train.csv", index_col="patient").rename_axis("row")
    pd.testing.assert_frame_equal(read, data.frame)
    truth = pd.read_csv(folder / "truth.csv", index_col="patient")
    np.testing.assert_array_equal(truth["planted"], data.truth)
    np.testing.assert_array_equal(truth["clean"], data.clean)
    assert (folder / "CARD.md").read_text(encoding="utf-8") == data.card


def test_a_set_without_holdout_or_truth_writes_two_files(tmp_path):
    assert sorted(os.listdir(load("iris").write(tmp_path / "iris"))) == ["CARD.md", "train.csv"]


def test_existing_folders_are_kept_unless_told(tmp_path):
    data = load("radial")
    data.write(tmp_path / "out")
    with pytest.raises(status.DataError, match="does not exist yet"):
        data.write(tmp_path / "out")
    (tmp_path / "out" / "train.csv").write_text("old")
    data.write(tmp_path / "out", overwrite=True)
    assert (tmp_path / "out" / "train.csv").read_text().startswith("row,x1")
    (tmp_path / "out" / "thesis.tex").write_text("mine")
    with pytest.raises(status.DataError, match=r"thesis\.tex"):
        data.write(tmp_path / "out", overwrite=True)
    assert (tmp_path / "out" / "thesis.tex").read_text() == "mine"


def test_an_interrupted_write_leaves_nothing(tmp_path, monkeypatch):
    def stop(*args, **kwargs):
        raise KeyboardInterrupt

    monkeypatch.setattr(Path, "write_text", stop)
    with pytest.raises(KeyboardInterrupt):
        load("radial").write(tmp_path / "out")
    assert os.listdir(tmp_path) == []


# ---- public tables ------------------------------------------------------------------------------------


@pytest.mark.shared_data
def test_public_contents():
    pima = load("pima").frame
    assert (pima[["glucose", "blood_pressure", "skin_thickness", "insulin", "bmi"]] == 0).sum().tolist() == [
        5, 35, 227, 374, 11,
    ]  # fmt: skip
    assert pima["outcome"].value_counts().to_dict() == {"no diabetes": 500, "diabetes": 268}
    german = load("german_credit").frame
    assert german.iloc[0, :3].tolist() == ["A11", 6, "A34"]
    assert german["risk"].value_counts().to_dict() == {"good": 700, "bad": 300}
    wisconsin = load("breast_cancer_wisconsin").frame
    assert wisconsin["bare_nuclei"].isna().sum() == 16
    assert wisconsin["sample"].nunique() == 645
    radon = load("radon").frame
    assert radon["county"].nunique() == 85
    assert radon["county"].iloc[0] == "AITKIN"
    roaches = load("roaches").frame
    assert (roaches.index[0], len(roaches)) == (1, 262)
    assert roaches["y"].iloc[:2].tolist() == [153, 127]


@pytest.mark.shared_data
def test_mnist_contents():
    data = load("mnist")
    assert data.frame.shape == (60000, 785)
    assert data.holdout.shape == (10000, 785)
    assert (data.frame.drop(columns="digit").dtypes == np.uint8).all()
    assert data.frame["digit"].iloc[:5].tolist() == ["five", "zero", "four", "one", "nine"]
    assert data.holdout.index[0] == 60000


def test_content_is_checked_beside_the_checksum():
    table = public.TABLES["pima"]
    frame = pd.DataFrame(0.0, index=range(768), columns=list(table.card.columns)[1:])
    frame["outcome"] = ["diabetes"] * 268 + ["no diabetes"] * 500
    public.check_content(frame, table)
    with pytest.raises(status.DataError, match=r"768 rows and 9 columns; got 767 and 9"):
        public.check_content(frame.iloc[1:], table)
    frame.loc[0, "outcome"] = "no diabetes"
    with pytest.raises(status.DataError, match="501"):
        public.check_content(frame, table)


@pytest.mark.parametrize("data", [b"", b"\x00\x00\x0d\x01\x00\x00\x00\x01\x00", bytes([0, 0, 8, 1, 0, 0, 0, 3, 5])])
def test_bad_idx_is_refused(data):
    with pytest.raises(status.DataError, match="idx"):
        mnist.read_idx(data)
