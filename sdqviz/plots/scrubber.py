"""A slider inside a plot that the browser moves alone: curves, headline numbers and a mark follow at once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import plotly.graph_objects as go

from sdqviz.array import Array
from sdqviz.explore.scrub.scrubbed import Scrubbed
from sdqviz.explore.wording import number
from sdqviz.plots import theme
from sdqviz.plots.panel import Panel
from sdqviz.plots.theme import Ink

LOOKS = {
    "original": theme.ORIGINAL,
    "compressed": theme.COMPRESSED,
    "rounding": theme.ROUNDING,
    "error": theme.ERROR,
    "bound": theme.BOUND,
    "band": theme.SECOND_BOUND,
    "unified": theme.METHODS["unified"],
}
"""What a curve can mean."""

HEIGHT, STRIP = 630, 128
"""Pixels of all, and of the slider below."""

ENTRY = 98
"""Pixels of a name in the legend: on a phone two stand beside each other, so that none covers a number."""

ROOM = 1.08
"""How much higher than the highest curve of all positions the axis reaches."""


def draw_scrubber(found: Scrubbed, ink: Ink) -> Panel:
    """Draw numbers, curves and trends at one position, with the slider that runs through all of them."""
    figure = theme.panes(
        ink, height=HEIGHT, rows=3, row_heights=[0.09, 0.51, 0.4], vertical_spacing=0.105, shared_xaxes=False
    )
    figure.update_layout(margin={"t": 60, "b": STRIP}, legend={"entrywidth": ENTRY, "font": {"size": 11}})
    values, own = found.values, found.own
    told = {one.meaning for one in found.curves}
    for one in found.curves:
        look = LOOKS[one.meaning]
        few = len(one.x[own]) <= 40 and one.meaning != "band"
        figure.add_scatter(
            x=_small(_longest(one.x)), name=one.name, mode="lines+markers" if few else "lines",
            line=look.line(ink, 1.6), marker=look.marker(ink, 5), row=2, col=1,
        )  # fmt: skip
    for trend in found.trends:
        look = LOOKS[trend.meaning]
        figure.add_scatter(
            x=values, y=_small(trend.y), mode="lines", line=look.line(ink, 1.6), name=trend.name, row=3, col=1,
            hovertemplate=f"{found.symbol} = %{{x:.4g}}: %{{y:.4g}}<extra>{trend.name}</extra>",
            showlegend=trend.meaning not in told,
        )  # fmt: skip
    still = figure.count
    figure.add_scatter(
        mode="markers", hoverinfo="skip", showlegend=False, row=3, col=1,
        marker={"size": 12, "symbol": "circle-open", "line": {"width": 2.5}, "color": ink.text},
    )  # fmt: skip
    figure.add_scatter(
        mode="text", hoverinfo="skip", showlegend=False, cliponaxis=False, textposition="middle center", row=1, col=1,
        textfont={"color": ink.text, "size": 13},
    )  # fmt: skip
    moving = [*range(len(found.curves)), still, still + 1]
    for trace, content in zip(moving, _moment(found, own), strict=True):
        figure.change(trace, content)
    _axes(figure, found)
    figure.frames = [
        {"name": str(place), "data": _moment(found, place), "traces": moving} for place in range(len(values))
    ]
    _slider(figure, found, ink)
    low, high = number(float(values[0])), number(float(values[-1]))
    missing = f" For {found.left_out} more there was no time." if found.left_out else ""
    return Panel(
        name="scrubber",
        title=f"Drag {found.symbol}",
        look=f"{len(values)} runs with {found.symbol} from {low} to {high} and everything else as chosen: drag, and "
        f"plot and numbers follow at once. It begins at the page's own {number(float(values[own]))}.{missing}",
        alt=f"Runs with {found.symbol} from {low} to {high}. At {number(float(values[own]))}: "
        + ", ".join(f"{name} {texts[own]}" for name, texts in found.numbers.items()) + ".",
        figure=figure,
        formulas=[],
        table=lambda: {found.symbol: values, **{one.name: one.y for one in found.trends},
                       **{name: np.array(texts) for name, texts in found.numbers.items()}},
    )  # fmt: skip


def _small(values: Array) -> Array:
    """Return numbers as they are sent; eight digits do not fit on a screen."""
    return np.asarray(values, np.float32)


def _longest(rows: Sequence[Array]) -> Array:
    return max(rows, key=len)


def _shared(rows: Sequence[Array]) -> bool:
    """Say whether one row serves all positions: of a longer one only the beginning is drawn."""
    longest = _longest(rows)
    return all(np.array_equal(row, longest[: len(row)]) for row in rows)


def _moment(found: Scrubbed, place: int) -> list[dict[str, Any]]:
    """Return what the curves, the mark and the numbers show at one position."""
    curves = [
        ({} if _shared(one.x) else {"x": _small(one.x[place])}) | {"y": _small(one.y[place])} for one in found.curves
    ]
    mark = {"x": [float(found.values[place])] * len(found.trends),
            "y": [float(f"{one.y[place]:.6g}") for one in found.trends]}  # fmt: skip
    texts = [f"<span style='font-size:21px'>{one[place]}</span><br>{name}" for name, one in found.numbers.items()]
    return [*curves, mark, {"x": [k + 0.5 for k in range(len(texts))], "y": [0.5] * len(texts), "text": texts}]


def _axes(figure: go.Figure, found: Scrubbed) -> None:
    """Give all positions the same axes, so that only what changes moves."""
    figure.update_xaxes(visible=False, range=[0, len(found.numbers)], fixedrange=True, row=1, col=1)
    figure.update_yaxes(visible=False, range=[0, 1], fixedrange=True, row=1, col=1)
    rows = [np.concatenate([np.ravel(values) for one in found.curves for values in getattr(one, axis)])
            for axis in ("x", "y")]  # fmt: skip
    across, up = (_power(row) if found.powers else _reach(row) for row in rows)
    if found.square:
        up |= {"scaleanchor": "x2", "scaleratio": 1}
    figure.update_xaxes(across, title={"text": found.across, "standoff": 4}, row=2, col=1)
    figure.update_yaxes(up, title_text=found.up, row=2, col=1)
    figure.update_xaxes(_power(found.values), row=3, col=1)
    figure.update_yaxes(_power(np.concatenate([one.y for one in found.trends])), title_text=found.trend, row=3, col=1)


def _reach(values: Array) -> dict[str, Any]:
    """Return a linear axis around all values; what runs away is cut off."""
    known = values[np.isfinite(values)]
    low, high = float(known.min()), float(known.max())
    usual = 8 * float(np.quantile(np.abs(known), 0.5)) or 1.0
    low, high = max(low, -usual), min(high, usual)
    middle, half = (low + high) / 2, max((high - low) / 2, 1e-9) * ROOM
    return {"range": [middle - half, middle + half]}


def _power(values: Array) -> dict[str, Any]:
    """Return a logarithmic axis around all positive values."""
    low, high = theme.reach(values) or (0.1, 10.0)
    room = max((high / low) ** 0.06, 1.02)
    return theme.log_axis(low / room, high * room)


def _slider(figure: go.Figure, found: Scrubbed, ink: Ink) -> None:
    timing = {"frame": {"duration": 0, "redraw": False}, "transition": {"duration": 0}, "mode": "immediate"}
    steps = [
        {"label": number(float(value)), "method": "animate", "args": [[str(place)], timing]}
        for place, value in enumerate(found.values)
    ]
    look = theme.COMPRESSED.colour(ink)
    figure.update_layout(
        sliders=[
            {"active": found.own, "steps": steps, "x": 0, "len": 1, "y": 0, "yanchor": "top", "pad": {"t": 44},
             "currentvalue": {"prefix": f"{found.symbol} = ", "font": {"size": 16, "color": ink.text}},
             "font": {"color": ink.quiet, "size": 11}, "ticklen": 4, "tickcolor": ink.faint, "minorticklen": 0,
             "bgcolor": ink.faint, "bordercolor": ink.faint, "activebgcolor": look}
        ]
    )  # fmt: skip
