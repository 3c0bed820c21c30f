"""The receipt: what was done, provable without showing the rows."""

from __future__ import annotations

from bayesrepair.reporting.blocks import Block, Column, Facts, Paragraph, Section, Table
from bayesrepair.reporting.material import Material
from bayesrepair.reporting.wording import decimals, number, plural, whole


def proof(material: Material) -> Section:
    """Verdict, hashes and versions."""
    found = material.receipt
    facts = [
        ("Verdict", found.verdict),
        ("Status", found.status),
        ("Rung", found.rung),
        ("k-hat", decimals(found.khat, 2) if found.khat > float("-inf") else "no weights"),
        ("ESS", whole(found.ess)),
        ("Seconds", number(found.seconds)),
        ("Hash of the data", found.data_hash),
        ("Hash of the model", found.model_hash),
        ("Versions", ", ".join(f"{name} {text}" for name, text in found.versions.items())),
    ]
    lines = [[row, number(power)] for row, power in zip(found.rows, found.powers, strict=True)]
    table = Table(
        f"{plural(len(lines), 'row')} whose weight was changed, as hashes of their ids",
        [Column("row", "SHA-256, keyed with the hash of the data", numeric=False), Column("power", "−1 deletes")],
        lines,
        folded=True,
    )
    blocks: list[Block] = [Facts(facts), *([table] if lines else []), Paragraph(found.caveat, muted=True)]
    return Section("receipt", "Receipt", blocks)
