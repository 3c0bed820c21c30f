"""What B1 keeps between runs: draws of the fits, pools of refits, and the lines of every edit.

Nothing here is committed. A pool belongs to a model, a seed and an edit, whatever the library's code; a line remembers
the code it was measured with.
"""

from __future__ import annotations

import ast
import hashlib
import json
from dataclasses import asdict
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

import bayesrepair as br
from bayesrepair.posterior import Draws, Sampling
from benchmarks.edits import Edit

CACHE = Path(__file__).parent / "cache" / "editing"
_BEFORE = (  # what an edit passes through
    "numerics",
    "rows.py",
    "row_weights.py",
    "model.py",
    "posterior.py",
    "fit.py",
    "target.py",
    "predictive.py",
    "latents.py",
    "check.py",
    "judgement.py",
    "edit.py",
    "editors",
)
_BRIDGE = (
    "fit.py",
    "model.py",
    "glm.py",
    "glm_reading.py",
    "linear_reading.py",
    "evaluation.py",
    "sampling.py",
    "compiled_density.py",
    "compiled_gradient.py",
    "matrix_vector.py",
    "vector_functions.py",
    "whitened.py",
)
_ASIDE = (  # of numerics
    "label_posterior.py",
    "one_more.py",
    "one_more_by_part.py",
    "model_weight.py",
    "loo.py",
    "set_moves.py",
)


@cache
def code_version() -> str:
    """Hash of the code that an edit passes through, comments and layout apart; as it was when first asked for."""
    root = Path(br.__file__).parent
    files = [f for f in root.rglob("*.py") if f.relative_to(root).parts[0] in _BEFORE and f.name not in _ASIDE]
    files += [root / "bridges" / "pymc" / name for name in _BRIDGE]
    digest = hashlib.sha256()
    for file in sorted(files):
        digest.update(ast.dump(ast.parse(file.read_text())).encode())
    return digest.hexdigest()[:12]


def edit_version(edit: Edit) -> str:
    """Hash of the rows, outcomes and powers of an edit: a pool serves only the very same one."""
    digest = hashlib.sha256()
    for factor in edit:
        digest.update(repr((list(factor.rows.row), [round(p, 6) for p in factor.powers])).encode())
        for value in factor.rows.values.values():
            digest.update(np.ascontiguousarray(value).tobytes())
    return digest.hexdigest()[:12]


def path(kind: str, *names: object, suffix: str) -> Path:
    """The file of something kept; its folder exists."""
    file = CACHE / kind / ("-".join(str(n) for n in names).replace(" ", "_") + suffix)
    file.parent.mkdir(parents=True, exist_ok=True)
    return file


def save_draws(file: Path, draws: Draws) -> None:
    """Keep plain draws of a sampler."""
    assert draws.sampling is not None  # they come from NUTS
    assert draws.log_density is not None
    sampling = json.dumps(asdict(draws.sampling))
    _whole(
        file,
        theta=draws.theta,
        chain=draws.chain,
        r_eff=draws.r_eff,
        log_density=draws.log_density,
        sampling=sampling,
    )


def load_draws(file: Path) -> Draws | None:
    """The draws kept, or None."""
    if not file.exists():
        return None
    with np.load(file) as kept:
        sampling = Sampling(**json.loads(str(kept["sampling"])))
        theta = kept["theta"]
        plain = np.zeros(len(theta))
        r_eff, log_density = float(kept["r_eff"]), kept["log_density"]
        return Draws(theta, plain, kept["chain"], r_eff, sampling, log_density=log_density)


def save_pool(file: Path, pool: dict[str, dict[str, np.ndarray]], version: str) -> None:
    """Keep the summaries of a pool."""
    _whole(
        file, version=version, **{f"{part}|{name}": v for part, values in pool.items() for name, v in values.items()}
    )


def load_pool(file: Path, version: str) -> dict[str, dict[str, np.ndarray]] | None:
    """The pool kept for this very edit, or None."""
    if not file.exists():
        return None
    with np.load(file) as kept:
        if str(kept["version"]) != version:
            return None
        pool: dict[str, dict[str, np.ndarray]] = {}
        for key in kept.files:
            if key != "version":
                part, name = key.split("|")
                pool.setdefault(part, {})[name] = kept[key]
    return pool


def load_lines(file: Path, version: str | None = None) -> dict[str, dict[str, Any]]:
    """Lines by rung; with a ``version``, those that were measured on this very edit."""
    if not file.exists():
        return {}
    found = json.loads(file.read_text())
    return {rung: line for rung, line in found.items() if version in (None, line["edit_version"])}


def all_lines(model: str, seed: int) -> dict[str, dict[str, dict[str, Any]]]:
    """Lines by edit and rung of everything that is kept for a model and seed."""
    stem = path("lines", model, seed, "", suffix="").name
    files = sorted((CACHE / "lines").glob(f"{stem}*.json"))
    return {file.stem.removeprefix(stem).replace("_", " "): load_lines(file) for file in files}


def save_lines(file: Path, lines: dict[str, dict[str, Any]]) -> None:
    """Keep all lines of an edit; a run that is killed leaves the old file or the new one."""
    partial = file.with_suffix(".partial")
    partial.write_text(json.dumps(lines, default=float, indent=1))
    partial.replace(file)


def _whole(file: Path, **arrays: Any) -> None:
    partial = file.with_suffix(".partial.npz")
    np.savez_compressed(partial, **arrays)
    partial.replace(file)
