"""What B2 keeps between runs, under ``benchmarks/cache/suspects``; nothing of it is committed."""

from __future__ import annotations

import json
import os
from collections.abc import Collection
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

CACHE = Path(__file__).parent.parent / "cache" / "suspects"


def path(kind: str, *names: str, suffix: str) -> Path:
    """The file of something kept; its folder exists."""
    file = CACHE / kind / ("-".join(names).replace(" ", "_") + suffix)
    file.parent.mkdir(parents=True, exist_ok=True)
    return file


def save(file: Path, **arrays: Any) -> None:
    """Keep arrays; a run that is killed leaves the old file or the new one."""
    partial = file.with_suffix(".partial.npz")
    np.savez_compressed(partial, **arrays)
    partial.replace(file)


def load(file: Path) -> dict[str, np.ndarray] | None:
    """The arrays kept, or None."""
    if not file.exists():
        return None
    with np.load(file) as archive:
        return {name: archive[name] for name in archive.files}


def save_line(file: Path, method: str, line: dict[str, Any]) -> None:
    """Keep the line of a method beside the others of its cell, which another process may have written since."""
    partial = file.with_suffix(f".{os.getpid()}.partial")
    partial.write_text(json.dumps(load_lines(file) | {method: line}, default=float, indent=1))
    partial.replace(file)


def restore(table: Path, methods: Collection[str]) -> int:
    """Lines of some methods as the last table has them, where none are kept; how many."""
    frame, restored = pd.read_csv(table), 0
    frame = frame[frame["method"].isin(methods)]
    for (data, noise, seed), lines in frame.groupby(["data", "noise", "seed"]):
        file = path("lines", f"{data}-{noise}-{seed}", suffix=".json")
        known = load_lines(file)
        for line in lines.drop(columns=["data", "noise", "seed"]).to_dict("records"):
            if line["method"] not in known:
                save_line(file, line["method"], {k: v for k, v in line.items() if k != "method" and pd.notna(v)})
                restored += 1
    return restored


def load_lines(file: Path) -> dict[str, dict[str, Any]]:
    """Lines by method; none where nothing is kept."""
    return json.loads(file.read_text()) if file.exists() else {}
