"""The rules of B1 for every line, and the report."""

from __future__ import annotations

import numpy as np
import pandas as pd

from benchmarks.results import markdown, save

LIMIT_COST, LIMIT_MEDIAN, LIMIT_SHARE = 0.2, 0.15, 0.8
_METRICS = ("e", "max", "log_sd", "q05", "q95")
_FLOOR = {"e": 0.05, "max": 0.2, "q05": 0.05, "q95": 0.05}
_NOT_TABULATED = ("each", "tried", "version")  # endings of columns that the CSV leaves out


def judge(frame: pd.DataFrame) -> pd.DataFrame:
    """Whether each line passes the strict rule, on both scales, whether its status was right, and what it cost."""
    frame = frame.reset_index(drop=True)
    fails, natural = failed(frame), failed(frame, "natural_")
    ok = frame["status"] == "ok"
    return frame.assign(
        fails=fails.apply(lambda line: " ".join(line.index[line]), axis=1),
        strict=~fails.any(axis=1),
        natural_strict=~natural.any(axis=1),
        false_ok=ok & _far(frame),
        natural_false_ok=ok & _far(frame, "natural_"),
        false_alarm=(frame["status"] == "unreliable") & ~fails.any(axis=1),
        ratio=frame["e"] / frame["e_noise"],
        cost=frame["seconds"] / frame["refit_wall"],
        cost_sampling=frame["seconds"] / frame["refit_seconds"],
        cost_cpu=frame["cpu"] / frame["refit_cpu"],
    )


def failed(frame: pd.DataFrame, prefix: str = "") -> pd.DataFrame:
    """Which parts of the strict rule each line breaks; a line without distances breaks all."""
    found = {}
    for name in _METRICS:
        limit: float | pd.Series = 0.1
        if name != "log_sd":
            limit = np.maximum(2 * frame[f"{prefix}{name}_noise"], _FLOOR[name])
        found[name] = ~(frame[prefix + name] <= limit)
    return pd.DataFrame(found)


def refits(frame: pd.DataFrame, prefix: str = "") -> pd.DataFrame:
    """Every refit of every pool as if it were an edit: model, and whether it passes against the pool of the others."""
    lists = [f"{prefix}{name}_each" for name in _METRICS]
    cells = frame.dropna(subset=lists).drop_duplicates(["model", "seed", "edit"])  # a line of the last table has none
    noise = [f"{prefix}{name}_noise" for name in _METRICS]
    single = cells[["model", *lists, *noise]].explode(lists, ignore_index=True)
    single = single.rename(columns={f"{prefix}{name}_each": prefix + name for name in _METRICS})
    values = [prefix + name for name in _METRICS]
    single[values] = single[values].astype(float)
    return single[["model"]].assign(strict=~failed(single, prefix).any(axis=1))


def _far(frame: pd.DataFrame, prefix: str = "") -> pd.Series:
    """Where ``ok`` is forbidden."""
    return ~(frame[f"{prefix}e"] <= np.maximum(3 * frame[f"{prefix}e_noise"], 0.08))


def cheap(frame: pd.DataFrame, cost: str = "cost") -> pd.Series:
    """Lines that ended ok or checked below ``retrain`` at no more than a fifth of a refit."""
    below = frame["status"].isin(["ok", "checked"]) & (frame["served"] != "retrain")
    return below & (frame[cost] <= LIMIT_COST)


def by_rung(frame: pd.DataFrame) -> pd.DataFrame:
    """One line a rung or peer: how often right, how often wrongly trusted or distrusted, and at what cost."""
    order = list(dict.fromkeys(frame["rung"]))
    found = {rung: _of_rung(frame[frame["rung"] == rung]) for rung in order}
    return pd.DataFrame.from_dict(found, orient="index").rename_axis("rung")


def _of_rung(lines: pd.DataFrame) -> dict[str, object]:
    said = lines["status"].value_counts()
    return {
        "lines": len(lines),
        "strict": f"{lines['strict'].mean():.0%}",
        "strict, natural scale": f"{lines['natural_strict'].mean():.0%}",
        "e ≤ max(3n, .08)": f"{(~_far(lines)).mean():.0%}",
        "e/n, median": lines["ratio"].median(),
        "e/n, 90 %": lines["ratio"].quantile(0.9),
        "bias": lines["bias"].median(),
        "MC": lines["mc"].median(),
        "ok, checked, unreliable": ", ".join(str(said.get(level, 0)) for level in ("ok", "checked", "unreliable")),
        "false ok": int(lines["false_ok"].sum()),
        "false alarms": int(lines["false_alarm"].sum()),
        "broke": int((lines["status"] == "error").sum()),
        "cost, median": lines["cost"].median(),
        "cost, 90 %": lines["cost"].quantile(0.9),
        "CPU cost, median": lines["cost_cpu"].median(),
    }


def by_model(frame: pd.DataFrame) -> pd.DataFrame:
    """One line a model: how ``auto`` did, and how refits themselves fare under the same rule."""
    single = refits(frame)
    found = {}
    for model, lines in frame[frame["rung"] == "auto"].groupby("model", sort=False):
        refitted = single.loc[single["model"] == model, "strict"]
        found[model] = {
            "edits × seeds": len(lines),
            "refit, s": lines["refit_wall"].median(),
            "refit ESS": lines["refit_ess"].median(),
            "refits that pass": f"{refitted.mean():.0%}" if len(refitted) else "–",
            "strict": f"{lines['strict'].mean():.0%}",
            "false ok": int(lines["false_ok"].sum()),
            "false alarms": int(lines["false_alarm"].sum()),
            f"below retrain at ≤ {LIMIT_COST}": f"{cheap(lines).mean():.0%}",
            "cost, median": lines["cost"].median(),
            "e/n, worst": lines["ratio"].max(),
            "served": _counted(lines["served"]),
        }
    return pd.DataFrame.from_dict(found, orient="index").rename_axis("model")


def by_edit(frame: pd.DataFrame) -> pd.DataFrame:
    """``auto`` on every model and edit; over seeds the mean, and every status and rung that occurred."""
    auto = frame[frame["rung"] == "auto"].fillna({"e": np.inf})
    grouped = auto.groupby(["model", "edit"], sort=False)
    return pd.DataFrame(
        {
            "nothing": grouped["e_nothing"].mean(),
            "e": grouped["e"].mean(),
            "n": grouped["e_noise"].mean(),
            "e/n, worst": grouped["ratio"].max(),
            "ESS": grouped["ess"].mean(),
            "status": grouped["status"].agg(_counted),
            "served": grouped["served"].agg(_counted),
            "cost": grouped["cost"].mean(),
            "strict": grouped["strict"].agg(lambda s: f"{s.sum()}/{len(s)}"),
            "breaks": grouped["fails"].agg(lambda s: " ".join(dict.fromkeys(" ".join(s).split()))),
        }
    )


def _counted(values: pd.Series) -> str:
    counts = values.value_counts()
    return ", ".join(name if len(counts) == 1 else f"{name} {count}" for name, count in counts.items())


def sentences(frame: pd.DataFrame, code: str) -> list[str]:
    """The verdict in words."""
    auto = frame[frame["rung"] == "auto"]
    single, natural = refits(frame), refits(frame, "natural_")
    share, median = cheap(auto).mean(), auto["cost"].median()
    cpu = f"by CPU time {cheap(auto, 'cost_cpu').mean():.0%} and {auto['cost_cpu'].median():.2f}"
    bare = f"against bare sampling {cheap(auto, 'cost_sampling').mean():.0%} and {auto['cost_sampling'].median():.2f}"
    old = int(((frame["code"] != code) & (frame["status"] != "none")).sum())
    return [
        f"auto: {auto['strict'].sum()} of {len(auto)} lines pass the strict rule "
        f"({auto['natural_strict'].sum()} on the natural scale); {auto['false_ok'].sum()} falsely ok "
        f"({auto['natural_false_ok'].sum()} on the natural scale), {auto['false_alarm'].sum()} false alarms.",
        f"auto: {share:.0%} of the lines end ok or checked below retrain at ≤ {LIMIT_COST} of a refit (goal "
        f"{LIMIT_SHARE:.0%}); median cost with the check {median:.2f} (goal {LIMIT_MEDIAN}); {cpu}; {bare}.",
        f"All rungs: {int(frame['false_ok'].sum())} of {int((frame['status'] == 'ok').sum())} ok were false.",
        f"A refit against the pool of the others passes the strict rule in {single['strict'].mean():.0%} of "
        f"{len(single)} cases, on the natural scale in {natural['strict'].mean():.0%}: the rule is applied on the "
        "unbounded scale (logits, logarithms of counts), where a saturated probability cannot decide.",
        *([f"{old} lines were measured with another version of the code."] if old else []),
    ]


NOTES = """\
A row is one model, seed, edit and rung. ``cost`` is wall seconds of the edit, its check included, over those
of a refit in the same process (4 × 1000 draws after 1000 of tuning, one core, with its r-hat and effective sample size,
as `retrain` makes it); "bare sampling" counts nothing but the sampler's own seconds against the edit's check and all.
Compilation and building of graphs are left out on both sides (``warm_up_seconds`` and ``compile_seconds`` in the CSV).
Where a refit takes long (net, digits, 20 000 rows) its time is that of its gradients. CPU cost is the same in CPU
seconds, the steadier figure on a shared machine. ``bias`` and ``MC`` are root
mean squares in posterior sds: the Monte Carlo part from how the chains of the edited draws disagree, the bias what
remains. ``false alarm``: unreliable although the strict rule is passed.
Where a table has more than 1000 rows (3000 class probabilities) a fixed random part is compared. A sequence is 20 edits
in turn, its cost the mean of one; retrain and peers make it in one step. Roaches, negative binomial: each flat's Gamma
effect integrated out, and random intercepts of the deciles of the count before the treatment, for the table has no
groups; no errors are planted there, and relabelling puts the prediction in the place of the 20 worst counts."""


def report(frame: pd.DataFrame, *, about: str, code: str, write: bool) -> None:
    """Print the verdict and, if asked, write the results."""
    for sentence in sentences(frame, code):
        print(sentence)
    print(by_rung(frame).to_string(float_format="{:.3g}".format))
    if not write:
        return
    bold = "\n".join(f"- **{sentence}**" for sentence in sentences(frame, code))
    parts = [about, bold, "## Models (auto)", markdown(by_model(frame)), "## Rungs and peers", markdown(by_rung(frame))]
    kept = frame[[name for name in frame if not name.endswith(_NOT_TABULATED)]]
    path = save("editing", kept, table=by_edit(frame), about="\n\n".join([*parts, NOTES, "## Edits (auto)"]))
    print(f"written to {path}")
