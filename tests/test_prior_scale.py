"""Coefficients whose common size is learned, and what that does for suspects among classes that are far apart."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

import bayesrepair as br
from bayesrepair.datasets.noise import flip_labels
from bayesrepair.status import DataError

SMALL = {"draws": 1000, "tune": 1000, "chains": 4, "cores": 1, "progressbar": False, "random_seed": 0}


def apart(n=240, seed=0):
    """Two classes that a plane keeps apart, and 15 % of the labels wrong."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, 8))
    yes = x[:, 0] + x[:, 1] > 0
    x[:, 0] += np.where(yes, 1.0, -1.0)
    frame = pd.DataFrame(x, columns=list("abcdefgh"))
    frame["label"], planted = flip_labels(pd.Series(np.where(yes, "yes", "no")), rate=0.15, rng=rng)
    return frame, planted.to_numpy()


@pytest.fixture(scope="module")
def fits():
    frame, _ = apart()
    return {scale: br.from_table(frame, target="label", prior_scale=scale, **SMALL) for scale in ("unit", "learned")}


def test_the_prior_is_that_of_a_scale_and_standard_normal_offsets(fits):
    model = fits["learned"].model
    theta = np.random.default_rng(3).normal(size=(5, model.n_params))
    values = model.constrain(theta)
    scale, offset = values["coefficient_scale"], values["coefficient_offset"]
    np.testing.assert_allclose(values["coefficient"], scale[:, None] * offset)
    expected = stats.norm.logpdf(values["Intercept"], 0, 2.5) + stats.norm.logpdf(offset).sum(axis=1)
    prior = stats.halfnorm(scale=5.0 / np.sqrt(offset.shape[1]))  # of one coefficient; of all together 5
    expected += prior.logpdf(scale) + np.log(scale)  # on the logarithm that is sampled
    np.testing.assert_allclose(model.log_prior(theta), expected)


def test_kernels_serve(fits):
    fit = fits["learned"]
    fit.model.log_lik(fit.draws.theta[:50], fit.rows)
    assert "agree with the general graph" in repr(fit.model)


def test_wrong_labels_among_classes_far_apart_are_claimed_not_only_ranked(fits):
    planted = apart()[1]

    found = {scale: br.find_suspects(fit, random_seed=0) for scale, fit in fits.items()}
    named = {scale: s.frame()["prob_wrong"].reindex(range(len(planted))).to_numpy() for scale, s in found.items()}
    score = {scale: np.log(np.where(planted, p, 1 - p).clip(1e-12)).sum() for scale, p in named.items()}
    assert score["learned"] > score["unit"] + 2  # nats

    count = {scale: s.expected_count for scale, s in found.items()}
    assert abs(count["learned"].mean - planted.sum()) < abs(count["unit"].mean - planted.sum())


@pytest.mark.parametrize(
    ("options", "message"),
    [({"prior_scale": "wide"}, "'unit' or 'learned'"), ({"prior_scale": "learned", "formula": "a + b"}, "Bambi's")],
)
def test_what_is_refused(options, message):
    with pytest.raises(DataError, match=message):
        br.from_table(apart()[0], target="label", **options)
