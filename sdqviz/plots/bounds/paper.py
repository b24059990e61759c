"""Draws the figures and tables of the paper on frame quantization as panels."""

from __future__ import annotations

import math

import numpy as np
import plotly.graph_objects as go
from plotly.colors import sample_colorscale

from sdqviz.experiments.paper.plan import SOURCE
from sdqviz.experiments.paper.result import Result
from sdqviz.explore.formula import Formula
from sdqviz.plots import theme
from sdqviz.plots.panel import Panel
from sdqviz.plots.theme import Ink

LAWS = {
    "figure1": r"\max_x\|f(x)-f_Q(x)\|",
    "figure2": r"\log\Bigl(\operatorname{mean}_x\|f(x)-f_Q(x)\|\Bigr)-\log\delta+\log N",
    **dict.fromkeys(("table1", "table2"), r"\text{accuracy with the step }\delta"),
    **dict.fromkeys(("table3", "table4"), r"\text{accuracy at 1 bit}"),
}


def draw_paper(result: Result, ink: Ink, *, live: bool = False) -> Panel:
    """Draw a figure or table of the paper with our numbers, and the published ones in grey where they are known.

    Parameters
    ----------
    result : Result
        Shipped or just computed.
    ink : Ink
        Colours.
    live : bool
        Whether it was computed just now.
    """
    figure = draw_lines(result, ink)
    curves = [line for line in result.lines if line.kind != "bits"]
    below = 20 * len(curves) + 60
    figure.update_layout(
        height=420 + below,
        margin={"t": 12, "b": below, "l": 76},
        legend={"yref": "container", "y": 0, "yanchor": "bottom", "xref": "paper", "x": 0, "orientation": "v"},
        xaxis={"zeroline": False, "title": {"standoff": 8}},
        yaxis={"zeroline": False},
    )
    if result.name == "figure1":
        sizes = list(result.sizes)
        figure.update_xaxes(tickvals=sizes, ticktext=[str(size) for size in sizes])
        figure.update_yaxes(dtick=1)
    published = any(line.published for line in result.lines)
    known = (
        "Grey: the published means over 10 networks, with their standard deviations."
        if published
        else "The published curves are not known to us as numbers, so none stand beside."
    )
    made = "computed just now" if live else "as shipped"
    return Panel(
        name=result.name,
        title=f"{result.title}, {made}",
        look=f"{_law(result)} {known} Ours: mean over {result.nets} networks, bars one standard deviation.",
        alt=result.alt,
        figure=figure,
        formulas=[Formula(LAWS[result.name], [("", "note", note) for note in result.notes], SOURCE)],
        table=lambda: {
            "N": np.array(result.sizes),
            **{line.label: np.array([line.mean(size) for size in result.sizes]) for line in result.lines},
        },
    )


def _law(result: Result) -> str:
    if result.name == "figure1":
        return "The worst error falls with N and with δ, one curve a step."
    if result.name == "figure2":
        return next((note for note in result.notes if note.startswith("Slope")), "Flat curves mean an error like δ/N.")
    if result.name in ("table1", "table2"):
        return "Accuracy against N, one curve a step."
    return "With 1 bit the paper's rule needs a large N; a step that fits the coefficients needs far less."


RULE_DASHES = ("solid", "dash", "dashdot", "dot")


SYMBOLS = ("square", "circle", "diamond", "triangle-up", "cross", "pentagon", "star", "hexagon")


def draw_lines(result: Result, ink: Ink) -> go.Figure:
    """Draw a table or figure: one curve a line, published numbers in grey."""
    curves = [line for line in result.lines if line.kind != "bits"]
    title = {"accuracy": "accuracy on the test images, %", "error": _error_title(result)}[curves[0].kind]
    drawn = theme.figure(ink, height=460, x="frame size N", y=title)
    ours = [line for line in curves if not line.published]
    by_step = any("δ = " in line.label for line in ours)
    ends = (0.35, 1.0) if ink.dark else (0.05, 0.8)  # what stands out on the page
    colours = sample_colorscale(theme.DENSITY, list(np.linspace(*ends, max(len(ours), 2))))
    for line in curves:
        sizes = [n for n in result.sizes if line.values.get(n)]
        if line.published:
            colour, dash, symbol = theme.ORIGINAL.colour(ink), "solid", theme.ORIGINAL.symbol
        else:
            place = ours.index(line)
            colour = colours[place] if by_step else theme.COMPRESSED.colour(ink)
            dash, symbol = RULE_DASHES[0 if by_step else place % len(RULE_DASHES)], SYMBOLS[place % len(SYMBOLS)]
        drawn.add_scatter(
            x=sizes,
            y=[line.mean(n) for n in sizes],
            error_y={
                "type": "data",
                "array": [_finite(line.spread.get(n)) for n in sizes],
                "visible": True,
                "width": 3,
            },
            mode="lines+markers",
            name=line.label,
            line={"color": colour, "dash": dash},
            marker={"color": colour, "symbol": symbol, "size": 8},
        )
    drawn.update_layout(legend={"orientation": "v", "y": -0.22, "yanchor": "top"})
    if result.name == "figure1":
        drawn.update_yaxes(type="log")
        drawn.update_xaxes(type="log")
    return drawn


def _error_title(result: Result) -> str:
    return "max‖f(x)−f_Q(x)‖" if result.name == "figure1" else "log(mean error) − log δ + log N"


def _finite(spread: float | None) -> float:
    return 0.0 if spread is None or not math.isfinite(spread) else spread
