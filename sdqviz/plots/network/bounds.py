"""Draws what is proved about a compressed network against what was measured, by layer and at the output."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from sdqviz.bounds.ladder import Ladder
from sdqviz.bounds.statement import Bound
from sdqviz.compression.guarantee import PATH_ERROR
from sdqviz.explore.formula import Formula, of_bound
from sdqviz.explore.network.bounds import layers_told, output_marks, output_told, unmet
from sdqviz.explore.network.table import error_name
from sdqviz.explore.wording import folded, number
from sdqviz.plots import theme
from sdqviz.plots.network.layers_axis import categories, name_layers, positive_axis
from sdqviz.plots.panel import Panel
from sdqviz.plots.theme import Ink
from sdqviz.report import Report


def draw_layer_bounds(report: Report, ink: Ink, bounds: Sequence[Bound] = ()) -> Panel:
    """Draw, on a logarithmic axis, bound against measured for every layer.

    Parameters
    ----------
    report : Report
        The figures.
    ink : Ink
        Colours.
    bounds : sequence of Bound
        All bounds of the chosen layer, for the formulas.
    """
    rows = report.layers
    names = [row.name for row in rows]
    symbol = r"\max\|Xw-\tilde Xq\|_2" if error_name(report) == PATH_ERROR else r"\|W-Q\|_2"
    figure = theme.figure(ink, y=error_name(report).replace("−", " − "), height=340)
    for holds in (True, False):
        chosen = [row for row in rows if row.bound_holds is holds and math.isfinite(row.bound)]
        if chosen:
            figure.add_scatter(
                x=[row.name for row in chosen], y=[row.bound for row in chosen], mode="markers",
                name="tightest bound" if holds else "bound, not applicable",
                marker=_dashes(ink) if holds else {"symbol": "circle-open-dot", "size": 9, "color": ink.text},
                customdata=[row.bound_name for row in chosen],
                hovertemplate="%{x}: %{y:.3g}<br>%{customdata}<extra></extra>",
            )  # fmt: skip
    figure.add_scatter(
        x=names, y=[row.error for row in rows], mode="markers", name="measured", marker=theme.ERROR.marker(ink, 10),
        hovertemplate="%{x}: %{y:.3g} measured<extra></extra>",
    )  # fmt: skip
    figure.update_yaxes(**positive_axis(np.array([[row.error, row.bound] for row in rows])))
    name_layers(figure, names)
    told = layers_told(report)
    return Panel(
        name="layer-bounds",
        title="Proved and measured, layer by layer",
        look=f"A cross must lie below its dash. {told}",
        alt=f"Measured {error_name(report)} and the bound on it, layer by layer: "
        + ", ".join(f"{row.name} {number(row.error)} and {number(row.bound)}" for row in rows)
        + f". {told}",
        figure=figure,
        formulas=[of_bound(one) for one in bounds if one.formula] or [Formula(symbol, [], " ".join(unmet(report)))],
        table=lambda: {
            "layer": np.array(names),
            "measured": np.array([row.error for row in rows]),
            "bound": np.array([row.bound for row in rows]),
            "holds": np.array([row.bound_holds for row in rows]),
            "which": np.array([row.bound_name for row in rows]),
            "because": np.array([row.bound_because for row in rows]),
        },
    )


def draw_output_bounds(report: Report, ink: Ink, whole: Sequence[Bound] = (), ladder: Ladder | None = None) -> Panel:
    """Draw the bounds on the output against the measured error: through the layers, and rung by rung what was measured.

    Parameters
    ----------
    report : Report
        The figures.
    ink : Ink
        Colours.
    whole : sequence of Bound
        The bounds through all layers, the tightest of which the report has.
    ladder : Ladder, optional
        The a-posteriori bounds.
    """
    marks, measured = output_marks(report, whole, ladder), report.output_error
    rungs = () if ladder is None else [rung.bound for rung in ladder.rungs]
    figure = theme.figure(ink, y="max ‖f(x) − f_Q(x)‖" if marks else "", height=340 if marks else 120)
    if marks:
        figure.add_scatter(
            x=[*marks], y=[*marks.values()], mode="markers", name="bound", marker=_dashes(ink),
            hovertemplate="%{x}: %{y:.3g}<extra></extra>",
        )  # fmt: skip
        figure.add_scatter(
            x=[*marks], y=[measured] * len(marks), mode="lines+markers", name="measured",
            marker=theme.ERROR.marker(ink, 10), line=theme.ERROR.line(ink, 1),
            hovertemplate="%{y:.3g} measured<extra></extra>",
        )  # fmt: skip
        figure.update_yaxes(**positive_axis(np.array([measured, *marks.values()])))
        figure.update_xaxes(**categories([*marks]))
    else:
        theme.instead(figure, folded(report.output_bound_because, 45), ink)
    look = output_told(report, marks, ladder)
    return Panel(
        name="output-bounds",
        title="Proved and measured, at the output",
        look=look,
        alt=f"Largest output error over {report.inputs} inputs: measured {number(measured)}. "
        + (f"Bounds: {', '.join(f'{k} {number(v)}' for k, v in marks.items())}." if marks else look),
        figure=figure,
        formulas=[of_bound(one) for one in (*whole, *rungs) if one.formula]
        or [Formula(r"\max_x\|f(x)-f_Q(x)\|", [], report.output_bound_because)],
        table=lambda: {
            "bound": np.array([*marks, "measured"]),
            "value": np.array([*marks.values(), measured]),
        },
        instead="" if marks else look,
    )


def _dashes(ink: Ink) -> dict[str, Any]:
    return {"symbol": "line-ew-open", "size": 26, "color": ink.text, "line": {"width": 2.5, "color": ink.text}}
