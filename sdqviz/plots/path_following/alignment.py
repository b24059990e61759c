"""Draws what alignment of growing order leaves behind."""

from __future__ import annotations

import numpy as np

from sdqviz.explore.layer_walks import formulas
from sdqviz.explore.layer_walks.alignment import AlignmentRun
from sdqviz.explore.layer_walks.walk import WalkRun
from sdqviz.explore.wording import percent
from sdqviz.plots import theme
from sdqviz.plots.panel import Panel
from sdqviz.plots.theme import Ink

LEAST = 1e-16
"""What is drawn of a residual that is 0 but for rounding."""


def draw_alignment(run: WalkRun, info: AlignmentRun, ink: Ink) -> Panel:
    """Draw what alignment of growing order leaves behind, least squares, and the error after quantizing."""
    figure = theme.figure(ink, x="order r of the alignment", y="relative error", height=360)
    figure.update_layout(margin={"l": 76})
    residual, least = np.maximum(info.residual, LEAST), max(info.least, LEAST)
    perfect = info.least < 1e-10
    figure.add_scatter(
        x=info.orders, y=residual, name="alignment ‖Xw − X̃w̃‖", mode="lines+markers",
        line=theme.COMPRESSED.line(ink, 2), marker=theme.COMPRESSED.marker(ink, 6),
    )  # fmt: skip
    figure.add_scatter(
        x=info.orders, y=info.error, name="after T ‖Xw − X̃q‖", mode="lines+markers",
        line=theme.ERROR.line(ink, 2), marker=theme.ERROR.marker(ink, 6),
    )  # fmt: skip
    lowest = float(residual.min())
    if not perfect:
        figure.add_scatter(
            x=info.orders[[0, -1]], y=[least] * 2, name="least squares", mode="lines",
            line={"color": ink.text, "dash": "dash", "width": 1.5},
        )  # fmt: skip
        lowest = min(lowest, least)
    lowest = max(lowest, 1e-9 if perfect else lowest)
    at = int(np.flatnonzero(info.orders == run.choice.order)[0])
    figure.add_vline(x=run.choice.order, line={"color": ink.faint, "width": 6}, layer="below")
    figure.update_yaxes(theme.log_axis(lowest / 2, float(max(residual.max(), info.error.max())) * 2))
    figure.update_xaxes(theme.log_axis(0.9, float(info.orders[-1]) * 1.1))
    floor = "0: the samples are few enough to be fitted exactly" if perfect else percent(info.least)
    return Panel(
        name="alignment",
        title="More sweeps of alignment",
        look=f"Each sweep fits the weights better to the changed inputs, down to least squares ({floor}). What T adds "
        "soon outweighs it. Shaded: the order in use.",
        alt=f"Alignment of order {run.choice.order} leaves {percent(float(info.residual[at]))}, of order "
        f"{info.orders[-1]} {percent(float(info.residual[-1]))}, least squares {percent(info.least)}; after T the "
        f"error is {percent(float(info.error[at]))}.",
        figure=figure,
        formulas=[formulas.alignment(run, info, at)],
        table=lambda: {
            "order": info.orders,
            "alignment": info.residual,
            "quantized": info.error,
            "least_squares": np.full(len(info.orders), info.least),
        },
    )
