"""Draws which channels of a network go together."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import plotly.graph_objects as go

from sdqviz.explore.geta import formulas
from sdqviz.explore.geta.graph import Layout, Node, hover, layout, members_table
from sdqviz.methods.geta.recording import Recording
from sdqviz.plots import theme
from sdqviz.plots.geta.look import LABEL, group_colour, group_dash, short
from sdqviz.plots.panel import Panel
from sdqviz.plots.theme import Ink

ACROSS = 9
"""The most places side by side; a longer network goes on in the next line."""

LINE, LANE = 108, 0.68
"""Height of one line of the graph in pixels, and of a lane beside the longest path as a share of it."""

EASE = 0.75
"""Over how many places an edge leaves its layer's level."""


def draw_graph(run: Recording, ink: Ink) -> Panel:
    """Draw the layers in their order, joined where channels flow, coloured by the group those belong to."""
    info = layout(run)
    across = _across(info.depth)
    lines = -(-info.depth // across)
    deepest = [max((n.lane for n in info.nodes if n.depth // across == row), default=0) for row in range(lines)]
    offsets = np.concatenate([[0.0], np.cumsum([1.0 + LANE * lane for lane in deepest])])
    figure = theme.figure(
        ink, height=int(LINE * offsets[-1]) + 24, margin={"l": 8, "r": 8, "t": 8, "b": 8, "autoexpand": False},
        showlegend=False,
    )  # fmt: skip
    figure.update_xaxes(visible=False, range=[-0.6, across - 0.32], fixedrange=True)
    figure.update_yaxes(visible=False, range=[0.5 - offsets[-1], 0.5], fixedrange=True)
    places = [(node.depth % across, -offsets[node.depth // across] - LANE * node.lane) for node in info.nodes]
    _edges(figure, run, info, places, across, ink)
    _nodes(figure, run, info, places, ink)
    removed, units = formulas.totals(run)
    prunable = [one for one in run.groups if one.prunable]
    kept = [f"{one.name} ({one.because})" for one in run.groups if not one.prunable]
    return Panel(
        name="graph",
        title="Which channels go together",
        look="Squares are layers, circles join branches; norms and activations are folded into the layer before them. "
        "Channels that flow along lines of one colour and dash can only go together; grey ones must stay. Point at a "
        "layer to see what belongs to its group.",
        alt=f"Dependency graph of {len(run.vertices)} vertices in {len(run.groups)} groups, {len(prunable)} of them "
        f"prunable with {units} units, {removed} removed. Kept: {'; '.join(kept[:6]) or 'none'}.",
        figure=figure,
        formulas=[formulas.groups(run), formulas.saliency(run)],
        table=lambda: members_table(run),
    )


def _across(depth: int) -> int:
    """Return how many places a line has: evenly many in each."""
    return max(4, math.ceil(depth / math.ceil(depth / ACROSS)))


def _edges(
    figure: go.Figure, run: Recording, info: Layout, places: Sequence[tuple[float, float]], across: int, ink: Ink
) -> None:
    """Draw the edges, one trace a group; an edge into another line leaves at its end and comes in at the next."""
    paths: dict[int | None, list[tuple[float | None, float | None]]] = {}
    heads: list[tuple[float, float]] = []
    for a, b in info.edges:
        (x0, y0), (x1, y1) = places[a], places[b]
        source, target = info.nodes[a], info.nodes[b]
        path = paths.setdefault(source.group, [])
        span = target.depth - source.depth
        over = 0.0 if span == 1 else 0.22 + 0.04 * min(span, 6)
        if source.depth // across == target.depth // across:
            level = y0 + over if source.lane == target.lane == 0 else y0 if source.lane else y1
            path += _track(x0, y0, x1, y1, level)
        else:
            out, back = (y0 if source.lane else y0 + over), (y1 if target.lane else y1 + over)
            path += _track(x0, y0, across - 0.42, out, out)
            path += _track(-0.55, back, x1, y1, back)
            heads.append((across - 0.4, out))
    for group, path in paths.items():
        figure.add_scatter(
            x=[None if x is None else round(x, 3) for x, _ in path],
            y=[None if y is None else round(y, 3) for _, y in path],
            mode="lines", line={"color": group_colour(run, group, ink), "width": 2.5, "dash": group_dash(group)},
            hoverinfo="skip", opacity=0.9,
        )  # fmt: skip
    if heads:
        figure.add_scatter(
            x=[x for x, _ in heads], y=[y for _, y in heads], mode="markers", hoverinfo="skip",
            marker={"symbol": "triangle-right", "size": 7, "color": ink.text},
        )  # fmt: skip


def _track(x0: float, y0: float, x1: float, y1: float, level: float) -> list[tuple[float | None, float | None]]:
    """Return the points of an edge that changes to ``level`` as it leaves, and to its end as it arrives."""
    if y0 == level == y1:
        return [(x0, y0), (x1, y1), (None, None)]
    ease = min(EASE, (x1 - x0) / 2) if y0 != level != y1 else min(EASE, x1 - x0)
    t = np.linspace(0, 1, 9)
    smooth = t * t * (3 - 2 * t)
    path: list[tuple[float | None, float | None]] = [(x0, y0)]
    if y0 != level:
        path += zip((x0 + ease * t).tolist(), (y0 + (level - y0) * smooth).tolist(), strict=True)
    if level != y1:
        path += zip((x1 - ease * (1 - t)).tolist(), (level + (y1 - level) * smooth).tolist(), strict=True)
    return [*path, (x1, y1), (None, None)]


def _nodes(figure: go.Figure, run: Recording, info: Layout, places: Sequence[tuple[float, float]], ink: Ink) -> None:
    """Draw the marks with their names and widths, and what the reader sees when pointing at them."""
    for joins in (False, True):
        shown = [k for k, node in enumerate(info.nodes) if (run.vertices[node.vertex].before == 0) == joins]
        if not shown:
            continue
        figure.add_scatter(
            x=[places[k][0] for k in shown],
            y=[places[k][1] for k in shown],
            mode="markers" if joins else "markers+text",
            text=[_label(run, info.nodes[k]) for k in shown],
            textposition="bottom center",
            textfont={"size": 10, "color": ink.text},
            marker={
                "symbol": "circle" if joins else "square",
                "size": 10 if joins else 18,
                "color": [ink.page if joins else group_colour(run, info.nodes[k].group, ink) for k in shown],
                "line": {"width": 2, "color": [group_colour(run, info.nodes[k].group, ink) for k in shown]},
            },
            hovertext=[hover(run, info.nodes[k]) for k in shown],
            hoverinfo="text",
            hoverlabel={"align": "left"},
        )


def _label(run: Recording, node: Node) -> str:
    vertex = run.vertices[node.vertex]
    path, _, last = vertex.name.rpartition(".")
    if last.isdigit() and path:  # a number alone names nothing
        path, _, above = path.rpartition(".")
        last = f"{above}.{last}"
    lines = [vertex.name] if len(vertex.name) < LABEL - 2 else [path, last] if path else [last]
    width = f"{vertex.before}" if vertex.after == vertex.before else f"{vertex.before} → {vertex.after}"
    return "<br>".join([*(short(line) for line in lines), width])
