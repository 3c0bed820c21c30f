"""Laplace approximations over a grid, corrected by importance."""

from dataclasses import dataclass

import numpy as np
import pytest
from scipy.special import digamma, gammaln, logsumexp, polygamma
from scipy.stats import gamma, norm

import bayesrepair as br
import bayesrepair.nested_laplace as nested
from bayesrepair.nested_laplace import nested_laplace
from bayesrepair.noise import LabelNoise
from bayesrepair.number_noise import NumberNoise
from bayesrepair.rows import Rows
from bayesrepair.status import MethodError
from bayesrepair.target import Target

SHAPE = 1.5


@dataclass(frozen=True)
class Skew:
    """l ~ N(0, 1), and ``SHAPE`` independent log gamma variables shifted by l: nothing is Gaussian but l."""

    width: int

    def log_prior(self, theta):
        level, x = theta[:, 0], theta[:, 1:] - theta[:, :1]
        return -(level**2) / 2 + (SHAPE * x - np.exp(x) - gammaln(SHAPE)).sum(axis=1)

    def log_lik(self, theta, rows):
        return np.zeros((len(theta), len(rows)))

    def log_target_and_grad(self, theta, rows, weight):
        level, x = theta[:, 0], theta[:, 1:] - theta[:, :1]
        slope = SHAPE - np.exp(x)
        return self.log_prior(theta), np.column_stack([-level - slope.sum(axis=1), slope])

    def curvature(self, theta, rows, weight):
        steep = np.exp(theta[1:] - theta[0])
        out = np.diag(np.append(1 + steep.sum(), steep))
        out[0, 1:] = out[1:, 0] = -steep
        return out


def drawn(width, **options):
    rows = Rows({"y": np.zeros(1)}, np.zeros(1))
    rng = np.random.default_rng(0)
    return nested_laplace(Skew(width), rows, np.zeros(width + 1), 0, np.linspace(-4, 4, 9), rng=rng, **options).theta


def test_skew_posteriors_are_drawn_rightly(monkeypatch):
    theta = drawn(4)
    x = theta[:, 1:] - theta[:, :1]
    np.testing.assert_allclose(x.mean(axis=0), digamma(SHAPE), atol=0.08)
    np.testing.assert_allclose(x.var(axis=0).mean(), polygamma(1, SHAPE), rtol=0.1)
    assert abs(theta[:, 0].mean()) < 0.08
    assert abs(theta[:, 0].std() - 1) < 0.05
    monkeypatch.setattr(nested, "MOST_LOOKS", 0)  # canary: the approximation alone sits at the modes
    bare = drawn(4)
    assert (bare[:, 1:] - bare[:, :1]).mean() > digamma(SHAPE) + 0.25


def test_the_approximation_stands_where_weights_hang_on_few(monkeypatch):
    corrected = drawn(4)
    monkeypatch.setattr(nested, "MOST_PARAMETERS", 4)
    bare = drawn(4)
    assert len(np.unique(bare[:, 1])) == len(bare)
    assert len(np.unique(corrected[:, 1])) < len(corrected)  # taken by weight, some twice
    monkeypatch.setattr(nested, "MOST_PARAMETERS", 50)
    monkeypatch.setattr(nested, "smooth", lambda log_ratio: (np.full(len(log_ratio), -np.log(len(log_ratio))), 1.2))
    assert len(np.unique(drawn(4)[:, 1])) == len(bare)


@pytest.mark.parametrize("freedom", [7.0, np.inf])
def test_proposals_know_their_density(freedom):
    """Weighted by target / density, they have the shares of the target, which are known."""
    model, rows = Skew(1), Rows({"y": np.zeros(1)}, np.zeros(1))
    target = Target(model, rows, np.ones(1))
    nodes = [nested._node(model, target, np.zeros(2), 0, float(at)) for at in np.linspace(-4, 4, 33)]
    theta, log_q = nested._proposals(nodes, 0, 40_000, freedom, np.random.default_rng(1))
    ratio = np.exp(model.log_prior(theta) - log_q)
    above = [theta[:, 0] > 1, theta[:, 1] - theta[:, 0] > 0]
    shares = [ratio[part].sum() / ratio.sum() for part in above]
    np.testing.assert_allclose(shares, [norm.sf(1), gamma(SHAPE).sf(1.0)], atol=0.012)
    assert abs(above[1].mean() - gamma(SHAPE).sf(1.0)) > 0.03  # canary: unweighted they do not


@pytest.fixture(scope="module")
def sharp():
    """Three classes that are surely known; errors of a few kinds, and at the end the only one of another."""
    true = np.repeat([0, 1, 2], 35)
    given = true.copy()
    for first, label in ((0, 1), (35, 0), (70, 0)):
        given[first : first + 8] = label
    given[-1] = 1
    return given, 0.999 * np.eye(3)[true] + 0.001 / 3


def test_left_out_scores_are_those_of_fits_without_the_row(sharp, monkeypatch):
    given, probability = sharp

    def scores():
        whole = br.suspects_from_predictions(given, probability)
        without = br.suspects_from_predictions(given[:-1], probability[:-1], classes=[0, 1, 2])
        log_p = without.fit.model.log_lik(without.fit.draws.theta, whole.fit.rows.at(slice(104, 105)))[:, 0]
        return float(whole.suspicion.loo[-1]), float(logsumexp(log_p) - np.log(len(log_p)))

    estimated, exact = scores()
    assert abs(estimated - exact) < 0.4
    monkeypatch.setattr(nested, "MOST_LOOKS", 0)  # canary: draws of the Gaussian make such a row impossible
    bare, _ = scores()
    assert bare < exact - 2


@pytest.mark.parametrize(("level", "sd"), [(-9.0, 0.1), (-8.0, 0.5), (3.0, 0.1), (-1.5, 0.1)])
def test_a_prior_of_ones_own_is_not_cut_off(level, sd):
    true = np.arange(40) % 2  # says little
    noise = LabelNoise("uniform", level=level, level_sd=sd)
    found = br.suspects_from_predictions(true, 0.9 * np.eye(2)[true] + 0.05, noise=noise)
    own = found.fit.draws.theta[:, found.fit.model.names.index("label_noise_level")]
    assert abs(own.mean() - level) < sd
    np.testing.assert_allclose(own.std(), sd, rtol=0.35)
    with pytest.raises(MethodError, match="a LabelNoise for the class outcome"):
        br.suspects_from_predictions(true, 0.9 * np.eye(2)[true] + 0.05, noise=NumberNoise())


def test_errors_count_the_weights_of_the_proposals(sharp):
    given, probability = sharp
    found = [br.suspects_from_predictions(given, probability, random_seed=seed).scores for seed in range(8)]
    prob, mcse = (np.stack([one[name].sort_index() for one in found]) for name in ("prob_wrong", "mcse"))
    some = prob.std(axis=0) > 1e-6
    ratio = prob.std(axis=0, ddof=1)[some] / np.sqrt(np.square(mcse).mean(axis=0))[some]
    assert 0.5 < np.sqrt(np.square(ratio).mean()) < 2.0
    assert 0 < br.suspects_from_predictions(given, probability).fit.draws.r_eff < 0.8


def test_the_status_says_what_stands_in_for_chains(sharp, monkeypatch):
    weighted = "Gaussians at modes, put right by importance weights"
    assert weighted in br.suspects_from_predictions(*sharp).status.message
    monkeypatch.setattr(nested, "MOST_LOOKS", 0)
    bare = br.suspects_from_predictions(*sharp).status.message
    assert weighted not in bare
    assert "a Gaussian at the mode stands in" in bare
