"""Draws the first picture a visitor sees: one neuron's weights after ΣΔ and after rounding, from stored results."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from plotly.subplots import make_subplots

from sdqviz.array import Array
from sdqviz.bounds.vector import CZAJA_NA
from sdqviz.explore.wording import number, percent
from sdqviz.plots import sigma_delta, theme
from sdqviz.plots.panel import Formula, Panel
from sdqviz.plots.theme import Ink

DIGITS = 5
"""Decimal places of stored weights: finer than anything a plot can show."""


def summary(choices: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the page stores of one example: the ΣΔ Lab's numbers, and the weights themselves."""
    run = sigma_delta.build(choices)
    weights = {
        "original": run.vector,
        "sigma_delta": run.reconstruction,
        "rounding": run.rounded_reconstruction,
    }
    return sigma_delta.summary(choices) | {
        "size": run.frame.size,
        "dimension": run.frame.dimension,
        "step": run.step,
        **{name: np.round(values, DIGITS).tolist() for name, values in weights.items()},
    }


def verdict_on_rounding(result: Mapping[str, Any]) -> str | None:
    """Say so, in one sentence, where rounding the weights themselves costs no more bits and errs less."""
    plain, ours = result["relative_error_plain"], result["relative_error"]
    if not plain < ours:
        return None
    return (
        f"Plain rounding wins here: with no more bits, rounding the weights themselves leaves {percent(plain)} "
        f"error, ΣΔ {percent(ours)}. What ΣΔ buys is levels this coarse with a proved error."
    )


def draw_before_after(choices: Mapping[str, Any], result: Mapping[str, Any], ink: Ink) -> Panel:
    """Draw every weight after against before, ΣΔ at the left and rounding at the right, on the same axes."""
    original, ours, rounded = (np.array(result[name]) for name in ("original", "sigma_delta", "rounding"))
    error, error_pcm = result["relative_error"], result["relative_error_pcm"]
    titles = (f"ΣΔ: error {percent(error)}", f"rounding: error {percent(error_pcm)}")
    figure = make_subplots(
        rows=1, cols=2, shared_yaxes=True, shared_xaxes=True, subplot_titles=titles, horizontal_spacing=0.04
    )
    base = theme.figure(ink, height=430)
    titled = figure.layout.annotations
    figure.update_layout(base.layout)
    figure.update_layout(annotations=titled, margin={"t": 40})
    figure.update_annotations(font={"size": 15, "color": ink.text})
    figure.update_xaxes(base.layout.xaxis.to_plotly_json())
    figure.update_yaxes(base.layout.yaxis.to_plotly_json())
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
        "equally coarse "
        f"levels: only ΣΔ hands what it rounds off on to the next step.{beyond}",
        alt=f"{count} weights after against before. Sigma-delta with {size} levels of {choices['bits']} bit "
        f"leaves an error of "
        f"{percent(error)} and its marks lie along the diagonal; rounding the same coefficients leaves "
        f"{percent(error_pcm)}." + beyond,
        figure=figure,
        formulas=[
            Formula(
                r"q_n=Q(u_{n-1}+x_n),\quad u_n=u_{n-1}+x_n-q_n\qquad\text{against}\qquad q_n=Q(x_n)",
                [
                    ("d", "weights", str(count)),
                    ("N", "stored levels", str(size)),
                    (r"\delta", "step between levels", number(result["step"])),
                    (r"\|x-\tilde x\|/\|x\|", "error of ΣΔ", percent(error)),
                ],
                f"{CZAJA_NA}, Definition 3.1. The ΣΔ Lab computes the same numbers live.",
            )
        ],
        table=lambda: _columns(original, ours, rounded),
    )


def _columns(original: Array, ours: Array, rounded: Array) -> dict[str, Array]:
    return {"original": original, "sigma_delta": ours, "rounding": rounded}


def tile_numbers(result: Mapping[str, Any]) -> str:
    """Write a preset's stored headline numbers in one line."""
    parts = []
    if "relative_error" in result:
        parts += [f"error {percent(result['relative_error'])}", f"{number(result['bits_per_weight'])} bits a weight"]
    if "variation" in result:
        parts += [f"σ = {number(result['variation'])}", f"coherence {number(result['coherence'])}"]
    if "accuracy_after" in result:
        parts.append(f"accuracy {percent(result['accuracy_after'])}")
    if "smallest_ratio" in result:
        parts += [f"slope {number(result['slope'])}", f"closest bound {number(result['smallest_ratio'])} × measured"]
    return " · ".join(parts)
