"""Peers of B1, measured beside the library's rungs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import bayesrepair as br
from bayesrepair.posterior import Draws
from benchmarks.edits import Edit

PEERS: dict[str, Callable[[br.Fit, Edit, int], tuple[Draws, dict[str, Any]]]] = {}
