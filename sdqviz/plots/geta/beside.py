"""Draws a run beside its baselines: accuracy against what it costs."""

from __future__ import annotations

import math
from collections.abc import Sequence

import plotly.graph_objects as go

from sdqviz.explore.geta import formulas
from sdqviz.explore.geta.beside import Mark, beside_table, marks, short
from sdqviz.explore.geta.words import accuracy
from sdqviz.explore.wording import number, percent
from sdqviz.methods.geta.recording import Recording
from sdqviz.plots import theme
from sdqviz.plots.labels import GAP, spread_out
from sdqviz.plots.panel import Panel
from sdqviz.plots.theme import Ink, Look

NEAR = 0.2
"""Powers of ten within which a mark lies in the way of another's label."""

TOP = 14
"""Pixels above the picture."""


def draw_beside(run: Recording, ink: Ink) -> Panel:
    """Draw accuracy against relative BOPs: the run, its baselines, and the original."""
    shown = marks(run)
    points = [one for one in shown if one.accuracy is not None]
    figure = theme.figure(ink, x="relative BOPs", y="test accuracy", height=340, showlegend=False)
    for one in points:
        figure.add_scatter(
            x=[one.relative_bops], y=[one.accuracy], mode="markers", name=one.label,
            marker=_look(one).marker(ink, 13 if one is points[0] else 10)
            | {"line": {"width": 1.5, "color": _look(one).colour(ink)}},
            cliponaxis=False,
            hovertemplate=f"{one.label}: %{{y:.2%}} at %{{x:.3%}} of the BOPs, {number(one.bits_per_weight)} bits a "
            f"weight, {percent(one.sparsity)} pruned<extra></extra>",
        )  # fmt: skip
    low = min(one.relative_bops for one in shown)
    axis = theme.log_axis(0.6 * low, 1.6)
    figure.update_xaxes(axis | {"ticktext": [percent(value) for value in axis["tickvals"]]})
    _write_labels(figure, points, ink)
    figure.update_layout(margin={"t": TOP, "l": 70})
    told = "; ".join(f"{one.label} {accuracy(one.accuracy)} at {percent(one.relative_bops)}" for one in shown)
    return Panel(
        name="beside",
        title="What it costs, and what it keeps",
        look="Up is better, left is cheaper. The baselines prune or round the same network; those trained were "
        "trained for as many steps.",
        alt=f"Test accuracy against relative BOPs: {told}.",
        figure=figure,
        formulas=[formulas.bops(run)],
        table=lambda: beside_table(shown),
    )


def _write_labels(figure: go.Figure, points: Sequence[Mark], ink: Ink) -> None:
    """Write what each point is beside it, moved apart where labels would overlap, and give the axis room for them."""
    heights = [float(one.accuracy or 0.0) for one in points]
    low, high = min(heights), max(heights)
    room = 0.1 * (high - low) or 0.01
    low, high = low - room, high + room
    figure.update_yaxes(tickformat=".2~%", range=[low, high])
    pixels = figure.given("height") - TOP - figure.given("margin", "b")
    for side in ("left", "right"):  # at the right end a label would run out of the picture
        own = [k for k, one in enumerate(points) if (one.relative_bops > 0.15) == (side == "right")]
        own.sort(key=lambda k: heights[k])
        wanted = [(heights[k] - low) / (high - low) * pixels for k in own]
        places = [math.log10(max(points[k].relative_bops, 1e-12)) for k in own]
        for k, place, at in zip(own, places, spread_out(wanted, GAP, pixels), strict=True):
            met = [
                x for x, height in zip(places, wanted, strict=True) if abs(x - place) < NEAR and abs(height - at) < GAP
            ]
            figure.add_annotation(
                x=(max if side == "left" else min)([place, *met]), y=at / pixels, yref="paper", yanchor="middle",
                xanchor=side, xshift=10 if side == "left" else -10, text=short(points[k].label), showarrow=False,
                font={"size": 11, "color": ink.text},
            )  # fmt: skip


def _look(one: Mark) -> Look:
    """Return how a way is drawn: as its method is everywhere."""
    return theme.METHODS.get(one.method, theme.ROUNDING) if one.method else theme.ORIGINAL
