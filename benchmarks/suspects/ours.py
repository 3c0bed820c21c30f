"""The library's suspects and causes, as a user gets them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from benchmarks.suspects.base import Base


@dataclass(frozen=True)
class Ours:
    """A way to use the library, and its level of information."""

    run: Callable[[Base], dict[str, Any]]
    level: str = "D"
    serves: Callable[[str], bool] = lambda net: True


OURS: dict[str, Ours] = {}
