"""The axes on which a run is drawn: a row for each figure, a strip of stages above, and every layer at the side."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from sdqviz.explore.geta.curves import Curves
from sdqviz.explore.wording import number, percent
from sdqviz.methods.geta.recording import Recording
from sdqviz.plots import theme
from sdqviz.plots.drawing import Drawing
from sdqviz.plots.geta.look import short
from sdqviz.plots.theme import Ink

LINE_POINTS = 400
"""The most points a line of one layer draws: there may be many layers."""

STRIP, ROW, BITS_ROW, GAP = 76, 74, 96, 26
"""Heights in pixels: of the strip of stages with the reading above it, of a row, of a row of bits, of a title."""

BAR = 0.4
"""Share of the strip's height that the stages take; above it stands what the marked step was like."""

TOP, BOTTOM, LEFT = 24, 44, 58
"""Margins in pixels."""

FEWEST = 9
"""The right side has room for at least so many layers, so that few of them stand together."""

APART = 5
"""How many pixels weights stand above a layer's line at the right, and activations below."""

SHARE = 0.72
"""Share of the width that the curves take; the rest shows every layer at the marked step."""


@dataclasses.dataclass(frozen=True)
class Row:
    """One row of the figure: what it shows, its height in pixels, and its axis from ``low`` to ``high``."""

    name: str
    title: str
    height: int
    low: float
    high: float
    log: bool = False
    ticks: tuple[float, ...] | None = None
    shares: bool = False

    def axis(self) -> dict[str, Any]:
        """Return the Plotly axis."""
        if self.log:
            found = theme.log_axis(self.low, self.high)
            wide = found["tickvals"][:: max(1, -(-len(found["tickvals"]) // 4))]
            text = [percent(v) if self.shares else number(v) for v in wide]
            return found | {"tickvals": wide, "ticktext": text}
        drawn = {"range": [self.low, self.high], "nticks": 4}
        return drawn | ({"tickformat": ".3~%"} if self.shares else {})


def _rows(run: Recording, info: Curves) -> list[Row]:
    """Return the rows below the strip of stages, with axes that hold everything recorded."""
    loss = info.loss[np.isfinite(info.loss) & (info.loss > 0)]
    loss = loss if len(loss) else np.array([0.1, 1.0])
    rows = [Row("loss", "Loss (thick: mean of nine)", ROW, 0.8 * loss.min(), 1.25 * loss.max(), log=True)]
    if len(info.accuracy):
        known = [*info.accuracy, *([] if run.accuracy_before is None else [run.accuracy_before])]
        title = "Test accuracy" + ("" if run.accuracy_before is None else " (grey: the original)")
        room = 0.12 * max(max(known) - min(known), 0.01)
        rows.append(Row("accuracy", title, ROW, min(known) - room, min(max(known) + room, 1.0), shares=True))
    top = 1.15 * max(info.redundant.max(), info.zero.max(), 0.1)
    rows.append(Row("sparsity", "Units marked (dashed), zero (solid)", ROW, -0.04 * top, top, shares=True))
    bops = info.relative_bops[info.relative_bops > 0]
    bops = bops if len(bops) else np.array([0.01, 1.0])
    rows.append(Row("bops", "BOPs, of 32 × 32 bits", ROW, 0.7 * bops.min(), 1.4 * bops.max(), log=True, shares=True))
    wanted = [("weights", "Bits of weights, by layer", info.weight_bits)]
    if info.has_activations:
        wanted.append(("activations", "Bits of activations", info.activation_bits))
    top = float(np.nanmax([np.nanmax(values, initial=4) for _, _, values in wanted]))
    rows.extend(Row(name, title, BITS_ROW, 0, 1.12 * top) for name, title, _ in wanted)
    return rows


def frame(run: Recording, info: Curves, ink: Ink) -> tuple[go.Figure, list[Row]]:
    """Return the empty axes: a strip of stages and the rows under it at the left, one tall axis at the right."""
    rows = _rows(run, info)
    heights = [STRIP, *(row.height for row in rows)]
    inner = sum(heights) + GAP * len(rows)
    base = theme.figure(ink, height=inner + TOP + BOTTOM)
    count = len(heights)
    longest = max((len(short(name)) for name in info.layers), default=0)
    figure = make_subplots(
        rows=count,
        cols=2,
        specs=[[{}, None], [{}, {"rowspan": count - 1}]] + [[{}, None]] * (count - 2),
        row_heights=heights,
        column_widths=[SHARE, 1 - SHARE],
        vertical_spacing=GAP / inner,
        horizontal_spacing=0.045,
        figure=Drawing(),
    )
    figure.update_layout(base.layout)
    figure.update_layout(
        showlegend=False,
        margin={"l": LEFT, "r": 12 + 7 * longest, "t": TOP, "b": BOTTOM},
    )
    x, y = base.layout.xaxis.to_plotly_json(), base.layout.yaxis.to_plotly_json()
    figure.update_xaxes(x)
    figure.update_yaxes(y)
    figure.update_xaxes(range=[0, max(run.steps, 1)], matches="x", showticklabels=False, ticks="", col=1)
    figure.update_xaxes(showticklabels=True, ticks="outside", title_text="steps", row=count, col=1)
    figure.update_yaxes(visible=False, range=[0, 1], fixedrange=True, row=1, col=1)
    figure.update_xaxes(showgrid=False, zeroline=False, row=1, col=1)
    for place, row in enumerate(rows):
        figure.update_yaxes(row.axis(), row=place + 2, col=1)
        theme.pane_title(figure, row.title, place + 2, 1, ink)
    top = max((row.high for row in rows if row.name in ("weights", "activations")), default=32)
    figure.update_xaxes(range=[0, top], matches=None, nticks=5, title_text="bits at this step", row=2, col=2)
    figure.update_yaxes(
        visible=True, side="right", range=[max(len(info.layers), FEWEST) - 0.5, -0.5], row=2, col=2,
        tickvals=list(range(len(info.layers))), ticktext=[short(name) for name in info.layers],
        tickfont={"size": 11, "color": ink.text}, showgrid=True, ticks="", fixedrange=True,
    )  # fmt: skip
    _stages(figure, run, count, ink)
    return figure, rows


def _stages(figure: go.Figure, run: Recording, count: int, ink: Ink) -> None:
    """Name the stages in the strip and carry every other one down as a band."""
    axis = figure.get_subplot(1, 1)
    bottom = figure.get_subplot(count, 1).yaxis.domain[0]
    low, high = axis.yaxis.domain
    top = low + BAR * (high - low)
    for place, stage in enumerate(run.stages):
        if place % 2 == 0:
            figure.add_shape(
                type="rect", x0=stage.first, x1=stage.last, y0=bottom, y1=top, xref="x", yref="paper",
                fillcolor=ink.faint, opacity=0.55, line_width=0, layer="below",
            )  # fmt: skip
        figure.add_shape(
            type="rect", x0=stage.first, x1=stage.last, y0=0, y1=BAR, row=1, col=1,
            line={"color": ink.text, "width": 1}, fillcolor=ink.faint, layer="below",
        )  # fmt: skip
        share = (stage.last - stage.first) / max(run.steps, 1)
        if share >= 0.1:
            figure.add_annotation(
                text=stage.name, x=(stage.first + stage.last) / 2, y=BAR / 2, row=1, col=1, showarrow=False,
                font={"size": 10 if share < 0.2 else 12, "color": ink.text},
            )  # fmt: skip
    figure.add_scatter(
        x=[(stage.first + stage.last) / 2 for stage in run.stages], y=[BAR / 2] * len(run.stages), mode="markers",
        marker={"opacity": 0, "size": 24}, row=1, col=1,
        hovertext=[f"{one.name}: steps {one.first:,} to {one.last:,}" for one in run.stages], hoverinfo="text",
    )  # fmt: skip
