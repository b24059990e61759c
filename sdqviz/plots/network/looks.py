"""How a run is drawn."""

from __future__ import annotations

from sdqviz.plots import theme
from sdqviz.plots.theme import Look
from sdqviz.report import Report


def look_of(report: Report) -> Look:
    """Return how the run's method is drawn; rounding beside itself takes the colour of what is compressed."""
    name = report.method["name"]
    return theme.COMPRESSED if name == "round-to-nearest" else theme.METHODS.get(name, theme.COMPRESSED)
