"""Repairs end to end on a smooth model without closed form: the edit, the proof, the trees, the receipt."""

import json

import arviz as az
import numpy as np
import pandas as pd
import pytest
import xarray as xr

import bayesrepair as br
from bayesrepair.datatree import save_posteriors
from bayesrepair.evaluation import detection, detection_curve, held_out
from bayesrepair.oracles import Logistic
from bayesrepair.receipt import receipt_group
from bayesrepair.status import DataError

D, N, BAD = 3, 160, 20
SLOPE = np.array([5.0, -2.0, 0.0])


@pytest.fixture(scope="module")
def story():
    """A logistic regression whose first rows are mislabelled, all at one corner of the feature space."""
    rng = np.random.default_rng(5)
    oracle = Logistic(n_features=D, prior_sd=2.0)
    x = rng.normal(size=(N + 300, D))
    x[:BAD, 0] = np.abs(x[:BAD, 0]) + 1.0
    y = (rng.random(len(x)) < 1 / (1 + np.exp(-x @ SLOPE))).astype(int)
    y[:BAD] = 0
    ids = np.array([f"case {i}" for i in range(N)])
    rows = br.Rows({"x": x[:N], "y": y[:N]}, ids)
    test = br.Rows({"x": x[N:], "y": y[N:]}, np.arange(300))
    fit = br.Fit(oracle, rows, oracle.train(rows, rng=np.random.default_rng(0)))
    return fit, test, ids[:BAD]


def test_planted_causes_are_found_and_their_removal_helps(story):
    fit, test, bad = story
    scoring, reporting = br.find_failures(fit, test).split(2, random_seed=0)
    causes = br.find_causes(fit, scoring, top=BAD, progressbar=False)
    truth = pd.Series(np.isin(fit.rows.row, bad), index=fit.rows.index)
    score = causes.frame()["score"]
    found, precision = detection(score, truth), []
    for seed in range(6):  # one record more or less is a twentieth, and other draws may cost it
        again = br.Fit(fit.model, fit.rows, fit.model.train(fit.rows, rng=np.random.default_rng(seed)))
        ranked = br.find_causes(again, scoring, top=BAD, progressbar=False).frame()["score"]
        precision.append(detection(ranked, truth)["precision_at_k"])
    assert np.mean(precision) >= 3 * found["chance"]
    assert detection(-score, truth)["average_precision"] < 0.5 * found["average_precision"]
    repaired = br.repair(fit, causes.top(BAD), method="retrain", random_seed=1)
    assert repaired.causes is causes
    table = held_out(fit, repaired.after, {"all": reporting.holdout, "failures": reporting.rows})
    assert table.loc["all", "log_score_gain"] > 2 * table.loc["all", "gain_se"]
    assert table.loc["all", "accuracy_after"] > table.loc["all", "accuracy_before"]


def test_verification_knows_a_good_edit_from_none(story):
    fit, _, bad = story
    good = br.repair(fit, bad, method="retrain", random_seed=1)
    proof = br.verify(good, refits=12, random_seed=2)  # the noise of two refits hangs on one random number
    assert list(proof.frame().columns) == ["distance", "refit_noise", "ratio", "low", "high", "limit"]
    assert proof.passed
    assert (proof.frame()["ratio"] < 3).all()
    idle = br.Edited(good.before, br.Fit(**{**vars(good.after), "posterior": fit.posterior}), good.factors, good.info)
    refuted = br.verify(idle, random_seed=2)
    assert not refuted.passed
    assert refuted.frame()["ratio"].max() > 5
    with pytest.raises(DataError, match="2 refits"):
        br.verify(good, refits=1)


def test_receipt_says_what_was_proved(story):
    fit, _, bad = story
    edited = br.repair(fit, bad[:3], method="retrain", random_seed=1)
    assert br.receipt(edited).verdict == "estimated"
    proved = br.repair(fit, bad[:3], method="retrain", verify=True, random_seed=1)
    slip = br.receipt(proved)
    assert slip.verdict == "verified"
    record = json.loads(slip.to_json())
    assert record["powers"] == [-1.0] * 3
    assert all(len(hashed) == 64 for hashed in record["rows"])
    assert not any("case" in hashed for hashed in record["rows"])
    assert br.receipt(edited).data_hash == slip.data_hash
    assert proved.verification.receipt == slip


def test_trees_keep_every_weight_and_resample_for_plots(story, tmp_path):
    fit, _, _ = story
    edited = br.repair(fit, fit.rows.row[-3:], method="weights", random_seed=1)
    draws = edited.after.draws
    weighted = edited.weighted["posterior"]
    np.testing.assert_allclose(weighted["log_weight"].to_numpy().ravel(), draws.log_weights)
    np.testing.assert_allclose(weighted["pareto_k"], draws.khat)
    resampled = edited.datatree["posterior"]["beta"].to_numpy().reshape(-1, D)
    mean = draws.weights @ draws.theta
    sd = np.sqrt(draws.weights @ np.square(draws.theta - mean))
    np.testing.assert_array_less(np.abs(resampled.mean(axis=0) - mean), 5 * sd / np.sqrt(draws.ess))
    summary = az.summary(edited.datatree)
    np.testing.assert_allclose(summary["mean"].astype(float), mean, atol=0.15)
    path = tmp_path / "posterior.nc"
    save_posteriors(path, edited.before, edited.after, receipt_group(br.receipt(edited)))
    import xarray as xr

    with xr.open_datatree(path, engine="h5netcdf") as tree:
        assert set(tree.groups) >= {"/original/posterior", "/repaired/posterior", "/receipt"}
        np.testing.assert_allclose(tree["repaired/posterior"]["log_weight"].to_numpy().ravel(), draws.log_weights)
        assert tree["receipt"].attrs["verdict"] in {"verified", "estimated", "unverified"}


def test_relabelling_towards_the_truth_helps(story):
    fit, test, bad = story
    edited = br.repair(fit, bad, relabel=dict.fromkeys(bad, 1), method="retrain", random_seed=0)
    gain = held_out(fit, edited.after, {"all": test}).loc["all", "log_score_gain"]
    assert gain > 0
    with pytest.raises(DataError, match="classes among 0, 1"):
        br.repair(fit, bad[:1], relabel={bad[0]: "yes"})


def test_choice_removes_the_planted_rows_and_leaves_clean_ones(story):
    fit, test, _ = story
    scoring, choosing = br.find_failures(fit, test).split(2, random_seed=0)
    causes = br.find_causes(fit, scoring, progressbar=False)
    choice = br.choose_top(causes, choosing, sizes=[5, 10, 20, 40, 100], method="retrain", progressbar=False)
    assert 5 <= choice.k <= 40
    assert choice.frame().loc[0, "gain"] == 0
    rng = np.random.default_rng(1)
    x = rng.normal(size=(N, D))
    y = (rng.random(N) < 1 / (1 + np.exp(-x @ SLOPE))).astype(int)
    rows = br.Rows({"x": x, "y": y}, np.arange(N))
    clean = br.Fit(fit.model, rows, fit.model.train(rows, rng=rng))
    scoring, choosing = br.find_failures(clean, test).split(2, random_seed=0)
    causes = br.find_causes(clean, scoring, progressbar=False)
    assert br.choose_top(causes, choosing, sizes=[20, 40], method="retrain", progressbar=False).k == 0


def test_detection_curve_ends_with_everything_found():
    curve = detection_curve(pd.Series([0.1, 0.9, 0.5]), pd.Series([False, True, False]))
    assert curve["found"].tolist() == [1.0, 1.0, 1.0]
    with pytest.raises(DataError, match="at least one bad row"):
        detection(pd.Series([1.0]), pd.Series([False]))


def test_every_door_goes_on_from_a_repair(story):
    fit, test, bad = story
    first = br.repair(fit, bad[:5], method="weights", random_seed=1)
    second, other = (br.repair(given, bad[5:9], method="weights", random_seed=1) for given in (first, first.after))
    assert second.before is first.after
    np.testing.assert_array_equal(second.after.posterior.log_weights, other.after.posterior.log_weights)
    of_edit, of_fit = (br.find_failures(given, test) for given in (first, first.after))
    pd.testing.assert_frame_equal(of_edit.frame(), of_fit.frame())
    causes = br.find_causes(first, of_edit, progressbar=False)
    assert causes.fit is first.after
    assert not set(bad[:5]) & set(causes.frame().index)


@pytest.mark.parametrize(
    ("given", "remedy"),
    [(pd.DataFrame({"y": [1]}), "br.from_table"), (xr.Dataset(), "br.from_pymc"), (3, "br.from_table")],
)
def test_what_is_no_fit_is_named_with_what_makes_one_of_it(story, given, remedy):
    _, test, bad = story
    doors = [
        lambda: br.find_failures(given, test),
        lambda: br.find_causes(given, test),
        lambda: br.find_suspects(given),
        lambda: br.repair(given, bad),
        lambda: br.edit(given, br.Factor(test, 1.0)),
        lambda: br.rehearse(given),
    ]
    for door in doors:
        with pytest.raises(TypeError, match=f"expected a Fit; got a {type(given).__name__}.*{remedy}"):
            door()


def test_relabelling_and_weights_by_mapping_or_series_alone(story):
    fit, _, bad = story
    flipped = {i: 1 - int(fit.rows.take([i]).values["y"][0]) for i in bad[:3]}
    for name, values in (("relabel", flipped), ("weight", dict.fromkeys(bad[:3], 0.5))):
        by_mapping, by_series = (
            br.repair(fit, bad[:3], method="weights", random_seed=1, **{name: given})
            for given in (values, pd.Series(values))
        )
        np.testing.assert_array_equal(by_mapping.after.posterior.log_weights, by_series.after.posterior.log_weights)
        with pytest.raises(DataError, match=rf"{name}= as a mapping of row id; got a list. Pass {name}=dict\(zip"):
            br.repair(fit, bad[:3], **{name: list(values.values())})


def test_a_seed_that_nobody_gave_is_kept_and_repeats_the_repair(story):
    fit, _, bad = story
    for again in (
        lambda seed: br.repair(fit, bad[:5], method="moves", random_seed=seed),
        lambda seed: br.edit(fit, br.Factor(fit.rows.take(bad[:5]), -1.0), method="moves", random_seed=seed),
    ):
        first = again(None)
        seed = first.info.random_seed
        assert br.receipt(first).seeds["edit"] == seed
        np.testing.assert_array_equal(again(seed).after.posterior.theta, first.after.posterior.theta)
        assert not np.array_equal(again(None).after.posterior.theta, first.after.posterior.theta)
