"""Figures: each states its finding in the title and the sign on the axis."""

from bayesrepair.reporting.plots.forest import plot_changes, plot_forest
from bayesrepair.reporting.plots.held_out import plot_failures, plot_predictions, plot_reliability
from bayesrepair.reporting.plots.joined import plot_joined
from bayesrepair.reporting.plots.posterior import plot_edit, plot_verification
from bayesrepair.reporting.plots.ranking import plot_causes, plot_choice, plot_detection, plot_groups, plot_search
from bayesrepair.reporting.plots.rehearsal import plot_rehearsal
from bayesrepair.reporting.plots.suspects import plot_suspects

__all__ = [
    "plot_causes",
    "plot_changes",
    "plot_choice",
    "plot_detection",
    "plot_edit",
    "plot_failures",
    "plot_forest",
    "plot_groups",
    "plot_joined",
    "plot_predictions",
    "plot_rehearsal",
    "plot_reliability",
    "plot_search",
    "plot_suspects",
    "plot_verification",
]
