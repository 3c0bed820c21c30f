"""The ladder: cheap editors first, each judged before it is believed, a refit last."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np

from bayesrepair.check import gradients_of_check
from bayesrepair.edit import (
    EDITORS,
    Attempt,
    Editor,
    Info,
    good_weights,
    judged,
    refuse_inapplicable,
)
from bayesrepair.editors.moves import Moves
from bayesrepair.editors.resample import Resample
from bayesrepair.editors.transport import Transport
from bayesrepair.fit import Change
from bayesrepair.model import Differentiable, Timed
from bayesrepair.posterior import Draws, Ensemble, Gaussian, Point, Posterior
from bayesrepair.status import MethodError, Status
from bayesrepair.target import Target

_WORTH = {"ok": 2, "checked": 1, "unreliable": 0}
_TIMED_DRAWS = 20


@dataclass(frozen=True)
class Auto:
    """Climb the rungs until one is ``ok``, and leave out those that would cost more than a refit.

    A rung whose weights are poor is not checked where a better rung is left: it could not become ``ok``. Where no
    rung is ``ok``, the best status wins, and among equals the last rung. The cost of a rung is predicted from the
    gradients that it takes and the time of a first block of them; that of a refit from the last one in this process,
    or from the sampling of the draws that are edited.

    Parameters
    ----------
    rungs : tuple of str
        Names of `EDITORS`, from cheap to dear.

    Examples
    --------
    >>> from bayesrepair.edit import edit
    >>> from bayesrepair.fit import Factor, Fit
    >>> from bayesrepair.oracles import NormalNormal
    >>> oracle = NormalNormal(prior_mean=0.0, prior_sd=1.0, noise_sd=1.0)
    >>> rows = oracle.rows({"y": np.array([1.0, 2.0, 9.0])})
    >>> fit = Fit(oracle, rows, oracle.posterior(rows).draws(4000, np.random.default_rng(0)))
    >>> edited = edit(fit, Factor(rows.take([2]), -1.0), method="auto", random_seed=0)
    >>> edited.info.rung, edited.status.level  # the mean moves by three posterior sds: plain weights cannot follow
    ('transport', 'ok')
    """

    rungs: tuple[str, ...] = ("weights", "transport", "newton", "moves", "resample", "retrain")

    accepts: ClassVar[tuple[type, ...]] = (Draws, Gaussian, Point, Ensemble)
    needs: ClassVar[tuple[type, ...]] = ()
    directions: ClassVar[frozenset[str]] = frozenset({"insert", "delete"})

    def __call__(self, change: Change, rng: np.random.Generator) -> tuple[Posterior, Info]:
        """Return the posterior of the rung that served, and every attempt in order."""
        usable, refused = self._applicable(change)
        attempts: list[Attempt] = []
        best: tuple[Posterior, Info] | None = None
        climbed = _affordable(usable, change, refused)
        transported: Draws | None = None
        for position, (name, editor) in enumerate(climbed):
            if transported is not None and isinstance(editor, Moves | Resample):
                editor = replace(editor, start=transported)
            posterior, info = _tried(name, editor, change, rng, last=position == len(climbed) - 1)
            if isinstance(editor, Transport) and isinstance(posterior, Draws):
                transported = posterior
            assert info.status is not None  # `_tried` judges
            attempts.append(info.attempts[-1])
            if best is None or _worth(info) >= _worth(best[1]):
                best = posterior, info
            if info.status.level == "ok":
                break
        assert best is not None  # `_applicable` refuses an empty ladder
        posterior, info = best
        details = {**info.details, "stopped": _why(info, attempts), "refused": refused}
        evals = sum(attempt.log_lik_evals for attempt in attempts)
        return posterior, replace(info, attempts=tuple(attempts), log_lik_evals=evals, details=details)

    def _applicable(self, change: Change) -> tuple[list[tuple[str, Editor]], dict[str, str]]:
        """The rungs that can serve here, and why the others cannot."""
        usable, refused = [], {}
        for name in self.rungs:
            editor = EDITORS[name]()
            try:
                refuse_inapplicable(editor, change)
            except MethodError as reason:
                refused[name] = str(reason)
            else:
                usable.append((name, editor))
        if not usable:
            reasons = "; ".join(f"{name}: {why}" for name, why in refused.items())
            raise MethodError(f"a rung among {', '.join(self.rungs)} that applies", reasons)
        return usable, refused


def _affordable(usable: list[tuple[str, Editor]], change: Change, refused: dict[str, str]) -> list[tuple[str, Editor]]:
    """The rungs in order, without those that are predicted to take longer than a refit; these go to ``refused``."""
    climbed = []
    refit = np.nan
    if isinstance(change.model, Timed) and usable[-1][0] == "retrain":
        refit = change.model.refit_seconds(change.posterior)
    second_per_gradient = np.nan
    for name, editor in usable:
        gradients = getattr(editor, "gradients", None)
        if gradients is not None and np.isfinite(refit):
            if np.isnan(second_per_gradient):
                second_per_gradient = _gradient_seconds(change)
            predicted = (gradients(change) + gradients_of_check(change)) * second_per_gradient
            if predicted > refit:
                refused[name] = f"predicted to take {predicted:.2g} s, a refit {refit:.2g} s"
                continue
        climbed.append((name, editor))
    return climbed


def _gradient_seconds(change: Change) -> float:
    """Time of one gradient of all rows, from a first block of draws."""
    assert isinstance(change.model, Differentiable)  # rungs with a price need it
    assert isinstance(change.posterior, Draws)
    target, some = Target.after(change), change.posterior.theta[:_TIMED_DRAWS]
    target.value_and_gradient(some[:1])  # whatever is to be made first
    started = time.perf_counter()
    target.value_and_gradient(some)
    return (time.perf_counter() - started) / len(some)


def _tried(
    name: str, editor: Editor, change: Change, rng: np.random.Generator, *, last: bool
) -> tuple[Posterior, Info]:
    started = time.perf_counter()
    posterior, info = editor(change, rng)
    if not last and isinstance(posterior, Draws) and not info.exact and not good_weights(posterior, info):
        status = Status("unreliable", f"k-hat {info.khat:.2f}, ESS {info.ess:.0f}: poor weights, not checked")
        info = replace(info, status=status)
    else:
        info = judged(change, posterior, info, rng)
    seconds = time.perf_counter() - started
    assert info.status is not None  # both branches set it
    attempt = Attempt(name, info.khat, info.ess, info.log_lik_evals, seconds, info.status)
    return posterior, replace(info, seconds=seconds, attempts=(attempt,))


def _worth(info: Info) -> int:
    assert info.status is not None  # judged before it is compared
    return _WORTH[info.status.level]


def _why(info: Info, attempts: list[Attempt]) -> str:
    """Why the climb ended where it did."""
    if info.status is not None and info.status.level == "ok":
        return f"{info.rung} is ok"
    return f"no rung is ok ({', '.join(f'{a.rung}: {a.status.level}' for a in attempts)}); {info.rung} is the best"
