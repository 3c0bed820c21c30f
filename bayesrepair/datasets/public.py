"""Well-known public tables, read from verbatim copies: Pima, German credit, Wisconsin, radon, roaches."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import pandas as pd

from bayesrepair.datasets.card import Card
from bayesrepair.datasets.dataset import Dataset
from bayesrepair.datasets.download import PublicFile, locate
from bayesrepair.status import DataError

_UCI_COPY = "https://raw.githubusercontent.com/jbrownlee/Datasets/d20fcb6402ae34e653d4513b00f39257bb37ed7f/{}"
_STAN_COPY = "https://raw.githubusercontent.com/stan-dev/example-models/2847a61097354785ceda9fba40c7f761d6664491/{}"


@dataclass(frozen=True)
class PublicTable:
    """How one table lies in its file, and what must be in it.

    Parameters
    ----------
    card : Card
        Its ``columns`` name the columns in the order of the file, the row id first where ``id_column``.
    file : PublicFile
        Where it comes from.
    target : str
        The column to be predicted.
    rows : int
        Number of rows.
    header : bool
        Whether the first line names the columns.
    id_column : bool
        Whether the first column is the row id.
    classes : mapping of int to str
        Code in the file to class word; empty for a number.
    counts : mapping of str to int
        Rows a class.
    groups : tuple of str
        Columns that say where a row comes from.
    """

    card: Card
    file: PublicFile
    target: str
    rows: int
    header: bool = False
    id_column: bool = False
    classes: Mapping[int, str] = field(default_factory=dict)
    counts: Mapping[str, int] = field(default_factory=dict)
    groups: tuple[str, ...] = ()

    def load(self) -> Dataset:
        """Find, read and check the table."""
        # The first entry of the card is the row id, which most of the files leave to the position.
        names = list(self.card.columns)
        frame = pd.read_csv(
            locate(self.file),
            header=0 if self.header else None,
            names=names if self.id_column else names[1:],
            index_col=0 if self.id_column else False,
            na_values=["?"],
            keep_default_na=False,
        )
        if self.classes:
            frame[self.target] = frame[self.target].map(self.classes)
        for name in frame.columns:
            if frame[name].dtype.kind == "O" or pd.api.types.is_string_dtype(frame[name]):
                frame[name] = frame[name].str.strip()
        check_content(frame, self)
        return Dataset(self.card, frame.rename_axis("row"), self.target, groups=self.groups)


def check_content(frame: pd.DataFrame, table: PublicTable) -> None:
    """Raise `DataError` unless rows, columns and class counts are those of the published table."""
    name = table.card.name
    shape = (table.rows, len(table.card.columns) - 1)
    if frame.shape != shape:
        expected = f"{name} to have {shape[0]} rows and {shape[1]} columns"
        raise DataError(expected, f"{frame.shape[0]} and {frame.shape[1]}", "The copy is not the known one.")
    counts = frame[table.target].value_counts().to_dict() if table.classes else {}
    if counts != dict(table.counts):
        raise DataError(f"{name} to have {table.counts}", f"{counts}", "The copy is not the known one.")
    if frame[table.target].isna().any():
        raise DataError(f"a target in every row of {name}", "missing ones", "The copy is not the known one.")


def _made(source: str, file: PublicFile) -> str:
    return f"{source} Read from a verbatim copy, `{file.path}`, SHA-256 {file.sha256}, kept at {file.urls[0]}."


_ROW = {"row": "position in the file, no predictor"}
_UNKNOWN = "No label was changed; how many are wrong is not known."

_PIMA = PublicFile(
    "pima/pima_indians_diabetes.csv",
    "6bfe5d0f379d17a0e0819b996407e3c09bf80febd4287f2ed212190dfff154af",
    (_UCI_COPY.format("pima-indians-diabetes.csv"),),
)
_GERMAN = PublicFile(
    "german_credit/german.csv",
    "ec12a88b9fc14d74ba646ea0410cf7ff4533bec2eb61652f8ad76796bbfec017",
    (_UCI_COPY.format("german.csv"),),
)
_WISCONSIN = PublicFile(
    "breast_cancer_wisconsin/breast_cancer_wisconsin.data",
    "402c585309c399237740f635ef9919dc512cca12cbeb20de5e563a4593f22b64",
    (_UCI_COPY.format("breast-cancer-wisconsin.data"),),
)
_RADON = PublicFile(
    "radon/mn_radon.csv",
    "091898a4247c6416cc17970d1836f86d088ff7d502073b3f91a8a6aec75c3c62",
    (_STAN_COPY.format("jupyter/radon/data/mn_radon.csv"),),
)
_ROACHES = PublicFile(
    "roaches/roachdata.csv",
    "8e9f0fca3f97734cc114ef417237c35f606d3f657d2c5b2659205a7ce5f2e3c9",
    (_STAN_COPY.format("ARM/Ch.8/roachdata.csv"),),
)

TABLES: Mapping[str, PublicTable] = {
    "pima": PublicTable(
        Card(
            "pima",
            "diabetes among 768 Pima women, 8 measurements",
            "Women of at least 21 years, tested for diabetes within five years (Smith et al., 1988).",
            _made("UCI Machine Learning Repository, given by V. Sigillito in 1990.", _PIMA),
            _ROW
            | {
                "pregnancies": "number of pregnancies",
                "glucose": "plasma glucose two hours into a tolerance test, mg/dL; 5 zeros stand for missing",
                "blood_pressure": "diastolic, mmHg; 35 zeros stand for missing",
                "skin_thickness": "triceps skinfold, mm; 227 zeros stand for missing",
                "insulin": "two-hour serum insulin, µU/mL; 374 zeros stand for missing",
                "bmi": "body mass index, kg/m²; 11 zeros stand for missing",
                "pedigree": "diabetes pedigree function",
                "age": "years",
                "outcome": "the target: `diabetes` (1 in the file) or `no diabetes` (0)",
            },
            _UNKNOWN + " The zeros that stand for missing values are left as they are.",
            "Usually listed as CC0; nothing authoritative was found.",
        ),
        _PIMA,
        "outcome",
        768,
        classes={1: "diabetes", 0: "no diabetes"},
        counts={"diabetes": 268, "no diabetes": 500},
    ),
    "german_credit": PublicTable(
        Card(
            "german_credit",
            "good or bad credit risk of 1000 applicants, 20 attributes",
            "Statlog (German Credit), given by H. Hofmann in 1994, doi:10.24432/C5NC77. Codes such as A11 "
            "are those of the original and are explained there.",
            _made("UCI Machine Learning Repository, `german.data` with commas.", _GERMAN),
            _ROW
            | {
                "status": "existing checking account, A11 to A14",
                "duration": "months",
                "credit_history": "A30 to A34",
                "purpose": "A40 to A410",
                "amount": "credit amount, Deutsche Mark",
                "savings": "savings account and bonds, A61 to A65",
                "employment": "present employment since, A71 to A75",
                "installment_rate": "per cent of disposable income, 1 to 4",
                "personal_status": "personal status and sex, A91 to A95",
                "other_debtors": "other debtors and guarantors, A101 to A103",
                "residence_since": "present residence since, 1 to 4",
                "property": "A121 to A124",
                "age": "years",
                "other_plans": "other instalment plans, A141 to A143",
                "housing": "A151 to A153",
                "existing_credits": "number of credits at this bank",
                "job": "A171 to A174",
                "people_liable": "number of people to provide for",
                "telephone": "A191 or A192",
                "foreign_worker": "A201 or A202",
                "risk": "the target: `good` (1 in the file) or `bad` (2)",
            },
            _UNKNOWN,
            "CC BY 4.0 (UCI Machine Learning Repository).",
        ),
        _GERMAN,
        "risk",
        1000,
        classes={1: "good", 2: "bad"},
        counts={"good": 700, "bad": 300},
    ),
    "breast_cancer_wisconsin": PublicTable(
        Card(
            "breast_cancer_wisconsin",
            "9 gradings of cells in 699 samples, benign or malignant",
            "Breast Cancer Wisconsin (Original), given by W. Wolberg in 1992, doi:10.24432/C5HP4Z. Not the "
            "Diagnostic set of scikit-learn (`breast_cancer`).",
            _made("UCI Machine Learning Repository; `?` is read as missing.", _WISCONSIN),
            _ROW
            | {
                "sample": "sample number, 645 distinct: some patients come twice; a group, no predictor",
                "clump_thickness": "1 to 10",
                "cell_size": "uniformity of cell size, 1 to 10",
                "cell_shape": "uniformity of cell shape, 1 to 10",
                "adhesion": "marginal adhesion, 1 to 10",
                "epithelial_size": "single epithelial cell size, 1 to 10",
                "bare_nuclei": "1 to 10, 16 missing",
                "chromatin": "bland chromatin, 1 to 10",
                "nucleoli": "normal nucleoli, 1 to 10",
                "mitoses": "1 to 10",
                "diagnosis": "the target: `benign` (2 in the file) or `malignant` (4)",
            },
            _UNKNOWN,
            "CC BY 4.0 (UCI Machine Learning Repository).",
        ),
        _WISCONSIN,
        "diagnosis",
        699,
        classes={2: "benign", 4: "malignant"},
        counts={"benign": 458, "malignant": 241},
        groups=("sample",),
    ),
    "radon": PublicTable(
        Card(
            "radon",
            "log radon in 919 homes of 85 counties of Minnesota (a number)",
            "The multilevel example of Gelman and Hill (2007), Data Analysis Using Regression and "
            "Multilevel/Hierarchical Models, chapter 12.",
            _made("US EPA survey; county names are stripped of padding.", _RADON),
            _ROW
            | {
                "floor": "where it was measured: 0 basement, 1 first floor",
                "county": "name of the county; a group",
                "log_radon": "the target: log of the radon concentration",
                "log_uranium": "log of the uranium concentration in the soil of the county",
                "county_id": "1 to 85, the same county as a number; a group",
            },
            _UNKNOWN,
            "US government survey; the copy's repository is new BSD by default.",
        ),
        _RADON,
        "log_radon",
        919,
        header=True,
        groups=("county", "county_id"),
    ),
    "roaches": PublicTable(
        Card(
            "roaches",
            "roaches trapped in 262 flats after a pest treatment (a count)",
            "The count regression example of Gelman and Hill (2007), chapter 8; 36 % of the counts are 0.",
            _made("Gelman and Hill's companion data.", _ROACHES),
            {
                "row": "number of the flat, from 1, no predictor",
                "y": "the target: roaches trapped after the treatment",
                "roach1": "roaches trapped before",
                "treatment": "1 treated, 0 control",
                "senior": "1 where the building is restricted to the elderly",
                "exposure2": "trap-days divided by 7",
            },
            _UNKNOWN,
            "The copy's repository is new BSD by default; the data themselves come without terms.",
        ),
        _ROACHES,
        "y",
        262,
        header=True,
        id_column=True,
    ),
}

CARDS: Mapping[str, Card] = {name: table.card for name, table in TABLES.items()}
SETS: Mapping[str, Callable[[], Dataset]] = {name: table.load for name, table in TABLES.items()}
