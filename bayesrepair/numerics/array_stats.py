"""ArviZ's statistics of arrays, loaded when the first of them is computed.

They bring SciPy's whole statistics along, which takes longer than to import PyMC.
"""

from typing import Any


def __getattr__(name: str) -> Any:
    from arviz_stats.base import array_stats

    return getattr(array_stats, name)
