"""The rules of B1 for every line, and the report."""

from __future__ import annotations

import numpy as np
import pandas as pd

from benchmarks.results import save


def judge(frame: pd.DataFrame) -> pd.DataFrame:
    """Whether each line passes the strict rule, on both scales, whether its status was right, and what it cost."""
    good = strict(frame)
    wrong = ~(frame["e"] <= np.maximum(3 * frame["e_noise"], 0.08))
    return frame.assign(
        strict=good,
        natural_strict=strict(frame, "natural_"),
        false_ok=(frame["status"] == "ok") & wrong,
        natural_false_ok=(frame["status"] == "ok")
        & ~(frame["natural_e"] <= np.maximum(3 * frame["natural_e_noise"], 0.08)),
        false_alarm=(frame["status"] == "unreliable") & good,
        cost=frame["seconds"] / frame["refit_seconds"],
        cost_cpu=frame["cpu"] / frame["refit_cpu"],
    )


def strict(frame: pd.DataFrame, prefix: str = "") -> pd.Series:
    """The strict rule of B1; a line without distances fails."""
    column = {name: frame[prefix + name] for name in ("e", "max", "log_sd", "q05", "q95")}
    noise = {name: frame[f"{prefix}{name}_noise"] for name in column}
    passes = (column["e"] <= np.maximum(2 * noise["e"], 0.05)) & (column["log_sd"] <= 0.1)
    passes &= column["max"] <= np.maximum(2 * noise["max"], 0.2)
    for name in ("q05", "q95"):
        passes &= column[name] <= np.maximum(2 * noise[name], 0.05)
    return passes


def report(frame: pd.DataFrame, *, code: str) -> None:
    """Write the results and print the verdict."""
    save("editing", frame, table=frame.groupby(["model", "rung"])["strict"].mean().to_frame(), about=code)
