"""Bookkeeping of row weights: what an edit may do, whatever the editor."""

import numpy as np
import pandas as pd
import pytest

import bayesrepair as br
from bayesrepair.oracles import NormalNormal
from bayesrepair.status import DataError, EditError, MethodError

ORACLE = NormalNormal(prior_mean=0.0, prior_sd=1.0, noise_sd=1.0)


def fit(n=5):
    rows = br.Rows({"y": np.arange(n, dtype=float)}, np.array([f"r{i}" for i in range(n)]))
    return br.Fit(ORACLE, rows, ORACLE.posterior(rows))


def test_sequences_start_from_the_drawn_fit_with_summed_powers():
    base = fit()
    draws = br.Fit(ORACLE, base.rows, base.posterior.draws(500, np.random.default_rng(0)))
    once = br.edit(draws, br.Factor(draws.rows.take(["r1"]), -0.4), method="weights", random_seed=0).after
    twice = br.edit(once, br.Factor(draws.rows.take(["r1"]), -0.6), method="weights", random_seed=0).after
    at_once = br.edit(draws, br.Factor(draws.rows.take(["r1"]), -1.0), method="weights", random_seed=0).after
    np.testing.assert_allclose(twice.posterior.log_weights, at_once.posterior.log_weights, atol=1e-12)
    np.testing.assert_array_equal(twice.row_weights, [1, 0, 1, 1, 1])
    assert twice.source is draws


def test_undoing_gives_the_drawn_posterior_back():
    base = fit()
    factor = br.Factor(base.rows.take(["r4"]), -1.0)
    gone = br.edit(base, factor, method="conjugate").after
    back = br.edit(gone, factor.inverse, method="conjugate").after
    np.testing.assert_allclose(back.posterior.mean, base.posterior.mean, rtol=1e-12)


def test_a_row_cannot_be_deleted_twice():
    base = fit()
    factor = br.Factor(base.rows.take(["r4"]), -1.0)
    gone = br.edit(base, factor, method="conjugate").after
    with pytest.raises(EditError, match="'r4'"):
        br.edit(gone, factor, method="conjugate")


def test_a_row_that_never_was_in_the_data_cannot_be_deleted():
    stranger = br.Rows({"y": np.array([99.0])}, np.array(["r1"]))  # the id is known, the record is not
    with pytest.raises(EditError, match="differs from the training row"):
        br.edit(fit(), br.Factor(stranger, -1.0), method="conjugate")


def test_inserted_rows_may_share_ids_with_the_training_rows():
    base = fit()
    stranger = br.Rows({"y": np.array([99.0])}, np.array(["r1"]))
    edited = br.edit(base, br.Factor(stranger, 1.0), method="conjugate").after
    rows, weight = edited.net()
    np.testing.assert_array_equal(rows.values["y"], [0, 1, 2, 3, 4, 99])
    np.testing.assert_array_equal(weight, np.ones(6))
    back = br.edit(edited, br.Factor(stranger, -1.0), method="conjugate").after
    np.testing.assert_allclose(back.posterior.mean, base.posterior.mean)


def test_relabelling_is_a_deletion_and_an_insertion():
    base = fit()
    edited = br.repair(base, ["r4"], relabel={"r4": 0.5}, method="conjugate")
    right = ORACLE.posterior(br.Rows({"y": np.array([0.0, 1, 2, 3, 0.5])}, np.arange(5)))
    np.testing.assert_allclose(edited.after.posterior.mean, right.mean)
    assert [f.powers.tolist() for f in edited.factors] == [[-1.0], [1.0]]
    assert all(f.rows.row.tolist() == ["r4"] for f in edited.factors)


def test_weight_is_what_remains():
    base = fit()
    edited = br.repair(base, ["r0", "r4"], weight={"r0": 2.0, "r4": 0.25}, method="conjugate")
    np.testing.assert_array_equal(edited.after.row_weights, [2, 1, 1, 1, 0.25])
    again = br.repair(edited.after, ["r4"], weight=0.5, method="conjugate")
    np.testing.assert_array_equal(again.after.row_weights, [2, 1, 1, 1, 0.5])


@pytest.mark.parametrize("power", [0.0, np.zeros(2)])
def test_nothing_to_do_is_the_identity(power):
    base = fit()
    edited = br.edit(base, br.Factor(base.rows.take(["r0", "r1"]), power), method="conjugate")
    assert edited.after.posterior is base.posterior
    assert edited.info.rung == "identity"
    assert edited.status.level == "ok"


def test_unknown_methods_list_the_known_ones():
    base = fit()
    with pytest.raises(MethodError, match="'weights'"):
        br.edit(base, br.Factor(base.rows, -0.5), method="magic")


def test_an_editor_says_which_representation_it_needs():
    base = fit()
    with pytest.raises(MethodError, match="Draws"):
        br.edit(base, br.Factor(base.rows.take(["r0"]), -1.0), method="weights")


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ([], "at least one row"),
        (["r0", "r0"], "more than once"),
        (["r9"], "unknown"),
        ([f"r{i}" for i in range(5)], "fewer than all 5"),
    ],
)
def test_repair_refuses_rows_it_cannot_treat(rows, words):
    with pytest.raises(DataError, match=words):
        br.repair(fit(), rows, method="conjugate")


def test_repair_takes_the_index_of_a_frame():
    frame = pd.DataFrame({"score": [2.0]}, index=pd.Index(["r3"], name="row"))
    np.testing.assert_array_equal(br.repair(fit(), frame, method="conjugate").after.row_weights, [1, 1, 1, 0, 1])


def test_relabel_and_weight_exclude_each_other():
    with pytest.raises(DataError, match="relabel or weight"):
        br.repair(fit(), ["r0"], relabel={"r0": 1.0}, weight=0.5)


def test_rows_refuse_duplicate_ids_and_ragged_arrays():
    with pytest.raises(DataError, match="'a'"):
        br.Rows({"y": np.zeros(2)}, np.array(["a", "a"]))
    with pytest.raises(DataError, match="2 rows in 'y'"):
        br.Rows({"y": np.zeros(3)}, np.array(["a", "b"]))


def test_rows_never_write_or_expose_a_writeable_input():
    y = np.zeros(2)
    rows = br.Rows({"y": y}, np.arange(2))
    with pytest.raises(ValueError, match="read-only"):
        rows.values["y"][0] = 1.0
    y[0] = 5.0  # the user's own array stays theirs
    assert y.flags.writeable


def test_fits_print_in_few_words():
    base = fit(n=500)
    draws = br.Fit(ORACLE, base.rows, base.posterior.draws(400, np.random.default_rng(0)))
    assert repr(draws.rows) == "Rows(500 rows ('r0', 'r1', 'r2', …) of y)"
    assert repr(draws.posterior) == "Draws(400 draws, chains: 1, parameters: 1)"
    assert repr(draws).startswith("Fit(500 rows, NormalNormal(")
    assert len(repr(br.Fit(ORACLE, base.rows, draws.posterior, table=pd.DataFrame(index=base.rows.index)))) < 200
