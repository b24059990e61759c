"""Draws σ of all orderings, and against the size of the frame."""

from __future__ import annotations

import numpy as np

from sdqviz.explore.frames import FrameInfo, Growth, Ordered, growth_formula, wang_formula
from sdqviz.explore.wording import number
from sdqviz.frames.walk import wang_variation
from sdqviz.plots import theme
from sdqviz.plots.panel import Panel
from sdqviz.plots.theme import Ink


def draw_orderings(found: FrameInfo, compared: tuple[Ordered, ...], current: str, ink: Ink) -> Panel:
    """Draw σ of every ordering as bars beside Wang's limit."""
    figure = theme.figure(ink, x="frame variation σ(F, p)", height=330, margin={"l": 185, "r": 12, "t": 34, "b": 44})
    shown = compared[::-1]
    figure.add_bar(
        y=[one.title for one in shown],
        x=[one.variation for one in shown],
        orientation="h",
        name="σ",
        showlegend=False,
        text=[number(one.variation) for one in shown],
        customdata=[f", {number(one.ratio)} of the limit" if one.ratio else "" for one in shown],
        hovertemplate="%{y}: σ = %{text}%{customdata}<extra></extra>",
        textposition="outside",
        textfont={"size": 12, "color": ink.text},
        cliponaxis=False,
        marker={
            "color": [(theme.COMPRESSED if one.name == current else theme.ORIGINAL).colour(ink) for one in shown],
            "line": {"width": 0},
        },
    )
    best, worst = compared[0], compared[-1]
    applies = found.frame.dimension >= 3
    limit = wang_variation(found.frame.dimension, found.frame.size) if applies else 0.0
    if applies:
        figure.add_vline(limit, line=theme.BOUND.line(ink, 1.5), layer="below")
        figure.add_annotation(
            text="Wang's limit (8)",
            x=limit,
            xanchor="right",
            y=1.0,
            yref="paper",
            yanchor="bottom",
            showarrow=False,
            font={"size": 12},
        )
    figure.update_yaxes(showgrid=False)
    figure.update_xaxes(range=[0, max(1.75 * worst.variation, 1.1 * limit)])
    gain = number(worst.variation / best.variation if best.variation else float("inf"))
    told = "All walk equally far" if gain == "1" else f"{best.title} walks {gain} times less than {worst.title.lower()}"
    tail = "" if applies else " Wang's limit (8) is not applicable: it needs d ≥ 3."
    return Panel(
        name="orderings",
        title="All orderings of this frame",
        look=f"{told}; blue is the ordering chosen.{tail}",
        alt=f"Frame variation of {len(compared)} orderings, from {number(best.variation)} ({best.title}) to "
        f"{number(worst.variation)} ({worst.title}).{tail}",
        figure=figure,
        formulas=[wang_formula(found)],
        table=lambda: {
            "ordering": np.array([one.name for one in compared]),
            "variation": np.array([one.variation for one in compared]),
            "ratio_to_wang": np.array([np.nan if one.ratio is None else one.ratio for one in compared]),
            "seconds": np.array([one.seconds for one in compared]),
        },
    )


def draw_growth(found: FrameInfo, grown: Growth, ink: Ink) -> Panel:
    """Draw σ of the order as written against N."""
    figure = theme.figure(ink, x="frame size N", y="frame variation σ", height=340)
    figure.add_scatter(
        x=grown.size, y=grown.variation, mode="lines+markers", name="as written",
        line=theme.COMPRESSED.line(ink, 2), marker=theme.COMPRESSED.marker(ink, 6),
    )  # fmt: skip
    applies = found.frame.dimension >= 3
    if applies:
        figure.add_scatter(
            x=grown.size, y=grown.limit, mode="lines", name="Wang's limit (8)", line=theme.BOUND.line(ink)
        )
    figure.add_scatter(
        x=[found.frame.size], y=[found.walk.variation], mode="markers", name="now, in the order chosen",
        marker={"symbol": "circle-open", "size": 13, "color": theme.ERROR.colour(ink), "line": {"width": 2.5}},
    )  # fmt: skip
    figure.update_xaxes(theme.log_axis(grown.size.min() / 1.15, grown.size.max() * 1.15))
    heights = np.concatenate([grown.variation, grown.limit[np.isfinite(grown.limit)], [found.walk.variation]])
    figure.update_yaxes(theme.log_axis(max(heights[heights > 0].min(), 1e-9) / 1.5, heights.max() * 1.5))
    slope = (
        float(np.polyfit(np.log(grown.size), np.log(np.maximum(grown.variation, 1e-12)), 1)[0])
        if len(grown.size) > 2
        else 0.0
    )
    meaning = (
        "σ levels off, so the error bound falls like 1/N"
        if slope < 0.35
        else "σ grows with N, so more vectors buy little"
    )
    if len(grown.size) <= 2:
        meaning = "this family has too few sizes in this dimension to see a trend"
    return Panel(
        name="growth",
        title="What more vectors cost",
        look=f"In the order as written {meaning}.",
        alt=f"Frame variation against size from {int(grown.size[0])} to {int(grown.size[-1])}: from "
        f"{number(float(grown.variation[0]))} to {number(float(grown.variation[-1]))}; {meaning}.",
        figure=figure,
        formulas=[growth_formula(slope)],
        table=lambda: {"size": grown.size, "variation": grown.variation, "wang_limit": grown.limit},
    )
