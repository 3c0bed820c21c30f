"""Rehearsals: what is planted, what is measured, and whether the intervals mean what they say."""

import numpy as np
import pandas as pd
import pytest

import bayesrepair as br
from bayesrepair.fit import Fit
from bayesrepair.numerics.one_more import next_number, next_share
from bayesrepair.oracles import LinearUnknownNoise, NormalNormal
from bayesrepair.posterior import Draws
from bayesrepair.rehearsal.planting import SHIFT, _other_classes, clean, plant
from bayesrepair.status import DataError, MethodError

N = 160


@pytest.fixture(scope="module")
def table():
    """Two features, two classes hardly overlapping, three annotators."""
    rng = np.random.default_rng(4)
    frame = pd.DataFrame(rng.standard_normal((N + 60, 2)), columns=["x", "z"])
    frame["y"] = np.where(5 * frame["x"] - 4 * frame["z"] + rng.logistic(size=len(frame)) > 0, "<b>ill</b>", "well")
    frame["annotator"] = np.array(["ann", "bob", "cid"])[np.arange(len(frame)) % 3]
    frame.index = [f"row {i}" for i in range(len(frame))]
    return frame


@pytest.fixture(scope="module")
def fit(table):
    """Laplace approximation of a logistic regression: nothing is compiled for sampling."""
    import pymc as pm

    some = table.iloc[:N]
    with pm.Model(coords={"class": ["<b>ill</b>", "well"]}) as model:
        slope = pm.Normal("slope", 0.0, 2.0, shape=2)
        level = pm.Normal("level", 0.0, 2.0)
        logit = level + some[["x", "z"]].to_numpy() @ slope
        pm.Bernoulli("y", logit_p=logit, observed=(some["y"] == "well").to_numpy(dtype=int))
    return br.from_pymc(model, data=some.assign(y=(some["y"] == "well").astype(int)), method="laplace")


@pytest.fixture(scope="module")
def rehearsal(fit):
    """Four runs of uniform errors."""
    return br.rehearse(fit, noise=0.1, runs=4, progressbar=False)


def planted(fit, mechanism="uniform", *, noise=0.1, group=None, trusted=(), seed=0, turn=1):
    """Errors among the rows of a fit."""
    free = np.ones(len(fit.rows), dtype=bool)
    free[list(trusted)] = False
    group = np.zeros(len(fit.rows), dtype=int) if group is None else group
    rng = np.random.default_rng(seed)
    return plant(fit, fit.rows, noise=noise, mechanism=mechanism, group=group, open_to_errors=free, turn=turn, rng=rng)


def test_other_classes_follow_the_predictive_given_that_they_differ():
    prob = np.tile([0.5, 0.3, 0.2], (20_000, 1))
    drawn = _other_classes(prob, np.full(20_000, 1), False, np.random.default_rng(0))
    share = np.bincount(drawn, minlength=3) / 20_000
    np.testing.assert_allclose(share, [5 / 7, 0.0, 2 / 7], atol=4 * 0.5 / np.sqrt(20_000))


def test_a_class_that_the_model_excludes_can_still_be_planted():
    drawn = _other_classes(np.tile([1.0, 0.0], (5, 1)), np.zeros(5, dtype=int), False, np.random.default_rng(0))
    np.testing.assert_array_equal(drawn, np.ones(5))


def test_uniform_errors_are_as_many_as_asked_and_nothing_else_changes(fit):
    done = planted(fit)
    assert done.wrong.sum() == round(0.1 * N)
    before, after = fit.rows.values["y"], done.rows.values["y"]
    np.testing.assert_array_equal(before != after, done.wrong)
    np.testing.assert_array_equal(done.rows.row, fit.rows.row)


def test_errors_of_a_class_hit_one_class(fit):
    done = planted(fit, "class", noise=0.2)
    hit = fit.rows.values["y"][done.wrong]
    assert len(np.unique(hit)) == 1
    assert done.wrong.sum() == round(0.2 * (fit.rows.values["y"] == hit[0]).sum())


def test_classes_take_turns(fit):
    hit = [fit.rows.values["y"][planted(fit, "class", turn=turn).wrong][0] for turn in range(4)]
    np.testing.assert_array_equal(hit, [0, 1, 0, 1])


def test_errors_of_a_group_stay_in_it_and_away_from_trusted_rows(fit):
    group = np.arange(N) % 3
    done = planted(fit, "group", noise=0.5, group=group, trusted=range(60))
    np.testing.assert_array_equal(group[done.wrong], np.full(done.wrong.sum(), done.group))
    assert not done.wrong[:60].any()


def test_planted_numbers_lie_several_predictive_sds_away():
    oracle = LinearUnknownNoise(1, shape=3.0, rate=3.0)
    rng = np.random.default_rng(1)
    rows = oracle.rows({"x": np.ones((300, 1)), "y": rng.normal(10.0, 2.0, 300)})
    fit = Fit(oracle, rows, oracle.train(rows, start=Draws.plain(np.zeros((4000, oracle.n_params))), rng=rng))
    done = planted(fit)
    moved = np.abs(done.rows.values["y"] - rows.values["y"])[done.wrong] / np.std(rows.values["y"])
    assert done.wrong.sum() == 30
    assert SHIFT[0] * 0.8 < moved.min() < moved.max() < SHIFT[1] * 1.2


def test_planted_counts_are_counts(counts):
    import pymc as pm

    with pm.Model() as model:
        level = pm.Normal("level", 0.0, 1.0)
        pm.Poisson("y", pm.math.exp(level + 0.0 * counts["x"].to_numpy()), observed=counts["y"].to_numpy())
    fit = br.from_pymc(model, data=counts, method="laplace")
    done = planted(fit, noise=0.3)
    new = done.rows.values["y"]
    assert new.dtype == fit.rows.values["y"].dtype
    assert new.min() >= 0
    assert np.isfinite(fit.model.log_lik(fit.draws.theta[:5], done.rows)).all()
    assert np.abs(new - fit.rows.values["y"])[done.wrong].min() >= 4  # at least four units, for a unit is the least sd


def test_clean_outcomes_come_from_the_parameters_given():
    oracle = NormalNormal(0.0, 1.0, 1.0)
    rows = oracle.rows({"y": np.zeros(4000)})
    fit = Fit(oracle, rows, Draws.plain(np.zeros((10, 1))))
    drawn = clean(fit, rows, np.array([3.0]), np.random.default_rng(0)).values["y"]
    np.testing.assert_allclose([drawn.mean(), drawn.std()], [3.0, 1.0], atol=4 / np.sqrt(4000))


@pytest.mark.parametrize("chance", [0.5, 0.9])
def test_interval_of_a_share_covers_one_more_run(chance):
    rng = np.random.default_rng(2)
    shares = rng.binomial(40, chance, size=(2000, 6)) / 40
    inside = [low <= x[5] <= high for x in shares for _, low, high in [next_share(x[:5], 40)]]
    np.testing.assert_allclose(np.mean(inside), 0.92, atol=0.04)  # lattice values make 90 % a little more


def test_interval_of_a_number_covers_one_more_run():
    rng = np.random.default_rng(2)
    inside = [low <= x[4] <= high for x in rng.normal(size=(4000, 5)) for _, low, high in [next_number(x[:4])]]
    np.testing.assert_allclose(np.mean(inside), 0.9, atol=4 * np.sqrt(0.09 / 4000))


def test_errors_are_found_and_the_repair_makes_the_harm_good(rehearsal):
    frame = rehearsal.frame()
    assert frame.loc["average_precision", "mean"] > 0.7  # chance is 0.1
    assert frame.loc["score_planted", "mean"] < frame.loc["score_repaired", "mean"]
    assert frame.loc["score_planted", "mean"] < 0
    np.testing.assert_allclose(frame.loc["precision", "mean"], frame.loc["recall", "mean"])  # as many as were planted
    assert (frame["low"] <= frame["mean"]).all()
    assert (frame["mean"] <= frame["high"]).all()


def test_as_many_are_planted_as_asked_for_and_found_ones_are_counted_by_class(rehearsal):
    np.testing.assert_array_equal(rehearsal.runs["planted"], np.full(4, round(0.1 * N)))
    counts = rehearsal.parts.groupby("run")[["planted", "found"]].sum()
    np.testing.assert_array_equal(counts["planted"], rehearsal.runs["planted"])
    np.testing.assert_allclose(counts["found"] / counts["planted"], rehearsal.runs["recall"])
    by_class = rehearsal.by("class")
    assert list(by_class.index) == [0, 1]
    assert ((by_class["low"] < by_class["recall"]) & (by_class["recall"] < by_class["high"])).all()
    assert (by_class["recall"] > 0.5).all()  # chance is 0.1


def test_reliability_counts_every_row_of_every_run(rehearsal):
    bins = rehearsal.reliability
    assert bins["rows"].sum() == 4 * N
    np.testing.assert_allclose((bins["true"] * bins["rows"]).sum(), rehearsal.runs["planted"].sum())
    assert (bins["low"] < bins["high"]).all()


def test_words_say_how_many_would_be_wrong(rehearsal):
    said = repr(rehearsal)
    k, share = round(0.1 * N), rehearsal.expected("precision")
    assert f"Of the {k} outcomes you would remove, {k * share.mean:.0f} (" in said
    assert "may hold real errors already" in said
    assert "given outcomes are wrong already" in said
    assert rehearsal._repr_html_().startswith("<p>Rehearsal: ")


def test_nothing_planted_shows_false_alarms_and_coverage(fit, table):
    holdout = table.iloc[N:].assign(y=(table.iloc[N:]["y"] == "well").astype(int))
    rehearsed = br.rehearse(fit, noise=0, k=16, runs=2, holdout=holdout, progressbar=False)
    frame = rehearsed.frame()
    assert "precision" not in frame.index
    assert frame.loc["flagged", "mean"] < 0.1 * N
    assert frame.loc["covered", "mean"] > 0.5
    assert frame.loc["shift", "mean"] > 0.2  # 16 of the rows that fit worst are gone
    assert "needlessly changes the log score of held-out rows" in repr(rehearsed)


def test_held_out_rows_bring_causes(fit, table):
    holdout = table.iloc[N:].assign(y=(table.iloc[N:]["y"] == "well").astype(int))
    rehearsed = br.rehearse(fit, noise=0.15, runs=2, holdout=holdout, progressbar=False)
    found = rehearsed.runs[rehearsed.runs["failures"] > 0]
    assert found["joined_precision"].notna().all()
    assert "held-out rows" in repr(rehearsed)


def test_the_bad_group_is_named(fit):
    rehearsed = br.rehearse(
        fit, noise=0.4, mechanism="group", groups=np.arange(N) % 3, runs=2, action="relabel", progressbar=False
    )
    assert rehearsed.runs["group_found"].all()
    assert "came out worst in 2 runs" in repr(rehearsed)
    assert "Of the errors in each group it finds 0 " in repr(rehearsed)
    by_group = rehearsed.by("group")
    assert list(by_group.index) == [0, 1, 2]
    hit = rehearsed.parts[rehearsed.parts["by"] == "group"].groupby("part")["planted"].sum() > 0
    assert hit.sum() == 2  # groups take turns
    width = by_group["high"] - by_group["low"]
    assert width[~hit].item() > width[hit].max()  # what is known of a third group is what the others showed


def test_one_run_promises_little_and_repeats_the_first_of_four(fit, rehearsal):
    rehearsed = br.rehearse(fit, noise=0.1, runs=1, progressbar=False)
    pd.testing.assert_frame_equal(rehearsed.runs, rehearsal.runs.iloc[:1])
    share, number = rehearsed.expected("precision"), rehearsed.expected("shift")
    assert share.high - share.low > 0.2
    assert np.isnan(number.low)


def test_plot_states_promise_and_truth(rehearsal):
    ax = rehearsal.plot()
    assert "promises" in ax.get_title(loc="left")
    assert "suspicious" in ax.get_xlabel()


@pytest.mark.parametrize(
    ("wrong", "error", "says"),
    [
        ({"noise": 1.5}, DataError, "noise"),
        ({"runs": 0}, DataError, "one run"),
        ({"mechanism": "swap"}, MethodError, "'uniform', 'class', 'group'"),
        ({"mechanism": "group"}, DataError, "groups='annotator'"),
        ({"action": "burn"}, MethodError, "'drop', 'relabel'"),
        ({"method": "vi"}, MethodError, "'laplace'"),
        ({"k": N}, DataError, f"k between 1 and {N - 1}"),
        ({"trusted": [f"row {i}" for i in range(N)]}, DataError, "Leave out the rows in doubt"),
    ],
)
def test_mistakes_are_named(fit, wrong, error, says):
    with pytest.raises(error, match=says.replace("[", r"\[")):
        br.rehearse(fit, progressbar=False, **wrong)


def test_a_model_without_classes_cannot_lose_one():
    oracle = NormalNormal(0.0, 1.0, 1.0)
    fit = Fit(oracle, oracle.rows({"y": np.zeros(9)}), Draws.plain(np.zeros((10, 1))))
    with pytest.raises(MethodError, match="classes"):
        planted(fit, "class")


def test_unknown_figure_lists_the_known(rehearsal):
    with pytest.raises(DataError, match="'average_precision'"):
        rehearsal.expected("accuracy of everything")
    with pytest.raises(DataError, match="parts among 'class'"):
        rehearsal.by("group")


@pytest.mark.slow
def test_a_sampled_fit_is_rehearsed_with_sampling(cancer_fit):
    rehearsed = br.rehearse(cancer_fit, runs=2, progressbar=False)
    assert not rehearsed.cheap
    assert rehearsed.runs["rhat"].notna().all()
    assert rehearsed.expected("average_precision").mean > 0.4  # chance is 0.1
    assert "2 runs, sampled" in repr(rehearsed)
