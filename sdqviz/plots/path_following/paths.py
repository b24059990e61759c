"""Draws ‖u_t‖ along the walk, and the panels of the page in their order."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import plotly.graph_objects as go

from sdqviz.array import Array
from sdqviz.explore.layer_walks import formulas, words
from sdqviz.explore.layer_walks.alignment import AlignmentRun
from sdqviz.explore.layer_walks.bands import Band, bands
from sdqviz.explore.layer_walks.walk import WalkRun
from sdqviz.explore.layer_walks.width import WidthRun
from sdqviz.explore.layer_walks.words import SHORT
from sdqviz.plots import theme
from sdqviz.plots.panel import Panel
from sdqviz.plots.path_following.alignment import draw_alignment
from sdqviz.plots.path_following.cloud import draw_cloud
from sdqviz.plots.path_following.operator import draw_operator
from sdqviz.plots.path_following.width import draw_bits, draw_width
from sdqviz.plots.theme import Ink

FAINT = 40
"""Points of a curve in the background: there are four of them in each of five small plots."""


def draw_paths(run: WalkRun, ink: Ink) -> Panel:
    """Draw ‖u_t‖/‖Xw‖ along the walk, median and band over the neurons, for all methods."""
    found = bands(run)
    length = len(run.data.weights)
    steps = np.arange(1, length + 1)
    figure = theme.panes(
        ink, height=360, columns=len(found), shared_yaxes=True, horizontal_spacing=0.015,
        subplot_titles=[SHORT[name] for name in found],
    )  # fmt: skip
    figure.update_layout(margin={"t": 34}, showlegend=False)
    figure.update_annotations(font={"size": 14, "color": ink.text})
    drawn = length
    for place, name in enumerate(found, start=1):
        drawn = min(drawn, _pane(figure, place, name, found, ink, several=run.data.weights.shape[1] > 1))
    figure.update_yaxes(rangemode="tozero", zeroline=False)
    figure.update_yaxes(title_text="‖u_t‖ / ‖Xw‖", col=1)
    figure.update_xaxes(title_text="step t of the walk", col=len(found) // 2 + 1)
    theme.mark_decimation(figure, length, drawn, ink)
    return Panel(
        name="walk",
        title=f"What is left behind along the walk: {run.data.title}",
        look=words.paths_told(run, found),
        alt=words.paths_alt(run, found),
        figure=figure,
        formulas=formulas.states(run),
        table=lambda: {
            "t": steps,
            **{
                f"{SHORT[name]}_{part}": getattr(band, part)
                for name, band in found.items()
                for part in ("median", "low", "high")
            },
        },
    )


def _pane(figure: go.Figure, place: int, name: str, found: Mapping[str, Band], ink: Ink, *, several: bool) -> int:
    """Draw one method with its band, the others faint behind it; return how many points its median keeps."""
    look, band = theme.METHODS[name], found[name]
    others = [one.median for other, one in found.items() if other != name]
    if others:  # all of them one curve with gaps: every trace takes the browser time of its own
        at = [theme.decimate(median, FAINT) for median in others]
        figure.add_scatter(
            x=_with_gaps([here + 1 for here in at]), mode="lines", line={"color": ink.faint, "width": 1.2},
            y=_with_gaps([median[here] for median, here in zip(others, at, strict=True)]), hoverinfo="skip",
            row=1, col=place,
        )  # fmt: skip
    kept = theme.decimate(band.median, theme.DRAWN // 2)
    x = kept + 1
    if several:
        theme.band(figure, x, band.low[kept], band.high[kept], theme.faded(look.colour(ink)), row=1, col=place)
    figure.add_scatter(
        x=x, y=band.median[kept].astype(np.float32), name=SHORT[name], mode="lines", row=1, col=place,
        line=look.line(ink, 2), hovertemplate="t = %{x}: %{y:.4f}<extra>" + SHORT[name] + "</extra>",
    )  # fmt: skip
    return len(kept)


def _with_gaps(curves: Sequence[Array]) -> Array:
    """Return curves one after the other, with a gap between two."""
    return np.concatenate([np.append(curve, np.nan) for curve in curves]).astype(np.float32)[:-1]


def panels(run: WalkRun, aligned: AlignmentRun | None, widths: WidthRun, ink: Ink) -> list[Panel]:
    """Return the page's panels after the first, those that have something to show."""
    drawn = [draw_operator(run, ink), draw_cloud(run, ink)]
    if aligned is not None:
        drawn.append(draw_alignment(run, aligned, ink))
    drawn.append(draw_width(widths, ink))
    if len(widths.far):
        drawn.append(draw_bits(widths, ink))
    return drawn
