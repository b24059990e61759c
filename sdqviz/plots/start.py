"""Draws the first picture a visitor sees: one neuron's weights after ΣΔ and after rounding, from stored results."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from sdqviz.array import Array
from sdqviz.explore.start import formula
from sdqviz.explore.wording import percent
from sdqviz.plots import theme
from sdqviz.plots.panel import Panel
from sdqviz.plots.theme import Ink


def draw_before_after(choices: Mapping[str, Any], result: Mapping[str, Any], ink: Ink) -> Panel:
    """Draw every weight after against before, ΣΔ at the left and rounding at the right, on the same axes."""
    original, ours, rounded = (np.array(result[name]) for name in ("original", "sigma_delta", "rounding"))
    error, error_pcm = result["relative_error"], result["relative_error_pcm"]
    titles = (f"ΣΔ: error {percent(error)}", f"rounding: error {percent(error_pcm)}")
    figure = theme.panes(ink, height=430, columns=2, subplot_titles=titles, horizontal_spacing=0.04)
    figure.update_layout(margin={"t": 40})
    figure.update_annotations(font={"size": 15, "color": ink.text})
    reach = 1.06 * float(np.abs(np.concatenate([original, ours])).max())
    outside = int((np.abs(rounded) > 2 * reach).sum())
    for column, values, look in ((1, ours, theme.COMPRESSED), (2, rounded, theme.ROUNDING)):
        figure.add_scatter(
            x=[-reach, reach], y=[-reach, reach], mode="lines", line=theme.ORIGINAL.line(ink, 1.5), hoverinfo="skip",
            showlegend=False, row=1, col=column,
        )  # fmt: skip
        figure.add_scatter(
            x=original, y=values, mode="markers", marker=look.marker(ink, 6) | {"opacity": 0.75}, showlegend=False,
            hovertemplate="before %{x:.4f}<br>after %{y:.4f}<extra></extra>", row=1, col=column,
        )  # fmt: skip
    figure.update_xaxes(title_text="weight before", range=[-reach, reach], zeroline=False)
    figure.update_yaxes(range=[-2 * reach, 2 * reach], zeroline=False)
    figure.update_yaxes(title_text="weight after", row=1, col=1)
    beyond = f" {outside} of the rounded weights lie outside the picture." if outside else ""
    count, size = len(original), result["size"]
    return Panel(
        name="before-after",
        title=f"{count} weights of a trained network, before and after",
        look="Each mark is one weight; on the grey line nothing was lost. Both sides store the same number of "
        f"equally coarse levels: only ΣΔ hands what it rounds off on to the next step.{beyond}",
        alt=f"{count} weights after against before. Sigma-delta with {size} levels of {choices['bits']} bit "
        f"leaves an error of {percent(error)} and its marks lie along the diagonal; rounding the same coefficients "
        f"leaves {percent(error_pcm)}.{beyond}",
        figure=figure,
        formulas=[formula(result)],
        table=lambda: _columns(original, ours, rounded),
    )


def _columns(original: Array, ours: Array, rounded: Array) -> dict[str, Array]:
    return {"original": original, "sigma_delta": ours, "rounding": rounded}
