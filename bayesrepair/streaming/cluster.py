"""The same block function on the workers of a Dask cluster."""

from __future__ import annotations

import hashlib
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from bayesrepair.status import DataError, MissingExtraError
from bayesrepair.streaming.pieces import Piece
from bayesrepair.streaming.piecewise import Columns, Piecewise

if TYPE_CHECKING:
    from distributed import Client, Future

TRIES = 10  # of a piece whose worker is lost
PATIENCE = 120  # seconds for a worker to come (back)
_AHEAD = 2  # pieces handed out for each thread of the cluster: none of them waits, and few lie in memory


@contextmanager
def connected(client: Client | str) -> Iterator[Client]:
    """A client as it stands, or one for the scheduler at an address, closed afterwards.

    Raises
    ------
    MissingExtraError
        If Dask is not installed.
    DataError
        If nothing answers at the address, or it is no client.
    """
    try:
        import distributed
    except ImportError as error:
        raise MissingExtraError("Dask", "none", "Type: pip install 'bayesrepair[dask]'.") from error
    if isinstance(client, distributed.Client):
        yield client
    elif isinstance(client, str):
        try:
            opened = distributed.Client(client, set_as_default=False)
        except (OSError, ValueError) as error:
            raise DataError(f"a Dask scheduler at {client!r}", str(error), "Start one with: dask scheduler.") from error
        with opened:
            yield opened
    else:
        raise DataError("a distributed.Client, or the address of a scheduler", f"a {type(client).__name__}")


def on_cluster(
    client: Client,
    function: Piecewise,
    pieces: Sequence[Piece],
    waiting: Sequence[int],
    write: Callable[[int, Columns], None],
) -> None:
    """Have the pieces done by the workers, and each result written here as it comes.

    The function is sent to each worker once. A worker that is lost costs the pieces that it had: they are handed out
    again, up to ten times.

    Parameters
    ----------
    client : distributed.Client
    function : Piecewise
        Travels by cloudpickle.
    pieces : sequence of Piece
    waiting : sequence of int
        Which of them are to be done.
    write : callable
        Of the position of a piece and its columns.
    """
    from distributed import as_completed

    sent = _Sent(client, function)
    left, tries = list(reversed(waiting)), Counter[int]()
    running: dict[Any, tuple[int, Future]] = {}
    with client.as_current():
        finished = as_completed([])
        try:
            while left or running:
                while left and len(running) < _AHEAD * max(1, sum(client.nthreads().values())):
                    k = left.pop()
                    future = sent.submit(pieces[k])
                    running[future.key] = (k, future)
                    finished.add(future)
                future = next(finished)
                k, _ = running.pop(future.key)
                columns = _result(future)
                if columns is not None:
                    write(k, columns)
                    continue
                tries[k] += 1
                if tries[k] >= TRIES:
                    got = f"piece {k} lost with its worker {TRIES} times"
                    raise DataError("workers that live through a piece", got, "Give them more memory, or other rows.")
                left.append(k)
                sent.again()
        finally:
            client.cancel([future for _, future in running.values()])


class _Sent:
    """A function on the workers of a cluster."""

    def __init__(self, client: Client, function: Piecewise) -> None:
        import cloudpickle

        self._client = client
        self._pickled = cloudpickle.dumps(function)
        self._key = hashlib.sha256(self._pickled).hexdigest()
        self.again()

    def again(self) -> None:
        """Send it to every worker, those that came since among them."""
        self._there = self._scattered(self._pickled, broadcast=True)

    def submit(self, piece: Piece) -> Future:
        """Start on a piece."""
        there = self._scattered(piece)
        return self._client.submit(_done, self._there, self._key, there, pure=False)

    def _scattered(self, value: Any, *, broadcast: bool = False) -> Future:
        """Something on the workers; a worker that is lost at that moment is no reason to give up."""
        lost = "none"
        for tries in range(TRIES):
            if not self._has_workers():
                break
            try:
                return self._client.scatter(value, broadcast=broadcast, hash=False)
            except OSError as error:  # timeouts and closed connections
                lost = f"none that answers ({error})"
                time.sleep(0.1 * 2**tries)
        raise DataError("a worker of the Dask cluster", lost, "Start one with: dask worker ADDRESS.")

    def _has_workers(self) -> bool:
        """Whether there are workers, or come some before patience ends."""
        late = time.monotonic() + PATIENCE
        while time.monotonic() < late and self._client.status == "running":
            if self._client.nthreads():
                return True
            time.sleep(0.1)
        return False


def _result(future: Future) -> Columns | None:
    """The columns; None where they were lost with a worker."""
    from distributed import KilledWorker
    from distributed.client import FutureCancelledError

    try:
        return future.result()
    except (KilledWorker, FutureCancelledError):
        return None


_functions: dict[str, Any] = {}  # the last function sent to this worker: compiled once
_loading = threading.Lock()


def _done(pickled: bytes, key: str, piece: Piece) -> Columns:
    import cloudpickle

    with _loading:
        if key not in _functions:
            _functions.clear()
            _functions[key] = cloudpickle.loads(pickled)
        function = _functions[key]
    return _call(function, piece)


def _call(function: Piecewise, piece: Piece) -> Columns:
    return function(piece.load(), piece.start)
