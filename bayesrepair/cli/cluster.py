"""``--dask``: the workers that score, asked for before anything else is done."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Any

import typer

Dask = Annotated[
    str | None,
    typer.Option("--dask", help="Scheduler of a Dask cluster whose workers score the rows: tcp://HOST:PORT."),
]


@contextmanager
def cluster_at(address: str | None) -> Iterator[Any]:
    """A client of the cluster, or None where there is no address."""
    if address is None:
        yield None
        return
    from bayesrepair.streaming.cluster import connected

    with connected(address) as client:
        yield client
