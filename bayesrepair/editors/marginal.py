"""Whole groups with latent parameters of their own: weights from the groups' marginal likelihood."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np

from bayesrepair.fit import Change
from bayesrepair.judgement import Info
from bayesrepair.latents import OwnLatents, own_latents
from bayesrepair.model import Differentiable, Model
from bayesrepair.numerics.conditional_draws import drawn
from bayesrepair.numerics.conditional_mode import locate
from bayesrepair.numerics.quadrature import TOLERANCE, integrate_to_tolerance, worst_error
from bayesrepair.posterior import Draws
from bayesrepair.status import MethodError
from bayesrepair.target import Target


@dataclass(frozen=True)
class Marginal:
    """Delete whole groups: their latents are integrated out of the weights, then drawn from their prior.

    With ``u`` the latents that only deleted rows ``y_g`` touch, and ``φ`` all else, the edited posterior is
    ``p(φ | D∖g) p(u | φ)``. Each draw of ``φ`` is weighted by ``1 / p(y_g | φ)``,

    ``p(y_g | φ) = ∫ p(y_g | φ, u) p(φ, u) du / ∫ p(φ, u) du``,

    and its ``u`` is drawn afresh from ``p(u | φ) ∝ p(φ, u)``, a function of ``u``. Plain weights
    ``1 / p(y_g | φ, u)`` must stretch draws of ``u`` that know the group's rows over the whole prior; these need not.
    Other rows may change in the same edit, by plain weights. Which latents are a group's own is found from the model's
    values alone (`bayesrepair.latents`), and so are the integrals (`bayesrepair.numerics.quadrature`); latents that
    are independent given the others are integrated one set after the other.

    Raises
    ------
    MethodError
        On call: if the deleted rows have no latents of their own, or an integral is not accurate to .05 nats.

    References
    ----------
    Integrated importance sampling, for scores of left-out rows: Li, Qiu, Zhang & Feng (2016), arXiv:1404.2918.

    Examples
    --------
    >>> from bayesrepair.fit import Factor, Fit
    >>> from bayesrepair.oracles import NormalNormal
    >>> oracle = NormalNormal(prior_mean=2.0, prior_sd=1.0, noise_sd=0.1)
    >>> rows = oracle.rows({"y": np.array([5.0, 5.0, 5.0])})
    >>> rng = np.random.default_rng(0)
    >>> fit = Fit(oracle, rows, oracle.posterior(rows).draws(4000, rng))
    >>> posterior, info = Marginal()(fit.change(Factor(rows, -1.0)), rng)  # a single group: only its prior is left
    >>> bool(abs(posterior.theta.mean() - 2) < 0.05 and abs(posterior.theta.std() - 1) < 0.05)
    True
    """

    accepts: ClassVar[tuple[type, ...]] = (Draws,)
    needs: ClassVar[tuple[type, ...]] = (Differentiable,)
    directions: ClassVar[frozenset[str]] = frozenset({"insert", "delete"})

    def __call__(self, change: Change, rng: np.random.Generator) -> tuple[Draws, Info]:
        """Return the draws with the groups' latents drawn afresh, and raw log weights."""
        draws = change.posterior
        assert isinstance(draws, Draws)  # `edit` refuses the others
        groups = own_latents(change)
        power = change.after - change.before
        power[np.concatenate([group.at for group in groups])] = 0.0  # integrated below
        others = Target(change.model, change.rows, power)
        log_weights = draws.log_weights + others.log_likelihood(draws.theta)
        theta, evals, accounts = draws.theta.copy(), others.log_lik_evals, []
        for group in groups:
            integrated = _integrated(change, draws, group, rng)
            theta[:, group.entries] = integrated.fresh
            log_weights -= integrated.log_marginal
            evals += integrated.log_lik_evals
            accounts.append(integrated.account)
        posterior = Draws(theta, log_weights, draws.chain, draws.r_eff)
        worst = max(account["error"] for account in accounts)
        details = {"groups": tuple(accounts), "error": worst}
        return posterior, Info("marginal", posterior.khat, posterior.ess, evals, details=details)


@dataclass(frozen=True, eq=False)
class _Integrated:
    """One set of latents: log p(y_g | φ) (S,), fresh draws (S, d), and what it took."""

    log_marginal: np.ndarray
    fresh: np.ndarray
    log_lik_evals: int
    account: dict[str, Any]


def _integrated(change: Change, draws: Draws, group: OwnLatents, rng: np.random.Generator) -> _Integrated:
    model, start = change.model, draws.theta[:, group.entries]
    scale = np.sqrt(draws.weights @ np.square(start - draws.weights @ start))
    scale = np.where(scale > 0, scale, 1.0)
    rows = Target(model, change.rows.at(group.at), change.before[group.at])
    prior = _Conditional(model, draws.theta.copy(), group.entries)
    joint = replace(prior, rows=rows)
    centred = locate(joint, start, scale)
    evidence, _, nodes = integrate_to_tolerance(joint, centred, rng)
    from_the_prior, fine = locate(prior, start, scale), int(len(group.entries) == 1)  # it is drawn from as well
    normaliser, located, prior_nodes = integrate_to_tolerance(prior, from_the_prior, rng, level=fine)
    error = worst_error(evidence) + worst_error(normaliser)
    names = tuple(model.names[j] for j in group.entries)
    if not error <= 2 * TOLERANCE:
        raise MethodError(
            f"integrals over {', '.join(names)} accurate to {2 * TOLERANCE} nats",
            f"an estimated error of {error:.2g}",
            "Use method='retrain'.",
        )
    fresh, acceptance = drawn(prior, located, prior_nodes, normaliser, rng)
    account = {
        "latents": names,
        "rows": len(group.at),
        "nodes": len(nodes.z),
        "error": error,
        "acceptance": acceptance,
    }
    return _Integrated(evidence.log_value - normaliser.log_value, fresh, rows.log_lik_evals, account)


@dataclass(frozen=True, eq=False)
class _Conditional:
    """``log p(φ, u)``, with rows ``+ Σ weight · log p(y_g | φ, u)``, as a function of u, (S, d) → (S,)."""

    model: Model
    theta: np.ndarray
    entries: np.ndarray
    rows: Target | None = None

    def __call__(self, u: np.ndarray) -> np.ndarray:
        self.theta[:, self.entries] = u
        with np.errstate(over="ignore", under="ignore", invalid="ignore", divide="ignore"):  # far out: no mass
            value = self.model.log_prior(self.theta)
            return value if self.rows is None else value + self.rows.log_likelihood(self.theta)
