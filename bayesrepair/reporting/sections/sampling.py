"""What the sampler had to say, before anything else is believed."""

from __future__ import annotations

import numpy as np
from arviz_stats import summary

from bayesrepair.datatree import posterior_tree
from bayesrepair.posterior import Draws, Gaussian, Sampling
from bayesrepair.reporting.blocks import Block, Column, Facts, Note, Paragraph, Section, Table
from bayesrepair.reporting.material import Material
from bayesrepair.reporting.parameters import scalar_draws
from bayesrepair.reporting.wording import decimals, number, plural, whole

LARGEST_RHAT, CAREFUL_RHAT = 1.05, 1.01
SMALLEST_ESS = 400.0
WORST = 5
SHORTEST = 4  # draws a chain for r-hat and ESS


def sampling(material: Material) -> Section:
    """Chains, draws, r-hat, ESS and divergences of the original posterior, with warnings in clear words."""
    posterior = material.edited.before.posterior
    if isinstance(posterior, Gaussian):
        text = "The posterior is known in closed form; nothing was sampled. Figures use draws from it."
        if posterior.search is not None:
            text = (
                "The posterior is a Laplace approximation, the Gaussian at the mode in the unconstrained space: it has "
                f"no skewness and no heavy tails. {posterior.search}. Nothing was sampled; figures use draws from it."
            )
        return Section("sampling", "Model and sampling", [Paragraph(text)])
    draws = material.before.draws
    source = material.before.sampled.posterior
    record = draws.sampling or (source.sampling if isinstance(source, Draws) else None)
    blocks: list[Block] = [*_warnings(record, len(draws)), Facts(_facts(draws, record))]
    table = _worst(material)
    return Section("sampling", "Model and sampling", [*blocks, *([table] if table is not None else [])])


def _facts(draws: Draws, record: Sampling | None) -> list[tuple[str, str]]:
    chains = len(np.unique(draws.chain))
    if record is None:
        return [("Draws", f"{whole(len(draws))} in {plural(chains, 'chain')}"), ("Sampler", "not recorded")]
    return [
        ("Sampler", record.sampler),
        ("Chains × draws", f"{record.chains} × {whole(record.draws)} (after {whole(record.tune)} tuning steps each)"),
        ("Largest r-hat", f"{decimals(record.rhat_max, 3)} (good: up to {CAREFUL_RHAT})"),
        ("Smallest bulk ESS", f"{whole(record.ess_min)} (good: {SMALLEST_ESS:.0f} or more)"),
        ("Divergences", whole(record.divergences)),
        ("Sampling time", f"{number(record.seconds)} s" if np.isfinite(record.seconds) else "not recorded"),
    ]


def _warnings(record: Sampling | None, size: int) -> list[Block]:
    if record is None:
        text = "How the draws came about is not recorded, so nothing can be said about chains and divergences."
        return [Note(text, "plain")]
    found: list[Block] = []
    if record.divergences:
        found.append(
            Note(
                f"{whole(record.divergences)} of {whole(size)} draws diverged: the sampler could not follow parts of "
                "the posterior, and what follows may be wrong there. Raise target_accept or reparameterise.",
                "bad",
            )
        )
    if record.rhat_max > CAREFUL_RHAT:
        bad = record.rhat_max > LARGEST_RHAT
        found.append(
            Note(
                f"The chains {'disagree' if bad else 'do not quite agree'} (r-hat {record.rhat_max:.3f}): sample "
                f"longer{' before believing anything below' if bad else ''}.",
                "bad" if bad else "fair",
            )
        )
    if record.ess_min < SMALLEST_ESS:
        found.append(
            Note(f"Only {whole(record.ess_min)} effective draws for some parameter: errors are large there.", "fair")
        )
    if not found:
        found.append(Note("The chains agree, no draw diverged, and there are enough effective draws.", "good"))
    return found


def _worst(material: Material) -> Table | None:
    posterior, _ = scalar_draws(material.before)
    if posterior.sizes.get("chain", 0) < 2 or posterior.sizes["draw"] < SHORTEST or not posterior.data_vars:
        return None
    if material.before.draws.is_weighted:  # diagnostics of resampled draws say nothing
        return None
    tree = posterior_tree(material.before)
    tree["posterior"] = posterior
    frame = summary(tree, kind="diagnostics", round_to="none")
    frame = frame[["r_hat", "ess_bulk", "ess_tail"]].astype(float)
    frame = frame[np.isfinite(frame["r_hat"])].sort_values("r_hat", ascending=False, kind="stable").head(WORST)
    columns = [Column("parameter", numeric=False), Column("r-hat"), Column("ESS, bulk"), Column("ESS, tail")]
    lines = [
        [str(name), decimals(line["r_hat"], 3), whole(line["ess_bulk"]), whole(line["ess_tail"])]
        for name, line in frame.iterrows()
    ]
    return Table(f"The {len(lines)} parameters with the largest r-hat (ArviZ)", columns, lines, folded=True)
