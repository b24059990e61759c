"""Drawings in space that can be turned, in the browser."""

from __future__ import annotations

import math

import numpy as np
import plotly.graph_objects as go

from sdqviz.array import Array
from sdqviz.plots import player
from sdqviz.plots.theme import Ink

TURNS = 24
"""Directions a drawing in space can be looked at from."""


TURNED_POINTS = 14_000
"""Points all directions together may take, about 150 kB."""


ELEVATION = math.radians(22)


START = math.radians(50)
"""Where a scene is looked at from first: away from the coordinate planes, in which frames like to lie."""


def seen(points: Array, angle: float) -> Array:
    """Project points of space, shape (n, 3), as seen from an angle around the vertical axis, shape (n, 2).

    Drawn this way in SVG instead of WebGL, a scene takes milliseconds on a machine without a graphics
    card; what is lost, free turning with the mouse, comes back as a slider (`turn`).
    """
    angle = angle + START
    across = points[:, 0] * math.cos(angle) + points[:, 1] * math.sin(angle)
    away = -points[:, 0] * math.sin(angle) + points[:, 1] * math.cos(angle)
    return np.stack([across, points[:, 2] * math.cos(ELEVATION) + away * math.sin(ELEVATION)], axis=1)


def draw_sphere(drawn: go.Figure, radius: float, ink: Ink) -> None:
    """Draw the outline and the equator of a sphere around the origin, for orientation, and hide the axes."""
    turn_angle = np.linspace(0, 2 * np.pi, 73)
    circle = radius * np.stack([np.cos(turn_angle), np.sin(turn_angle)], axis=1)
    equator = circle * [1, math.sin(ELEVATION)]
    path = np.concatenate([circle, [[np.nan, np.nan]], equator]).astype(np.float32)
    drawn.add_scatter(
        x=path[:, 0],
        y=path[:, 1],
        mode="lines",
        line={"color": ink.faint, "width": 1.5},
        hoverinfo="skip",
        showlegend=False,
    )
    drawn.update_xaxes(visible=False, range=[-1.05 * radius, 1.05 * radius])
    drawn.update_yaxes(visible=False, scaleanchor="x", scaleratio=1)


def turn(drawn: go.Figure, scenes: dict[int, Array], ink: Ink) -> None:
    """Let the reader turn a scene: frames and a slider that look at traces from all around.

    Parameters
    ----------
    drawn : Figure
        Already holds the traces as seen from angle 0.
    scenes : dict of int to ndarray, shape (n, 3)
        The points in space of each trace that turns, by its position in ``drawn.data``.
    ink : Ink
        The page's colours.
    """
    total = sum(len(points) for points in scenes.values())
    turns = min(TURNS, TURNED_POINTS // max(total, 1))
    if turns < 6:
        return
    frames = []
    for k in range(turns):
        views = [seen(points, 2 * math.pi * k / turns).astype(np.float32) for points in scenes.values()]
        moved = [{"x": v[:, 0], "y": v[:, 1]} for v in views]
        frames.append({"name": f"{k}", "data": moved, "traces": list(scenes)})
    drawn.frames = frames
    player.below(drawn, ink, [f"{k}" for k in range(turns)], play="Turn")
