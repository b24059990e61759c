"""Draws the operator T and the values it is given."""

from __future__ import annotations

from typing import Any

import numpy as np
import plotly.graph_objects as go

from sdqviz.array import Array
from sdqviz.explore.layer_walks import formulas, words
from sdqviz.explore.layer_walks.bands import Drawn, operator_info
from sdqviz.explore.layer_walks.walk import WalkRun
from sdqviz.explore.layer_walks.words import SHORT
from sdqviz.explore.wording import number
from sdqviz.plots import theme
from sdqviz.plots.panel import Panel
from sdqviz.plots.theme import Ink

MARKED = 150
"""Single outputs of T that are drawn: a mark costs the browser as much as a curve's hundred points."""

BINS = 48
"""Bars of the histogram of values."""


def draw_operator(run: WalkRun, ink: Ink) -> Panel:
    """Draw output against input of T with its randomness, and below it which values the walk gave it."""
    info = operator_info(run)
    rounds = run.quantizer.rounds
    finite = bool(run.grid.count) and rounds
    shapes: list[dict[str, Any]] = []
    if run.cut > 0:
        zone = {"type": "rect", "x0": -run.cut, "x1": run.cut, "fillcolor": ink.faint, "line": {"width": 0}}
        shapes.append(zone | {"layer": "below"})
    if finite:
        radius = float(run.grid.radius[0])
        line = {"type": "line", "line": {"color": ink.text, "width": 1, "dash": "dot"}}
        shapes += [line | {"x0": end, "x1": end} for end in (-radius, radius)]
    figure = theme.figure(
        ink,
        height=460,
        x="z, in the units of the weights",
        y="T(z)",
        shapes=[shape | {"yref": "paper", "y0": 0, "y1": 1} for shape in shapes],
    )
    figure.update_layout(
        margin={"t": 66},
        xaxis={"zeroline": False, "anchor": "y2"},
        yaxis={"zeroline": False, "domain": [0.36, 1]},
        yaxis2={
            "title": {"text": "share of values"}, "domain": [0, 0.3], "tickformat": ".0%", "rangemode": "tozero",
            "anchor": "x",
        },
    )  # fmt: skip
    figure.add_scatter(
        x=info.value[[0, -1]], y=info.value[[0, -1]], mode="lines", name="z itself", line=theme.ORIGINAL.line(ink, 1.5),
        hoverinfo="skip",
    )  # fmt: skip
    if rounds:
        figure.add_scatter(
            x=info.value.astype(np.float32), y=info.nearest.astype(np.float32), mode="lines", name="nearest level",
            line=theme.ROUNDING.line(ink, 1.5) | {"shape": "hvh"}, hoverinfo="skip",
        )  # fmt: skip
    some = slice(None, None, len(info.value) // MARKED)
    figure.add_scatter(
        x=info.value[some].astype(np.float32), y=info.drawn[some].astype(np.float32), mode="markers",
        name="T(z), drawn once",
        marker={"color": theme.COMPRESSED.colour(ink), "size": 4, "opacity": 0.75},
        hovertemplate="z = %{x:.3f}<br>T(z) = %{y:.3f}<extra></extra>",
    )  # fmt: skip
    figure.add_scatter(
        x=info.value.astype(np.float32), y=info.mean.astype(np.float32), mode="lines", name="its mean",
        line=theme.COMPRESSED.line(ink, 1.8), hoverinfo="skip",
    )  # fmt: skip
    middle, counts = _values(figure, run, info, ink)
    widest = float(np.abs(run.values).max())
    return Panel(
        name="operator",
        title="The operator T and what it is given",
        look=words.operator_told(run, float(info.value[-1])),
        alt=f"{run.quantizer.title} with step {number(run.step)} and threshold {number(run.cut)}: one random output "
        f"at each of {MARKED} inputs, the mean, and a histogram of the walk's values. The largest value is "
        f"{number(widest)}, in SPFQ {number(float(np.abs(run.plain_values).max()))}.",
        figure=figure,
        formulas=[formulas.operator(run, widest)],
        table=lambda: {
            "z": info.value,
            "drawn": info.drawn,
            "mean": info.mean,
            "nearest": info.nearest,
            "bin": middle,
            **{f"share_{name}": values for name, values in counts.items()},
        },
    )


def _values(figure: go.Figure, run: WalkRun, info: Drawn, ink: Ink) -> tuple[Array, dict[str, Array]]:
    """Draw which values the walks gave T; return the middles of the bars, and their shares by method."""
    edges = np.linspace(info.value[0], info.value[-1], BINS + 1)
    middle = (edges[:-1] + edges[1:]) / 2
    counts: dict[str, Array] = {}
    for name, values in (("spfq", run.plain_values), ("unified", run.values)):
        inside = np.clip(values[run.data.gram.alive], edges[0], edges[-1])
        counts[name] = np.histogram(inside, edges)[0] / max(inside.size, 1)
        look = theme.METHODS[name]  # without its dash, which a staircase makes illegible
        figure.add_scatter(
            x=middle, y=counts[name].astype(np.float32), mode="lines", name=f"values of {SHORT[name]}", yaxis="y2",
            line=look.line(ink, 2) | {"shape": "hvh", "dash": "solid"}, fill="tozeroy" if name == "unified" else None,
            fillcolor=theme.faded(look.colour(ink)),
            hovertemplate="z near %{x:.3f}: %{y:.1%}<extra>" + SHORT[name] + "</extra>",
        )  # fmt: skip
    return middle, counts
