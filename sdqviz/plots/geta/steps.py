"""Draws a run of joint pruning and quantization step by step: loss, accuracy, sparsity, BOPs and every bit."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import plotly.graph_objects as go
from plotly.colors import sample_colorscale

from sdqviz.array import Array
from sdqviz.explore.geta import formulas
from sdqviz.explore.geta.curves import Curves, average, curves, look, reading, scrubbed, table, told
from sdqviz.methods.geta.recording import Recording
from sdqviz.plots import player, theme
from sdqviz.plots.geta.rows import APART, BAR, FEWEST, GAP, LINE_POINTS, Row, frame
from sdqviz.plots.panel import Panel
from sdqviz.plots.theme import Ink


def layer_colours(count: int, ink: Ink) -> list[str]:
    """Return a colour for each layer, from the first to the last along one scale of even lightness."""
    low, high = (0.25, 1.0) if ink.dark else (0.0, 0.85)
    places = np.linspace(low, high, count) if count > 1 else np.array([low])
    scale = sample_colorscale(theme.DENSITY, places.tolist(), colortype="tuple")
    return [theme.legible("#" + "".join(f"{round(255 * part):02x}" for part in one), ink) for one in scale]


def draw_steps(run: Recording, ink: Ink, *, scrub: bool = True) -> Panel:
    """Draw the whole run on one axis of steps, with a marker that a slider moves, and each layer's bits beside it.

    Parameters
    ----------
    run : Recording
        With at least one moment; it may still be growing.
    ink : Ink
        The page's colours.
    scrub : bool
        Whether the slider is drawn; a run that still grows shows its last moment.
    """
    info = curves(run)
    figure, rows = frame(run, info, ink)
    _lines(figure, run, info, rows, ink)
    moving = _marker(figure, run, info, rows, ink)
    stops = scrubbed(len(run.moments))
    if scrub and len(stops) > 1:
        figure.frames = [{"name": str(k), "data": _at(run, info, k, len(rows) + 1), "traces": moving} for k in stops]
        player.below(figure, ink, [str(k) for k in stops], active=len(stops) - 1)
    shown = (
        "" if len(stops) == len(run.moments) else f" The slider stops at {len(stops)} of {len(run.moments)} moments."
    )
    last = run.moments[-1]
    return Panel(
        name="steps",
        title="The run, step by step",
        look=look(run) + shown,
        alt=f"{len(run.moments)} moments of {run.steps} steps. " + told(info, last),
        figure=figure,
        formulas=formulas.steps(run),
        table=lambda: table(run),
    )


def _lines(figure: go.Figure, run: Recording, info: Curves, rows: Sequence[Row], ink: Ink) -> None:
    """Draw every curve in its row."""
    place = {row.name: number + 2 for number, row in enumerate(rows)}

    def line(
        row: str, x: Array, y: Array, name: str, style: dict[str, Any], shape: str = "linear", **more: Any
    ) -> None:
        at = theme.decimate(np.nan_to_num(y), LINE_POINTS)
        figure.add_scatter(
            x=x[at].astype(int), y=_single(y[at]), name=name, mode="lines", line=style | {"shape": shape},
            row=place[row], col=1, hovertemplate=f"{name}<br>step %{{x:,}}: %{{y}}<extra></extra>", **more,
        )  # fmt: skip

    line("loss", info.step, info.loss, "loss of the batch", theme.ERROR.line(ink, 0.7), opacity=0.6)
    line("loss", info.step, average(info.loss), "mean loss", theme.ERROR.line(ink, 2))
    if "accuracy" in place:
        style = theme.COMPRESSED.line(ink)
        line("accuracy", info.tested, info.accuracy, "accuracy", style)
        if run.accuracy_before is not None:
            figure.add_hline(run.accuracy_before, row=place["accuracy"], col=1, line=theme.ORIGINAL.line(ink, 1))
    line("sparsity", info.step, info.redundant, "marked redundant", theme.ORIGINAL.line(ink) | {"dash": "dash"}, "hv")
    line("sparsity", info.step, info.zero, "all zero", theme.COMPRESSED.line(ink, 2))
    line("bops", info.step, info.relative_bops, "relative BOPs", theme.COMPRESSED.line(ink))
    colours = layer_colours(len(info.layers), ink)
    for row, values in (("weights", info.weight_bits), ("activations", info.activation_bits)):
        for k, name in enumerate(info.layers if row in place else ()):
            if np.isfinite(values[:, k]).any():
                line(row, info.step, values[:, k], name, {"color": colours[k], "width": 1.4})


def _marker(figure: go.Figure, run: Recording, info: Curves, rows: Sequence[Row], ink: Ink) -> list[int]:
    """Draw what moves, at the last moment: the reading, a line through each row, and every layer's bits."""
    first, last = figure.count, len(run.moments) - 1
    step = run.moments[last].step
    quiet: dict[str, Any] = {"hoverinfo": "skip", "showlegend": False, "cliponaxis": False}
    figure.add_scatter(
        x=[0], y=[0.75], mode="text", text=[reading(run.moments[last], run.steps)], textposition="middle right",
        textfont={"color": ink.text, "size": 13}, row=1, col=1, **quiet,
    )  # fmt: skip
    for place, (low, high) in enumerate([(0.0, BAR), *((row.low, row.high) for row in rows)]):
        figure.add_scatter(
            x=[step, step], y=[low, high], mode="lines", line={"color": ink.text, "width": 1.5},
            row=place + 1, col=1, **quiet,
        )  # fmt: skip
    colours = layer_colours(len(info.layers), ink)
    tall = sum(row.height for row in rows) + GAP * (len(rows) - 1)
    apart = APART * max(len(info.layers), FEWEST) / tall
    for values, symbol, size, name, shift in (
        (info.weight_bits, "square", 8, "weights", -apart),
        (info.activation_bits, "diamond-open", 9, "activations", apart),
    ):
        figure.add_scatter(
            x=_single(values[last]), y=[k + shift for k in range(len(info.layers))], mode="markers", name=name,
            row=2, col=2, cliponaxis=False,
            marker={"symbol": symbol, "size": size, "color": colours, "line": {"width": 2 if "open" in symbol else 0}},
            hovertemplate=f"%{{text}}, {name}: %{{x:.3~f}} bits<extra></extra>", text=list(info.layers),
        )  # fmt: skip
    kinds = "■ weights" + ("   ◇ activations" if info.has_activations else "")
    theme.pane_title(figure, kinds, 2, 2, ink)
    return list(range(first, figure.count))


def _at(run: Recording, info: Curves, k: int, lines: int) -> list[dict[str, Any]]:
    """Return what the moving traces show at moment ``k``, in their order."""
    step = run.moments[k].step
    bits = ([_plain(value) for value in values[k]] for values in (info.weight_bits, info.activation_bits))
    return [
        {"text": [reading(run.moments[k], run.steps)]},
        *({"x": [step, step]} for _ in range(lines)),
        *({"x": values} for values in bits),
    ]


def _plain(value: float) -> float | None:
    return round(float(value), 2) if np.isfinite(value) else None


def _single(values: Array) -> list[float | None]:
    """Return values as short JSON numbers; what is not finite is a gap."""
    return [float(f"{value:.5g}") if np.isfinite(value) else None for value in np.asarray(values, dtype=float)]
