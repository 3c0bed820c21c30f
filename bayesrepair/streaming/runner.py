"""Run a block function over the pieces of a source, here or on a cluster, into a store."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any, Protocol

from bayesrepair.numerics.scoring import Sliced
from bayesrepair.progress import row_progress
from bayesrepair.status import ScoringInterrupted
from bayesrepair.streaming.arrays import Arrays
from bayesrepair.streaming.cluster import connected, on_cluster
from bayesrepair.streaming.pieces import Piece, Source, forget, is_long
from bayesrepair.streaming.piecewise import Columns, Piecewise


class Store(Protocol):
    """Where the results of pieces go."""

    @property
    def place(self) -> str:
        """Where a later run finds them; empty if nowhere."""
        ...

    def has(self, piece: int) -> bool:
        """Whether the results of a piece are there."""
        ...

    def write(self, piece: int, start: int, columns: Columns) -> None:
        """Keep the results of a piece whose first row is ``start``."""
        ...

    def columns(self) -> dict[str, Sliced]:
        """All results by name."""
        ...


def streamed(
    function: Piecewise,
    source: Source,
    *,
    title: str,
    store: Store | None = None,
    client: Any = None,
    progressbar: bool = False,
) -> dict[str, Sliced]:
    """Results of every row, in the order of the source; pieces that the store holds are not done again.

    Parameters
    ----------
    function : Piecewise
        Travels by cloudpickle.
    source : Source
    title : str
        Of the progress bar.
    store : Store, optional
        By default the results stay in memory, or, of more than a million rows, in a temporary folder.
    client : distributed.Client or str, optional
        A Dask cluster whose workers do the work, or the address of its scheduler. Without one, a function that is
        ``concurrent`` does as many pieces at once as there are processors.
    progressbar : bool

    Raises
    ------
    ScoringInterrupted
        On Ctrl-C, where the store keeps what was done.
    """
    pieces = source.pieces
    kept = _own_store(source) if store is None else store
    waiting = [k for k in range(len(pieces)) if not kept.has(k)]
    try:
        with row_progress(title, len(source), shown=progressbar) as progress:
            progress(len(source) - sum(pieces[k].stop - pieces[k].start for k in waiting))
            if client is not None and waiting:
                _by_workers(client, function, pieces, waiting, kept, progress)
                waiting = []
            with closing(_here(function, pieces, waiting, progress)) as results:
                for k, columns in results:
                    kept.write(k, pieces[k].start, columns)
    except KeyboardInterrupt:
        if not kept.place:
            raise
        done = sum(kept.has(k) for k in range(len(pieces)))
        raise ScoringInterrupted(
            f"Scoring was interrupted; {done} of {len(pieces)} pieces are done and kept in {kept.place!r}. "
            "Make the same call again, with the same store, to go on from there."
        ) from None
    finally:
        forget()
    return kept.columns()


def _here(
    function: Piecewise, pieces: Sequence[Piece], waiting: Sequence[int], progress: Callable[[int], None]
) -> Generator[tuple[int, Columns], None, None]:
    """Results of the pieces in their order, which are read one by one; the first is done alone, for it compiles."""
    threads = min(_processors(), len(waiting) - 1) if function.concurrent else 1
    alone = waiting if threads < 2 else waiting[:1]
    for k in alone:
        yield k, function(pieces[k].load(), pieces[k].start, progress)
    if len(alone) == len(waiting):
        return
    pool = ThreadPoolExecutor(threads)
    running: deque[tuple[int, Future[Columns]]] = deque()
    try:
        for k in waiting[1:]:
            if len(running) > threads:  # as many at work, and one that waits
                first, future = running.popleft()
                yield first, future.result()
            running.append((k, pool.submit(function, pieces[k].load(), pieces[k].start, progress)))
        while running:
            first, future = running.popleft()
            yield first, future.result()
    finally:
        pool.shutdown(cancel_futures=True)


def _processors() -> int:
    """How many this process may use."""
    from joblib import cpu_count

    return cpu_count()


def _by_workers(
    client: Any,
    function: Piecewise,
    pieces: Sequence[Piece],
    waiting: Sequence[int],
    kept: Store,
    progress: Callable[[int], None],
) -> None:
    def write(k: int, columns: Columns) -> None:
        kept.write(k, pieces[k].start, columns)
        progress(pieces[k].stop - pieces[k].start)

    with connected(client) as workers:
        on_cluster(workers, function, pieces, waiting, write)


def _own_store(source: Source) -> Store:
    if not is_long(len(source)):
        return Arrays(len(source), len(source.pieces))
    from bayesrepair.streaming.store import TemporaryStore

    return TemporaryStore(source)


def run_store(path: str | Path, source: Source, run: Mapping[str, str]) -> Store:
    """The store of a run at a path, new or to be continued.

    Raises
    ------
    DataError
        If the path holds something else, or the results of another run.
    """
    from bayesrepair.streaming.store import ZarrStore

    return ZarrStore(path, source, run)
