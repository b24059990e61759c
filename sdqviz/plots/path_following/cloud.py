"""Draws the errors of many runs against the bounds."""

from __future__ import annotations

import dataclasses
import math

import numpy as np

from sdqviz.explore.layer_walks import formulas, words
from sdqviz.explore.layer_walks.walk import WalkRun
from sdqviz.explore.wording import number
from sdqviz.plots import theme
from sdqviz.plots.panel import Panel
from sdqviz.plots.theme import Ink

WIDTHS = (1.0, 1.6, 2.4)
"""Widths of the lines of the bounds, the papers' form first, the sharpest last."""


def draw_cloud(run: WalkRun, ink: Ink) -> Panel:
    """Draw the error of every seed under the bounds, with the probability they are stated with."""
    measured = run.measured
    kept = theme.decimate(measured, theme.DRAWN)
    infinity = run.choice.norm == "infinity"
    name = "‖Xw − X̃q‖∞" if infinity else "‖Xw − X̃q‖₂"
    figure = theme.figure(ink, x="run of the cloud", y=f"{name} of the worst neuron", height=460)
    above = measured > run.sharpest.value
    for where, look, label in (
        (~above, theme.ERROR, "measured"),
        (above, dataclasses.replace(theme.ERROR, symbol="triangle-up"), "above the sharpest bound"),
    ):
        chosen_runs = kept[where[kept]]
        if len(chosen_runs):
            figure.add_scatter(
                x=chosen_runs + 1, y=measured[chosen_runs].astype(np.float32), mode="markers", name=label,
                marker={"color": look.colour(ink), "size": 4, "opacity": 0.7, "symbol": look.symbol},
                hovertemplate="seed %{x}: %{y:.4g}<extra></extra>",
            )  # fmt: skip
    titles = {"paper": "paper", "hoeffding": "Hoeffding", "per-sample": "per sample", "trace": "trace"}
    for k, one in enumerate(run.bounds):
        label = next(short for part, short in titles.items() if one.name.endswith(part))
        figure.add_scatter(
            x=[1, len(measured)], y=[one.value] * 2, mode="lines", name=f"{label}{'' if one.holds else ' (n/a)'}",
            line=(theme.BOUND if one.holds else theme.UNMET).line(ink, WIDTHS[min(k, 2)]),
            hovertemplate=f"{one.title}: %{{y:.4g}}<extra></extra>", opacity=1.0 if one.holds else 0.5,
        )  # fmt: skip
    values = [one.value for one in run.bounds if math.isfinite(one.value)]
    smallest = max(float(measured.min()), 1e-300)
    figure.update_yaxes(theme.log_axis(smallest / 1.4, max(*values, float(measured.max())) * 1.4))
    figure.update_xaxes(zeroline=False)
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
            "error": measured,
            **{one.name: np.full(len(measured), one.value) for one in run.bounds},
            "zeros": run.cloud.zeros,
            "overload": run.cloud.overload.sum(axis=1),
        },
    )
