"""The ledger: requests are applied exactly once, whatever happens, and replay to the recorded posterior."""

import json
import os
import sqlite3
import stat
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import bayesrepair as br
from bayesrepair import ledger_store
from bayesrepair.ledger_store import Store
from bayesrepair.oracles import Logistic, NormalNormal
from bayesrepair.status import DataError, EditError, LedgerError, MethodError, NumericsWarning

IDS = [f"patient {i}" for i in range(30)]
ROOT = Path(__file__).parent.parent


def normal_fit(ids=IDS, prior_sd=2.0, bump=0.0):
    oracle = NormalNormal(prior_sd=prior_sd)
    y = np.random.default_rng(1).normal(1.0, 1.0, len(ids))
    y[3] += bump
    rows = br.Rows({"y": y}, np.array(ids, dtype=object))
    return br.Fit(oracle, rows, oracle.posterior(rows))


@pytest.fixture
def fit():
    return normal_fit()


@pytest.fixture
def ledger(fit, tmp_path):
    return br.Ledger(tmp_path / "model.ledger", fit)


def closed_form(fit, weights):
    weight = pd.Series(weights).reindex(fit.rows.index).fillna(1.0).to_numpy(dtype=float)
    return fit.model.posterior(fit.rows, weight).mean


def test_requests_become_one_edit_and_a_receipt(ledger, fit):
    first = ledger.request(IDS[:2], reason="asked to be forgotten")
    second = ledger.request([IDS[5]], weight=0.5, key="ticket 17")
    assert second == "ticket 17"
    assert list(ledger.pending.index) == [first, "ticket 17"]
    assert ledger.fit is fit
    edited = ledger.apply(method="conjugate", random_seed=4)
    truth = closed_form(fit, {IDS[0]: 0, IDS[1]: 0, IDS[5]: 0.5})
    np.testing.assert_allclose(edited.after.posterior.mean, truth, rtol=1e-12)
    np.testing.assert_allclose(ledger.fit.posterior.mean, truth, rtol=1e-12)
    assert ledger.pending.empty
    frame = ledger.frame()
    assert frame["state"].tolist() == ["applied", "applied"]
    assert frame["rows"].tolist() == [2, 1]
    (slip,) = ledger.receipts
    assert slip == br.receipt(edited)
    assert slip.seeds == {"edit": 4}
    assert sorted(slip.powers) == [-1.0, -1.0, -0.5]
    assert not any("patient" in text for text in (slip.to_json(), repr(slip)))
    assert ledger.rows("ticket 17") == [IDS[5]]


def test_later_requests_start_from_the_base_draws(tmp_path):
    fit = normal_fit()
    drawn = replace(fit, posterior=fit.posterior.draws(4000, np.random.default_rng(0)))
    ledger = br.Ledger(tmp_path / "model.ledger", drawn)
    for step in range(3):
        ledger.request([IDS[step]])
        edited = ledger.apply(method="weights", random_seed=step)
    at_once = br.edit(drawn, br.Factor(fit.rows.take(IDS[:3]), -1.0), method="weights", random_seed=2)
    assert edited.before is drawn
    np.testing.assert_array_equal(edited.after.draws.log_weights, at_once.after.draws.log_weights)
    assert [len(slip.rows) for slip in ledger.receipts] == [1, 2, 3]


def test_requests_only_take_away_in_any_order(fit, tmp_path):
    asked = [([IDS[0], IDS[1]], 0.5), ([IDS[1], IDS[2]], 0.0), ([IDS[2]], 0.9)]
    means = []
    for number, order in enumerate(([0, 1, 2], [2, 1, 0])):
        ledger = br.Ledger(tmp_path / f"{number}.ledger", fit)
        for k in order:
            ledger.request(asked[k][0], weight=asked[k][1])
            ledger.apply(method="conjugate")
        means.append(ledger.fit.posterior.mean)
    np.testing.assert_array_equal(*means)
    np.testing.assert_allclose(means[0], closed_form(fit, {IDS[0]: 0.5, IDS[1]: 0, IDS[2]: 0}), rtol=1e-12)


def test_a_request_under_the_same_key_is_one_request(ledger):
    for _ in range(3):
        assert ledger.request([IDS[1]], key="a") == "a"
    ledger.apply(method="conjugate")
    assert ledger.request([IDS[1]], key="a") == "a"
    assert len(ledger.frame()) == 1
    assert ledger.pending.empty
    with pytest.raises(DataError, match="'a' stands for"):
        ledger.request([IDS[2]], key="a")
    with pytest.raises(DataError, match="'a' stands for"):
        ledger.request([IDS[1]], key="a", weight=0.5)


@pytest.mark.parametrize(
    ("rows", "weight", "says"),
    [
        ([], 0.0, "at least one row"),
        ([IDS[0], IDS[0]], 0.0, "each row once"),
        (["nobody"], 0.0, "unknown"),
        ([IDS[0]], 1.0, "below 1"),
        ([IDS[0]], np.nan, "below 1"),
        (IDS, 0.0, "at least one row to remain"),
    ],
)
def test_impossible_requests_are_refused(ledger, rows, weight, says):
    with pytest.raises(DataError, match=says):
        ledger.request(rows, weight=weight)
    assert ledger.frame().empty


def test_all_rows_cannot_be_asked_for_piecewise(ledger):
    ledger.request(IDS[:20])
    with pytest.raises(DataError, match="at least one row to remain"):
        ledger.request(IDS[20:])


def test_nothing_pending_repeats_the_last_edit(ledger, fit):
    assert ledger.apply(random_seed=0).after.posterior is fit.posterior
    ledger.request([IDS[1]])
    edited = ledger.apply(method="conjugate", random_seed=0)
    again = ledger.apply(method="retrain", random_seed=7)
    assert len(ledger.receipts) == 1
    np.testing.assert_array_equal(again.after.posterior.mean, edited.after.posterior.mean)


@pytest.mark.parametrize(
    ("other", "says"),
    [
        ({"bump": 0.1}, "another data"),
        ({"ids": [*IDS[:-1], "stranger"]}, "another data"),
        ({"prior_sd": 2.5}, "another model"),
    ],
)
def test_another_fit_is_refused(ledger, other, says):
    with pytest.raises(LedgerError, match=says):
        br.Ledger(ledger.path, normal_fit(**other))


def test_other_draws_of_the_same_model_are_refused(fit, tmp_path):
    first, second = (replace(fit, posterior=fit.posterior.draws(100, np.random.default_rng(k))) for k in (0, 1))
    br.Ledger(tmp_path / "model.ledger", first)
    with pytest.raises(LedgerError, match="very draws"):
        br.Ledger(tmp_path / "model.ledger", second)


def test_a_file_that_is_no_ledger_is_refused(fit, tmp_path):
    path = tmp_path / "notes.txt"
    path.write_text("not a database, but long enough to be looked at as one " * 20)
    with pytest.raises(LedgerError, match="cannot be opened"):
        br.Ledger(path, fit)


def logistic_fit():
    rng = np.random.default_rng(3)
    oracle = Logistic(n_features=3)
    x = rng.normal(size=(150, 3))
    y = (x[:, 0] + rng.logistic(size=150) > 0).astype(int)
    rows = oracle.rows({"x": x, "y": y})
    return br.Fit(oracle, rows, oracle.train(rows, rng=rng))


@pytest.mark.parametrize("method", ["auto", "transport", "retrain"])
def test_a_fresh_process_would_replay_to_the_bit(tmp_path, method):
    ledger = br.Ledger(tmp_path / "model.ledger", logistic_fit())
    wrong = np.flatnonzero((ledger.base.rows.values["x"][:, 0] > 0) != ledger.base.rows.values["y"])
    ledger.request(wrong[:10])
    edited = ledger.apply(method=method, random_seed=5)
    again = br.Ledger(tmp_path / "model.ledger", logistic_fit()).replay()
    np.testing.assert_array_equal(again.draws.theta, edited.after.draws.theta)
    np.testing.assert_array_equal(again.draws.log_weights, edited.after.draws.log_weights)


def test_a_replay_that_differs_is_warned_of_or_refused(ledger):
    ledger.request([IDS[1]])
    edited = ledger.apply(method="conjugate")
    sd = float(edited.after.posterior.precision[0, 0] ** -0.5)
    for away, outcome in ((0.001, pytest.warns(NumericsWarning, match="not the same to the bit")),
                          (0.5, pytest.raises(LedgerError, match="posterior sd away"))):  # fmt: skip
        moments = [[float(edited.after.posterior.mean[0]) + away * sd], [sd]]
        with Store(ledger.path).transaction() as connection:
            connection.execute("UPDATE application SET posterior_hash = 'x', moments = ?", (json.dumps(moments),))
        with outcome:
            ledger.replay()


def test_an_edit_that_cannot_be_relied_on_is_not_recorded(tmp_path):
    fit = normal_fit()
    drawn = replace(fit, posterior=fit.posterior.draws(400, np.random.default_rng(0)))
    ledger = br.Ledger(tmp_path / "model.ledger", drawn)
    ledger.request(IDS[:25])
    with pytest.raises(EditError, match="an edit to rely on"):
        ledger.apply(method="weights", random_seed=0)
    assert len(ledger.pending) == 1
    assert ledger.receipts == ()
    assert ledger.apply(method="retrain", verify=True, random_seed=0).verification.passed
    assert [slip.verdict for slip in ledger.receipts] == ["verified"]
    with pytest.raises(MethodError, match="name of a method"):
        ledger.apply(method=br.editors.Weights())


def test_one_process_applies_at_a_time(ledger, monkeypatch):
    ledger.request([IDS[1]])
    store = Store(ledger.path)
    with store.claimed(), pytest.raises(LedgerError, match=f"process {os.getpid()}"):
        ledger.apply(method="conjugate")
    held = "INSERT INTO claim VALUES (1, 'theirs', ?, ?, ?, ?)"
    gone = subprocess.run([sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, check=True)
    with store.transaction() as connection:  # its process is gone
        connection.execute(held, (ledger_store.platform.node(), int(gone.stdout), time.time(), time.time()))
    with store.claimed():
        pass
    with store.transaction() as connection:  # on another machine, last seen long ago
        connection.execute(held, ("elsewhere", 1, 0.0, time.time() - 2 * ledger_store.LEASE))
    assert ledger.apply(method="conjugate").status.level == "ok"
    with store.transaction() as connection:  # on another machine, just seen
        connection.execute(held, ("elsewhere", 1, 0.0, time.time()))
    with pytest.raises(LedgerError, match="process 1 on elsewhere"):
        ledger.apply(method="conjugate")


def test_a_claim_is_renewed_while_its_edit_lasts(ledger, monkeypatch):
    monkeypatch.setattr(ledger_store, "RENEWAL", 0.02)
    store = Store(ledger.path)
    with store.claimed():
        first = store.read("SELECT seen FROM claim")[0]["seen"]
        time.sleep(0.5)
        assert store.read("SELECT seen FROM claim")[0]["seen"] > first
    assert store.read("SELECT * FROM claim") == []


def test_who_lost_the_claim_records_nothing(ledger):
    ledger.request([IDS[1]])
    store = Store(ledger.path)
    line = {"applied": "", "method": "", "rungs": "", "seed": 0, "posterior_hash": "", "moments": "", "receipt": ""}
    with store.claimed() as token:
        with store.transaction() as connection:
            connection.execute("UPDATE claim SET token = 'theirs'")
        with pytest.raises(LedgerError, match="lapsed"):
            store.record(token, [1], line)
    assert len(ledger.pending) == 1
    assert ledger.receipts == ()


def test_no_request_can_be_marked_twice(ledger):
    ledger.request([IDS[1]])
    ledger.apply(method="conjugate")
    store = Store(ledger.path)
    line = {"applied": "", "method": "", "rungs": "", "seed": 0, "posterior_hash": "", "moments": "", "receipt": ""}
    with store.claimed() as token, pytest.raises(sqlite3.IntegrityError, match="applied once"):
        store.record(token, [1], line)
    assert len(ledger.receipts) == 1  # the line of the second application went with it


def test_a_failed_transaction_leaves_nothing(ledger):
    ledger.request([IDS[1]])

    def interrupted():
        with Store(ledger.path).transaction() as connection:
            connection.execute("UPDATE request SET weight = 0.9")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert ledger.frame()["weight"].tolist() == [0.0]


def test_what_is_forgotten_is_gone_from_the_file_and_still_replays(ledger, fit):
    ledger.request(IDS[:2], reason="a private reason", key="first")
    edited = ledger.apply(method="conjugate", random_seed=0)
    ledger.request([IDS[7]], reason="not yet applied")
    held = b"".join(path.read_bytes() for path in ledger.path.parent.iterdir())
    assert b"patient 1" in held
    assert b"a private reason" in held
    assert ledger.forget() == 1
    held = b"".join(path.read_bytes() for path in ledger.path.parent.iterdir())
    assert b"patient 1" not in held
    assert b"a private reason" not in held
    assert b"patient 7" in held
    again = br.Ledger(ledger.path, fit)
    np.testing.assert_array_equal(again.replay().posterior.mean, edited.after.posterior.mean)
    assert again.rows("first") == IDS[:2]
    assert again.request(IDS[:2], key="first") == "first"
    assert again.frame().loc["first", "reason"] == "(forgotten)"
    assert again.forget() == 0
    again.apply(method="conjugate")
    truth = closed_form(fit, {IDS[0]: 0, IDS[1]: 0, IDS[7]: 0})
    np.testing.assert_allclose(again.fit.posterior.mean, truth, rtol=1e-12)


def test_the_file_is_its_owners(ledger):
    assert stat.S_IMODE(ledger.path.stat().st_mode) == 0o600


@pytest.mark.parametrize(
    "ids", [list(range(6)), [1.5, 2.5, 3.5, 4.5, 5.5, 6.5], ["1", 1, "a", ("b", 2), "e", "f"],
            list(pd.date_range("2020-01-01", periods=6))],
)  # fmt: skip
def test_ids_of_any_kind_come_back(tmp_path, ids):
    kept = np.empty(6, dtype=object)
    kept[:] = ids
    oracle = NormalNormal()
    rows = br.Rows({"y": np.arange(6.0)}, kept)
    ledger = br.Ledger(tmp_path / "model.ledger", br.Fit(oracle, rows, oracle.posterior(rows)))
    key = ledger.request(pd.Index(kept[[1, 3]], dtype=object))
    assert ledger.rows(key) == [ids[1], ids[3]]
    ledger.apply(method="conjugate")
    np.testing.assert_allclose(ledger.fit.posterior.mean, (0 + 2 + 4 + 5) / 5)


def test_it_prints_and_escapes(ledger):
    ledger.request([IDS[1]], reason="<script>alert(1)</script>")
    assert "1 requests, 1 pending" in repr(ledger)
    assert "<script>" not in ledger._repr_html_()
    with pytest.raises(DataError, match="key of a request"):
        ledger.rows("unknown")


def kill(count, seed):
    """Lines of ``python -m benchmarks ledger``, one a kill."""
    command = [sys.executable, "-m", "benchmarks", "ledger", "--kills", str(count), "--seed", str(seed), "--json"]
    one = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    shown = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, env=os.environ | one, timeout=300)
    assert shown.returncode == 0, shown.stderr
    assert not shown.stderr, shown.stderr
    return pd.DataFrame(json.loads(shown.stdout.splitlines()[-1]))


def unharmed(frame, count):
    assert len(frame) == count
    assert frame["requests"].iloc[-1] > count / 4
    assert frame["edits"].iloc[-1] > 0
    for figure in ("lost", "unapplied", "twice", "errors"):
        np.testing.assert_array_equal(frame[figure], 0, err_msg=figure)
    np.testing.assert_allclose(frame["off"], 0, atol=1e-8)
    assert frame["replayed"].all()


@pytest.mark.skipif(os.name == "nt", reason="forks and kills")
def test_twenty_kills_lose_nothing_and_repeat_nothing():
    unharmed(kill(20, seed=1), 20)


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="forks and kills")
def test_a_hundred_kills_lose_nothing_and_repeat_nothing():
    frame = kill(100, seed=2)
    unharmed(frame, 100)
    assert frame["mid_edit"].sum() > 0
    assert frame["unanswered"].sum() > 0
