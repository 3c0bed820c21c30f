"""Random streams of deletions, insertions, weights and relabellings: what a fit has gone through leaves no trace."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

import bayesrepair as br
from bayesrepair.editors import Auto
from bayesrepair.fit import Factor
from bayesrepair.judgement import CLIMB
from bayesrepair.posterior import Draws, Gaussian
from bayesrepair.status import EditError
from tests.cases import moments, problem
from tests.checks import matches
from tests.streams import INSERTED, RECORDS, TOUCHED, WEIGHTS, after, pool, states, steps, streams
from tests.test_editors import plain_fit

SEED = 3
DRAWS = 500
CLOSED = [("conjugate", name) for name in ("normal", "beta_binomial", "linear_known", "linear_unknown")]
NEWTON = [("newton", name) for name in ("normal", "linear_known")]
SAMPLED = [
    ("weights", "normal"),
    ("weights", "linear_unknown"),
    ("transport", "beta_binomial"),
    ("transport", "linear_unknown"),
    ("moves", "normal"),
    ("moves", "linear_unknown"),
    ("auto", "beta_binomial"),
    ("auto", "linear_known"),
]
EVERY = CLOSED + NEWTON + SAMPLED


def some(count, **more):
    """Settings that try the same streams each time."""
    return settings(max_examples=count, deadline=None, derandomize=True, database=None, **more)


def run(editor, fit, factors, seed=SEED):
    """An edit that does not depend on the clock."""
    return br.edit(fit, factors, method=Auto(priced=False) if editor == "auto" else editor, random_seed=seed)


def setting(editor, name):
    """The records of a problem, and its fit in the representation that the editor takes."""
    records = pool(name)
    return records, records.fit(DRAWS if (editor, name) in SAMPLED else None)


def honest(edited, mean, sd):
    """``ok`` and ``checked`` are right, within the error that the effective draws leave."""
    ess = moments(edited.after.posterior)[2]
    if edited.status.level == "ok" or (edited.status.level == "checked" and ess > 100):
        matches(edited, mean, sd)


def same_bits(a, b):
    """Two posteriors do not differ at all."""
    assert type(a) is type(b)
    if isinstance(a, Draws):
        for x, y in ((a.theta, b.theta), (a.log_weights, b.log_weights), (a.weights, b.weights), (a.chain, b.chain)):
            np.testing.assert_array_equal(x, y)
    for x, y in zip(moments(a), moments(b), strict=True):
        np.testing.assert_array_equal(x, y)


def weights_of(records, fit, *factors):
    """Net weights of the records, in their order, and of all other rows."""
    rows, net = fit.net(*factors)
    size, outcome = len(fit.rows), rows.values["y"]
    at = fit.rows.positions(records.touched.row)
    extra = [records.parts[1], records.parts[2]]
    found = [float(net[size:][outcome[size:] == y].sum()) for part in extra for y in part.values["y"]]
    return np.concatenate([net[at], found]), np.delete(net[:size], at)


@some(60)
@given(stream=streams(8), data=st.data())
def test_net_weights_are_sums_of_powers_in_any_order_and_grouping(stream, data):
    records = pool("linear_known")
    fit, visited = records.fit(None), states(stream, records.start)
    pairs = list(pairwise(visited))
    factors = [factor for pair in pairs for factor in records.factors(*pair)]
    single = [Factor(f.rows.at(slice(i, i + 1)), f.powers[i]) for f in factors for i in range(len(f.rows))]
    orders = [factors, data.draw(st.permutations(single)), records.factors(visited[0], visited[-1])]
    for order in orders:
        got, rest = weights_of(records, fit, *order)
        np.testing.assert_array_equal(got, visited[-1])
        np.testing.assert_array_equal(rest, 1.0)


@some(60)
@given(stream=streams(8))
def test_the_rows_left_are_those_of_positive_weight_under_their_ids(stream):
    records = pool("linear_known")
    visited = states(stream, records.start)
    fit = records.fit(None)
    for before, then in pairwise(visited):
        fit = fit.edited(fit.posterior, records.factors(before, then), drawn=False)
    rows, ids, weight = fit.retained()
    held = {(i, y): w for i, y, w in zip(ids, rows.values["y"], weight, strict=True)}
    names = np.concatenate([part.row for part in records.parts])
    outcomes = np.concatenate([part.values["y"] for part in records.parts])
    untouched = fit.rows.drop(records.touched.row)
    expected = dict.fromkeys(zip(untouched.row, untouched.values["y"], strict=True), 1.0)
    expected |= {(i, y): w for i, y, w in zip(names, outcomes, visited[-1], strict=True) if w}
    assert held == expected
    current, now = fit.current()
    at = fit.rows.positions(records.touched.row)
    own, other = visited[-1][:TOUCHED], visited[-1][TOUCHED : 2 * TOUCHED]
    np.testing.assert_array_equal(now[at], np.where(own > 0, own, other))
    given_now = np.where((own > 0) | (other == 0), *(part.values["y"] for part in records.parts[:2]))
    np.testing.assert_array_equal(current.values["y"][at], given_now)


def test_ten_tenths_are_one():
    records = pool("normal")
    fit, row = records.fit(None), records.touched.at(slice(0, 1))
    tenths = [Factor(row, -0.1)] * 10
    gone = run("conjugate", fit, tenths).after
    assert gone.row_weights[fit.rows.positions(row.row)] == 0.0
    assert run("conjugate", gone, [factor.inverse for factor in tenths]).after.posterior is fit.posterior
    with pytest.raises(EditError, match="deleted twice"):
        run("conjugate", gone, Factor(row, -0.1))


def machine(editor, name):
    """A fit that is edited, undone, refitted and asked for the impossible, held to the closed form at every step."""

    class Stream(RuleBasedStateMachine):
        def __init__(self):
            super().__init__()
            self.records = pool(name)
            self.state, self.fit, self.past = self.records.start, self.records.fit(None), []

        def step(self, then):
            edited = run(editor, self.fit, self.records.factors(self.state, then))
            self.past.append((self.state, edited))
            self.state, self.fit = then, edited.after

        @rule(step=steps())
        def edit(self, step):
            self.step(after(self.state, step))

        @precondition(lambda self: self.past)
        @rule()
        def undo(self):
            self.state, edited = self.past.pop()
            self.fit = edited.undo()

        @precondition(lambda self: self.past)
        @rule()
        def take_back_the_last_edit(self):
            before, edited = self.past[-1]
            self.past.append((self.state, run(editor, self.fit, [factor.inverse for factor in edited.factors])))
            self.state, self.fit = before, self.past[-1][1].after

        @rule()
        def restore_everything(self):
            self.step(self.records.start)

        @rule(record=st.integers(0, RECORDS - 1))
        def take_away_more_than_there_is(self, record):
            then = self.state.copy()
            then[record] = -0.5
            posterior, edits = self.fit.posterior, self.fit.edits
            with pytest.raises(EditError, match="at least 0"):
                run(editor, self.fit, self.records.factors(self.state, then))
            assert self.fit.posterior is posterior
            assert self.fit.edits is edits

        @precondition(lambda self: isinstance(self.fit.posterior, Gaussian))  # what a refit takes
        @rule()
        def refit(self):
            self.fit = run("retrain", self.fit, Factor(self.records.touched, 0.0)).after

        @invariant()
        def closed_form(self):
            for got, expected in zip(moments(self.fit.posterior)[:2], self.records.truth(self.state), strict=True):
                np.testing.assert_allclose(got, expected, rtol=1e-8, atol=1e-8)

    return Stream


@pytest.mark.parametrize(("editor", "name"), CLOSED)
def test_a_stream_of_edits_follows_the_closed_form(editor, name):
    run_state_machine_as_test(machine(editor, name), settings=some(20, stateful_step_count=12))


@pytest.mark.parametrize(("editor", "name"), NEWTON)
def test_a_stream_of_newton_edits_follows_the_closed_form(editor, name):
    run_state_machine_as_test(machine(editor, name), settings=some(4, stateful_step_count=5))


@pytest.mark.parametrize(("editor", "name"), EVERY)
def test_one_edit_after_the_other_is_one_joint_edit_to_the_bit(editor, name):
    records, fit = setting(editor, name)

    @some(10 if editor == "conjugate" else 5)
    @given(stream=streams(3))
    def check(stream):
        visited = states(stream, records.start)
        one_by_one, factors = None, []
        for before, then in pairwise(visited):
            step = records.factors(before, then)
            one_by_one = run(editor, fit if one_by_one is None else one_by_one.after, step)
            factors += step
        joint, backwards = run(editor, fit, factors), run(editor, fit, factors[::-1])
        same_bits(one_by_one.after.posterior, joint.after.posterior)
        assert one_by_one.status == joint.status or "Refit now" in one_by_one.status.remedy
        for edited in (joint, backwards):
            honest(edited, *records.truth(visited[-1]))
        if not np.any(visited, axis=0)[TOUCHED:].any():  # no row was added, whose place would be another
            same_bits(backwards.after.posterior, joint.after.posterior)

    check()


@pytest.mark.parametrize(("editor", "name"), EVERY)
def test_weights_of_training_rows_commute_to_the_bit(editor, name):
    fit = setting(editor, name)[1]
    size = len(fit.rows)

    @some(8 if editor == "conjugate" else 3)
    @given(powers=st.lists(st.integers(-4, 4), min_size=3, max_size=3), at=st.integers(0, size // 2), data=st.data())
    def check(powers, at, data):
        factors = [Factor(fit.rows.at(slice(at, at + k + 1)), power / 16) for k, power in enumerate(powers)]
        given_order = run(editor, fit, factors)
        edited = None
        for factor in data.draw(st.permutations(factors)):
            edited = run(editor, fit if edited is None else edited.after, factor)
        same_bits(edited.after.posterior, given_order.after.posterior)

    check()


@pytest.mark.parametrize(("editor", "name"), EVERY)
def test_what_is_taken_back_leaves_no_trace(editor, name):
    records, fit = setting(editor, name)

    @some(8 if editor == "conjugate" else 3)
    @given(first=steps(), second=steps())
    def check(first, second):
        start, once, twice = states([first, second], records.start)
        one = run(editor, fit, records.factors(start, once))
        two = run(editor, one.after, records.factors(once, twice))
        assert two.undo() is one.after
        assert one.undo() is fit
        back = run(editor, two.after, [factor.inverse for factor in two.factors])
        same_bits(back.after.posterior, one.after.posterior)
        assert back.status.level == one.status.level
        assert back.status.message == one.status.message
        home = run(editor, back.after, records.factors(once, start))
        assert home.after.posterior is fit.posterior
        assert home.status.level == "ok"

    check()


def test_a_record_that_came_and_went_takes_no_part():
    records, fit = setting("conjugate", "normal")
    start, gone, both, back = states([{0: 0.0}, {INSERTED: 1.0}, {INSERTED: 0.0}], records.start)
    for before, then in pairwise((start, gone, both, back)):
        fit = run("conjugate", fit, records.factors(before, then)).after
    change = fit.change()
    assert len(fit.net()[0]) == len(fit.rows) + 1
    assert len(change.rows) == len(change.before) == len(change.after) == len(fit.rows)
    np.testing.assert_array_equal(change.rows.row, np.arange(len(fit.rows)))
    np.testing.assert_array_equal(change.factor.powers, [-1.0])


def test_two_hundred_edits_of_single_rows_accumulate_no_error():
    records, fit = setting("weights", "normal")
    rng, state, edited, factors = np.random.default_rng(0), records.start, None, []
    for _ in range(200):
        record = int(rng.integers(RECORDS))
        then = after(state, {record: float(rng.choice(WEIGHTS, p=(state[record] != np.array(WEIGHTS)) / 4))})
        factors += records.factors(state, then)
        edited = run("weights", fit if edited is None else edited.after, factors[-1])
        state = then
    joint = run("weights", fit, factors)
    at_once = run("weights", fit, records.factors(records.start, state))
    same_bits(edited.after.posterior, joint.after.posterior)
    np.testing.assert_allclose(edited.after.posterior.weights, at_once.after.posterior.weights, rtol=1e-9)
    assert len(edited.after.edits) == 200
    honest(edited, *records.truth(state))


def test_a_closed_form_does_not_add_up_rounding_errors():
    fit = problem("linear_unknown").fit(closed=True)
    odd = fit.rows.at(slice(0, 1)).replace(y=np.array([1e8]))
    there = run("conjugate", fit, Factor(odd, 1.0)).after
    assert there.source is fit
    assert run("conjugate", there, Factor(odd, -1.0)).after.posterior is fit.posterior


def test_a_sequence_that_leaves_the_draws_behind_says_refit_now():
    fit = pool("linear_known").fit(DRAWS)
    order = fit.rows.row[np.argsort(fit.rows.values["y"])[::-1]]
    drift, edited, count = [], None, 0
    while edited is None or edited.status.level != "unreliable":
        factor = Factor(fit.rows.take(order[count : count + 1]), -1.0)
        edited = run("weights", fit if edited is None else edited.after, factor)
        drift, count = [*drift, edited], count + 1
        assert count < 40, "the draws cannot follow so far"
        honest(edited, *moments(fit.model.posterior(fit.rows.drop(order[:count])))[:2])
    assert "Refit now (edit with method='retrain')" in edited.status.remedy
    assert run("weights", fit, [factor for step in drift for factor in step.factors]).status.level == "unreliable"
    before = drift[-2].after
    refitted = run("retrain", before, edited.factors)
    assert refitted.status.level == "ok"
    assert refitted.after.source is None
    np.testing.assert_array_equal(refitted.after.row_weights, edited.after.row_weights)
    step = Factor(fit.rows.take(order[count : count + 1]), -1.0)
    later = run("weights", refitted.after, step)
    assert later.after.source is refitted.after
    np.testing.assert_array_equal(later.after.posterior.theta, refitted.after.posterior.theta)
    assert later.status.level == "ok"
    matches(later, *moments(fit.model.posterior(fit.rows.drop(order[: count + 1])))[:2])
    assert run("weights", later.after, step.inverse).after.posterior is refitted.after.posterior


def test_a_first_edit_that_fails_is_no_sequence():
    fit = pool("linear_known").fit(DRAWS)
    order = np.argsort(fit.rows.values["y"])
    edited = run("weights", fit, Factor(fit.rows.at(order[:40]), -1.0))
    assert edited.status.level == "unreliable"
    assert edited.status.remedy == CLIMB
    there_and_back = run("weights", run("weights", fit, Factor(fit.rows.at(order[:2]), -1.0)).after, []).after
    assert "Refit now" in run("weights", there_and_back, Factor(fit.rows.at(order[2:40]), -1.0)).status.remedy


def test_without_training_the_remedy_is_to_sample_again():
    fit = plain_fit()
    order = np.argsort(fit.rows.values["y"])
    edited = run("weights", fit, Factor(fit.rows.at(order[:1]), -1.0))
    far = run("weights", edited.after, Factor(fit.rows.at(order[10:]), -1.0))
    assert far.status.level == "unreliable"
    assert "Refit now (sample the model on the rows left)" in far.status.remedy
