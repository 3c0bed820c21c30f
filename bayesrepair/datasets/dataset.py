"""A data set as it is handed to the user: rows, target, card, and what is known of its wrong labels."""

from __future__ import annotations

import html
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from bayesrepair.datasets.card import Card
from bayesrepair.status import DataError

FILES = ("train.csv", "test.csv", "truth.csv", "CARD.md")


@dataclass(frozen=True, repr=False, eq=False)
class Dataset:
    """Example data.

    Parameters
    ----------
    about : Card
        What is known of the data; ``name``, ``title``, ``columns`` and ``card`` come from it.
    frame : pandas.DataFrame
        The training rows, one line a row, indexed by row id (index name ``row``).
    target : str
        The column to be predicted; classes are words.
    groups : tuple of str
        Columns that say where a row comes from (annotator, site, county): never predictors by themselves.
    id : str
        What the row ids are called in written files.
    truth : pandas.Series of bool, optional
        By row id of ``frame``: True where the label was made wrong on purpose. None where nothing is known.
    clean : pandas.Series, optional
        By row id of ``frame``: the labels before that.
    holdout : pandas.DataFrame, optional
        Further rows of the same kind, none of them with a planted label. No row id is in both frames.
    """

    about: Card
    frame: pd.DataFrame
    target: str
    groups: tuple[str, ...] = ()
    id: str = "row"
    truth: pd.Series | None = None
    clean: pd.Series | None = None
    holdout: pd.DataFrame | None = None

    @property
    def name(self) -> str:
        """The name that ``load`` knows."""
        return self.about.name

    @property
    def title(self) -> str:
        """What the rows are, in one line."""
        return self.about.title

    @property
    def columns(self) -> Mapping[str, str]:
        """Meaning of each column."""
        return self.about.columns

    @property
    def card(self) -> str:
        """The card, in Markdown."""
        return str(self.about)

    @property
    def features(self) -> list[str]:
        """The columns that may predict: neither the target nor one of ``groups``."""
        return [name for name in self.frame.columns if name != self.target and name not in self.groups]

    def write(self, folder: str | os.PathLike[str], *, overwrite: bool = False) -> Path:
        """Write the data as CSV files into a new folder, all of them or none.

        Parameters
        ----------
        folder : path
            The folder to make; its parents are made where needed.
        overwrite : bool
            Replace a folder that this method wrote before. A folder that holds anything else is refused.

        Returns
        -------
        pathlib.Path
            The folder, with ``train.csv``, ``CARD.md`` and, where there are such, ``test.csv`` (the
            held-out rows) and ``truth.csv`` (row id, ``planted``, ``clean``: the right label).

        Raises
        ------
        DataError
            If the folder exists and ``overwrite`` is False, or if it holds files of another kind.
        """
        folder = Path(folder).absolute()
        _require_free(folder, overwrite)
        folder.parent.mkdir(parents=True, exist_ok=True)
        partial = folder.with_name(f".{folder.name}.{os.getpid()}.partial")
        partial.mkdir()
        try:
            self._write_files(partial)
            if folder.exists():
                shutil.rmtree(folder)
            partial.rename(folder)
        except BaseException:
            shutil.rmtree(partial, ignore_errors=True)
            raise
        return folder

    def _write_files(self, folder: Path) -> None:
        _write_csv(self.frame, folder / "train.csv", self.id)
        if self.holdout is not None:
            _write_csv(self.holdout, folder / "test.csv", self.id)
        if self.truth is not None:
            truth = pd.DataFrame({"planted": self.truth, "clean": self.clean})
            _write_csv(truth, folder / "truth.csv", self.id)
        (folder / "CARD.md").write_text(self.card, encoding="utf-8", newline="\n")

    def _lines(self) -> list[str]:
        lines = [f"{self.name}: {self.title}"]
        held = "" if self.holdout is None else f", and {len(self.holdout)} held out"
        lines.append(f"{len(self.frame)} rows{held}; {self.frame.shape[1]} columns")
        lines.append(f"target {self.target}: {_spread(self.frame[self.target])}")
        if self.groups:
            lines.append(f"groups: {', '.join(self.groups)}")
        if self.truth is not None:
            share = self.truth.mean()
            lines.append(f"labels made wrong on purpose: {int(self.truth.sum())} ({share:.1%}), see .truth")
        return lines

    def __repr__(self) -> str:
        return "\n".join(self._lines())

    def _repr_html_(self) -> str:
        first, *rest = (html.escape(line) for line in self._lines())
        table = self.frame.head().to_html(max_cols=12)
        return f"<p><b>{first}</b><br>{'<br>'.join(rest)}</p>{table}"


def _require_free(folder: Path, overwrite: bool) -> None:
    if not folder.exists():
        return
    if not overwrite:
        remedy = "Give another folder, or ask for it to be overwritten."
        raise DataError("a folder that does not exist yet", f"'{folder}', which does", remedy)
    # Whatever else lies there is somebody's work: replacing the folder would delete it.
    other = sorted(set(os.listdir(folder)) - set(FILES)) if folder.is_dir() else [folder.name]
    if other:
        expected = f"'{folder}' to hold nothing but {', '.join(FILES)}"
        raise DataError(expected, f"{', '.join(other[:5])}", "Give another folder.")


def _write_csv(frame: pd.DataFrame, path: Path, row_name: str) -> None:
    # The line ends are fixed so that the same data give the same bytes on every system.
    frame.to_csv(path, index_label=row_name, lineterminator="\n", encoding="utf-8")


def _spread(target: pd.Series) -> str:
    if pd.api.types.is_numeric_dtype(target):
        middle, low, high = np.quantile(target, [0.5, 0.0, 1.0])
        return f"median {middle:.4g}, from {low:.4g} to {high:.4g}"
    return ", ".join(f"{name} {count}" for name, count in target.value_counts().items())
