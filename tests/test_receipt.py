"""Receipts: what they hash, what they keep, and that they come back as they were."""

import json
import os
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import xarray as xr
from bs4 import BeautifulSoup

import bayesrepair as br
from bayesrepair.hashes import data_hash, model_hash, part_hash, posterior_hash, row_hashes, row_key
from bayesrepair.oracles import BetaBinomial, LinearKnownNoise, Logistic, NormalNormal
from bayesrepair.posterior import Draws, Gaussian
from bayesrepair.receipt import Receipt, receipt_group
from bayesrepair.status import DataError

IDS = np.array(["a", "b", "c", "d"], dtype=object)


def table(**changes):
    values = {"y": np.array([1.0, np.nan, 0.0, 4.0]), "x": np.arange(8).reshape(4, 2), "name": IDS.copy()}
    return br.Rows(values | changes, IDS)


@pytest.fixture(scope="module")
def fit():
    oracle = NormalNormal()
    rows = br.Rows({"y": np.random.default_rng(0).normal(size=40)}, np.array([f"case {i}" for i in range(40)]))
    return br.Fit(oracle, rows, oracle.posterior(rows).draws(2000, np.random.default_rng(1)))


@pytest.fixture(scope="module")
def slip(fit):
    return br.receipt(br.repair(fit, ["case 1", "case 7"], method="auto", random_seed=8))


def test_the_data_hash_sees_every_cell_and_id_and_nothing_else():
    plain = data_hash(table())
    y = np.array([1.0, np.nan, 0.0, 4.0])
    same = [
        table(),
        table(y=y.astype("f4")),
        table(y=y.astype(">f8")),
        table(y=np.where(y == 0, -0.0, y)),
        table(x=np.asfortranarray(np.arange(8).reshape(4, 2)).astype("i2")),
        table(name=IDS.astype("U10")),
        br.Rows(dict(reversed(table().values.items())), IDS.astype(str)),
    ]
    assert {data_hash(rows) for rows in same} == {plain}
    cell, missing = y.copy(), y.copy()
    cell[2], missing[2] = 1e-300, np.nan
    other = [
        table(y=cell),
        table(y=missing),
        table(x=np.arange(8).reshape(4, 2)[:, ::-1]),
        table(x=np.arange(8).reshape(4, 2, 1)),
        table(name=np.array(["a", "b", "c", "e"], dtype=object)),
        table(z=y),
        table().at(np.array([1, 0, 2, 3])),
        table().at(np.arange(3)),
        br.Rows(table().values, np.array(["a", "b", "c", "e"], dtype=object)),
        br.Rows({k + "_": v for k, v in table().values.items()}, IDS),
    ]
    hashes = {data_hash(rows) for rows in other}
    assert len(hashes) == len(other)
    assert plain not in hashes


def test_integers_beyond_floats_are_told_apart():
    one, two = (br.Rows({"y": np.array([2**53 + k])}, np.arange(1)) for k in (0, 1))
    assert data_hash(one) != data_hash(two)
    assert data_hash(br.Rows(one.values, np.array([1]))) != data_hash(br.Rows(one.values, np.array(["1"])))


def test_row_hashes_need_the_data():
    rows, other = table(), table(z=np.zeros(4))
    assert row_hashes(rows, ["a", "b"])[0] == row_hashes(rows, ["a"])[0]
    assert not set(row_hashes(rows, IDS)) & set(row_hashes(other, IDS))
    assert row_key(rows).hex() != data_hash(rows)
    assert part_hash(rows.take(["a"]), row_key(rows)) != part_hash(rows.take(["b"]), row_key(rows))


def test_the_model_hash_sees_structure_and_priors():
    models = [
        NormalNormal(),
        NormalNormal(prior_sd=2.0),
        NormalNormal(noise_sd=2.0),
        Logistic(n_features=2),
        Logistic(n_features=3),
        LinearKnownNoise(n_features=2),
        BetaBinomial(),
        BetaBinomial(a=2.0),
        Plain(1.0),
        Plain(1.1),
    ]
    assert len({model_hash(model) for model in models}) == len(models)
    assert model_hash(NormalNormal()) == model_hash(NormalNormal(0.0, 1.0, 1.0))


class Plain:
    """A model that is no dataclass and has no text: its prior is probed."""

    names, n_params, outcome = ("mu",), 1, NormalNormal.outcome

    def __init__(self, sd):
        self.sd = sd

    def log_prior(self, theta):
        return -0.5 * np.square(theta[:, 0] / self.sd)


def test_the_posterior_hash_sees_draws_and_weights_but_not_how_they_came():
    theta = np.arange(6.0)[:, None]
    plain = Draws.plain(theta)
    different = [
        plain,
        Draws.plain(theta + 1e-15 * (theta == 1)),
        replace(plain, log_weights=theta[:, 0]),
        Draws.plain(theta, np.arange(6) % 2),
        Gaussian(np.zeros(2), np.eye(2)),
        Gaussian(np.zeros(2), 2 * np.eye(2)),
        BetaBinomial().prior,
        BetaBinomial(a=1.5).prior,
    ]
    assert len({posterior_hash(posterior) for posterior in different}) == len(different)
    assert posterior_hash(Draws.plain(theta.copy())) == posterior_hash(plain)


PYMC = """
import sys, numpy as np, pymc as pm
from bayesrepair.bridges.pymc.model import pymc_model
from bayesrepair.hashes import model_hash
def built(sd=1.0, slope="Normal", seed=0, link="exp"):
    rng = np.random.default_rng(seed)
    x, y, group = rng.normal(size=30), rng.poisson(2, 30), np.arange(30) % 3
    with pm.Model() as model:
        spread = pm.HalfNormal("spread", sd)
        level = pm.Normal("level", 0, 1, shape=3)
        b = pm.Normal("b", 0, 1) if slope == "Normal" else pm.Laplace("b", 0, 1)
        linear = level[group] * spread + b * x
        pm.Poisson("y", pm.math.exp(linear) if link == "exp" else pm.math.log1pexp(linear), observed=y)
    return model_hash(pymc_model(model))
"""


def test_the_hash_of_a_pymc_model_is_stable_between_processes():
    scope = {}
    exec(PYMC, scope)
    built = scope["built"]
    here = built()
    assert built(seed=1) == here  # other data, the same model
    changed = {built(sd=1.1), built(slope="Laplace"), built(link="softplus")}
    assert len(changed) == 3
    assert here not in changed
    environment = os.environ | {"PYTHONHASHSEED": "123"}
    shown = subprocess.run(
        [sys.executable, "-c", PYMC + "print(built())"], capture_output=True, text=True, check=True, env=environment
    )
    assert shown.stdout.split()[-1] == here


def test_a_receipt_keeps_what_was_done(fit, slip):
    assert slip.verdict == "estimated"
    assert slip.seeds == {"edit": 8}
    assert [attempt["rung"] for attempt in slip.attempts][-1] == slip.rung
    assert {"khat", "ess", "seconds", "status", "message"} <= set(slip.attempts[0])
    assert 0 <= slip.check["p_value"] <= 1
    assert "error_mean" in slip.check
    assert {"python", "pymc", "numpy", "bayesrepair"} <= set(slip.versions)
    assert slip.rows == row_hashes(fit.rows, ["case 1", "case 7"])
    assert slip.frame()["power"].tolist() == [-1.0, -1.0]
    again = br.edit(fit, br.Factor(fit.rows.take(["case 1", "case 7"]), -1.0), random_seed=slip.seeds["edit"])
    assert posterior_hash(again.after.posterior) == slip.posterior_hash


def test_a_verified_receipt_keeps_the_comparison(fit):
    edited = br.repair(fit, ["case 1"], method="retrain", random_seed=1)
    proof = br.verify(edited, random_seed=2, progressbar=False)
    slip = proof.receipt
    assert slip.verdict == "verified"
    assert slip.why == proof.verdict
    assert slip.seeds == {"edit": 1, "verification": 2}
    assert [line["metric"] for line in slip.comparison] == list(proof.frame().index)
    np.testing.assert_allclose([line["distance"] for line in slip.comparison], proof.frame()["distance"])
    failed = replace(edited, verification=replace(proof, passed=False))
    assert br.receipt(failed).verdict == "unverified"


def test_an_unreliable_edit_is_unverified(fit):
    worst = np.argsort(fit.rows.values["y"])[-15:]
    edited = br.repair(fit, fit.rows.row[worst], method="weights", random_seed=0)
    assert edited.status.level == "unreliable"
    assert br.receipt(edited).verdict == "unverified"


def hard(slip):
    """Numbers that JSON has no name for."""
    record = {"rung": "weights", "khat": np.inf, "ess": None, "seconds": 0.1, "status": "unreliable"}
    return replace(slip, khat=np.inf, ess=None, attempts=(record,), check={"z_stein": np.inf, "moved": None})


def test_receipts_come_back_from_json_and_from_a_tree(slip, tmp_path):
    for receipt in (slip, hard(slip)):
        assert Receipt.from_json(receipt.to_json()) == receipt
        json.loads(receipt.to_json(), parse_constant=pytest.fail)
        path = tmp_path / f"{receipt.khat}.nc"
        xr.DataTree.from_dict({"receipt": receipt_group(receipt)}).to_netcdf(path, engine="h5netcdf")
        with xr.open_datatree(path, engine="h5netcdf") as tree:
            group = tree["receipt"].load()
        assert Receipt.from_json(group.attrs["receipt"]) == receipt
        np.testing.assert_array_equal(group["row"], receipt.rows)
        np.testing.assert_array_equal(group["power"], receipt.powers)
        assert group["rung"].to_numpy().tolist() == [a["rung"] for a in receipt.attempts]


def test_an_edit_of_nothing_has_a_receipt(fit, tmp_path):
    slip = br.receipt(br.edit(fit, ()))
    assert slip.rows == ()
    assert Receipt.from_json(slip.to_json()) == slip
    receipt_group(slip).to_netcdf(tmp_path / "nothing.nc", engine="h5netcdf")
    assert "nothing had to be" in repr(slip)


def test_the_tree_of_an_edit_carries_its_receipt(fit):
    edited = br.repair(fit, ["case 2"], method="weights", random_seed=0)
    assert Receipt.from_json(edited.datatree["receipt"].attrs["receipt"]) == br.receipt(edited)


@pytest.mark.parametrize(
    ("text", "says"),
    [("{", "text that is none"), ("[]", "receipt of schema"), ('{"schema": 99}', "99"), ('{"schema": 1}', "verdict")],
)
def test_what_is_no_receipt_is_refused(text, says):
    with pytest.raises(DataError, match=says):
        Receipt.from_json(text)


def test_a_receipt_of_an_unknown_verdict_is_refused(slip):
    record = json.loads(slip.to_json()) | {"verdict": "certain"}
    with pytest.raises(DataError, match="'certain'"):
        Receipt.from_json(json.dumps(record))


def test_receipts_read_well_and_escape(slip):
    assert "the edit's own checks pass" in repr(slip)
    hostile = replace(slip, why="<script>alert(1)</script>")
    assert "<script>" not in hostile._repr_html_()
    assert "unknown" in repr(replace(slip, seeds={"edit": None}))


def test_the_report_shows_the_receipt(fit, tmp_path):
    edited = br.repair(fit, ["case 1"], method="weights", random_seed=12345)
    soup = BeautifulSoup(br.report(edited, tmp_path / "report.html").read_text(), "html.parser")
    text = " ".join(soup.find(id="receipt").get_text(" ").split())
    slip = br.receipt(edited)
    for said in (slip.data_hash, slip.model_hash, slip.posterior_hash, "edit 12345", slip.verdict, *slip.rows):
        assert said in text
    assert "case 1" not in text
