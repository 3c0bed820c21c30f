"""One clear message for each error, and the exit code that goes with it."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import typer
from rich.console import Console
from rich.text import Text

from bayesrepair.status import BayesRepairError, BayesRepairWarning

BAD_INPUT = 2
INTERRUPTED = 130  # what a shell reports for Ctrl-C


@contextmanager
def clear_errors() -> Iterator[None]:
    """Turn what the user can mend into a message without traceback; anything else is a bug and stays one."""
    console = Console(stderr=True, soft_wrap=True)
    try:
        yield
    except BayesRepairError as error:
        console.print(Text("error: ", style="bold red") + Text(str(error)))
        raise typer.Exit(BAD_INPUT) from error
    except OSError as error:
        console.print(Text("error: ", style="bold red") + Text(f"{error.strerror or error}: {error.filename or ''}"))
        raise typer.Exit(BAD_INPUT) from error
    except KeyboardInterrupt as error:
        console.print(Text("interrupted", style="bold red") + Text(": nothing was written."))
        raise typer.Exit(INTERRUPTED) from error


@contextmanager
def heard_warnings(tell: Callable[[str], None]) -> Iterator[list[str]]:
    """Hand the library's own warnings on as notes, each once; others are shown as ever."""
    heard: list[str] = []
    with warnings.catch_warnings():
        shown = warnings.showwarning
        warnings.simplefilter("always", BayesRepairWarning)

        def hear(message: Any, category: type[Warning], *rest: Any, **options: Any) -> None:
            if not issubclass(category, BayesRepairWarning):
                shown(message, category, *rest, **options)
            elif str(message) not in heard:
                heard.append(str(message))
                tell(str(message))

        warnings.showwarning = hear
        yield heard
