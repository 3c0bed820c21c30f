"""Figures as data URIs: SVG with real text while small, PNG beyond."""

from __future__ import annotations

import base64
import io
import warnings
from collections.abc import Callable
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from bayesrepair.reporting.blocks import Picture

LARGEST_SVG = 250_000  # bytes; beyond it a bitmap is smaller and faster to show
DPI = 96
BITMAP_DPI = 200
FONTS = ["Helvetica Neue", "Arial", "Liberation Sans", "DejaVu Sans"]


def drawn(draw: Callable[[Axes], object], *, size: tuple[float, float], caption: str = "") -> Picture:
    """A picture of axes that ``draw`` fills; its title and labels make the text that stands for it.

    Parameters
    ----------
    draw : callable
        Receives the axes of a figure that pyplot knows nothing of.
    size : tuple of float
        Inches.
    caption : str
    """
    figure = Figure(figsize=size, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    draw(axes)
    said = [axes.get_title(loc="left"), f"Horizontal: {axes.get_xlabel()}", f"vertical: {axes.get_ylabel()}"]
    alt = ". ".join(part for part in said if not part.endswith(": "))
    return embedded(figure, alt=alt, caption=caption)


def embedded(figure: Figure, *, alt: str, caption: str = "") -> Picture:
    """A figure as a picture of the report."""
    alt = " ".join(alt.replace(r"\$", "$").split())
    width = round(figure.get_size_inches()[0] * DPI)
    data = _saved(figure, "svg")
    kind = "svg+xml"
    if len(data) > LARGEST_SVG:
        data, kind = _saved(figure, "png"), "png"
    return Picture(f"data:image/{kind};base64,{base64.b64encode(data).decode()}", alt, caption, width)


def _saved(figure: Figure, kind: str) -> bytes:
    buffer = io.BytesIO()
    # The settings hold for this file alone. Text stays text; a fixed salt makes equal figures equal bytes.
    settings: Any = {"svg.fonttype": "none", "svg.hashsalt": "bayesrepair", "font.sans-serif": FONTS}
    with mpl.rc_context(settings), warnings.catch_warnings():
        # The reader's browser has more letters than the font that measures the text here.
        warnings.filterwarnings("ignore", message="Glyph .* missing from")
        metadata = {"Date": None} if kind == "svg" else {"Software": None}
        figure.savefig(buffer, format=kind, dpi=BITMAP_DPI, metadata=metadata)
    return buffer.getvalue()
