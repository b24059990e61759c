"""Draws levels and state step by step."""

from __future__ import annotations

from typing import Any

import numpy as np
import plotly.graph_objects as go

from sdqviz.array import Index
from sdqviz.bounds.statement import CZAJA_NA, number_tex
from sdqviz.explore.formula import Formula
from sdqviz.explore.vector import VectorRun
from sdqviz.explore.wording import number, settled
from sdqviz.plots import player, theme
from sdqviz.plots.panel import Panel
from sdqviz.plots.sigma_delta.future import FLOOR, add_owed, owed_bars
from sdqviz.plots.theme import Ink
from sdqviz.sigma_delta.taps import FIRST

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
    """Draw coefficients, levels and state along the walk, with Play, Slow, Step and a slider above them."""
    size, delta = run.frame.size, run.step
    figure = theme.panes(ink, height=480, rows=3, row_heights=[0.08, 0.46, 0.46], vertical_spacing=0.035)
    figure.update_layout(margin={"t": 66})
    window = min(size, PLAYED)
    future = add_owed(figure, run, ink, window - 1) if len(run.taps.lags) > 1 else range(0)
    player.cover(figure, ink, "x3", size + 0.5, figure.given("yaxis2", "domain", 1), FLOOR if future else 0)
    kept = _curves(figure, run, ink)
    for edge in (-delta / 2, delta / 2):
        figure.add_hline(edge, row=3, col=1, line=theme.BOUND.line(ink, 1))
    span = max(float(np.abs(run.trace.state).max()), delta / 2)
    drift = float(np.abs(run.rounded.state).max())
    reach = 1.15 * max(span, drift if drift < 6 * span else 4 * span)
    figure.update_yaxes(title_text="coefficient, level", row=2, col=1)
    figure.update_yaxes(title_text="state", range=[-reach, reach], row=3, col=1)
    figure.update_yaxes(visible=False, range=[0, 1], fixedrange=True, row=1, col=1)
    figure.update_xaxes(visible=False, row=1, col=1)
    cut = f" (the first {window} of {size:,}; double-click shows all)" if window < size else ""
    figure.update_xaxes(range=[1 - window * 0.01, window * 1.01], col=1)
    figure.update_xaxes(title_text=f"step n along the walk{cut}", row=3, col=1)
    if drift > reach:
        figure.add_annotation(
            text=f"rounding leaves the picture: {number(drift / delta)} δ at its farthest", row=3, col=1,
            xref="x domain", yref="y domain", x=0.99, y=0.02, showarrow=False, font={"size": 11},
        )  # fmt: skip
    theme.mark_decimation(figure, size, kept, ink)
    _play(figure, run, ink, future)
    told = _told(run, drift)
    inside = "inside" if np.abs(run.trace.state).max() <= delta / 2 * (1 + 1e-9) else "not inside"
    return Panel(
        name="steps",
        title="Step by step",
        look=told,
        alt=f"Coefficients, levels and state over {size} steps. The state of {run.called} stays {inside} the band of "
        f"plus or minus {number(delta / 2)}: its largest value is {number(float(np.abs(run.trace.state).max()))}. "
        f"{told}",
        figure=figure,
        formulas=_formulas(run),
        table=lambda: {
            "n": np.arange(1, size + 1),
            "frame_vector": run.order,
            "coefficient": run.trace.coefficients,
            "level": run.trace.quantized,
            "state": run.trace.state,
            "level_pcm": run.rounded.quantized,
            "running_error_pcm": run.rounded.state,
        },
    )


def _curves(figure: go.Figure, run: VectorRun, ink: Ink) -> int:
    """Add coefficients and levels above, the states below; return how many points a curve has at least."""
    size, delta = run.frame.size, run.step
    n = np.arange(1, size + 1)
    markers = "lines+markers" if size <= 40 else "lines"
    drawn = (
        (2, run.trace.coefficients, "coefficient xₙ", theme.ORIGINAL, markers, 5),
        (2, run.rounded.quantized, "rounding", theme.ROUNDING, "markers", 4),
        (2, run.trace.quantized, "level qₙ", theme.COMPRESSED, "markers", 5),
        (3, run.rounded.state, "rounding's sum", theme.ROUNDING, "lines", 5),
        (3, run.trace.state, "state uₙ", theme.COMPRESSED, markers, 5),
    )
    kept = size
    for row, values, name, look, mode, width in drawn:
        at = theme.decimate(values)
        kept = min(kept, len(at))
        figure.add_scatter(
            x=n[at], y=settled(values[at], delta).astype(np.float32), name=name, mode=mode, line=look.line(ink),
            marker=look.marker(ink, width), row=row, col=1,
        )  # fmt: skip
    figure.add_hrect(-delta / 2, delta / 2, row=3, col=1, fillcolor=ink.faint, line_width=0)  # needs its curves first
    over = run.overloaded()
    if len(over):
        shown = over[np.linspace(0, len(over) - 1, min(len(over), 300)).astype(int)]
        figure.add_scatter(
            x=shown + 1, y=run.trace.coefficients[shown], name=f"overload ({len(over)} steps)", mode="markers",
            marker=theme.ERROR.marker(ink, 9), row=2, col=1,
        )  # fmt: skip
    return kept


def _told(run: VectorRun, drift: float) -> str:
    """Say what the state and the running error of rounding do, from the curves that are drawn."""
    overload = f" The quantizer is overloaded at {run.overload} of {run.frame.size} steps." if run.overload else ""
    if not run.trace.stable:
        farthest = float(np.abs(run.trace.state).max()) / run.step
        if farthest <= 0.5 + 1e-9:
            return f"Below: nothing promises that the state stays in the band ±δ/2; here it does.{overload}"
        return (
            f"Below: the levels are too small, so the state leaves the band ±δ/2, by up to {number(farthest)} δ."
            f"{overload}"
        )
    beside = (
        f"while the error of plain rounding adds up to {number(drift / run.step)} δ"
        if drift > run.step
        else f"and here the error of plain rounding too stays below {number(drift / run.step)} δ"
    )
    if not run.taps.order:
        return "Below: of order 0 the state is the rounding error itself. It stays in the band ±δ/2, and is forgotten."
    memory = "Below: the state is ΣΔ's memory of what rounding has left out. It stays in the band ±δ/2, " + beside
    if len(run.taps.lags) < 2:
        return f"{memory}."
    return f"{memory}. At the bottom: what the filter owes the steps to come after each step."


def _formulas(run: VectorRun) -> list[Formula]:
    relation = r"\le" if run.trace.stable else ">"
    largest = float(np.abs(run.trace.coefficients).max())
    return [
        Formula(
            r"q_n=Q(u_{n-1}+x_n),\quad u_n=u_{n-1}+x_n-q_n,\quad u_0=0"
            if run.taps == FIRST
            else r"v_n=x_n+\sum_jh_ju_{n-n_j},\quad q_n=Q(v_n),\quad u_n=v_n-q_n",
            _symbols(run),
            f"{CZAJA_NA}, Definition 3.1{'' if run.taps == FIRST else f', for order {run.taps.order}'}. PCM has no "
            "memory: q_n = Q(x_n).",
        ),
        Formula(
            r"|x_n|\le (K-\tfrac12)\delta\ \Rightarrow\ |u_n|\le \delta/2"
            if run.taps == FIRST
            else r"|x_n|\le \Bigl(K-\frac{\|h\|_1}2\Bigr)\delta\ \Rightarrow\ |u_n|\le \delta/2",
            [],
            f"Stability: {run.trace.reason}.",
            rf"{number_tex(largest)}\ {relation}\ {number_tex(run.taps.reach(run.bits) * run.step)}",
            "vector-bound" if run.taps == FIRST else "noise-shaping",
        ),
    ]


def _play(figure: go.Figure, run: VectorRun, ink: Ink, future: range) -> None:
    """Add what moves: the step in words, its level and state, the arrow that carries errors on, and what is owed."""
    x, q, u = (settled(v, run.step) for v in (run.trace.coefficients, run.trace.quantized, run.trace.state))
    before = settled(run.fed, run.step)
    what = {0: "x", 1: "u + x"}.get(len(run.taps.lags), "owed + x")
    first = figure.count
    ring = {"size": 12, "symbol": "circle-open", "line": {"width": 2.5}, "color": theme.COMPRESSED.colour(ink)}
    figure.add_scatter(
        x=[1], y=[0.5], mode="text", text=["Play or Step: one level after the other"], textposition="middle right",
        textfont={"color": ink.text, "size": 13}, cliponaxis=False, hoverinfo="skip", showlegend=False, row=1, col=1,
    )  # fmt: skip
    for row in (2, 3):
        figure.add_scatter(
            x=[None], y=[None], mode="markers", marker=ring, hoverinfo="skip", showlegend=False, row=row, col=1
        )
    figure.add_scatter(
        x=[None], y=[None], mode="lines+markers", line=theme.ERROR.line(ink, 2.5), hoverinfo="skip", showlegend=False,
        marker={"symbol": "arrow", "size": [0, 12], "angleref": "previous", "color": theme.ERROR.colour(ink)},
        row=2, col=1,
    )  # fmt: skip

    def moment(k: int) -> list[dict[str, Any]]:
        told = f"n = {k + 1}:  {what} = {before[k] + x[k]:.3g}  →  q = {q[k]:.3g},  new u = {u[k]:.3g}"
        carried = [float(f"{value:.6g}") for value in (x[k], x[k] + before[k])]
        return [
            {"x": [1], "y": [0.5], "text": [told]},
            {"x": [k + 1], "y": [float(f"{q[k]:.9g}")]},
            {"x": [k + 1], "y": [float(f"{u[k]:.9g}")]},
            {"x": [k + 1, k + 1], "y": carried},
            *(owed_bars(run, k) if future else []),
        ]

    steps, moving = played_steps(run.frame.size), [*range(first, first + 4), *future]
    resting = [*({"x": [None], "y": [None], "text": [""]} for _ in range(4)), *moment(int(steps[-1]))[4:]]
    player.add(figure, ink, [moment(int(k)) for k in steps], moving, resting)
