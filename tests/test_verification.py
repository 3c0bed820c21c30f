"""Verification: exact posteriors pass, wrong ones fail, and the distances agree with closed forms."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from cases import problem
from scipy.special import ndtr
from scipy.stats import norm, poisson

import bayesrepair as br
from bayesrepair.model import Outcome
from bayesrepair.numerics.distance import (
    chance_sd,
    kl_divergence,
    total_variation,
    two_sample_auc,
    weighted_quantiles,
)
from bayesrepair.oracles import NormalNormal
from bayesrepair.posterior import Draws
from bayesrepair.predictive_masses import predictive_masses
from bayesrepair.status import DataError, UnsupportedModelError

DRAWS = 2000
ORACLES = ("normal", "beta_binomial", "linear_unknown")


def base(name):
    """An exact fit as draws, and a deletion of five rows with a direction."""
    case = problem(name)
    posterior = case.model.posterior(case.rows).draws(DRAWS, np.random.default_rng(0))
    return br.Fit(case.model, case.rows, posterior), case.top(5)


def edited(name, seed, change=lambda theta: theta, sign=1):
    """An exact edit, its draws then changed; with the wrong sign on demand."""
    fit, factor = base(name)
    right = br.edit(fit, factor, method="retrain", random_seed=seed)
    drawn = right if sign > 0 else br.edit(fit, factor.inverse, method="retrain", random_seed=seed)
    after = replace(right.after, posterior=Draws.plain(change(drawn.after.draws.theta)))
    return replace(right, after=after)


def verified(edit, seed, **options):
    return br.verify(edit, random_seed=seed, progressbar=False, **options)


def passed(name, repeats):
    return sum(verified(edited(name, seed), 1000 + seed).passed for seed in range(repeats))


@pytest.mark.parametrize("name", ORACLES)
def test_exact_posteriors_pass(name):
    assert passed(name, 4) == 4


@pytest.mark.slow
@pytest.mark.parametrize("name", ORACLES)
def test_exact_posteriors_pass_in_nineteen_of_twenty_repeats(name):
    assert passed(name, 60) >= 57


@pytest.mark.parametrize("name", ORACLES)
def test_a_shift_a_wrong_spread_and_a_flipped_sign_fail(name):
    def shifted(theta):
        return theta + 0.3 * theta.std(axis=0)

    def spread(theta):
        return theta.mean(axis=0) + 1.3 * (theta - theta.mean(axis=0))

    first = verified(edited(name, 0, shifted), 5)
    frame = first.frame()
    failing = frame[frame["distance"] > np.maximum(2 * frame["refit_noise"], frame["limit"])]
    assert {"parameter mean, largest |Δ|/sd", "two-sample test, logistic: AUC − ½"} <= set(failing.index)
    assert not first.passed
    for wrong in (edited(name, 0, spread), edited(name, 0, sign=-1)):
        again = verified(wrong, 5, refits=first)
        assert not again.passed
        assert all(a is b for a, b in zip(again.refits, first.refits, strict=True))
    assert verified(edited(name, 0), 5, refits=first).passed


def test_refits_of_another_edit_do_not_serve():
    first = verified(edited("normal", 0), 5)
    fit, factor = base("normal")
    other = br.edit(fit, br.Factor(factor.rows, -0.5), method="retrain", random_seed=0)
    with pytest.raises(DataError, match="same rows and weights"):
        verified(other, 5, refits=first)
    assert [type(refit) for refit in first.fits] == [br.Fit, br.Fit]
    np.testing.assert_array_equal(first.fits[0].draws.theta, first.refits[0].theta)
    assert first.random_seed == 5


class Poisson(NormalNormal):
    """Counts of mean exp(θ)."""

    outcome = Outcome("y", "count")

    def log_lik(self, theta, rows):
        return poisson.logpmf(rows.values["y"], np.exp(theta))

    def simulate(self, theta, rows, rng):
        return rng.poisson(np.exp(theta), (len(theta), len(rows)))


class Silent(NormalNormal):
    """Cannot be simulated."""

    def simulate(self, theta, rows, rng):
        raise UnsupportedModelError("a distribution that can be drawn from", "none")


def masses(model, a, b, kind=float):
    rows = br.Rows({"y": np.arange(20).astype(kind)}, np.arange(20))
    posteriors = [Draws.plain(np.asarray(theta, dtype=float)[:, None]) for theta in (a, b)]
    fit = br.Fit(model, rows, posteriors[0])
    return [mass[0] for mass in predictive_masses(fit, posteriors, rows, rng=np.random.default_rng(3))]


@pytest.mark.parametrize(("shift", "sd"), [(0.05, 1.0), (0.3, 1.0), (1.0, 1.0), (0.0, 1.2), (0.0, 2.0)])
def test_predictive_distances_agree_with_integrals(shift, sd):
    """Normal noise of sd 1 around draws that are all 0, or normal themselves: the predictives are normal."""
    wide = norm.ppf((np.arange(1000) + 0.5) / 1000, shift, np.sqrt(sd**2 - 1)) if sd > 1 else np.full(1000, shift)
    p, q = masses(NormalNormal(), np.zeros(1000), wide)
    y = np.linspace(-15, 15, 30001)
    a, b = norm.pdf(y), norm.pdf(y, shift, sd)
    variation, divergence = np.trapezoid(0.5 * np.abs(a - b), y), np.trapezoid(a * np.log(a / b), y)
    np.testing.assert_allclose(total_variation(p, q).mean(), variation, rtol=0.1)
    np.testing.assert_allclose(kl_divergence(p, q).mean(), divergence, rtol=0.35)


def test_predictive_distances_of_counts_agree_with_sums():
    p, q = masses(Poisson(), np.zeros(500), np.full(500, np.log(1.3)), kind=int)
    k = np.arange(40)
    a, b = poisson.pmf(k, 1.0), poisson.pmf(k, 1.3)
    np.testing.assert_allclose(total_variation(p, q).mean(), 0.5 * np.abs(a - b).sum(), rtol=0.15)
    np.testing.assert_allclose(kl_divergence(p, q).mean(), (a * np.log(a / b)).sum(), rtol=0.25)


def test_predictive_distances_of_classes_are_exact():
    fit, _ = base("beta_binomial")
    rng = np.random.default_rng(0)
    first, second = (fit.model.posterior(fit.rows.at(slice(0, n))).draws(500, rng) for n in (9, 30))
    p, q = (mass[0] for mass in predictive_masses(fit, [first, second], fit.rows, rng=rng))
    means = [float(np.mean(1 / (1 + np.exp(-draws.theta)))) for draws in (first, second)]
    np.testing.assert_allclose(total_variation(p, q), abs(means[0] - means[1]))
    odds = [np.log(means[0] / means[1]), np.log((1 - means[0]) / (1 - means[1]))]
    np.testing.assert_allclose(kl_divergence(p, q), means[0] * odds[0] + (1 - means[0]) * odds[1])


def test_what_cannot_be_measured_is_said():
    case = problem("normal")
    model = Silent(0.0, 2.0, 1.0)
    fit = br.Fit(model, case.rows, model.posterior(case.rows).draws(DRAWS, np.random.default_rng(0)))
    proof = verified(br.edit(fit, case.top(2), method="retrain", random_seed=1), 2)
    assert proof.passed
    assert not any("predictive" in name for name in proof.frame().index)
    assert "predictive distributions not compared" in proof.verdict


def test_two_sample_auc_knows_closed_forms_and_shapes():
    rng = np.random.default_rng(1)
    a = rng.normal(size=(1000, 3))
    noise = chance_sd(1000, 1000)
    for classifier in ("logistic", "trees"):
        same = two_sample_auc(a, rng.normal(size=(1000, 3)), classifier=classifier, seed=0)
        np.testing.assert_allclose(same, 0.5, atol=4 * noise)
    moved = two_sample_auc(a, rng.normal((0.5, 0, 0), 1.0, (1000, 3)), classifier="logistic", seed=0)
    np.testing.assert_allclose(moved, ndtr(0.5 / np.sqrt(2)), atol=4 * noise)
    related = rng.multivariate_normal(np.zeros(2), [[1, 0.8], [0.8, 1]], 1000)
    assert two_sample_auc(related, related * [1, -1], classifier="logistic", seed=0) > 0.7  # equal marginals
    modes = rng.choice([-0.95, 0.95], 1000) + 0.3 * rng.normal(size=1000)
    assert two_sample_auc(modes[:, None], a[:, :1], classifier="trees", seed=0) > 0.65  # equal mean and variance


def test_two_sample_auc_of_many_parameters_is_unbiased():
    rng = np.random.default_rng(4)
    pairs = [rng.normal(size=(2, 400, 40)) @ rng.normal(size=(40, 40)) for _ in range(8)]
    aucs = [two_sample_auc(a, b, classifier="logistic", seed=k) for k, (a, b) in enumerate(pairs)]
    np.testing.assert_allclose(np.mean(aucs), 0.5, atol=4 * chance_sd(400, 400) / np.sqrt(len(pairs)))


def test_autocorrelated_refits_are_not_told_apart_unless_their_efficiency_is_forgotten():
    """Every draw ten times: as many rows, a tenth of the information."""
    fit, factor = base("normal")

    def worst(r_eff):
        model = Sticky(0.0, 2.0, 1.0)
        object.__setattr__(model, "r_eff", r_eff)
        change = br.edit(br.Fit(model, fit.rows, fit.posterior), factor, method="retrain", random_seed=1)
        return verified(change, 2).frame().filter(like="two-sample", axis=0)["distance"].max()

    assert worst(0.1) < 0.087  # three sds of chance at 200 draws
    assert worst(1.0) > 0.15


class Sticky(NormalNormal):
    """Trains to draws that each occur ten times."""

    def train(self, rows, *, start=None, rng, weights=None):
        theta = np.repeat(self.posterior(rows, weights).draws(DRAWS // 10, rng).theta, 10, axis=0)
        return Draws.plain(theta, r_eff=self.r_eff)


def test_weighted_quantiles_agree_with_repeated_values():
    rng = np.random.default_rng(2)
    values, times = rng.normal(size=(400, 3)), rng.integers(1, 6, 400)
    plain = np.repeat(values, times, axis=0)
    got = weighted_quantiles(values, times / times.sum(), [0.05, 0.5, 0.95])
    even = weighted_quantiles(plain, np.full(len(plain), 1 / len(plain)), [0.05, 0.5, 0.95])
    np.testing.assert_allclose(got, even, atol=0.03)
    np.testing.assert_allclose(even, np.quantile(plain, [0.05, 0.5, 0.95], axis=0), atol=0.03)


def test_the_frame_keeps_its_columns_and_every_limit():
    frame = verified(edited("normal", 1), 3).frame()
    assert list(frame.columns) == ["distance", "refit_noise", "ratio", "low", "high", "limit"]
    assert isinstance(frame, pd.DataFrame)
    assert (frame["limit"] > 0).all()
    assert (frame["low"] <= frame["high"]).all()
    assert len(frame) == 14
