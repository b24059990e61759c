"""Play, Slow and Step above a plot, or below it, in the browser alone: stepping asks nothing of the server."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import plotly.graph_objects as go

from sdqviz.plots.theme import CLEAR, COMPRESSED, Ink

STRIP, STRIP_BELOW, ROW = 74, 84, 30
"""Pixels the controls take above the plot, and below it; and those of the slider, which is as wide as the plot."""

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
    end = drawn.given("shapes", 0, "x1")

    def frame(place: int, data: Sequence[dict[str, Any]], edge: float) -> dict[str, Any]:
        following = names[(place + 1) % len(names)]
        layout = {"shapes": [{"x0": edge}], "updatemenus": [{"buttons": [_button("Step", [following])]}]}
        return {"name": names[place], "data": data, "traces": list(traces), "layout": layout}

    resting = resting or [{"x": [None], "y": [None], "text": [""]} for _ in traces]
    drawn.frames = [
        *(frame(k, data, k + 1.5) for k, data in enumerate(steps)),
        frame(len(steps), resting, float(end)),
    ]
    buttons = [_button("Play", None, 300), _button("Slow", None, 1200), PAUSE, _button("Show all", [ALL])]
    at_top = {"y": 1, "yanchor": "bottom"}
    drawn.update_layout(
        height=int(drawn.given("height")) + STRIP,
        margin={"t": int(drawn.given("margin", "t")) + STRIP},
        updatemenus=[
            _menu(ink, [_button("Step", [names[0]])], pad={"b": 8 + ROW, "t": 0}, **at_top),
            _menu(ink, buttons, pad={"b": 8 + ROW, "t": 0, "l": STEP_WIDTH}, **at_top),
        ],
        sliders=[_slider(ink, [_button("", [name]) for name in names], len(steps), pad={"b": 2, "t": 0}, **at_top)],
    )


def below(drawn: go.Figure, ink: Ink, names: Sequence[str], *, play: str = "Play", active: int = 0) -> None:
    """Add Play, Slow, Pause and a slider over a figure's frames, in a strip below the plot.

    Parameters
    ----------
    drawn : Figure
        With its frames, which move traces and leave the axes as they are.
    ink : Ink
        The page's colours.
    names : sequence of str
        Of the frames, in their order.
    play : str
        What the first button says.
    active : int
        The frame that is drawn at first.
    """
    bottom = int(drawn.given("margin", "b") or 0)
    buttons = [_button(play, None, 150, redraw=False), _button("Slow", None, 900, redraw=False), PAUSE]
    steps = [_button("", [name], redraw=False) for name in names]
    drawn.update_layout(
        height=int(drawn.given("height")) + STRIP_BELOW,
        margin={"b": bottom + STRIP_BELOW},
        updatemenus=[_menu(ink, buttons, y=0, yanchor="top", pad={"t": bottom + 10, "r": 0})],
        sliders=[_slider(ink, steps, active, y=0, pad={"t": bottom + 16 + ROW, "b": 0})],
    )


PAUSE = {"label": "Pause", "method": "animate", "args": [[None], {"mode": "immediate"}]}


def _menu(ink: Ink, buttons: Sequence[dict[str, Any]], **where: Any) -> dict[str, Any]:
    look = {"bgcolor": CLEAR, "bordercolor": ink.faint, "font": {"color": ink.text, "size": 12}, "showactive": False}
    return {"type": "buttons", "direction": "right", "x": 0, "xanchor": "left", "buttons": buttons} | look | where


def _slider(ink: Ink, steps: Sequence[dict[str, Any]], active: int, **where: Any) -> dict[str, Any]:
    """Return a slider without ticks or words, up to the right end."""
    return {
        "active": active, "steps": steps, "x": 1, "xanchor": "right", "len": 1, "currentvalue": {"visible": False},
        "font": {"color": CLEAR, "size": 1}, "ticklen": 0, "minorticklen": 0, "tickwidth": 0, "bgcolor": ink.faint,
        "bordercolor": CLEAR, "activebgcolor": COMPRESSED.colour(ink),
    } | where  # fmt: skip


def _button(label: str, target: list[str] | None, milliseconds: int = 0, redraw: bool = True) -> dict[str, Any]:
    """Return a button that shows one frame at once, or all of them one after the other; steps, no glides."""
    frame = {"duration": milliseconds} | ({} if redraw else {"redraw": False})
    timing = {"frame": frame, "transition": {"duration": 0}}
    mode = {"mode": "afterall", "fromcurrent": True} if target is None else {"mode": "immediate"}
    return {"label": label, "method": "animate", "args": [target, timing | mode]}
