"""Draws runs as lines across parallel axes, and turns boxes drawn over them into a brush."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from sdqviz.experiments.compare.coordinates import Coordinates, formula, table
from sdqviz.experiments.compare.entry import Entry
from sdqviz.experiments.compare.figures import FIGURES, ticks
from sdqviz.experiments.compare.filters import thinned
from sdqviz.methods import METHODS
from sdqviz.plots import theme
from sdqviz.plots.compare import look_of, order_of
from sdqviz.plots.panel import Panel
from sdqviz.plots.theme import Ink


def draw_coordinates(info: Coordinates, kept: Sequence[Entry], ink: Ink, *, brushed: bool = True) -> Panel:
    """Draw a line for every point across all axes; those outside the brush are faint.

    Drawn as lines of an ordinary plot: Streamlit is told of boxes drawn over them, which it is not of the brush of
    Plotly's own parallel coordinates.

    Parameters
    ----------
    info : Coordinates
        From `coordinates_info`.
    kept : sequence of Entry
        Points inside the brush, or those drawn strongly before there is one.
    ink : Ink
        Colours.
    brushed : bool
        Whether ``kept`` are those inside the brush; otherwise they are those of the front.
    """
    figure = theme.figure(ink, height=400)
    last = max(len(info.axes) - 1, 1)
    figure.update_layout(
        margin={"t": 40, "b": 18, "l": 116, "r": 8}, dragmode="select", showlegend=False,
        xaxis={"visible": False, "range": [-0.16, last + 0.26], "fixedrange": True},
        yaxis={"visible": False, "range": [-0.06, 1.13], "fixedrange": True},
        newselection={"line": {"color": ink.text, "width": 1, "dash": "dot"}},
    )  # fmt: skip
    inside = {one.key for one in kept}
    most = theme.DRAWN // (len(info.axes) + 1)
    outside = [index for index, one in enumerate(info.points) if one.key not in inside]
    _draw_lines(
        figure,
        info,
        thinned(outside, most),
        {"color": ink.faint, "width": 1},
        None,
        "outside the brush" if brushed else "not on the front",
    )
    left_out = 0
    for method in sorted({one.method for one in info.points}, key=order_of):
        own = [index for index, one in enumerate(info.points) if one.method == method and one.key in inside]
        look = look_of(method)
        left_out += max(len(own) - most, 0)
        _draw_lines(
            figure, info, thinned(own, most), look.line(ink, 1.2), look.marker(ink, 6), METHODS.called_shortly(method)
        )
    _draw_axes(figure, info, ink)
    shown = len(info.points) - len(outside)
    theme.mark_decimation(figure, shown, shown - left_out, ink)
    return Panel(
        name="coordinates",
        title="Every run across its figures",
        look=("" if brushed else "In colour: the runs of the front. ")
        + "Drag a box over an axis to keep the runs inside it, then over the next; a double click keeps all again. "
        "Table and Pareto front follow.",
        alt=f"{shown} of {len(info.points)} points {'inside the brush' if brushed else 'on the front'}, drawn as lines "
        f"across {len(info.axes)} axes: "
        + ", ".join("method" if name == "method" else FIGURES[name].title for name in info.axes)
        + ".",
        figure=figure,
        formulas=[formula(shown)],
        table=lambda: table(info),
    )


def _draw_lines(
    figure: Any, info: Coordinates, own: Sequence[int], line: dict[str, Any], marker: dict[str, Any] | None, name: str
) -> None:
    if not len(own):
        return
    gap = np.full((len(own), 1), np.nan)
    width = len(info.axes)
    figure.add_scatter(
        x=np.tile([*map(float, range(width)), np.nan], len(own)),
        y=np.concatenate([info.heights[own], gap], axis=1).ravel().round(4),
        mode="lines+markers" if marker else "lines",
        line=line, marker=marker, opacity=0.75 if marker else 1.0, name=name,
        text=[_about(info.points[index]) for index in own for _ in range(width + 1)] if marker else None,
        hovertemplate="%{text}<extra></extra>" if marker else None, hoverinfo=None if marker else "skip",
        selected={"marker": {"opacity": 1.0}} if marker else None,
        unselected={"marker": {"opacity": 0.35}} if marker else None,
    )  # fmt: skip


def _about(one: Entry) -> str:
    """Write what a line tells when it is pointed at: short, since each of its points carries it."""
    return f"{one.called}: {one.settings}"[:90]


def _draw_axes(figure: Any, info: Coordinates, ink: Ink) -> None:
    """Draw the axes with their titles and ticks; all at once, for one after the other takes quadratic time."""
    lines, texts = [], list(figure.given("annotations") or ())
    font = {"color": ink.text, "size": 12}
    for position, name in enumerate(info.axes):
        lines.append({"type": "line", "x0": position, "x1": position, "y0": 0, "y1": 1, "layer": "below",
                      "line": {"color": ink.text, "width": 1}})  # fmt: skip
        title = "method" if name == "method" else FIGURES[name].short
        texts.append({"x": position, "y": 1.04, "text": _broken(title), "showarrow": False, "yanchor": "bottom",
                      "font": font})  # fmt: skip
        low, high = info.ends[name]
        if name == "method":
            names = [METHODS.called_shortly(one) for one in info.methods]
            at = [float(k) for k in range(len(names))]
        else:
            at, names = ticks(name, low, high, 7)
        texts += [
            {"x": position, "y": (tick - low) / (high - low), "text": text, "showarrow": False, "xanchor": "right",
             "xshift": -5, "font": font | {"size": 11}, "bgcolor": ink.page, "borderpad": 0, "opacity": 0.85}
            for tick, text in zip(at, names, strict=True)
        ]  # fmt: skip
    figure.update_layout(shapes=lines, annotations=texts)


def _broken(title: str) -> str:
    """Break a long axis title once, near its middle."""
    words = title.replace(", ", " ").split()
    if len(title) < 14 or len(words) < 2:
        return title
    cut = min(range(1, len(words)), key=lambda k: abs(len(" ".join(words[:k])) - len(" ".join(words[k:]))))
    return " ".join(words[:cut]) + "<br>" + " ".join(words[cut:])
