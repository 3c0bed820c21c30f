"""A rehearsal in plain words."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bayesrepair.rehearsal import Rehearsal

FEW = 0.02  # rows whose k-hat is bad
FAR = 0.05  # a promise this far from what came true is worth a word


def in_words(rehearsal: Rehearsal) -> list[str]:
    """What was done, what was found, whether to believe it, what it does to clean rows, and what is not known."""
    lines = [_done(rehearsal)]
    if rehearsal.noise:
        lines += [_found(rehearsal), _believed(rehearsal), *_other_lists(rehearsal), _harm(rehearsal)]
    else:
        lines += [_false_alarms(rehearsal), _needless(rehearsal)]
    return [*lines, *_trust(rehearsal), _already(rehearsal), str(rehearsal.status)]


def _done(rehearsal: Rehearsal) -> str:
    runs = f"{len(rehearsal)} run{'s' * (len(rehearsal) != 1)}"
    how = "Laplace approximations" if rehearsal.cheap else "sampled"
    if not rehearsal.noise:
        return (
            f"Rehearsal without any error: all {rehearsal.rows} outcomes drawn from the model, {runs}, {how}. "
            "In brackets: 90 % intervals for one more run."
        )
    planted = rehearsal.runs["planted"]
    count = f"{planted.iloc[0]}" if planted.nunique() == 1 else f"{planted.min()} to {planted.max()}"
    where = {"uniform": "anywhere", "class": "of one class", "group": "in one group"}[rehearsal.mechanism]
    return (
        f"Rehearsal: {count} of {rehearsal.rows} outcomes made wrong ({where}), {runs}, {how}. In brackets: 90 % "
        "intervals for one more run."
    )


def _k(rehearsal: Rehearsal) -> int:
    return int(rehearsal.runs["k"].median())


def _rows(k: int, share: float) -> str:
    return f"{k * share:.0f}"


def _found(rehearsal: Rehearsal) -> str:
    k, precision, recall = _k(rehearsal), rehearsal.expected("precision"), rehearsal.expected("recall")
    verb = "remove" if rehearsal.action == "drop" else "relabel"
    counts = (_rows(k, share) for share in precision)
    mean, low, high = counts
    return (
        f"Of the {k} outcomes you would {verb}, {mean} ({low}-{high}) would be wrong, and {k - int(mean)} right; that "
        f"finds {recall.mean:.0%} ({recall.low:.0%}-{recall.high:.0%}) of the planted errors."
    )


def _believed(rehearsal: Rehearsal) -> str:
    k, claimed, precision = _k(rehearsal), rehearsal.expected("claimed"), rehearsal.expected("precision")
    inside = int(rehearsal.runs["inside"].sum())
    gap = claimed.mean - precision.mean
    judged = "claims too much" if gap > FAR else "claims too little" if gap < -FAR else "is about right"
    return (
        f"prob_wrong would promise {_rows(k, claimed.mean)} of {k}: it {judged}; what came true lay inside the "
        f"promised 90 % interval in {inside} of {len(rehearsal)} runs."
    )


def _other_lists(rehearsal: Rehearsal) -> list[str]:
    known = {
        "average_precision": "suspects",
        "surprise_precision": "surprise alone",
        "causes_precision": "causes of the held-out rows",
        "joined_precision": "causes and suspects joined",
    }
    found = [
        f"{name} {rehearsal.runs[figure].mean():.2f}" for figure, name in known.items() if figure in rehearsal.runs
    ]
    lines = [f"Average precision: {', '.join(found)}."]
    if "group_found" in rehearsal.runs:
        lines.append(f"The group with the errors came out worst in {int(rehearsal.runs['group_found'].sum())} runs.")
    if rehearsal.mechanism != "uniform":
        parts = rehearsal.by(rehearsal.mechanism).itertuples()
        each = ", ".join(f"{part.Index} {part.recall:.0%} ({part.low:.0%}-{part.high:.0%})" for part in parts)
        lines.append(f"Of the errors in each {rehearsal.mechanism} it finds {each}.")
    return lines


def _clean(rehearsal: Rehearsal) -> str:
    return "held-out rows" if rehearsal.held_out else "training rows without a planted error"


def _harm(rehearsal: Rehearsal) -> str:
    planted, left = rehearsal.expected("score_planted"), rehearsal.expected("score_repaired")
    text = (
        f"Harm: the errors change the log score of {_clean(rehearsal)} by {planted.mean:+.3f} nats a row; after the "
        f"repair it is {left.mean:+.3f} ({left.low:+.3f} to {left.high:+.3f}) away from where it was"
    )
    if "accuracy" in rehearsal.runs:
        before, bad, after = (rehearsal.runs[f"accuracy{stage}"].mean() for stage in ("", "_planted", "_repaired"))
        text += f"; accuracy {before:.3f}, with errors {bad:.3f}, repaired {after:.3f}"
    return f"{text}."


def _false_alarms(rehearsal: Rehearsal) -> str:
    flagged, counted = rehearsal.expected("flagged"), rehearsal.expected("counted")
    return (
        f"Where nothing is wrong, {flagged.mean:.1f} rows ({flagged.low:.0f}-{flagged.high:.0f}) have "
        f"prob_wrong above one half, and the model expects {counted.mean:.1f} wrong outcomes."
    )


def _needless(rehearsal: Rehearsal) -> str:
    score, shift, spread = (rehearsal.expected(name) for name in ("score_repaired", "shift", "sd_ratio"))
    runs = rehearsal.runs
    verb = "Removing" if rehearsal.action == "drop" else "Relabelling"
    whose = "held-out rows" if rehearsal.held_out else "training rows"
    text = (
        f"{verb} {_k(rehearsal)} row{'s' * (_k(rehearsal) != 1)} needlessly changes the log score of {whose} "
        f"by {score.mean:+.3f} ({score.low:+.3f} to {score.high:+.3f}) nats a row, moves posterior means by "
        f"{shift.mean:.2f} sds and multiplies posterior sds by {spread.mean:.2f}; 90 % intervals cover "
        f"{runs['covered'].mean():.0%} of the parameters before it and {runs['covered_repaired'].mean():.0%} after"
    )
    if "accuracy" in runs:
        text += f"; accuracy {runs['accuracy'].mean():.3f} before, {runs['accuracy_repaired'].mean():.3f} after"
    return f"{text}."


def _trust(rehearsal: Rehearsal) -> list[str]:
    bad = int((rehearsal.runs["edit_status"] == "unreliable").sum())
    doubtful = int((rehearsal.runs["status"] == "unreliable").sum())
    lines = []
    unsure = rehearsal.runs["khat_bad"].median() if "khat_bad" in rehearsal.runs else 0.0
    if unsure > FEW:
        lines.append(
            f"{unsure:.0%} of the clean rows cannot be left out reliably (k-hat above 0.7): to know the harm, pass "
            "holdout=."
        )
    if bad:
        lines.append(f"In {bad} of {len(rehearsal)} runs the repaired posterior was unreliable: doubt the harm.")
    if doubtful:
        lines.append(f"In {doubtful} of {len(rehearsal)} runs find_suspects called its own figures unreliable.")
    return lines


def _already(rehearsal: Rehearsal) -> str:
    count, put_right = rehearsal.already, rehearsal.runs["corrected"]
    return (
        f"The given outcomes may hold real errors already: the model expects {count.mean:.1f} ({count.low:.0f}-"
        f"{count.high:.0f}). Each run first put right what may be wrong, {put_right.mean():.1f} outcomes on average."
    )
