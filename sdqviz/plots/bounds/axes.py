"""Axes and colours the plots of the Bounds page share."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import plotly.graph_objects as go

from sdqviz.array import Array
from sdqviz.explore.curves.curve import Curve
from sdqviz.explore.wording import number
from sdqviz.plots import theme


def x_axis(curve: Curve) -> dict[str, Any]:
    """Return the logarithmic axis of what is swept; bits are ticked by their number."""
    low, high = float(curve.x[0]), float(curve.x[-1])
    pad = max((high / low) ** 0.02, 1.01) if high > low else 1.2
    axis = theme.log_axis(low / pad, high * pad)
    if curve.axis.field == "bits":
        axis |= {"tickvals": curve.x.tolist(), "ticktext": [f"{value:g}" for value in curve.values]}
    return axis


def has_bits(curve: Curve) -> bool:
    """Say whether bits per original weight change along the sweep and are known."""
    bits = curve.bits_per_weight
    return bool(np.isfinite(bits).all()) and np.ptp(bits) > 0


def add_bits(figure: go.Figure, curve: Curve) -> None:
    """Draw bits per original weight along the top."""
    bits = curve.bits_per_weight
    stride = -(-len(bits) // 7)
    kept = np.arange(len(bits) - 1, -1, -stride)[::-1]
    top = {
        "overlaying": "x", "side": "top", "type": "log", "range": figure.given("xaxis", "range"),
        "showgrid": False, "tickvals": curve.x[kept].tolist(), "title": {"text": ""},
        "ticktext": [number(float(bits[k])) for k in kept],
    }  # fmt: skip
    figure.update_layout(xaxis2=top)
    figure.add_annotation(
        text="bits per original weight", x=0.5, xref="paper", y=1, yref="paper", yanchor="bottom", yshift=28,
        showarrow=False, font={"size": 13},
    )  # fmt: skip
    figure.add_scatter(
        x=curve.x[:1], y=curve.median[:1], xaxis="x2", mode="markers", marker={"opacity": 0}, hoverinfo="skip",
    )  # fmt: skip


def limits(rows: Sequence[Array]) -> tuple[float, float]:
    """Return a range that holds all positive values, with a little room."""
    found = theme.reach(np.concatenate([np.ravel(row) for row in rows]))
    if found is None:
        return 0.1, 10.0
    low, high = found
    pad = max((high / low) ** 0.03, 1.15)
    return low / pad, high * pad


def last(values: Array) -> float:
    """Return the last finite value; 0 where there is none."""
    finite = values[np.isfinite(values)]
    return float(finite[-1]) if len(finite) else 0.0
