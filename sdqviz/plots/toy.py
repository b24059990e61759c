"""Draws what three copies of one network make of a digit: the probability of each, on the same axes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from sdqviz.array import Array
from sdqviz.explore.toy import DIGITS, TITLES, formula
from sdqviz.explore.wording import percent
from sdqviz.plots import theme
from sdqviz.plots.panel import Panel
from sdqviz.plots.theme import Ink


def draw_answers(answers: Mapping[str, Array], original: Array, bits: int, said: str, ink: Ink) -> Panel:
    """Draw the probabilities of the ten digits side by side, those of the network as trained as an outline.

    Parameters
    ----------
    answers : mapping of str to ndarray, shape (10,)
        By method.
    original : ndarray, shape (10,)
        Of the network as it was trained.
    bits : int
        Bits per weight of the copies.
    said : str
        Who reads the picture as what.
    ink : Ink
        The page's colours.
    """
    digits = np.arange(DIGITS)
    figure = theme.figure(ink, height=248, **_axes(answers, digits))  # in one go: each later update costs milliseconds
    bars: list[dict[str, Any]] = []
    outline = {"color": theme.CLEAR, "line": {"color": theme.ORIGINAL.colour(ink), "width": 1.5}}
    for k, (name, answer) in enumerate(answers.items(), 1):
        at = {"type": "bar", "x": digits, "xaxis": f"x{k}", "yaxis": "y", "showlegend": False}
        colour = {"color": theme.METHODS[name].colour(ink)}
        bars.append(at | {"y": answer, "marker": colour, "hovertemplate": "%{x}: %{y:.1%}<extra></extra>"})
        bars.append(at | {"y": original, "marker": outline, "hoverinfo": "skip"})
    figure.add_traces(bars)
    told = ", ".join(
        f"{TITLES[name].lower()} {int(answer.argmax())} with {percent(float(answer.max()))}"
        for name, answer in answers.items()
    )
    return Panel(
        name="answers",
        title="How sure each copy is",
        look="A bar for each digit; the grey outline is the network as it was trained.",
        alt=f"Probabilities of ten digits by three copies at {bits} bits a weight: {told}. {said}",
        figure=figure,
        formulas=[formula(bits)],
        table=lambda: {"digit": digits, "as trained": original, **{TITLES[n]: a for n, a in answers.items()}},
    )


def _axes(answers: Mapping[str, Array], digits: Array) -> dict[str, Any]:
    """Return the layout of as many panes beside each other, each under its name, with one scale of shares."""
    count, gap = len(answers), 0.03
    width = (1 - (count - 1) * gap) / count
    axes: dict[str, Any] = {}
    for k in range(count):
        begin = k * (width + gap)
        title = {"text": "digit"} if k == count // 2 else {"text": ""}
        axes[f"xaxis{k + 1}" if k else "xaxis"] = {
            "domain": [begin, begin + width], "anchor": "y", "range": [-0.6, 9.6], "tickvals": digits,
            "tickangle": 0, "fixedrange": True, "title": title,
        }  # fmt: skip
    heads = [
        {"text": "<br>".join(TITLES[name].rsplit(" ", 1)), "x": k * (width + gap) + width / 2, "y": 1.0,
         "xref": "paper", "yref": "paper", "yanchor": "bottom", "showarrow": False, "font": {"size": 14}}
        for k, name in enumerate(answers)
    ]  # fmt: skip
    return axes | {
        "yaxis": {"range": [0, 1.02], "tickformat": ".0%", "fixedrange": True, "anchor": "x"},
        "annotations": heads, "margin": {"t": 52, "b": 42, "l": 46, "r": 8}, "bargap": 0.25, "barmode": "overlay",
    }  # fmt: skip
