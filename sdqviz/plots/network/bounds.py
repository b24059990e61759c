"""Draws what is proved about a compressed network against what was measured, by layer and at the output."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from sdqviz.array import Array
from sdqviz.bounds.ladder import Ladder
from sdqviz.bounds.statement import Bound
from sdqviz.compression.guarantee import PATH_ERROR
from sdqviz.explore.formula import Formula
from sdqviz.explore.network.table import error_name
from sdqviz.explore.wording import number, percent
from sdqviz.plots import theme
from sdqviz.plots.network.layers_axis import categories, name_layers, positive_axis
from sdqviz.plots.panel import Panel
from sdqviz.plots.theme import Ink
from sdqviz.report import Report

WALKS = {"path-joint-original": "all walks", "path-joint-seen": "all walks,<br>norms seen"}
"""Short names of what is stated after path following, with a probability."""


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
    ratios = [row.error / row.bound for row in rows if row.bound_holds and row.bound > 0]
    unmet = [f"{row.name}: {row.bound_because}" for row in rows if not row.bound_holds]
    if ratios:
        told = f"The layer that comes closest reaches {percent(max(ratios))} of its bound."
    else:
        told = "No bound applies in any layer."
    if unmet and ratios:
        told += f" In {len(unmet)} of {len(rows)} layers no bound applies."
    return Panel(
        name="layer-bounds",
        title="Proved and measured, layer by layer",
        look=f"A cross must lie below its dash. {told}",
        alt=f"Measured {error_name(report)} and the bound on it, layer by layer: "
        + ", ".join(f"{row.name} {number(row.error)} and {number(row.bound)}" for row in rows)
        + f". {told}",
        figure=figure,
        formulas=_explained(bounds) or [Formula(symbol, [], " ".join(unmet))],
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
    marks, measured = _output_marks(report, whole, ladder), report.output_error
    figure = theme.figure(ink, y="max ‖f(x) − f_Q(x)‖" if marks else "", height=340)
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
        figure.add_annotation(
            text="<br>".join(_wrapped(report.output_bound_because, 44)), xref="paper", yref="paper", x=0.5, y=0.5,
            showarrow=False, font={"size": 14, "color": ink.text},
        )  # fmt: skip
        figure.update_xaxes(visible=False)
        figure.update_yaxes(visible=False)
    if not marks:
        look = f"Measured: {number(measured)}. {report.output_bound_because}"
    elif not {*WALKS.values()}.isdisjoint(marks):
        look = (
            "What the walks of all layers promise at once speaks of these inputs, with a probability over the random "
            f"numbers, and together with nothing being clipped{'' if ladder is None else '; P0 and P1 of any inputs'}."
        )
    elif ladder is None:
        look = "Through the layers the gaps multiply. The ladder at the left measures more and promises less too much."
    else:
        look = "Each rung uses more of what was measured; P0 and P1 hold for unseen inputs too, the others for these."
    table: dict[str, Array] = {
        "bound": np.array([*marks, "measured"]),
        "value": np.array([*marks.values(), measured]),
    }
    return Panel(
        name="output-bounds",
        title="Proved and measured, at the output",
        look=look,
        alt=f"Largest output error over {report.inputs} inputs: measured {number(measured)}. "
        + (f"Bounds: {', '.join(f'{k} {number(v)}' for k, v in marks.items())}." if marks else look),
        figure=figure,
        formulas=_explained(
            [
                *whole,
                *([] if ladder is None else [rung.bound for rung in ladder.rungs]),
            ]
        )
        or [Formula(r"\max_x\|f(x)-f_Q(x)\|", [], report.output_bound_because)],
        table=lambda: table,
    )


def _explained(bounds: Sequence[Bound]) -> list[Formula]:
    return [
        Formula(one.formula, [], f"{one.title}. {one.reference + '. ' if one.reference else ''}{one.because}",
                one.substituted, one.text)
        for one in bounds
        if one.formula
    ]  # fmt: skip


def _output_marks(report: Report, whole: Sequence[Bound], ladder: Ladder | None) -> dict[str, float]:
    """Return the bounds on the output by short name, from the loosest to the tightest."""
    walked = {one.name: one.value for one in whole if one.name in WALKS and one.holds}
    marks = {WALKS[name]: value for name, value in walked.items()}
    if report.output_bound_holds and not marks:
        name = WALKS["path-joint-seen"] if error_name(report) == PATH_ERROR else "a priori"
        marks[name] = report.output_bound
    for rung in () if ladder is None else ladder.rungs:
        if rung.bound.holds:
            marks[rung.bound.name.upper()] = rung.maximum
    return marks


def _dashes(ink: Ink) -> dict[str, Any]:
    return {"symbol": "line-ew-open", "size": 26, "color": ink.text, "line": {"width": 2.5, "color": ink.text}}


def _wrapped(text: str, width: int) -> list[str]:
    lines = [""]
    for word in text.split():
        if len(lines[-1]) + len(word) > width:
            lines.append("")
        lines[-1] = f"{lines[-1]} {word}".strip()
    return lines
