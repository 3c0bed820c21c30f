"""Draws of a fit brought to an edited posterior, with the ratio of normalisers that their weights estimate.

The evidence of an edit is a mean of weights. With draws θ of p(θ|D), raw weights
``w = p_edited(T(θ)) |det A| / p(θ|D)`` of unnormalised densities have the mean ``Z_edited / Z_D`` for *every* map T
(the identity gives plain importance sampling; Jarzynski-type identities with maps: Meng and Schilling 2002,
doi:10.1198/106186002457). A map that comes close to the edited posterior makes that mean easy to estimate.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from bayesrepair.edit import Editor, refuse_inapplicable
from bayesrepair.fit import Change, Factor, Fit
from bayesrepair.numerics.batches import batches
from bayesrepair.numerics.psis import khat_threshold
from bayesrepair.posterior import Draws
from bayesrepair.target import weighted_log_lik

SMALL_KHAT = 0.5  # weights of finite variance: good enough to go on from
LARGE_SHARE = 0.5  # of the draws that must be left


@dataclass(frozen=True, eq=False)
class Moved:
    """Draws that stand for an edited posterior.

    Parameters
    ----------
    theta : array, shape (S, P)
    log_ratio : array, shape (S,)
        Log of base weight × raw importance ratio; the exponentials sum to the ratio of normalisers.
    base : array, shape (S,)
        Weights of the draws before the edit; sum to one.
    chain : array, shape (S,)
    r_eff : float
    rung : {"base", "weights", "transport"}
        How they came about.

    Examples
    --------
    >>> halves = Moved(np.zeros((2, 1)), np.log([0.1, 0.3]), np.full(2, 0.5), np.zeros(2, int), 1.0, "weights")
    >>> round(float(np.exp(halves.log_mean)), 12), halves.weights.round(12)
    (0.4, array([0.25, 0.75]))
    """

    theta: np.ndarray
    log_ratio: np.ndarray
    base: np.ndarray
    chain: np.ndarray
    r_eff: float
    rung: str

    def __len__(self) -> int:
        return len(self.theta)

    @cached_property
    def _draws(self) -> Draws:
        return Draws(self.theta, self.log_ratio, self.chain, self.r_eff)

    @property
    def weights(self) -> np.ndarray:
        """Pareto-smoothed weights that sum to one, shape (S,)."""
        return self._draws.weights

    @property
    def khat(self) -> float:
        """Pareto k̂ of the weights."""
        return self._draws.khat

    @property
    def ess(self) -> float:
        """Effective sample size, relative efficiency of the chains included."""
        return self._draws.ess

    @property
    def log_mean(self) -> float:
        """``log Z_edited / Z``; the body of the weights as it is, the tail smoothed."""
        used = self.weights > 0
        return float(np.median(self.log_ratio[used] - np.log(self.weights[used])))

    @cached_property
    def batch(self) -> np.ndarray:
        """Batch of each draw."""
        return batches(self.chain)

    @property
    def influence(self) -> np.ndarray:
        """Influence of each batch of draws on ``log_mean``, shape (B,)."""
        return self.by_batch(self.weights - self.base)

    def by_batch(self, values: np.ndarray) -> np.ndarray:
        """Sums within batches, (S, ...) → (B, ...)."""
        out = np.zeros((int(self.batch.max()) + 1, *values.shape[1:]))
        np.add.at(out, self.batch, values)
        return out

    @property
    def reliable(self) -> bool:
        """Whether k̂ is small enough for the number of draws."""
        return bool(self.khat <= khat_threshold(len(self)))

    @property
    def sturdy(self) -> bool:
        """Whether the weights are so even that one can go on from these draws."""
        return bool(self.khat <= SMALL_KHAT and self.ess >= LARGE_SHARE * len(self) * min(1.0, self.r_eff))

    def times(self, log_factor: np.ndarray) -> Moved:
        """The same draws with another factor in their weights, shape (S,)."""
        return replace(self, log_ratio=self.log_ratio + log_factor)


def move(fit: Fit, *factors: Factor, editor: Editor | None, rng: np.random.Generator) -> Moved:
    """Draws of an edit of ``fit``, always from the draws that were sampled directly; see `moved_by`.

    Parameters
    ----------
    fit : Fit
    *factors : Factor
        The edit; none for the fit as it stands.
    editor : Editor or None
    rng : Generator
    """
    return moved_by(fit.change(*factors), editor=editor, rng=rng)


def moved_by(change: Change, *, editor: Editor | None, rng: np.random.Generator) -> Moved:
    """Draws of what a change asks for: plain weights where they are sturdy, else the editor's where those are better.

    Parameters
    ----------
    change : Change
    editor : Editor or None
        One whose raw weights are absolute, such as `bayesrepair.editors.Transport`; None for plain weights alone.
    rng : Generator
    """
    source = change.posterior
    assert isinstance(source, Draws)  # callers ask `Fit.draws` first
    base = np.log(np.maximum(source.weights, np.finfo(float).tiny))
    plain = Moved(source.theta, base, source.weights, source.chain, source.r_eff, "base")
    if not len(change.factor.rows):
        return plain
    added = weighted_log_lik(change.model, source.theta, change.factor.rows, change.factor.powers)
    plain = replace(plain, log_ratio=base + added, rung="weights")
    if editor is None or plain.sturdy:
        return plain
    refuse_inapplicable(editor, change)
    # The log density that a sampler kept is good up to a constant only, and here constants count: leave it behind.
    bare = Draws(source.theta, source.log_weights, source.chain, source.r_eff)
    posterior, _ = editor(replace(change, posterior=bare), rng)
    assert isinstance(posterior, Draws)  # an editor of draws
    ratio = posterior.log_weights - source.log_weights
    moved = Moved(posterior.theta, base + ratio, source.weights, posterior.chain, posterior.r_eff, "transport")
    return moved if _better(moved, plain) else plain


def _better(moved: Moved, plain: Moved) -> bool:
    if moved.reliable != plain.reliable:
        return moved.reliable
    return moved.ess >= plain.ess
