"""Transport where draws have several modes, and where one map does not reach: against quadrature and closed forms."""

from dataclasses import replace

import numpy as np
import pytest

import bayesrepair as br
from bayesrepair.editors import moves, transport_maps, transport_weights
from bayesrepair.editors.moves import Moves
from bayesrepair.editors.transport import Transport
from bayesrepair.editors.transport_maps import Source
from bayesrepair.editors.transport_weights import Weighing
from bayesrepair.fit import Factor, Fit
from bayesrepair.numerics.affine import AffineMap
from bayesrepair.numerics.piecewise import PiecewiseMap
from bayesrepair.numerics.regions import Regions
from bayesrepair.oracles import LinearKnownNoise, LinearUnknownNoise
from bayesrepair.posterior import Draws
from bayesrepair.target import Target
from tests.bimodal import CHAINS, mixture, square
from tests.cases import problem
from tests.counts import jump

BIMODAL = {"square": square, "mixture": mixture}
SINGLE = ("identity", "diagonal", "full")
STANDARD_ERRORS = 4.5


def truth(fit, factor):
    """Grid, probabilities after the edit, and the log ratio of normalisers."""
    change = fit.change(factor)
    points, probability, after = fit.model.posterior(change.rows, change.after)
    return points, probability, after - fit.model.posterior(change.rows, change.before)[2]


def figures(theta, fit):
    """What is compared: parameters, their squares, and the mode that a point belongs to."""
    mode = theta[:, 0] > 0 if theta.shape[1] == 1 else theta[:, 0] > theta[:, 1]
    return np.c_[theta, np.square(theta), mode]


def agrees(draws, fit, factor):
    """Means of all figures within a few of their standard errors, the weights' own randomness included."""
    points, probability, _ = truth(fit, factor)
    exact, got = probability @ figures(points, fit), figures(draws.theta, fit)
    weights = draws.weights
    error = np.sqrt(np.square(weights) @ np.square(got - weights @ got))
    np.testing.assert_array_less(np.abs(weights @ got - exact), STANDARD_ERRORS * error)


@pytest.mark.parametrize("name", BIMODAL)
def test_modes_that_move_apart_from_one_another(name):
    fit, factor = BIMODAL[name]()
    change = fit.change(factor)
    several, info = Transport()(change, np.random.default_rng(1))
    _, single_info = Transport(maps=SINGLE)(change, np.random.default_rng(1))
    assert info.details["map"] == "modes"
    assert info.details["regions"] == 2
    assert info.ess > 5 * single_info.ess
    agrees(several, fit, factor)
    np.testing.assert_allclose(np.log(np.mean(np.exp(several.log_weights))), truth(fit, factor)[2], atol=0.1)


@pytest.mark.parametrize("name", BIMODAL)
def test_a_flipped_sign_is_noticed(name):
    fit, factor = BIMODAL[name]()
    wrong, _ = Transport()(fit.change(factor.inverse), np.random.default_rng(1))
    with pytest.raises(AssertionError):
        agrees(wrong, fit, factor)


def test_the_weight_of_the_modes_follows_the_edit():
    """The rows with x = 1 say that θ is positive: without those that say so most, the mass changes sides."""
    fit, factor = square(size=16_000)
    points, probability, _ = truth(fit, factor)
    before, after = np.mean(fit.draws.theta > 0), probability @ (points[:, 0] > 0)
    assert abs(before - after) > 0.1
    draws, _ = Transport()(fit.change(factor), np.random.default_rng(2))
    np.testing.assert_allclose(draws.weights @ (draws.theta[:, 0] > 0), after, atol=0.02)


def line(image, slope):
    """``θ → image + slope θ``."""
    return AffineMap(np.zeros(1), np.array([image]), np.array([slope]))


IMAGES = {  # of θ below and above 1.5, the middle of a mode
    "overlap": (line(0.04, 1.0), line(-0.04, 1.0)),
    "hole": (line(-0.04, 1.0), line(0.04, 1.0)),
    "mirrored": (line(0.0, -1.0), line(0.0, 1.0)),
}


def weighed(maps, size=40_000):
    """Draws moved by given maps, whatever they are, over the true ratio of normalisers."""
    fit, _ = square(size=size)
    factor = Factor(fit.rows, -0.2)
    source = Source.of(fit.draws, Regions((0,), np.array([[1.0]]), np.array([1.5])))
    transport = PiecewiseMap(source.regions, maps)
    weighing = Weighing.of(fit.change(factor), source)
    draws = weighing.moved(source, [transport, transport], np.random.default_rng(3))
    return draws, np.exp(draws.log_weights - truth(fit, factor)[2]), fit, factor


@pytest.mark.parametrize("name", IMAGES)
def test_weights_are_exact_for_any_maps(name):
    """Images that overlap, that leave a hole in the middle of a mode, and that lie upon one another."""
    draws, ratio, fit, factor = weighed(IMAGES[name])
    error = ratio.std() / np.sqrt(len(ratio))
    assert error < 0.03
    assert abs(ratio.mean() - 1) < STANDARD_ERRORS * error
    agrees(draws, fit, factor)


@pytest.mark.parametrize("name", ["overlap", "mirrored"])
def test_preimages_that_are_forgotten_make_another_ratio(name, monkeypatch):
    """The canary of the test above: each draw's own term alone."""

    def own_term(self, points, log_density, *, origin, known):
        log_det = np.array([part.log_det for part in self.maps])
        return np.where(origin < 0, -np.inf, known - log_det[origin])

    monkeypatch.setattr(PiecewiseMap, "log_pushed", own_term)
    _, ratio, _, _ = weighed(IMAGES[name])
    assert abs(ratio.mean() - 1) > 2 * STANDARD_ERRORS * ratio.std() / np.sqrt(len(ratio))


def test_a_hole_is_missed_where_no_draw_stays(monkeypatch):
    monkeypatch.setattr(transport_weights, "STAYING", 1e-12)
    _, ratio, _, _ = weighed(IMAGES["hole"])
    assert ratio.mean() < 0.9


def test_a_log_density_with_another_constant_changes_nothing():
    fit, factor = square()
    change = fit.change(factor)
    before = fit.model.log_target_and_grad(fit.draws.theta, fit.rows, np.ones(len(fit.rows)))[0]
    shifted = replace(change, posterior=replace(fit.draws, log_density=before - 1234.5))
    plain, info = Transport()(change, np.random.default_rng(1))
    again, again_info = Transport()(shifted, np.random.default_rng(1))
    assert info.details["map"] == again_info.details["map"] == "modes"
    np.testing.assert_allclose(plain.log_weights, again.log_weights, atol=1e-6)


def test_weighted_draws_keep_their_weights():
    """Draws of another prior, with the weights that make up for it."""
    fit, factor = square(size=8000)
    wide = replace(fit.model, prior_mean=-0.2)
    other = wide.fit(fit.rows, 8000, seed=4).draws.theta
    log_weights = fit.model.log_prior(other) - wide.log_prior(other)
    weighted = Fit(fit.model, fit.rows, Draws(other, log_weights, np.arange(8000) * CHAINS // 8000))
    draws, info = Transport()(weighted.change(factor), np.random.default_rng(1))
    assert info.details["map"] == "modes"
    agrees(draws, fit, factor)


def test_chains_that_never_left_their_mode_are_never_ok():
    fit, factor = square()
    order = np.argsort(fit.draws.theta[:, 0])
    stuck = Fit(fit.model, fit.rows, Draws.plain(fit.draws.theta[order], np.arange(len(order)) * CHAINS // len(order)))
    edited = br.edit(stuck, factor, method="transport", random_seed=0)
    assert edited.info.details["map"] == "modes"
    assert edited.status.level != "ok"


def test_one_mode_costs_what_it_did():
    case = problem("linear_known")
    change = case.fit(closed=False).change(case.top(4))
    plain, info = Transport(maps=SINGLE)(change, np.random.default_rng(0))
    other, other_info = Transport()(change, np.random.default_rng(0))
    np.testing.assert_array_equal(plain.theta, other.theta)
    assert info.log_lik_evals == other_info.log_lik_evals
    assert Transport(maps=SINGLE).gradients(change) == Transport().gradients(change)
    assert "tempered" not in other_info.details


@pytest.fixture
def without_path(monkeypatch):
    monkeypatch.setattr(Transport, "_path_is_worth_it", lambda self, draws: False)


@pytest.mark.usefixtures("without_path")
@pytest.mark.parametrize("name", BIMODAL)
def test_predicted_gradients_are_about_those_taken(name):
    fit, factor = BIMODAL[name]()
    change = fit.change(factor)
    _, info = Transport(maps=(*SINGLE, "modes"))(change, np.random.default_rng(0))
    taken = info.log_lik_evals / 3 / len(change.retained[0])
    assert 0.4 < Transport().gradients(change) / taken < 2.5


# --- a path of maps


def laplace_error(fit, factor, draws):
    """Largest error of a mean, in posterior sds."""
    change = fit.change(factor)
    mode, precision = fit.model.laplace(change.rows, change.after)
    return np.abs((draws.weights @ draws.theta - mode) / np.sqrt(np.diag(np.linalg.inv(precision)))).max()


FAR = 8  # seed of a deletion that moves the posterior by more than 300 of its sds


@pytest.fixture
def no_covariance(monkeypatch):
    """As where parameters are hundreds: the diagonal fit knows nothing of correlations, and reaches less far."""
    monkeypatch.setattr(transport_maps, "MOST_CORRELATED", 0)


@pytest.mark.usefixtures("no_covariance")
def test_the_path_reaches_what_one_map_does_not():
    fit, factor = jump(FAR, by=13.0)
    draws, info = Transport()(fit.change(factor), np.random.default_rng(0))
    assert info.details["tempered"] is True
    assert info.khat < 0.7
    assert info.ess > 2000
    assert laplace_error(fit, factor, draws) < 0.1


@pytest.mark.usefixtures("without_path", "no_covariance")
def test_one_map_does_not_reach_it():
    fit, factor = jump(FAR, by=13.0)
    _, info = Transport()(fit.change(factor), np.random.default_rng(0))
    assert info.khat > 1
    assert info.ess < 100


@pytest.mark.usefixtures("without_path")
def test_one_map_reaches_it_that_knows_the_correlations():
    fit, factor = jump(FAR, by=13.0)
    draws, info = Transport()(fit.change(factor), np.random.default_rng(0))
    assert info.khat < 0.7
    assert info.ess > 2000
    assert laplace_error(fit, factor, draws) < 0.1


@pytest.mark.usefixtures("no_covariance")
def test_no_path_where_it_would_take_more_than_sampling_did():
    fit, factor = jump(FAR, by=13.0, size=1000)
    sampling = br.posterior.Sampling(4, 250, 250, 0, 1.0, 1000.0, 1.0, "test", gradients=5000)
    cheap = Fit(fit.model, fit.rows, replace(fit.draws, sampling=sampling))
    _, info = Transport()(cheap.change(factor), np.random.default_rng(0))
    assert "tempered" not in info.details


def test_hundreds_of_parameters_are_moved_from_a_thousand_draws():
    """The matrix is the diagonal map's plus low rank: a half has fewer draws than five a parameter."""
    size, count, wrong = 300, 450, np.arange(5)
    rng = np.random.default_rng(0)
    oracle = LinearKnownNoise(n_features=size)
    x = rng.normal(size=(count, size)) / np.sqrt(size)
    y = x @ rng.normal(size=size) + rng.normal(size=count)
    y[wrong] += 5.0
    rows = oracle.rows({"x": x, "y": y})
    fit = Fit(oracle, rows, oracle.posterior(rows).draws(1000, rng))
    edited = br.edit(fit, Factor(rows.take(wrong), -1.0), method="transport", random_seed=0)
    exact = oracle.posterior(*edited.after.net())
    sd = np.sqrt(np.diag(np.linalg.inv(exact.precision)))

    def error(draws):
        return np.sqrt(np.mean(np.square((draws.weights @ draws.theta - exact.mean) / sd)))

    assert edited.info.details["map"] == "full"
    assert edited.status.level == "ok"
    assert error(edited.after.draws) < 1.3 / np.sqrt(edited.info.ess) < error(fit.draws) / 3


# --- densities that are handed on


@pytest.mark.parametrize("editor", [Transport(), Moves()], ids=["transport", "moves"])
def test_density_and_gradient_that_are_handed_on_are_those_of_the_edited_posterior(editor):
    fit, factor = jump(1, by=2.0, size=400)
    change = fit.change(factor)
    draws, _ = editor(change, np.random.default_rng(0))
    value, gradient = Target.after(change).value_and_gradient(draws.theta)
    np.testing.assert_allclose(draws.log_density, value, rtol=1e-12)
    np.testing.assert_allclose(draws.gradient, gradient, rtol=1e-9, atol=1e-9)


# --- moves of few effective draws


def left_of_the_start(seed, size=60):
    """Correlation of moved draws with where they started; some 170 of 2000 draws are effective."""
    rng = np.random.default_rng(seed)
    x = 3 * rng.normal(size=(400, 1)) + rng.normal(size=(400, size))  # correlated columns
    model = LinearUnknownNoise(n_features=size)
    rows = model.rows({"x": x, "y": x @ rng.normal(size=size) + rng.normal(size=400)})
    draws = model.train(rows, start=Draws.plain(np.zeros((2000, model.n_params))), rng=rng)
    few = replace(draws, log_weights=1.9 * rng.normal(size=2000), log_density=None)
    change = Fit(model, rows, draws).change(Factor(rows.take([0]), -1e-6))
    moved, _ = Moves(moves=1, start=few)(change, np.random.default_rng(1))
    before = few.theta[moved.ancestor]
    return np.mean([np.corrcoef(before[:, j], moved.theta[:, j])[0, 1] for j in range(size)])


def test_few_effective_draws_still_make_a_mass_matrix(monkeypatch):
    assert np.mean([left_of_the_start(seed) for seed in range(4)]) < 0.5
    by_weights = moves.covariance_factor
    monkeypatch.setattr(moves, "covariance_factor", lambda theta, mass: by_weights(theta, mass**2 / (mass**2).sum()))
    assert np.mean([left_of_the_start(seed) for seed in range(4)]) > 0.7
