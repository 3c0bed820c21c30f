"""What every editor must satisfy, as functions of its name and a problem."""

from __future__ import annotations

from functools import cache

import cloudpickle
import numpy as np
import pytest

import bayesrepair as br
from bayesrepair.edit import Edited
from bayesrepair.fit import Factor, Fit
from bayesrepair.posterior import Draws
from bayesrepair.rows import Rows
from tests.cases import EDITOR_CASES, Problem, moments, truth

FEW = 4  # rows whose deletion plain weights follow
SEED = 5
STANDARD_ERRORS = 4.5
SLACK = 0.02  # posterior sds: what a reference of draws may itself be off


def run(editor: str, problem: Problem, *factors: Factor, fit: Fit | None = None, seed: int = SEED) -> Edited:
    """An edit by this editor, from the representation it takes."""
    fit = problem.fit(closed=EDITOR_CASES[editor].closed) if fit is None else fit
    return br.edit(fit, list(factors), method=editor, random_seed=seed)


@cache
def expected(problem: Problem, *factors: Factor) -> tuple[np.ndarray, np.ndarray]:
    """The exact moments, computed once an edit."""
    return truth(problem, *factors)


def matches(edited: Edited, mean: np.ndarray, sd: np.ndarray) -> None:
    """Moments agree: to 1e-8 in closed form, else within a few standard errors of enough effective draws."""
    got_mean, got_sd, ess = moments(edited.after.posterior)
    if np.isinf(ess):
        np.testing.assert_allclose(got_mean, mean, rtol=1e-8, atol=1e-8)
        np.testing.assert_allclose(got_sd, sd, rtol=1e-8)
        return
    assert ess > 100, f"only {ess:.0f} effective draws"
    error = STANDARD_ERRORS / np.sqrt(ess) + SLACK
    assert np.abs((got_mean - mean) / sd).max() < error
    assert np.abs(np.log(got_sd / sd)).max() < error


def check_identity(editor: str, problem: Problem) -> None:
    """Nothing to change: the very same posterior."""
    fit = problem.fit(closed=EDITOR_CASES[editor].closed)
    for factor in (Factor(problem.rows.at(slice(0, 0)), -1.0), Factor(problem.rows, 0.0)):
        edited = run(editor, problem, factor, fit=fit)
        assert edited.after.posterior is fit.posterior
        assert edited.status.level == "ok"


def check_oracle(editor: str, problem: Problem) -> None:
    """Deletion, insertion, and both at once agree with the closed form (or a long reference)."""
    delete, insert = problem.top(FEW), problem.insertion(FEW)
    for factors in ((delete,), (insert,), (delete, insert)):
        matches(run(editor, problem, *factors), *expected(problem, *factors))


def check_undo(editor: str, problem: Problem) -> None:
    """delete(insert(x)) = x."""
    insert = problem.insertion(FEW)
    fit = problem.fit(closed=EDITOR_CASES[editor].closed)
    there = run(editor, problem, insert, fit=fit)
    back = run(editor, problem, insert.inverse, fit=there.after)
    matches(back, *moments(fit.posterior)[:2])
    np.testing.assert_array_equal(back.after.row_weights, np.ones(len(problem.rows)))


def check_additivity(editor: str, problem: Problem) -> None:
    """Powers add up, and the order of two edits does not matter."""
    whole, other = problem.top(FEW), problem.insertion(FEW)
    parts = [Factor(whole.rows, -0.4), Factor(whole.rows, -0.6), other]
    mean, sd = expected(problem, whole, other)
    for order in ((0, 1, 2), (2, 1, 0)):
        edited = None
        for k in order:
            edited = run(editor, problem, parts[k], fit=None if edited is None else edited.after)
        matches(edited, mean, sd)


def check_powers(editor: str, problem: Problem) -> None:
    """A power for each row, fractions among them: the closed form of the net weights, which the fit tells."""
    factor = problem.reweighting()
    edited = run(editor, problem, factor)
    matches(edited, *expected(problem, factor))
    at = problem.rows.positions(factor.rows.row)
    np.testing.assert_array_equal(edited.before.row_weights, 1.0)
    np.testing.assert_array_equal(edited.after.row_weights[at], 1.0 + factor.powers)
    assert edited.after.row_weights.sum() == len(problem.rows) + factor.powers.sum()


def check_grouping(editor: str, problem: Problem) -> None:
    """One factor or several, one step or more: the same bits. A record inserted twice weighs two."""
    delete, insert = problem.top(FEW), problem.insertion(FEW)
    some, others = (delete.rows.at(at) for at in (slice(0, 1), slice(1, FEW)))
    parts = [Factor(others, -0.75), insert, Factor(some, -1.0), Factor(others, -0.25), insert]
    whole = run(editor, problem, delete, Factor(insert.rows, 2.0))
    at_once = run(editor, problem, *parts)
    first = run(editor, problem, *parts[:2])
    after = run(editor, problem, *parts[2:], fit=first.after)
    for edited in (at_once, after):
        for a, b in zip(_arrays(edited), _arrays(whole), strict=True):
            np.testing.assert_array_equal(a, b)
        np.testing.assert_array_equal(edited.after.net()[1][len(problem.rows) :], 2.0)


def check_order_and_ids(editor: str, problem: Problem) -> None:
    """Neither the ids nor the order of the rows mean anything."""
    fit = problem.fit(closed=EDITOR_CASES[editor].closed)
    factor = problem.top(FEW)
    base = moments(run(editor, problem, factor, fit=fit).after.posterior)[0]
    names = np.array([f"row {i}" for i in problem.rows.row])
    named = Fit(fit.model, Rows(problem.rows.values, names), fit.posterior)
    chosen = named.rows.at(problem.rows.positions(factor.rows.row))
    again = run(editor, problem, Factor(chosen, -1.0), fit=named).after.posterior
    np.testing.assert_array_equal(moments(again)[0], base)
    turned = Fit(fit.model, problem.rows.at(np.arange(len(problem.rows))[::-1]), fit.posterior)
    backwards = Factor(factor.rows.at(np.arange(FEW)[::-1]), -1.0)
    again = run(editor, problem, backwards, fit=turned).after.posterior
    scale = moments(fit.posterior)[1]
    np.testing.assert_allclose(moments(again)[0] / scale, base / scale, atol=0.05)


def check_direction(editor: str, problem: Problem) -> None:
    """Deleting rows makes them less likely, inserting them once more makes them more likely."""
    fit = problem.fit(closed=EDITOR_CASES[editor].closed)
    delete = problem.top(FEW)
    after = [run(editor, problem, factor, fit=fit).after.posterior for factor in (delete, delete.inverse)]
    deleted, given, inserted = (_support(problem, delete.rows, p) for p in (after[0], fit.posterior, after[1]))
    assert deleted < given < inserted


def check_purity(editor: str, problem: Problem) -> None:
    """Inputs stay as they were, and the same seed gives the same bits."""
    fit = problem.fit(closed=EDITOR_CASES[editor].closed)
    factor = problem.top(FEW)
    before = cloudpickle.dumps(fit)
    first = run(editor, problem, factor, fit=fit)
    assert cloudpickle.dumps(fit) == before
    second = run(editor, problem, factor, fit=fit)
    for a, b in zip(_arrays(first), _arrays(second), strict=True):
        np.testing.assert_array_equal(a, b)


def check_cloudpickle(editor: str, problem: Problem) -> None:
    """A result survives the journey to another process."""
    edited = run(editor, problem, problem.top(FEW))
    loaded = cloudpickle.loads(cloudpickle.dumps(edited))
    for a, b in zip(_arrays(edited), _arrays(loaded), strict=True):
        np.testing.assert_array_equal(a, b)
    assert loaded.status == edited.status


def check_honesty(editor: str, problem: Problem) -> None:
    """After deleting 60 % of the rows, those with the largest outcomes, ``ok`` means right."""
    factor = problem.top(int(0.6 * len(problem.rows)))
    edited = run(editor, problem, factor)
    if not EDITOR_CASES[editor].far:
        assert edited.status.level != "ok"
    if edited.status.level == "ok":
        matches(edited, *expected(problem, factor))


def check_canary(editor: str, problem: Problem) -> None:
    """With the sign of every power flipped the oracle check must notice, and not for want of effective draws."""
    delete = _telling(problem)
    with pytest.raises(AssertionError, match=r"^(?!only \d+ effective)"):
        matches(run(editor, problem, delete.inverse), *expected(problem, delete))


@cache
def _telling(problem: Problem) -> Factor:
    """Deletion of the fewest top rows that is far from their insertion: twice what 1600 draws let pass."""
    for count in range(FEW, len(problem.rows)):
        delete = problem.top(count)
        (mean, sd), (flipped, _) = expected(problem, delete), expected(problem, delete.inverse)
        if np.abs((flipped - mean) / sd).max() > 0.27:
            return delete
    raise AssertionError("expected rows whose deletion differs from their insertion")


def _support(problem: Problem, rows: Rows, posterior: object) -> float:
    """Expected log-likelihood of some rows; at the mean of the parameters where there are no draws."""
    theta = posterior.theta if isinstance(posterior, Draws) else moments(posterior)[0][None]
    weights = posterior.weights if isinstance(posterior, Draws) else np.ones(1)
    return float(weights @ problem.model.log_lik(theta, rows).sum(axis=1))


def _arrays(edited: Edited) -> list[np.ndarray]:
    posterior = edited.after.posterior
    if isinstance(posterior, Draws):
        return [posterior.theta, posterior.log_weights, posterior.weights]
    return [np.asarray(value) for value in moments(posterior)]


CONFORMANCE = {
    "identity": check_identity,
    "oracle": check_oracle,
    "undo": check_undo,
    "additivity": check_additivity,
    "powers": check_powers,
    "grouping": check_grouping,
    "order and ids": check_order_and_ids,
    "direction": check_direction,
    "purity": check_purity,
    "cloudpickle": check_cloudpickle,
    "honesty": check_honesty,
}
