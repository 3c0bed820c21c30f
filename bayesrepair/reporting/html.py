"""One self-contained HTML file: what was asked, what was found, what was done, and how far to trust it."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

import pandas as pd
from jinja2 import DictLoader, Environment, StrictUndefined
from markupsafe import Markup

from bayesrepair.causes import Causes
from bayesrepair.choice import Choice
from bayesrepair.edit import Edited
from bayesrepair.failures import Failures
from bayesrepair.group_causes import GroupCauses
from bayesrepair.reporting.blocks import Section
from bayesrepair.reporting.material import Material, gather
from bayesrepair.reporting.saved import from_json, to_json
from bayesrepair.reporting.sections.effect import effect, found_bad_rows
from bayesrepair.reporting.sections.failures import failures as failures_section
from bayesrepair.reporting.sections.posterior import posterior
from bayesrepair.reporting.sections.ranking import causes as causes_section
from bayesrepair.reporting.sections.ranking import groups as groups_section
from bayesrepair.reporting.sections.receipt import proof
from bayesrepair.reporting.sections.sampling import sampling
from bayesrepair.reporting.sections.trust import caveats, ladder, verification
from bayesrepair.reporting.sections.verdict import asked as asked_section
from bayesrepair.reporting.sections.verdict import verdict
from bayesrepair.rows import Rows


def report(
    edited: Edited,
    path: str | os.PathLike[str],
    *,
    causes: Causes | None = None,
    failures: Failures | Any = None,
    held_out: Failures | Rows | pd.DataFrame | Any = None,
    groups: GroupCauses | str | Sequence[GroupCauses | str] = (),
    truth: pd.Series | None = None,
    choice: Choice | None = None,
    title: str | None = None,
    asked: Mapping[str, str] | None = None,
    notes: Sequence[str] = (),
    shown: int = 20,
    contents: str | os.PathLike[str] | None = None,
) -> Path:
    """Write one self-contained HTML file about a repair.

    ``report(repaired, "report.html")`` is enough where the repair started from ``causes.top(k)``: the ranking and the
    failures are found through it.

    Parameters
    ----------
    edited : Edited
    path : path
        Written beside and renamed, so that no half of a file is ever left; an existing file is replaced.
    causes : Causes, optional
        The ranking; by default the one the repair started from.
    failures : Failures or rows, optional
        The failures; by default those that scored the causes.
    held_out : Failures, Rows, data or DataFrame, optional
        Rows kept apart, for figures that took no part in the ranking; or a frame of `evaluation.held_out`.
    groups : GroupCauses, column name, or several, optional
        Which annotator, site or batch.
    truth : Series of bool, optional
        By row id: rows known to be bad, to show how well the rankings find them.
    choice : Choice, optional
        How the number of rows was chosen.
    title : str, optional
    asked : mapping of str to str, optional
        Further lines of what was asked, such as the command or the file.
    notes : sequence of str
        Remarks on the data and the model, such as columns left out.
    shown : int
        Rows of the ranking; treated rows (up to 100) are always shown.
    contents : path, optional
        Also save what the page says as JSON, for `report_again`.

    Returns
    -------
    Path

    Raises
    ------
    DataError
        If a group column is unknown, or a ranked row has no truth.
    MethodError
        If the posterior is neither draws nor Gaussian.
    """
    material = gather(
        edited, causes=causes, failures=failures, held_out=held_out, groups=groups, truth=truth, choice=choice,
        title=title, asked=asked, notes=notes, shown=shown,
    )  # fmt: skip
    sections = [section(material) for section in _sections(material)]
    return write_page(material.title, sections, path, contents=contents)


def write_page(
    title: str,
    sections: Sequence[Section],
    path: str | os.PathLike[str],
    *,
    contents: str | os.PathLike[str] | None = None,
) -> Path:
    """Write sections as one self-contained HTML file and, where asked, as JSON for `report_again`."""
    if contents is not None:
        _write(to_json(title, sections), contents)
    return _write(_page(title, sections), path)


def report_again(contents: str | os.PathLike[str], path: str | os.PathLike[str]) -> Path:
    """Write the page of a report from the contents that `report` saved; nothing is computed anew.

    Parameters
    ----------
    contents : path
        The JSON file that ``report(..., contents=...)`` wrote.
    path : path

    Returns
    -------
    Path

    Raises
    ------
    DataError
        If the file does not hold the contents of a report.
    """
    title, sections = from_json(Path(contents).read_text(encoding="utf-8"))
    return _write(_page(title, sections), path)


def _page(title: str, sections: Sequence[Section]) -> str:
    template = _environment().get_template("report.html.j2")
    return template.render(title=title, sections=sections, css=_read("report.css"))


def _write(text: str, path: str | os.PathLike[str]) -> Path:
    path = Path(path)
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        partial.write_text(text, encoding="utf-8")
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
    return path


def _sections(material: Material) -> list[Callable[[Material], Section]]:
    """The sections that have something to say, in reading order."""
    optional = {
        groups_section: bool(material.groups),
        found_bad_rows: material.truth is not None and material.causes is not None,
    }
    order = [
        verdict, asked_section, sampling, failures_section, causes_section, groups_section, found_bad_rows, effect,
        ladder, verification, posterior, caveats, proof,
    ]  # fmt: skip
    return [section for section in order if optional.get(section, True)]


def _environment() -> Environment:
    loader = DictLoader({"report.html.j2": _read("report.html.j2")})
    return Environment(loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)


def _read(name: str) -> Markup:
    """A file of the package: the only text that enters the page unescaped."""
    return Markup(files("bayesrepair.reporting").joinpath("templates", name).read_text(encoding="utf-8"))
