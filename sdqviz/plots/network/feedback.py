"""Draws the filter U of a calibrated walk beside the difference of first-order ΣΔ."""

from __future__ import annotations

import numpy as np

from sdqviz.explore.network import formulas
from sdqviz.explore.network.feedback import Feedback
from sdqviz.explore.wording import number
from sdqviz.plots import theme
from sdqviz.plots.panel import Panel
from sdqviz.plots.theme import Ink


def draw_feedback(found: Feedback, name: str, ink: Ink) -> Panel:
    """Draw |U_kn| below the diagonal, and the same of D¹: one entry a step."""
    figure = theme.panes(ink, height=430, columns=2, horizontal_spacing=0.06, shared_xaxes=False)
    axis = np.arange(len(found.cells)) * found.block + 1
    difference = np.eye(len(axis), k=-1) if found.block == 1 else np.eye(len(axis)) + np.eye(len(axis), k=-1)
    for column, (cells, title) in enumerate(((found.cells, "U of this layer"), (difference, "D¹")), start=1):
        figure.add_heatmap(
            z=cells.astype(np.float32), x=axis, y=axis, zmin=0, zmax=1, colorscale=theme.DENSITY, row=1, col=column,
            showscale=column == 2, colorbar={"title": {"text": "|U|"}, "thickness": 10, "outlinewidth": 0},
            hovertemplate="step %{y} takes %{z:.3f} of the error at %{x}<extra></extra>",
        )  # fmt: skip
        figure.update_xaxes(title_text=f"error at step k, {title}", showgrid=False, row=1, col=column)
    figure.update_yaxes(autorange="reversed", showgrid=False)
    figure.update_yaxes(title_text="step n", row=1, col=1)
    figure.update_layout(margin={"t": 14, "r": 70})
    shown = f" Each cell shows the largest of {found.block} by {found.block}." if found.block > 1 else ""
    return Panel(
        name="feedback",
        title=f"{name}: the filter, beside the difference",
        look=f"A step of ΣΔ corrects the error just made; a calibrated step corrects all errors so far, with "
        f"weights up to {number(found.largest)} and of length {number(found.norm)} a step on average.{shown}",
        alt=f"Filter of {found.size} steps: largest weight {number(found.largest)}; first-order feedback has one of 1.",
        figure=figure,
        formulas=[formulas.feedback(found)],
        table=lambda: {f"k={axis[k]}": found.cells[:, k] for k in range(len(axis))},
    )  # fmt: skip
