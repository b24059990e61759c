"""Axes of layers: their names under a plot, and their errors on a logarithm."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import plotly.graph_objects as go

from sdqviz.array import Array
from sdqviz.explore.wording import number
from sdqviz.plots import theme

SLANTED_LETTER = {0: 0.0, -35: 4.2, -90: 6.8}
"""Pixels downwards that a letter of a name takes, by the angle it is written at."""


MOST_ROOM = 150
"""Pixels that names take below a plot, at most beyond those it has."""


HALF_WIDTH, FULL_WIDTH = 60, 150
"""Letters that fit side by side under a plot, beside another one or alone."""


def positive_axis(values: Array) -> dict[str, Any]:
    """Return a logarithmic axis that holds the positive values; bars grow from its lower end."""
    found = theme.reach(values)
    if found is None:
        return {"range": [0, 1]}
    axis = theme.log_axis(found[0] / 2.5, found[1] * 1.6)
    return axis | {"ticktext": [f"1e{math.log10(t):.0f}" if t >= 1e4 else number(t) for t in axis["tickvals"]]}


def name_layers(figure: go.Figure, names: Sequence[str], letters: int = HALF_WIDTH) -> None:
    """Put the names of layers under a plot on which so many letters fit, slanted where they would touch."""
    axis = categories(names, letters)
    figure.update_xaxes(**axis)
    more = round(SLANTED_LETTER[axis["tickangle"]] * max(map(len, names), default=0)) - 30
    if more > 0:
        more = min(more, MOST_ROOM)
        figure.update_layout(margin={"b": figure.layout.margin.b + more}, height=figure.layout.height + more)


def categories(names: Sequence[str], letters: int = HALF_WIDTH) -> dict[str, Any]:
    """Return an axis of names on which so many letters fit, slanted where they would touch."""
    crowded = sum(len(name) + 2 for name in names) > letters
    return {
        "type": "category",
        "showgrid": False,
        "categoryorder": "array",
        "categoryarray": list(names),
        "tickangle": 0 if not crowded else -35 if 4 * len(names) <= letters else -90,
    }
