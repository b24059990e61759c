"""Draws error and bits of Gaussian layers against their width."""

from __future__ import annotations

import math

import numpy as np

from sdqviz.explore.layer_walks import formulas
from sdqviz.explore.layer_walks.width import WidthRun
from sdqviz.explore.wording import number
from sdqviz.plots import theme
from sdqviz.plots.panel import Panel
from sdqviz.plots.theme import Ink


def draw_width(info: WidthRun, ink: Ink) -> Panel:
    """Draw the relative square error against the width for Gaussian weights, with the fitted slope."""
    figure = theme.figure(ink, x="width N", y="‖Xw − Xq‖² / ‖Xw‖²", height=360)
    figure.update_layout(margin={"l": 76})
    mean = info.errors.mean(axis=1)
    spread = np.repeat(info.widths, info.neurons)
    figure.add_scatter(
        x=spread, y=info.errors.ravel().astype(np.float32), mode="markers", name="neurons",
        marker={"color": theme.METHODS["unified"].colour(ink), "size": 4, "opacity": 0.45},
        hovertemplate="N = %{x}: %{y:.3g}<extra></extra>",
    )  # fmt: skip
    figure.add_scatter(
        x=info.widths, y=mean, mode="markers", name="mean", marker=theme.ERROR.marker(ink, 9),
        hovertemplate="N = %{x}: %{y:.4g}<extra>mean</extra>",
    )  # fmt: skip
    logarithm = np.log(info.widths)
    told = f"{info.slope:.2f} ± {info.interval:.2f}"
    if math.isfinite(info.slope):
        fitted = np.exp(np.log(mean).mean() + info.slope * (logarithm - logarithm.mean()))
        figure.add_scatter(
            x=info.widths, y=fitted, mode="lines", name=f"slope {told}", line=theme.ERROR.line(ink, 2), hoverinfo="skip"
        )
    stated = np.isfinite(info.bound)
    if stated.any():
        figure.add_scatter(
            x=info.widths[stated], y=info.bound[stated], mode="lines", name="bound", line=theme.BOUND.line(ink, 1.8)
        )
    low, high = float(info.errors.min()), float(info.errors.max())
    high = max(high, float(info.bound[stated].max())) if stated.any() else high
    figure.update_yaxes(theme.log_axis(low / 1.5, high * 1.5))
    figure.update_xaxes(
        theme.log_axis(info.widths[0] / 1.1, info.widths[-1] * 1.1)
        | {"tickvals": info.widths[::2].tolist(), "ticktext": [str(n) for n in info.widths[::2]]}
    )
    close = abs(info.slope + 1) <= max(0.15, info.interval)
    return Panel(
        name="width",
        title="Gaussian weights: wider layers, smaller errors",
        look=(
            "Twice the width, half the square error: the feedback keeps the error bounded while the output grows."
            if close
            else "The slope is not −1 here: T has not settled at these widths, or its alphabet clips."
        )
        + f" {info.samples} samples, {info.neurons} neurons; the operator, levels and C "
        "of this page.",
        alt=f"Relative square error of Gaussian layers from width {info.widths[0]} to {info.widths[-1]} on "
        f"logarithmic axes: fitted slope {told}; mean {number(float(mean[0]))} falls to {number(float(mean[-1]))}.",
        figure=figure,
        formulas=[formulas.gaussian_error(info, told)],
        table=lambda: {
            "N": info.widths,
            "mean": mean,
            "bound": info.bound,
            **{f"neuron_{k + 1}": info.errors[:, k] for k in range(info.neurons)},
        },
    )


def draw_bits(info: WidthRun, ink: Ink) -> Panel:
    """Draw how many bits keep the alphabet from clipping, measured and sufficient, against the width."""
    figure = theme.figure(ink, x="width N", y="bits a weight, log2(2K + 1)", height=360)
    form = 0.5 * np.log2(np.log2(info.far))
    form += info.far_bits[-1] - form[-1]
    figure.add_scatter(
        x=info.far, y=info.far_bits, mode="lines", name="sufficient", line=theme.BOUND.line(ink, 1.8) | {"shape": "hv"}
    )
    figure.add_scatter(x=info.far, y=form, mode="lines", name="½ log log N, a form", line=theme.ORIGINAL.line(ink, 1.5))
    figure.add_scatter(
        x=info.widths, y=info.bits, mode="markers", name="measured", marker=theme.COMPRESSED.marker(ink, 8)
    )
    figure.update_xaxes(theme.log_axis(float(info.far[0]) / 1.5, float(info.far[-1]) * 1.5))
    figure.update_yaxes(
        range=[max(min(info.bits.min(), form.min()) - 0.5, 0), float(max(info.far_bits.max(), form.max())) + 0.5]
    )
    growth = float(info.far_bits[-1] - info.far_bits[0])
    return Panel(
        name="bits",
        title="Bits that keep a wide layer from clipping",
        look=f"From {info.far[0]} to {number(float(info.far[-1]))} inputs a provably wide enough alphabet grows by "
        f"{number(growth)} bits: log log N hardly grows at all. The grey curve shows the form, its height means "
        "nothing.",
        alt=f"Bits against the width on a logarithmic axis: sufficient {number(float(info.far_bits[0]))} at "
        f"{info.far[0]} inputs and {number(float(info.far_bits[-1]))} at {number(float(info.far[-1]))}; measured "
        f"{number(float(info.bits.min()))} to {number(float(info.bits.max()))}.",
        figure=figure,
        formulas=[formulas.gaussian_bits(info)],
        table=lambda: {
            "N": info.widths,
            "measured_bits": info.bits,
            "far_N": info.far,
            "sufficient_bits": info.far_bits,
            "form": form,
        },
    )
