"""How far a detector of wrong labels can come: the classifier that was trained on the right ones.

On every logistic cell and seed of the last table of `suspects`, rows are ranked by the loss of their given label under
a logistic regression trained on the labels *before* errors were planted. Nobody has that classifier: it is what is left
to gain for methods that rank by one, and where it gains little no method of this kind can gain much. ``V`` is the
library told half of the clean test rows.
"""

from __future__ import annotations

import argparse

import numpy as np
import pandas as pd

from benchmarks.results import FOLDER, save
from benchmarks.suspects.cells import LOGISTIC, NOISES, cell
from benchmarks.suspects.intervals import over_cells
from benchmarks.suspects.logistic import probabilities
from benchmarks.suspects.measures import detection

RIVAL, LIMIT, SHOWN = "margin", "trained on right labels", ("margin", "ours", "ours [V]")
KINDS = {"all": ("u10", "u20", "rep50", "asym20"), "uniform": ("u10", "u20", "rep50"), "class-dependent": ("asym20",)}


def limit(data: str, noise: str, seed: int) -> float:
    """Average precision of the loss under the classifier of the right labels."""
    some = cell(data, noise, seed)
    given = probabilities(some.x, some.clean, some.x, some.n_classes)[np.arange(len(some.y)), some.y]
    return detection(-np.log(np.maximum(given, 1e-300)), some.planted, NOISES[noise].rate)["ap"]


def main(argv: list[str]) -> None:
    """Run, and write the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks suspects_limit", description=__doc__.splitlines()[0])
    parser.parse_args(argv)
    table = pd.read_csv(FOLDER / "suspects.csv")
    some = table[table["data"].isin(LOGISTIC) & table["method"].isin(SHOWN)]
    frame = some.pivot(index=["data", "noise", "seed"], columns="method", values="ap").dropna()[list(SHOWN)]
    frame[LIMIT] = [limit(*at) for at in frame.index]
    frame = frame.reset_index()
    means = frame.groupby(["data", "noise"], sort=False)[[*SHOWN, LIMIT]].mean()
    means["seeds"] = frame.groupby(["data", "noise"], sort=False).size()
    told = [_told(kind, frame[frame["noise"].isin(noises)]) for kind, noises in KINDS.items()]
    print("\n".join(told))
    about = "\n\n".join([__doc__.strip(), "\n".join(f"- **{line}**" for line in told), "Average precision:"])
    print(f"written to {save('suspects_limit', frame, table=means, about=about)}")


def _told(kind: str, frame: pd.DataFrame) -> str:
    gains = [
        f"{method} {mean:+.3f} [{low:+.3f}, {high:+.3f}]"
        for method in (*SHOWN[1:], LIMIT)
        for mean, low, high in [over_cells(frame.assign(gain=frame[method] - frame[RIVAL]))]
    ]
    return f"{kind} noise, above {RIVAL}: {', '.join(gains)}."
