"""Draws bound and measured along a sweep, with fitted slopes."""

from __future__ import annotations

import math

import numpy as np
import plotly.graph_objects as go

from sdqviz.array import Array
from sdqviz.explore.bounds.tables import formulas, slope_formulas, table
from sdqviz.explore.bounds.words import (
    BESIDE,
    alt_text,
    axis_name,
    has_slope,
    look_sentence,
    short,
    shown_beside,
    signed,
    slope_text,
    why,
)
from sdqviz.explore.curves.curve import Curve
from sdqviz.explore.curves.line import BoundLine, medians
from sdqviz.explore.curves.point import A_POSTERIORI
from sdqviz.explore.wording import number
from sdqviz.plots import theme
from sdqviz.plots.bounds.axes import add_bits, has_bits, last, limits, x_axis
from sdqviz.plots.bounds.looks import beside_look
from sdqviz.plots.labels import LABELS, End, label_ends
from sdqviz.plots.panel import Panel
from sdqviz.plots.theme import Ink


def _segments(applies: Array) -> list[tuple[slice, bool]]:
    """Cut a curve into stretches where the bound applies and where it does not; they share their ends."""
    found: list[tuple[slice, bool]] = []
    start = 0
    for k in range(1, len(applies) + 1):
        if k == len(applies) or applies[k] != applies[start]:
            found.append((slice(start, k), bool(applies[start])))
            start = k
    joined = []
    for stretch, holds in found:
        if holds:  # the dotted neighbours reach to it
            joined.append((stretch, True))
        else:
            joined.append((slice(max(stretch.start - 1, 0), min(stretch.stop + 1, len(applies))), False))
    return joined


def _draw_bound(figure: go.Figure, curve: Curve, line: BoundLine, heights: Array, ink: Ink) -> None:
    """Draw one bound: dashed as everywhere, dotted and faint where a hypothesis fails, which the hover names."""
    symbol = "triangle-up-open" if line.kind == A_POSTERIORI else "circle-open"
    for stretch, holds in _segments(line.applies):
        figure.add_scatter(
            x=curve.x[stretch], y=heights[stretch].astype(np.float32), mode="lines", hoverinfo="skip",
            opacity=0.85 if holds else 0.4, line=(theme.BOUND if holds else theme.UNMET).line(ink, 1.3),
        )  # fmt: skip
    told = [why(promise) for promise in line.promises]
    figure.add_scatter(
        x=curve.x, y=heights.astype(np.float32), mode="markers", customdata=told,
        marker={
            "color": ink.text, "size": 6, "symbol": [symbol if one else "x-thin-open" for one in line.applies],
            "opacity": [0.85 if one else 0.45 for one in line.applies],
        },
        hovertemplate=line.title + ": %{y:.4g}<br>%{customdata}<extra></extra>",
    )  # fmt: skip


def draw_curves(curve: Curve, ink: Ink, equal: bool = False) -> Panel:
    """Draw measured and every bound on logarithmic axes, with the fitted slope and what stands beside."""
    height, bottom = 500, 52
    top = 52 if has_bits(curve) else 14
    figure = theme.figure(ink, x=curve.axis.title, y=curve.setting.error_title, height=height, showlegend=False)
    figure.update_layout(margin={"t": top, "r": LABELS, "l": 72, "b": bottom}, xaxis={"zeroline": False})
    figure.update_xaxes(x_axis(curve))
    rows = [curve.measured, *shown_beside(curve, equal).values(), *(line.median for line in curve.bounds)]
    span = limits(rows)
    ends: list[End] = []
    for line in curve.bounds:
        heights = line.median
        _draw_bound(figure, curve, line, heights, ink)
        ends.append(End(last(heights), short(line), ink.text))
    for name, values in shown_beside(curve, equal).items():
        label, look = BESIDE.get(name, name), beside_look(name)
        median = medians(values)
        fit, fitted = curve.fit_beside(name), has_slope(curve, name)
        told = f", slope {slope_text(fit)}" if fitted else ""
        figure.add_scatter(
            x=curve.x, y=median.astype(np.float32), mode="lines+markers",
            line=look.line(ink, 1.6), marker=look.marker(ink, 6),
            hovertemplate=f"{name}: %{{y:.4g}}{told}<extra></extra>",
        )  # fmt: skip
        ends.append(
            End(
                last(median),
                f"{label} ({signed(fit.slope)})" if fitted else label,
                look.words(ink),
            )
        )
    ends.append(_draw_measured(figure, curve, ink))
    for mark in curve.setting.marks(curve.axis.field):
        if curve.values[0] <= mark.value <= curve.values[-1]:
            figure.add_vline(
                x=curve.axis.position(mark.value), line={"color": ink.text, "width": 1, "dash": "dot"},
                annotation={"text": mark.text, "textangle": -90, "yref": "paper", "y": 0.02, "yanchor": "bottom"},
            )  # fmt: skip
    figure.update_yaxes(theme.log_axis(*span))
    label_ends(figure, ends, span, height - top - bottom)
    if has_bits(curve):
        add_bits(figure, curve)
    return Panel(
        name="curves",
        title=f"Bound and measured against {curve.axis.title.split(',')[0]}",
        look=look_sentence(curve, equal),
        alt=alt_text(curve),
        figure=figure,
        formulas=[*slope_formulas(curve), *formulas(curve, len(curve.x) - 1)],
        table=lambda: table(curve),
    )


def _draw_measured(figure: go.Figure, curve: Curve, ink: Ink) -> End:
    look, median = theme.ERROR, curve.median
    colour = look.colour(ink)
    low, high = np.nanmin(curve.measured, axis=1), np.nanmax(curve.measured, axis=1)
    runs = curve.measured.shape[1]
    if runs > 1:
        floor = np.maximum(low, np.finfo(np.float32).tiny)
        theme.band(figure, curve.x, floor, high, theme.faded(colour))
    told = [
        f"{number(a)} to {number(b)} over {runs} runs<br>{number(bits)} bits per original weight"
        for a, b, bits in zip(low.tolist(), high.tolist(), curve.bits_per_weight.tolist(), strict=True)
    ]
    figure.add_scatter(
        x=curve.x, y=median.astype(np.float32), mode="markers", customdata=told,
        marker=look.marker(ink, 8),
        hovertemplate=f"{axis_name(curve)} = %{{x:.4g}}, median %{{y:.4g}}<br>%{{customdata}}<extra></extra>",
    )  # fmt: skip
    fit = curve.fit
    if math.isfinite(fit.slope):
        reach = curve.x[curve.fitted]
        figure.add_scatter(
            x=reach, y=fit.line(reach).astype(np.float32), mode="lines",
            line={"color": colour, "width": 2}, hoverinfo="skip",
        )  # fmt: skip
    return End(
        last(median), f"<b>measured ({signed(fit.slope)})</b>" if fit.count > 2 else "<b>measured</b>", look.words(ink)
    )
