"""The command line: ``bayesrepair diagnose``, ``suspects``, ``apply``, ``example``, ``report`` and ``demo``."""

from __future__ import annotations

from importlib.metadata import version as installed
from typing import Annotated

import typer

from bayesrepair.cli.apply import apply
from bayesrepair.cli.demo import demo
from bayesrepair.cli.diagnose import diagnose
from bayesrepair.cli.example import example
from bayesrepair.cli.report import report
from bayesrepair.cli.suspects import suspects

app = typer.Typer(
    name="bayesrepair",
    help="Find the training rows behind a Bayesian model's failures, and take them out of the fitted posterior.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command()(diagnose)
app.command()(suspects)
app.command()(apply)
app.command()(example)
app.command()(report)
app.command()(demo)


def _version(asked: bool) -> None:
    if asked:
        typer.echo(f"bayesrepair {installed('bayesrepair')}")
        raise typer.Exit


@app.callback()
def _common(
    version: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="Show it.")] = False,
) -> None:
    pass


def main() -> None:
    """Run the command line."""
    app()
