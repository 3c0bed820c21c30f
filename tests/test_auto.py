"""The ladder: what is set aside, what is judged after all, and what is left out for its price."""

from dataclasses import dataclass, replace
from types import SimpleNamespace

import numpy as np
import pytest

import bayesrepair as br
from bayesrepair.bridges.pymc.fit import TrainablePyMCModel
from bayesrepair.check import gradients_of_check
from bayesrepair.edit import EDITORS
from bayesrepair.editors import Auto, Moves, Resample, Transport, Weights
from bayesrepair.editors.auto import LENGTH, PLENTY, SCARCE, STEPS, VERY_FEW
from bayesrepair.editors.prices import Prices
from bayesrepair.fit import Factor, Fit
from bayesrepair.numerics.hmc import LEAST_LEAPFROGS
from bayesrepair.numerics.weighted_error import Effective
from bayesrepair.oracles import NormalNormal
from bayesrepair.posterior import Draws

FAR_ENOUGH = 8.5  # the deleted outcome: plain weights stay good, but about a fifth of the draws is effective
LADDER = ("weights", "transport", "moves", "retrain")


@dataclass(frozen=True)
class Slow(NormalNormal):
    """An oracle whose refits take a while."""

    seconds: float = np.nan

    def refit_seconds(self, posterior, n_rows):
        return self.seconds


def shifted(result, by):
    """What an editor gives, its draws moved by so many of their sds."""
    posterior, info = result
    return replace(posterior, theta=posterior.theta + by * posterior.theta.std(axis=0), gradient=None), info


@dataclass(frozen=True)
class OffBy(Transport):
    """A transport that shifts its draws by so many of their sds, and says nothing of it."""

    shift: float = 0.0

    def __call__(self, change, rng):
        return shifted(super().__call__(change, rng), self.shift)


@dataclass(frozen=True)
class Poor(Transport):
    """A transport that leaves all the weight to two draws."""

    def __call__(self, change, rng):
        posterior, info = super().__call__(change, rng)
        posterior = replace(posterior, log_weights=np.where(np.arange(len(posterior)) < 2, 0.0, -50.0))
        return posterior, replace(info, khat=np.inf, ess=2.0)


@dataclass(frozen=True)
class Lean(Transport):
    """A transport that leaves the draws where they are: as few effective ones as plain weights."""

    def __call__(self, change, rng):
        return replace(Transport(), maps=("identity",))(change, rng)


def edited(seconds=np.nan, rungs=LADDER, priced=True, outcome=FAR_ENOUGH):
    """Delete the row that matters out of fifty, from draws of a posterior that is known in closed form."""
    oracle = Slow(0.0, 3.0, 1.0, seconds=seconds)
    rows = oracle.rows({"y": np.append(np.random.default_rng(0).normal(size=49), outcome)})
    fit = Fit(oracle, rows, oracle.posterior(rows).draws(4000, np.random.default_rng(1)))
    return br.edit(fit, Factor(rows.take([49]), -1.0), method=Auto(rungs, priced=priced), random_seed=0)


def tried(result):
    """Rungs and levels, in order."""
    return [(attempt.rung, attempt.status.level) for attempt in result.info.attempts]


def error(result):
    """Distance of the mean from the closed form, in posterior sds."""
    after, model = result.after, result.after.model
    exact = model.posterior(*after.net())
    draws = after.posterior
    return abs(draws.weights @ draws.theta[:, 0] - exact.mean[0]) * np.sqrt(exact.precision[0, 0])


def test_good_weights_with_few_draws_wait_for_a_transport_that_serves():
    result = edited()
    assert tried(result) == [("weights", "unreliable"), ("transport", "ok")]
    aside = result.info.attempts[0]
    assert "few effective draws, set aside" in str(aside.status)
    assert aside.log_lik_evals == 4000  # of one row: nothing was spent on a check
    assert result.info.ess > 3000 > 1500 > aside.ess > 200
    assert error(result) < 0.05


def test_good_weights_are_judged_at_once_where_no_transport_follows():
    result = edited(rungs=("weights", "retrain"))
    assert tried(result) == [("weights", "ok")]


@pytest.mark.parametrize(
    ("transport", "its_level", "why"),
    [(OffBy(shift=0.5), "unreliable", "the check fails"), (Poor(), "unreliable", "poor weights, not checked")],
    ids=["off", "poor"],
)
def test_what_was_set_aside_is_judged_where_the_transport_is_not_ok(monkeypatch, transport, its_level, why):
    monkeypatch.setitem(EDITORS, "transport", lambda: transport)
    result = edited()
    assert tried(result) == [("weights", "unreliable"), ("transport", its_level), ("weights", "ok")]
    assert why in str(result.info.attempts[1].status)
    assert result.info.rung == "weights"
    assert result.info.check is not None
    np.testing.assert_array_equal(result.after.posterior.theta, result.before.posterior.theta)  # weights move nothing


@pytest.mark.parametrize(("outcome", "every", "serves"), [(7.5, 12, "weights"), (FAR_ENOUGH, 8, "transport")])
def test_what_was_set_aside_is_judged_where_the_transport_left_fewer_draws(monkeypatch, outcome, every, serves):
    """Tails count: weights that go with a prediction leave fewer draws for its quantiles than Kish's formula says."""

    class Thin(Transport):
        """The right draws, few of them effective."""

        def __call__(self, change, rng):
            posterior, info = super().__call__(change, rng)
            log_weights = np.where(np.arange(len(posterior)) % every == 0, 0.0, -50.0)
            posterior = Draws(posterior.theta, log_weights, posterior.chain)
            return posterior, replace(info, khat=-np.inf, ess=len(posterior) / every)

    monkeypatch.setitem(EDITORS, "transport", Thin)
    result = edited(outcome=outcome)
    assert tried(result) == [
        ("weights", "unreliable"),
        ("transport", "unreliable"),
        ("transport", "ok"),
        ("weights", "ok"),
    ]
    assert result.info.rung == serves
    assert min(attempt.ess for attempt in result.info.attempts[1:]) == pytest.approx(4000 / every)


def test_few_draws_of_a_transport_get_one_move_each_and_are_checked_once(monkeypatch):
    monkeypatch.setitem(EDITORS, "transport", Lean)
    result = edited(seconds=1e9, rungs=LADDER[1:])
    assert tried(result) == [("transport", "unreliable"), ("moves", "ok")]
    assert "not checked as they are" in str(result.info.attempts[0].status)
    assert result.info.rung == "moves"
    before, after = result.info.attempts
    assert before.ess < 1500 < after.ess
    assert not result.after.posterior.is_weighted
    assert error(result) < 0.1


@pytest.mark.parametrize(("rungs", "outcome"), [(LADDER, 4.0), (LADDER[1:], FAR_ENOUGH)], ids=["weights", "transport"])
def test_draws_that_are_few_in_the_tails_alone_are_moved_and_checked_once(monkeypatch, rungs, outcome):
    counts = [300.0, 3000.0, 300.0, 3000.0]
    monkeypatch.setattr("bayesrepair.glance.effective", lambda *parts: Effective(3000.0, counts.pop(0)))
    result = edited(seconds=1e9, rungs=rungs, outcome=outcome)
    assert tried(result) == [(rungs[0], "unreliable"), ("moves", "ok")]
    first, _ = result.info.attempts
    assert first.ess > 2000  # by the weights they are many
    assert "ESS 300: few effective draws, not checked as they are" in str(first.status)
    assert error(result) < 0.1
    again = edited(rungs=tuple(name for name, _ in tried(result)), priced=False, outcome=outcome)
    assert tried(again) == tried(result)
    np.testing.assert_array_equal(again.after.draws.theta, result.after.draws.theta)


@dataclass(frozen=True)
class Astray(Moves):
    """A move that leads every draw away by one sd."""

    def __call__(self, change, rng):
        return shifted(super().__call__(change, rng), 1.0)


@dataclass(frozen=True)
class AstrayLater(Moves):
    """A move that leads every draw away by one sd if it was moved before."""

    def __call__(self, change, rng):
        moved = super().__call__(change, rng)
        return moved if self.start.is_weighted else shifted(moved, 1.0)


@pytest.mark.parametrize(
    ("rungs", "then", "serves"),
    [
        (("transport", "moves", "resample", "retrain"), [("resample", "ok")], "resample"),
        (("transport", "moves"), [], "moves"),
    ],
)
def test_few_draws_that_fail_once_moved_are_doubted_and_the_climb_goes_on(monkeypatch, rungs, then, serves):
    monkeypatch.setattr("bayesrepair.glance.effective", lambda *parts: Effective(3000.0, 300.0))
    monkeypatch.setitem(EDITORS, "moves", AstrayLater)
    monkeypatch.setattr("bayesrepair.editors.auto.Moves", AstrayLater)
    result = edited(seconds=1e9, rungs=rungs, priced=bool(then))  # without a refit a move has no price to compare
    assert tried(result) == [("transport", "unreliable"), ("moves", "unreliable"), ("moves", "unreliable"), *then]
    assert result.info.rung == serves
    assert result.status.level == ("ok" if then else "unreliable")
    assert "moved once more, fail it. Use method='retrain'" in str(result.info.attempts[1].status)
    again = edited(rungs=tuple(name for name, _ in tried(result)), priced=False)
    assert tried(again) == tried(result)


def test_few_draws_that_fail_once_moved_are_moved_further(monkeypatch):
    """Trajectories of few steps may not mend weighted draws where longer ones do; and the climb repeats itself."""

    class Lame(Moves):
        def __call__(self, change, rng):
            moved = super().__call__(change, rng)
            return shifted(moved, 1.0) if self.leapfrogs <= STEPS and self.start.is_weighted else moved

    monkeypatch.setitem(EDITORS, "transport", Lean)
    monkeypatch.setitem(EDITORS, "moves", Lame)
    monkeypatch.setattr("bayesrepair.editors.auto.Moves", Lame)
    result = edited(seconds=1e9, rungs=LADDER[1:])
    assert tried(result) == [("transport", "unreliable"), ("moves", "unreliable"), ("moves", "ok")]
    assert error(result) < 0.1
    again = edited(rungs=tuple(name for name, _ in tried(result)), priced=False)
    assert tried(again) == tried(result)
    np.testing.assert_array_equal(again.after.draws.theta, result.after.draws.theta)


def test_few_draws_that_are_not_worth_a_move_are_checked_and_the_climb_repeats_itself(monkeypatch):
    class Shifted(Transport):
        """Seven draws of sixteen, an eighth of an sd off: what one move brings is worth less than three take."""

        def __call__(self, change, rng):
            posterior, info = shifted(super().__call__(change, rng), 0.13)
            log_weights = np.where(np.arange(len(posterior)) % 16 < 7, 0.0, -50.0)
            return Draws(posterior.theta, log_weights, posterior.chain), replace(info, khat=-np.inf, ess=1750.0)

    monkeypatch.setitem(EDITORS, "transport", Shifted)
    monkeypatch.setattr(Prices, "gradient", 1.0)
    refit = 1.1 * (4000 * 3 * Moves().leapfrogs + gradients_of_check(None))
    result = edited(seconds=refit, rungs=LADDER[1:])
    assert tried(result)[:3] == [("transport", "unreliable"), ("transport", "unreliable"), ("moves", "ok")]
    again = edited(rungs=tuple(name for name, _ in tried(result)), priced=False)
    assert tried(again) == tried(result)
    np.testing.assert_array_equal(again.after.draws.theta, result.after.draws.theta)


def test_few_draws_that_are_good_but_not_worth_a_move_are_ok_and_the_climb_repeats_itself(monkeypatch):
    monkeypatch.setitem(EDITORS, "transport", Lean)
    monkeypatch.setattr(Prices, "gradient", 1.0)
    result = edited(seconds=18_000.0, rungs=LADDER[1:])
    assert tried(result) == [("transport", "unreliable"), ("transport", "ok")]
    again = edited(rungs=tuple(name for name, _ in tried(result)), priced=False)
    assert tried(again) == tried(result)
    np.testing.assert_array_equal(again.after.draws.theta, result.after.draws.theta)


@dataclass(frozen=True)
class Misled(Weights):
    """Weights of draws that are an sd away from where they should be."""

    def __call__(self, change, rng):
        return shifted(super().__call__(change, rng), 1.0)


@pytest.mark.parametrize(
    ("weights", "moves", "then"),
    [
        (Weights, Astray, [("weights", "unreliable"), ("moves", "unreliable"), ("resample", "ok")]),
        (Misled, Moves, [("weights", "unreliable"), ("moves", "ok")]),
    ],
    ids=["judged after all and doubted", "judged after all and not ok"],
)
def test_a_climb_that_judged_what_was_set_aside_repeats_itself(monkeypatch, weights, moves, then):
    monkeypatch.setitem(EDITORS, "weights", weights)
    monkeypatch.setitem(EDITORS, "transport", lambda: OffBy(shift=0.5))
    monkeypatch.setitem(EDITORS, "moves", moves)
    monkeypatch.setattr("bayesrepair.editors.auto.Moves", moves)
    first = edited(seconds=1e9, rungs=("weights", "transport", "moves", "resample", "retrain"))
    assert tried(first) == [("weights", "unreliable"), ("transport", "unreliable"), *then]
    again = edited(rungs=tuple(name for name, _ in tried(first)), priced=False)
    assert tried(again) == tried(first)
    np.testing.assert_array_equal(again.after.draws.theta, first.after.draws.theta)


@pytest.mark.parametrize("seconds", [1e9, 1e-9])
def test_the_rungs_that_were_tried_repeat_the_climb_without_the_clock(monkeypatch, seconds):
    monkeypatch.setitem(EDITORS, "transport", Lean)
    first = edited(seconds=seconds, rungs=LADDER[1:])
    again = edited(rungs=tuple(name for name, _ in tried(first)), priced=False)  # as a ledger replays it
    assert tried(again) == tried(first)
    np.testing.assert_array_equal(again.after.draws.theta, first.after.draws.theta)


@pytest.mark.parametrize(
    ("tails", "share", "moved"),
    [
        (300, 1.1, False),
        (300, 0.9, True),
        (600, 0.77, False),
        (600, 0.76, True),
        (1040, 0.365, False),
        (1040, 0.355, True),
        (2000, 0.01, False),
    ],
)
def test_a_move_may_take_the_more_of_a_refit_the_fewer_draws_there_are(monkeypatch, tails, share, moved):
    counts = iter([tails, 3000.0])
    monkeypatch.setattr("bayesrepair.glance.effective", lambda *parts: Effective(3000.0, next(counts)))
    monkeypatch.setattr(Prices, "gradient", 1.0)
    many = 2 if tails >= SCARCE * PLENTY else 3
    price = 4000 * LEAST_LEAPFROGS * (1 if tails >= VERY_FEW * PLENTY else many)  # of a single parameter
    result = edited(seconds=price / share, rungs=LADDER[1:])
    few = [("transport", "unreliable")] if tails < PLENTY else []
    assert tried(result) == [*few, ("moves" if moved else "transport", "ok")]


@pytest.mark.parametrize(
    ("tails", "moves"),
    [
        ([1040.0, 3000.0], [1]),
        ([880.0, 3000.0], [2]),
        ([390.0, 3000.0], [3]),
        ([1040.0, 910.0], [1]),  # few still, and moved already
        ([1040.0, 880.0, 3000.0], [1, 2]),
    ],
)
def test_the_fewer_draws_there_are_the_more_often_they_are_moved(monkeypatch, tails, moves):
    taken = []

    class Counted(Moves):
        def __call__(self, change, rng):
            taken.append((self.moves, self.length, self.leapfrogs))
            return super().__call__(change, rng)

    counts = iter(tails)
    monkeypatch.setattr("bayesrepair.glance.effective", lambda *parts: Effective(3000.0, next(counts)))
    monkeypatch.setattr(Prices, "gradient", 0.0)
    monkeypatch.setitem(EDITORS, "moves", Counted)
    monkeypatch.setattr("bayesrepair.editors.auto.Moves", Counted)
    assert tried(edited(seconds=1.0, rungs=LADDER[1:]))[-1] == ("moves", "ok")
    assert taken == [(count, LENGTH, STEPS) for count in moves]


def test_many_draws_of_a_transport_are_not_moved():
    assert tried(edited(seconds=1e9, rungs=LADDER[1:])) == [("transport", "ok")]


def test_a_transport_that_takes_longer_than_a_refit_is_left_out_and_weights_are_judged_at_once(monkeypatch):
    monkeypatch.setattr(Prices, "gradient", 1.0)
    result = edited(seconds=1.0)
    assert tried(result) == [("weights", "unreliable"), ("weights", "ok")]  # few, and not worth a move
    assert result.info.rung == "weights"


def test_a_rung_that_is_too_dear_is_named_with_its_price(monkeypatch):
    monkeypatch.setattr(Prices, "gradient", 1.0)
    result = edited(seconds=1.0, rungs=LADDER[1:])
    assert tried(result) == [("retrain", "ok")]
    assert set(result.info.details["refused"]) == {"transport", "moves"}
    assert result.info.details["refused"]["moves"].endswith("a refit 1 s")


def test_without_prices_the_clock_decides_nothing(monkeypatch):
    climbs = []
    for gradient, seconds in ((1e-12, 1e9), (1e12, 1e-9)):
        monkeypatch.setattr(Prices, "gradient", gradient)
        climbs.append(edited(seconds=seconds, priced=False))
    assert tried(climbs[0]) == tried(climbs[1]) == [("weights", "unreliable"), ("transport", "ok")]
    assert climbs[1].info.details["refused"] == {}
    np.testing.assert_array_equal(climbs[0].after.posterior.theta, climbs[1].after.posterior.theta)


def change(seconds):
    """A deletion, by a model whose refit takes so long."""
    oracle = Slow(0.0, 3.0, 1.0, seconds=seconds)
    rows = oracle.rows({"y": np.linspace(-1, 1, 50)})
    fit = Fit(oracle, rows, oracle.posterior(rows).draws(4000, np.random.default_rng(1)))
    return fit.change(Factor(rows.take([49]), -1.0))


def test_the_price_of_a_rung_is_its_gradients_and_those_of_the_check(monkeypatch):
    monkeypatch.setattr(Prices, "gradient", 0.5)
    prices = Prices(change(seconds=100.0), refittable=True)
    transport = Transport()
    expected = 0.5 * (transport.gradients(prices.change) + gradients_of_check(prices.change))
    np.testing.assert_allclose(prices.seconds(transport), expected)
    assert prices.complaint(transport) == f"predicted to take {expected:.2g} s, a refit 1e+02 s"
    assert Prices(change(seconds=0.99 * expected), refittable=True).complaint(transport) != ""
    assert Prices(change(seconds=1.01 * expected), refittable=True).complaint(transport) == ""


def test_a_sampler_that_asks_for_each_gradient_by_itself_pays_for_every_call(monkeypatch):
    monkeypatch.setattr(Prices, "gradient", 1e-6)
    prices, short_run = Prices(change(seconds=1.0), refittable=True), Resample()
    taken = short_run.gradients(prices.change)
    expected = 1e-6 * (taken + gradients_of_check(prices.change)) + Resample.seconds_a_call * taken
    np.testing.assert_allclose(prices.seconds(short_run), expected)
    assert Resample.seconds_a_call * taken > 10e-6 * taken  # dearer than the gradient: it decides


@pytest.mark.parametrize(
    ("seconds", "refittable", "editor"),
    [(np.nan, True, Transport()), (1e-9, False, Transport()), (1e-9, True, Weights())],
    ids=["refit unknown", "no refit among the rungs", "editor without gradients"],
)
def test_what_is_not_known_is_no_reason_to_leave_a_rung_out(monkeypatch, seconds, refittable, editor):
    def timed(self):
        raise AssertionError("a gradient was timed for nothing")

    monkeypatch.setattr(Prices, "gradient", property(timed))
    prices = Prices(change(seconds), refittable=refittable)
    assert np.isnan(prices.seconds(editor))
    assert prices.complaint(editor) == ""


def test_the_time_of_a_gradient_leaves_out_what_the_first_call_makes(monkeypatch):
    calls = []
    now = iter([10.0, 30.0, 40.0, 55.0, 60.0, 160.0])  # the third is interrupted
    monkeypatch.setattr("bayesrepair.editors.prices.time.perf_counter", lambda: next(now))
    original = Slow.log_target_and_grad

    def counted(self, theta, rows, weight):
        calls.append(len(theta))
        return original(self, theta, rows, weight)

    monkeypatch.setattr(Slow, "log_target_and_grad", counted)
    prices = Prices(change(seconds=1.0), refittable=True)
    np.testing.assert_allclose([prices.gradient, prices.gradient], 15.0 / 150)  # timed thrice, then remembered
    assert calls == [10, 150, 150, 150]  # the first to warm up


def test_a_stage_is_priced_with_the_rows_that_go():
    """The density between the two posteriors looks at all of them, whatever few rows stay."""
    oracle = NormalNormal(0.0, 3.0, 1.0)
    rows = oracle.rows({"y": np.zeros(50)})
    fit = Fit(oracle, rows, oracle.posterior(rows).draws(1000, np.random.default_rng(1)))
    few = replace(fit.draws, log_weights=np.where(np.arange(1000) < 5, 0.0, -50.0))

    def staged(gone):
        moves, made = Moves(start=few), fit.change(Factor(rows.take(range(gone)), -1.0))
        return moves.gradients(made) - 1000 * moves.moves * moves.leapfrogs

    assert staged(40) == 2.5 * staged(25)  # of fifty rows ten stay, or twenty-five


@pytest.mark.parametrize(("correlation", "expected"), [(0.0, 60 * 60 / 7), (0.99, 7.0)])
def test_short_chains_are_priced_by_what_made_trajectories_long(correlation, expected):
    """Sixty gradients a trajectory: correlations of .99 (condition number 199) explain them, modes do not."""
    factor = np.linalg.cholesky([[1.0, correlation], [correlation, 1.0]])
    theta = exact_normal(2000) @ factor.T
    run = br.posterior.Sampling(4, 500, 500, 0, 1.0, 1000.0, 1.0, "test", gradients=60 * 4000)
    draws = replace(Draws.plain(theta, np.repeat(np.arange(4), 500)), sampling=run)
    short = Resample(start=draws)
    made = SimpleNamespace(posterior=draws)
    assert short.gradients(made) == pytest.approx(4 * (short.draws + short.tune) * expected, rel=1e-3)


def exact_normal(size):
    """Draws of exactly unit covariance."""
    theta = np.random.default_rng(0).standard_normal((size, 2))
    theta -= theta.mean(axis=0)
    return np.linalg.solve(np.linalg.cholesky(np.cov(theta.T, ddof=0)), theta.T).T


def test_a_refit_is_priced_by_its_rows():
    sampler = SimpleNamespace(last_seconds=3.0, last_rows=300, is_compiled=True)
    model = SimpleNamespace(sampler=sampler, graph=SimpleNamespace(n_rows=200))
    assert TrainablePyMCModel.refit_seconds(model, None, 100) == pytest.approx(1.0)
    sampler.last_seconds = np.nan  # none yet: the sampling of the draws tells
    run = br.posterior.Sampling(4, 500, 500, 0, 1.0, 1000.0, 8.0, "test")
    draws = replace(Draws.plain(np.zeros((4, 1))), sampling=run)
    assert TrainablePyMCModel.refit_seconds(model, draws, 100) == pytest.approx(4.0)
