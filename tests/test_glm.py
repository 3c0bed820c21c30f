"""Kernels of generalised linear models against SciPy's densities, refits of sums by rows, and differences."""

import numpy as np
import pytest
from numba import njit
from scipy import stats
from scipy.special import expit, log_softmax

from bayesrepair.numerics import simd
from bayesrepair.numerics.glm import Design, Grouped, Point, WeightedLikelihood, log_lik
from bayesrepair.numerics.glm_families import (
    BernoulliLogit,
    CategoricalSoftmax,
    NegativeBinomialLog,
    Normal,
    PoissonLog,
    StudentT,
)

N, Q, G, K, S = 1100, 3, 7, 4, 70  # more rows and draws than a tile, and no multiple of one


@njit
def over(values, out, which):
    for i in range(values.size):
        if which == 0:
            out[i] = simd.exp(values[i])
        elif which == 1:
            out[i] = simd.log1p_unit(values[i])
        elif which == 3:
            out[i] = simd.exp_falling(values[i])
        else:
            out[i] = simd.log(values[i])
    return out


@pytest.mark.parametrize(
    ("which", "numpy", "low", "high"),
    [(0, np.exp, -707, 709), (1, np.log1p, 0, 1), (2, np.log, 1e-300, 1e300), (3, np.exp, -707, 0)],
)
def test_polynomials_are_as_exact_as_numpy(which, numpy, low, high):
    values = np.geomspace(low, high, 100_001) if which == 2 else np.linspace(low, high, 100_001)
    np.testing.assert_allclose(over(values, np.empty_like(values), which), numpy(values), rtol=1e-15, atol=1e-16)


def test_exp_beyond_its_range():
    values = np.array([-np.inf, -1e300, -709.0, 710.0, np.inf, np.nan])
    np.testing.assert_array_equal(over(values, np.empty(6), 0), [0, 0, 0, np.inf, np.inf, np.nan])
    falling = over(values[[0, 1, 2, 5]], np.empty(4), 3)
    assert (falling[:3] < 1e-307).all()
    assert np.isnan(falling[3])


def classes(family):
    return (K,) if isinstance(family, CategoricalSoftmax) else ()


def some_design(rng, family, groups=True):
    terms = (
        Grouped(rng.integers(0, G, N), np.ones(N), G),
        Grouped(rng.integers(0, 2, N), rng.standard_normal(N), 2),
    )
    return Design(rng.standard_normal((N, Q)), terms if groups else (), 0.3 * rng.standard_normal((N, family.width)))


def some_point(rng, family, design):
    coefficients = tuple(0.4 * rng.standard_normal((S, size, *classes(family))) for size in design.sizes)
    parameters = {name: np.exp(0.5 * rng.standard_normal(S)) for name in family.parameters}
    if "log_sigma" in parameters:
        parameters["log_sigma"] = np.log(parameters["sigma"])
    return Point(coefficients, tuple(parameters.values()))


def predictor(design, point):
    """Linear predictors written out: (S, N) or (S, N, K)."""
    many = point.coefficients[0].ndim == 3
    eta = np.einsum("nq,sq...->sn...", design.dense, point.coefficients[0])
    eta = eta + (design.offset if many else design.offset[:, 0])
    for term, coefficient in zip(design.groups, point.coefficients[1:], strict=True):
        column = term.column[:, None] if many else term.column
        eta = eta + column * coefficient[:, term.index]
    return eta


def density(family, y, eta, parameters):
    """SciPy's log density, (S, N)."""
    columns = [p[:, None] for p in parameters]
    match family:
        case BernoulliLogit():
            return stats.bernoulli.logpmf(y, expit(eta))
        case PoissonLog():
            return stats.poisson.logpmf(y, np.exp(eta))
        case NegativeBinomialLog():
            return stats.nbinom.logpmf(y, columns[0], columns[0] / (columns[0] + np.exp(eta)))
        case StudentT():
            return stats.t.logpdf(y, columns[0], eta, columns[1])
        case Normal():
            return stats.norm.logpdf(y, eta, columns[0])
    return np.take_along_axis(log_softmax(eta, axis=2), y[None, :, None], axis=2)[..., 0]


def outcomes(rng, family):
    match family:
        case BernoulliLogit():
            return rng.integers(0, 2, N)
        case CategoricalSoftmax():
            return rng.integers(0, K, N)
        case PoissonLog() | NegativeBinomialLog():
            return rng.poisson(np.exp(rng.normal(1, 1.5, N)))
    return rng.standard_normal(N)


FAMILIES = [BernoulliLogit(), PoissonLog(), NegativeBinomialLog(), StudentT(), Normal(), CategoricalSoftmax(K)]
each_family = pytest.mark.parametrize("family", FAMILIES, ids=lambda f: type(f).__name__)
WEIGHTS = {
    "one": lambda rng: np.ones(N),
    "some": lambda rng: np.where(rng.random(N) < 0.3, rng.random(N), 1.0),
    "signed": lambda rng: rng.standard_normal(N),
}


@each_family
@pytest.mark.parametrize("groups", [True, False])
def test_log_likelihood_is_that_of_scipy(family, groups):
    rng = np.random.default_rng(0)
    design, y = some_design(rng, family, groups), outcomes(rng, family)
    point = some_point(rng, family, design)
    expected = density(family, y, predictor(design, point), point.parameters)
    np.testing.assert_allclose(log_lik(family, design, y, point), expected, rtol=1e-10, atol=1e-11)


@each_family
@pytest.mark.parametrize("weights", WEIGHTS)
def test_weighted_sums_are_those_of_the_rows(family, weights):
    rng = np.random.default_rng(1)
    design, y, weight = some_design(rng, family), outcomes(rng, family), WEIGHTS[weights](rng)
    point = some_point(rng, family, design)
    by_row = density(family, y, predictor(design, point), point.parameters)
    likelihood = WeightedLikelihood.of(family, design, y, weight)
    scale = np.abs(by_row).sum(axis=1).max()
    np.testing.assert_allclose(likelihood.value(point), by_row @ weight, rtol=1e-11, atol=1e-13 * scale)


@each_family
@pytest.mark.parametrize("weights", WEIGHTS)
def test_gradients_against_differences(family, weights):
    rng = np.random.default_rng(2)
    design, y, weight = some_design(rng, family), outcomes(rng, family), WEIGHTS[weights](rng)
    point = some_point(rng, family, design)
    likelihood = WeightedLikelihood.of(family, design, y, weight)
    value, gradients = likelihood.value_and_gradient(point)
    np.testing.assert_array_equal(value, likelihood.value(point))
    arrays, step = [*point.coefficients, *point.parameters], 1e-5
    for k, gradient in enumerate(gradients):
        direction = rng.standard_normal(arrays[k].shape)
        up, down = (
            likelihood.value(
                _moved(point, [a + sign * step * direction if i == k else a for i, a in enumerate(arrays)])
            )
            for sign in (1, -1)
        )
        along = (gradient * direction).reshape(S, -1).sum(axis=1)
        np.testing.assert_allclose(along, (up - down) / (2 * step), rtol=1e-5, atol=1e-5 * np.abs(along).max())
        assert np.abs(along).min() > 1e-6  # a sign that was lost would be seen


def _moved(point, arrays):
    count = len(point.coefficients)
    return Point(tuple(arrays[:count]), tuple(arrays[count:]))


def at(eta, *parameters):
    """One coefficient, the predictor itself, and one row."""
    design = Design(np.ones((1, 1)), (), np.zeros((1, 1)))
    eta = np.atleast_1d(np.asarray(eta, dtype=float))
    return design, Point((eta[:, None],), tuple(np.full(len(eta), p, dtype=float) for p in parameters))


EXTREME = np.array([-800.0, -40.0, 0.0, 40.0, 800.0])


def both_ways(family, y, design, point, atol=1e-14):
    """Log p of the row, by itself and as a weighted sum over one row; weight one takes another path than .5."""
    rows = np.array([y], dtype=float)
    alone = log_lik(family, design, rows, point)[:, 0]
    for weight in (1.0, 0.5):
        likelihood = WeightedLikelihood.of(family, design, rows, np.array([weight]))
        value, (slope, *_) = likelihood.value_and_gradient(point)
        np.testing.assert_allclose(value / weight, alone, rtol=1e-10, atol=atol)
    return alone, slope[:, 0] / 0.5


@pytest.mark.parametrize("y", [0, 1])
def test_bernoulli_far_out(y):
    value, slope = both_ways(BernoulliLogit(), y, *at(EXTREME))
    sign = 2 * y - 1
    np.testing.assert_allclose(value, -np.logaddexp(0, -sign * EXTREME), rtol=1e-14, atol=1e-300)
    np.testing.assert_allclose(slope, y - expit(EXTREME), atol=1e-15)


def test_a_clipped_logit_has_no_slope_outside():
    limit = 36.0
    value, slope = both_ways(BernoulliLogit(limit), 0, *at(EXTREME))
    np.testing.assert_allclose(value, -np.logaddexp(0, np.clip(EXTREME, -limit, limit)), rtol=1e-14)
    np.testing.assert_array_equal(slope[[0, 1, 3, 4]], 0)
    assert slope[2] == -0.5


def test_poisson_of_large_counts():
    eta = np.log([1e6, 1.1e6, 1.0])
    value, slope = both_ways(PoissonLog(), 10**6, *at(eta), atol=1e-8)  # of terms of size 1e7
    np.testing.assert_allclose(value, stats.poisson.logpmf(10**6, np.exp(eta)), rtol=1e-9, atol=1e-8)
    np.testing.assert_allclose(slope, 1e6 - np.exp(eta), rtol=1e-10, atol=1e-7)


def test_poisson_rates_that_overflow_or_vanish():
    value, slope = both_ways(PoissonLog(), 0, *at([-800.0, 800.0]))
    np.testing.assert_array_equal(value, [0, -np.inf])
    np.testing.assert_array_equal(slope, [0, -np.inf])


@pytest.mark.parametrize("y", [0, 3, 7, 8, 10**6])
@pytest.mark.parametrize("alpha", [1e-3, 2.5, 1e4])
def test_negative_binomial_of_any_count(y, alpha):
    eta = np.array([-3.0, 2.0, 13.0])
    design, point = at(eta, alpha)
    value, _ = both_ways(NegativeBinomialLog(), y, design, point, atol=1e-8)
    np.testing.assert_allclose(
        value, stats.nbinom.logpmf(y, alpha, alpha / (alpha + np.exp(eta))), rtol=1e-9, atol=1e-9
    )


def test_negative_binomial_far_out():
    value, _ = both_ways(NegativeBinomialLog(), 3, *at(EXTREME, 2.0))
    t = EXTREME - np.log(2.0)
    np.testing.assert_allclose(value, np.log(4) + 3 * t - 5 * np.logaddexp(0, t), rtol=1e-12)


@pytest.mark.parametrize("nu", [1e-2, 1.0, 1e6])
def test_student_t_of_small_and_large_degrees(nu):
    eta = np.array([0.0, 1.0, 1e3, 1e8])
    value, _ = both_ways(StudentT(), 0.5, *at(eta, nu, 0.7))
    np.testing.assert_allclose(value, stats.t.logpdf(0.5, nu, eta, 0.7), rtol=1e-9, atol=1e-9)


def test_student_t_of_an_infinite_residual_is_not_a_number():
    design, point = at([np.inf, np.nan], 4.0, 1.0)
    value, _ = WeightedLikelihood.of(StudentT(), design, np.zeros(1), np.ones(1)).value_and_gradient(point)
    assert not np.isfinite(value).any()


@each_family
def test_nan_is_passed_on(family):
    design = Design(np.ones((2, 1)), (), np.zeros((2, family.width)))
    coefficient = np.full((1, 1, *classes(family)), np.nan)
    point = Point((coefficient,), tuple(np.ones(1) for _ in family.parameters))
    value, (slope, *_) = WeightedLikelihood.of(family, design, np.zeros(2), np.ones(2)).value_and_gradient(point)
    assert np.isnan(value).all()
    assert np.isnan(slope).all()


def test_softmax_far_out():
    design = Design(np.ones((1, 1)), (), np.zeros((1, 3)))
    eta = np.array([[800.0, -800.0, 0.0], [0.0, 40.0, -40.0]])
    value = log_lik(CategoricalSoftmax(3), design, np.array([2]), Point((eta[:, None, :],), ()))
    np.testing.assert_allclose(value[:, 0], log_softmax(eta, axis=1)[:, 2], rtol=1e-13)


def test_squared_error_far_from_the_fit_and_at_it():
    rng = np.random.default_rng(3)
    family = Normal()
    design = some_design(rng, family)
    exact = [rng.standard_normal((1, size)) * 1e3 for size in design.sizes]
    point = Point(tuple(np.concatenate([e, e + 1e4, np.zeros_like(e)]) for e in exact), (np.ones(3), np.zeros(3)))
    y = predictor(design, point)[0] + 1e-3 * rng.standard_normal(N)
    value = WeightedLikelihood.of(family, design, y, np.ones(N)).value(point)
    residual = y - predictor(design, point)
    np.testing.assert_allclose(value, -np.square(residual).sum(1) / 2 - N * np.log(2 * np.pi) / 2, rtol=1e-9)


@each_family
def test_no_rows_and_no_columns(family):
    rng = np.random.default_rng(4)
    groups = (Grouped(rng.integers(0, G, N), np.ones(N), G),)
    design = Design(np.zeros((N, 0)), groups, np.zeros((N, family.width)))
    point, y = some_point(rng, family, design), outcomes(rng, family)
    expected = density(family, y, predictor(design, point), point.parameters).sum(axis=1)
    value, gradients = WeightedLikelihood.of(family, design, y, np.ones(N)).value_and_gradient(point)
    np.testing.assert_allclose(value, expected, rtol=1e-10)
    assert gradients[0].shape[1] == 0
    nobody = np.arange(0)
    value, gradients = WeightedLikelihood.of(family, design.at(nobody), y[nobody], np.ones(0)).value_and_gradient(point)
    np.testing.assert_array_equal(value, 0)
    np.testing.assert_array_equal(gradients[1], 0)


@pytest.mark.parametrize(
    ("family", "y"),
    [
        (BernoulliLogit(), [0, 2]),
        (PoissonLog(), [-1, 1]),
        (NegativeBinomialLog(), [0.5, 1]),
        (StudentT(), [np.nan, 1]),
        (Normal(), [np.inf, 1]),
        (CategoricalSoftmax(3), [0, 3]),
    ],
    ids=lambda v: type(v).__name__,
)
def test_outcomes_outside_the_support_are_told(family, y):
    assert not family.suits(np.array(y))
    assert family.suits(np.array([0, 1]))


@pytest.mark.parametrize("groups", [True, False], ids=["groups", "dense"])
@each_family
def test_single_precision_is_single_precision(family, groups):
    """Errors of a few units in the seventh digit of what is added up, and not none: it is float32 that was used."""
    rng = np.random.default_rng(5)
    design = some_design(rng, family, groups)
    point, y = some_point(rng, family, design), outcomes(rng, family)
    double, single = (log_lik(family, design, y, point, single=flag) for flag in (False, True))
    assert single.dtype == np.float64
    eta = np.abs(predictor(design, point)).reshape(S, N, -1).max(axis=2)
    size = 1 + np.abs(double) + (1 + np.abs(y)) * (1 + eta) * (1 + np.exp(eta) * isinstance(family, PoissonLog))
    error = np.abs(single - double) / size
    assert 1e-9 < error.max() < 3e-6


def test_single_precision_in_the_tails():
    family, y = CategoricalSoftmax(3), np.array([0, 1, 2, 1])
    design = Design(np.array([[0.0], [1.0], [100.0], [3000.0]]), (), np.zeros((4, 3)))
    point = Point((np.array([[[0.0, 1.0, -1.0]], [[2.0, -3.0, 0.5]]]),), ())
    double, single = (log_lik(family, design, y, point, single=flag) for flag in (False, True))
    eta = predictor(design, point)
    np.testing.assert_allclose(double, density(family, y, eta, ()), rtol=1e-14)
    np.testing.assert_allclose(single, double, rtol=1e-6, atol=1e-6)
    design, point = Design(np.array([[1.0], [200.0], [-200.0]]), (), np.zeros((3, 1))), Point((np.array([[1.0]]),), ())
    got = log_lik(BernoulliLogit(), design, np.array([1, 0, 1]), point, single=True)
    np.testing.assert_allclose(got, [[-np.log1p(np.exp(-1)), -200, -200]], rtol=1e-6)
