"""What was asked, and what came out, in plain words."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pandas as pd

from bayesrepair.evaluation import Effect
from bayesrepair.reporting.blocks import Block, Facts, Items, Note, Section, Tone
from bayesrepair.reporting.material import Material
from bayesrepair.reporting.wording import decimals, percent, plural, value_text, whole

NAMED = 12
FIRST = 5
LEVELS: dict[str, tuple[Tone, str]] = {
    "ok": ("good", "The repaired posterior can be used."),
    "checked": ("fair", "The repaired posterior passes its check, with a reservation."),
    "unreliable": ("bad", "Do not rely on the repaired posterior."),
}
HEADLINES: dict[str, str] = {
    "verified": "Verified: it agrees with refits on the same rows, as well as refits agree with one another.",
    "estimated": "Estimated: nothing speaks against it, but it was not compared with a refit.",
    "unverified": "Unverified: no check or refit vouches for it.",
}


def verdict(material: Material) -> Section:
    """The headline: what was done, what it is worth, what it changed."""
    tone, worth = worth_of(material)
    sentences = [f"{done(material)}."]
    if len(material.treated):
        sentences += [worth, HEADLINES[material.receipt.verdict]]
        gained, doubtful = _gained(material)
        sentences += gained
        tone = "fair" if doubtful and tone == "good" else tone
    else:
        tone = "plain"
    effect = [effect_sentence(part, line) for part, line in _headline_parts(material)]
    blocks: list[Block] = [Note(" ".join(sentences), tone, heading=_heading(material))]
    known = _truth(material)
    blocks.append(Items([*_top(material), *effect, *known, *_remedy(material)]))
    return Section("verdict", "In short", [b for b in blocks if not isinstance(b, Items) or b.items])


def _gained(material: Material) -> tuple[list[str], bool]:
    """What all held-out rows gain, in a sentence, and whether something speaks against the repair."""
    lines = [line for part, line in _headline_parts(material) if part.startswith("all")]
    if not lines:
        return [], False
    effect = Effect.of(lines[0])
    said = {
        "better": "Held-out rows become more probable",
        "worse": "Held-out rows become less probable: the repair does harm",
        "": "Held-out rows as a whole gain nothing clear",
    }[effect.log_score]
    if effect.by_measure == "worse" and effect.log_score != "worse":
        lost = (
            "fewer of them are predicted right" if effect.measure == "accuracy" else "their predictions are further off"
        )
        said += f", but {lost}" if effect.log_score else f", and {lost}"
    return [f"{said}."], "worse" in (effect.log_score, effect.by_measure)


def worth_of(material: Material) -> tuple[Tone, str]:
    """Tone and sentence of the status; a refit that agrees or disagrees has the last word."""
    checked = material.edited.verification
    if checked is not None:
        return ("good", LEVELS["ok"][1]) if checked.passed else ("bad", LEVELS["unreliable"][1])
    return LEVELS[material.edited.status.level]


def done(material: Material) -> str:
    """What was done to how many rows.

    Of several kinds, the most frequent comes first.
    """
    kinds = Counter(text.split(" ")[0] for text in material.treated)
    if not kinds:
        return "Nothing was repaired: the training rows are ranked only"
    words = {"deleted": "deleted", "relabelled": "relabelled", "weight": "given another weight", "inserted": "added"}
    total = plural(len(material.before.rows), "training row")
    verb = "was" if sum(kinds.values()) == 1 else "were"
    parts = [f"{whole(count)} {words[kind]}" for kind, count in kinds.most_common()]
    if len(parts) == 1 and "inserted" not in kinds:
        (kind, count) = next(iter(kinds.items()))
        return f"{whole(count)} of {total} {verb} {words[kind]}"
    return f"Of {total}, {' and '.join(parts)}"


def _heading(material: Material) -> str:
    if not len(material.treated):
        return "No repair"
    return {"verified": "Verified repair", "estimated": "Estimated repair", "unverified": "Unverified repair"}[
        material.receipt.verdict
    ]


def _headline_parts(material: Material) -> list[tuple[str, pd.Series]]:
    if material.figures is None or not len(material.treated):
        return []
    lines = list(material.figures.iterrows())
    wanted = [n for n, _ in lines if str(n).startswith(("failures", "all"))]
    # Kept apart where there are such rows: the first of each kind.
    first = {str(n).split(" ", maxsplit=1)[0]: n for n in reversed(wanted)}
    return [(str(n), line) for n, line in lines if n in first.values()]


def effect_sentence(part: str, line: pd.Series) -> str:
    """Before and after on one part of the held-out rows, and whether the difference is clear."""
    gain, error = line["log_score_gain"], line["gain_se"]
    if "accuracy_before" in line:
        n = int(line["rows"])
        old, new = (round(n * line[f"accuracy_{side}"]) for side in ("before", "after"))
        head = f"{old} of {n} right before, {new} after"
    else:
        head = f"root mean square error {line['rmse_before']:.4g} before, {line['rmse_after']:.4g} after"
    change = f"{decimals(gain, 3, sign=True)} ± {decimals(error, 3)}"
    return f"{part[:1].upper()}{part[1:]}: {head}; log score {change} nats a row ({Effect.of(line).words})."


def _truth(material: Material) -> list[str]:
    if material.truth is None or not len(material.treated):
        return []
    bad = material.truth.reindex(material.treated.index).fillna(False).astype(bool)
    chance = material.truth.mean()
    return [
        f"{int(bad.sum())} of the {len(bad)} rows treated are truly bad ({percent(bad.mean())}; "
        f"by chance {percent(chance)})."
    ]


def _remedy(material: Material) -> list[str]:
    status = material.edited.status
    if material.edited.verification is not None and material.edited.verification.passed:
        return []
    return [f"What to do next: {status.remedy}"] if status.remedy else []


def asked(material: Material) -> Section:
    """Model, rows, failures, action."""
    fit, model = material.before, material.before.model
    outcome = model.outcome
    kind = {"class": "classes", "count": "counts", "continuous": "numbers"}[outcome.kind]
    if outcome.classes is not None:
        some = ", ".join(value_text(c) for c in outcome.classes[:8])
        kind = f"{len(outcome.classes)} classes: {some}{', …' if len(outcome.classes) > 8 else ''}"
    facts = [
        ("Outcome", f"{outcome.name} ({kind})"),
        ("Training rows", whole(len(fit.rows))),
        ("Model", _model_name(material)),
        ("Parameters", _parameters(material)),
    ]
    if material.failures is not None:
        held = len(material.failures.holdout)
        facts.append(("Held-out rows", f"{whole(held)}, of which {whole(len(material.failures))} fail"))
        facts.append(("A failure", material.failures.rule))
    if material.causes is not None:
        facts.append(("Ranking", f"cause score against {material.whom}, method {material.causes.method}"))
    facts += [("Action", done(material)), ("Served by", material.edited.info.rung), *material.asked]
    blocks: list[Block] = [Facts(facts)]
    if material.notes:
        blocks.append(Items(list(material.notes)))
    return Section("asked", "What was asked", blocks)


def _model_name(material: Material) -> str:
    """The formula where there is one, else the columns; a table's recipe knows both."""
    model = material.before.model
    recipe: Any = getattr(model, "preparation", None)
    family = getattr(getattr(recipe, "target", None), "family", None)
    if family is None:
        return type(model).__name__
    if not recipe.coded:
        return f"{family}: {recipe.formula}"
    names = list(map(str, recipe.columns))
    some = ", ".join(names[:NAMED]) + (", …" if len(names) > NAMED else "")
    return f"{family} regression on {plural(len(names), 'column')}: {some}"


def _parameters(material: Material) -> str:
    model = material.before.model
    names = list(model.dims)
    some = f" ({', '.join(names[:NAMED])}{', …' if len(names) > NAMED else ''})" if names else ""
    return f"{whole(model.n_params)}{some}"


def _top(material: Material) -> list[str]:
    """The rows, and the groups, that work hardest against the failures."""
    said = []
    if material.causes is not None:
        rows = [value_text(row) for row in material.causes.scores.index[:FIRST]]
        said.append(f"Most harmful to {material.whom}: {'row' if len(rows) == 1 else 'rows'} {', '.join(rows)}.")
    for group in material.groups:
        name, line = group.groups.index[0], group.groups.iloc[0]
        if line["low"] > 0:
            said.append(
                f"Most harmful {group.column}: {value_text(name)}, first with probability "
                f"{decimals(line['prob_first'], 2)} ({whole(line['rows'])} rows)."
            )
    return said
