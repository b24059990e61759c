"""Draws levels and state step by step."""

from __future__ import annotations

from typing import Any

import numpy as np
import plotly.graph_objects as go

from sdqviz.array import Array, Index
from sdqviz.bounds.statement import CZAJA_NA, number_tex
from sdqviz.explore.formula import Formula
from sdqviz.explore.vector import VectorRun
from sdqviz.explore.wording import number
from sdqviz.plots import theme
from sdqviz.plots.panel import Panel
from sdqviz.plots.theme import Ink

PLAYED = 160
"""The most steps an animation shows, one by one; of longer walks the first ones are shown, and the plot says so."""


def played_steps(size: int) -> Index:
    """Return the steps an animation stops at, the first ones of a long walk."""
    return np.arange(min(size, PLAYED))


def _symbols(run: VectorRun) -> list[tuple[str, str, str]]:
    return [
        (
            "x_n",
            "coefficient at step n, ⟨x, e⟩ with the n-th vector visited; largest",
            number(float(np.abs(run.trace.coefficients).max())),
        ),
        ("q_n", "level chosen at step n, one of", str(2**run.bits)),
        ("u_n", "state after step n; largest", number(float(np.abs(run.trace.state).max()))),
        (r"\delta", "step between levels", number(run.step)),
        ("K", "half the number of levels", str(2 ** (run.bits - 1))),
    ]


def draw_steps(run: VectorRun, ink: Ink) -> Panel:
    """Draw coefficients, levels and state along the walk, with play, slow motion and a slider."""
    size, delta = run.frame.size, run.step
    n = np.arange(1, size + 1)
    figure = theme.panes(ink, height=510, rows=3, row_heights=[0.08, 0.46, 0.46], vertical_spacing=0.035)
    figure.update_layout(margin={"t": 62})
    markers = "lines+markers" if size <= 40 else "lines"
    kept = len(n)

    def add(row: int, values: Array, name: str, look: theme.Look, **more: Any) -> None:
        nonlocal kept
        at = theme.decimate(values)
        kept = min(kept, len(at))
        given: dict[str, Any] = {"mode": markers, "line": look.line(ink), "marker": look.marker(ink)} | more
        figure.add_scatter(x=n[at], y=values[at].astype(np.float32), name=name, row=row, col=1, **given)

    add(2, run.trace.coefficients, "coefficient xₙ", theme.ORIGINAL)
    levels = {"mode": "markers", "marker": theme.COMPRESSED.marker(ink, 5)}
    add(
        2,
        run.rounded.quantized,
        "level by rounding",
        theme.ROUNDING,
        **levels | {"marker": theme.ROUNDING.marker(ink, 4)},
    )
    add(2, run.trace.quantized, "level qₙ of ΣΔ", theme.COMPRESSED, **levels)
    add(3, run.rounded.state, "running error of rounding", theme.ROUNDING, mode="lines")
    add(3, run.trace.state, "state uₙ of ΣΔ", theme.COMPRESSED)
    figure.add_hrect(-delta / 2, delta / 2, row=3, col=1, fillcolor=ink.faint, line_width=0)
    for edge in (-delta / 2, delta / 2):
        figure.add_hline(edge, row=3, col=1, line=theme.BOUND.line(ink, 1))
    over = run.overloaded()
    if len(over):
        shown = over[np.linspace(0, len(over) - 1, min(len(over), 300)).astype(int)]
        figure.add_scatter(
            x=shown + 1, y=run.trace.coefficients[shown], name=f"overload ({len(over)} steps)", mode="markers",
            marker=theme.ERROR.marker(ink, 9), row=2, col=1,
        )  # fmt: skip
    span = max(float(np.abs(run.trace.state).max()), delta / 2)
    drift = float(np.abs(run.rounded.state).max())
    reach = 1.15 * max(span, drift if drift < 6 * span else 4 * span)
    figure.update_yaxes(title_text="coefficient, level", row=2, col=1)
    figure.update_yaxes(title_text="state", range=[-reach, reach], row=3, col=1)
    figure.update_yaxes(visible=False, range=[0, 1], fixedrange=True, row=1, col=1)
    figure.update_xaxes(visible=False, row=1, col=1)
    window = min(size, PLAYED)
    cut = f" (the first {window} of {size:,}; double-click shows all)" if window < size else ""
    figure.update_xaxes(range=[1 - window * 0.01, window * 1.01])
    figure.update_xaxes(title_text=f"step n along the walk{cut}", row=3, col=1)
    if drift > reach:
        figure.add_annotation(
            text=f"rounding leaves the picture: {number(drift / delta)} δ at its farthest", row=3, col=1,
            xref="x domain", yref="y domain", x=0.99, y=0.02, showarrow=False, font={"size": 11, "color": ink.text},
        )  # fmt: skip
    theme.mark_decimation(figure, size, kept, ink)
    _play(figure, run, ink)
    largest = float(np.abs(run.trace.state).max())
    overload = f" The quantizer is overloaded at {run.overload} of {size} steps." if run.overload else ""
    told = (
        "Below: the state is ΣΔ's memory of what rounding has left out. It stays in the band ±δ/2, while the "
        "error of plain "
        "rounding adds up."
        if run.trace.stable
        else "Below: the levels are too small for the coefficients, so the state leaves the band ±δ/2 and runs away."
    )
    relation = r"\le" if run.trace.stable else ">"
    inside = "inside" if largest <= delta / 2 * (1 + 1e-9) else "outside"
    return Panel(
        name="steps",
        title="Step by step",
        look=told + overload,
        alt=f"Coefficients, levels and state over {size} steps. The state of sigma-delta stays {inside} the band of "
        f"plus or minus {number(delta / 2)}: its largest value is {number(largest)}. The running error of plain "
        f"rounding reaches {number(drift)}.{overload}",
        figure=figure,
        formulas=[
            Formula(
                r"q_n=Q(u_{n-1}+x_n),\quad u_n=u_{n-1}+x_n-q_n,\quad u_0=0",
                _symbols(run),
                f"{CZAJA_NA}, Definition 3.1. PCM has no memory: q_n = Q(x_n).",
            ),
            Formula(
                r"|x_n|\le (K-\tfrac12)\delta\ \Rightarrow\ |u_n|\le \delta/2",
                [],
                f"Stability: {run.trace.reason}.",
                rf"{number_tex(float(np.abs(run.trace.coefficients).max()))}"
                rf"\ {relation}\ {number_tex((2 ** (run.bits - 1) - 0.5) * delta)}",
                "vector-bound",
            ),
        ],
        table=lambda: {
            "n": n,
            "frame_vector": run.order,
            "coefficient": run.trace.coefficients,
            "level": run.trace.quantized,
            "state": run.trace.state,
            "level_pcm": run.rounded.quantized,
            "running_error_pcm": run.rounded.state,
        },
    )


def _play(figure: go.Figure, run: VectorRun, ink: Ink) -> None:
    """Add the cursors and the frames that move them: client-side, so stepping asks nothing of the server."""
    x, q, u = run.trace.coefficients, run.trace.quantized, run.trace.state
    steps = played_steps(run.frame.size)
    before = np.concatenate([[0.0], u[:-1]])
    first = len(figure.data)
    ring = {"size": 12, "symbol": "circle-open", "line": {"width": 2.5}}

    def reading(k: int) -> str:
        return f"n = {k + 1}:  u + x = {before[k] + x[k]:.3g}  →  q = {q[k]:.3g},  new u = {u[k]:.3g}"

    figure.add_scatter(
        x=[1], y=[0.5], mode="text", text=["press play, or drag the slider"],
        textposition="middle right", textfont={"color": ink.text, "size": 13}, cliponaxis=False,
        hoverinfo="skip", showlegend=False, row=1, col=1,
    )  # fmt: skip
    for row, value, look in ((2, q[0], theme.COMPRESSED), (3, u[0], theme.COMPRESSED)):
        figure.add_scatter(
            x=[1], y=[float(value)], mode="markers", marker=ring | {"color": look.colour(ink)}, hoverinfo="skip",
            showlegend=False, row=row, col=1,
        )  # fmt: skip
    figure.frames = [
        go.Frame(
            name=str(k + 1),
            data=[{"text": [reading(k)]}, *({"x": [int(k) + 1], "y": [round(float(v[k]), 9)]} for v in (q, u))],
            traces=[first, first + 1, first + 2],
        )
        for k in steps
    ]
    theme.controls(figure, ink, [str(k + 1) for k in steps])
