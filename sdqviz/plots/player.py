"""Play, Slow and Step above a plot, in the browser alone; what has not happened yet is hidden."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import plotly.graph_objects as go

from sdqviz.plots.theme import CLEAR, COMPRESSED, Ink

STRIP = 44
"""Pixels the controls take above the plot."""

ALL = "all"
"""The frame in which everything has happened."""

STEP_WIDTH = 52
"""Pixels of the button that steps; it stands alone, for every frame gives it its next one."""


def cover(drawn: go.Figure, ink: Ink, axis: str, end: float, top: float = 1.0, bottom: float = 0.0) -> None:
    """Lay a sheet of the page's colour over a plot, to be moved by `add`; it has to be the first shape.

    Parameters
    ----------
    drawn : Figure
        Without shapes so far.
    ink : Ink
        The page's colours.
    axis : str
        The horizontal axis, such as ``"x3"``.
    end : float
        Where the sheet ends: behind the last step.
    top, bottom : float
        How high and how low it reaches, as a share of the figure's drawing area.
    """
    sheet = {"type": "rect", "xref": axis, "yref": "paper", "x0": end, "x1": end, "y0": bottom, "y1": top}
    drawn.update_layout(shapes=[sheet | {"fillcolor": ink.page, "line": {"width": 0}, "layer": "above"}])


def add(
    drawn: go.Figure,
    ink: Ink,
    steps: Sequence[Sequence[dict[str, Any]]],
    traces: Sequence[int],
    resting: Sequence[dict[str, Any]] | None = None,
) -> None:
    """Add the frames of a walk and the controls that run through them.

    Parameters
    ----------
    drawn : Figure
        Covered by `cover`; everything in it has happened.
    ink : Ink
        The page's colours.
    steps : sequence
        For each step what changes in each of ``traces``.
    traces : sequence of int
        Positions in ``drawn.data``.
    resting : sequence of dict, optional
        What each of them shows when everything has happened; by default nothing.
    """
    names = [*(str(k + 1) for k in range(len(steps))), ALL]
    end = drawn.layout.shapes[0].x1

    def frame(place: int, data: Sequence[dict[str, Any]], edge: float) -> dict[str, Any]:
        following = names[(place + 1) % len(names)]
        layout = {"shapes": [{"x0": edge}], "updatemenus": [{"buttons": [_button("Step", [following])]}]}
        return {"name": names[place], "data": data, "traces": list(traces), "layout": layout}

    resting = resting or [{"x": [None], "y": [None], "text": [""]} for _ in traces]
    drawn.frames = [  # plain: of a go.Frame everything would be checked twice, which took a quarter of a redraw
        *(frame(k, data, k + 1.5) for k, data in enumerate(steps)),
        frame(len(steps), resting, float(end)),
    ]
    buttons = [_button("Play", None, 300), _button("Slow", None, 1200), _pause(), _button("Show all", [ALL])]
    menu = {"type": "buttons", "direction": "right", "showactive": False, "x": 0, "xanchor": "left"}
    at_top = {"y": 1, "yanchor": "bottom"}
    quiet = {"bgcolor": CLEAR, "bordercolor": ink.faint, "font": {"color": ink.text, "size": 12}}
    drawn.update_layout(
        height=int(drawn.layout.height) + STRIP,
        margin={"t": int(drawn.layout.margin.t) + STRIP},
        updatemenus=[
            menu | {"buttons": [_button("Step", [names[0]])], "pad": {"b": 8, "t": 0}} | at_top | quiet,
            menu | {"buttons": buttons, "pad": {"b": 8, "t": 0, "l": STEP_WIDTH}} | at_top | quiet,
        ],
        sliders=[
            {"active": len(steps), "x": 1, "xanchor": "right", "len": 1, "pad": {"b": 2, "t": 0, "l": 330},
             "currentvalue": {"visible": False}, "font": {"color": CLEAR, "size": 1}, "ticklen": 0, "minorticklen": 0,
             "tickwidth": 0, "bgcolor": ink.faint, "bordercolor": CLEAR, "activebgcolor": COMPRESSED.colour(ink),
             "steps": [_button("", [name]) for name in names]} | at_top
        ],
    )  # fmt: skip


def _button(label: str, target: list[str] | None, milliseconds: int = 0) -> dict[str, Any]:
    """Return a button that shows one frame at once, or all of them one after the other; steps, no glides."""
    timing = {"frame": {"duration": milliseconds, "redraw": True}, "transition": {"duration": 0}}
    mode = {"mode": "afterall" if target is None else "immediate", "fromcurrent": True}
    return {"label": label, "method": "animate", "args": [target, timing | mode]}


def _pause() -> dict[str, Any]:
    return {"label": "Pause", "method": "animate", "args": [[None], {"mode": "immediate"}]}
