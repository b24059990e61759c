"""Draws the errors of many runs against the bounds."""

from __future__ import annotations

import math

import numpy as np

from sdqviz.explore.layer_walks import formulas, words
from sdqviz.explore.layer_walks.walk import WalkRun
from sdqviz.explore.wording import number
from sdqviz.plots import theme
from sdqviz.plots.panel import Panel
from sdqviz.plots.theme import Ink

MARKED = 60
"""The most runs of which each has its mark."""

WIDTHS = (1.0, 1.6, 2.4)
"""Widths of the lines of the bounds, the papers' form first, the sharpest last."""


def draw_cloud(run: WalkRun, ink: Ink) -> Panel:
    """Draw the errors of all seeds in order of size under the bounds, with the probability they are stated with.

    One line over the shares of the runs: a mark for each would take the browser three times as long.
    """
    measured = np.sort(run.measured)
    share = (np.arange(len(measured)) + 0.5) / len(measured)
    kept = theme.decimate(measured, theme.DRAWN)
    infinity = run.choice.norm == "infinity"
    name = "‖Xw − X̃q‖∞" if infinity else "‖Xw − X̃q‖₂"
    figure = theme.figure(ink, x="runs, by the size of their error", y=f"{name} of the worst neuron", height=460)
    hover = {"hovertemplate": "%{x:.1%} of the runs: at most %{y:.4g}<extra></extra>"}
    figure.add_scatter(
        x=share[kept].astype(np.float32), y=measured[kept].astype(np.float32), name="measured",
        mode="lines+markers" if len(kept) <= MARKED else "lines", line=theme.ERROR.line(ink, 2.5),
        marker={"color": theme.ERROR.colour(ink), "size": 4}, **hover,
    )  # fmt: skip
    above = kept[measured[kept] > run.sharpest.value]
    if len(above):
        figure.add_scatter(
            x=share[above].astype(np.float32), y=measured[above].astype(np.float32), mode="markers",
            name="above the sharpest bound", marker={"color": theme.ERROR.colour(ink), "symbol": "triangle-up"},
            **hover,
        )  # fmt: skip
    if run.sharpest.holds:
        figure.add_vline(run.sharpest.probability, line={"color": ink.quiet, "width": 1, "dash": "dot"})
    titles = {"paper": "paper", "hoeffding": "Hoeffding", "per-sample": "per sample", "trace": "trace"}
    for k, one in enumerate(run.bounds):
        label = next(short for part, short in titles.items() if one.name.endswith(part))
        figure.add_scatter(
            x=[0, 1], y=[one.value] * 2, mode="lines", name=f"{label}{'' if one.holds else ' (n/a)'}",
            line=(theme.BOUND if one.holds else theme.UNMET).line(ink, WIDTHS[min(k, 2)]),
            hovertemplate=f"{one.title}: %{{y:.4g}}<extra></extra>", opacity=1.0 if one.holds else 0.5,
        )  # fmt: skip
    values = [one.value for one in run.bounds if math.isfinite(one.value)]
    smallest = max(float(measured.min()), 1e-300)
    figure.update_yaxes(theme.log_axis(smallest / 1.4, max(*values, float(measured.max())) * 1.4))
    figure.update_xaxes(zeroline=False, tickformat=".0%", range=[-0.02, 1.02])
    figure.update_layout(margin={"t": 66, "l": 76}, legend_entrywidth=100)  # two names a line
    theme.mark_decimation(figure, len(measured), len(kept), ink)
    return Panel(
        name="cloud",
        title=f"{len(measured)} runs against the bounds",
        look=words.cloud_told(run),
        alt=f"Error of the worst neuron in {len(measured)} runs: median {number(float(np.median(measured)))}, largest "
        f"{number(float(measured.max()))}. Bounds: "
        + ", ".join(f"{one.title} {number(one.value)}" for one in run.bounds)
        + f". Runs above the sharpest: {run.verdict.failures}.",
        figure=figure,
        formulas=formulas.bounds(run),
        table=lambda: {
            "seed": np.arange(len(measured)),
            "error": run.measured,
            **{one.name: np.full(len(measured), one.value) for one in run.bounds},
            "zeros": run.cloud.zeros,
            "overload": run.cloud.overload.sum(axis=1),
        },
    )
