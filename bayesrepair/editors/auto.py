"""The ladder: cheap editors first, each judged before it is believed, a refit last."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from functools import cached_property
from typing import ClassVar

import numpy as np

from bayesrepair.check import gradients_of_check
from bayesrepair.edit import EDITORS, Editor, refuse_inapplicable
from bayesrepair.editors.moves import Moves
from bayesrepair.editors.resample import Resample
from bayesrepair.editors.transport import Transport
from bayesrepair.editors.weights import Weights
from bayesrepair.fit import Change
from bayesrepair.judgement import Attempt, Info, good_weights, judged
from bayesrepair.model import Differentiable, Timed
from bayesrepair.posterior import Draws, Ensemble, Gaussian, Point, Posterior
from bayesrepair.status import MethodError, Status
from bayesrepair.target import Target

PLENTY = 1500.0  # effective draws: 5 and 95 % quantiles are then known to about .05 posterior sd
PLENTIFUL_SHARE = 0.35  # of the draws, where these are few
_WORTH = {"ok": 2, "checked": 1, "unreliable": 0}
_TIMED_DRAWS = 100


@dataclass(frozen=True)
class Auto:
    """Climb the rungs until one is ``ok``, and leave out those that would cost more than a refit.

    A rung whose weights are poor is not checked where a better rung is left: it could not become ``ok``. Plain
    weights that are good but leave few effective draws (1500, or 35 %) are compared with a transport. Where no
    rung is ``ok``, the best status wins, and among equals the last rung. The cost of a rung is predicted from the
    gradients that it takes and the time of a first block of them; that of a refit from the last one in this process,
    or from the sampling of the draws that are edited.

    Parameters
    ----------
    rungs : tuple of str
        Names of `EDITORS`, from cheap to dear.
    priced : bool
        Whether rungs are left out that would take longer than a refit. Without, the climb does not depend on the
        clock, and the same seed repeats it.

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
    priced: bool = True

    accepts: ClassVar[tuple[type, ...]] = (Draws, Gaussian, Point, Ensemble)
    needs: ClassVar[tuple[type, ...]] = ()
    directions: ClassVar[frozenset[str]] = frozenset({"insert", "delete"})

    def __call__(self, change: Change, rng: np.random.Generator) -> tuple[Posterior, Info]:
        """Return the posterior of the rung that served, and every attempt in order."""
        usable, refused = self._applicable(change)
        prices = _Prices(change, refittable=usable[-1][0] == "retrain")
        attempts: list[Attempt] = []
        best: tuple[Posterior, Info] | None = None
        transported: Draws | None = None
        for name, editor in usable:
            editor = _informed(editor, attempts, transported)
            too_dear = prices.complaint(editor)
            if too_dear:
                refused[name] = too_dear
                continue
            posterior, info = _tried(name, editor, change, rng, last=name == usable[-1][0])
            assert info.status is not None  # `_tried` judges
            attempts.append(info.attempts[-1])
            if best is None or _rank(info) >= _rank(best[1]):
                best = posterior, info
            if isinstance(posterior, Gaussian) and info.status.level == "checked":
                break  # a Laplace refit would be the same Gaussian
            if best[1].status is not None and best[1].status.level == "ok" and not _improvable(editor, posterior, info):
                break
            if isinstance(editor, Transport) and isinstance(posterior, Draws):
                transported = posterior
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
            if not isinstance(change.posterior, editor.accepts):
                continue  # made for another kind of posterior
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


def _informed(editor: Editor, attempts: list[Attempt], transported: Draws | None) -> Editor:
    """An editor that repeats nothing that has been done."""
    if isinstance(editor, Transport) and any(attempt.rung == "weights" for attempt in attempts):
        return replace(editor, maps=tuple(name for name in editor.maps if name != "identity"))
    if isinstance(editor, Moves | Resample) and transported is not None:
        return replace(editor, start=transported)
    return editor


@dataclass(eq=False)
class _Prices:
    """Predicted wall times. Nothing is timed before a rung with a price is reached."""

    change: Change
    refittable: bool

    def complaint(self, editor: Editor) -> str:
        """Why a rung is not worth its price; empty where it is, or where nothing is known."""
        gradients = getattr(editor, "gradients", None)
        if gradients is None or not np.isfinite(self.refit):
            return ""
        predicted = (gradients(self.change) + gradients_of_check(self.change)) * self.gradient
        return f"predicted to take {predicted:.2g} s, a refit {self.refit:.2g} s" if predicted > self.refit else ""

    @cached_property
    def refit(self) -> float:
        """Of a refit; nan where it is not known."""
        model = self.change.model
        return model.refit_seconds(self.change.posterior) if self.refittable and isinstance(model, Timed) else np.nan

    @cached_property
    def gradient(self) -> float:
        """Of one gradient of all rows, from a first block of draws."""
        assert isinstance(self.change.model, Differentiable)  # rungs with a price need it
        assert isinstance(self.change.posterior, Draws)
        target, some = Target.after(self.change), self.change.posterior.theta[:_TIMED_DRAWS]
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


def _rank(info: Info) -> tuple[int, float]:
    """Results by status, and among good ones by effective sample size."""
    assert info.status is not None  # judged before it is compared
    worth = _WORTH[info.status.level]
    return worth, float(np.nan_to_num(info.ess)) if info.status.level == "ok" else 0.0


def _improvable(editor: Editor, posterior: Posterior, info: Info) -> bool:
    """Whether plain weights are good but leave few effective draws: a transport may keep most of them."""
    if not (isinstance(editor, Weights) and isinstance(posterior, Draws)):
        return False
    return info.ess < min(PLENTY, PLENTIFUL_SHARE * len(posterior))


def _why(info: Info, attempts: list[Attempt]) -> str:
    """Why the climb ended where it did."""
    if info.status is not None and info.status.level == "ok":
        return f"{info.rung} is ok"
    return f"no rung is ok ({', '.join(f'{a.rung}: {a.status.level}' for a in attempts)}); {info.rung} is the best"
