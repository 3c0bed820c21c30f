"""Set search against closed forms: linear regression with known noise, where the score of every set is known."""

import itertools
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from matplotlib import pyplot
from scipy.stats import multivariate_normal, norm

import bayesrepair as br
from bayesrepair.editors.transport import Transport
from bayesrepair.numerics.set_moves import Quadratic
from bayesrepair.oracles import LinearKnownNoise, Logistic
from bayesrepair.set_anchor import Ground
from bayesrepair.set_path import search_path
from bayesrepair.status import DataError, MethodError

P, S = 3, 800


class Problem:
    """A fit with planted rows, failures that choose, failures that do not, and a guard."""

    def __init__(self, x, y, far, rng, planted, failed=16):
        self.oracle, self.planted = LinearKnownNoise(P, prior_sd=2.0), planted
        self.rows = br.Rows({"x": x, "y": y}, np.array([f"r{i:03d}" for i in range(len(y))]))
        self.exact = self.oracle.posterior(self.rows)
        self.fit = br.Fit(self.oracle, self.rows, self.exact.draws(S, rng))
        self.failures, self.unseen = held_out(rng, failed, far), held_out(rng, 60, far)
        self.guard = held_out(rng, 80, 0.0)
        self.causes = br.find_causes(self.fit, self.failures, progressbar=False)

    def without(self, ids):
        rows = self.rows.take(ids)
        return self.oracle.update(self.exact, rows, -np.ones(len(rows)))

    def score(self, ids, failures=None):
        """The closed form of ``log p(F|D∖C) − log p(F|D)``."""
        failures = self.failures if failures is None else failures
        return log_predictive(self.without(ids), failures) - log_predictive(self.exact, failures)

    def guard_change(self, ids):
        return (pointwise(self.without(ids), self.guard) - pointwise(self.exact, self.guard)).mean()


BETA = np.array([1.0, -1.0, 0.5])


def held_out(rng, count, far):
    x = rng.normal(size=(count, P))
    x[:, 0] = far
    return br.Rows({"x": x, "y": x @ BETA + rng.normal(size=count)}, np.arange(count))


def log_predictive(posterior, rows):
    x = rows.values["x"]
    covariance = x @ np.linalg.inv(posterior.precision) @ x.T + np.eye(len(rows))
    return multivariate_normal(x @ posterior.mean, covariance).logpdf(rows.values["y"])


def pointwise(posterior, rows):
    x = rows.values["x"]
    spread = np.einsum("np,pq,nq->n", x, np.linalg.inv(posterior.precision), x)
    return norm.logpdf(rows.values["y"], x @ posterior.mean, np.sqrt(1 + spread))


def masked(seed, rows=80, bad=5):
    """Bad rows that own a direction: the fit goes through them, and half of them look helpful one by one."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(rows, P))
    x[:, 0] = 0
    x[:bad, 0] = 1
    y = x @ BETA + rng.normal(size=rows)
    y[:bad] -= 4
    return Problem(x, y, 1.0, rng, [f"r{i:03d}" for i in range(bad)])


def opposed(seed, rows=80):
    """Four rows pull down and three pull up: one by one the former all look harmful, deleting them all overshoots."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(rows, P)) * [0.3, 1, 1]
    x[:7, 0] = 2.5
    y = x @ BETA + rng.normal(size=rows)
    y[:4] -= 8
    y[4:7] += 6
    return Problem(x, y, 2.0, rng, [f"r{i:03d}" for i in range(7)])


def clean(seed, rows=100):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(rows, P))
    return Problem(x, x @ BETA + rng.normal(size=rows), 1.0, rng, [])


def path_of(problem, size, *, guard=True, tolerance=0.01, starts=("top", "joint", "greedy", "apart")):
    nobody = problem.guard.at(slice(0, 0))
    watched = (problem.guard if guard else nobody, problem.unseen, nobody)
    surprise = problem.causes.scores["surprise"].reindex(problem.rows.index).to_numpy()
    ground = Ground(problem.fit, problem.failures, watched, Transport(), 400, size, surprise, 0)
    top = problem.rows.positions(problem.causes.scores.index)
    return search_path(ground, top=top, tolerance=tolerance, starts=starts, advance=lambda count: None)


def ids(problem, step):
    return problem.rows.row[sorted(step.members)]


@pytest.mark.parametrize("make", [masked, opposed])
def test_every_number_of_the_path_equals_its_closed_form(make):
    problem = make(0)
    path = list(path_of(problem, 6))
    assert len(path) >= 4
    for step in path:
        members = ids(problem, step)
        assert abs(step.score - problem.score(members)) < 5 * step.mcse + 0.01
        assert abs(step.guard - problem.guard_change(members)) < 5 * step.guard_mcse + 0.002
        change = pointwise(problem.without(members), problem.unseen) - pointwise(problem.exact, problem.unseen)
        np.testing.assert_allclose(step.gains[1], change, rtol=0.05, atol=0.25)


@pytest.mark.parametrize("seed", range(4))
def test_masked_rows_are_found_where_single_scores_call_them_helpful(seed):
    problem = masked(seed)
    place = problem.causes.scores.index.get_indexer(problem.planted)
    assert place.max() > 70  # of 80
    best = path_of(problem, 5).best[5]
    top = problem.causes.top(5).index
    planted = problem.score(problem.planted)
    assert problem.score(ids(problem, best)) >= 0.99 * planted
    assert problem.score(top) < 0.9 * planted
    assert problem.score(ids(problem, best), problem.unseen) > problem.score(top, problem.unseen) + 5


@pytest.mark.parametrize("seed", range(4))
def test_deleting_all_that_look_harmful_overshoots_and_the_search_stops_before(seed):
    problem = opposed(seed)
    path = path_of(problem, 4)
    best = max(path, key=lambda step: step.score)
    top = problem.causes.top(4).index
    assert set(top) == set(problem.planted[:4])
    assert problem.score(top) < 0.5 * problem.score(ids(problem, best))
    assert problem.score(ids(problem, best)) > 0


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("make", [masked, opposed])
def test_no_pair_or_triple_is_better(make, seed):
    problem = make(seed, rows=20)
    path = path_of(problem, 3, guard=False)
    for size in (2, 3):
        every = {c: problem.score(c) for c in itertools.combinations(problem.rows.row, size)}
        best = max(every.values())
        assert problem.score(ids(problem, path.best[size])) >= best - 0.01 * abs(best)


def test_a_flipped_sign_finds_what_hurts():
    """The sign canary: with the expansion negated the climb goes down."""
    problem = masked(1)
    quadratic = Ground(
        problem.fit, problem.failures, (problem.guard,), Transport(), 400, 5, np.zeros(len(problem.rows)), 0
    ).start.quadratic
    order, value = quadratic.paths(5, slack=1.0)
    flipped = Quadratic(-quadratic.linear, -quadratic.interaction, quadratic.guard, quadratic.member)
    other, negative = flipped.paths(5, slack=1.0)
    right = problem.score(problem.rows.row[order[value[:, -1].argmax()]])
    wrong = problem.score(problem.rows.row[other[negative[:, -1].argmax()]])
    assert wrong < 0 < right


def test_the_guard_is_spared():
    """Failures from another world: whatever helps them hurts the guard."""
    rng = np.random.default_rng(5)
    x = rng.normal(size=(60, P))
    problem = Problem(x, x @ BETA + rng.normal(size=60), 1.0, rng, [], failed=16)
    problem.guard = held_out(rng, 200, 1.0)
    # The guard sits at the fit's own mean, so that it can only lose.
    at_mean = problem.guard.values["x"] @ problem.exact.mean + rng.normal(size=200)
    problem.guard = problem.guard.replace(y=at_mean)
    problem.failures = problem.failures.replace(y=problem.failures.values["y"] + 2.5)
    problem.causes = br.find_causes(problem.fit, problem.failures, progressbar=False)
    free, held = path_of(problem, 12, guard=False), path_of(problem, 12, tolerance=0.01)
    most = max(free, key=lambda step: step.score)
    assert problem.guard_change(ids(problem, most)) < -0.02
    assert held.best
    for step in held:
        assert problem.guard_change(ids(problem, step)) > -0.01 - 1e-3
        assert step.guard - 2 * step.guard_mcse >= -0.01


@pytest.fixture(scope="module")
def found():
    problem = masked(0)
    return problem, problem.causes.search(8, guard=problem.guard, progressbar=False)


def test_found_set_is_ready_for_repair(found):
    problem, search = found
    assert set(problem.planted) <= set(search.rows)
    assert search.size == len(search.rows) <= 8
    repaired = br.repair(problem.fit, search.top, random_seed=0)
    assert repaired.causes is problem.causes
    assert set(search.top.frame().index) == set(search.rows)
    after = repaired.after.draws
    np.testing.assert_allclose(after.weights @ after.theta, problem.without(search.rows).mean, atol=0.1)
    same = br.repair(problem.fit, search.rows, random_seed=0)
    np.testing.assert_allclose(same.after.draws.weights @ same.after.draws.theta, after.weights @ after.theta, atol=0.1)


def test_frame_and_comparison_keep_their_contract(found):
    problem, search = found
    frame = search.frame()
    assert frame.columns.tolist() == [
        *("added", "removed", "score", "mcse", "guard", "guard_mcse", "khat", "predicted_khat", "rung", "status"),
        *("unseen", "unseen_se", "unseen_failures", "unseen_guard"),
    ]
    assert set(frame["status"]) <= {"estimated", "unreliable"}
    held = set()
    for size, line in frame.iterrows():
        held = (held | set(line["added"])) - set(line["removed"])
        assert held == set(search.at(size))
        assert len(held) == size
    compared = search.compared
    assert compared.index.tolist() == ["search", "top", "difference"]
    truth = {"search": problem.score(search.rows), "top": problem.score(problem.causes.top(search.size).index)}
    for name, value in truth.items():
        assert abs(compared.loc[name, "score"] - value) < 5 * compared.loc[name, "mcse"] + 0.02
    gap = compared.loc["difference"]
    assert abs(gap["score"] - (truth["search"] - truth["top"])) < 5 * gap["mcse"] + 0.02
    assert gap["score"] > 5 * gap["mcse"]
    assert gap["unseen"] > 2 * gap["unseen_se"]


def test_predicted_khat_is_that_of_plain_weights(found):
    problem, search = found
    size = search.size
    plain = br.repair(problem.fit, search.rows, method="weights")
    np.testing.assert_allclose(search.frame().loc[size, "predicted_khat"], plain.info.khat, atol=1e-6)


def test_the_same_seed_gives_the_same_set_and_nothing_is_written(found):
    problem, _ = found
    before = problem.fit.draws.theta.copy()
    first, second = (
        problem.causes.search(3, guard=problem.guard, starts=("joint",), progressbar=False) for _ in range(2)
    )
    pd.testing.assert_frame_equal(first.frame(), second.frame())
    assert len(first.frame())
    np.testing.assert_array_equal(problem.fit.draws.theta, before)


def test_rows_apart_judge_in_place_of_cross_fitting(found):
    problem, _ = found
    rng = np.random.default_rng(9)
    both = held_out(rng, 60, 1.0).stacked(held_out(rng, 60, 0.0))
    judge = br.find_failures(problem.fit, both)
    search = problem.causes.search(5, guard=problem.guard, judge=judge, progressbar=False)
    assert set(search.rows) == set(problem.planted)
    assert "set apart" in repr(search)
    change = pointwise(problem.without(search.rows), both) - pointwise(problem.exact, both)
    np.testing.assert_allclose(search.frame().loc[5, "unseen"], change.mean(), rtol=0.05)


def test_no_set_is_found_where_the_guard_must_not_move_at_all():
    problem = clean(1)
    search = problem.causes.search(4, guard=problem.guard, tolerance=0.0, starts=("top", "joint"), progressbar=False)
    assert search.size == 0
    assert len(search.rows) == 0
    assert len(search.top) == 0
    with pytest.raises(DataError, match="at least one row"):
        br.repair(problem.fit, search.top)


def test_a_model_without_gradients_is_searched_by_weights(found):
    problem, _ = found

    class Blind(LinearKnownNoise):
        log_target_and_grad = None

    fit = replace(problem.fit, model=Blind(P, prior_sd=2.0))
    search = br.find_causes(fit, problem.failures, progressbar=False).search(
        3, guard=problem.guard, starts=("greedy",), progressbar=False
    )
    assert set(search.frame()["rung"]) == {"weights"}
    assert (search.frame()["status"] == "unreliable").any()
    assert search.size == 0 or search.frame().loc[search.size, "status"] == "estimated"


def test_guard_leaves_out_the_failures(found):
    problem, _ = found
    held = problem.failures.stacked(problem.guard)
    judged = br.find_failures(problem.fit, held)
    causes = br.find_causes(problem.fit, judged, progressbar=False)
    a = causes.search(2, starts=("greedy",), progressbar=False)
    b = causes.search(2, guard=held, starts=("greedy",), progressbar=False)
    pd.testing.assert_frame_equal(a.frame(), b.frame())


def test_bad_input_is_named(found):
    problem, search = found
    causes = problem.causes
    with pytest.raises(DataError, match="size between"):
        causes.search(0)
    with pytest.raises(DataError, match="folds"):
        causes.search(3, folds=17)
    with pytest.raises(MethodError, match="starts"):
        causes.search(3, starts=("magic",))
    with pytest.raises(MethodError, match="weights"):
        causes.search(3, method="magic")
    with pytest.raises(DataError, match="tolerance"):
        causes.search(3, tolerance=-1.0)
    with pytest.raises(DataError, match="took no part"):
        causes.search(3, judge=br.find_failures(problem.fit, problem.failures))
    with pytest.raises(DataError, match="size among"):
        search.at(99)


def test_search_prints_and_plots(found):
    _, search = found
    text, page = repr(search), search._repr_html_()
    assert "flatters" in text
    assert "predicted_khat" in text
    assert "<table" in page
    hostile = replace(search, path=search.path.assign(rung="<script>"))._repr_html_()
    assert "<script>" not in hostile
    assert "&lt;script&gt;" in hostile
    ax = search.plot()
    assert len(ax.lines[1].get_xdata()) == len(search.frame()) + 1
    assert "unseen" in ax.get_title(loc="left")
    pyplot.close("all")


def test_a_logistic_set_equals_a_refit():
    """Flipped labels of a far cluster: the score of the found set against refits of the same model."""
    rng = np.random.default_rng(2)
    oracle = Logistic(2, prior_sd=2.0)
    x = rng.normal(size=(80, 2))
    y = (rng.random(80) < 1 / (1 + np.exp(-2 * x[:, 0]))).astype(int)
    x[:4], y[:4] = [3.0, 0.0], 0
    rows = br.Rows({"x": x, "y": y}, np.arange(80))
    failures = br.Rows({"x": np.tile([2.0, 0.0], (8, 1)), "y": np.ones(8, int)}, np.arange(8))
    start = oracle.laplace(rows).draws(1000, rng)
    fit = br.Fit(oracle, rows, oracle.train(rows, start=start, rng=rng))
    search = br.find_causes(fit, failures, progressbar=False).search(4, starts=("joint",), progressbar=False)
    assert set(search.at(4)) == {0, 1, 2, 3}
    step = search.frame().loc[4]

    def log_predictive(posterior):
        return np.log(np.exp(oracle.log_lik(posterior.theta, failures).sum(axis=1)).mean())

    big = oracle.laplace(rows).draws(40_000, rng)
    kept = oracle.train(rows.drop(search.at(4)), start=big, rng=rng)
    whole = oracle.train(rows, start=big, rng=rng)
    assert abs(step["score"] - (log_predictive(kept) - log_predictive(whole))) < 5 * step["mcse"] + 0.05
