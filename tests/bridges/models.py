"""The table of PyMC models that the bridge is tested on: what each is, and what the bridge makes of it."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import bambi as bmb
import numpy as np
import pandas as pd
import pymc as pm
import pymc.dims as pmd
import pytensor.tensor as pt

N, D = 24, 3
RNG = np.random.default_rng(7)
X = RNG.normal(size=(N, D))
SQUARE = RNG.normal(size=(N, N))
GROUP = np.r_[np.arange(4), RNG.integers(0, 4, N - 4)]
REAL = X @ [1.0, -0.5, 0.2] + RNG.normal(size=N)
BINARY = (REAL > 0).astype(int)
COUNT = RNG.poisson(2.0, N)
CLASS = np.r_[np.arange(3), RNG.integers(0, 3, N - 3)]
PAIRS = RNG.normal(size=(N, 2))
COORDS = {"obs": np.arange(100, 100 + N), "feature": ["a", "b", "c"], "site": list("wxyz")}


@dataclass(frozen=True)
class Works:
    """A model that the bridge serves."""

    name: str
    build: Callable[[], pm.Model]
    kind: str
    arrays: tuple[str, ...]
    regime: str = "dynamic"
    gradients: bool = True
    new_rows: bool = True
    outputs: int = 1
    closed_mean: bool = True
    draws: bool = True


@dataclass(frozen=True)
class Refused:
    """A model that the bridge refuses, and words of its message."""

    name: str
    build: Callable[[], pm.Model]
    words: tuple[str, ...]


def _linear(x: Any = X) -> Any:
    return pm.Normal("intercept", 0, 2) + x @ pm.Normal("b", 0, 1, shape=x.shape[1] if x is X else D)


def raw_columns() -> pm.Model:
    with pm.Model() as model:
        slope, curve = pm.Normal("slope", 0, 1), pm.Normal("curve", 0, 1)
        pm.Normal("y", slope * X[:, 0] + curve * X[:, 1], pm.HalfNormal("sigma", 1), observed=REAL)
    return model


def data_with_dims() -> pm.Model:
    with pm.Model(coords=COORDS) as model:
        x = pm.Data("x", X, dims=("obs", "feature"))
        y = pm.Data("y_data", REAL, dims="obs")
        b = pm.Normal("b", 0, 1, dims="feature")
        pm.Normal("y", x @ b, pm.HalfNormal("sigma", 1), observed=y, dims="obs")
    return model


def data_of_classes() -> pm.Model:
    """`pm.Data` narrows integers, and PyMC widens them again: the outcome is still one array."""
    with pm.Model() as model:
        x, y = pm.Data("x", X), pm.Data("y_data", BINARY)
        pm.Bernoulli("y", logit_p=x @ pm.Normal("b", 0, 1, shape=D), observed=y)
    return model


def mixed() -> pm.Model:
    with pm.Model() as model:
        x = pm.Data("x", X)
        offset = pm.Data("prior_scale", 1.5)
        b = pm.Normal("b", 0, offset, shape=D)
        pm.Bernoulli("y", logit_p=x @ b + 0.3 * PAIRS[:, 0], observed=BINARY)
    return model


def square() -> pm.Model:
    with pm.Model() as model:
        b = pm.Normal("b", 0, 0.2, shape=N)
        pm.Normal("y", SQUARE @ b, 1.0, observed=REAL)
    return model


def square_turned() -> pm.Model:
    with pm.Model() as model:
        b = pm.Normal("b", 0, 0.2, shape=N)
        pm.Normal("y", b @ SQUARE, 1.0, observed=REAL)
    return model


def iid() -> pm.Model:
    with pm.Model() as model:
        pm.Normal("y", pm.Normal("mu", 0, 1), pm.HalfNormal("sigma", 1), observed=REAL)
    return model


def centred() -> pm.Model:
    with pm.Model(coords=COORDS) as model:
        spread = pm.HalfNormal("spread", 1)
        a = pm.Normal("a", 0, spread, dims="site")
        pm.Normal("y", a[GROUP] + X[:, 0] * pm.Normal("b", 0, 1), pm.HalfNormal("sigma", 1), observed=REAL)
    return model


def non_centred() -> pm.Model:
    with pm.Model(coords=COORDS) as model:
        site = pm.Data("site_of_row", GROUP)
        a = pm.Deterministic("a", pm.HalfNormal("spread", 1) * pm.Normal("z", 0, 1, dims="site"), dims="site")
        pm.Normal("y", a[site], pm.HalfNormal("sigma", 1), observed=REAL)
    return model


def as_many_groups_as_rows() -> pm.Model:
    with pm.Model() as model:
        a = pm.Normal("a", 0, 1, shape=N)
        pm.Normal("y", a[np.arange(N)[::-1]], pm.HalfNormal("sigma", 1), observed=REAL)
    return model


def student() -> pm.Model:
    with pm.Model() as model:
        pm.StudentT("y", nu=pm.Gamma("nu", 2, 0.1), mu=_linear(), sigma=pm.HalfNormal("sigma", 1), observed=REAL)
    return model


def cauchy() -> pm.Model:
    with pm.Model() as model:
        pm.Cauchy("y", _linear(), pm.HalfNormal("sigma", 1), observed=REAL)
    return model


def poisson() -> pm.Model:
    with pm.Model() as model:
        pm.Poisson("y", pt.exp(_linear()), observed=COUNT)
    return model


def negative_binomial() -> pm.Model:
    with pm.Model() as model:
        pm.NegativeBinomial("y", mu=pt.exp(_linear()), alpha=pm.Exponential("alpha", 1), observed=COUNT)
    return model


def zero_inflated() -> pm.Model:
    with pm.Model() as model:
        pm.ZeroInflatedPoisson("y", psi=pm.Beta("psi", 2, 2), mu=pt.exp(_linear()), observed=COUNT)
    return model


def binomial_one() -> pm.Model:
    with pm.Model() as model:
        pm.Binomial("y", n=1, logit_p=_linear(), observed=BINARY)
    return model


def binomial_many() -> pm.Model:
    with pm.Model() as model:
        pm.Binomial("y", n=COUNT + 2, logit_p=_linear(), observed=np.minimum(COUNT, COUNT // 2 + 1))
    return model


def softmax() -> pm.Model:
    with pm.Model(coords={"class": ["red", "green", "blue"], "feature": COORDS["feature"]}) as model:
        w = pm.Normal("w", 0, 1, dims=("feature", "class"))
        pm.Categorical("y", p=pt.special.softmax(X @ w, axis=-1), observed=CLASS)
    return model


def ordered_logistic() -> pm.Model:
    with pm.Model() as model:
        cuts = pm.Normal("cuts", 0, 2, shape=2, transform=pm.distributions.transforms.ordered, initval=[-1.0, 1.0])
        pm.OrderedLogistic("y", eta=X @ pm.Normal("b", 0, 1, shape=D), cutpoints=cuts, observed=CLASS)
    return model


def mixture() -> pm.Model:
    with pm.Model() as model:
        w = pm.Dirichlet("w", np.ones(2))
        mu = pm.Normal("mu", 0, 2, shape=2, transform=pm.distributions.transforms.ordered, initval=[-1.0, 1.0])
        pm.NormalMixture("y", w=w, mu=mu, sigma=pm.HalfNormal("sigma", 1), observed=REAL)
    return model


def regression_mixture() -> pm.Model:
    with pm.Model() as model:
        line = _linear()
        components = [pm.Normal.dist(line, pm.HalfNormal("sigma", 1)), pm.Normal.dist(0, 10, shape=N)]
        pm.Mixture("y", w=pm.Dirichlet("w", np.ones(2)), comp_dists=components, observed=REAL)
    return model


def censored() -> pm.Model:
    with pm.Model() as model:
        latent = pm.Normal.dist(_linear(), pm.HalfNormal("sigma", 1))
        pm.Censored("y", latent, lower=-1.0, upper=1.0, observed=np.clip(REAL, -1, 1))
    return model


def truncated() -> pm.Model:
    with pm.Model() as model:
        latent = pm.Normal.dist(_linear(), pm.HalfNormal("sigma", 1))
        pm.Truncated("y", latent, lower=0.0, observed=np.abs(REAL))
    return model


def mv_normal_rows() -> pm.Model:
    with pm.Model() as model:
        chol, _, _ = pm.LKJCholeskyCov("chol", n=2, eta=2, sd_dist=pm.HalfNormal.dist(1, shape=2))
        mu = pt.stack([X @ pm.Normal("b", 0, 1, shape=D), pt.zeros(N)], axis=1)
        pm.MvNormal("y", mu=mu, chol=chol, observed=PAIRS)
    return model


def two_columns() -> pm.Model:
    with pm.Model() as model:
        pm.Normal("y", (X @ pm.Normal("b", 0, 1, shape=D))[:, None], 1.0, observed=PAIRS)
    return model


def two_likelihoods() -> pm.Model:
    with pm.Model() as model:
        line = _linear()
        pm.Normal("y", line, pm.HalfNormal("sigma", 1), observed=REAL)
        pm.Poisson("count", pt.exp(0.3 * line), observed=COUNT)
    return model


def custom() -> pm.Model:
    def logp(value: Any, mu: Any, b: Any) -> Any:
        return -pt.log(2 * b) - pt.abs(value - mu) / b

    with pm.Model() as model:
        pm.CustomDist("y", _linear(), pm.HalfNormal("scale", 1), logp=logp, observed=REAL)
    return model


def custom_from_dist() -> pm.Model:
    def dist(mu: Any, sigma: Any, size: Any) -> Any:
        return pt.exp(pm.Normal.dist(mu, sigma, size=size))

    with pm.Model() as model:
        pm.CustomDist("y", _linear(), pm.HalfNormal("sigma", 1), dist=dist, observed=np.exp(REAL))
    return model


def missing_outcomes() -> pm.Model:
    y = REAL.copy()
    y[[2, 9]] = np.nan
    with pm.Model() as model, warnings.catch_warnings():
        warnings.simplefilter("ignore", pm.exceptions.ImputationWarning)
        pm.Normal("y", _linear(), pm.HalfNormal("sigma", 1), observed=y)
    return model


def missing_classes() -> pm.Model:
    y = np.ma.masked_array(BINARY, mask=np.isin(np.arange(N), [2, 9]))
    with pm.Model() as model, warnings.catch_warnings():
        warnings.simplefilter("ignore", pm.exceptions.ImputationWarning)
        pm.Bernoulli("y", logit_p=_linear(), observed=y)
    return model


def latent_per_row() -> pm.Model:
    with pm.Model() as model:
        z = pm.Normal("z", 0, 1, shape=N)
        pm.Poisson("y", pt.exp(z * pm.HalfNormal("spread", 1) + X[:, 0]), observed=COUNT)
    return model


def latent_per_row_with_dims() -> pm.Model:
    with pm.Model(coords=COORDS) as model:
        z = pm.Normal("z", 0, pm.HalfNormal("spread", 1), dims="obs")
        pm.Normal("y", z, 0.5, observed=REAL, dims="obs")
    return model


def latent_random_walk() -> pm.Model:
    with pm.Model() as model:
        level = pm.GaussianRandomWalk("level", sigma=0.3, init_dist=pm.Normal.dist(0, 1), steps=N - 1)
        pm.Normal("y", level, pm.HalfNormal("sigma", 1), observed=REAL)
    return model


def deterministic_and_potential() -> pm.Model:
    with pm.Model() as model:
        b = pm.Normal("b", 0, 1, shape=D)
        mu = pm.Deterministic("mu", X @ b)
        pm.Deterministic("length", pt.sqrt((b**2).sum()))
        pm.Potential("shrink", -2.0 * pt.abs(b).sum())
        pm.Normal("y", mu, 1.0, observed=REAL)
    return model


def discrete_free() -> pm.Model:
    with pm.Model() as model:
        flip = pm.Bernoulli("flip", 0.3)
        pm.Normal("y", pt.switch(flip, 1.0, -1.0) * pm.Normal("mu", 0, 1), 1.0, observed=REAL)
    return model


def named_dims() -> pm.Model:
    with pm.Model(coords=COORDS) as model:
        x = pmd.Data("x", X, dims=("obs", "feature"))
        site = pmd.Data("site_of_row", GROUP, dims="obs")
        a = pmd.Normal("a", 0, 1, dims="site")
        mu = x.dot(pmd.Normal("b", 0, 1, dims="feature")) + a.isel(site=site)
        y = pmd.as_xtensor(REAL, dims=("obs",))
        pmd.Normal("y", mu, pmd.HalfNormal("sigma", 1), observed=y, dims="obs")
    return model


def frame() -> pd.DataFrame:
    return pd.DataFrame(
        {
            "y": REAL,
            "yes": BINARY,
            "x1": X[:, 0],
            "x2": X[:, 1],
            "site": pd.Categorical(np.array(list("wxyz"))[GROUP]),
        }
    )


def bambi_common() -> pm.Model:
    model = bmb.Model("yes ~ x1 + x2", frame(), family="bernoulli")
    model.build()
    return model.backend.model


def bambi_groups() -> pm.Model:
    model = bmb.Model("y ~ x1 + (1 + x1 | site)", frame())
    model.build()
    return model.backend.model


# refused


def standardised_in_graph() -> pm.Model:
    with pm.Model() as model:
        x = pm.Data("x", X[:, 0])
        z = (x - x.mean()) / x.std()
        pm.Normal("y", z * pm.Normal("b", 0, 1), 1.0, observed=REAL)
    return model


def minibatch() -> pm.Model:
    with pm.Model() as model:
        x, y = pm.Minibatch(X, REAL, batch_size=8)
        pm.Normal("y", x @ pm.Normal("b", 0, 1, shape=D), 1.0, observed=y, total_size=N)
    return model


def autoregression() -> pm.Model:
    with pm.Model() as model:
        pm.AR("y", [pm.Normal("rho", 0, 0.5)], init_dist=pm.Normal.dist(0, 1), observed=REAL)
    return model


def observed_random_walk() -> pm.Model:
    with pm.Model() as model:
        pm.GaussianRandomWalk("y", sigma=pm.HalfNormal("sigma", 1), init_dist=pm.Normal.dist(0, 1), observed=REAL)
    return model


def gp_marginal() -> pm.Model:
    with pm.Model() as model:
        gp = pm.gp.Marginal(cov_func=pm.gp.cov.ExpQuad(1, ls=pm.Gamma("ls", 2, 1)))
        gp.marginal_likelihood("y", X=X[:, :1], y=REAL, sigma=pm.HalfNormal("sigma", 1))
    return model


def gp_latent() -> pm.Model:
    with pm.Model() as model:
        f = pm.gp.Latent(cov_func=pm.gp.cov.ExpQuad(1, ls=1.0)).prior("f", X=X[:, :1])
        pm.Normal("y", f, 1.0, observed=REAL)
    return model


def joint_mv_normal() -> pm.Model:
    with pm.Model() as model:
        pm.MvNormal("y", mu=pm.Normal("mu", 0, 1), cov=np.eye(N), observed=REAL)
    return model


def potential_only() -> pm.Model:
    with pm.Model() as model:
        mu = pm.Normal("mu", 0, 1)
        pm.Potential("likelihood", pm.logp(pm.Normal.dist(mu, 1), REAL).sum())
    return model


def potential_of_rows() -> pm.Model:
    with pm.Model() as model:
        x = pm.Data("x", X[:, 0])
        b = pm.Normal("b", 0, 1)
        pm.Normal("y", b * x, 1.0, observed=REAL)
        pm.Potential("extra", -((b * x) ** 2).sum())
    return model


def different_tables() -> pm.Model:
    with pm.Model() as model:
        mu = pm.Normal("mu", 0, 1)
        pm.Normal("y", mu, 1.0, observed=REAL)
        pm.Normal("other", mu, 1.0, observed=REAL[:10])
    return model


def nothing_observed() -> pm.Model:
    with pm.Model() as model:
        pm.Normal("mu", 0, 1)
    return model


def lagged() -> pm.Model:
    with pm.Model() as model:
        y = pm.Data("series", REAL)
        before = pt.concatenate([[0.0], y[:-1]])
        pm.Normal("y", pm.Normal("rho", 0, 1) * before, 1.0, observed=y)
    return model


WORKS = (
    Works("raw NumPy columns", raw_columns, "continuous", ("y", "constant_0", "constant_1")),
    Works("pm.Data with dims", data_with_dims, "continuous", ("y", "x")),
    Works("pm.Data of classes", data_of_classes, "class", ("y", "x"), outputs=2),
    Works("pm.Data and NumPy mixed", mixed, "class", ("y", "x", "constant_0"), outputs=2),
    Works("square X", square, "continuous", ("y", "constant_0")),
    Works("square X, turned", square_turned, "continuous", ("y", "constant_0")),
    Works("iid mean", iid, "continuous", ("y",)),
    Works("hierarchical, centred", centred, "continuous", ("y", "constant_0", "constant_1")),
    Works("hierarchical, non-centred", non_centred, "continuous", ("y", "site_of_row")),
    Works("as many groups as rows", as_many_groups_as_rows, "continuous", ("y", "constant_0")),
    Works("Student-t", student, "continuous", ("y", "constant_0")),
    Works("Cauchy", cauchy, "continuous", ("y", "constant_0")),
    Works("Poisson", poisson, "count", ("y", "constant_0")),
    Works("negative binomial", negative_binomial, "count", ("y", "constant_0")),
    Works("zero-inflated Poisson", zero_inflated, "count", ("y", "constant_0")),
    Works("binomial, one trial", binomial_one, "class", ("y", "constant_0"), outputs=2),
    Works("binomial, many trials", binomial_many, "count", ("y", "constant_0", "constant_1")),
    Works("softmax", softmax, "class", ("y", "constant_0"), outputs=3),
    Works("ordered logistic", ordered_logistic, "class", ("y", "constant_0"), outputs=3),
    Works("normal mixture", mixture, "continuous", ("y",)),
    Works("mixture of regressions", regression_mixture, "continuous", ("y", "constant_0")),
    Works("censored", censored, "continuous", ("y", "constant_0"), closed_mean=False),
    Works("truncated", truncated, "continuous", ("y", "constant_0"), closed_mean=False),
    Works("MvNormal rows", mv_normal_rows, "continuous", ("y", "constant_0"), outputs=2, regime="static"),
    Works("two columns", two_columns, "continuous", ("y", "constant_0"), outputs=2),
    Works("two likelihoods", two_likelihoods, "continuous", ("y", "count", "constant_0")),
    Works("CustomDist from logp", custom, "continuous", ("y", "constant_0"), closed_mean=False, draws=False),
    Works(
        "CustomDist from dist",
        custom_from_dist,
        "continuous",
        ("y", "constant_0"),
        "static",
        closed_mean=False,
    ),
    Works("missing outcomes", missing_outcomes, "continuous", ("y", "constant_0")),
    Works("missing classes", missing_classes, "class", ("y", "constant_0"), outputs=2, gradients=False),
    Works("latent per row", latent_per_row, "count", ("y", "constant_0"), new_rows=False),
    Works("latent per row, dims", latent_per_row_with_dims, "continuous", ("y",), new_rows=False),
    Works("latent random walk", latent_random_walk, "continuous", ("y",), new_rows=False),
    Works("Deterministic and Potential", deterministic_and_potential, "continuous", ("y", "constant_0")),
    Works("discrete free variable", discrete_free, "continuous", ("y",), gradients=False),
    Works("pymc.dims", named_dims, "continuous", ("y", "x", "site_of_row")),
    Works("Bambi, common terms", bambi_common, "class", ("yes", "constant_0"), outputs=2),
    Works("Bambi, group terms", bambi_groups, "continuous", ("y", "constant_0", "constant_1", "constant_2")),
)

REFUSED = (
    Refused("standardised in the graph", standardised_in_graph, ("'x'", "outside the model")),
    Refused("minibatch", minibatch, ("minibatch", "whole data")),
    Refused("AR", autoregression, ("autoregressive",)),
    Refused("observed random walk", observed_random_walk, ("random walk",)),
    Refused("gp.Marginal", gp_marginal, ("gp.Marginal", "latent walk")),
    Refused("gp.Latent", gp_latent, ("which other rows are present",)),
    Refused("joint MvNormal", joint_mv_normal, ("joint multivariate normal",)),
    Refused("Potential only", potential_only, ("Potential only", "'likelihood'", "CustomDist")),
    Refused("Potential of rows", potential_of_rows, ("'extra'", "'x'")),
    Refused("different tables", different_tables, ("'y': 24", "'other': 10")),
    Refused("nothing observed", nothing_observed, ("observed variable",)),
    Refused("lagged outcome", lagged, ("its own observed values",)),
)
