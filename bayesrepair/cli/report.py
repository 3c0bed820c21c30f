"""``bayesrepair report``: make the page again from what a run saved."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from bayesrepair.cli.errors import clear_errors
from bayesrepair.status import DataError


def report(folder: Annotated[Path, typer.Argument(help="What diagnose wrote.", show_default=False)]) -> None:
    """Write report.html again from what diagnose saved; nothing is computed anew.

    bayesrepair report diagnosis
    """
    with clear_errors():
        if not folder.is_dir():
            raise DataError(f"the output of diagnose in '{folder}'", "no such folder", "Check the path.")
        contents = folder / "report.json"
        if not contents.is_file():
            raise DataError(f"the file '{contents}'", "none", "Name a folder that diagnose wrote.")
        from bayesrepair.reporting import report_again

        page = report_again(contents, folder / "report.html")
        Console(highlight=False).print(f"Open {page}", markup=False, soft_wrap=True)
