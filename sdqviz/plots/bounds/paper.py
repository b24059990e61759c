"""Draws the figures and tables of the paper on frame quantization as panels."""

from __future__ import annotations

import numpy as np

from sdqviz.experiments.paper.plan import SOURCE
from sdqviz.experiments.paper.result import Result
from sdqviz.explore.formula import Formula
from sdqviz.plots import reproduce as drawn
from sdqviz.plots.panel import Panel
from sdqviz.plots.theme import Ink

LAWS = {
    "figure1": r"\max_x\|f(x)-f_Q(x)\|",
    "figure2": r"\log\Bigl(\operatorname{mean}_x\|f(x)-f_Q(x)\|\Bigr)-\log\delta+\log N",
    "table3": r"\text{accuracy at 1 bit}",
    "table4": r"\text{accuracy at 1 bit}",
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
    figure = drawn.figure(result, ink)
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
        alt=drawn.alt_text(result),
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
    return "With 1 bit the paper's rule needs a large N; a step that fits the coefficients needs far less."
