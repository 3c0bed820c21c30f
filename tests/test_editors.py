"""The conformance suite: every editor on every problem."""

import numpy as np
import pytest

import bayesrepair as br
from bayesrepair.edit import EDITORS
from bayesrepair.fit import Factor, Fit
from bayesrepair.oracles import NormalNormal
from bayesrepair.posterior import Draws
from bayesrepair.status import MethodError
from tests.cases import EDITOR_CASES, PROBLEMS, problem
from tests.checks import CONFORMANCE, check_canary

APPLICABLE = [
    (editor, name) for editor, case in EDITOR_CASES.items() for name in PROBLEMS if case.serves(problem(name))
]


def test_every_editor_has_its_line_here():
    assert set(EDITOR_CASES) == set(EDITORS)


@pytest.mark.parametrize("check", CONFORMANCE)
@pytest.mark.parametrize(("editor", "name"), APPLICABLE)
def test_conformance(editor, name, check):
    CONFORMANCE[check](editor, problem(name))


@pytest.mark.parametrize(("editor", "name"), APPLICABLE)
def test_flipping_the_sign_fails_the_oracle_check(editor, name):
    check_canary(editor, problem(name))


class Plain:
    """An oracle that offers no gradients and cannot be trained."""

    def __init__(self, oracle):
        self.oracle = oracle
        self.n_params, self.names, self.outcome = oracle.n_params, oracle.names, oracle.outcome
        self.dims, self.coords = {}, {}
        for name in ("log_prior", "log_lik", "predict", "simulate", "constrain", "rows"):
            setattr(self, name, getattr(oracle, name))


def plain_fit():
    oracle = NormalNormal(0.0, 2.0, 1.0)
    rows = oracle.rows({"y": np.random.default_rng(0).normal(size=50)})
    return Fit(Plain(oracle), rows, oracle.posterior(rows).draws(2000, np.random.default_rng(1)))


def test_without_gradients_transport_is_refused():
    fit = plain_fit()
    with pytest.raises(MethodError, match="Differentiable"):
        br.edit(fit, Factor(fit.rows.take([3]), -1.0), method="transport")


def test_without_gradients_nothing_vouches_for_the_weights():
    fit = plain_fit()
    edited = br.edit(fit, Factor(fit.rows.take([3]), -1.0), method="auto", random_seed=0)
    assert edited.info.rung == "weights"
    assert edited.status.level == "checked"
    assert set(edited.info.details["refused"]) == {"transport", "moves", "resample", "retrain"}


def test_auto_records_every_rung_it_tried():
    edited = br.edit(problem("linear_known").fit(closed=False), problem("linear_known").top(48), random_seed=0)
    rungs = list(edited.info.frame()["rung"])
    assert rungs[0] == "weights"
    assert edited.info.rung == rungs[-1] != "weights"
    assert edited.info.log_lik_evals == edited.info.frame()["log_lik_evals"].sum()
    assert edited.info.details["stopped"].endswith("is ok")


def test_auto_takes_the_best_rung_where_none_is_ok():
    fit = plain_fit()
    far = Factor(fit.rows.at(np.argsort(fit.rows.values["y"])[10:]), -1.0)
    edited = br.edit(fit, far, method="auto", random_seed=0)
    assert edited.status.level == "unreliable"
    assert "no rung is ok" in edited.info.details["stopped"]


def test_chains_that_disagree_are_never_ok():
    case = problem("linear_known")
    fit = case.fit(closed=False)
    theta = fit.posterior.theta + 0.5 * (fit.posterior.chain == 0)[:, None]
    apart = Fit(fit.model, fit.rows, Draws.plain(theta, fit.posterior.chain))
    for method in ("weights", "transport"):
        assert br.edit(apart, case.top(2), method=method, random_seed=0).status.level != "ok"


def test_retrain_gives_what_the_ladder_falls_back_to():
    case = problem("linear_known")
    edited = br.edit(case.fit(closed=False), case.top(4), method="retrain", random_seed=0)
    assert edited.info.exact
    assert edited.after.source is None  # drawn afresh: later edits start from here
