"""``bayesrepair example``: write example data."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from bayesrepair.cli.errors import clear_errors


def example(
    name: Annotated[str | None, typer.Argument(help="Which data; without it, all names are listed.")] = None,
    out: Annotated[Path | None, typer.Option(help="Folder to make; by default the name.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace a folder of example data.")] = False,
) -> None:
    """Write example data as CSV files.

    bayesrepair example clinic --out clinic
    """
    from bayesrepair import datasets

    console = Console(highlight=False)
    if name is None:
        table = Table(title="Example data", title_justify="left", show_header=False)
        for known, title in datasets.names().items():
            table.add_row(known, title)
        console.print(table)
        return
    with clear_errors():
        data = datasets.load(name)
        folder = data.write(out or Path(name), overwrite=force)
    console.print(repr(data), markup=False)
    files = {path.name for path in folder.iterdir()}
    held = f" --test {folder / 'test.csv'}" if "test.csv" in files else ""
    group = f" --group {data.groups[-1]}" if data.groups else ""
    ids = "" if data.id == "row" else f" --id {data.id}"
    console.print(f"Written to {folder}: {', '.join(sorted(files))}", markup=False, soft_wrap=True)
    command = f"bayesrepair diagnose {folder / 'train.csv'}{held} --target {data.target}{ids}{group}"
    console.print(f"Next: {command}", markup=False, soft_wrap=True)
