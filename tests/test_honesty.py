"""What must never come back as ok, or as a number: impossible rows, improper priors, too few draws, divergences."""

import dataclasses

import numpy as np
import pytest

import bayesrepair as br
from bayesrepair.datatree import weighted_tree
from bayesrepair.oracles import BetaBinomial, Logistic, NormalNormal
from bayesrepair.posterior import Draws, Sampling
from bayesrepair.status import DataError, EditError, PriorWarning


def test_rows_the_model_holds_impossible_are_refused():
    oracle = BetaBinomial()
    rows = oracle.rows({"y": np.array([0, 1, 1, 0, 1])})
    fit = br.Fit(oracle, rows, oracle.posterior(rows).draws(400, np.random.default_rng(0)))
    broken = dataclasses.replace(fit, model=Impossible())
    strangers = br.Rows({"y": np.array([1])}, np.array(["x"]))
    for method in ("weights", "transport", "auto"):
        with pytest.raises(EditError, match="holds possible"):
            br.edit(broken, br.Factor(strangers, 1.0), method=method)
    with pytest.raises(DataError, match="holds possible"):
        br.find_causes(broken, strangers, progressbar=False)


class Impossible(BetaBinomial):
    """Holds every outcome impossible."""

    def log_lik(self, theta, rows):
        return np.full((len(theta), len(rows)), -np.inf)


def test_an_improper_prior_is_warned_of():
    oracle = Flat()
    rows = oracle.rows({"y": np.arange(30.0)})
    fit = br.Fit(oracle, rows, oracle.posterior(rows).draws(400, np.random.default_rng(0)))
    with pytest.warns(PriorWarning, match="'mu' is improper"):
        br.edit(fit, br.Factor(rows.take([3]), -1.0), method="weights", random_seed=0)


class Flat(NormalNormal):
    """Says that its prior does not integrate."""

    improper = ("mu",)


@pytest.mark.parametrize("size", [1, 2, 5, 10, 24])
def test_a_handful_of_draws_is_never_trusted(size):
    oracle = NormalNormal()
    rows = oracle.rows({"y": np.arange(8.0)})
    fit = br.Fit(oracle, rows, oracle.posterior(rows).draws(size, np.random.default_rng(0)))
    draws = Draws(fit.draws.theta, fit.draws.theta[:, 0], fit.draws.chain)
    assert size == 1 or draws.khat == np.inf
    np.testing.assert_allclose(draws.weights.sum(), 1.0)


def test_divergences_of_the_edited_draws_are_a_doubt():
    oracle = NormalNormal()
    rows = oracle.rows({"y": np.arange(30.0)})
    plain = oracle.posterior(rows).draws(4000, np.random.default_rng(0))
    sampling = Sampling(4, 1000, 1000, 50, 1.0, 4000.0, 1.0, "test")
    fit = br.Fit(oracle, rows, dataclasses.replace(plain, sampling=sampling))
    status = br.edit(fit, br.Factor(rows.take([15]), -1.0), method="weights", random_seed=0).status
    assert status.level == "checked"
    assert "50 of the 4000 draws" in status.message
    calm = br.Fit(oracle, rows, plain)
    assert br.edit(calm, br.Factor(rows.take([15]), -1.0), method="weights", random_seed=0).status.level == "ok"


def test_verification_is_not_fooled_by_saturated_probabilities():
    rng = np.random.default_rng(2)
    oracle = Logistic(n_features=2, prior_sd=10.0)
    x = rng.normal(size=(100, 2))
    x[:3] *= 6.0  # far out, on the right side: probabilities within 1e-6 of 0 or 1
    y = (x[:, 0] + 0.1 * rng.logistic(size=100) > 0).astype(int)
    rows = oracle.rows({"x": x, "y": y})
    fit = br.Fit(oracle, rows, oracle.train(rows, rng=rng))
    proof = br.verify(br.repair(fit, [10, 11, 12], method="retrain", random_seed=0), random_seed=1)
    assert proof.passed
    assert proof.frame().loc["prediction mean, largest |Δ|/sd", "distance"] < 0.2


def test_the_weighted_tree_keeps_weights_with_their_draws():
    theta = np.arange(6.0)[:, None]
    draws = Draws(theta, np.arange(6.0), np.array([0, 1, 0, 1, 0, 1]))
    fit = br.Fit(NormalNormal(), br.Rows({"y": np.zeros(2)}, np.arange(2)), draws)
    tree = weighted_tree(fit)["posterior"]
    np.testing.assert_array_equal(tree["mu"], tree["log_weight"])
