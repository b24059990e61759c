"""Draws the difference of two runs layer by layer: errors, bits, the settings that differ."""

from __future__ import annotations

from typing import Any

import numpy as np

from sdqviz.experiments.compare.difference import Difference, bits_formula, error_formula, table, told, widest
from sdqviz.explore.wording import size
from sdqviz.plots import theme
from sdqviz.plots.compare import look_of
from sdqviz.plots.panel import Panel
from sdqviz.plots.theme import Ink


def draw_errors(info: Difference, ink: Ink) -> Panel:
    """Draw the errors of every layer, A beside B, same input and propagated."""
    figure = theme.figure(ink, y="relative error", height=340)
    fields = ("relative_error", "propagated_error")
    found = theme.reach(np.concatenate([info.column(name, which) for name in fields for which in (0, 1)]))
    for field, name, style in (
        ("relative_error", "same input", {}),
        ("propagated_error", "propagated", {"opacity": 0.9}),
    ):
        for which, letter in enumerate("AB"):
            values = info.column(field, which)
            if field == "relative_error":
                figure.add_bar(
                    x=list(info.layers), y=values, name=f"{letter}: {info.called(which)}, {name}",
                    marker=_bar(info, which, ink), offsetgroup=letter, hovertemplate="%{x}: %{y:.3g}<extra></extra>",
                )  # fmt: skip
            else:
                figure.add_scatter(
                    x=list(info.layers), y=values, name=f"{letter}, {name}", mode="markers",
                    marker={"symbol": ("triangle-left-open", "triangle-right-open")[which], "size": 11,
                            "color": ink.text, "line": {"width": 1.6}},
                    hovertemplate="%{x}: %{y:.3g}<extra></extra>", **style,
                )  # fmt: skip
    axis = theme.log_axis(found[0] / 1.6, found[1] * 1.6) if found else {}
    figure.update_layout(yaxis=axis, barmode="group", bargap=0.35, margin={"t": 88, "b": 46})
    return Panel(
        name="difference-errors",
        title="Error of each layer, A beside B",
        look=widest(info),
        alt=told(info, "relative_error", "same-input error"),
        figure=figure,
        formulas=[error_formula(info)],
        table=lambda: table(info),
    )


def draw_bits(info: Difference, ink: Ink) -> Panel:
    """Draw the bits per weight of every layer, A beside B."""
    figure = theme.figure(ink, y="bits per weight of the layer", height=340)
    for which, letter in enumerate("AB"):
        figure.add_bar(
            x=list(info.layers), y=info.column("bits_per_weight", which), name=f"{letter}: {info.called(which)}",
            marker=_bar(info, which, ink), offsetgroup=letter, hovertemplate="%{x}: %{y:.3g} bits<extra></extra>",
        )  # fmt: skip
    figure.update_layout(barmode="group", bargap=0.35, margin={"t": 88, "b": 46}, yaxis={"rangemode": "tozero"})
    a, b = info.figure("bytes")
    return Panel(
        name="difference-bits",
        title="What each layer costs, A beside B",
        look=f"Everything stored for a layer per original number of it; whole network: {size(a)} in A, "
        f"{size(b)} in B.",
        alt=told(info, "bits_per_weight", "bits per weight"),
        figure=figure,
        formulas=[bits_formula(info)],
        table=lambda: table(info),
    )  # fmt: skip


def _bar(info: Difference, which: int, ink: Ink) -> dict[str, Any]:
    """Return the look of a bar: the method's colour; B is hatched, since both may be the same method."""
    colour = look_of(info.method(which)).colour(ink)
    outline = {"line": {"color": ink.text, "width": 0.5}}
    if which == 0:
        return {"color": colour, **outline}
    return {
        "color": colour,
        "pattern": {"shape": "/", "fgcolor": ink.text, "size": 7, "solidity": 0.18, "fillmode": "overlay"},
        **outline,
    }
