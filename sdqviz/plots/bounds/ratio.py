"""Draws how much the bounds leave unused."""

from __future__ import annotations

import math

import numpy as np

from sdqviz.array import Array
from sdqviz.explore.bounds.tables import ratio_formula, ratios
from sdqviz.explore.bounds.words import ratio_headline, short, verdict
from sdqviz.explore.curves.curve import Curve
from sdqviz.explore.curves.point import A_POSTERIORI
from sdqviz.plots import theme
from sdqviz.plots.bounds.axes import last, limits, x_axis
from sdqviz.plots.labels import LABELS, End, label_ends
from sdqviz.plots.panel import Panel
from sdqviz.plots.theme import Ink


def draw_ratio(curve: Curve, ink: Ink) -> Panel:
    """Draw bound over measured: the median of the runs, and the smallest; below 1 would be a violation."""
    height, top, bottom = 400, 30, 52
    figure = theme.figure(ink, x=curve.axis.title, y="bound / measured", height=height, showlegend=False)
    figure.update_layout(margin={"t": top, "r": LABELS, "b": bottom})
    figure.update_xaxes(x_axis(curve) | {"zeroline": False})
    lines = [(line, ratios(curve, line)) for line in curve.bounds if line.holds.any()]
    medians = [(line, _middle(found)) for line, found in lines]
    smallest = [np.min(found, axis=1) for _, found in lines]
    low, high = limits([*(m for _, m in medians), *smallest, np.array([1.0])])
    low = min(low, 0.5)
    figure.add_hrect(y0=low, y1=1, fillcolor=theme.faded(theme.ERROR.colour(ink)), line_width=0, layer="below")
    for (line, median), least in zip(medians, smallest, strict=True):
        symbol = "triangle-up-open" if line.kind == A_POSTERIORI else "circle-open"
        figure.add_scatter(
            x=curve.x, y=median.astype(np.float32), mode="lines+markers",
            line=theme.BOUND.line(ink, 1.2), marker={"symbol": symbol, "size": 6, "color": ink.text},
            customdata=np.where(np.isfinite(least), least, np.nan), connectgaps=False,
            hovertemplate=line.title + ": median %{y:.3g}, smallest %{customdata:.3g}<extra></extra>",
        )  # fmt: skip
    figure.add_annotation(
        text="a violation would lie here", x=0.01, xref="paper", xanchor="left", y=math.log10(math.sqrt(low)),
        yref="y", yanchor="middle", showarrow=False, font={"size": 12, "color": theme.ERROR.words(ink)},
    )  # fmt: skip
    figure.update_yaxes(theme.log_axis(low, high))
    label_ends(
        figure, [End(last(median), short(line), ink.text) for line, median in medians], (low, high),
        height - top - bottom,
    )  # fmt: skip
    value, where = ratio_headline(curve)
    return Panel(
        name="ratio",
        title="How much the bounds leave unused",
        look=f"1 would be a bound that is attained. The closest comparison: {value}, {where}."
        if lines
        else "No bound applies at any point, so there is nothing to compare.",
        alt=f"Bound over measured on logarithmic axes, smallest {value} ({where}). {verdict(curve)[0]} comparisons are "
        "below 1.",
        figure=figure,
        formulas=[ratio_formula(curve)],
        table=lambda: {
            curve.axis.field: curve.values,
            **{f"{line.name} median": median for line, median in medians},
            **{f"{line.name} smallest": least for (line, _), least in zip(medians, smallest, strict=True)},
        },
    )


def _middle(found: Array) -> Array:
    """Median over the runs in which a ratio exists; NaN for a point without any."""
    values = np.where(np.isfinite(found), found, np.nan)
    result = np.full(len(values), np.nan)
    some = np.isfinite(values).any(axis=1)
    result[some] = np.nanmedian(values[some], axis=1)
    return result
