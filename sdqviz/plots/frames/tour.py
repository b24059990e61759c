"""Draws the vectors of a frame, the tour through them, and its length as a running sum."""

from __future__ import annotations

import numpy as np

from sdqviz.explore.formula import Formula
from sdqviz.explore.frames import FrameInfo, projected, variation_formula
from sdqviz.explore.wording import number
from sdqviz.plots import scene, theme
from sdqviz.plots.panel import Panel
from sdqviz.plots.theme import Ink


def draw_tour(found: FrameInfo, ink: Ink) -> Panel:
    """Draw the vectors and the tour through them, coloured by the step."""
    points, how = projected(found)
    solid = points.shape[1] == 3
    size = found.frame.size
    figure = theme.figure(ink, height=420)
    kept = np.arange(size) if size <= theme.DRAWN else np.arange(0, size, -(-size // theme.DRAWN))
    shown = points[kept]
    flat = (scene.seen(shown, 0.0) if solid else shown).astype(np.float32)
    if solid:
        scene.draw_sphere(figure, 1.0, ink)
    bar = {"title": {"text": "step n", "font": {"size": 12}}, "thickness": 10, "len": 0.7, "outlinewidth": 0, "x": 1.0}
    figure.add_scatter(
        x=flat[:, 0],
        y=flat[:, 1],
        mode="lines+markers",
        name="frame vector",
        showlegend=False,
        line={"color": theme.ORIGINAL.colour(ink) if size <= 60 else ink.faint, "width": 1.2},
        marker={
            "size": 8 if size <= 100 else 5,
            "color": (kept + 1).astype(np.int32),
            "colorscale": theme.DENSITY,
            "showscale": True,
            "colorbar": bar,
            "line": {"width": 0.5, "color": ink.text},
        },
        customdata=found.order[kept].astype(np.int32),
        hovertemplate="frame vector %{customdata}<extra></extra>",
    )
    if solid:
        scene.turn(figure, {figure.count - 1: shown}, ink)
    else:
        square = {"scaleanchor": "x", "scaleratio": 1}
        first = found.frame.dimension <= 2
        figure.update_xaxes(title_text="first coordinate" if first else "first direction")
        figure.update_yaxes(title_text="second coordinate" if first else "second direction", **square)
    figure.update_layout(margin={"r": 70})
    if len(kept) < size:
        theme.mark_decimation(figure, size, len(kept), ink)
    return Panel(
        name="tour",
        title="The vectors and the tour through them",
        look=f"ΣΔ visits the vectors in the order of the colours; a short tour means small errors. Drawn {how}.",
        alt=f"{size} frame vectors in {found.frame.dimension} dimensions, {how}, joined in the order of the walk. "
        f"The tour has length {number(found.walk.variation)}, {number(float(found.steps.mean()))} a step on average.",
        figure=figure,
        formulas=[variation_formula(found)],
        table=lambda: {
            "n": np.arange(1, size + 1),
            "frame_vector": found.order,
            **{f"direction_{k + 1}": points[:, k] for k in range(points.shape[1])},
        },
    )


def draw_running(found: FrameInfo, ink: Ink) -> Panel:
    """Draw σ as a running sum along the walk, under Wang's limit."""
    total = np.concatenate([[0.0], np.cumsum(found.steps)])
    n = np.arange(1, len(total) + 1)
    at = theme.decimate(total)
    figure = theme.figure(ink, x="step n along the walk", y="length walked so far", height=340)
    figure.add_scatter(
        x=n[at], y=total[at].astype(np.float32), mode="lines", name="σ so far", line=theme.COMPRESSED.line(ink, 2)
    )
    bound = found.wang
    applies = found.frame.dimension >= 3
    near = applies and bound.value < 2.5 * total[-1]
    if near:
        figure.add_hline(bound.value, line=theme.BOUND.line(ink, 1.5))
    if applies:
        where = {"y": bound.value, "yshift": 9} if near else {"y": 1, "yref": "paper", "yanchor": "bottom"}
        figure.add_annotation(
            text=f"Wang's limit (8): {number(bound.value)}" + ("" if near else ", far above this picture"),
            x=0.01, xref="paper", showarrow=False, xanchor="left", font={"size": 12, "color": ink.text}, **where,
        )  # fmt: skip
    figure.update_yaxes(rangemode="tozero")
    theme.mark_decimation(figure, len(total), len(at), ink)
    ratio = found.walk.variation / bound.value if applies else None
    fits = f"{number(ratio)} of Wang's limit" if ratio is not None else "Wang's limit speaks of d ≥ 3 only"
    return Panel(
        name="variation",
        title="Frame variation as a running sum",
        look=f"The total, {number(found.walk.variation)}, enters the error bound: {fits}.",
        alt=f"The length of the tour grows to {number(found.walk.variation)} over {found.frame.size} vectors; {fits}.",
        figure=figure,
        formulas=[
            variation_formula(found),
            Formula(
                bound.formula,
                [],
                f"{bound.reference}. {bound.because}",
                bound.substituted if applies else "",
                bound.text,
            ),
        ],
        table=lambda: {"n": n, "frame_vector": found.order, "length": total},
    )
