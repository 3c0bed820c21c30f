"""The rules of B2, evaluated on every line that is kept, and the report."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from benchmarks.results import markdown, save
from benchmarks.suspects import kept
from benchmarks.suspects.cells import DATA, LOGISTIC
from benchmarks.suspects.intervals import mean_interval, over_cells
from benchmarks.suspects.measures import calibration_error
from benchmarks.suspects.peers import Peer

OURS, OURS_V = "ours", "ours [V]"
RIVALS_V = ("influence [V]", "KNN-Shapley [V]")
GAIN_D, WORST_D, GAIN_V = 0.03, -0.04, 0.06
ERROR, COVERED, WIDTH = 0.10, 0.80, 0.30
GOOD_RHAT, TIMES = 1.01, 3.0
CALIBRATED = ("breast", "wine", "digits", "moons", "radial", "synthetic")
NOT_TABULATED = ("code",)


def collected() -> Iterator[dict[str, Any]]:
    """Every line that is kept."""
    for file in sorted((kept.CACHE / "lines").glob("*.json")):
        data, noise, seed = file.stem.rsplit("-", 2)
        for method, line in kept.load_lines(file).items():
            yield {"data": data, "noise": noise, "seed": int(seed), "method": method, **line}


def gains(frame: pd.DataFrame, ours: str, rival: str, data: Sequence[str] = LOGISTIC) -> pd.DataFrame:
    """Paired differences in average precision."""
    some = frame[frame["method"].isin([ours, rival]) & frame["data"].isin(data)]
    wide = some.pivot(index=["data", "noise", "seed"], columns="method", values="ap").dropna()
    if not {ours, rival} <= set(wide):
        return pd.DataFrame(columns=["data", "noise", "seed", "gain"])
    return (wide[ours] - wide[rival]).rename("gain").reset_index()


def best_peer(frame: pd.DataFrame, peers: Sequence[str]) -> str:
    """The peer with the highest mean over the logistic cells; the first while none is measured."""
    some = frame[frame["method"].isin(peers) & frame["data"].isin(LOGISTIC)]
    if some.empty:
        return peers[0]
    return str(some.groupby(["method", "data", "noise"])["ap"].mean().groupby("method").mean().idxmax())


def level_of(method: str) -> str:
    """What a method is told beside the training rows."""
    return next((level for level in ("Fq", "V") if method.endswith(f"[{level}]")), "D")


def by_cell(gain: pd.DataFrame) -> pd.DataFrame:
    """Mean gain of each cell with its interval."""
    found = {cell: (*mean_interval(some["gain"]), len(some)) for cell, some in gain.groupby(["data", "noise"])}
    index = pd.MultiIndex.from_tuples(found, names=["data", "noise"])
    return pd.DataFrame(found.values(), index=index, columns=["gain", "low", "high", "seeds"])


def rules_of_detection(frame: pd.DataFrame, peers: Sequence[str], others: Sequence[str] = ()) -> list[str]:
    """Level D against the best single peer of the classifier that is given, level V against the two named rivals.

    ``others``: peers that train a classifier of their own; gains over these are told, without a goal.
    """
    told = [f"Best single peer at level D over the logistic cells: {(rival := best_peer(frame, peers))}."]
    gain = gains(frame, OURS, rival)
    if gain.empty:
        return [*told, "ours: nothing measured yet."]
    measured, all_cells = len(gain.groupby(["data", "noise"])), sum(len(DATA[name].noises) for name in LOGISTIC)
    if measured < all_cells:
        told.append(
            f"UNFINISHED: ours is measured on {measured} of {all_cells} logistic cells; what follows is no verdict."
        )
    for name, some in _by_kind(gain).items():
        if len(some) > 1:
            told.append(_judged(f"D, {name}: ours − {rival}", over_cells(some), GAIN_D, len(some)))
    for other in others:
        kinds = {name: some for name, some in _by_kind(gains(frame, OURS, other)).items() if len(some) > 1}
        if kinds:
            each = ", ".join(f"{name} {over_cells(some)[0]:+.4f}" for name, some in kinds.items())
            told.append(f"Beside the rule, ours − {other} (a classifier of its own): {each}.")
    cells = by_cell(gain).dropna()  # one seed has no interval
    if cells.empty:
        return told
    worst = cells["high"].idxmin()
    verdict = _word(cells["high"].min() >= WORST_D)
    told.append(
        f"D, worst cell by its upper limit: {'/'.join(worst)}, {cells.loc[worst, 'gain']:+.3f} "
        f"[{cells.loc[worst, 'low']:+.3f}, {cells.loc[worst, 'high']:+.3f}]; none may lie below {WORST_D}: {verdict}."
    )
    for rival in RIVALS_V:
        some = gains(frame, OURS_V, rival)
        if len(some) > 1:
            told.append(_judged(f"V, all logistic cells: {OURS_V} − {rival}", over_cells(some), GAIN_V, len(some)))
    return told


def _by_kind(gain: pd.DataFrame) -> dict[str, pd.DataFrame]:
    kinds = {"uniform noise": ("u10", "u20", "rep50"), "class-dependent noise": ("asym20",)}
    parts = {name: gain[gain["noise"].isin(noises)] for name, noises in kinds.items()}
    return {"all logistic cells": gain} | parts


def _judged(what: str, interval: tuple[float, float, float], goal: float, pairs: int) -> str:
    mean, low, high = interval
    verdict = _word(mean >= goal and low > 0)
    seen = f"{mean:+.4f} [{low:+.3f}, {high:+.3f}], mean over cells, {pairs} pairs"
    return f"{what}: {seen}; goal ≥ {goal} and above 0: {verdict}."


def _word(passed: bool) -> str:
    return "met" if passed else "NOT MET"


def calibrations(frame: pd.DataFrame, method: str) -> pd.DataFrame:
    """Per cell: skills, error of the top 2K rows pooled over seeds, precision@K claimed and true, interval."""
    some = frame[(frame["method"] == method) & frame.get("log_skill", pd.Series(dtype=float)).notna()]
    found = {}
    for (data, noise), lines in some.groupby(["data", "noise"], sort=False):
        inside = lines["precision"].between(lines["precision_low"] - 1e-9, lines["precision_high"] + 1e-9)
        found[data, noise] = {
            "log skill": lines["log_skill"].mean(),
            "Brier skill": lines["brier_skill"].mean(),
            "ECE, top 2K": _pooled_error(data, noise, method, lines),
            "precision@K": lines["precision"].mean(),
            "claimed": lines["precision_mean"].mean(),
            "inside": inside.mean(),
            "width": (lines["precision_high"] - lines["precision_low"]).median(),
            "expected count": lines["count_mean"].mean(),
            "planted": _planted(frame, data, noise),
            "r̂, 90 %": lines["rhat"].quantile(0.9),
            "not ok": f"{(lines['status'] != 'ok').sum()}/{len(lines)}",
        }
    if not found:
        return pd.DataFrame()
    return pd.DataFrame(found.values(), index=pd.MultiIndex.from_tuples(found, names=["data", "noise"]))


def _planted(frame: pd.DataFrame, data: str, noise: str) -> float:
    some = frame[(frame["data"] == data) & (frame["noise"] == noise)]
    return float(some["planted"].mean())


def _pooled_error(data: str, noise: str, method: str, lines: pd.DataFrame) -> float:
    """Expected calibration error of the 2K most suspicious rows of each seed, all seeds together.

    A seed whose line is that of the last table has no scores any more; where none has, the mean of their own errors
    stands in, which is the larger.
    """
    prob, wrong = [], []
    for seed in lines["seed"]:
        arrays = kept.load(kept.path("scores", f"{data}-{noise}-{seed}", method, suffix=".npz"))
        if arrays is None:
            continue
        top = np.argsort(-arrays["prob"], kind="stable")[: 2 * int(arrays["planted"].sum())]
        prob.append(arrays["prob"][top])
        wrong.append(arrays["planted"][top])
    return calibration_error(np.concatenate(prob), np.concatenate(wrong)) if prob else float(lines["ece"].mean())


def pooled(frame: pd.DataFrame, method: str) -> pd.DataFrame:
    """Average precision of the members alone and pooled, and how far each was heard."""
    columns = {
        "ap_model": "model alone",
        "ap_discriminant": "discriminant alone",
        "ap_forest": "forest alone",
        "ap": "pooled",
        "weight_model": "weight of model",
        "weight_discriminant": "… of discriminant",
        "weight_forest": "… of forest",
    }
    some = frame[frame["method"] == method]
    if not set(columns) <= set(some):
        return pd.DataFrame()
    return some.dropna(subset=list(columns)).groupby(["data", "noise"])[list(columns)].mean().rename(columns=columns)


def sampled(frame: pd.DataFrame, method: str) -> pd.DataFrame:
    """How the noise-aware model was sampled: medians over seeds, worst r̂, and time in that of the plain fit."""
    some = frame[(frame["method"] == method) & frame.get("plain_ess", pd.Series(dtype=float)).notna()]
    if some.empty:
        return pd.DataFrame()
    times = some["sampling_seconds"] / some["plain_seconds"]
    per_draw = times * some["plain_ess"] / some["ess"]
    made = some.assign(times=times, per_draw=per_draw, good=some["rhat"] <= GOOD_RHAT).groupby(["data", "noise"])
    columns = {
        "lines": made.size(),
        "r̂, worst": made["rhat"].max(),
        f"r̂ ≤ {GOOD_RHAT}": made["good"].mean(),
        "ESS": made["ess"].median(),
        "seconds": made["sampling_seconds"].median(),
        "plain seconds": made["plain_seconds"].median(),
        "plain ESS": made["plain_ess"].median(),
        "time / plain": made["times"].median(),
        "… an effective draw": made["per_draw"].median(),
    }
    if "opinion_seconds" in some:
        columns["seconds of the others"] = made["opinion_seconds"].median()
    return pd.DataFrame(columns)


def rules_of_sampling(table: pd.DataFrame, method: str) -> list[str]:
    """Whether the chains agree, and what that costs."""
    if table.empty:
        return []
    column, lines = f"r̂ ≤ {GOOD_RHAT}", table["lines"].sum()
    good, worst = np.average(table[column], weights=table["lines"]), table["r̂, worst"].max()
    cells, per_draw = table["time / plain"], table["… an effective draw"].median()
    times, dear = cells.median(), cells.index[cells > TIMES]
    return [
        f"{method}: {column} in {good:.0%} of {lines} sampled lines (worst {worst:.3f}; goal all): {_word(good == 1)}.",
        f"{method}: sampling takes {times:.1f} times as long as the plain fit, {per_draw:.1f} times for each effective "
        f"draw (medians over cells; goal ≤ {TIMES}): {_word(times <= TIMES)}.",
        f"{method}: at most {TIMES} times in every cell (median over seeds; the dearest {cells.max():.1f}): "
        f"{_word(not len(dear))}{_listed(dear)}.",
    ]


def origins(frame: pd.DataFrame, methods: Sequence[str]) -> list[str]:
    """By what code of edits and samplers (priors apart) lines of ours were made; an earlier table does not say."""
    code = frame["code"] if "code" in frame else pd.Series(None, index=frame.index, dtype=object)
    told = []
    for method in methods:
        own = frame[frame["method"] == method]
        parts = []
        for version, lines in own.groupby(code[own.index].fillna("an earlier table"), sort=True):
            names = ", ".join(name for name in DATA if name in set(lines["data"]))
            parts.append(f"{len(lines)} of {version} ({names})")
        if parts:
            told.append(f"{method}, lines by version of the code: {'; '.join(parts)}.")
    return told


def rules_of_calibration(frame: pd.DataFrame, table: pd.DataFrame, method: str) -> list[str]:
    """Skill, error and intervals where nothing overlaps by nature."""
    clear = table[table.index.get_level_values("data").isin(CALIBRATED)] if len(table) else table
    if clear.empty:
        return []
    told = []
    for name in ("log skill", "Brier skill"):
        bad = clear.index[~(clear[name] > 0)]
        told.append(f"{method}: {name} above the base rate in every cell: {_word(not len(bad))}{_listed(bad)}.")
    bad = clear.index[~(clear["ECE, top 2K"] <= ERROR)]
    told.append(f"{method}: calibration error ≤ {ERROR} of the top 2K rows: {_word(not len(bad))}{_listed(bad)}.")
    lines = frame[(frame["method"] == method) & frame["data"].isin(CALIBRATED) & frame["log_skill"].notna()]
    inside = lines["precision"].between(lines["precision_low"] - 1e-9, lines["precision_high"] + 1e-9).mean()
    width = (lines["precision_high"] - lines["precision_low"]).median()
    told.append(
        f"{method}: precision@K inside its 90 % interval in {inside:.0%} of {len(lines)} cells × seeds (goal ≥ "
        f"{COVERED:.0%}), median width {width:.2f} (goal ≤ {WIDTH}): {_word(inside >= COVERED and width <= WIDTH)}."
    )
    return told


def _listed(cells: pd.Index) -> str:
    return f" ({', '.join('/'.join(cell) for cell in cells)} fail)" if len(cells) else ""


def means(frame: pd.DataFrame, column: str, methods: Sequence[str]) -> pd.DataFrame:
    """Means over seeds: a line a cell, a column a method; a method measured on fewer seeds says on how many."""
    some = frame[frame["method"].isin(methods)]
    grouped = some.groupby(["data", "noise", "method"])[column]
    mean, count = grouped.mean().unstack(), grouped.count().unstack()
    most = count.max(axis=1)
    shown = mean.apply(
        lambda values: [
            "–"
            if np.isnan(v)
            else f"{v:.3f}" + (f" ({count.loc[at, values.name]:.0f})" if count.loc[at, values.name] < most[at] else "")
            for at, v in values.items()
        ]
    )
    order = [(d, n) for d in DATA for n in DATA[d].noises if (d, n) in shown.index]
    return shown.loc[order, [m for m in methods if m in shown]].assign(seeds=most.loc[order].astype(int))


def dropped(frame: pd.DataFrame, methods: Sequence[str]) -> pd.DataFrame:
    """Over all cells: what is found on a budget, and accuracies after K rows are dropped."""
    columns = {"precision": "precision@K", "found_fifth": "found in first fifth", "fnr": "FNR at budget"}
    columns |= {"F_h": "F_h after", "C_h": "C_h after", "test": "test after", "seconds": "seconds, median"}
    some = frame[frame["method"].isin(methods) & frame["data"].isin(LOGISTIC)]
    cells = some.groupby(["method", "data", "noise"])[list(columns)]
    table = cells.mean().groupby("method").mean()
    table["seconds"] = some.groupby("method")["seconds"].median()
    return table.rename(columns=columns).reindex([m for m in methods if m in table.index])


def report(
    *, about: str, methods: Sequence[str], write: bool, reference: str, peers: Mapping[str, Peer], seeds: range
) -> None:
    """Print the verdict of some seeds and, if asked, write the results; those that do not begin at 0 to their own."""
    frame = pd.DataFrame(collected())
    if frame.empty or "ap" not in (frame := frame[frame["seed"].isin(seeds)].reset_index(drop=True)):
        print("nothing measured yet")
        return
    planted = frame[frame["method"] == reference].set_index(["data", "noise", "seed"])["planted"]
    frame["planted"] = planted.reindex(pd.MultiIndex.from_frame(frame[["data", "noise", "seed"]])).to_numpy()
    at_d = [name for name, peer in peers.items() if level_of(name) == "D" and not peer.of_its_own]
    others = [name for name, peer in peers.items() if peer.of_its_own]
    tables = {name: calibrations(frame, name) for name in methods if name not in peers and name in set(frame["method"])}
    verdict = rules_of_detection(frame, at_d, others)
    for name, table in tables.items():
        verdict += rules_of_calibration(frame, table, name) + rules_of_sampling(sampled(frame, name), name)
    verdict += origins(frame, list(tables))
    print("\n".join(verdict))
    if write:
        name = f"suspects-from-seed-{seeds.start}" if seeds.start else "suspects"
        print(f"written to {_written(name, frame, about, verdict, tables, methods, reference, at_d)}")


def _written(
    name: str,
    frame: pd.DataFrame,
    about: str,
    verdict: list[str],
    tables: dict[str, pd.DataFrame],
    methods: Sequence[str],
    reference: str,
    at_d: Sequence[str],
) -> Path:
    parts = [about, "\n".join(f"- **{line}**" for line in verdict)]
    rival = best_peer(frame, at_d)
    if not (gain := by_cell(gains(frame, OURS, rival, list(DATA)))).empty:
        parts += [f"## Gain in average precision: ours − {rival} (95 % intervals)", markdown(gain)]
    for method, table in tables.items():
        if not table.empty:
            parts += [f"## Calibration of {method}", markdown(table)]
        for title, other in (("Who is heard in", pooled(frame, method)), ("Sampling of", sampled(frame, method))):
            if not other.empty:
                parts += [f"## {title} {method}", markdown(other)]
    parts += ["## After dropping K rows (mean over logistic cells)", markdown(dropped(frame, [reference, *methods]))]
    errors = frame[frame["error"].notna()] if "error" in frame else frame.iloc[:0]
    if len(errors):
        parts += ["## Broken", markdown(errors.groupby(["method", "error"]).size().rename("lines").to_frame())]
    parts += ["## Average precision (mean over seeds; in brackets: on so many)"]
    columns = [column for column in frame if column not in NOT_TABULATED]
    return save(name, frame[columns], table=means(frame, "ap", methods), about="\n\n".join(parts))
