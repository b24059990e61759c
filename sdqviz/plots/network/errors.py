"""Draws what each layer of a compressed network loses, with plain rounding beside."""

from __future__ import annotations

import numpy as np

from sdqviz.explore.network import formulas
from sdqviz.explore.network.errors import errors_info, told
from sdqviz.explore.network.words import rounding_text
from sdqviz.explore.rounding_beside import Comparison
from sdqviz.plots import theme
from sdqviz.plots.network.layers_axis import FULL_WIDTH, name_layers, positive_axis
from sdqviz.plots.network.looks import look_of
from sdqviz.plots.panel import Panel
from sdqviz.plots.theme import Ink


def draw_errors(found: Comparison, ink: Ink, selected: str = "") -> Panel:
    """Draw the errors of every layer, same-input as bars and propagated as rings, plain rounding beside."""
    names = [row.name for row in found.report.layers]
    info, measured = errors_info(found), found.report.inputs > 0
    about = "same input" if measured else "of the weights"
    figure = theme.figure(
        ink,
        y="relative error" if measured else "relative error of the weights",
        height=400,
        barmode="group",
        scattermode="group",
        bargap=0.25,
    )
    looks = (look_of(found.report), theme.ROUNDING, theme.ROUNDING)
    for place, (series, look, pattern) in enumerate(zip(info, looks, ("", "", "/"), strict=True)):
        colour = look.colour(ink)
        figure.add_bar(
            x=names, y=series.same_input, name=series.name, offsetgroup=str(place), legendgroup=str(place),
            marker={"color": colour, "pattern": {"shape": pattern, "fillmode": "overlay", "fgcolor": ink.page}},
            selected={"marker": {"opacity": 1}}, unselected={"marker": {"opacity": 1}},
            hovertemplate=f"%{{x}}: %{{y:.3g}}, {about}<extra></extra>",
        )  # fmt: skip
        if not measured:
            continue
        figure.add_scatter(
            x=names, y=series.propagated, offsetgroup=str(place), legendgroup=str(place), mode="markers",
            marker={"symbol": "diamond", "size": 10, "color": ink.page, "line": {"width": 2, "color": colour}},
            selected={"marker": {"opacity": 1}}, unselected={"marker": {"opacity": 1}},
            name="propagated", showlegend=False, hovertemplate="%{x}: %{y:.3g}, propagated<extra></extra>",
        )  # fmt: skip
    if measured:
        figure.add_scatter(
            x=[None], y=[None], mode="markers", name="propagated",
            marker={"symbol": "diamond", "size": 10, "color": ink.page, "line": {"width": 2, "color": ink.text}},
        )  # fmt: skip
    values = np.concatenate([np.concatenate([s.same_input, s.propagated]) for s in info])
    figure.update_layout(margin={"t": 58})  # on a narrow screen the legend takes two lines
    figure.update_yaxes(**positive_axis(values))
    name_layers(figure, names, FULL_WIDTH)
    if selected in names:
        at = names.index(selected)
        figure.add_vrect(at - 0.5, at + 0.5, fillcolor=ink.faint, opacity=0.6, line_width=0, layer="below")
    mine = info[0]
    worst = int(np.nanargmax(mine.same_input)) if np.isfinite(mine.same_input).any() else 0
    adds = (
        "A bar is the error a layer adds to right inputs, a diamond what it passes on with the inputs it really gets."
    )
    return Panel(
        name="layers",
        title="What each layer loses",
        look=f"{adds if measured else 'A bar is the error of a layer’s weights.'} {names[worst]} "
        f"{'adds' if measured else 'loses'} most. Orange is plain rounding at {rounding_text(found.rounding)}. "
        "Click a bar to look into its layer below.",
        alt=told(found),
        figure=figure,
        formulas=[formulas.errors(found)],
        table=lambda: {
            "layer": np.array(names),
            **{
                f"{series.name}, {kind}": values
                for series in info
                for kind, values in ((about, series.same_input), ("propagated", series.propagated))[: 1 + measured]
            },
        },
    )
