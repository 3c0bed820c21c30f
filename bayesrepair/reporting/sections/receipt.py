"""The receipt: what was done, provable without showing the rows."""

from __future__ import annotations

from bayesrepair.receipt import WORDS, Receipt
from bayesrepair.reporting.blocks import Block, Cell, Column, Facts, Note, Paragraph, Section, Table, Tone
from bayesrepair.reporting.material import Material
from bayesrepair.reporting.wording import decimals, number, plural, whole

TONES: dict[str, Tone] = {"verified": "good", "estimated": "fair", "unverified": "bad"}
LEVELS: dict[str, Tone] = {"ok": "good", "checked": "fair", "unreliable": "bad"}


def proof(material: Material) -> Section:
    """Verdict and why, diagnostics of every attempt, seeds, hashes and versions."""
    found = material.receipt
    heading = f"{found.verdict}: {WORDS[found.verdict]}"
    said = f"{found.why[:1].upper()}{found.why[1:]}."
    blocks: list[Block] = [Note(said, TONES[found.verdict], heading=heading), Facts(_facts(found))]
    if found.attempts:
        blocks.append(_attempts(found))
    if found.rows:
        blocks.append(_rows(found))
    return Section("receipt", "Receipt", [*blocks, Paragraph(found.caveat, muted=True)])


def _facts(found: Receipt) -> list[tuple[str, str]]:
    seeds = ", ".join(f"{name} {'unknown' if seed is None else seed}" for name, seed in found.seeds.items())
    return [
        ("Status", found.status),
        ("Rung", found.rung),
        ("k-hat", _khat(found.khat)),
        ("ESS", _count(found.ess)),
        ("Seconds", number(found.seconds)),
        ("Seeds", seeds),
        ("Hash of the data", found.data_hash),
        ("Hash of the model", found.model_hash),
        ("Hash of the posterior", found.posterior_hash),
        ("Versions", ", ".join(f"{name} {text}" for name, text in found.versions.items())),
        ("Schema", str(found.schema)),
    ]


def _attempts(found: Receipt) -> Table:
    columns = [
        Column("rung", numeric=False), Column("k-hat"), Column("ESS"), Column("seconds"),
        Column("status", numeric=False),
    ]  # fmt: skip
    lines: list[list[str | Cell]] = [
        [
            str(a["rung"]), _khat(a["khat"]), _count(a["ess"]), number(a["seconds"] or 0.0),
            Cell(str(a["status"]), LEVELS.get(str(a["status"]), "plain")),
        ]
        for a in found.attempts
    ]  # fmt: skip
    return Table("What the receipt keeps of each attempt", columns, lines, folded=True)


def _rows(found: Receipt) -> Table:
    lines = [[row, number(power)] for row, power in zip(found.rows, found.powers, strict=True)]
    columns = [Column("row", "HMAC-SHA-256, keyed with the data", numeric=False), Column("power", "−1 deletes")]
    title = f"{plural(len(lines), 'row')} whose weight was changed, as hashes of their ids"
    return Table(title, columns, lines, folded=True)


def _khat(value: float | None) -> str:
    return "no weights" if value is None else decimals(value, 2)


def _count(value: float | None) -> str:
    return "unknown" if value is None else whole(value)
