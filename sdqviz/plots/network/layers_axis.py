"""Axes of layers: their names under a plot, and their errors on a logarithm."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import plotly.graph_objects as go

from sdqviz.array import Array
from sdqviz.explore.wording import number
from sdqviz.plots import theme

SLANTED, UPRIGHT = -35, -90
"""Angles of names that would touch; the second where even slanted ones would."""


SLANTED_LETTER = {0: 0.0, SLANTED: 4.2, UPRIGHT: 6.8}
"""Pixels downwards that a letter of a name takes, by the angle it is written at."""


LONGEST_NAME = 26
"""Letters of a name that are written; the whole name is shown where the layer is pointed at."""


MOST_ROOM = 150
"""Pixels that names take below a plot, at most beyond those it has."""


SIDEWAYS = 4.6
"""Pixels to the left that a letter of a slanted name takes."""


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
    written = [len(written_name(name)) for name in names]
    more = round(SLANTED_LETTER[axis["tickangle"]] * max(written, default=0)) - 30
    if more > 0:
        more = min(more, MOST_ROOM)
        figure.update_layout(margin={"b": figure.given("margin", "b") + more}, height=figure.given("height") + more)
    if axis["tickangle"] == SLANTED:  # the first name hangs out to the left
        figure.update_layout(margin={"l": max(figure.given("margin", "l"), round(SIDEWAYS * written[0]))})


def written_name(name: str) -> str:
    """Return the end of a layer's name, from a dot on, where the whole is too long."""
    if len(name) <= LONGEST_NAME:
        return name
    parts = name.split(".")
    while len(parts) > 1 and len(".".join(parts)) >= LONGEST_NAME:
        parts = parts[1:]
    return "…" + ".".join(parts)[1 - LONGEST_NAME :]


def categories(names: Sequence[str], letters: int = HALF_WIDTH) -> dict[str, Any]:
    """Return an axis of names on which so many letters fit, slanted where they would touch."""
    crowded = sum(len(written_name(name)) + 2 for name in names) > letters
    return {
        "type": "category",
        "showgrid": False,
        "categoryorder": "array",
        "categoryarray": list(names),
        "labelalias": {name: written_name(name) for name in names if len(name) > LONGEST_NAME},
        "tickangle": 0 if not crowded else SLANTED if 4 * len(names) <= letters else UPRIGHT,
    }
