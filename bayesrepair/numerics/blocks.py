"""Streaming over blocks of rows, so that no draws × rows matrix is ever held."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bayesrepair.rows import Rows

BLOCK_ELEMENTS = 2_000_000  # 16 MB in float64: fits the cache hierarchy, amortises the call


def block_size(draws: int, outputs: int = 1) -> int:
    """Rows in a block of ``draws`` draws and ``outputs`` numbers a row and draw.

    Examples
    --------
    >>> block_size(4000), block_size(4000, 10), block_size(10**9)
    (500, 50, 1)
    """
    return max(1, BLOCK_ELEMENTS // (draws * outputs))


def row_blocks(rows: Rows, draws: int, *, outputs: int = 1, size: int | None = None) -> Iterator[tuple[slice, Rows]]:
    """Blocks of rows with their slices; of ``size`` rows where given, else of a size that fits the cache."""
    return rows.blocks(block_size(draws, outputs) if size is None else size)
