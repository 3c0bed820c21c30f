"""Wrong labels from sampled posteriors: convergence, calibration, cost, and the cheap mode; one compilation of each."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from conftest import SAMPLING

import bayesrepair as br
from bayesrepair.bridges.pymc import noisy_model
from bayesrepair.bridges.pymc.noisy_model import joined
from bayesrepair.posterior import Draws, Sampling
from bayesrepair.predictive import mean_prediction
from bayesrepair.suspects.noise_evidence import unsettled
from tests.test_suspects import fit_of, logistic, table

pytestmark = pytest.mark.filterwarnings("ignore::bayesrepair.status.SamplingWarning")


@pytest.fixture(scope="module")
def base():
    """Fit of two classes at its mode, whose noise-aware model is sampled."""
    frame, _ = table(400, flips=0.12)
    fit = br.from_pymc(logistic(frame), data=frame, method="laplace", progressbar=False)
    settings = {name: value for name, value in SAMPLING.items() if name != "progressbar"}
    fit.model.sampler.settings = replace(fit.model.sampler.settings, **settings, progressbar=False)
    return fit


@pytest.fixture(scope="module")
def found(base):
    """Suspects of six tables, fifteen in a hundred labels wrong, and which they are."""
    results = []
    for seed in range(6):
        frame, bad = table(400, flips=0.15, seed=seed)
        results.append((br.find_suspects(fit_of(base, frame), method="nuts", draws=1000, random_seed=seed), bad))
    return results


def in_order(suspects):
    return suspects.frame()["prob_wrong"].reindex(suspects.plain.rows.index).to_numpy()


def test_chains_agree(found):
    for suspects, _ in found:
        assert suspects.rhat <= 1.01
        assert suspects.ess >= 400
        assert suspects.status.level != "unreliable"
        diverged = suspects.fit.posterior.sampling.divergences
        assert diverged <= 5e-4 * len(suspects.fit.posterior)  # two of 4000, four where chains were made longer
    diverged = sum(suspects.fit.posterior.sampling.divergences for suspects, _ in found)
    assert diverged <= 2e-4 * sum(len(suspects.fit.posterior) for suspects, _ in found)


def test_wrong_labels_have_high_probabilities(found):
    # the canary for the sign
    q = np.concatenate([in_order(suspects) for suspects, _ in found])
    bad = np.concatenate([bad for _, bad in found])
    assert q[bad].mean() > 0.4
    assert q[~bad].mean() < 0.1


def test_probabilities_are_calibrated(found):
    q = np.concatenate([in_order(suspects) for suspects, _ in found])
    bad = np.concatenate([bad for _, bad in found])
    spread = np.sqrt(sum(suspects.suspicion.count.var() for suspects, _ in found))
    assert abs(bad.sum() - q.sum()) < 3 * spread
    base_rate = bad.mean() * (1 - bad.mean())
    assert np.square(q - bad).mean() < 0.7 * base_rate
    edges = [0.0, 0.02, 0.1, 0.3, 0.6, 0.9, 1.0]
    for low, high in pairwise(edges):
        some = (q >= low) & (q <= high)
        sd = np.sqrt((q[some] * (1 - q[some])).sum()) / some.sum()
        assert abs(q[some].mean() - bad[some].mean()) < 3.5 * sd + 0.04


def test_intervals_cover_counts_precisions_and_rates(found):
    count, precision, rate = [], [], []
    for suspects, bad in found:
        k = int(bad.sum())
        expected = suspects.expected_count
        count.append(expected.low <= k <= expected.high)
        expected = suspects.expected_precision(k)
        rows = suspects.plain.rows.positions(suspects.top(k).index)
        precision.append(expected.low <= bad[rows].mean() <= expected.high)
        matrix = suspects.noise_matrix.loc[[(0, 1), (1, 0)]]
        rate += [*((matrix["low"] < 0.19) & (matrix["high"] > 0.11))]
    assert np.mean(count) >= 0.75
    assert np.mean(precision) >= 0.75
    assert np.mean(rate) >= 0.75


def test_monte_carlo_errors_are_those_between_halves_of_the_chains(found):
    suspects, _ = found[0]
    draws, model = suspects.fit.draws, suspects.fit.model
    first = model.wrong(draws.theta[draws.chain < 2], suspects.fit.rows).mean(axis=0)
    second = model.wrong(draws.theta[draws.chain >= 2], suspects.fit.rows).mean(axis=0)
    z = (first - second) / (2 * suspects.suspicion.mcse)  # each half has twice the variance of the whole
    assert 0.5 < np.sqrt(np.mean(z**2)) < 1.6


def test_predictions_are_of_the_true_class(found):
    suspects, bad = found[0]
    clean, _ = table(400, flips=0.0, seed=0)
    true = np.where(bad, 1 - suspects.plain.rows.values["y"], suspects.plain.rows.values["y"])
    rows = suspects.fit.model.rows(clean)
    aware = mean_prediction(suspects.fit, rows)[np.arange(400), true]
    plain = mean_prediction(suspects.plain, suspects.plain.rows)[np.arange(400), true]
    assert np.log(aware).mean() > np.log(plain).mean() + 0.05


def test_the_gaussian_at_the_mode_ranks_alike(base, found):
    suspects, _ = found[0]
    cheap = br.find_suspects(suspects.plain, method="laplace")
    assert cheap.status.level != "ok"
    assert np.isnan(cheap.rhat)
    a, b = in_order(suspects), in_order(cheap)
    assert np.corrcoef(a, b)[0, 1] > 0.95
    assert abs(a - b).mean() < 0.05


def test_chains_that_do_not_agree_go_on(base, found):
    suspects, _ = found[0]
    model, rows = suspects.fit.model, suspects.fit.rows
    start = model.started(suspects.plain.draws, np.random.default_rng(0))
    wanted = {"start": start, "draws": 40, "rhat": 1.05, "ess": 200.0}
    once = model.sampled(rows, rng=np.random.default_rng(0), gradients=0.0, **wanted).sampling
    assert once.draws == 40
    assert once.ess_min < 200
    more = model.sampled(rows, rng=np.random.default_rng(0), gradients=1e9, **wanted).sampling
    longer = SAMPLING["tune"] // 5
    schedule = [40]
    while schedule[-1] < more.draws:
        schedule.append(schedule[-1] + max(-(-schedule[-1] // 2), longer))
    assert more.draws == schedule[-1] > once.draws
    assert more.ess_min >= 200
    assert more.rhat_max <= 1.05
    assert more.gradients > once.gradients


def one_chain(base, seed):
    """Suspects where refits have one chain."""
    before = base.model.sampler.settings
    base.model.sampler.settings = replace(before, chains=1, draws=300)
    try:
        frame, _ = table(400, flips=0.15, seed=seed)
        return br.find_suspects(fit_of(base, frame), method="nuts", random_seed=seed)
    finally:
        base.model.sampler.settings = before


def test_one_chain_goes_on_until_its_draws_suffice_and_says_that_it_is_alone(base):
    suspects = one_chain(base, 1)
    assert np.isnan(suspects.rhat)
    assert suspects.ess >= 400
    assert suspects.fit.posterior.sampling.draws < 5000
    assert suspects.status.level == "checked"
    assert "a single chain has no other to disagree with" in suspects.status.message
    assert "Gaussian" not in suspects.status.message


@pytest.mark.parametrize(("plain", "first"), [(20, 20), (150, 100), (600, 200)])
def test_little_tuning_is_not_cut(base, found, plain, first):
    sampling = sampled_with(base, found, plain, gradients=0.0)
    assert sampling.tune == first


def sampled_with(base, found, tuned, *, gradients):
    """How a first run of thirty draws, which cannot agree, went on."""
    suspects, _ = found[0]
    model, before = suspects.fit.model, base.model.sampler.settings
    start = model.started(suspects.plain.draws, np.random.default_rng(0))
    base.model.sampler.settings = replace(before, tune=tuned)
    try:
        wanted = {"start": start, "draws": 30, "rhat": 1.01, "ess": 400.0, "gradients": gradients}
        return model.sampled(suspects.fit.rows, rng=np.random.default_rng(0), **wanted).sampling
    finally:
        base.model.sampler.settings = before


def test_chains_do_not_go_on_where_many_diverge(base, found, monkeypatch):
    sampler = found[0][0].fit.model.sampler
    before = sampler.sample

    def diverging(*given, **named):
        draws = before(*given, **named)
        return replace(draws, sampling=replace(draws.sampling, divergences=len(draws) // 50))

    monkeypatch.setattr(sampler, "sample", diverging)
    assert sampled_with(base, found, 500, gradients=1e9).draws == 30


def test_chains_of_which_a_few_diverge_are_drawn_anew_with_shorter_steps(base, found, monkeypatch):
    suspects, _ = found[0]
    model, rows = suspects.fit.model, suspects.fit.rows
    sampler, runs = model.sampler, []
    before = sampler.sample

    def at_first_diverging(*given, **named):
        draws = before(*given, **named)
        runs.append((named["settings"].target_accept, draws.sampling))
        few = len(draws) // 500 if named["settings"].target_accept < noisy_model.SHORT_STEPS else 0
        return replace(draws, sampling=replace(draws.sampling, divergences=few))

    monkeypatch.setattr(sampler, "sample", at_first_diverging)
    wanted = {"start": model.started(suspects.plain.draws, np.random.default_rng(0)), "rhat": 1.01, "ess": 400.0}

    def sampling(gradients):
        runs.clear()
        return model.sampled(rows, rng=np.random.default_rng(0), draws=1000, gradients=gradients, **wanted).sampling

    anew = sampling(1e9)
    steps = [accept for accept, _ in runs]
    assert steps == sorted(steps)
    assert set(steps) == {noisy_model.NoisyPyMCModel.pace.accept, noisy_model.SHORT_STEPS}
    assert anew.divergences == 0
    assert anew.draws == sum(run.draws for accept, run in runs if accept == noisy_model.SHORT_STEPS)
    assert anew.gradients == sum(run.gradients for _, run in runs)  # what was thrown away is counted
    assert anew.rhat_max <= 1.01
    kept = sampling(1.0)  # nothing is left for it
    assert kept.divergences == 8
    assert [accept for accept, _ in runs] == [noisy_model.NoisyPyMCModel.pace.accept]


def test_chains_do_not_go_on_beyond_so_many_draws(base, found, monkeypatch):
    monkeypatch.setattr(noisy_model, "MOST_DRAWS", 100)
    assert sampled_with(base, found, 500, gradients=1e9).draws == 30  # of four chains


def test_chains_that_diverge_are_not_to_be_trusted():
    assert unsettled(rhat=1.001, ess=900.0, divergent=0.02).level == "unreliable"
    assert unsettled(rhat=1.001, ess=900.0, divergent=0.005) is None


def test_two_runs_of_the_same_chains_are_joined_chain_by_chain():
    def run(value):
        theta = value + np.arange(12.0).reshape(12, 1) / 100
        sampling = Sampling(2, 6, 5, 1, np.nan, np.nan, 2.0, "test", gradients=100)
        return replace(Draws.plain(theta, np.repeat([0, 1], 6)), sampling=sampling)

    both = joined(run(0.0), run(1.0))
    np.testing.assert_array_equal(both.chain, np.repeat([0, 1], 12))
    first, last = np.arange(6) / 100, np.arange(6, 12) / 100
    np.testing.assert_allclose(both.theta[:, 0], np.concatenate([first, 1 + first, last, 1 + last]))
    sampling = both.sampling
    assert (sampling.draws, sampling.tune, sampling.seconds, sampling.gradients) == (12, 10, 4.0, 200)
