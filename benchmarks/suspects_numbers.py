"""Suspects among measurements and counts: gross errors planted in radon and roaches, and data without any.

Radon: 60 homes off by ±3 or ±2 on the logarithmic scale (4 and 2.7 residual standard deviations). Roaches, Poisson and
negative binomial: 20 of the flats that had some get 10 or 100 times their count; or 20 flats trade counts (``swapped``;
those whose count changes at least threefold are wrong). ``simulated``: the same with outcomes drawn from the fitted
model, where nothing else is unusual, and from a heavy-tailed one (Student's t of 4 degrees of freedom for radon, a
negative binomial of size 1/2 for the Poisson), that the model has no name for. ``none``: nothing planted.

Average precision of ``prob_wrong``, beside ``surprise`` (minus the PSIS-LOO log score of the plain fit) and ``z``
(the plain fit's residual in its predictive standard deviations). ``alarms``: rows without a planted error whose
prob_wrong exceeds one half; ``named``: planted ones that do. ``expected``: the expected count of wrong records with its
90 % interval; ``within``: share of runs whose precision among as many rows as were planted lies in its 90 % interval;
``ok``: runs whose status is not unreliable; ``skill``: Brier skill of prob_wrong above the base rate; ``times``:
sampling time, plain fit = 1.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import warnings
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.metrics import average_precision_score

import bayesrepair as br
from bayesrepair.bridges.pymc.fit import TrainablePyMCModel
from bayesrepair.bridges.pymc.sampling import NutsSettings
from bayesrepair.posterior import Draws
from bayesrepair.status import SamplingWarning
from benchmarks.models.radon import radon
from benchmarks.models.roaches import negative_binomial, poisson
from benchmarks.results import save

CACHE = Path(__file__).parent / "cache" / "suspects_numbers"
FITS = {"radon": radon, "roaches Poisson": poisson, "roaches negative binomial": negative_binomial}
OWN = (
    "number_noise.py",
    "bridges/pymc/number_errors.py",
    "bridges/pymc/noisy_numbers.py",
    "bridges/pymc/contaminated_normal.py",
    "bridges/pymc/noisy_model.py",
    "suspects/number_suspicion.py",
)
HOMES, FLATS, THREEFOLD = 60, 20, 3.0
CLEAN_SEEDS = 5


@cache
def plain(name: str) -> tuple[br.Fit, np.ndarray]:
    """The fit of the model to its training rows, and their true outcomes."""
    problem = FITS[name](0)
    fit = problem.fit
    outcome = fit.rows.values["y"] if problem.truth is None else problem.truth
    assert isinstance(fit.model, TrainablePyMCModel)  # as the benchmark's models are
    fit.model.sampler.settings = NutsSettings(cores=1)  # as the library samples by default
    if problem.truth is not None:
        draws = fit.model.train(fit.rows.replace(y=outcome), rng=np.random.default_rng(0))
        fit = br.Fit(fit.model, fit.rows.replace(y=outcome), draws)
    return fit, np.asarray(outcome)


def outcomes(name: str, data: str, rng: np.random.Generator) -> np.ndarray:
    """The outcomes before errors are planted."""
    fit, own = plain(name)
    if data == "real":
        return own.copy()
    point = fit.draws.theta.mean(axis=0, keepdims=True)
    mean = fit.model.predict(point, fit.rows)[0, :, 0]
    if data == "simulated":
        return fit.model.simulate(point, fit.rows, rng)[0]
    if name == "radon":
        return mean + 0.6 * rng.standard_t(4, len(mean))
    return rng.negative_binomial(0.5, 0.5 / (0.5 + mean))


def planted(y: np.ndarray, error: str, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Outcomes with errors, and which they are."""
    bad = np.zeros(len(y), dtype=bool)
    if error == "none":
        return y, bad
    if error.startswith("±"):
        bad[rng.choice(len(y), HOMES, replace=False)] = True
        return y + bad * float(error[1:]) * rng.choice([-1, 1], len(y)), bad
    if error == "swapped":
        some = rng.choice(len(y), FLATS, replace=False)
        moved = y.copy()
        moved[some] = y[np.roll(some, 1)]
        return moved, np.abs(np.log((moved + 0.5) / (y + 0.5))) > np.log(THREEFOLD)
    bad[rng.choice(np.flatnonzero(y > 0), FLATS, replace=False)] = True
    return np.where(bad, y * int(error[1:]), y), bad


def run(name: str, data: str, error: str, seed: int) -> dict:
    """Plant, fit, look for suspects, compare."""
    rng = np.random.default_rng([seed, *(data + error).encode()])
    fit, _ = plain(name)
    y, bad = planted(outcomes(name, data, rng), error, rng)
    rows = fit.rows.replace(y=y.astype(np.asarray(fit.rows.values["y"]).dtype))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SamplingWarning)  # r-hat is in the table
        draws = fit.model.train(rows, rng=rng)
        assert isinstance(draws, Draws)  # nothing to start from was given
        assert draws.sampling is not None  # they come from NUTS
        spoiled = br.Fit(fit.model, rows, draws)
        suspects = br.find_suspects(spoiled, random_seed=seed)
    frame = suspects.frame().loc[rows.index]
    prob = frame["prob_wrong"].to_numpy()
    line = {"model": name, "data": data, "error": error, "seed": seed, "rows": len(y), "planted": int(bad.sum())}
    line |= {"named": int((prob[bad] > 0.5).sum()), "alarms": int((prob[~bad] > 0.5).sum())}
    line |= dict(zip(("expected", "low", "high"), suspects.expected_count, strict=True))
    line |= {"rhat": suspects.rhat, "ess": suspects.ess, "status": suspects.status.level}
    line |= {"seconds": suspects.seconds, "times": suspects.seconds / draws.sampling.seconds}
    if not bad.any():
        return line
    simulated = fit.model.simulate(draws.theta[::10], rows, rng)
    z = np.abs(y - simulated.mean(axis=0)) / np.maximum(simulated.std(axis=0), 1e-9)
    scores = {"prob_wrong": prob, "surprise": frame["surprise"].to_numpy(), "z": z}
    line |= {f"AP {key}": average_precision_score(bad, score) for key, score in scores.items()}
    precision = suspects.expected_precision(int(bad.sum()))
    seen = bad[np.argsort(-prob, kind="stable")[: bad.sum()]].mean()
    line |= {"precision": seen, "within": float(precision.low <= seen <= precision.high)}
    line["skill"] = 1 - np.mean((prob - bad) ** 2) / (bad.mean() * (1 - bad.mean()))
    return line


def cells(seeds: int) -> Iterator[tuple[str, str, str, int]]:
    """Every cell: model, data, error, seed."""
    for name in FITS:
        errors = ("±3", "±2") if name == "radon" else ("×10", "×100", "swapped")
        yield name, "real", "none", 0
        for seed in range(seeds):
            yield from ((name, "real", error, seed) for error in errors)
            yield name, "simulated", errors[0], seed
        for seed in range(CLEAN_SEEDS):
            yield name, "simulated", "none", seed
            if name != "roaches negative binomial":
                yield name, "heavy tails", "none", seed


def path(cell: tuple[str, str, str, int], version: str) -> Path:
    """Where the line of a cell is kept."""
    return CACHE / f"{version}-{'-'.join(map(str, cell))}.json".replace(" ", "_")


def kept(cell: tuple[str, str, str, int], version: str) -> dict:
    """The line of a cell, run if it is not there."""
    file = path(cell, version)
    if file.exists():
        return json.loads(file.read_text())
    line = run(*cell)
    CACHE.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(line))
    print(line, flush=True)
    return line


def summary(frame: pd.DataFrame) -> pd.DataFrame:
    """One line for each model, data and error."""
    groups = frame.groupby(["model", "data", "error"], sort=False)
    mean = groups[["AP prob_wrong", "AP surprise", "AP z", "planted", "named", "alarms", "expected", "low", "high"]]
    table = mean.mean().join(groups[["within", "skill", "times", "rhat"]].mean())
    gain = frame["AP prob_wrong"] - frame["AP surprise"]
    spread = gain.groupby([frame["model"], frame["data"], frame["error"]], sort=False)
    table.insert(2, "gain ± se", ["" if g.isna().all() else f"{g.mean():+.3f} ± {g.sem():.3f}" for _, g in spread])
    table["runs"] = groups.size()
    table["ok"] = groups["status"].agg(lambda levels: (levels != "unreliable").sum())
    return table


def main(arguments: list[str]) -> None:
    """Run every cell that is not kept, and write the tables."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks suspects_numbers")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--models", nargs="*", default=list(FITS))
    parser.add_argument("--kept", action="store_true", help="only report the cells that were run before")
    chosen = parser.parse_args(arguments)
    folder = Path(br.__file__).parent
    version = hashlib.sha256(b"".join((folder / name).read_bytes() for name in OWN)).hexdigest()[:8]
    every = [cell for cell in cells(chosen.seeds) if cell[0] in chosen.models]
    wanted = [cell for cell in every if not chosen.kept or path(cell, version).exists()]
    lines = [kept(cell, version) for cell in wanted]
    frame = pd.DataFrame(lines)
    seeds = f"Means over seeds 0 to {chosen.seeds - 1}; ``gain`` is paired, prob_wrong less surprise; 4 x 1000 draws."
    about = f"{__doc__}\n{seeds} {len(lines)} of {len(list(cells(chosen.seeds)))} cells were run."
    save("suspects_numbers", frame, table=summary(frame), about=about)
