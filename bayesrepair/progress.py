"""One progress bar for the whole library: rate and time left."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.text import Text


class Rate(ProgressColumn):
    """How many a second, of late.

    Examples
    --------
    >>> bar = Progress(get_time=iter(range(9)).__next__)
    >>> task = bar.add_task("Scoring", total=4000)
    >>> bar.advance(task, 1500)
    >>> bar.advance(task, 1500)
    >>> Rate().render(bar.tasks[0]).plain
    '1,500/s'
    """

    def render(self, task: Task) -> Text:
        """Text of the column; empty before anything was done."""
        speed = task.finished_speed or task.speed
        if speed is None:
            return Text("")
        return Text(f"{speed:,.0f}/s" if speed >= 10 else f"{speed:.2g}/s", style="progress.data.speed")


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
        Rate(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        disable=not shown,
        transient=True,
    )
    with bar:
        task = bar.add_task(title, total=total)
        yield lambda count: bar.advance(task, count)
