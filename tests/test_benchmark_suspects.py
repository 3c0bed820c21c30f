"""The benchmark of suspects: planted errors, influence by its definition, intervals, and rules that fail when lost."""

import numpy as np
import pandas as pd
import pytest
from scipy.optimize import minimize

from benchmarks.suspects import cells, intervals, kept, measures, verdict
from benchmarks.suspects.logistic import BIAS_PRECISION, LastLayer
from benchmarks.suspects.peers import PEERS


@pytest.mark.parametrize(("noise", "rate"), [("u10", 0.1), ("u20", 0.2)])
def test_uniform_noise_flips_its_share_of_the_training_labels(noise, rate):
    cell = cells.cell("wine", noise, 0)
    assert cell.planted.sum() == round(rate * len(cell.y))
    np.testing.assert_allclose(cell.x.mean(axis=0), 0, atol=1e-12)


def test_asymmetric_noise_takes_one_class_for_one_other():
    cell = cells.cell("wine", "asym20", 3)
    wrong = cell.planted
    np.testing.assert_array_equal(np.unique(cell.clean[wrong]), [1])
    np.testing.assert_array_equal(np.unique(cell.y[wrong]), [0])
    assert wrong.sum() == round(0.2 * (cell.clean == 1).sum())


def test_cells_of_a_seed_share_their_split_and_seeds_differ():
    a, b, c = cells.cell("breast", "u10", 1), cells.cell("breast", "u20", 1), cells.cell("breast", "u10", 2)
    np.testing.assert_array_equal(a.x, b.x)
    assert not np.array_equal(a.x, c.x)


def _softmax(theta, x, n_classes):
    logits = np.column_stack([x, np.ones(len(x))]) @ theta.reshape(n_classes, -1).T
    return np.exp(logits - np.logaddexp.reduce(logits, axis=1)[:, None])


def _objective(theta, x, y, weight, n_classes):
    prior = np.tile([1.0] * x.shape[1] + [BIAS_PRECISION], n_classes)
    log_p = np.log(_softmax(theta, x, n_classes))[np.arange(len(y)), y]
    return -(weight * log_p).sum() + 0.5 * (prior * theta**2).sum()


@pytest.fixture(scope="module")
def small():
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((40, 2)), rng.integers(3, size=40)
    found = minimize(_objective, np.zeros(9), args=(x, y, np.ones(40), 3), options={"gtol": 1e-10})
    return x, y, found.x


def test_influence_is_the_change_of_held_out_loss_when_a_row_loses_weight(small):
    x, y, theta = small
    rng = np.random.default_rng(1)
    held, labels = rng.standard_normal((10, 2)), rng.integers(3, size=10)
    layer = LastLayer(x, _softmax(theta, x, 3))
    found = layer.influence(y, held, _softmax(theta, held, 3), labels)

    def loss(row, by):
        weight = np.ones(40)
        weight[row] += by
        moved = minimize(_objective, theta, args=(x, y, weight, 3), options={"gtol": 1e-10}).x
        return -np.log(_softmax(moved, held, 3))[np.arange(10), labels].sum()

    # a harmful row raises the held-out loss as it gains weight: influence is positive for it
    expected = [(loss(row, 1e-3) - loss(row, -1e-3)) / 2e-3 for row in range(8)]
    np.testing.assert_allclose(found[:8], expected, rtol=2e-2, atol=2e-3)


def test_self_influence_is_the_influence_of_a_row_on_itself_with_the_sign_of_a_help(small):
    x, y, theta = small
    layer = LastLayer(x, _softmax(theta, x, 3))
    own = [-layer.influence(y, x[[i]], layer.probs[[i]], y[[i]])[i] for i in range(5)]
    np.testing.assert_allclose(layer.self_influence(y)[:5], own, rtol=1e-10)


def test_two_classes_are_the_logistic_case_of_the_curvature():
    rng = np.random.default_rng(2)
    x, p = rng.standard_normal((30, 3)), rng.uniform(0.1, 0.9, 30)
    layer = LastLayer(x, np.column_stack([1 - p, p]))
    phi = np.column_stack([x, np.ones(30)])
    expected = phi.T @ ((p * (1 - p))[:, None] * phi) + np.diag([1, 1, 1, BIAS_PRECISION])
    np.testing.assert_allclose(layer.precision, expected)


def test_a_perfect_forecast_has_skill_and_a_confident_wrong_one_has_none():
    wrong = np.arange(100) < 20
    good = measures.calibration(np.where(wrong, 0.9, 0.02), wrong)
    bad = measures.calibration(np.where(wrong, 0.1, 0.6), wrong)
    assert good["log_skill"] > 0.5
    assert good["brier_skill"] > 0.5
    assert bad["log_skill"] < 0
    assert bad["brier_skill"] < 0
    np.testing.assert_allclose(good["true"], 0.5)


def test_calibration_error_sees_overconfidence():
    rng = np.random.default_rng(3)
    p = rng.uniform(size=20000)
    assert measures.calibration_error(p, rng.random(20000) < p) < 0.02
    np.testing.assert_allclose(measures.calibration_error(p, rng.random(20000) < p**2), 1 / 6, atol=0.02)


def test_the_interval_over_cells_covers_when_noises_share_their_seed():
    rng = np.random.default_rng(4)
    keys = [{"data": d, "noise": n, "seed": s} for d in "ab" for s in range(20) for n in ("u10", "u20", "asym20")]
    frame, covered = pd.DataFrame(keys), 0
    for _ in range(200):
        shared = np.repeat(np.concatenate([rng.normal(0, 0.1, 20), rng.normal(0, 0.03, 20)]), 3)  # noises of a seed
        _, low, high = intervals.over_cells(frame.assign(gain=0.05 + shared + rng.normal(0, 0.02, 120)))
        covered += low <= 0.05 <= high
    assert 0.91 <= covered / 200 <= 0.985


def _lines(ours, loss, noise="u10", data="breast", seeds=20):
    rng = np.random.default_rng(5)
    frames = []
    for method, level in (("ours", ours), ("training loss", loss), ("margin", loss - 0.2)):
        ap = level + rng.normal(0, 0.01, seeds)
        frames.append(pd.DataFrame({"data": data, "noise": noise, "seed": range(seeds), "method": method, "ap": ap}))
    return pd.concat(frames)


def test_a_gain_is_met_and_a_loss_is_said():
    won = verdict.rules_of_detection(_lines(0.95, 0.9), ["training loss", "margin"])
    assert won[0].endswith("training loss.")
    assert all("NOT MET" not in line for line in won)
    assert [line for line in won if line.startswith("UNFINISHED: ours is measured on 1 of 16")]
    both = pd.concat([_lines(0.95, 0.8), _lines(0.5, 0.6, noise="asym20")])
    lost = verdict.rules_of_detection(both, ["training loss", "margin"])
    assert [line for line in lost if "class-dependent" in line and "NOT MET" in line]
    assert [line for line in lost if "worst cell" in line and "breast/asym20" in line and "NOT MET" in line]
    assert [line for line in lost if "uniform" in line and line.endswith("above 0: met.")]


def test_other_classifiers_are_told_beside_the_rule():
    lines = pd.concat(
        [_lines(0.95, 0.8), _lines(0.95, 0.94).replace({"method": {"margin": "forest"}}).query("method == 'forest'")]
    )
    told = verdict.rules_of_detection(lines, ["training loss", "margin"], ["forest"])
    assert told[0].endswith("training loss.")
    (beside,) = [line for line in told if "forest" in line]
    assert beside.startswith("Beside the rule, ours − forest (a classifier of its own): all logistic cells +0.2")
    assert "MET" not in beside
    own = {name for name, peer in PEERS.items() if peer.of_its_own}
    assert own == {"forest, out of bag", "discriminant, out of fold"}


def test_nothing_measured_is_no_crash():
    told = verdict.rules_of_detection(_lines(0.9, 0.8).query("method == 'ours'"), ["training loss", "margin"])
    assert told[-1] == "ours: nothing measured yet."


def test_peers_of_the_last_table_are_not_measured_again(tmp_path, monkeypatch):
    monkeypatch.setattr(kept, "CACHE", tmp_path)
    table = tmp_path / "suspects.csv"
    table.write_text("data,noise,seed,method,ap,prob_noise\nwine,u10,3,margin,0.5,\nwine,u10,3,ours,0.9,1\n")
    kept.save_line(kept.path("lines", "wine-u10-3", suffix=".json"), "training loss", {"ap": 0.25})
    assert kept.restore(table, ["margin", "training loss"]) == 1
    assert kept.restore(table, ["margin", "training loss"]) == 0
    lines = kept.load_lines(kept.path("lines", "wine-u10-3", suffix=".json"))
    assert lines == {"training loss": {"ap": 0.25}, "margin": {"ap": 0.5}}


def test_the_code_of_each_line_is_told():
    line = {"data": "wine", "method": "ours", "code": "abc"}
    some = [line, line | {"data": "pima"}, line | {"code": "def"}, line | {"code": None}]
    told = verdict.origins(pd.DataFrame([*some, line | {"method": "margin", "code": None}]), ["ours"])
    by_version = "2 of abc (wine, pima); 1 of an earlier table (wine); 1 of def (wine)"
    assert told == [f"ours, lines by version of the code: {by_version}."]
    before = [{"data": "wine", "method": "ours"}]
    assert verdict.origins(pd.DataFrame(before), ["ours"]) == [
        "ours, lines by version of the code: 1 of an earlier table (wine)."
    ]


def test_chains_that_disagree_or_take_long_are_told():
    line = {"data": "wine", "noise": "u10", "seed": 0, "method": "ours", "rhat": 1.005, "ess": 800.0}
    line |= {"sampling_seconds": 4.0, "plain_seconds": 2.0, "plain_ess": 400.0}
    good = verdict.sampled(pd.DataFrame([line]), "ours")
    assert good.loc[("wine", "u10"), "time / plain"] == 2.0
    assert good.loc[("wine", "u10"), "… an effective draw"] == 1.0
    assert all(said.endswith(": met.") for said in verdict.rules_of_sampling(good, "ours"))
    bad = verdict.sampled(pd.DataFrame([line | {"rhat": 1.02, "sampling_seconds": 7.0}]), "ours")
    ends = ("NOT MET.", "NOT MET.", "NOT MET (wine/u10 fail).")
    assert all(said.endswith(end) for said, end in zip(verdict.rules_of_sampling(bad, "ours"), ends, strict=True))
    lines = [line, line | {"seed": 1}, line | {"seed": 2}, line | {"data": "pima", "rhat": 1.02}]
    assert (
        "in 75% of 4 sampled lines"
        in verdict.rules_of_sampling(verdict.sampled(pd.DataFrame(lines), "ours"), "ours")[0]
    )
    assert verdict.rules_of_sampling(verdict.sampled(pd.DataFrame([{"method": "ours"}]), "ours"), "ours") == []


def test_members_of_a_pool_are_averaged_over_seeds():
    line = {"data": "wine", "noise": "u10", "method": "ours", "ap": 0.9, "ap_model": 0.8, "ap_forest": 0.6}
    line |= {"ap_discriminant": 0.7, "weight_discriminant": 0.1}
    lines = [
        line | {"seed": 0, "weight_model": 0.2, "weight_forest": 0.7},
        line | {"seed": 1, "weight_model": 0.6, "weight_forest": 0.3, "ap": 1.0},
    ]
    found = verdict.pooled(pd.DataFrame(lines), "ours").loc[("wine", "u10")]
    np.testing.assert_allclose(found.to_numpy(), [0.8, 0.7, 0.6, 0.95, 0.4, 0.1, 0.5])
    assert verdict.pooled(pd.DataFrame([{"method": "ours", "ap": 0.9}]), "ours").empty
