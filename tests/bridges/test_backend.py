"""What runs a general graph over many rows: chosen once, kept, the same bits afterwards."""

import json

import cloudpickle
import numpy as np
import pandas as pd
import platformdirs
import pymc as pm
import pytest
from streamed import assert_same_bits

import bayesrepair as br
from bayesrepair.bridges.pymc import backend, vectorised
from bayesrepair.bridges.pymc.evaluation import RowFunctions
from bayesrepair.bridges.pymc.extraction import row_graph
from bayesrepair.bridges.pymc.fit import TrainablePyMCModel
from bayesrepair.bridges.pymc.model import pymc_model
from bayesrepair.bridges.pymc.vectorised import compiled
from bayesrepair.noise import LabelNoise
from bayesrepair.number_noise import NumberNoise
from bayesrepair.status import DataError, MethodError
from bayesrepair.streaming.store import kept_run
from bayesrepair.suspects.number_suspicion import number_suspicion
from bayesrepair.suspects.suspicion import surprise as find_surprise
from bayesrepair.suspects.suspicion import suspicion

N = 60


def curved(rows=N) -> pm.Model:
    """A likelihood that no kernel knows: the mean is no linear predictor."""
    rng = np.random.default_rng(0)
    with pm.Model() as model:
        x = pm.Data("x", rng.uniform(0, 3, rows))
        rate, scale = pm.Normal("rate", 0, 1), pm.HalfNormal("scale", 1)
        pm.Normal("y", pm.math.log1p(pm.math.exp(rate * x)), scale, observed=rng.standard_normal(rows))
    return model


@pytest.fixture
def problem():
    model = pymc_model(curved())
    theta = 0.2 * np.random.default_rng(1).standard_normal((400, 2))
    draws = br.posterior.Draws.plain(theta, np.repeat(np.arange(4), 100))
    return br.Fit(model, model.training, draws), model.training.at(np.arange(5))


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """An empty cache, and passes of any size worth a look."""
    monkeypatch.setattr(platformdirs, "user_cache_path", lambda name: tmp_path / "cache" / name)
    monkeypatch.setattr(backend, "WORTH_CELLS", 1)
    return tmp_path / "cache" / "bayesrepair" / "backends"


def scored(problem, **more):
    fit, failures = problem
    return br.find_causes(fit, failures, progressbar=False, **more)


def fastest(monkeypatch, name):
    """Let one backend win every comparison, as a machine under load might."""
    monkeypatch.setattr(backend, "_measured", lambda _, tried, *rest: (1.0 if tried == name else 9.0, ""))


def test_small_passes_are_numpys_and_nothing_is_timed(problem, monkeypatch):
    monkeypatch.setattr(backend, "timed", lambda *parts: pytest.fail("timed"))
    assert scored(problem).arithmetic.identity == "NUMPY, double"


def test_it_is_timed_once_and_then_read(problem, cache, monkeypatch):
    fastest(monkeypatch, "LOOPS")
    first = scored(problem)
    assert first.arithmetic.backend == "LOOPS"
    assert "million draws × rows" in str(first.arithmetic)
    [kept] = cache.iterdir()
    assert json.loads(kept.read_text())["backend"] == "LOOPS"
    fastest(monkeypatch, "NUMPY")  # another day, another load
    fit, failures = problem
    again = scored((br.Fit(pymc_model(curved()), fit.rows, fit.draws), failures))
    assert again.arithmetic == first.arithmetic
    assert_same_bits(first, again)


def test_the_model_itself_stays_as_it_is(problem, cache, monkeypatch):
    fit, _ = problem
    before = fit.model.log_lik(fit.draws.theta, fit.rows)
    fastest(monkeypatch, "LOOPS")
    scored(problem)
    assert fit.model.mode == "NUMPY"
    np.testing.assert_array_equal(fit.model.log_lik(fit.draws.theta, fit.rows), before)


def given_speeds(monkeypatch, seconds: dict[str, float]):
    """CPU seconds a cell of each backend, as if they had been measured; all of them are here."""
    monkeypatch.setattr(backend, "is_here", lambda name: name in seconds)
    monkeypatch.setattr(backend, "_measured", lambda _, tried, *rest: (seconds[tried], ""))


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        ({"NUMPY": 4e-9, "LOOPS": 2e-9, "C": 9e-9}, "LOOPS"),
        ({"NUMPY": 4e-9, "LOOPS": 2e-9, "C": 1e-9}, "C"),
        ({"NUMPY": 4e-9, "LOOPS": 3.5e-9, "C": 9e-9}, "NUMPY"),  # not clearly faster: what needs no compiler stays
        ({"NUMPY": 4e-9, "LOOPS": 9e-9, "C": 9e-9}, "NUMPY"),
    ],
)
def test_what_is_clearly_faster_wins(problem, monkeypatch, seconds, expected):
    fit, _ = problem
    given_speeds(monkeypatch, seconds)
    choice = backend.timed(fit.model.functions, fit.draws.theta, fit.model._scored(fit.rows), 10**6)
    assert choice.backend == expected
    assert set(choice.speeds) == set(seconds)
    assert choice.speeds["NUMPY"] == "250 million draws × rows a CPU second"


@pytest.mark.parametrize(("cells", "tried"), [(10**6, False), (10**12, True)])
def test_slow_compilers_are_tried_where_that_can_pay(problem, monkeypatch, cells, tried):
    fit, _ = problem
    given_speeds(monkeypatch, {"NUMPY": 4e-9, "NUMBA": 1e-9})
    choice = backend.timed(fit.model.functions, fit.draws.theta, fit.model._scored(fit.rows), cells)
    assert choice.backend == ("NUMBA" if tried else "NUMPY")
    assert ("not tried" in choice.speeds["NUMBA"]) is not tried


def test_what_is_here_is_really_timed(problem):
    fit, _ = problem
    model = pymc_model(curved(1000))
    choice = backend.timed(model.functions, fit.draws.theta, model._scored(model.training), 10**6)
    assert choice.backend in choice.speeds
    for name in ("NUMPY", "LOOPS"):
        assert "million draws × rows a CPU second" in choice.speeds[name]


def test_what_gives_other_numbers_or_fails_is_out(problem, monkeypatch):
    fit, _ = problem
    functions, arrays = fit.model.functions, fit.model._scored(fit.rows)
    reference = functions.over_rows("log_lik", fit.draws.theta, *arrays)
    assert backend._measured(functions, "NUMPY", fit.draws.theta, arrays, reference)[1] == ""
    assert "other numbers" in backend._measured(functions, "NUMPY", fit.draws.theta, arrays, reference + 1e-3)[1]
    assert "cannot (ValueError)" in backend._measured(functions, "NUMPY", fit.draws.theta[:, :1], arrays, reference)[1]


def test_what_numpy_runs_instead_is_out_without_a_warning(problem, monkeypatch):
    fit, _ = problem
    functions, arrays = fit.model.functions, fit.model._scored(fit.rows)
    reference = functions.over_rows("log_lik", fit.draws.theta, *arrays)

    def cannot(*parts, mode):
        if mode == "LOOPS":
            raise NotImplementedError("no such loop")
        return compiled(*parts, mode=mode)

    monkeypatch.setattr(vectorised, "compiled", cannot)
    loops = RowFunctions(functions.graph, "LOOPS")
    seconds, reason = backend._measured(loops, "LOOPS", fit.draws.theta, arrays, reference)
    assert seconds == np.inf
    assert "cannot compile" in reason


def test_without_a_cache_folder_nothing_is_chosen(problem, cache, monkeypatch):
    cache.parent.parent.mkdir(parents=True)
    cache.parent.write_text("a file where the folder would be")
    monkeypatch.setattr(backend, "timed", lambda *parts: pytest.fail("timed"))
    found = scored(problem)
    assert found.arithmetic.backend == "NUMPY"
    assert "no cache folder" in str(found.arithmetic)


def test_whoever_writes_first_is_right(tmp_path):
    place = tmp_path / "choice.json"
    first = backend._kept(place, backend.Choice("LOOPS", {}))
    assert backend._kept(place, backend.Choice("NUMPY", {})) == first
    assert [p.name for p in tmp_path.iterdir()] == ["choice.json"]


def test_a_damaged_cache_is_timed_anew(problem, cache, monkeypatch):
    fastest(monkeypatch, "LOOPS")
    scored(problem)
    [kept] = cache.iterdir()
    kept.write_text("{")
    assert backend._read(kept) is None


def test_a_store_goes_on_as_it_was_begun(problem, cache, monkeypatch, tmp_path):
    fastest(monkeypatch, "LOOPS")
    first = scored(problem, store=tmp_path / "store")
    assert "LOOPS, double" in kept_run(tmp_path / "store").values()
    for kept in cache.iterdir():
        kept.unlink()
    fastest(monkeypatch, "NUMPY")
    again = scored(problem, store=tmp_path / "store")
    assert again.arithmetic.backend == "LOOPS"
    assert_same_bits(first, again)
    monkeypatch.setattr(backend, "BACKENDS", ("NUMPY",))
    with pytest.raises(MethodError, match="LOOPS"):
        scored(problem, store=tmp_path / "store")


def test_a_recognised_likelihood_is_the_kernels(cache):
    rng = np.random.default_rng(0)
    table = pd.DataFrame({"x": rng.normal(size=40), "y": rng.normal(size=40)})
    with pm.Model() as model:
        pm.Normal("y", pm.Normal("a", 0, 1) + pm.Normal("b", 0, 1) * table["x"].to_numpy(), 1.0, observed=table["y"])
    bridge = pymc_model(model, data=table)
    theta = rng.standard_normal((8, 2))
    same, arithmetic = bridge.for_scoring(theta, bridge.training, cells=10**12)
    assert same is bridge
    assert arithmetic.backend == "kernels"
    assert not cache.exists()


def test_the_scoring_model_travels(problem, cache, monkeypatch):
    fastest(monkeypatch, "LOOPS")
    fit, _ = problem
    model, _ = fit.model.for_scoring(fit.draws.theta, fit.rows, cells=10**9)
    there = cloudpickle.loads(cloudpickle.dumps(model))
    np.testing.assert_array_equal(there.log_lik(fit.draws.theta, fit.rows), model.log_lik(fit.draws.theta, fit.rows))
    assert there.functions.mode_of("log_lik") == "LOOPS"


def test_rows_without_an_outcome_are_refused_as_ever(problem):
    fit, failures = problem
    with pytest.raises(DataError, match="outcome"):
        br.find_causes(fit, failures, rows=br.Rows({"x": np.ones(2)}, np.arange(2)), progressbar=False)


def noisy_fit(noise, observed):
    """A noise-aware model of an outcome that depends on one slope, with some draws of its parameters."""
    x = np.random.default_rng(0).standard_normal(N)
    with pm.Model() as model:
        observed(pm.Normal("slope", 0, 1) * pm.Data("x", x))
    noisy = TrainablePyMCModel(model, row_graph(model)).with_noise(noise)
    theta = noisy.initial + 0.2 * np.random.default_rng(1).standard_normal((400, noisy.n_params))
    draws = br.posterior.Draws.plain(theta, np.repeat(np.arange(4), 100))
    return br.Fit(noisy, noisy.clean.training, draws)


def labels(eta):
    pm.Bernoulli("y", logit_p=eta, observed=np.random.default_rng(2).integers(0, 2, N))


def measurements(eta):
    pm.Normal("y", eta, 1.0, observed=np.random.default_rng(2).standard_normal(N))


@pytest.mark.parametrize(
    ("noise", "observed", "look"),
    [(LabelNoise(), labels, suspicion), (NumberNoise(), measurements, number_suspicion)],
)
def test_suspects_are_looked_for_by_what_is_fastest(noise, observed, look, cache, monkeypatch):
    fit = noisy_fit(noise, observed)
    with monkeypatch.context() as unhurried:
        unhurried.setattr(backend, "WORTH_CELLS", 10**12)
        expected = look(fit, fit.rows, np.random.default_rng(5))
    assert not fit.model._by_backend
    fastest(monkeypatch, "LOOPS")
    found = look(fit, fit.rows, np.random.default_rng(5))
    assert set(fit.model._by_backend) == {"LOOPS"}
    np.testing.assert_allclose(found.prob_wrong, expected.prob_wrong, rtol=1e-7)
    np.testing.assert_allclose(found.loo, expected.loo, rtol=1e-7)


def test_surprise_is_computed_by_what_is_fastest(problem, cache, monkeypatch):
    fit, _ = problem
    with monkeypatch.context() as unhurried:
        unhurried.setattr(backend, "WORTH_CELLS", 10**12)
        expected = find_surprise(fit, fit.rows)
    assert not fit.model._by_backend
    fastest(monkeypatch, "LOOPS")
    np.testing.assert_allclose(find_surprise(fit, fit.rows), expected, rtol=1e-7)
    assert set(fit.model._by_backend) == {"LOOPS"}
