"""PyMC models as models of this library: row graph, alignment, refusals, evaluation."""
