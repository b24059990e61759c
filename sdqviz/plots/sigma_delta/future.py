"""Draws how a filter spreads an error over the steps to come, and what it still owes them after each step."""

from __future__ import annotations

from typing import Any

import numpy as np
import plotly.graph_objects as go

from sdqviz.bounds.statement import number_tex
from sdqviz.explore.formula import Formula
from sdqviz.explore.shaped_walk import owed
from sdqviz.explore.vector import VectorRun
from sdqviz.explore.wording import number
from sdqviz.plots import theme
from sdqviz.plots.panel import Panel
from sdqviz.plots.theme import Ink

OWED_HEIGHT, FLOOR = 150, 0.33
"""Pixels that what is owed takes below the steps, and where those then end, as a share of the drawing area."""


def draw_filter(run: VectorRun, ink: Ink) -> Panel:
    """Draw the taps of the filter, and what of one error is still owed after each of the steps that follow."""
    lags, weights = run.taps.arrays()
    ahead = np.arange(lags[-1] + 1)
    dense = np.zeros(len(ahead))
    dense[lags] = weights
    left = 1 - np.cumsum(dense)
    figure = theme.figure(ink, x="steps after the error", y="share of the error", height=340)
    figure.add_bar(
        x=lags, y=weights, width=0.5 if len(ahead) < 20 else 1.0, name="given back at that step, hⱼ",
        marker={"color": theme.COMPRESSED.colour(ink)},
    )  # fmt: skip
    figure.add_scatter(
        x=ahead, y=left, name="still owed", mode="lines+markers", marker=theme.ERROR.marker(ink, 5),
        line={**theme.ERROR.line(ink), "shape": "hv"},
    )  # fmt: skip
    told = ", ".join(f"{number(weight)} after {lag}" for lag, weight in zip(lags, weights, strict=True))
    norm = number(float(run.taps.norm))
    return Panel(
        name="filter",
        title=f"The filter of order {run.taps.order}",
        look=f"An error of 1 comes back as {told} steps: in sum exactly 1, so nothing is owed in the end. The feedback "
        f"can reach ‖h‖₁/2 = {number(float(run.taps.norm) / 2)} steps δ, and so many half-levels are not free for x.",
        alt=f"The filter {run.scheme.filter} of order {run.taps.order} gives an error back in {len(lags)} parts: "
        f"{told} steps. The sum of their magnitudes is {norm}.",
        figure=figure,
        formulas=[
            Formula(
                r"v_n=x_n+\sum_jh_ju_{n-n_j},\qquad \delta_0-h=\Delta^rg",
                [
                    ("n_j", "lags", ", ".join(str(lag) for lag in run.taps.lags)),
                    ("h_j", "taps", ", ".join(str(weight) for weight in run.taps.weights)),
                    (r"\|h\|_1", "what the feedback can add, in states", norm),
                    (r"\|g\|_1", "the price of long gaps; 1 for the plain difference",
                     number(float(sum(abs(value) for value in run.taps.quotient)))),
                ],
                "The taps are computed as fractions.",
                text="noise-shaping",
            ),
            Formula(
                r"|x_n|\le\Bigl(K-\frac{\|h\|_1}2\Bigr)\delta\ \Rightarrow\ |u_n|\le\delta/2", [],
                f"Stability: {run.trace.reason}.",
                rf"K-\frac{{\|h\|_1}}2={number_tex(run.taps.reach(run.bits))}", "noise-shaping",
            ),
        ],
        table=lambda: {"steps after": ahead, "given back": dense, "still owed": left},
    )  # fmt: skip


def add_owed(figure: go.Figure, run: VectorRun, ink: Ink, step: int) -> range:
    """Make room below the steps for what is owed to those to come, as after one step; return its two traces."""
    for axis in ("yaxis", "yaxis2", "yaxis3"):
        figure.update_layout({axis: {"domain": [FLOOR + (1 - FLOOR) * end for end in figure.given(axis, "domain")]}})
    farthest = run.taps.lags[-1]
    reach = 1.1 * max(float(np.abs(run.fed).max()), run.step / 2) / run.step
    figure.update_layout(
        height=int(figure.given("height")) + OWED_HEIGHT,
        barmode="relative",
        xaxis4={
            "anchor": "y4",
            "title": {"text": "steps ahead (grey: for earlier errors, orange: for this one)"},
            "range": [0.4, farthest + 0.6],
        },
        yaxis4={"anchor": "x4", "domain": [0, 0.18], "title": {"text": "owed, δ"}, "range": [-reach, reach]},
    )
    first = figure.count
    kinds = ("owed for earlier errors", theme.ORIGINAL), ("owed for this one", theme.ERROR)
    for (name, look), part in zip(kinds, owed_bars(run, step), strict=True):
        colour = look.colour(ink)
        figure.add_trace(part | {"name": name, "xaxis": "x4", "yaxis": "y4", "marker": {"color": colour},
                                 "showlegend": False})  # fmt: skip
    return range(first, first + 2)


def owed_bars(run: VectorRun, step: int) -> list[dict[str, Any]]:
    """Return the bars of what is owed after a step, by earlier errors and by its own."""
    ahead = list(range(1, run.taps.lags[-1] + 1))
    parts = owed(run.trace, run.taps, step)
    return [{"type": "bar", "x": ahead, "y": [float(f"{value:.4g}") for value in part / run.step]} for part in parts]
