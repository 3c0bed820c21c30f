"""A clinic's table: mixed columns, missing cells, one annotator who records wrong outcomes."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import pandas as pd

from bayesrepair.datasets.card import Card
from bayesrepair.datasets.dataset import Dataset
from bayesrepair.datasets.noise import flip_labels

_SEED = 20235
_TRAIN, _HELD = 600, 300

# How often the bad annotator writes the other outcome: complications are mostly missed, some invented.
_MISSED, _INVENTED = 0.9, 0.1
_BAD_ANNOTATOR = "Dunn"

CARD = Card(
    name="clinic",
    title="complications after surgery, with one annotator who records wrong outcomes",
    about=f"{_TRAIN} training rows and {_HELD} held-out rows of a made-up hospital: predict whether a "
    "patient has a complication. A model trained on it misses complications, and the question is why. Two "
    "groups look suspicious: one annotator, whose labels are wrong, and one site, whose patients are truly "
    "at higher risk.",
    made="Drawn at random; no real patient is behind it. The outcome is Bernoulli with a logit linear in "
    "age, glucose, log creatinine, body mass index, smoking, sex, and +2.2 at site South. Annotators are "
    "assigned independently of patient and site. Cells of `creatinine` (6 %) and `smoking` (3 %) are missing "
    "at random. "
    f"Made by `data/make.py` from `bayesrepair.datasets.clinic`, seed {_SEED}.",
    columns={
        "patient": "patient id, no predictor",
        "age": "years",
        "sex": "`female` or `male`",
        "bmi": "body mass index, kg/m²",
        "systolic": "systolic blood pressure, mmHg (has no effect of its own)",
        "glucose": "fasting glucose, mmol/L",
        "creatinine": "µmol/L, some missing",
        "smoking": "`never`, `former` or `current`, some missing",
        "site": "hospital site: `North`, `East` or `South`; a group",
        "annotator": "who recorded the outcome; a group, no predictor",
        "complication": "the target: `yes` or `no`, as recorded",
    },
    truth=f"Annotator {_BAD_ANNOTATOR} recorded `no` for {_MISSED:.0%} of the patients with a "
    f"complication and `yes` for {_INVENTED:.0%} of those without, in the training rows. "
    "Nobody else made a mistake, and the site effect is real. `truth.csv` lists `planted` (the label was "
    "changed) and `clean` (the true outcome) for every training row. All held-out outcomes are right.",
    licence="CC0 1.0: no rights reserved.",
)


def patients(n: int, *, rng: np.random.Generator) -> pd.DataFrame:
    """Draw patients with their true outcomes.

    Parameters
    ----------
    n : int
        Number of patients.
    rng : numpy.random.Generator
        Source of randomness.

    Returns
    -------
    pandas.DataFrame
        The columns of the card without ``patient``; no label is wrong; the index counts from 0.

    Examples
    --------
    >>> frame = patients(1000, rng=np.random.default_rng(0))
    >>> int(frame["complication"].isna().sum()), bool(frame["creatinine"].isna().any())
    (0, True)
    """
    frame = _covariates(n, rng)
    logit = _logit(frame)
    frame["complication"] = np.where(rng.random(n) < 1.0 / (1.0 + np.exp(-logit)), "yes", "no")
    frame.loc[rng.random(n) < 0.06, "creatinine"] = np.nan
    frame.loc[rng.random(n) < 0.03, "smoking"] = None
    return frame.rename_axis("row")


def _covariates(n: int, rng: np.random.Generator) -> pd.DataFrame:
    site = rng.choice(["North", "East", "South"], size=n, p=[0.4, 0.35, 0.25])
    age = np.clip(np.round(rng.normal(62.0, 13.0, n)), 25, 92).astype(int)
    bmi = np.round(rng.normal(27.0, 4.5, n) + 1.5 * (site == "South"), 1)
    glucose = np.round(np.exp(rng.normal(np.log(5.8) + 0.012 * (bmi - 27.0), 0.2, n)), 1)
    return pd.DataFrame(
        {
            "age": age,
            "sex": rng.choice(["female", "male"], size=n),
            "bmi": bmi,
            "systolic": np.round(130.0 + 0.35 * (age - 62) + rng.normal(0.0, 14.0, n)).astype(int),
            "glucose": glucose,
            "creatinine": np.round(np.exp(rng.normal(np.log(85.0), 0.25, n))),
            "smoking": rng.choice(["never", "former", "current"], size=n, p=[0.5, 0.3, 0.2]),
            "site": site,
            "annotator": rng.choice(
                ["Ames", "Brook", "Cole", _BAD_ANNOTATOR, "Ellis"], size=n, p=[0.2, 0.2, 0.15, 0.3, 0.15]
            ),
        }
    )


def _logit(frame: pd.DataFrame) -> np.ndarray:
    smoking = frame["smoking"].map({"never": 0.0, "former": 1.1, "current": 2.6})
    logit = (
        -2.9
        + 3.3 * (frame["age"] - 62) / 13.0
        + 2.2 * (frame["glucose"] - 6.0) / 1.2
        + 2.2 * np.log(frame["creatinine"] / 85.0) / 0.25
        + 1.1 * (frame["bmi"] - 27.0) / 4.5
        + smoking
        + 1.1 * (frame["sex"] == "male")
        + 2.2 * (frame["site"] == "South")
    )
    return logit.to_numpy()


def _record(frame: pd.DataFrame, rng: np.random.Generator) -> tuple[pd.Series, pd.Series]:
    """Return the recorded outcomes and which of them are wrong."""
    recorded = frame["complication"].copy()
    theirs = recorded[frame["annotator"] == _BAD_ANNOTATOR]
    wrong = pd.Series(False, index=frame.index, name="planted")
    for outcome, other, rate in (("yes", "no", _MISSED), ("no", "yes", _INVENTED)):
        labels, changed = flip_labels(theirs, rate=rate, rng=rng, kind="class", pairs={outcome: other})
        hit = changed.index[changed]
        recorded[hit] = labels[hit]
        wrong[hit] = True
    return recorded, wrong


def load_clinic() -> Dataset:
    """Return the clinic's table, with the wrong outcomes in place."""
    rng = np.random.default_rng(_SEED)
    frame, holdout = patients(_TRAIN, rng=rng), patients(_HELD, rng=rng)
    ids = pd.Index([f"P{number:04d}" for number in rng.permutation(_TRAIN + _HELD) + 1], name="row")
    frame.index, holdout.index = ids[:_TRAIN], ids[_TRAIN:]
    recorded, wrong = _record(frame, rng)
    return Dataset(
        CARD,
        frame.assign(complication=recorded),
        "complication",
        groups=("site", "annotator"),
        id="patient",
        truth=wrong,
        clean=frame["complication"].rename("clean"),
        holdout=holdout,
    )


CARDS: Mapping[str, Card] = {"clinic": CARD}
SETS: Mapping[str, Callable[[], Dataset]] = {"clinic": load_clinic}
