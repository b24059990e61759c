"""Draws a run of joint pruning and quantization step by step: stages, loss, accuracy, sparsity, BOPs and every bit."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
import plotly.graph_objects as go
from plotly.colors import sample_colorscale
from plotly.subplots import make_subplots

from sdqviz.array import Array
from sdqviz.explore.wording import number, percent
from sdqviz.methods.geta.recording import Moment, Recording
from sdqviz.plots import geta_formulas, scene, theme
from sdqviz.plots.panel import Panel
from sdqviz.plots.theme import Ink

SCRUBBED = 120
"""The most moments the slider stops at, evenly chosen."""

LINE_POINTS = 400
"""The most points a line of one layer draws: there may be many layers."""

STRIP, ROW, BITS_ROW, GAP = 76, 74, 96, 26
"""Heights in pixels: of the strip of stages with the reading above it, of a row, of a row of bits, of a title."""

BAR = 0.4
"""Share of the strip's height that the stages take; above it stands what the marked step was like."""

TOP, BOTTOM, LEFT = 24, 44, 58
"""Margins in pixels."""

LABEL = 13
"""Characters of a layer's name at the right."""

FEWEST = 9
"""The right side has room for at least so many layers, so that few of them stand together."""

APART = 5
"""How many pixels weights stand above a layer's line at the right, and activations below."""

SHARE = 0.72
"""Share of the width that the curves take; the rest shows every layer at the marked step."""


AVERAGED = 9
"""Moments over which the loss is averaged: that of one batch jumps."""


@dataclasses.dataclass(frozen=True, eq=False)
class Curves:
    """A run as arrays, one entry a recorded moment.

    Attributes
    ----------
    step, loss, redundant, zero, relative_bops : ndarray, shape (moments,)
        As recorded.
    tested, accuracy : ndarray
        The steps at which the network was tested, and what came out.
    layers : tuple of str
        Layers with quantizers, in the order of the network.
    weight_bits, activation_bits : ndarray, shape (moments, layers)
        NaN where a layer has no such quantizer.
    """

    step: Array
    loss: Array
    redundant: Array
    zero: Array
    relative_bops: Array
    tested: Array
    accuracy: Array
    layers: tuple[str, ...]
    weight_bits: Array
    activation_bits: Array

    @property
    def has_activations(self) -> bool:
        """Whether any activation is quantized."""
        return bool(np.isfinite(self.activation_bits).any())


def curves(run: Recording) -> Curves:
    """Return what was recorded as arrays."""
    layers = tuple(dict.fromkeys(name for one in run.moments for name in (*one.weight_bits, *one.activation_bits)))

    def column(field: str) -> Array:
        return np.array([getattr(one, field) for one in run.moments], dtype=float)

    def bits(field: str) -> Array:
        rows = [[getattr(one, field).get(name, np.nan) for name in layers] for one in run.moments]
        return np.array(rows, dtype=float).reshape(len(run.moments), len(layers))

    tested = [one for one in run.moments if one.accuracy is not None]
    return Curves(
        step=column("step"),
        loss=column("loss"),
        redundant=column("redundant"),
        zero=column("zero"),
        relative_bops=column("relative_bops"),
        tested=np.array([one.step for one in tested], dtype=float),
        accuracy=np.array([one.accuracy for one in tested], dtype=float),
        layers=layers,
        weight_bits=bits("weight_bits"),
        activation_bits=bits("activation_bits"),
    )


def average(values: Array, width: int = AVERAGED) -> Array:
    """Return the mean of each value and up to ``width − 1`` before it, passing over what is not finite.

    Examples
    --------
    >>> average(np.array([np.nan, 2.0, 4.0, 6.0]), 2).tolist()
    [nan, 2.0, 3.0, 5.0]
    """
    known = np.isfinite(values)
    total = np.cumsum(np.where(known, values, 0.0))
    count = np.cumsum(known)
    total[width:], count[width:] = total[width:] - total[:-width], count[width:] - count[:-width]
    return np.divide(total, count, out=np.full(len(values), np.nan), where=count > 0)


def scrubbed(count: int) -> list[int]:
    """Return the positions of the moments the slider stops at: all, or evenly chosen, the last one always.

    Examples
    --------
    >>> scrubbed(3), len(scrubbed(1000)), scrubbed(1000)[-1]
    ([0, 1, 2], 120, 999)
    """
    return np.unique(np.linspace(0, count - 1, min(count, SCRUBBED)).round().astype(int)).tolist()


def layer_colours(count: int, ink: Ink) -> list[str]:
    """Return a colour for each layer, from the first to the last along one scale of even lightness."""
    low, high = (0.25, 1.0) if ink.dark else (0.0, 0.85)
    places = np.linspace(low, high, count) if count > 1 else np.array([low])
    return list(sample_colorscale(theme.DENSITY, places.tolist()))


def reading(moment: Moment, steps: int) -> str:
    """Say in two lines what a moment was like."""
    loss = f"   loss {number(moment.loss)}" if np.isfinite(moment.loss) else ""
    accuracy = "" if moment.accuracy is None else f"   accuracy {percent(moment.accuracy)}"
    ascents = f"   steps uphill {moment.ascents}" if moment.ascents else ""
    return (
        f"<b>step {moment.step:,} of {steps:,}: {moment.stage}</b>{loss}{accuracy}<br>"
        f"redundant {percent(moment.redundant)}   zero {percent(moment.zero)}   "
        f"BOPs {percent(moment.relative_bops)}{ascents}"
    )


def draw(run: Recording, ink: Ink, *, scrub: bool = True) -> Panel:
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
    figure, rows = _frame(run, info, ink)
    _lines(figure, run, info, rows, ink)
    moving = _marker(figure, run, info, rows, ink)
    stops = scrubbed(len(run.moments))
    if scrub and len(stops) > 1:
        figure.frames = [go.Frame(name=str(k), data=_at(run, info, k, len(rows) + 1), traces=moving) for k in stops]
        scene.controls(figure, ink, [str(k) for k in stops])
        figure.layout.sliders[0].active = len(stops) - 1
    shown = (
        "" if len(stops) == len(run.moments) else f" The slider stops at {len(stops)} of {len(run.moments)} moments."
    )
    last = run.moments[-1]
    return Panel(
        name="steps",
        title="The run, step by step",
        look=_look(run, info) + shown,
        alt=f"{len(run.moments)} moments of {run.steps} steps. " + _told(run, info, last),
        figure=figure,
        formulas=geta_formulas.steps(run),
        table=lambda: table(run),
    )


def table(run: Recording) -> dict[str, Array]:
    """Return every moment as columns: figures first, then the bits of each layer."""
    info = curves(run)
    columns: dict[str, Array] = {
        "step": info.step.astype(int),
        "stage": np.array([one.stage for one in run.moments]),
        "loss": info.loss,
        "accuracy": np.array([np.nan if one.accuracy is None else one.accuracy for one in run.moments]),
        "redundant": info.redundant,
        "zero": info.zero,
        "relative_bops": info.relative_bops,
        "ascents": np.array([one.ascents for one in run.moments]),
    }
    for place, name in enumerate(info.layers):
        columns[f"weight_bits.{name}"] = info.weight_bits[:, place]
        if np.isfinite(info.activation_bits[:, place]).any():
            columns[f"activation_bits.{name}"] = info.activation_bits[:, place]
    return columns


# -- sentences ----------------------------------------------------------------------------------------


def _look(run: Recording, info: Curves) -> str:
    told = (
        "Warm-up finds its feet, projection narrows the bits, the joint stage drives the least useful units to zero "
        "while the bits give way, and cool-down repairs what is left. "
    )
    if run.finished:
        return (
            told + "Drag the slider: at the right stand every layer's bits at that step. Along the way accuracy is "
            "measured on part of the test inputs, at the end on all."
        )
    return told + "The run is still growing; the right side shows its latest step."


def _told(run: Recording, info: Curves, last: Moment) -> str:
    parts = [f"At step {last.step}, in {last.stage}"]
    if np.isfinite(last.loss):
        parts.append(f"loss {number(last.loss)}")
    if len(info.accuracy):
        parts.append(f"accuracy {percent(float(info.accuracy[-1]))}, lowest {percent(float(info.accuracy.min()))}")
    parts.append(f"{percent(last.zero)} of the prunable units zero, relative BOPs {percent(last.relative_bops)}")
    told = ", ".join(parts) + ". "
    bits = [f"{name} {number(value)}" for name, value in last.weight_bits.items()]
    listed = ", ".join(bits[:12]) + (f" and {len(bits) - 12} more layers" if len(bits) > 12 else "")
    return told + (f"Weight bits: {listed}." if bits else "")


# -- drawing ------------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class _Row:
    """One row of the figure: what it shows, its height in pixels, and its axis from ``low`` to ``high``."""

    name: str
    title: str
    height: int
    low: float
    high: float
    log: bool = False
    ticks: tuple[float, ...] | None = None
    shares: bool = False

    def axis(self) -> dict[str, Any]:
        """Return the Plotly axis."""
        if self.log:
            found = theme.log_axis(self.low, self.high)
            wide = found["tickvals"][:: max(1, -(-len(found["tickvals"]) // 4))]
            text = [percent(v) if self.shares else number(v) for v in wide]
            return found | {"tickvals": wide, "ticktext": text}
        drawn = {"range": [self.low, self.high], "nticks": 4}
        return drawn | ({"tickformat": ".3~%"} if self.shares else {})


def _rows(run: Recording, info: Curves) -> list[_Row]:
    """Return the rows below the strip of stages, with axes that hold everything recorded."""
    loss = info.loss[np.isfinite(info.loss) & (info.loss > 0)]
    loss = loss if len(loss) else np.array([0.1, 1.0])
    rows = [_Row("loss", "Loss (thick: mean of nine)", ROW, 0.8 * loss.min(), 1.25 * loss.max(), log=True)]
    if len(info.accuracy):
        known = [*info.accuracy, *([] if run.accuracy_before is None else [run.accuracy_before])]
        title = "Test accuracy" + ("" if run.accuracy_before is None else " (grey: the original)")
        room = 0.12 * max(max(known) - min(known), 0.01)
        rows.append(_Row("accuracy", title, ROW, min(known) - room, min(max(known) + room, 1.0), shares=True))
    top = 1.15 * max(info.redundant.max(), info.zero.max(), 0.1)
    rows.append(_Row("sparsity", "Units marked (dashed), zero (solid)", ROW, -0.04 * top, top, shares=True))
    bops = info.relative_bops[info.relative_bops > 0]
    bops = bops if len(bops) else np.array([0.01, 1.0])
    rows.append(_Row("bops", "BOPs, of 32 × 32 bits", ROW, 0.7 * bops.min(), 1.4 * bops.max(), log=True, shares=True))
    wanted = [("weights", "Bits of weights, by layer", info.weight_bits)]
    if info.has_activations:
        wanted.append(("activations", "Bits of activations", info.activation_bits))
    top = float(np.nanmax([np.nanmax(values, initial=4) for _, _, values in wanted]))
    rows.extend(_Row(name, title, BITS_ROW, 0, 1.12 * top) for name, title, _ in wanted)
    return rows


def _frame(run: Recording, info: Curves, ink: Ink) -> tuple[go.Figure, list[_Row]]:
    """Return the empty axes: a strip of stages and the rows under it at the left, one tall axis at the right."""
    rows = _rows(run, info)
    heights = [STRIP, *(row.height for row in rows)]
    inner = sum(heights) + GAP * len(rows)
    base = theme.figure(ink, height=inner + TOP + BOTTOM)
    count = len(heights)
    longest = max((len(_short(name)) for name in info.layers), default=0)
    figure = make_subplots(
        rows=count,
        cols=2,
        specs=[[{}, None], [{}, {"rowspan": count - 1}]] + [[{}, None]] * (count - 2),
        row_heights=heights,
        column_widths=[SHARE, 1 - SHARE],
        vertical_spacing=GAP / inner,
        horizontal_spacing=0.045,
    )
    figure.update_layout(base.layout)
    figure.update_layout(
        showlegend=False,
        margin={"l": LEFT, "r": 12 + 7 * longest, "t": TOP, "b": BOTTOM},
    )
    x, y = base.layout.xaxis.to_plotly_json(), base.layout.yaxis.to_plotly_json()
    figure.update_xaxes(x)
    figure.update_yaxes(y)
    figure.update_xaxes(range=[0, max(run.steps, 1)], matches="x", showticklabels=False, ticks="", col=1)
    figure.update_xaxes(showticklabels=True, ticks="outside", title_text="steps", row=count, col=1)
    figure.update_yaxes(visible=False, range=[0, 1], fixedrange=True, row=1, col=1)
    figure.update_xaxes(showgrid=False, zeroline=False, row=1, col=1)
    for place, row in enumerate(rows):
        figure.update_yaxes(row.axis(), row=place + 2, col=1)
        _title(figure, row.title, place + 2, ink)
    top = max((row.high for row in rows if row.name in ("weights", "activations")), default=32)
    figure.update_xaxes(range=[0, top], matches=None, nticks=5, title_text="bits at this step", row=2, col=2)
    figure.update_yaxes(
        visible=True, side="right", range=[max(len(info.layers), FEWEST) - 0.5, -0.5], row=2, col=2,
        tickvals=list(range(len(info.layers))), ticktext=[_short(name) for name in info.layers],
        tickfont={"size": 11, "color": ink.text}, showgrid=True, ticks="", fixedrange=True,
    )  # fmt: skip
    _stages(figure, run, count, ink)
    return figure, rows


def _short(name: str) -> str:
    return name if len(name) <= LABEL else "…" + name[1 - LABEL :]


def _title(figure: go.Figure, text: str, row: int, ink: Ink) -> None:
    figure.add_annotation(
        text=text, row=row, col=1, xref="x domain", yref="y domain", x=0, y=1, xanchor="left", yanchor="bottom",
        yshift=3, showarrow=False, font={"size": 12, "color": ink.text},
    )  # fmt: skip


def _stages(figure: go.Figure, run: Recording, count: int, ink: Ink) -> None:
    """Name the stages in the strip and carry every other one down as a band."""
    axis = figure.get_subplot(1, 1)
    bottom = figure.get_subplot(count, 1).yaxis.domain[0]
    low, high = axis.yaxis.domain
    top = low + BAR * (high - low)
    for place, stage in enumerate(run.stages):
        if place % 2 == 0:
            figure.add_shape(
                type="rect", x0=stage.first, x1=stage.last, y0=bottom, y1=top, xref="x", yref="paper",
                fillcolor=ink.faint, opacity=0.55, line_width=0, layer="below",
            )  # fmt: skip
        figure.add_shape(
            type="rect", x0=stage.first, x1=stage.last, y0=0, y1=BAR, row=1, col=1,
            line={"color": ink.text, "width": 1}, fillcolor=ink.faint, layer="below",
        )  # fmt: skip
        share = (stage.last - stage.first) / max(run.steps, 1)
        if share >= 0.1:
            figure.add_annotation(
                text=stage.name, x=(stage.first + stage.last) / 2, y=BAR / 2, row=1, col=1, showarrow=False,
                font={"size": 10 if share < 0.2 else 12, "color": ink.text},
            )  # fmt: skip
    figure.add_scatter(
        x=[(stage.first + stage.last) / 2 for stage in run.stages], y=[BAR / 2] * len(run.stages), mode="markers",
        marker={"opacity": 0, "size": 24}, row=1, col=1,
        hovertext=[f"{one.name}: steps {one.first:,} to {one.last:,}" for one in run.stages], hoverinfo="text",
    )  # fmt: skip


def _lines(figure: go.Figure, run: Recording, info: Curves, rows: Sequence[_Row], ink: Ink) -> None:
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


def _marker(figure: go.Figure, run: Recording, info: Curves, rows: Sequence[_Row], ink: Ink) -> list[int]:
    """Draw what moves, at the last moment: the reading, a line through each row, and every layer's bits."""
    first, last = len(figure.data), len(run.moments) - 1
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
    _legend(figure, info, ink)
    return list(range(first, len(figure.data)))


def _legend(figure: go.Figure, info: Curves, ink: Ink) -> None:
    told = "■ weights" + ("   ◇ activations" if info.has_activations else "")
    figure.add_annotation(
        text=told, row=2, col=2, xref="x domain", yref="y domain", x=0, y=1, xanchor="left", yanchor="bottom",
        yshift=4, showarrow=False, font={"size": 12, "color": ink.text},
    )  # fmt: skip


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
