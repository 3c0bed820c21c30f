"""One progress bar for the whole library: rate and time left."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)


@contextmanager
def row_progress(title: str, total: int, *, shown: bool) -> Iterator[Callable[[int], None]]:
    """A bar over ``total`` rows; the context gives a function that advances it.

    Examples
    --------
    >>> with row_progress("Scoring", 10, shown=False) as advance:
    ...     advance(10)
    """
    bar = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        disable=not shown,
        transient=True,
    )
    with bar:
        task = bar.add_task(title, total=total)
        yield lambda count: bar.advance(task, count)
