"""Curves and waves of the numeric columns: what they are, how they are fitted, and which of them a table needs."""

import cloudpickle
import numpy as np
import pandas as pd
import pymc as pm
import pytest
from scipy import integrate, stats
from sklearn.metrics import average_precision_score

import bayesrepair as br
from bayesrepair.bridges.spherical_t import spherical_t
from bayesrepair.datasets.noise import flip_labels
from bayesrepair.datasets.synthetic import radial, two_moons
from bayesrepair.status import DataError
from bayesrepair.tables import read_recipe
from bayesrepair.tables.basis import read_basis
from bayesrepair.tables.basis_choice import LeftOut, left_out, smallest_good

LAPLACE = {"target": "label", "method": "laplace", "progressbar": False}


def moons(n=400, seed=0):
    """Two moons with a word, a flag and a tenth of the labels flipped."""
    rng = np.random.default_rng(seed)
    frame, _ = two_moons(n, rng=rng)
    frame["site"] = rng.choice(["A", "B", "C"], n)
    frame["flag"] = rng.random(n) < 0.5
    frame["label"], planted = flip_labels(frame["label"], rate=0.1, rng=rng)
    return frame, planted


@pytest.fixture(scope="module")
def chosen():
    frame, planted = moons()
    return br.from_table(frame, basis="auto", **LAPLACE), planted


@pytest.fixture(scope="module")
def linear():
    return br.from_table(moons()[0], **LAPLACE)


# the functions


@pytest.mark.parametrize("kind", ["splines", "fourier"])
def test_functions_leave_out_the_line_and_have_a_mean_square_of_one(kind):
    rng = np.random.default_rng(1)
    values = {"a": rng.normal(size=200), "b": rng.exponential(size=200)}
    basis = read_basis(kind, values)
    made = basis.coded(values)
    assert made.shape == (200, len(basis.labels))
    for x in (np.ones(200), *((values[n]) for n in (("a", "b") if kind == "fourier" else ()))):
        np.testing.assert_allclose(x @ made, 0.0, atol=1e-8)
    np.testing.assert_allclose((made**2).sum(axis=1).mean(), 2 if kind == "splines" else 1, rtol=2e-3)


def test_turning_to_principal_axes_keeps_the_prior_of_every_function():
    x = np.random.default_rng(2).normal(size=(150, 2))
    values = {"a": x[:, 0], "b": x[:, 1]}
    made = read_basis("fourier", values).coded(values)
    block = read_basis("fourier", values).blocks[0]
    raw = block.transformer.transform(x)
    with_one = np.column_stack([np.ones(150), x])
    rest = raw - with_one @ np.linalg.lstsq(with_one, raw, rcond=None)[0]
    covariance = rest @ rest.T / (rest**2).sum(axis=1).mean()
    assert made.shape[1] < raw.shape[1] / 2
    np.testing.assert_allclose(made @ made.T, covariance, atol=0.02)


def test_columns_of_two_values_get_no_curve():
    frame, _ = moons(100)
    recipe, _ = read_recipe(frame, target="label", basis="splines")
    assert {label.partition(":")[0] for label in recipe.basis.labels} == {"x1", "x2"}
    assert "functions of the numeric columns (splines)" in recipe.notes[-1]


@pytest.mark.parametrize("kind", ["splines", "fourier"])
def test_new_rows_are_coded_by_the_constants_of_the_training_rows(kind):
    frame, _ = moons(120)
    recipe, table = read_recipe(frame, target="label", basis=kind)
    training = recipe.prepared(table, training=True)
    travelled = cloudpickle.loads(cloudpickle.dumps(recipe))
    pd.testing.assert_frame_equal(travelled(frame.iloc[40:43]), training.iloc[40:43])
    far = frame.iloc[:3].assign(x1=1e3)
    assert np.isfinite(recipe(far.drop(columns="label")).to_numpy(dtype=float)).all()


@pytest.mark.parametrize(
    ("frame", "options", "message"),
    [
        (moons(60)[0], {"basis": "waves"}, "'linear', 'splines', 'fourier' or 'auto'"),
        (moons(60)[0], {"basis": "splines", "formula": "x1"}, "beside a formula"),
        (moons(60)[0], {"basis": "auto", "formula": "x1"}, "beside a formula"),
        (moons(60)[0][["site", "flag", "label"]], {"basis": "splines"}, "a numeric column of several values"),
        (moons(60)[0][["site", "label"]], {"basis": "fourier"}, "a numeric column of several values"),
    ],
)
def test_what_is_refused(frame, options, message):
    with pytest.raises(DataError, match=message):
        br.from_table(frame, **LAPLACE, **options)


# the prior


def test_the_prior_is_a_normal_one_whose_scale_is_integrated_out():
    with pm.Model(coords={"m": range(2), "k": range(2)}) as model:
        spherical_t("one", nu=3.0, sigma=2.0, dims=["m"])
        spherical_t("many", nu=3.0, sigma=2.0, dims=["m", "k"])
        spherical_t("single", nu=3.0, sigma=2.0)
    point = {"one": np.array([1.0, -3.0]), "many": np.array([[0.2, 1.0], [5.0, -0.3]]), "single": 0.7}
    found = model.compile_logp(sum=False)(point)
    for value, density in zip(point.values(), found, strict=True):
        flat = np.ravel(value)

        def mixed(variance, flat=flat):
            return np.exp(stats.norm.logpdf(flat, 0, np.sqrt(variance)).sum()) * stats.invgamma.pdf(
                variance, 1.5, scale=6.0
            )

        expected, _ = integrate.quad(mixed, 0, np.inf, epsabs=0, epsrel=1e-10)
        np.testing.assert_allclose(density, np.log(expected), rtol=1e-7)


def test_draws_from_the_prior_have_its_quantiles():
    with pm.Model(coords={"m": range(3)}) as model:
        beta = spherical_t("beta", nu=3.0, sigma=2.0, dims=["m"])
    drawn = pm.draw(beta, 4000, random_seed=1, mode="FAST_COMPILE")
    assert drawn.shape == (4000, 3)
    assert stats.kstest(drawn[:, 0] / 2.0, stats.t(3).cdf).pvalue > 1e-3
    size = np.sqrt((drawn**2).sum(axis=1) / 3) / 2.0
    assert stats.kstest(size**2, stats.f(3, 3).cdf).pvalue > 1e-3  # one size for all: not three independent ones
    assert len(model.free_RVs) == 1


def test_gradient_of_the_target_is_the_derivative(linear):
    frame, _ = moons(80)
    fit = br.from_table(frame, basis="splines", **LAPLACE)
    rng, weight = np.random.default_rng(0), np.ones(len(fit.rows))
    theta = fit.posterior.mean + 0.3 * rng.standard_normal((3, fit.model.n_params))
    _, gradient = fit.model.log_target_and_grad(theta, fit.rows, weight)
    step = 1e-5
    for j in range(fit.model.n_params):
        shift = step * np.eye(fit.model.n_params)[j]
        up, down = (
            fit.model.log_prior(theta + sign * shift) + fit.model.log_lik(theta + sign * shift, fit.rows).sum(axis=1)
            for sign in (1, -1)
        )
        np.testing.assert_allclose(gradient[:, j], (up - down) / (2 * step), rtol=1e-5, atol=1e-5)


# the fits


def test_moons_need_more_than_a_line(chosen, linear):
    fit, _ = chosen
    gain, error = left_out(fit).gain(left_out(linear))
    assert gain > 2 * error
    note = fit.model.preparation.notes[-1]
    assert note.startswith(("basis='auto' chose 'splines'", "basis='auto' chose 'fourier'"))
    assert f"{gain:+.1f} ± {error:.1f} nats" in note
    held = moons(400, seed=9)[0]
    clean = two_moons(400, rng=np.random.default_rng(9))[0]["label"]
    right = [(f.predict(held)[["lower", "upper"]].idxmax(axis=1) == clean).mean() for f in (linear, fit)]
    assert right[1] > right[0] + 0.05


def test_kernels_recognise_the_model_and_names_say_what_is_what(chosen):
    fit, _ = chosen
    fit.model.log_lik(fit.draws.theta[:5], fit.rows)
    assert "Bernoulli-logit likelihood of columns (agree with the general graph)" in repr(fit.model)
    assert {"coefficient[site[B]]", f"basis[{fit.model.preparation.basis.labels[0]}]"} <= set(fit.model.names)


def test_suspects_are_found_better_than_by_a_line(chosen, linear):
    fit, planted = chosen
    precision = {}
    for name, each in (("linear", linear), ("auto", fit)):
        frame = br.find_suspects(each).frame()
        precision[name] = average_precision_score(planted.reindex(frame.index), frame["prob_wrong"])
    assert precision["auto"] > precision["linear"] + 0.05
    assert precision["auto"] > 0.9


def test_waves_follow_classes_that_no_sum_of_curves_can():
    rng = np.random.default_rng(3)
    frame, _ = radial(400, rng=rng)
    held, _ = radial(400, rng=rng)
    fits = {basis: br.from_table(frame, basis=basis, **LAPLACE) for basis in ("linear", "fourier")}
    right = {b: (f.predict(held)[["amber", "blue"]].idxmax(axis=1) == held["label"]).mean() for b, f in fits.items()}
    assert right["fourier"] > 0.9 > 0.75 > right["linear"]
    gain, error = left_out(fits["fourier"]).gain(left_out(fits["linear"]))
    assert gain > 5 * error


def test_a_line_is_left_a_line():
    rng = np.random.default_rng(4)
    x = rng.normal(size=(300, 3))
    label = np.where(rng.random(300) < 1 / (1 + np.exp(-x @ [1.5, -1.0, 0.5])), "yes", "no")
    frame = pd.DataFrame(x, columns=["a", "b", "c"]).assign(label=label)
    fit = br.from_table(frame, basis="auto", **LAPLACE)
    assert fit.model.preparation.basis is None
    assert fit.model.preparation.notes[-1].startswith("basis='auto' chose 'linear'")


def test_words_alone_leave_nothing_to_choose():
    rng = np.random.default_rng(5)
    frame = pd.DataFrame({"site": rng.choice(["A", "B"], 80), "label": rng.choice(["no", "yes"], 80)})
    fit = br.from_table(frame, basis="auto", **LAPLACE)
    assert "no column holds numbers" in fit.model.preparation.notes[-1]


def test_a_curve_of_a_number_is_found():
    x = np.linspace(-3, 3, 250)
    y = 100 + 20 * np.sin(1.5 * x) + np.random.default_rng(6).normal(0, 3, 250)
    frame = pd.DataFrame({"x": x, "y": y})
    fit = br.from_table(frame, target="y", basis="splines", method="laplace", progressbar=False)
    mean = fit.model.predict(fit.posterior.mean[None], fit.rows)[0, :, 0]
    assert np.sqrt(np.mean((mean - 100 - 20 * np.sin(1.5 * x)) ** 2)) < 2.5  # a line is off by 14


def test_three_classes():
    rng = np.random.default_rng(7)
    angle = rng.uniform(0, 2 * np.pi, 200)
    radius = rng.integers(0, 3, 200) + 0.15 * rng.normal(size=200)
    frame = pd.DataFrame({"x": radius * np.cos(angle), "y": radius * np.sin(angle)})
    frame["label"] = np.array(["in", "mid", "out"])[np.rint(np.abs(radius)).astype(int).clip(0, 2)]
    fit = br.from_table(frame, basis="splines", **LAPLACE)
    assert "basis[x: curve 1, mid]" in fit.model.names
    predicted = fit.predict(frame)[["in", "mid", "out"]].idxmax(axis=1)
    assert (predicted == frame["label"]).mean() > 0.9
    travelled = cloudpickle.loads(cloudpickle.dumps(fit))
    np.testing.assert_allclose(travelled.predict(frame.iloc[:5])["mid"], fit.predict(frame.iloc[:5])["mid"], rtol=1e-10)


def test_the_smallest_of_good_models_is_kept():
    rng = np.random.default_rng(8)
    base = -rng.exponential(size=500)
    noise = 0.1 * rng.normal(size=500)
    noise -= noise.mean()
    line, alike, better = (LeftOut(base + part, 0) for part in (0, noise + 0.002, noise + 0.1))
    assert smallest_good({"linear": line, "splines": alike})[0] == "linear"
    assert smallest_good({"linear": line, "splines": alike, "fourier": better})[0] == "fourier"
    assert smallest_good({"linear": line, "splines": better, "fourier": better})[0] == "splines"
    assert "3 rows PSIS-LOO is unsure" in smallest_good({"linear": LeftOut(base, 3)})[1]


def test_curves_are_sampled_well():
    frame, _ = moons(300)
    sampled = br.from_table(
        frame[["x1", "x2", "label"]], target="label", basis="splines", random_seed=1,
        draws=500, tune=500, chains=4, cores=1, progressbar=False,
    )  # fmt: skip
    sampling = sampled.posterior.sampling
    assert sampling.divergences == 0
    assert sampling.rhat_max < 1.02
    assert sampling.ess_min > 400


def test_a_single_function():
    rng = np.random.default_rng(9)
    x = rng.integers(0, 3, 200)
    frame = pd.DataFrame({"x": x, "label": np.where(rng.random(200) < np.array([0.9, 0.1, 0.9])[x], "yes", "no")})
    fit = br.from_table(frame, basis="splines", **LAPLACE)
    assert len(fit.model.preparation.basis.labels) == 1
    np.testing.assert_allclose(fit.predict(pd.DataFrame({"x": [0, 1, 2]}))["yes"], [0.9, 0.1, 0.9], atol=0.1)
