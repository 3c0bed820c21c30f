"""PyMC models as models of this library: row graph, alignment, refusals, evaluation, refits."""

from bayesrepair.bridges.pymc.fit import from_pymc

__all__ = ["from_pymc"]
