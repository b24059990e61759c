"""Draws all bounds at one point of a sweep."""

from __future__ import annotations

import math

import numpy as np

from sdqviz.explore.bounds.tables import formulas
from sdqviz.explore.bounds.words import BESIDE, at_value, short, shown_beside, why
from sdqviz.explore.curves.curve import Curve
from sdqviz.explore.curves.line import medians
from sdqviz.explore.curves.point import A_POSTERIORI
from sdqviz.explore.wording import number
from sdqviz.plots import theme
from sdqviz.plots.bounds.axes import limits
from sdqviz.plots.bounds.looks import beside_look
from sdqviz.plots.panel import Panel
from sdqviz.plots.theme import Ink


def draw_ladder(curve: Curve, place: int, ink: Ink, equal: bool = False) -> Panel:
    """Draw all bounds of one point as marks on one axis, from the loosest to the measured error."""
    stated = [(line, line.promises[place], float(line.median[place])) for line in curve.bounds]
    rungs = sorted(
        ((line, one, value) for line, one, value in stated if one is not None and math.isfinite(value) and value > 0),
        key=lambda rung: rung[2],
    )
    measured = float(curve.median[place])
    names = [short(line) if line.applies[place] else f"{short(line)} (n/a)" for line, _, _ in rungs]
    besides = [(name, float(medians(values)[place])) for name, values in shown_beside(curve, equal).items()]
    count = len(rungs) + len(besides) + 1
    height = max(400, 26 * count + 100)
    figure = theme.figure(ink, x=curve.setting.error_title, height=height, showlegend=False)
    figure.update_layout(margin={"l": 148, "r": 54, "t": 30})
    look = theme.ERROR
    rows: list[tuple[str, float, str, str, float]] = [("measured", measured, look.colour(ink), look.symbol, 1.0)]
    for name, value in besides:
        one = beside_look(name)
        rows.append((BESIDE.get(name, name), value, one.colour(ink), one.symbol, 1.0))
    for (line, _, value), name in zip(rungs, names, strict=True):
        symbol = "triangle-up" if line.kind == A_POSTERIORI else "circle"
        holds = bool(line.applies[place])
        rows.append((name, value, ink.text, symbol if holds else "x-thin-open", 1.0 if holds else 0.5))
    values = [value for _, value, *_ in rows if value > 0]
    low, high = limits([np.array(values)])
    reasons = ["", *([""] * len(besides)), *(why(one) for _, one, _ in rungs)]
    shown = [f"{number(value / measured)} ×" if measured > 0 else "" for _, value, *_ in rows]
    figure.add_vline(x=measured, line={"color": look.colour(ink), "width": 1, "dash": "dot"})
    figure.add_scatter(
        x=[value for _, value, *_ in rows], y=list(range(len(rows))), mode="markers+text",
        marker={
            "color": [row[2] for row in rows], "symbol": [row[3] for row in rows], "size": 9,
            "opacity": [row[4] for row in rows],
        },
        text=shown, textposition="middle right", textfont={"size": 11, "color": ink.text}, cliponaxis=False,
        customdata=reasons, hovertemplate="%{x:.4g}<br>%{customdata}<extra></extra>",
    )  # fmt: skip
    figure.update_xaxes(theme.log_axis(low, high * (high / low) ** 0.08))
    figure.update_yaxes(
        tickvals=list(range(len(rows))), ticktext=[row[0] for row in rows], range=[-0.6, len(rows) - 0.4],
        zeroline=False,
    )  # fmt: skip
    at = at_value(curve, place)
    return Panel(
        name="ladder",
        title=f"All bounds at {at}",
        look="Each mark is a bound, with its multiple of the measured error."
        + (
            " Circles are known before anything is run; triangles use what was measured, and come closer."
            if any(line.kind == A_POSTERIORI for line in curve.bounds)
            else ""
        ),
        alt=f"At {at}: measured {number(measured)}; "
        + ", ".join(f"{name} {number(value)}" for (_, _, value), name in zip(rungs, names, strict=True))
        + ".",
        figure=figure,
        formulas=formulas(curve, place),
        table=lambda: {
            "name": np.array([row[0] for row in rows]),
            "value": np.array([row[1] for row in rows]),
            "over_measured": np.array([row[1] / measured if measured > 0 else math.nan for row in rows]),
            "because": np.array([text.replace("<br>", " ") for text in reasons]),
        },
    )
