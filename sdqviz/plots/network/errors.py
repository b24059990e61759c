"""Draws what each layer of a compressed network loses, with plain rounding beside."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np

from sdqviz.array import Array
from sdqviz.explore.formula import Formula
from sdqviz.explore.network.words import bits_text
from sdqviz.explore.rounding_beside import Comparison
from sdqviz.explore.wording import number
from sdqviz.plots import theme
from sdqviz.plots.network.layers_axis import FULL_WIDTH, name_layers, positive_axis
from sdqviz.plots.network.looks import look_of
from sdqviz.plots.panel import Panel
from sdqviz.plots.theme import Ink, Look
from sdqviz.report import Report


@dataclasses.dataclass(frozen=True, eq=False)
class Series:
    """Errors of all layers by one way of storing them.

    Attributes
    ----------
    name : str
        For the legend.
    look : Look
        Its colour, marker and dash.
    pattern : str
        Hatch of its bars, where two share a colour.
    same_input, propagated : ndarray, shape (layers,)
        Relative errors; of weights alone, ``same_input`` is that of the weights and ``propagated`` is NaN.
    """

    name: str
    look: Look
    pattern: str
    same_input: Array
    propagated: Array


def errors_info(found: Comparison) -> list[Series]:
    """Return the errors per layer: the run, and plain rounding with both fits."""

    def series(report: Report, name: str, look: Look, pattern: str) -> Series:
        return Series(
            name,
            look,
            pattern,
            np.array([row.relative_error if report.inputs else row.weight_error for row in report.layers]),
            np.array([row.propagated_error for row in report.layers]),
        )

    beside = found.rounding
    return [
        series(found.report, found.report.method["name"], look_of(found.report), ""),
        *(
            series(one, f"rounding, {bits_text(beside)}, {fit}", theme.ROUNDING, "" if place == 0 else "/")
            for place, (fit, one) in enumerate(beside.reports.items())
        ),
    ]


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
    for place, series in enumerate(info):
        colour = series.look.colour(ink)
        figure.add_bar(
            x=names, y=series.same_input, name=series.name, offsetgroup=str(place), legendgroup=str(place),
            marker={"color": colour, "pattern": {"shape": series.pattern, "fillmode": "overlay", "fgcolor": ink.page}},
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
    mine, best = info[0], info[1 + [*found.rounding.reports].index(found.rounding.best_fit)]
    worst = int(np.nanargmax(mine.same_input)) if np.isfinite(mine.same_input).any() else 0
    told = _told(info[0], best, names, measured)
    adds = (
        "A bar is the error a layer adds to right inputs, a diamond what it passes on with the inputs it really gets."
    )
    return Panel(
        name="layers",
        title="What each layer loses",
        look=f"{adds if measured else 'A bar is the error of a layer’s weights.'} {names[worst]} "
        f"{'adds' if measured else 'loses'} most. Orange is plain rounding at {bits_text(found.rounding)}. "
        "Click a bar to look into its layer below.",
        alt=told,
        figure=figure,
        formulas=[_formula(found, measured)],
        table=lambda: {
            "layer": np.array(names),
            **{
                f"{series.name}, {kind}": values
                for series in info
                for kind, values in ((about, series.same_input), ("propagated", series.propagated))[: 1 + measured]
            },
        },
    )


def _told(mine: Series, best: Series, names: Sequence[str], measured: bool) -> str:
    if measured:
        rows = "; ".join(
            f"{name} {number(a)} and {number(b)}, rounding {number(c)}"
            for name, a, b, c in zip(names, mine.same_input, mine.propagated, best.same_input, strict=True)
        )
        return f"Relative error per layer, same input and propagated. {rows}."
    rows = "; ".join(
        f"{name} {number(a)}, rounding {number(c)}"
        for name, a, c in zip(names, mine.same_input, best.same_input, strict=True)
    )
    return f"Relative error of the weights per layer. {rows}."


def _formula(found: Comparison, measured: bool) -> Formula:
    spent = (
        r"b",
        "bits per original weight of this choice, and of the rounding beside",
        f"{number(found.report.bits_per_weight)} and {number(found.rounding.best.bits_per_weight)}",
    )
    source = (
        "Rounding: the largest bit depth that costs no more, at least 1, with the finest scales that fit then (per 32 "
        "inputs to per layer) and the best alphabet; scales fitted to the largest weight (max) or square error (mse)."
    )
    if not measured:
        return Formula(r"\|W-Q\|_F/\|W\|_F", [spent], source)
    inputs = ("z", "inputs of the layer in the original network, calibration inputs", f"{found.report.inputs:,}")
    return Formula(
        r"\frac{\|(W-Q)z\|_F}{\|Wz\|_F}\quad\text{(same input)},\qquad"
        r"\frac{\|Wz-Q\tilde z\|_F}{\|Wz\|_F}\quad\text{(propagated)}",
        [inputs, (r"\tilde z", "its inputs in the compressed network", ""), spent],
        source,
    )
