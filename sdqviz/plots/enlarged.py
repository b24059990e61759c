"""Makes a figure readable from the last row of a lecture room."""

from __future__ import annotations

import plotly.graph_objects as go

from sdqviz.plots.theme import Ink

LARGE = 1.7
"""How many times larger letters are on the wall of a lecture room."""


def enlarge(drawn: go.Figure, ink: Ink) -> None:
    """Make a figure readable from the last row: letters, room for them, and lines."""
    drawn.update_layout(
        height=1.25 * (drawn.layout.height or 400),
        margin={side: 1.7 * (getattr(drawn.layout.margin, side) or 0) for side in "lrtb"},
        font_size=13 * LARGE,
        hoverlabel_font_size=12 * LARGE,
    )
    for axis in (*drawn.select_xaxes(), *drawn.select_yaxes()):
        axis.tickfont = {"size": 12 * LARGE, "color": ink.text}
        axis.title.font = {"size": 13 * LARGE, "color": ink.text}
    for note in drawn.layout.annotations:
        note.font.size = 13 * LARGE
    for trace in drawn.data:
        if trace.type == "scatter" and trace.line.width:
            trace.line.width *= LARGE
        if trace.type == "bar" and trace.textfont.size:
            trace.textfont.size *= LARGE
