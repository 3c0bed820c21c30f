"""Several opinions on which labels are wrong, each heard as far as it predicts labels that were left out.

A regression sees one side of a table, a forest another: where the classes overlap, each takes some natural exceptions
for errors that the other knows better. With models m of weight w_m,

    prob_wrong_i = Σ_m w_m P_m(label i is wrong).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from scipy.special import logsumexp

from bayesrepair.noise import Flips
from bayesrepair.numerics.model_weight import stacking_weights
from bayesrepair.predictive import class_names, given_outcome
from bayesrepair.ranking import ranked
from bayesrepair.status import DataError
from bayesrepair.suspects.finding import framed
from bayesrepair.suspects.noise_evidence import GOOD_RHAT, NoiseEvidence, noise_status
from bayesrepair.suspects.result import Suspects, convergence, stand_in
from bayesrepair.suspects.suspicion import COUNT_DRAWS, Suspicion, class_probabilities


@dataclass(frozen=True, eq=False, repr=False)
class PooledSuspects(Suspects):
    """Suspects of several models; those of `Suspects`, and who said what.

    Repairs, rows and groups are those of the first member; counts, rates and transition are mixtures over all.

    Parameters
    ----------
    members : tuple of Suspects
    names : tuple of str
    weights : tuple of float
        Of each member; they sum to one.
    """

    members: tuple[Suspects, ...] = ()
    names: tuple[str, ...] = ()
    weights: tuple[float, ...] = ()

    @property
    def heard(self) -> str:
        """Who, and how far, in words."""
        return ", ".join(f"{name} {weight:.0%}" for name, weight in zip(self.names, self.weights, strict=True))

    @property
    def opinions(self) -> pd.DataFrame:
        """``prob_wrong`` by each member, and pooled, in the order of `frame`."""
        each = {name: m.scores["prob_wrong"] for name, m in zip(self.names, self.members, strict=True)}
        own = pd.DataFrame({name: values.reindex(self.scores.index) for name, values in each.items()})
        return own.assign(pooled=self.scores["prob_wrong"])

    @property
    def rhat(self) -> float:
        """Worst r̂ of all members that were sampled."""
        return _worst(self.members)[0]

    @property
    def ess(self) -> float:
        """Smallest effective sample size of all members that were sampled."""
        return _worst(self.members)[1]

    def _wrong_among(self, chosen: pd.Index) -> np.ndarray:
        return _mixed([m._wrong_among(chosen) for m in self.members], self.weights)

    @property
    def truth(self) -> np.ndarray:
        """Probability of each true class, given the label, of all rows that took part, (N, K); see `Suspects`."""
        first = self.members[0]
        ids, known = first.fit.rows.index[: self.evidence.training], first.truth
        each = [m.truth[_ids(m).get_indexer(ids)][:, _order(m, first)] for m in self.members]
        return np.concatenate([np.tensordot(self.weights, each, axes=1), known[len(ids) :]])

    @property
    def flips(self) -> Flips:
        """Draws of the transition from the true to the given class, of all members."""
        order = [_order(m, self.members[0]) for m in self.members]
        each = [m.flips for m in self.members]
        rate = _mixed([f.rate[..., o] for f, o in zip(each, order, strict=True)], self.weights)
        return Flips(rate, _mixed([f.target[:, o][:, :, o] for f, o in zip(each, order, strict=True)], self.weights))

    def _head(self) -> str:
        return f"pooled: {self.heard}\n{super()._head()}"


def pool_suspects(members: Mapping[str, Suspects], *, weights: Mapping[str, float] | None = None) -> PooledSuspects:
    """Pool several opinions on which labels of a table are wrong.

    Parameters
    ----------
    members : mapping of str to Suspects
        At least two, of the same rows, labels and classes, by what they are to be called. Repairs go to the first. A
        member may have further rows if they are known to be right.
    weights : mapping of str to float, optional
        Positive; they are normalised. By default those of Bayesian stacking of the PSIS-LOO log scores that the
        noise-aware models give the labels of rows in doubt: a member of another classifier should be from out-of-sample
        predictions (`bayesrepair.suspects_from_predictions`).

    Returns
    -------
    PooledSuspects
        Whether the data speak for wrong labels at all is asked of the pool: the members with noise, against those
        without it. The rows near suspects are those of the first.

    Raises
    ------
    DataError
        If there are fewer than two, or they are not about the same rows, labels, classes and groups.

    References
    ----------
    Stone (1961), doi:10.1214/aoms/1177704873 (the linear pool). Yao, Pirš, Vehtari, Gelman (2022),
    doi:10.1214/21-BA1287 (the weights).

    Examples
    --------
    >>> from bayesrepair.pred_probs import suspects_from_predictions
    >>> given = ["cat"] * 30 + ["dog"] * 30
    >>> p = np.array([[0.97, 0.03]] * 29 + [[0.02, 0.98]] + [[0.03, 0.97]] * 30)
    >>> sharp, dull = suspects_from_predictions(given, p), suspects_from_predictions(given, 0.5 + 0.4 * (p - 0.5))
    >>> pooled = pool_suspects({"sharp": sharp, "dull": dull})
    >>> pooled.frame().index[0].item(), [round(w, 2) for w in pooled.weights]
    (29, [0.82, 0.18])
    """
    if len(members) < 2:
        raise DataError(
            "at least two opinions to pool", f"{len(members)}", "Pass {'model': suspects, 'forest': other}."
        )
    each = list(members.values())
    for name, other in list(members.items())[1:]:
        _refuse_unlike(each[0], name, other)
    share = stacking_weights(_left_out(each)) if weights is None else _given_weights(list(members), weights)
    return _pool(dict(members), share)


def _pool(members: dict[str, Suspects], share: np.ndarray) -> PooledSuspects:
    each = list(members.values())
    first = each[0]
    ids = first.fit.rows.index[: first.evidence.training]
    found = _pooled(each, ids, share)
    surprising = -_log_mean([-m.scores["surprise"].reindex(ids).to_numpy() for m in each], share)
    speaks = _evidence(each, found, surprising, share)
    rhat, ess = _worst(each)
    divergent = max(convergence(m.fit)["divergent"] for m in each)
    train = first.fit.rows.at(slice(0, first.evidence.training))
    frame = framed(first.fit, train, first.evidence, found, surprising)
    status = noise_status(speaks, rhat=rhat, ess=ess, divergent=divergent, stand_in=stand_in(first.fit))
    doubted = [(name, m.status) for name, m in members.items() if m.status.level == "unreliable"]
    if doubted and status.level != "unreliable":
        name, of_member = doubted[0]
        status = replace(of_member, message=f"{name}: {of_member.message}")
    return PooledSuspects(
        plain=first.plain,
        fit=first.fit,
        scores=ranked(frame, "prob_wrong", first.plain.table),
        evidence=first.evidence,
        suspicion=found,
        status=status,
        seconds=sum(m.seconds for m in each),
        noise_evidence=speaks,
        members=tuple(each),
        names=tuple(members),
        weights=tuple(share.tolist()),
    )


def heard_beside(
    suspects: Suspects, name: str, other: Suspects, weigh: Callable[[np.ndarray], np.ndarray]
) -> PooledSuspects:
    """Others and one more opinion, weighed against what the others say together.

    Parameters
    ----------
    suspects : Suspects
        One, called the model, or several that are pooled.
    name : str
    other : Suspects
    weigh : callable
        Log scores of left-out labels, (2, N), to two weights.

    Raises
    ------
    DataError
        If an opinion of that name is among them.
    """
    if isinstance(suspects, PooledSuspects):
        members, shares = dict(zip(suspects.names, suspects.members, strict=True)), suspects.weights
    else:
        members, shares = {"model": suspects}, (1.0,)
    if name in members:
        raise DataError("an opinion that was not heard yet", repr(name))
    before, beside = weigh(_left_out([suspects, other]))
    return _pool(members | {name: other}, np.append(before * np.array(shares), beside))


def _refuse_unlike(first: Suspects, name: str, other: Suspects) -> None:
    if any(not isinstance(m.suspicion, Suspicion) for m in (first, other)):
        raise DataError("suspects of classes", f"{name!r} and the first, of which some are of numbers")
    own, theirs = (list(class_names(m.fit)) for m in (first, other))
    if set(own) != set(theirs):
        raise DataError(f"the classes {own} of the first", f"{theirs} of {name!r}", "Name them alike.")
    ids = first.fit.rows.index[: first.evidence.training]
    absent = ids.difference(other.scores.index)
    if len(absent):
        raise DataError("a line for every row of the first", f"{name!r} without {len(absent)}, such as {absent[0]!r}")
    further = other.scores.index.difference(ids)
    known = pd.Series(other.evidence.trusted[: other.evidence.training], index=_ids(other))
    if len(further) and not known.loc[further].all():
        raise DataError("no further rows but such as are known to be right", f"others in {name!r}")
    given = [pd.Series(given_outcome(m.fit, m.fit.rows), index=m.fit.rows.index).loc[ids] for m in (first, other)]
    differ = (given[0].to_numpy() != given[1].to_numpy()).nonzero()[0]
    if len(differ):
        got = f"{len(differ)} others in {name!r}, such as that of row {ids[differ[0]]!r}"
        raise DataError("the labels of the first", got, "Use suspects of the same table.")
    if first.evidence.groups != other.evidence.groups:
        raise DataError(f"the groups {first.evidence.groups} of the first", f"{other.evidence.groups} of {name!r}")


def _ids(member: Suspects) -> pd.Index:
    return member.fit.rows.index[: member.evidence.training]


def _given_weights(names: list[str], weights: Mapping[str, float]) -> np.ndarray:
    if set(weights) != set(names) or min(weights.values()) <= 0:
        raise DataError(f"a positive weight for each of {names}", f"{dict(weights)}")
    share = np.array([weights[name] for name in names], dtype=float)
    return share / share.sum()


def _left_out(members: list[Suspects]) -> np.ndarray:
    """Log scores of the labels of rows that are in doubt for all, (M, N'), nats."""
    ids = _ids(members[0])
    doubtful = np.ones(len(ids), dtype=bool)
    scores = []
    for m in members:
        at = _ids(m).get_indexer(ids)
        doubtful &= ~m.evidence.trusted[: m.evidence.training][at]
        assert isinstance(m.suspicion, Suspicion)  # as `_refuse_unlike` saw
        scores.append(m.suspicion.loo[at])
    return np.stack(scores)[:, doubtful]


def _pooled(members: list[Suspects], ids: pd.Index, share: np.ndarray) -> Suspicion:
    first = members[0]
    given = np.asarray(first.fit.rows.values[first.fit.model.outcome.name]).astype(int)[: len(ids)]
    truth = predicted = 0.0
    parts: dict[str, list[np.ndarray]] = {name: [] for name in ("prob_wrong", "mcse", "loo", "exceptional")}
    for m, weight in zip(members, share, strict=True):
        at, found = _ids(m).get_indexer(ids), m.suspicion
        assert isinstance(found, Suspicion)  # as `_refuse_unlike` saw
        of_true, of_class = class_probabilities(m.fit, m.fit.rows.at(at))
        order = _order(m, first)
        truth, predicted = truth + weight * of_true[:, order], predicted + weight * of_class[:, order]
        for name, values in parts.items():
            values.append(getattr(found, name)[at])
    others, each = np.array(truth), np.arange(len(ids))
    others[each, given] = -1.0
    suggested = others.argmax(axis=1)
    return Suspicion(
        prob_wrong=share @ np.stack(parts["prob_wrong"]),
        mcse=np.sqrt(share**2 @ np.stack(parts["mcse"]) ** 2),
        suggested=suggested,
        prob_suggested=others.max(axis=1),
        looks=np.array(predicted)[each, suggested],
        count=_mixed([m.suspicion.count for m in members], tuple(share)),
        loo=_log_mean(parts["loo"], share),
        exceptional=share @ np.stack(parts["exceptional"]),
    )


def _order(member: Suspects, first: Suspects) -> np.ndarray:
    """Where the classes of the first stand among those of a member."""
    own = list(class_names(member.fit))
    return np.array([own.index(name) for name in class_names(first.fit)])


def _mixed(draws: list[np.ndarray], weights: tuple[float, ...]) -> np.ndarray:
    """Of each member as many draws as its weight calls for, at even distances."""
    ends = np.rint(np.cumsum([0.0, *weights]) * COUNT_DRAWS).astype(int)
    parts = [
        values[np.linspace(0, len(values) - 1, n).astype(int)] for values, n in zip(draws, np.diff(ends), strict=True)
    ]
    return np.concatenate(parts)


def _log_mean(scores: list[np.ndarray], share: np.ndarray) -> np.ndarray:
    return np.asarray(logsumexp(np.stack(scores), axis=0, b=share[:, None]))


def _worst(members: Sequence[Suspects]) -> tuple[float, float]:
    """Worst r̂ and smallest effective sample size of those that were sampled; nan where none was.

    A single chain has no r̂: that is the worst, unless others disagree.
    """
    sampled = [m for m in members if np.isfinite(m.ess)]
    if not sampled:
        return np.nan, np.nan
    known = [m.rhat for m in sampled if np.isfinite(m.rhat)]
    worst = max(known, default=np.nan)
    alone = len(known) < len(sampled) and not worst > GOOD_RHAT
    return np.nan if alone else worst, min(m.ess for m in sampled)


def _evidence(members: list[Suspects], found: Suspicion, surprising: np.ndarray, share: np.ndarray) -> NoiseEvidence:
    """What speaks for wrong labels, of the pool."""
    first, each = members[0], [m.noise_evidence for m in members]
    speaks = [e for e in each if e is not None]
    if len(speaks) < len(members):
        raise DataError("members that say what speaks for noise", "one without noise_evidence")
    doubtful = ~first.evidence.trusted[: first.evidence.training]
    return NoiseEvidence(
        difference=(found.loo + surprising)[doubtful],
        exceptions=float(found.exceptional.mean()),
        rate=_mixed([e.rate for e in speaks], tuple(share)),
        prior_rate=_mixed([e.prior_rate for e in speaks], tuple(share)),
        confirmed=speaks[0].confirmed,
        neighbours=speaks[0].neighbours,
    )
