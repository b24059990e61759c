"""Draws the test images whose prediction changed when a network was compressed."""

from __future__ import annotations

import numpy as np
import plotly.graph_objects as go

from sdqviz.explore.network import formulas
from sdqviz.explore.network.changed import Flips, flips_info
from sdqviz.explore.what_if import Answer
from sdqviz.plots import theme
from sdqviz.plots.panel import Panel
from sdqviz.plots.theme import Ink

TILES = 8
"""Images in a row."""


def _tiles(figure: go.Figure, info: Flips, rows: int, ink: Ink) -> None:
    """Draw the images in rows, each with its true class and both predictions in the colour of its kind."""
    height, width = info.images.shape[1:3]
    tall, wide = height + 11, width + 4
    canvas = np.full((rows * tall, TILES * wide, *info.images.shape[3:]), np.nan)
    for place, image in enumerate(info.images):
        top, left = tall * (place // TILES), wide * (place % TILES)
        canvas[top : top + height, left : left + width] = image
    if canvas.ndim == 2:
        figure.add_heatmap(
            z=(canvas * 255).astype(np.float32), zmin=0, zmax=255, colorscale="Greys", reversescale=True,
            showscale=False, hoverinfo="skip", hoverongaps=False,
        )  # fmt: skip
    else:
        ground = np.array([23, 22, 20] if ink.dark else [255, 255, 255], float)
        filled = np.where(np.isnan(canvas), ground, canvas * 255)
        figure.add_image(z=filled.astype(np.uint8), hoverinfo="skip")
    for place in range(len(info.images)):
        right_before = info.before[place] == info.label[place]
        right_after = info.after[place] == info.label[place]
        one = theme.ERROR if right_before else theme.COMPRESSED if right_after else theme.ORIGINAL
        figure.add_annotation(
            x=wide * (place % TILES) + width / 2 - 0.5, y=tall * (place // TILES) + height + 4.5, showarrow=False,
            text=f"<b>{info.label[place]}</b>: {info.before[place]} → {info.after[place]}",
            font={"size": 13, "color": one.words(ink)},
        )  # fmt: skip
    figure.update_xaxes(visible=False, range=[-0.5, TILES * wide - 4.5], fixedrange=True)
    figure.update_yaxes(
        visible=False,
        range=[rows * tall - 0.5, -0.5],
        fixedrange=True,
        scaleanchor="x",
        constrain="domain",
        constraintoward="top",
    )


def draw_flips(asked: Answer, ink: Ink) -> Panel | None:
    """Draw the test images whose prediction changed, each with its true class and both predictions."""
    info = flips_info(asked)
    if info is None:
        return None
    count, shown = len(info.index), len(info.images)
    rows = max(1, -(-shown // TILES))
    figure = theme.figure(ink, height=10 + 136 * rows if shown else 120)
    instead = ""
    if shown:
        _tiles(figure, info, rows, ink)
    else:
        instead = (
            "No prediction changed."
            if not count
            else "The inputs of this network are not images; the table lists them."
        )
        theme.instead(figure, instead, ink)
    figure.update_layout(margin={"t": 4, "b": 4, "l": 4, "r": 4})
    other = count - info.lost - info.won
    drawn = f" {shown} of {count:,} are drawn, of both kinds where there are any." if 0 < shown < count else ""
    return Panel(
        name="changed",
        title=f"Test images whose prediction changed: {count:,} of {info.total:,}",
        look=f"True class in bold, then the prediction before → after. {info.lost:,} became wrong (vermillion), "
        f"{info.won:,} became right (blue), {other:,} went from one wrong class to another (grey).{drawn}",
        alt=f"{count} of {info.total} predictions changed: {info.lost} became wrong, {info.won} became right, "
        f"{other} from wrong to wrong. "
        + ", ".join(
            f"a {label} was taken for {before}, now for {after}"
            for label, before, after in zip(info.label[:6], info.before[:6], info.after[:6], strict=True)
        ),
        figure=figure,
        formulas=[formulas.predictions(asked, info)],
        table=lambda: {
            "test image": info.index,
            "true class": info.label,
            "before": info.before,
            "after": info.after,
        },
        instead=instead,
    )
