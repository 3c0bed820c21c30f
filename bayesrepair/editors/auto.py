"""The ladder: cheap editors first, each judged before it is believed, a refit last."""

from __future__ import annotations

import time
from dataclasses import dataclass, field, replace
from typing import ClassVar

import numpy as np

from bayesrepair.edit import EDITORS, Editor, refuse_inapplicable
from bayesrepair.editors.moves import Moves
from bayesrepair.editors.prices import Prices
from bayesrepair.editors.resample import Resample
from bayesrepair.editors.transport import Transport
from bayesrepair.editors.weights import Weights
from bayesrepair.fit import Change
from bayesrepair.glance import Glance
from bayesrepair.judgement import Attempt, Info, good_weights, judged
from bayesrepair.posterior import Draws, Ensemble, Gaussian, Point, Posterior
from bayesrepair.status import MethodError, Status

PLENTY = 2000.0  # effective draws: 5 and 95 % quantiles then have a standard error of .05 posterior sd
PLENTIFUL_SHARE = 0.5  # of the draws, where these are few
WORTH_POWER = 2.0  # a little short of plenty is worth little time
LENGTH, STEPS = 1.5, 6  # of a trajectory: a shorter one leaves the more of the luck of the draws that are edited
VERY_FEW = 0.45  # of plenty: one trajectory then leaves too few still
SCARCE = 0.2  # of plenty: more draws may then take as long as a refit
_DOUBTED = "Use method='retrain'."
_WORTH = {"ok": 2, "checked": 1, "unreliable": 0}


@dataclass(frozen=True)
class Auto:
    """Climb the rungs until one is ``ok``, and leave out those that would cost more than a refit.

    A rung whose weights are poor is not checked where a better rung is left: it could not become ``ok``. Plain
    weights that are good but leave few effective draws (2000, or 50 %) are set aside for a transport, and checked
    only where that is not ``ok``. Weighted and transported draws that are few, by their weights or for the 5 and 95
    % quantiles of what they predict, get one HMC move each (two or three where they are very few) where that is worth
    its time: the share of a refit that it may take rises from nothing at 2000 effective draws (50 %) to all of it at
    400. They are checked once they are moved. Where they are very few still, they are moved again; if they fail the
    check then, that tells against what they were before: it is ``unreliable``, and the climb goes on. Where no rung
    is ``ok``, the best status wins, and among equals the last rung. The cost of a rung is predicted from the
    gradients that it takes and the time of a first block of them; that of a refit from the last one in this process,
    or from the sampling of the draws that are edited, in proportion to the rows.

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
        prices = Prices(change, refittable=self.priced and usable[-1][0] == "retrain")
        twice = frozenset(name for name in self.rungs if self.rungs.count(name) > 1)
        climb = _Climb(change, rng, prices, refused, self.priced, twice)
        for k, (name, editor) in enumerate(usable):
            if isinstance(editor, Moves) and climb.leaves_out_moves():
                continue
            climb.take(name, editor, left=[later for _, later in usable[k + 1 :]])
            if climb.ended and not climb.doubted:
                climb.move_the_few(usable[k if self.priced else k + 1 :])
            if climb.ended:
                break
        return climb.result()

    def _applicable(self, change: Change) -> tuple[list[tuple[str, Editor]], dict[str, str]]:
        """The rungs that can serve here, and why the others cannot."""
        usable: list[tuple[str, Editor]] = []
        refused: dict[str, str] = {}
        for name in self.rungs:
            editor = EDITORS[name]()
            if not isinstance(change.posterior, editor.accepts):
                continue  # made for another kind of posterior
            if not isinstance(editor, Moves) and name in dict(usable):
                continue  # a climb to be repeated names what was set aside and judged later twice
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


@dataclass(eq=False)
class _Climb:
    """One edit's way up: what was tried, and the best of it.

    Parameters
    ----------
    change : Change
    rng : Generator
    prices : Prices
    refused : dict of str to str
        Rungs that were left out, and why; grows.
    priced : bool
        See `Auto`.
    twice : frozenset of str
        Rungs that the ladder names twice: a climb that is repeated names each attempt.
    doubted : bool
        Whether draws that were ``ok`` failed the check once they were moved.
    failed : int
        How often draws that were not checked before failed it once they were moved.
    """

    change: Change
    rng: np.random.Generator
    prices: Prices
    refused: dict[str, str]
    priced: bool = True
    twice: frozenset[str] = frozenset()
    attempts: list[Attempt] = field(default_factory=list)
    best: tuple[Posterior, Info] | None = None
    aside: tuple[Draws, Info] | None = None
    transported: Draws | None = None
    doubted: bool = False
    failed: int = 0

    def take(self, name: str, editor: Editor, *, left: list[Editor]) -> None:
        """Try a rung, or note why it is left out; ``left`` are the rungs after it."""
        editor = self._informed(editor)
        too_dear = self.prices.complaint(editor)
        if too_dear:
            self.refused[name] = too_dear
            self._return_to_what_was_set_aside()
            return
        started = time.perf_counter()
        posterior, info = editor(self.change, self.rng)
        seconds, glance = time.perf_counter() - started, None
        if isinstance(editor, Transport) and isinstance(posterior, Draws):
            self.transported = posterior
        if (left or name in self.twice) and isinstance(posterior, Draws) and not info.exact:
            if not good_weights(posterior, info):
                why = f"k-hat {info.khat:.2f}, ESS {info.ess:.0f}: poor weights, not checked"
                self._keep(posterior, _unchecked(name, info, seconds, why))
                self._return_to_what_was_set_aside()
                return
            effective = self._effective(info)
            if isinstance(editor, Weights) and _are_few(posterior, effective) and self._is_transport(left[0]):
                why = f"k-hat {info.khat:.2f}, ESS {info.ess:.0f}: few effective draws, set aside"
                self.aside = posterior, info
                self._keep(posterior, _unchecked(name, info, seconds, why))
                return
            if isinstance(editor, Transport | Weights) and (_has_moves(left) or name in self.twice):
                if not _are_very_few(posterior, effective):
                    glance = Glance.of(self.change, posterior, self.rng)
                    effective = min(effective, glance.ess_tails)
                    seconds = time.perf_counter() - started  # with the look at them
                if _need_moves(posterior, effective, left) or name in self.twice:
                    why = f"k-hat {info.khat:.2f}, ESS {effective:.0f}: few effective draws, not checked as they are"
                    self._keep(posterior, _unchecked(name, info, seconds, why))
                    moves = self._moves_worth_it(posterior, effective)
                    if moves is not None and (self.priced or name not in self.twice):
                        self.failed += self._move(moves) == "unreliable"
                        self._return_to_what_was_set_aside()
                        return
        self._judge(name, posterior, info, seconds, glance)
        self._return_to_what_was_set_aside()

    @property
    def ended(self) -> bool:
        """Whether nothing better is worth the climb."""
        if self.best is None or self.aside is not None:
            return False
        posterior, info = self.best
        assert info.status is not None  # kept with one
        same_again = isinstance(posterior, Gaussian) and info.status.level == "checked"  # a refit is the same Gaussian
        return info.status.level == "ok" or same_again

    def move_the_few(self, rungs: list[tuple[str, Editor]]) -> None:
        """Move the draws once more where what is ok leaves few of them, or very few that were moved already.

        If moves are allowed and worth their time.
        """
        assert self.best is not None  # a rung was kept before
        posterior, info = self.best
        assert info.status is not None  # kept with one
        if info.status.level != "ok" or not isinstance(posterior, Draws):
            return
        effective = self._effective(info)
        if not _need_moves(posterior, effective, [editor for _, editor in rungs]):
            return
        if info.rung == "moves" and not _are_very_few(posterior, effective):
            return
        again = 0.0 if info.check is None else info.check.seconds
        moves = self._moves_worth_it(posterior, effective, check_seconds=again)
        if moves is not None and self._move(moves) == "unreliable":
            self._doubt()

    def _moves_worth_it(self, posterior: Draws, effective: float, *, check_seconds: float = 0.0) -> Moves | None:
        """Moves, if they take no longer than what they bring is worth, or where prices do not count.

        Draws that were checked have to be checked again then.
        """
        moves = _refreshing(posterior, effective)
        if not self.priced:
            return moves
        price = self.prices.seconds(moves, checked=False) + check_seconds
        return moves if price <= self._worth(posterior, effective) else None

    def _move(self, moves: Moves) -> str:
        """Some more moves of each draw; the status of what comes out."""
        started = time.perf_counter()
        moved, found = moves(self.change, self.rng)
        self._judge("moves", moved, found, time.perf_counter() - started)
        return self.attempts[-1].status.level

    def leaves_out_moves(self) -> bool:
        """Whether the next mention of moves is passed over: it is they that failed, or they are done already.

        Without prices, a move that failed uses up one mention: a climb that is repeated has one for each attempt.
        """
        if self.doubted:
            return True
        if self.priced or not self.failed:
            return False
        self.failed -= 1
        return True

    def _doubt(self) -> None:
        """Take the best back: moved by HMC, which leaves the right draws right, they fail the check."""
        assert self.best is not None  # it was moved
        posterior, info = self.best
        assert info.status is not None  # kept with one
        why = f"{info.status.message}; but the draws, moved once more, fail it"
        attempt = replace(info.attempts[-1], status=Status("unreliable", why, _DOUBTED))
        self.attempts[self.attempts.index(info.attempts[-1])] = attempt
        self.best, self.doubted = (posterior, replace(info, status=attempt.status, attempts=(attempt,))), True

    def _worth(self, posterior: Draws, effective: float) -> float:
        """Seconds that more effective draws may take."""
        missing = max(0.0, 1.0 - effective / _plenty(posterior))
        return min(1.0, missing / (1.0 - SCARCE)) ** WORTH_POWER * self.prices.refit

    def result(self) -> tuple[Posterior, Info]:
        """The best rung's posterior, with the whole way in its record."""
        assert self.best is not None  # `Auto` refuses an empty ladder
        posterior, info = self.best
        details = {**info.details, "stopped": self._why(info), "refused": self.refused}
        evals = sum(attempt.log_lik_evals for attempt in self.attempts)
        return posterior, replace(info, attempts=tuple(self.attempts), log_lik_evals=evals, details=details)

    def _why(self, info: Info) -> str:
        """Why the climb ended where it did."""
        assert info.status is not None  # kept with one
        if info.status.level == "ok":
            return f"{info.rung} is ok"
        tried = ", ".join(f"{attempt.rung}: {attempt.status.level}" for attempt in self.attempts)
        why = "draws that were ok fail once moved" if self.doubted else "no rung is ok"
        return f"{why} ({tried}); {info.rung} is the best"

    def _informed(self, editor: Editor) -> Editor:
        """An editor that repeats nothing that has been done."""
        if isinstance(editor, Transport) and any(attempt.rung == "weights" for attempt in self.attempts):
            return replace(editor, maps=tuple(name for name in editor.maps if name != "identity"))
        if isinstance(editor, Moves | Resample) and self.transported is not None:
            return replace(editor, start=self.transported)
        return editor

    def _is_transport(self, editor: Editor) -> bool:
        """Whether the next rung is a transport that is worth its price."""
        return isinstance(editor, Transport) and not self.prices.complaint(self._informed(editor))

    def _judge(self, name: str, posterior: Posterior, info: Info, seconds: float, glance: Glance | None = None) -> None:
        started = time.perf_counter()
        info = judged(self.change, posterior, info, self.rng, glance=glance)
        seconds += time.perf_counter() - started
        assert info.status is not None  # `judged` fills it in
        attempt = Attempt(name, info.khat, info.ess, info.log_lik_evals, seconds, info.status)
        self._keep(posterior, replace(info, seconds=seconds, attempts=(attempt,)))

    def _keep(self, posterior: Posterior, info: Info) -> None:
        self.attempts.append(info.attempts[-1])
        if self.best is None or self._rank(info) >= self._rank(self.best[1]):
            self.best = posterior, info

    def _rank(self, info: Info) -> tuple[int, float]:
        """Results by status, and among good ones by effective sample size."""
        assert info.status is not None  # judged before it is compared
        worth = _WORTH[info.status.level]
        return worth, self._effective(info) if info.status.level == "ok" else 0.0

    def _effective(self, info: Info) -> float:
        """Effective draws, were the sampler's independent; no more than the check counted in the tails of predictions.

        A sampler that leaves few effective draws of some parameter is no reason to improve on an edit of them.
        """
        before = self.change.posterior
        kept = min(1.0, before.r_eff) if isinstance(before, Draws) else 1.0
        tails = np.inf if info.check is None or np.isnan(info.check.ess_tails) else info.check.ess_tails
        return float(np.nan_to_num(min(info.ess / kept, tails)))

    def _return_to_what_was_set_aside(self) -> None:
        """Judge good weights after all where the transport did not do better."""
        if self.aside is None:
            return
        (posterior, info), self.aside = self.aside, None
        served = self.best[1] if self.best is not None else None
        if served is None or served.status is None or served.status.level != "ok" or served.ess < info.ess:
            self._judge("weights", posterior, info, 0.0)


def _has_moves(rungs: list[Editor]) -> bool:
    return any(isinstance(editor, Moves) for editor in rungs)


def _need_moves(posterior: Draws, effective: float, rungs: list[Editor]) -> bool:
    """Whether so few draws are effective that moves are wanted, and these are among the rungs."""
    return _are_few(posterior, effective) and _has_moves(rungs)


def _refreshing(posterior: Draws, effective: float) -> Moves:
    """One trajectory of each draw, for draws that are right but few; two or three for very few."""
    moves = 1
    if _are_very_few(posterior, effective):
        moves = 2 if effective >= SCARCE * _plenty(posterior) else 3
    return Moves(moves=moves, length=LENGTH, leapfrogs=STEPS, start=posterior)


def _unchecked(name: str, info: Info, seconds: float, why: str) -> Info:
    """A rung that is passed over, for the record."""
    status = Status("unreliable", why)
    attempt = Attempt(name, info.khat, info.ess, info.log_lik_evals, seconds, status)
    return replace(info, seconds=seconds, status=status, attempts=(attempt,))


def _plenty(posterior: Draws) -> float:
    return min(PLENTY, PLENTIFUL_SHARE * len(posterior))


def _are_few(posterior: Draws, effective: float) -> bool:
    """Whether so many effective draws are few."""
    return effective < _plenty(posterior)


def _are_very_few(posterior: Draws, effective: float) -> bool:
    """Whether they are so few that a short trajectory of each leaves few still."""
    return effective < VERY_FEW * _plenty(posterior)
