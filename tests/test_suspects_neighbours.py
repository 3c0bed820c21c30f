"""Suspects and the rows near them: arithmetic, null distribution, shapes that a model lacks, and wrong labels."""

from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

import bayesrepair as br
from bayesrepair.datasets import load
from bayesrepair.datasets.synthetic import spiral, two_moons
from bayesrepair.fit import Fit
from bayesrepair.model import Outcome
from bayesrepair.noise import SOURCE, LabelNoise, with_source
from bayesrepair.posterior import Draws
from bayesrepair.reporting import report_suspects
from bayesrepair.rows import Rows
from bayesrepair.softmax import Features, SoftmaxModel, softmax_fit
from bayesrepair.softmax.model import LABEL
from bayesrepair.suspects import neighbours
from bayesrepair.suspects.neighbours import Neighbours, agreement, inputs, neighbour_check
from bayesrepair.suspects.noise_evidence import NoiseEvidence, noise_status
from bayesrepair.suspects.suspicion import evidence, noisy_fit


def model_of(features, classes):
    return SoftmaxModel(Features(features, classes), Outcome(LABEL, "class", tuple(range(classes))))


def linear_fit(x, y):
    """Fit multinomial logistic regression by the Gaussian at the mode."""
    x = (x - x.mean(axis=0)) / x.std(axis=0)
    return softmax_fit(model_of(x.shape[1], int(y.max()) + 1), Rows({"x": x, LABEL: y}, np.arange(len(y))))


def fit_of_points(frame):
    return linear_fit(frame[["x1", "x2"]].to_numpy(), np.unique(frame["label"], return_inverse=True)[1])


def logistic_data(seed, *, classes=2, rate=0.1, of_class=None, rows=300):
    """Classes of a logistic model; a share of the labels, or of those of one class, become the next class."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(rows, 3))
    true = (3 * x @ rng.normal(size=(3, classes)) + rng.gumbel(size=(rows, classes))).argmax(axis=1)
    flipped = rng.random(rows) < (rate if of_class is None else np.where(true == of_class, rate, 0.0))
    step = 1 if of_class is not None else rng.integers(1, classes, rows)
    return x, np.where(flipped, (true + step) % classes, true)


def checked(fit):
    rng = np.random.default_rng(0)
    noisy, _ = noisy_fit(fit, evidence(fit, None, None), "auto", method="laplace", rng=rng)
    return neighbour_check(noisy, rng)


@pytest.fixture(scope="module")
def radial_suspects():
    return br.find_suspects(fit_of_points(load("radial").frame))


# arithmetic


def test_agreement_is_the_sum_written_out():
    rng = np.random.default_rng(0)
    S, N, K = 2, 6, 3
    g, w = rng.dirichlet(np.ones(K), size=(S, N)), rng.random((S, N, K))
    given = rng.integers(0, K, (S, N))
    near = (rng.random((N, N)) < 0.5) * (1 - np.eye(N)) / 3
    found = agreement(near, g, w, given)
    for s in range(S):
        carried = expected = weight = 0.0
        for i in range(N):
            y = given[s, i]
            weight += w[s, i, y]
            for j in range(N):
                carried += w[s, i, y] * near[i, j] * (given[s, j] == y)
                expected += w[s, i, y] * near[i, j] * g[s, j, y]
        np.testing.assert_allclose([part[s] for part in found], [carried, expected, weight], rtol=1e-12)


def test_given_classes_and_what_is_wrong_with_them_agree_with_the_model():
    model = model_of(2, 3).with_noise(LabelNoise(groups=2, trusted=True))
    rng = np.random.default_rng(1)
    rows = Rows({"x": rng.normal(size=(40, 2)), LABEL: rng.integers(0, 3, 40)}, np.arange(40))
    rows = with_source(rows, rng.integers(0, 4, 40))
    theta = rng.normal(size=(5, model.n_params))
    g, w = neighbours._given_and_wrong(model, theta, rows)
    given = np.asarray(rows.values[LABEL])[None, :, None]
    np.testing.assert_allclose(g.sum(axis=2), 1.0, rtol=1e-12)
    np.testing.assert_allclose(np.take_along_axis(w, given, 2)[..., 0], model.wrong(theta, rows), atol=1e-12)
    ratio = np.log(np.take_along_axis(g, given, 2)[..., 0])
    np.testing.assert_allclose(ratio, model.log_lik(theta, rows), rtol=1e-10)


def test_p_values_of_the_true_parameters_are_uniform():
    rng = np.random.default_rng(2)
    model = model_of(2, 2).with_noise(LabelNoise())
    theta = np.tile(rng.normal(size=model.n_params), (100, 1))
    rows = Rows({"x": 2 * rng.normal(size=(150, 2)), LABEL: np.zeros(150, int)}, np.arange(150))
    g, _ = neighbours._given_and_wrong(model, theta[:1], rows)
    found = []
    for _ in range(100):
        y = (rng.random(150) > g[0, :, 0]).astype(int)
        fit = Fit(model, rows.replace(**{LABEL: y}), Draws.plain(theta))
        found.append(neighbour_check(fit, rng).p_value)
    assert stats.kstest(found, "uniform").pvalue > 1e-3
    assert np.mean(found) == pytest.approx(0.5, abs=0.1)


def test_what_counts_as_an_input():
    rng = np.random.default_rng(3)
    values = {
        "y": rng.integers(0, 2, 30),
        SOURCE: rng.integers(0, 2, 30),
        "x": rng.normal(5, 9, size=(30, 2)),
        "flag": rng.random(30) < 0.5,
        "site": np.array(["a", "b", "c"], dtype=object)[np.arange(30) % 3],
        "code": np.arange(30),
        "same": np.ones(30),
    }
    x = inputs(Rows(values, np.arange(30)), "y")
    assert x.shape == (30, 6)
    np.testing.assert_allclose([x.mean(axis=0), x.std(axis=0)], [np.zeros(6), np.ones(6)], atol=1e-12)
    for name in ("code", "same"):
        assert inputs(Rows({"y": values["y"], name: values[name]}, np.arange(30)), "y") is None


@pytest.mark.parametrize(
    ("found", "level"),
    [
        (Neighbours(0.9, 0.3, 0.06), "ok"),
        (Neighbours(0.12, 0.09, 0.005), "ok"),
        (Neighbours(0.2, 0.5, 0.005), "ok"),
        (Neighbours(0.35, 0.2, 0.005), "checked"),
        (Neighbours(0.8, 0.7, 0.005), "checked"),
        (Neighbours(0.8, 0.3, 0.005), "unreliable"),
    ],
)
def test_the_status_follows_the_neighbours(found, level):
    speaks = NoiseEvidence(np.full(200, 0.1), 0.02, np.linspace(0.09, 0.11, 99), np.linspace(0.01, 0.3, 99))
    assert noise_status(speaks, rhat=1.0, ess=1000.0).level == "ok"
    status = noise_status(replace(speaks, neighbours=found), rhat=1.0, ess=1000.0)
    assert status.level == level
    assert ("basis='auto'" in status.remedy) == (level != "ok")
    assert f"{found.share:.0%} carry its class" in status.message


def test_labels_that_somebody_found_wrong_speak_against_a_missing_shape():
    likely = Neighbours(0.8, 0.3, 0.005)
    speaks = NoiseEvidence(np.full(200, 0.1), 0.02, np.linspace(0.09, 0.11, 99), np.linspace(0.01, 0.3, 99), 3, likely)
    assert noise_status(speaks, rhat=1.0, ess=1000.0).level == "checked"


# a shape that the model lacks


def test_clusters_that_a_linear_model_cannot_draw_are_no_wrong_labels(radial_suspects):
    assert radial_suspects.status.level == "unreliable"
    assert "rows like the suspects carry the same label" in repr(radial_suspects)
    found = radial_suspects.noise_evidence.neighbours
    assert found.share > 0.6 > 0.5 > found.expected


def test_with_the_sign_of_the_discrepancy_flipped_nothing_is_seen(radial_suspects, monkeypatch):
    def flipped(*arguments):
        carried, expected, weight = agreement(*arguments)
        return expected, carried, weight

    monkeypatch.setattr(neighbours, "agreement", flipped)
    assert neighbour_check(radial_suspects.fit, np.random.default_rng(0)).level == "ok"


def test_a_pymc_model_of_the_same_table_is_doubted_too():
    data = load("radial")
    fit = br.from_table(data.frame, target=data.target, method="laplace", progressbar=False)
    assert br.find_suspects(fit).status.level == "unreliable"


def test_a_sample_of_many_rows_is_enough(radial_suspects, monkeypatch):
    monkeypatch.setattr(neighbours, "MOST_ROWS", 200)
    assert neighbour_check(radial_suspects.fit, np.random.default_rng(0)).level == "unreliable"


def test_results_do_not_depend_on_how_many_draws_are_looked_at_together(radial_suspects, monkeypatch):
    whole = neighbour_check(radial_suspects.fit, np.random.default_rng(0))
    monkeypatch.setattr(neighbours, "CELLS", 20_000)
    parts = neighbour_check(radial_suspects.fit, np.random.default_rng(0))
    np.testing.assert_allclose([parts.share, parts.expected], [whole.share, whole.expected], rtol=1e-12)


@pytest.mark.parametrize("draw", [two_moons, spiral])
def test_moons_and_spirals_under_a_linear_model_are_no_wrong_labels(draw):
    frame, _ = draw(400, rng=np.random.default_rng(4))
    assert checked(fit_of_points(frame)).level != "ok"


def test_wrong_labels_of_one_region_look_like_a_shape():
    rng = np.random.default_rng(5)
    x = rng.normal(size=(400, 2))
    y = (4 * x[:, 0] + rng.logistic(size=400) > 0).astype(int)
    region = (np.abs(x - [1.0, 0.7]) < 0.5).all(axis=1)
    assert checked(linear_fit(x, y)).level == "ok"
    assert checked(linear_fit(x, np.where(region, 0, y))).level != "ok"


# wrong labels


@pytest.mark.parametrize(
    "data",
    [
        {"rate": 0.1},
        {"rate": 0.2},
        {"rate": 0.2, "of_class": 0},
        {"rate": 0.4, "of_class": 0, "classes": 3},
    ],
    ids=["tenth", "fifth", "one class", "one pair of three"],
)
def test_labels_wrong_by_accident_are_not_taken_for_a_shape(data):
    assert {checked(linear_fit(*logistic_data(seed, **data))).level for seed in range(3)} == {"ok"}


def test_another_classifier_s_probabilities_are_no_inputs():
    rng = np.random.default_rng(6)
    p = rng.dirichlet([0.3, 0.3], size=120)
    found = br.suspects_from_predictions((rng.random(120) < p[:, 1]).astype(int), p)
    assert found.noise_evidence.neighbours is None
    assert "rows like" not in repr(found)


def test_the_page_says_what_rows_nearby_carry(radial_suspects, tmp_path):
    report_suspects(radial_suspects, tmp_path / "page.html")
    text = (tmp_path / "page.html").read_text()
    assert "Rows like a suspect that carry its class" in text
    assert "Do not rely on this" in text
