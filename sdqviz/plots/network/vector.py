"""Draws one vector of a layer: its state walk, or its weights before and after."""

from __future__ import annotations

import numpy as np

from sdqviz.bounds.statement import CZAJA_NA
from sdqviz.explore.formula import Formula
from sdqviz.explore.network.words import bits_text, title_of
from sdqviz.explore.weight_vector import Vector, vector
from sdqviz.explore.what_if import Answer
from sdqviz.explore.wording import number, percent
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


def _draw_walk(name: str, which: str, found: Vector, ink: Ink) -> Panel:
    states = np.zeros(0) if found.states is None else found.states
    steps = np.arange(1, len(states) + 1)
    delta = found.step
    figure = theme.figure(ink, x="step n along the walk", y="state uₙ", height=430)
    at = theme.decimate(states)
    figure.add_hrect(-delta / 2, delta / 2, fillcolor=ink.faint, line_width=0)
    for edge in (-delta / 2, delta / 2):
        figure.add_hline(edge, line=theme.BOUND.line(ink, 1))
    figure.add_scatter(
        x=steps[at], y=states[at].astype(np.float32), mode="lines", line=theme.COMPRESSED.line(ink, 1),
        showlegend=False,
        hovertemplate="step %{x}: %{y:.3g}<extra></extra>",
    )  # fmt: skip
    theme.mark_decimation(figure, len(states), len(at), ink)
    largest = float(np.abs(states).max(initial=0.0))
    figure.update_yaxes(range=[-1.15 * max(largest, delta / 2), 1.15 * max(largest, delta / 2)])
    told = "stays inside its band" if found.stable else f"leaves its band: it reaches {number(largest / delta)} δ"
    return Panel(
        name="walk",
        title=f"{name}: state of {found.kind} {found.index}, the {which}",
        look=f"The {found.kind} whose error is the {which} in this layer ({percent(found.relative_error)} of its "
        f"length). Its state {told}"
        + (
            ". The dashed lines are ±δ/2."
            if found.stable
            else ": δ is too small for its coefficients, and no bound applies."
        ),
        alt=f"State of {found.kind} {found.index} of layer {name} over {len(states)} steps: largest {number(largest)}, "
        f"the band is plus or minus {number(delta / 2)}. It {told}.",
        figure=figure,
        formulas=[
            Formula(
                r"q_n=Q(u_{n-1}+x_n),\quad u_n=u_{n-1}+x_n-q_n,\qquad "
                r"|x_n|\le(K-\tfrac12)\delta\ \Rightarrow\ |u_n|\le\delta/2",
                [
                    (r"\delta", "step", number(delta)),
                    (r"\max_n|u_n|", "largest state", number(largest)),
                    ("N", "steps", str(len(states))),
                    (r"\|w-q\|/\|w\|", f"error of this {found.kind}", percent(found.relative_error)),
                ],
                f"{CZAJA_NA}, Definition 3.1",
                "",
                "vector-bound",
            )
        ],
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
