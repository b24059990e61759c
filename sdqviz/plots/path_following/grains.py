"""Draws the walk with Play, Slow and Step: weight after weight, neuron after neuron, or layer after layer."""

from __future__ import annotations

from typing import Any

import numpy as np
import plotly.graph_objects as go

from sdqviz.array import Array
from sdqviz.explore.layer_walks import formulas
from sdqviz.explore.layer_walks.grains import Pieces, WeightWalk
from sdqviz.explore.layer_walks.walk import WalkRun
from sdqviz.explore.layer_walks.words import SHORT, least_and_most, where_seen
from sdqviz.explore.wording import number, settled
from sdqviz.plots import player, scene, theme
from sdqviz.plots.panel import Panel
from sdqviz.plots.theme import Ink

PLAYED = 96
"""The most steps that are played; of a longer walk the first ones, and the plot says so."""

TRAIL = 10
"""Steps that the residual's trail goes back."""


def draw(run: WalkRun, stepped: WeightWalk | Pieces, ink: Ink) -> Panel:
    """Draw the walk at the grain it was taken apart at."""
    return draw_weights(run, stepped, ink) if isinstance(stepped, WeightWalk) else draw_pieces(stepped, ink)


def draw_weights(run: WalkRun, walk: WeightWalk, ink: Ink) -> Panel:
    """Draw one neuron's walk: its weights and levels, the length of what is left over, and that vector itself."""
    size = len(walk.aligned)
    figure = theme.panes(
        ink, height=460, rows=3, columns=2, row_heights=[0.08, 0.5, 0.42], column_widths=[0.66, 0.34],
        vertical_spacing=0.04, horizontal_spacing=0.09, shared_yaxes=False,
        specs=[[{"colspan": 2}, None], [{}, {"rowspan": 2}], [{}, None]],
    )  # fmt: skip
    figure.update_layout(margin={"t": 56}, legend_entrywidth=125)  # on a phone two names a line, above the buttons
    player.cover(figure, ink, "x4", size + 0.5, figure.given("yaxis2", "domain", 1))
    kept = _curves(figure, walk, ink)
    window = min(size, PLAYED)
    cut = f" (the first {window} of {size:,}; double-click shows all)" if window < size else ""
    figure.update_xaxes(range=[1 - window * 0.01, window * 1.01], col=1)
    figure.update_xaxes(visible=False, row=1, col=1)
    figure.update_yaxes(visible=False, range=[0, 1], fixedrange=True, row=1, col=1)
    figure.update_xaxes(title_text=f"weight t of neuron {walk.neuron}{cut}", row=3, col=1)
    figure.update_yaxes(title_text="weight, level", row=2, col=1)
    figure.update_yaxes(title_text="‖ũ_t‖", rangemode="tozero", row=3, col=1)
    points = scene.seen(walk.plane, 0.0) if walk.plane.shape[1] == 3 else walk.plane
    _vector_pane(figure, points, walk, ink)
    theme.mark_decimation(figure, size, kept, ink)
    _play(figure, walk, points, ink)
    ours, plain = float(walk.norms[-1]), float(walk.rounded[-1])
    end = (
        f"at the end {number(ours)} is left, {number(plain)} where nothing is handed on"
        if ours < plain
        else f"here handing on does not pay: {number(ours)} is left at the end, {number(plain)} without"
    )
    return Panel(
        name="steps",
        title=f"Weight after weight: neuron {walk.neuron}",
        look=f"The red arrow is the correction: what the errors so far add to a weight before it is rounded; {end}. "
        f"At the right the residual itself, {where_seen(walk)}.",
        alt=f"Walk of neuron {walk.neuron} through {size} weights. The residual's length ends at {number(ours)}; "
        f"rounding the same weights without corrections ends at {number(plain)}. The largest correction is "
        f"{number(float(np.abs(walk.correction).max()))}.",
        figure=figure,
        formulas=[formulas.correction(run, walk)],
        table=lambda: {
            "t": np.arange(1, size + 1), "aligned": walk.aligned, "correction": walk.correction,
            "value": walk.values, "level": walk.levels, "residual_norm": walk.norms,
            "residual_norm_rounding": walk.rounded,
        },
    )  # fmt: skip


def _curves(figure: go.Figure, walk: WeightWalk, ink: Ink) -> int:
    size = len(walk.aligned)
    steps, kept = np.arange(1, size + 1), size
    for row, values, name, look, mode in (
        (2, walk.aligned, "weight w̃ₜ", theme.ORIGINAL, "markers"),
        (2, walk.levels, "level qₜ", theme.COMPRESSED, "markers"),
        (3, walk.rounded, "without corrections", theme.ROUNDING, "lines"),
        (3, walk.norms, "‖ũₜ‖ left over", theme.COMPRESSED, "lines"),
    ):
        at = theme.decimate(values, 1000)
        kept = min(kept, len(at))
        figure.add_scatter(
            x=steps[at], y=values[at].astype(np.float32), name=name, mode=mode, line=look.line(ink, 1.8),
            marker=look.marker(ink, 5), row=row, col=1,
        )  # fmt: skip
    return kept


def _vector_pane(figure: go.Figure, points: Array, walk: WeightWalk, ink: Ink) -> None:
    """Give the pane of the residual its frame: equal scales, the origin, and in space the axes of the samples."""
    reach = 1.1 * max(float(np.abs(points).max()), 1e-12)
    figure.update_xaxes(range=[-reach, reach], showticklabels=False, ticks="", matches=None, row=2, col=2)
    figure.update_xaxes(title_text="residual ũ_t", showticklabels=False, row=2, col=2)
    figure.update_yaxes(range=[-reach, reach], showticklabels=False, ticks="", scaleanchor="x3", row=2, col=2)
    lines = [np.zeros((1, 2))]
    if walk.plane.shape[1] == 3:
        ends = scene.seen(0.8 * reach * np.eye(3), 0.0)
        lines = [np.array([[0.0, 0.0], end, [np.nan, np.nan]]) for end in ends]
    path = np.concatenate(lines)
    figure.add_scatter(
        x=path[:, 0], y=path[:, 1], mode="lines+markers" if len(path) == 1 else "lines", hoverinfo="skip",
        line={"color": ink.faint, "width": 2}, marker={"color": ink.text, "size": 5}, showlegend=False, row=2, col=2,
    )  # fmt: skip


def _play(figure: go.Figure, walk: WeightWalk, points: Array, ink: Ink) -> None:
    scale = max(float(np.abs(walk.aligned).max()), 1e-300)
    w, v, q = (settled(one, scale) for one in (walk.aligned, walk.values, walk.levels))
    reach = max(float(np.abs(points).max()), 1e-300)
    norms = settled(walk.norms, max(float(walk.norms.max()), 1e-300))
    first = figure.count
    ring = {"size": 12, "symbol": "circle-open", "line": {"width": 2.5}, "color": theme.COMPRESSED.colour(ink)}
    red = {"symbol": "arrow", "size": [0, 11], "angleref": "previous", "color": theme.ERROR.colour(ink)}
    quiet = {"hoverinfo": "skip", "showlegend": False}
    arrow = {"mode": "lines+markers", "line": theme.ERROR.line(ink, 2.5), "marker": red} | quiet
    figure.add_scatter(
        x=[1], y=[0.5], mode="text", text=["Play or Step: one weight after the other"], textposition="middle right",
        textfont={"color": ink.text, "size": 13}, cliponaxis=False, **quiet, row=1, col=1,
    )  # fmt: skip
    figure.add_scatter(x=[None], y=[None], mode="markers", marker=ring, **quiet, row=2, col=1)
    figure.add_scatter(x=[None], y=[None], **arrow, row=2, col=1)
    figure.add_scatter(x=[None], y=[None], mode="markers", marker=ring, **quiet, row=3, col=1)
    whole = points[theme.decimate(points[:, 0], 400)]
    trail = {"color": theme.COMPRESSED.colour(ink), "width": 1.5}
    ends = [
        {"x": _short(whole[:, 0], reach), "y": _short(whole[:, 1], reach)},
        {"x": [0, *_short(points[-1:, 0], reach)], "y": [0, *_short(points[-1:, 1], reach)]},
    ]
    figure.add_scatter(**ends[0], mode="lines", line=trail, **quiet, row=2, col=2)
    figure.add_scatter(**ends[1], **arrow, row=2, col=2)

    across, along, lengths = (_short(one[:PLAYED], reach) for one in (points[:, 0], points[:, 1], norms))
    wanted, asked, taken = (_short(one[:PLAYED], scale) for one in (w, v, q))

    def moment(k: int) -> list[dict[str, Any]]:
        told = f"t = {k + 1}:  w̃ = {w[k]:.3g}, corrected by {v[k] - w[k]:+.2g} to v = {v[k]:.3g}  →  q = {q[k]:.3g}"
        back = slice(max(k + 1 - TRAIL, 0), k + 1)
        return [
            {"x": [1], "y": [0.5], "text": [told]},
            {"x": [k + 1], "y": [taken[k]]},
            {"x": [k + 1, k + 1], "y": [wanted[k], asked[k]]},
            {"x": [k + 1], "y": [lengths[k]]},
            {"x": across[back], "y": along[back]},
            {"x": [0, across[k]], "y": [0, along[k]]},
        ]

    rest = [{"x": [None], "y": [None], "text": [""]}] * 4
    steps = [moment(k) for k in range(min(len(w), PLAYED))]
    player.add(figure, ink, steps, range(first, first + 6), [*rest, *ends])


def _short(values: Array, scale: float) -> list[float]:
    """Return numbers as short as a plot of that scale can tell them apart."""
    digits = max(0, 4 - int(np.floor(np.log10(scale)))) if scale > 0 else 4
    return [round(float(value), digits) for value in values]


def draw_pieces(pieces: Pieces, ink: Ink) -> Panel:
    """Draw what each method leaves of every neuron or layer, one after the other."""
    count, many = len(pieces.names), pieces.grain
    figure = theme.panes(ink, height=420, rows=2, row_heights=[0.1, 0.9], vertical_spacing=0.04)
    figure.update_layout(margin={"t": 56})
    player.cover(figure, ink, "x2", count + 0.5, figure.given("yaxis2", "domain", 1))
    at = np.arange(1, count + 1)
    for name, errors in pieces.errors.items():
        look = theme.METHODS[name]
        figure.add_scatter(
            x=at, y=errors.astype(np.float32), name=SHORT[name], mode="lines+markers",
            line=look.line(ink, 1.2), marker=look.marker(ink, 9), row=2, col=1,
        )  # fmt: skip
    figure.update_xaxes(range=[0.5, count + 0.5], tickvals=at if count <= 30 else None, row=2, col=1)
    figure.update_xaxes(title_text=many, row=2, col=1)
    figure.update_xaxes(visible=False, row=1, col=1)
    figure.update_yaxes(visible=False, range=[0, 1], fixedrange=True, row=1, col=1)
    figure.update_yaxes(title_text="‖Xw − X̃q‖ / ‖Xw‖", rangemode="tozero", row=2, col=1)
    first = figure.count
    figure.add_scatter(
        x=[0.5], y=[0.5], mode="text", text=[f"Play or Step: one {many} after the other"], hoverinfo="skip",
        textposition="middle right", textfont={"color": ink.text, "size": 13}, cliponaxis=False, showlegend=False,
        row=1, col=1,
    )  # fmt: skip
    steps = [
        [{"x": [0.5], "y": [0.5], "text": [f"{many} {name}:  {least_and_most(pieces, k)}"]}]
        for k, name in enumerate(pieces.names)
    ]
    player.add(figure, ink, steps, [first])
    best = {name: int(sum(errors[k] == min(o[k] for o in pieces.errors.values()) for k in range(count)))
            for name, errors in pieces.errors.items()}  # fmt: skip
    most = max(best, key=lambda name: best[name])
    alone = " Made-up data are a single layer; take a network to step through several." if count == 1 else ""
    said = f"{SHORT[most]} leaves the least of {best[most]} of {count} {many}{'s' if count > 1 else ''}."
    return Panel(
        name="steps",
        title=f"{many.capitalize()} after {many}",
        look=f"The error each method leaves; {said}{alone}",
        alt=f"Relative error of {len(pieces.errors)} methods for {count} {many}s. {said}",
        figure=figure,
        formulas=[formulas.left_over(count, many)],
        table=lambda: {many: at, **{SHORT[name]: errors for name, errors in pieces.errors.items()}},
    )  # fmt: skip
