"""Laplace fits and the editor newton on oracles: closed forms, another Newton's method, and what must not be ok."""

from types import SimpleNamespace

import cloudpickle
import numpy as np
import pytest
from scipy.special import digamma

import bayesrepair as br
from bayesrepair.editors import Newton
from bayesrepair.fit import Factor, Fit
from bayesrepair.gaussian_check import gaussian_check
from bayesrepair.laplace import laplace
from bayesrepair.numerics.newton import find_mode
from bayesrepair.oracles import LinearUnknownNoise, NormalNormal
from bayesrepair.posterior import Gaussian
from bayesrepair.status import EditError, MethodError
from tests.cases import problem


def laplace_fit(name):
    """Fit of a problem, its posterior by the library's Laplace approximation."""
    case = problem(name)
    start = np.zeros(case.model.n_params)
    return Fit(case.model, case.rows, laplace(case.model, case.rows, np.ones(len(case.rows)), start))


def factors(fit, case):
    """Delete, insert, weaken, give other outcomes to rows, and everything at once."""
    y = fit.rows.values["y"]
    worst = fit.rows.at(np.argsort(fit.model.log_lik(fit.posterior.mean[None], fit.rows)[0])[:8])
    other = worst.replace(y=(1 - worst.values["y"]) if set(np.unique(y)) == {0, 1} else -worst.values["y"])
    insert = Factor(case.others.at(slice(0, 5)), 1.0)
    return {
        "delete": [Factor(worst, -1.0)],
        "insert": [insert],
        "weaken": [Factor(worst, np.linspace(-0.9, -0.1, 8))],
        "relabel": [Factor(worst, -1.0), Factor(other, 1.0)],
        "all": [Factor(worst, -1.0), Factor(other, 0.5), insert],
    }


EDITS = ("delete", "insert", "weaken", "relabel", "all")


@pytest.mark.parametrize("kind", EDITS)
@pytest.mark.parametrize("name", ["normal", "linear_known"])
def test_one_step_is_exact_where_the_posterior_is_gaussian(name, kind):
    fit = laplace_fit(name)
    edit = factors(fit, problem(name))[kind]
    edited = br.edit(fit, edit, method=Newton(most_steps=1), random_seed=0)
    exact = fit.model.posterior(*fit.net(*edit))
    np.testing.assert_allclose(edited.after.posterior.mean, exact.mean, rtol=1e-8, atol=1e-8)
    np.testing.assert_allclose(edited.after.posterior.precision, exact.precision, rtol=1e-8, atol=1e-8)
    assert edited.status.level == "ok"


@pytest.mark.parametrize("kind", EDITS)
def test_newton_is_the_laplace_refit_of_a_logistic_regression(kind):
    fit = laplace_fit("logistic")
    edit = factors(fit, problem("logistic"))[kind]
    edited = br.edit(fit, edit, method="newton", random_seed=0)
    refit = fit.model.laplace(*fit.net(*edit))  # the oracle's own Newton's method, from zero
    np.testing.assert_allclose(edited.after.posterior.mean, refit.mean, rtol=1e-8, atol=1e-8)
    np.testing.assert_allclose(edited.after.posterior.precision, refit.precision, rtol=1e-8, atol=1e-8)
    assert edited.status.level != "unreliable"
    assert edited.info.details["posterior_sds_left_to_the_mode"] < 1e-8


def test_the_wrong_sign_is_another_posterior():
    fit = laplace_fit("logistic")
    [delete] = factors(fit, problem("logistic"))["delete"]
    wrong = br.edit(fit, delete.inverse, method="newton", random_seed=0).after.posterior
    right = fit.model.laplace(*fit.net(delete))
    assert np.abs(wrong.mean - right.mean).max() > 0.1


def test_a_fit_stopped_early_still_ends_at_the_retained_mode():
    fit = laplace_fit("logistic")
    early = Fit(fit.model, fit.rows, Gaussian(fit.posterior.mean * 0.5 - 0.3, 0.2 * fit.posterior.precision))
    [delete] = factors(fit, problem("logistic"))["delete"]
    got, refit = br.edit(early, delete, method="newton").after.posterior, fit.model.laplace(*fit.net(delete))
    np.testing.assert_allclose(got.mean, refit.mean, rtol=1e-8, atol=1e-8)


def test_a_single_step_from_afar_says_how_far_it_stopped():
    fit = laplace_fit("logistic")
    far = Factor(fit.rows.at(np.flatnonzero(fit.rows.values["y"] == 1)[:30]), -1.0)
    edited = br.edit(fit, far, method=Newton(most_steps=1), random_seed=0)
    refit = fit.model.laplace(*fit.net(far))
    left = edited.after.posterior.mean - refit.mean
    assert edited.status.level == "unreliable"
    assert "posterior sd from the mode" in edited.status.message
    np.testing.assert_allclose(
        edited.info.details["posterior_sds_left_to_the_mode"], np.sqrt(left @ refit.precision @ left), rtol=0.2
    )


def test_undoing_an_edit_and_editing_in_turn():
    fit = laplace_fit("logistic")
    edit = factors(fit, problem("logistic"))
    there = br.edit(fit, edit["delete"], method="newton").after
    both = br.edit(there, edit["insert"], method="newton").after.posterior
    refit = fit.model.laplace(*fit.net(*edit["delete"], *edit["insert"]))
    np.testing.assert_allclose(both.mean, refit.mean, rtol=1e-8, atol=1e-8)
    back = br.edit(there, edit["delete"][0].inverse, method="newton").after.posterior
    np.testing.assert_allclose(back.mean, fit.posterior.mean, rtol=1e-8, atol=1e-8)


class TwoSigns(NormalNormal):
    """``y ~ ½ N(θ, 1) + ½ N(−θ, 1)``: two modes, and at θ = 0 a stationary point that is none."""

    def log_lik(self, theta, rows):
        y = rows.values["y"]
        return np.logaddexp(-((y - theta) ** 2) / 2, -((y + theta) ** 2) / 2)

    def log_target_and_grad(self, theta, rows, weight):
        y = rows.values["y"]
        value = self.log_prior(theta) + self.log_lik(theta, rows) @ weight
        pull = (y * np.tanh(y * theta) - theta) @ weight - theta[:, 0] / self.prior_sd**2
        return value, pull[:, None]

    def curvature(self, theta, rows, weight):
        y = rows.values["y"]
        return np.array([[weight @ (1 - y**2 / np.cosh(y * theta[0]) ** 2) + self.prior_sd**-2.0]])


def two_signs():
    y = np.random.default_rng(0).normal(3.0, 1.0, 40) * np.where(np.arange(40) % 2, 1, -1)
    model = TwoSigns(prior_sd=10.0)
    return model, model.rows({"y": y})


def test_curvature_that_is_not_positive_definite_is_damped_on_the_way():
    model, rows = two_signs()
    found = laplace(model, rows, np.ones(40), np.array([0.05]))
    assert found.search.converged
    assert found.search.damped > 0
    np.testing.assert_allclose(model.log_target_and_grad(found.mean[None], rows, np.ones(40))[1], 0, atol=1e-8)
    np.testing.assert_allclose(found.mean, np.abs(rows.values["y"]).mean(), atol=0.1)


def test_a_saddle_is_left_along_the_negative_curvature():
    model, rows = two_signs()
    found = laplace(model, rows, np.ones(40), np.zeros(1))  # stationary by symmetry
    assert found.search.converged
    np.testing.assert_allclose(np.abs(found.mean), np.abs(rows.values["y"]).mean(), atol=0.1)


def test_curvature_that_is_not_positive_definite_at_the_end_is_unreliable():
    model, rows = two_signs()
    fit = Fit(model, rows, Gaussian(np.zeros(1), np.eye(1)))
    edited = br.edit(fit, Factor(rows.take([3]), -1.0), method=Newton(most_steps=0))
    assert edited.status.level == "unreliable"
    assert "not positive definite" in edited.status.message
    assert "nuts" in edited.status.remedy
    with pytest.raises(MethodError, match="positive definite"):
        edited.after.draws  # noqa: B018


def test_a_search_that_cannot_go_up_says_so():
    mode = find_mode(lambda t: (-np.inf, np.full(1, np.nan)), lambda t: np.eye(1), np.zeros(1))
    assert not mode.converged
    unbounded = find_mode(lambda t: (float(t[0]), np.ones(1)), lambda t: np.zeros((1, 1)), np.zeros(1), most_steps=20)
    assert not unbounded.converged


@pytest.mark.parametrize("size", [6, 12, 400])
def test_ok_means_that_the_gaussian_is_near_the_exact_posterior(size):
    """The log variance of few normal rows is skewed: the closed form says by how much the Gaussian is off."""
    rng = np.random.default_rng(3)
    model = LinearUnknownNoise(n_features=1, shape=1.0, rate=1.0)
    rows = model.rows({"x": rng.normal(size=(size + 1, 1)), "y": rng.normal(size=size + 1)})
    fit = Fit(model, rows, laplace(model, rows, np.ones(size + 1), np.zeros(2)))
    edited = br.edit(fit, Factor(rows.at(np.array([0])), -1.0), method="newton", random_seed=0)
    exact = model.posterior(rows.at(slice(1, None)))
    mean = np.log(exact.rate) - digamma(exact.shape)
    got = edited.after.posterior
    error = abs(got.mean[1] - mean) * np.sqrt(got.precision[1, 1])
    assert edited.status.level == ("ok" if error < 0.08 else "checked")
    assert (error < 0.08) == (size == 400)
    if edited.status.level == "checked":
        assert "a Gaussian is poor here" in edited.status.message


@pytest.mark.parametrize(("shift", "stretch"), [(0.5, 1.0), (0.0, 1.5)])
def test_a_gaussian_of_another_mean_or_precision_is_not_ok(shift, stretch):
    fit = laplace_fit("linear_known")
    change = fit.change(Factor(fit.rows.at(np.array([0])), -1.0))
    right = laplace(fit.model, *change.retained, np.zeros(4))
    wrong = Gaussian(right.mean + shift / np.sqrt(np.diag(right.precision)), right.precision * stretch)
    rng = np.random.default_rng(0)
    assert gaussian_check(change, right, rng=rng).status("newton").level == "ok"
    assert gaussian_check(change, wrong, rng=rng).status("newton").level != "ok"


def test_without_gradients_only_the_weights_speak():
    fit = laplace_fit("normal")
    plain = SimpleNamespace(
        **{name: getattr(fit.model, name) for name in ("log_prior", "log_lik")}, outcome=fit.model.outcome
    )
    change = Fit(plain, fit.rows, fit.posterior).change(Factor(fit.rows.at(np.array([0])), -1.0))
    right = laplace(fit.model, *change.retained, np.zeros(1))
    seen = gaussian_check(change, right, rng=np.random.default_rng(0))
    assert seen.check is None
    assert seen.status("newton").level == "checked"


def test_draws_of_a_gaussian_are_the_same_each_time():
    fit = laplace_fit("linear_known")
    draws = fit.draws
    assert fit.draws is draws
    assert len(draws) == 4000
    assert len(np.unique(draws.chain)) == 4
    np.testing.assert_array_equal(laplace_fit("linear_known").draws.theta, draws.theta)
    sd = np.sqrt(np.diag(np.linalg.inv(fit.posterior.precision)))
    assert np.abs((draws.theta.mean(0) - fit.posterior.mean) / sd).max() < 4 / np.sqrt(4000)
    np.testing.assert_allclose(draws.theta.std(0), sd, rtol=0.05)


def test_newton_needs_a_gaussian():
    case = problem("logistic")
    with pytest.raises(MethodError, match="Gaussian"):
        br.edit(case.fit(closed=False), case.top(2), method="newton")


def test_auto_prefers_newton_where_it_is_ok():
    fit = laplace_fit("linear_known")
    edited = br.edit(fit, problem("linear_known").top(4), random_seed=0)
    assert edited.info.rung == "newton"
    assert edited.status.level == "ok"


def test_rows_of_probability_zero_are_refused():
    fit = laplace_fit("normal")
    impossible = fit.model.rows({"y": np.array([np.inf])})
    with pytest.raises(EditError, match="probability zero"):
        br.edit(fit, Factor(impossible, 1.0), method="newton")


def test_a_laplace_fit_survives_the_journey():
    fit = laplace_fit("logistic")
    edited = br.edit(fit, problem("logistic").top(4), method="newton", random_seed=0)
    loaded = cloudpickle.loads(cloudpickle.dumps(edited))
    np.testing.assert_array_equal(loaded.after.posterior.mean, edited.after.posterior.mean)
    assert str(loaded.after.posterior) == str(edited.after.posterior)
    assert "Newton steps" in str(fit.posterior)
