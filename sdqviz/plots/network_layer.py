"""Draws one layer of a compressed network closely: its weights before and after, and one vector's walk."""

from __future__ import annotations

import dataclasses

import numpy as np
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from sdqviz.array import Array, Index
from sdqviz.bounds.vector import CZAJA_NA
from sdqviz.explore.weight_vector import Vector, vector
from sdqviz.explore.what_if import Answer
from sdqviz.explore.wording import number, percent
from sdqviz.plots import theme
from sdqviz.plots.network_text import bits_text, look_of, title_of
from sdqviz.plots.panel import Formula, Panel
from sdqviz.plots.theme import Ink

BINS = 81
"""Bins of a histogram."""


@dataclasses.dataclass(frozen=True, eq=False)
class Histogram:
    """Counts of a layer's weights in common bins.

    Attributes
    ----------
    edges : ndarray, shape (BINS + 1,)
        Bin edges.
    before, after, rounded : ndarray of int, shape (BINS,)
        Weights in each bin.
    """

    edges: Array
    before: Index
    after: Index
    rounded: Index


def histogram_info(asked: Answer, name: str) -> Histogram:
    """Count the weights of a layer before, after, and after plain rounding, in the same bins."""
    item = asked.layer(name)
    rounded = asked.comparison.rounding.weights[name]
    reach = float(max(np.abs(item.layer.weight).max(), np.abs(item.weight).max(), np.abs(rounded).max(), 1e-12))
    edges = np.linspace(-reach, reach, BINS + 1) * (1 + 1e-6)
    before, after, beside = (np.histogram(w, edges)[0] for w in (item.layer.weight, item.weight, rounded))
    return Histogram(edges, before, after, beside)


def draw_histograms(asked: Answer, name: str, ink: Ink) -> Panel:
    """Draw the distribution of a layer's weights before, after and after plain rounding, on shared axes."""
    info = histogram_info(asked, name)
    report = asked.comparison.report
    row = next(one for one in report.layers if one.name == name)
    figure = make_subplots(rows=3, cols=1, shared_xaxes=True, shared_yaxes="all", vertical_spacing=0.05)
    _dress(figure, theme.figure(ink, height=430), ink)
    figure.update_layout(showlegend=False, margin={"t": 8}, bargap=0)
    centres = (info.edges[:-1] + info.edges[1:]) / 2
    beside = asked.comparison.rounding
    for place, (values, title, one) in enumerate(
        (
            (info.before, "original", theme.ORIGINAL),
            (info.after, title_of(report), look_of(report)),
            (info.rounded, f"rounding, {bits_text(beside)}, {beside.best_fit}", theme.ROUNDING),
        ),
        start=1,
    ):
        figure.add_bar(
            x=centres, y=values, name=title, marker={"color": one.colour(ink), "line": {"width": 0}},
            hovertemplate="near %{x:.3g}: %{y} weights<extra></extra>", row=place, col=1,
        )  # fmt: skip
        figure.add_annotation(
            text=title, xref="x domain", yref="y domain", x=0.01, y=1, yanchor="top", xanchor="left", showarrow=False,
            font={"size": 13, "color": ink.text}, row=place, col=1,
        )  # fmt: skip
    most = max(int(part.max()) for part in (info.before, info.after, info.rounded))
    figure.update_yaxes(**theme.log_axis(0.5, 1.6 * most))
    figure.update_yaxes(title_text="weights", row=2, col=1)
    figure.update_xaxes(title_text="value of the weight", row=3, col=1)
    return Panel(
        name="histogram",
        title=f"{name}: weights before and after",
        look="The same bins and axes for all three: look at the tails, and at the gap rounding leaves at zero.",
        alt=f"Histograms of the {row.weights:,} weights of layer {name}: original, compressed, and rounded to "
        f"{2**beside.bits} levels. The compressed weights differ from the original by {percent(row.weight_error)}.",
        figure=figure,
        formulas=[
            Formula(
                r"\|W-Q\|_F/\|W\|_F",
                [
                    (r"\|W-Q\|_F/\|W\|_F", "error of the weights", percent(row.weight_error)),
                    (r"\delta", "largest step", number(row.step)),
                    ("2K", "size of the alphabet", str(row.levels)),
                ],
                "Counts on a logarithmic axis; an empty bin has no bar.",
            )
        ],
        table=lambda: {
            "from": info.edges[:-1],
            "to": info.edges[1:],
            "original": info.before,
            "compressed": info.after,
            "rounded": info.rounded,
        },
    )


def _dress(figure: go.Figure, base: go.Figure, ink: Ink) -> None:
    """Give subplots the house style, their titles included."""
    titled = figure.layout.annotations
    figure.update_layout(base.layout)
    figure.update_layout(annotations=titled)
    figure.update_annotations(font={"size": 13, "color": ink.text})
    figure.update_xaxes(base.layout.xaxis.to_plotly_json())
    figure.update_yaxes(base.layout.yaxis.to_plotly_json())
    figure.update_layout(legend={"y": 1.1}, margin={"t": 62})


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
