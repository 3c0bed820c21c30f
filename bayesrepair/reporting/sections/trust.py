"""How the posterior was edited, what each rung cost, and how far the result was proved."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from bayesrepair.check import Check
from bayesrepair.numerics.psis import khat_threshold
from bayesrepair.posterior import Draws
from bayesrepair.reporting.blocks import Block, Cell, Column, Items, Note, Paragraph, Section, Table, Tone
from bayesrepair.reporting.material import Material
from bayesrepair.reporting.sections.verdict import LEVELS
from bayesrepair.reporting.wording import decimals, number, value_text, whole

RUNGS = {
    "identity": "Nothing had to be changed.",
    "conjugate": "The posterior follows the edit in closed form: exact.",
    "weights": "The draws stayed where they were and got importance weights, smoothed by PSIS.",
    "transport": "The draws were moved by an affine map fitted on their gradients, then weighted for the rest.",
    "newton": "The Gaussian moved to the mode of the rows that remain by Newton's method: what a Laplace refit finds.",
    "retrain": "The model was fitted afresh on the rows that remain: the reference that every shortcut is held to.",
}
# What the figures of the check mean; those not named here are shown under their own names.
FIGURES = {
    "error_mean": "error of predicted means, average (posterior sd; limit 0.08)",
    "error_max": "error of predicted means, largest (posterior sd)",
    "spread_mean": "error of predicted sds, average |log ratio|",
    "shift": "shift of a mean by Stein's identity, largest, lower bound (sd)",
    "scale": "error of a variance by Stein's identity, largest, lower bound (relative)",
    "direction": "shift along the worst direction, lower bound (sd)",
    "moved": "change made by a few HMC moves, largest, lower bound (sd)",
    "z_stein": "largest standardised Stein statistic",
    "z_moves": "largest standardised statistic of the moves",
    "p_stein": "p-value of the Stein identities",
    "p_direction": "p-value of the worst direction",
    "p_moves": "p-value of the moves",
    "p_value": "p-value of all tests together",
    "acceptance": "mean acceptance of the moves",
    "log_lik_evals": "likelihood evaluations (rows × draws)",
    "seconds": "seconds",
}


def ladder(material: Material) -> Section:
    """Which rung served, every attempt, the independent check, and the verdict in words."""
    info, status = material.edited.info, material.edited.status
    tone, words = LEVELS[status.level]
    blocks: list[Block] = [
        Paragraph(f"Served by: {info.rung}. {RUNGS.get(info.rung, '')}".strip()),
        Note(f"{status.message}. {status.remedy}".strip(), tone, heading=f"{status.level}: {words}"),
    ]
    if info.attempts:
        blocks.append(_attempts(material))
    if info.check is not None:
        blocks += _check(info.check)
    if info.details:
        blocks += _details(info.details)
    return Section("ladder", "How far to trust it", blocks)


def _details(details: Mapping[str, Any]) -> list[Block]:
    """What the editor has to add: plain values in a sentence, records as tables."""
    plain = {name: value for name, value in details.items() if not isinstance(value, Mapping)}
    said = "; ".join(f"{_words(name)}: {_detail(value)}" for name, value in plain.items())
    blocks: list[Block] = [Paragraph(f"{said[:1].upper()}{said[1:]}.", muted=True)] if said else []
    for name, records in details.items():
        if isinstance(records, Mapping) and records:
            blocks.append(_records(_words(name), records))
    return blocks


def _records(name: str, records: Mapping[str, Any]) -> Table:
    lines = {k: v if isinstance(v, Mapping) else {"value": v} for k, v in records.items()}
    keys = list(dict.fromkeys(key for line in lines.values() for key in line))
    columns = [Column(name, numeric=False), *(Column(_words(key)) for key in keys)]
    cells = [[str(k), *(_detail(line.get(key)) for key in keys)] for k, line in lines.items()]
    return Table(f"Details of the editor: {name}", columns, cells, folded=True)


def _words(name: str) -> str:
    return {"khat": "k-hat", "ess": "ESS"}.get(str(name), str(name).replace("_", " "))


def _detail(value: Any) -> str:
    return number(value) if isinstance(value, float) else value_text(value)


def _attempts(material: Material) -> Table:
    posterior = material.before.sampled.posterior
    good = khat_threshold(len(posterior)) if isinstance(posterior, Draws) else 0.7
    columns = [
        Column("rung", numeric=False),
        Column("k-hat", f"good up to {decimals(good, 2)}"),
        Column("ESS", "effective draws"),
        Column("evaluations", "rows × draws"),
        Column("seconds"),
        Column("status", numeric=False),
        Column("why", numeric=False),
    ]
    tones: dict[str, Tone] = {level: tone for level, (tone, _) in LEVELS.items()}
    lines: list[list[str | Cell]] = [
        [
            a.rung,
            decimals(a.khat, 2) if np.isfinite(a.khat) else "no weights",
            whole(a.ess),
            whole(a.log_lik_evals),
            number(a.seconds),
            Cell(a.status.level, tones[a.status.level]),
            a.status.message,
        ]
        for a in material.edited.info.attempts
    ]
    return Table("Every rung that was tried, in order", columns, lines)


def _check(check: Check) -> list[Block]:
    text = (
        "Independent check: short HMC moves at the edited target, and Stein identities, neither of which reuses the "
        f"weights. {check.message[:1].upper()}{check.message[1:]}."
    )
    if check.doubts:
        text += f" A reservation: {check.doubts}."
    frame = check.frame()["value"]
    lines = [
        [FIGURES.get(str(name), str(name)), whole(value) if name == "log_lik_evals" else number(float(value))]
        for name, value in frame.items()
        if name != "passed" and np.isfinite(value)
    ]
    columns = [Column("figure", numeric=False), Column("value")]
    table = Table("What the independent check measured", columns, lines, folded=True)
    return [Paragraph(text), *([table] if lines else [])]


def verification(material: Material) -> Section:
    """The comparison with refits."""
    checked = material.edited.verification
    if checked is None:
        text = (
            "This posterior was not compared with a refit. bayesrepair.verify(repaired) does it, at the price of two "
            "refits; only then may the receipt say verified."
        )
        return Section("verification", "Verification against refits", [Paragraph(text, muted=True)])
    text = (
        f"The repaired posterior is {checked.verdict}. A ratio of 1 is as far as two refits lie from one another; a "
        "metric passes at twice that, or below its limit."
    )
    blocks: list[Block] = [Note(text, "good" if checked.passed else "bad"), _distances(checked.frame())]
    return Section("verification", "Verification against refits", blocks)


def _distances(frame: pd.DataFrame) -> Table:
    columns = [
        Column("metric", numeric=False),
        Column("distance", "edited to refit"),
        Column("refit noise", "refit to refit"),
        Column("ratio"),
        Column("range of the ratio"),
        Column("limit", "smaller never matters"),
    ]
    lines: list[list[str | Cell]] = [
        [
            str(name),
            number(line["distance"]),
            number(line["refit_noise"]),
            decimals(line["ratio"], 2),
            f"{decimals(line['low'], 2)} to {decimals(line['high'], 2)}",
            number(line["limit"], 2),
        ]
        for name, line in frame.iterrows()
    ]
    return Table("Distances to refits on the same rows and weights; lower is better", columns, lines)


def caveats(material: Material) -> Section:
    """What no number above says."""
    items = [
        "A repaired posterior is conditional on the rows chosen, as if their badness had been certain. It is "
        "over-confident: removing the rows a model likes least narrows it, even where all data are good.",
        "Failures and causes come from the same model. A missing predictor or a wrong likelihood makes good rows look "
        "like causes.",
        "A cause is a row to look at, not a proof that its label is wrong.",
        "Scalers, imputed values and automatic prior scales were fixed at the original fit: they still carry the "
        "treated rows. Refits for verification use the same constants.",
        "Score errors have two parts: Monte Carlo (the ± beside a score) and which held-out rows happened to be seen "
        "(covered by P(top) and the rank intervals).",
    ]
    if any("relabelled" in text for text in material.treated):
        items.append(
            "Relabelling with the model's own suggestion is self-training: it makes the model surer of itself."
        )
    if material.edited.info.check is not None and material.edited.status.level != "unreliable":
        items.append("The independent check is local: it cannot see a mode that no draw ever visited.")
    return Section("caveats", "What the numbers do not say", [Items(items)])
