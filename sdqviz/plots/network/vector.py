"""Draws one vector of a layer: its state walk, or its weights before and after."""

from __future__ import annotations

import numpy as np
import plotly.graph_objects as go

from sdqviz.array import Array
from sdqviz.explore.formula import Formula
from sdqviz.explore.network import formulas
from sdqviz.explore.network.words import bits_text, title_of
from sdqviz.explore.weight_vector import Vector, vector
from sdqviz.explore.what_if import Answer
from sdqviz.explore.wording import number, percent, settled
from sdqviz.plots import theme
from sdqviz.plots.network.looks import look_of
from sdqviz.plots.panel import Panel
from sdqviz.plots.theme import Ink


def draw_vector(asked: Answer, name: str, which: str, ink: Ink) -> Panel:
    """Draw one vector of a layer: its state walk inside the band where the method has one, else its weights."""
    found = vector(asked, name, which)
    return (
        _draw_weights(asked, name, which, found, ink) if found.states is None else _draw_walk(name, which, found, ink)
    )


READABLE = 200
"""Steps of a walk that can be told apart; of a longer one the rest is drawn as the band it fills."""

STRETCHES = 100
"""Stretches of a long walk for each of which smallest and largest state are drawn."""


def _envelope(figure: go.Figure, states: Array, ink: Ink) -> None:
    """Draw the smallest and the largest state of every stretch of a long walk, and the stretch shown below."""
    starts = np.linspace(0, len(states), STRETCHES + 1)[:-1].astype(int)
    low, high = np.minimum.reduceat(states, starts), np.maximum.reduceat(states, starts)
    fill, line = theme.faded(theme.COMPRESSED.colour(ink), 0.3), theme.COMPRESSED.line(ink, 1)
    theme.band(figure, starts + 1, low, high, fill, line=line, row=1, col=1)
    figure.add_vrect(1, READABLE, fillcolor=ink.faint, line_width=0, row=1, col=1)
    figure.update_xaxes(range=[0, len(states) + 1], title_text=f"all {len(states):,} steps; grey: drawn below", row=1)


def _draw_walk(name: str, which: str, found: Vector, ink: Ink) -> Panel:
    states = np.zeros(0) if found.states is None else found.states
    steps = np.arange(1, len(states) + 1)
    delta = found.step
    long = len(states) > READABLE
    figure = theme.panes(ink, height=430, rows=1 + long, shared_xaxes=False, vertical_spacing=0.16)
    figure.update_layout(margin={"t": 14}, showlegend=False)
    if long:
        _envelope(figure, settled(states, delta), ink)
    first = settled(states[:READABLE], delta)
    figure.add_scatter(
        x=steps[:READABLE], y=first.astype(np.float32), mode="lines", line=theme.COMPRESSED.line(ink, 1.2),
        hovertemplate="step %{x}: %{y:.3g}<extra></extra>", row=1 + long, col=1,
    )  # fmt: skip
    for edge in (-delta / 2, delta / 2):
        figure.add_hline(edge, line=theme.BOUND.line(ink, 1), row="all", col=1)
    largest = float(np.abs(states).max(initial=0.0))
    figure.update_yaxes(range=[-1.15 * max(largest, delta / 2), 1.15 * max(largest, delta / 2)], title_text="state uₙ")
    figure.update_xaxes(title_text="step n along the walk", row=1 + long, col=1)
    told = "stays inside its band" if found.stable else f"leaves its band: it reaches {number(largest / delta)} δ"
    return Panel(
        name="walk",
        title=f"{name}: state of {found.kind} {found.index}, the {which}",
        look=f"The {found.kind} whose error is the {which} in this layer ({percent(found.relative_error)} of its "
        f"length). Its state {told}"
        + (
            ". The dashed lines are ±δ/2." + (" Above: smallest and largest state of every stretch." if long else "")
            if found.stable
            else ": δ is too small for its coefficients, and no bound applies."
        ),
        alt=f"State of {found.kind} {found.index} of layer {name} over {len(states)} steps: largest {number(largest)}, "
        f"the band is plus or minus {number(delta / 2)}. It {told}.",
        figure=figure,
        formulas=[formulas.walk(found, largest)],
        table=lambda: {"n": steps, "state": states},
    )


def _draw_weights(asked: Answer, name: str, which: str, found: Vector, ink: Ink) -> Panel:
    """Draw the weights of one vector before and after; for methods without a walk."""
    report = asked.comparison.report
    index = np.arange(len(found.before))
    figure = theme.figure(ink, x=f"entry of the {found.kind}", y="weight", height=430)
    mode = "lines+markers" if len(index) <= 96 else "lines"
    at = np.unique(np.concatenate([theme.decimate(found.before), theme.decimate(found.after)]))
    for values, title, one in (
        (found.before, "original", theme.ORIGINAL),
        (found.rounded, f"rounding, {bits_text(asked.comparison.rounding)}", theme.ROUNDING),
        (found.after, title_of(report), look_of(report)),
    ):
        figure.add_scatter(
            x=index[at],
            y=values[at].astype(np.float32),
            name=title,
            mode=mode,
            line=one.line(ink, 1.2),
            marker=one.marker(ink),
        )
    theme.mark_decimation(figure, len(index), len(at), ink)
    return Panel(
        name="vector",
        title=f"{name}: {found.kind} {found.index}, the {which}",
        look=f"The {found.kind} whose error is the {which} in this layer: {percent(found.relative_error)} of its "
        "length. This method has no state to walk.",
        alt=f"The {len(index)} weights of {found.kind} {found.index} of layer {name} before and after; relative error "
        f"{percent(found.relative_error)}.",
        figure=figure,
        formulas=[Formula(r"\|w-q\|/\|w\|", [("w-q", "error", percent(found.relative_error))])],
        table=lambda: {"original": found.before, "compressed": found.after, "rounded": found.rounded},
    )
