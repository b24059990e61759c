"""Draws the error as the walk goes on, under its bound."""

from __future__ import annotations

import numpy as np

from sdqviz.explore.formula import of_bound
from sdqviz.explore.sigma_delta import errors_told
from sdqviz.explore.vector import VectorRun
from sdqviz.explore.wording import percent
from sdqviz.plots import theme
from sdqviz.plots.panel import Panel
from sdqviz.plots.theme import Ink

PCM = "rounding"


def draw_error(run: VectorRun, ink: Ink) -> Panel:
    """Draw what the first n levels leave behind, for ΣΔ and for rounding, under the bound."""
    size, norm = run.frame.size, run.norm
    n = np.arange(1, size + 1)
    figure = theme.figure(ink, x="step n along the walk", y="error / ‖x‖", height=340)
    holds = run.bounds[0].holds
    curves = (
        (run.running_error, run.called, theme.ERROR),
        (run.rounded_running_error, PCM, theme.ROUNDING),
        (run.running_bound, "bound" if holds else "bound, not applicable here", theme.BOUND),
    )
    kept = size
    for values, name, look in curves:
        relative = np.maximum(values / norm, 1e-17)
        at = theme.decimate(np.log(relative))
        kept = min(kept, len(at))
        figure.add_scatter(x=n[at], y=relative[at].astype(np.float32), name=name, mode="lines", line=look.line(ink))
    best = run.tightest
    if best.holds:
        figure.add_scatter(
            x=[size], y=[best.value / norm], name="tightest bound", mode="markers",
            marker={"symbol": "line-ew-open", "size": 18, "color": ink.text, "line": {"width": 2}},
        )  # fmt: skip
    floor = float(np.quantile(run.running_error, 0.02)) / norm
    top = max(float(run.running_bound.max()), float(run.rounded_running_error.max())) / norm
    figure.update_yaxes(theme.log_axis(max(floor, 1e-8) / 1.6, max(top, 1e-7) * 1.6))
    theme.mark_decimation(figure, size, kept, ink)
    return Panel(
        name="error",
        title="Error as the walk goes on",
        look=errors_told(run),
        alt=f"At the end {run.called} leaves {percent(run.error / norm)} of the vector, rounding on the same frame "
        f"{percent(run.rounded_error / norm)}; "
        + (
            f"the tightest bound is {percent(best.value / norm)}."
            if best.holds
            else f"no bound applies. {best.because}"
        ),
        figure=figure,
        formulas=[of_bound(one) for one in run.bounds if one.formula],
        table=lambda: {
            "n": n,
            "error": run.running_error,
            "error_pcm": run.rounded_running_error,
            "bound": run.running_bound,
        },
    )
