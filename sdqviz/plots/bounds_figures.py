"""Draws bound and measured along a sweep: curves with slopes, their ratio, and one point taken apart."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import plotly.graph_objects as go

from sdqviz.array import Array
from sdqviz.explore.curves.curve import BoundLine, Curve, medians
from sdqviz.explore.curves.point import A_POSTERIORI
from sdqviz.explore.curves.walk import EQUAL_BITS
from sdqviz.explore.wording import number
from sdqviz.plots import theme
from sdqviz.plots.bounds import (
    BESIDE,
    alt_text,
    at_value,
    axis_name,
    formulas,
    look_sentence,
    ratio_headline,
    ratios,
    short,
    shown_beside,
    signed,
    slope_formulas,
    slope_text,
    table,
    verdict,
    why,
)
from sdqviz.plots.panel import Formula, Panel
from sdqviz.plots.theme import Ink, Look

LABELS = 148
"""Pixels at the right for labels at the ends of curves."""

GAP = 15
"""Pixels labels are kept apart."""


@dataclasses.dataclass(frozen=True)
class End:
    """A label at the end of a curve."""

    height: float
    text: str
    colour: str


def label_ends(figure: go.Figure, ends: Sequence[End], limits: tuple[float, float], pixels: float) -> None:
    """Write labels at the right ends of curves on a logarithmic axis, moved apart where they would overlap.

    Parameters
    ----------
    figure : Figure
        With `LABELS` pixels of margin at the right.
    ends : sequence of End
        Where each curve ends, and what it is.
    limits : (float, float)
        Range of the vertical axis.
    pixels : float
        Height of the drawing area.
    """
    low, high = math.log10(limits[0]), math.log10(limits[1])
    scale = pixels / (high - low)
    shown = sorted((end for end in ends if end.height > 0), key=lambda end: end.height)
    wanted = [(math.log10(end.height) - low) * scale for end in shown]
    labels = [
        {
            "x": 1, "xref": "paper", "xanchor": "left", "xshift": 8, "y": at / pixels, "yref": "paper",
            "yanchor": "middle", "text": end.text, "showarrow": False, "font": {"size": 12, "color": end.colour},
        }
        for end, at in zip(shown, spread_out(wanted, GAP, pixels), strict=True)
    ]  # fmt: skip
    # all at once: each single one costs a millisecond
    figure.update_layout(annotations=[*figure.layout.annotations, *labels])


def spread_out(wanted: Sequence[float], gap: float, top: float) -> list[float]:
    """Move increasing positions as little as needed to be ``gap`` apart, between 0 and ``top`` if they fit.

    Examples
    --------
    >>> spread_out([10, 11, 50], 10, 60)
    [5.5, 15.5, 50.0]
    """
    # neighbours that are too close become a block centred on the mean of what its members want
    blocks: list[tuple[float, int]] = []  # sum of wanted starts, members
    for place in wanted:
        blocks.append((float(place), 1))
        while len(blocks) > 1:
            (upper, count), (lower, before) = blocks[-1], blocks[-2]
            if upper / count - (count - 1) * gap / 2 >= lower / before + (before - 1) * gap / 2 + gap:
                break
            blocks[-2:] = [(lower + upper, before + count)]
    placed: list[float] = []
    for total, count in blocks:
        centre = min(max(total / count, (count - 1) * gap / 2), max(top - (count - 1) * gap / 2, 0))
        placed += [centre + (k - (count - 1) / 2) * gap for k in range(count)]
    return placed


def look_of(curve: Curve) -> Look:
    """Return the look of what is measured: the method's own, where the subject has one."""
    return theme.METHODS.get(getattr(curve.setting, "method", ""), theme.COMPRESSED)


def _faded(colour: str, share: float = 0.16) -> str:
    red, green, blue = (int(colour[k : k + 2], 16) for k in (1, 3, 5))
    return f"rgba({red},{green},{blue},{share})"


def _x_axis(curve: Curve) -> dict[str, Any]:
    low, high = float(curve.x[0]), float(curve.x[-1])
    pad = max((high / low) ** 0.02, 1.01) if high > low else 1.2
    axis = theme.log_axis(low / pad, high * pad)
    if curve.axis.field == "bits":
        axis |= {"tickvals": curve.x.tolist(), "ticktext": [f"{value:g}" for value in curve.values]}
    return axis


def _has_bits(curve: Curve) -> bool:
    """Say whether bits per original weight change along the sweep and are known."""
    bits = curve.bits_per_weight
    return bool(np.isfinite(bits).all()) and np.ptp(bits) > 0


def _add_bits(figure: go.Figure, curve: Curve) -> None:
    """Draw bits per original weight along the top."""
    bits = curve.bits_per_weight
    stride = -(-len(bits) // 7)
    kept = np.arange(len(bits) - 1, -1, -stride)[::-1]
    base = figure.layout.xaxis.to_plotly_json()
    top = {
        "overlaying": "x", "side": "top", "showgrid": False, "tickvals": curve.x[kept].tolist(), "title": {"text": ""},
        "ticktext": [number(float(bits[k])) for k in kept],
    }  # fmt: skip
    figure.update_layout(xaxis2=base | top)
    figure.add_annotation(
        text="bits per original weight", x=0.5, xref="paper", y=1, yref="paper", yanchor="bottom", yshift=28,
        showarrow=False, font={"size": 13},
    )  # fmt: skip
    figure.add_scatter(
        x=curve.x[:1], y=curve.median[:1], xaxis="x2", mode="markers", marker={"opacity": 0}, hoverinfo="skip",
    )  # fmt: skip


def _segments(applies: Array) -> list[tuple[slice, bool]]:
    """Cut a curve into stretches where the bound applies and where it does not; they share their ends."""
    found: list[tuple[slice, bool]] = []
    start = 0
    for k in range(1, len(applies) + 1):
        if k == len(applies) or applies[k] != applies[start]:
            found.append((slice(start, k), bool(applies[start])))
            start = k
    joined = []
    for stretch, holds in found:
        if holds:  # the dashed neighbours reach to it
            joined.append((stretch, True))
        else:
            joined.append((slice(max(stretch.start - 1, 0), min(stretch.stop + 1, len(applies))), False))
    return joined


def _draw_bound(figure: go.Figure, curve: Curve, line: BoundLine, heights: Array, ink: Ink) -> None:
    """Draw one bound: solid where it applies, dashed and faint where a hypothesis fails, which the hover names."""
    symbol = "triangle-up-open" if line.kind == A_POSTERIORI else "circle-open"
    for stretch, holds in _segments(line.applies):
        figure.add_scatter(
            x=curve.x[stretch], y=heights[stretch].astype(np.float32), mode="lines", hoverinfo="skip",
            opacity=0.85 if holds else 0.4,
            line={"color": ink.text, "width": 1.3, "dash": "solid" if holds else "dash"},
        )  # fmt: skip
    told = [why(promise) for promise in line.promises]
    figure.add_scatter(
        x=curve.x, y=heights.astype(np.float32), mode="markers", customdata=told,
        marker={
            "color": ink.text, "size": 6, "symbol": [symbol if one else "x-thin-open" for one in line.applies],
            "opacity": [0.85 if one else 0.45 for one in line.applies],
        },
        hovertemplate=line.title + ": %{y:.4g}<br>%{customdata}<extra></extra>",
    )  # fmt: skip


def _limits(rows: Sequence[Array]) -> tuple[float, float]:
    values = np.concatenate([np.ravel(row) for row in rows])
    values = values[np.isfinite(values) & (values > 0)]
    if not len(values):
        return 0.1, 10.0
    low, high = float(values.min()), float(values.max())
    pad = max((high / low) ** 0.03, 1.15)
    return low / pad, high * pad


def draw_curves(curve: Curve, ink: Ink, equal: bool = False) -> Panel:
    """Draw measured and every bound on logarithmic axes, with the fitted slope and what stands beside."""
    height, bottom = 500, 52
    top = 52 if _has_bits(curve) else 14
    figure = theme.figure(ink, x=curve.axis.title, y=curve.setting.error_title, height=height, showlegend=False)
    figure.update_layout(margin={"t": top, "r": LABELS, "l": 72, "b": bottom}, xaxis={"zeroline": False})
    figure.update_xaxes(_x_axis(curve))
    rows = [curve.measured, *shown_beside(curve, equal).values(), *(line.median for line in curve.bounds)]
    limits = _limits(rows)
    ends: list[End] = []
    for line in curve.bounds:
        heights = line.median
        _draw_bound(figure, curve, line, heights, ink)
        ends.append(End(_last(heights), short(line), ink.text))
    for name, values in shown_beside(curve, equal).items():
        label, look = BESIDE[name]
        median = medians(values)
        fit = curve.fit_beside(name)
        figure.add_scatter(
            x=curve.x, y=median.astype(np.float32), mode="lines+markers",
            line=look.line(ink, 1.6), marker=look.marker(ink, 6),
            hovertemplate=f"{name}: %{{y:.4g}}, slope {slope_text(fit)}<extra></extra>",
        )  # fmt: skip
        ends.append(
            End(
                _last(median),
                f"{label} ({signed(fit.slope)})" if fit.count > 2 and name != EQUAL_BITS else label,
                look.colour(ink),
            )
        )
    ends.append(_draw_measured(figure, curve, ink))
    figure.update_yaxes(theme.log_axis(*limits))
    label_ends(figure, ends, limits, height - top - bottom)
    if _has_bits(curve):
        _add_bits(figure, curve)
    return Panel(
        name="curves",
        title=f"Bound and measured against {curve.axis.title.split(',')[0]}",
        look=look_sentence(curve, equal),
        alt=alt_text(curve),
        figure=figure,
        formulas=[*slope_formulas(curve), *formulas(curve, len(curve.x) - 1)],
        table=lambda: table(curve),
    )


def _last(values: Array) -> float:
    finite = values[np.isfinite(values)]
    return float(finite[-1]) if len(finite) else 0.0


def _draw_measured(figure: go.Figure, curve: Curve, ink: Ink) -> End:
    look, median = look_of(curve), curve.median
    colour = look.colour(ink)
    low, high = np.nanmin(curve.measured, axis=1), np.nanmax(curve.measured, axis=1)
    runs = curve.measured.shape[1]
    if runs > 1:
        floor = np.maximum(low, np.finfo(np.float32).tiny)
        figure.add_scatter(
            x=np.concatenate([curve.x, curve.x[::-1]]), y=np.concatenate([high, floor[::-1]]).astype(np.float32),
            mode="lines", line={"width": 0}, fill="toself", fillcolor=_faded(colour), hoverinfo="skip",
        )  # fmt: skip
    told = [
        f"{number(a)} to {number(b)} over {runs} runs<br>{number(bits)} bits per original weight"
        for a, b, bits in zip(low.tolist(), high.tolist(), curve.bits_per_weight.tolist(), strict=True)
    ]
    figure.add_scatter(
        x=curve.x, y=median.astype(np.float32), mode="markers", customdata=told,
        marker=look.marker(ink, 8),
        hovertemplate=f"{axis_name(curve)} = %{{x:.4g}}, median %{{y:.4g}}<br>%{{customdata}}<extra></extra>",
    )  # fmt: skip
    fit = curve.fit
    if math.isfinite(fit.slope):
        reach = curve.x[curve.fitted]
        figure.add_scatter(
            x=reach, y=fit.line(reach).astype(np.float32), mode="lines",
            line={"color": colour, "width": 2}, hoverinfo="skip",
        )  # fmt: skip
    return End(_last(median), f"<b>measured ({signed(fit.slope)})</b>" if fit.count > 2 else "<b>measured</b>", colour)


def draw_ratio(curve: Curve, ink: Ink) -> Panel:
    """Draw bound over measured: the median of the runs, and the smallest; below 1 would be a violation."""
    height, top, bottom = 400, 30, 52
    figure = theme.figure(ink, x=curve.axis.title, y="bound / measured", height=height, showlegend=False)
    figure.update_layout(margin={"t": top, "r": LABELS, "b": bottom})
    figure.update_xaxes(_x_axis(curve) | {"zeroline": False})
    lines = [(line, ratios(curve, line)) for line in curve.bounds if line.holds.any()]
    medians = [(line, _middle(found)) for line, found in lines]
    smallest = [np.min(found, axis=1) for _, found in lines]
    low, high = _limits([*(m for _, m in medians), *smallest, np.array([1.0])])
    low = min(low, 0.5)
    figure.add_hrect(y0=low, y1=1, fillcolor=_faded(theme.ERROR.colour(ink)), line_width=0, layer="below")
    for (line, median), least in zip(medians, smallest, strict=True):
        symbol = "triangle-up-open" if line.kind == A_POSTERIORI else "circle-open"
        figure.add_scatter(
            x=curve.x, y=median.astype(np.float32), mode="lines+markers",
            line={"color": ink.text, "width": 1.2}, marker={"symbol": symbol, "size": 6, "color": ink.text},
            customdata=np.where(np.isfinite(least), least, np.nan), connectgaps=False,
            hovertemplate=line.title + ": median %{y:.3g}, smallest %{customdata:.3g}<extra></extra>",
        )  # fmt: skip
    figure.add_annotation(
        text="a violation would lie here", x=0.01, xref="paper", xanchor="left", y=math.log10(math.sqrt(low)),
        yref="y", yanchor="middle", showarrow=False, font={"size": 12, "color": theme.ERROR.colour(ink)},
    )  # fmt: skip
    figure.update_yaxes(theme.log_axis(low, high))
    label_ends(
        figure, [End(_last(median), short(line), ink.text) for line, median in medians], (low, high),
        height - top - bottom,
    )  # fmt: skip
    value, where = ratio_headline(curve)
    return Panel(
        name="ratio",
        title="How much the bounds leave unused",
        look=f"1 would be a bound that is attained. The closest comparison: {value}, {where}."
        if lines
        else "No bound applies at any point, so there is nothing to compare.",
        alt=f"Bound over measured on logarithmic axes, smallest {value} ({where}). {verdict(curve)[0]} comparisons are "
        "below 1.",
        figure=figure,
        formulas=[
            Formula(
                r"\min_{\text{runs, points}}\frac{\text{bound}}{\text{measured}}",
                [("", "smallest", value), ("", "comparisons with all hypotheses met", f"{curve.comparisons:,}")],
                "Only where all hypotheses of a bound are met.",
            )
        ],
        table=lambda: {
            curve.axis.field: curve.values,
            **{f"{line.name} median": median for line, median in medians},
            **{f"{line.name} smallest": least for (line, _), least in zip(medians, smallest, strict=True)},
        },
    )


def _middle(found: Array) -> Array:
    """Median over the runs in which a ratio exists; NaN for a point without any."""
    values = np.where(np.isfinite(found), found, np.nan)
    result = np.full(len(values), np.nan)
    some = np.isfinite(values).any(axis=1)
    result[some] = np.nanmedian(values[some], axis=1)
    return result


def draw_ladder(curve: Curve, place: int, ink: Ink, equal: bool = False) -> Panel:
    """Draw all bounds of one point as marks on one axis, from the loosest to the measured error."""
    stated = [(line, line.promises[place], float(line.median[place])) for line in curve.bounds]
    rungs = sorted(
        ((line, one, value) for line, one, value in stated if one is not None and math.isfinite(value) and value > 0),
        key=lambda rung: rung[2],
    )
    measured = float(curve.median[place])
    names = [short(line) if line.applies[place] else f"{short(line)} (n/a)" for line, _, _ in rungs]
    besides = [(BESIDE[name], float(medians(values)[place])) for name, values in shown_beside(curve, equal).items()]
    count = len(rungs) + len(besides) + 1
    height = max(400, 26 * count + 100)
    figure = theme.figure(ink, x=curve.setting.error_title, height=height, showlegend=False)
    figure.update_layout(margin={"l": 148, "r": 54, "t": 30})
    look = look_of(curve)
    rows: list[tuple[str, float, str, str, float]] = [("measured", measured, look.colour(ink), look.symbol, 1.0)]
    rows += [(label, value, one.colour(ink), one.symbol, 1.0) for (label, one), value in besides]
    for (line, _, value), name in zip(rungs, names, strict=True):
        symbol = "triangle-up" if line.kind == A_POSTERIORI else "circle"
        holds = bool(line.applies[place])
        rows.append((name, value, ink.text, symbol if holds else "x-thin-open", 1.0 if holds else 0.5))
    values = [value for _, value, *_ in rows if value > 0]
    low, high = _limits([np.array(values)])
    reasons = ["", *([""] * len(besides)), *(why(one) for _, one, _ in rungs)]
    shown = [f"{number(value / measured)} ×" if measured > 0 else "" for _, value, *_ in rows]
    figure.add_vline(x=measured, line={"color": look.colour(ink), "width": 1, "dash": "dot"})
    figure.add_scatter(
        x=[value for _, value, *_ in rows], y=list(range(len(rows))), mode="markers+text",
        marker={
            "color": [row[2] for row in rows], "symbol": [row[3] for row in rows], "size": 9,
            "opacity": [row[4] for row in rows],
        },
        text=shown, textposition="middle right", textfont={"size": 11, "color": ink.text}, cliponaxis=False,
        customdata=reasons, hovertemplate="%{x:.4g}<br>%{customdata}<extra></extra>",
    )  # fmt: skip
    figure.update_xaxes(theme.log_axis(low, high * (high / low) ** 0.08))
    figure.update_yaxes(
        tickvals=list(range(len(rows))), ticktext=[row[0] for row in rows], range=[-0.6, len(rows) - 0.4],
        zeroline=False,
    )  # fmt: skip
    at = at_value(curve, place)
    return Panel(
        name="ladder",
        title=f"All bounds at {at}",
        look="Each mark is a bound, with its multiple of the measured error."
        + (
            " Circles are known before anything is run; triangles use what was measured, and come closer."
            if any(line.kind == A_POSTERIORI for line in curve.bounds)
            else ""
        ),
        alt=f"At {at}: measured {number(measured)}; "
        + ", ".join(f"{name} {number(value)}" for (_, _, value), name in zip(rungs, names, strict=True))
        + ".",
        figure=figure,
        formulas=formulas(curve, place),
        table=lambda: {
            "name": np.array([row[0] for row in rows]),
            "value": np.array([row[1] for row in rows]),
            "over_measured": np.array([row[1] / measured if measured > 0 else math.nan for row in rows]),
            "because": np.array([text.replace("<br>", " ") for text in reasons]),
        },
    )
