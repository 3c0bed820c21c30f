"""The exact score of a set of rows: what deleting them together does for the failures."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields

import numpy as np
import pandas as pd

from bayesrepair.edit import Editor, refuse_inapplicable
from bayesrepair.editors.transport import Transport
from bayesrepair.fit import Factor, Fit
from bayesrepair.moved import move
from bayesrepair.numerics.batches import batches
from bayesrepair.numerics.blocks import row_blocks
from bayesrepair.numerics.psis import khat_threshold, smooth
from bayesrepair.numerics.scoring import batch_error
from bayesrepair.posterior import Draws
from bayesrepair.rows import Rows


@dataclass(frozen=True)
class SetScore:
    """``log p(F|D∖C) − log p(F|D)`` of a set C; positive: deleting C helps the failures.

    Parameters
    ----------
    score, mcse : float
        Nats.
    khat : float
        The largest Pareto k̂ of the weightings behind it.
    size : int
        Rows in C.
    reliable : bool
        Whether k̂ is small enough for the number of draws.
    method : {"weights", "transport"}
        Plain importance weights, or draws moved to the edited posteriors first.
    """

    score: float
    mcse: float
    khat: float
    size: int
    reliable: bool
    method: str = "weights"

    def frame(self) -> pd.DataFrame:
        """One line: ``score`` (positive: deleting C helps the failures), ``mcse, khat, size, reliable, method``."""
        return pd.DataFrame([asdict(self)], columns=[field.name for field in fields(self)])

    def __repr__(self) -> str:
        return self.frame().to_string(index=False, float_format="{:.4g}".format)

    def _repr_html_(self) -> str:
        return self.frame().to_html(index=False, escape=True, float_format="{:.4g}".format)


def set_score(fit: Fit, rows: Rows, failures: Rows, after: Draws, *, weight: np.ndarray | None = None) -> SetScore:
    """``log E_{D+F}[1/p(C|θ)] − log E_D[1/p(C|θ)]`` (Tanno et al. 2022, eq. 4, arXiv:2207.04806).

    Parameters
    ----------
    fit : Fit
        Given D.
    rows : Rows
        The set C.
    failures : Rows
        F.
    after : Draws
        Given D and F.
    weight : array, shape (C,), optional
        What deleting takes away: the weight that each row has in the fit; 1 by default.

    Returns
    -------
    SetScore
    """
    before = fit.draws
    held = np.ones(len(rows)) if weight is None else weight
    low, low_mcse, low_khat = _log_mean_reciprocal(fit, before, rows, held)
    high, high_mcse, high_khat = _log_mean_reciprocal(fit, after, rows, held)
    khat = max(low_khat, high_khat)
    mcse = float(np.hypot(low_mcse, high_mcse))
    return SetScore(high - low, mcse, khat, len(rows), bool(khat <= khat_threshold(len(before))))


def moved_set_score(
    fit: Fit,
    rows: Rows,
    failures: Rows,
    *,
    weight: np.ndarray,
    editor: Editor | None = None,
    random_seed: int | np.random.Generator | None = 0,
) -> SetScore:
    """``log p(F|D∖C) − log p(F|D)`` from draws that are moved to D∖C, to D+F and to D∖C+F.

    Each is a difference of two ratios of normalisers, ``log p(F|D') = log Z(D'+F) − log Z(D')``, and all start from
    the same draws, so that their errors are paired.

    Parameters
    ----------
    fit : Fit
    rows, failures : Rows
        C and F.
    weight : array, shape (C,)
        The weight that each row has in the fit, all of which is taken away.
    editor : Editor, optional
        `bayesrepair.editors.Transport` with its own settings.
    random_seed : int or Generator, optional

    Returns
    -------
    SetScore

    Raises
    ------
    MethodError
        If the model offers no gradient.
    """
    editor = Transport() if editor is None else editor
    delete, insert = Factor(rows, -weight), Factor(failures, 1.0)
    # By name: `move` spares the editor where plain weights are even, and must still refuse a model it cannot serve.
    refuse_inapplicable(editor, fit.change(delete, insert))
    rng = np.random.default_rng(random_seed)
    parts = [
        (sign, move(fit, *factors, editor=editor, rng=rng))
        for sign, factors in ((1, (delete, insert)), (-1, (delete,)), (-1, (insert,)), (1, ()))
    ]
    score = sum(sign * part.log_mean for sign, part in parts)
    influence = np.sum([sign * part.influence for sign, part in parts], axis=0)
    khat = max(part.khat for _, part in parts)
    reliable = all(part.reliable for _, part in parts)
    moved = any(part.rung == "transport" for _, part in parts)
    mcse = float(batch_error(influence[None])[0])
    return SetScore(score, mcse, khat, len(rows), reliable, "transport" if moved else "weights")


def _log_mean_reciprocal(fit: Fit, draws: Draws, rows: Rows, held: np.ndarray) -> tuple[float, float, float]:
    """``log E[1/p(C|θ)]``, its error (delta method over batches), and k̂ of the weights it leans on."""
    total = np.zeros(len(draws))
    for where, block in row_blocks(rows, len(draws)):
        total += fit.model.log_lik(draws.theta, block) @ held[where]
    base, _ = smooth(draws.log_weights, r_eff=draws.r_eff)
    joint, khat = smooth(draws.log_weights - total, r_eff=draws.r_eff)
    # Smoothed joint weights w' ∝ w/p with Σ w' = 1: E[1/p] = Σ w/p, computed from the unsmoothed body and the
    # smoothed tail alike through log E[1/p] = log Σ_s exp(joint_s + shift).
    shift = np.median(base - total - joint)
    batch = batches(draws.chain)
    count = int(batch.max()) + 1
    share, weight = np.zeros(count), np.zeros(count)
    np.add.at(share, batch, np.exp(joint))
    np.add.at(weight, batch, np.exp(base))
    error = batch_error((share - weight)[None])[0]
    return float(shift), float(error), khat
