"""Draws the walk of the partial sums in the plane or in space."""

from __future__ import annotations

from typing import Any

import numpy as np

from sdqviz.array import Array
from sdqviz.bounds.statement import CZAJA_NA
from sdqviz.explore.formula import Formula
from sdqviz.explore.vector import VectorRun
from sdqviz.explore.wording import number, percent
from sdqviz.plots import player, scene, theme
from sdqviz.plots.panel import Panel
from sdqviz.plots.sigma_delta.steps import played_steps
from sdqviz.plots.theme import Ink
from sdqviz.sigma_delta.taps import FIRST


def draw_walk(run: VectorRun, ink: Ink) -> Panel:
    """Draw, for d = 2 or 3, the frame vectors and how the partial sums walk from 0 to x̃ beside those that reach x."""
    solid, published = run.frame.dimension == 3, run.taps == FIRST and run.scheme.canonical
    size = run.frame.size
    names = "xyz"[: run.frame.dimension]
    start = np.zeros((1, run.frame.dimension))
    walks = [np.concatenate([start, sums]) for sums in (run.true_sums, run.partial_sums)]
    reach = max(float(np.linalg.norm(walk, axis=1).max()) for walk in walks)
    at = np.unique(np.linspace(0, size - 1, min(size, 200)).astype(int))
    spokes = np.full((3 * len(at), run.frame.dimension), np.nan)
    spokes[0::3], spokes[1::3] = 0.0, run.frame.vectors[run.order[at]] * reach * 0.4
    kept = np.unique(np.concatenate([theme.decimate(w[:, k], 600) for w in walks for k in range(w.shape[1])]))
    figure = theme.figure(ink, height=440)
    scenes: dict[int, Array] = {}

    def add(points: Array, **given: Any) -> None:
        scenes[figure.count] = points
        flat = (scene.seen(points, 0.0) if solid else points).astype(np.float32)
        figure.add_scatter(x=flat[:, 0], y=flat[:, 1], **given)

    if solid:
        scene.draw_sphere(figure, reach, ink)
    add(spokes, mode="lines", name="frame vectors", line={"color": ink.faint, "width": 1.5}, hoverinfo="skip")
    add(walks[0][kept], mode="lines", name="exact sums", line=theme.ORIGINAL.line(ink, 3))
    add(walks[1][kept], mode="lines", name="sums of levels", line=theme.COMPRESSED.line(ink, 2))
    add(walks[0][-1:], mode="markers", name="x", marker=theme.ORIGINAL.marker(ink, 12))
    add(walks[1][-1:], mode="markers", name="x̃", marker=theme.COMPRESSED.marker(ink, 10))
    if solid:
        scene.turn(figure, scenes, ink)
    else:
        figure.update_xaxes(title_text="first coordinate")
        figure.update_yaxes(title_text="second coordinate", scaleanchor="x", scaleratio=1)
        cursor = figure.count
        ring = {"size": 12, "color": theme.ERROR.colour(ink), "symbol": "circle-open", "line": {"width": 3}}
        add(walks[1][1:2], mode="markers", name="now", marker=ring, showlegend=False)
        steps = played_steps(size)
        figure.frames = [
            {
                "name": str(k + 1),
                "data": [{axis: [round(float(v), 6)] for axis, v in zip(names, walks[1][k + 1], strict=True)}],
                "traces": [cursor],
            }
            for k in steps
        ]
        player.below(figure, ink, [str(k + 1) for k in steps])
    return Panel(
        name="walk",
        title="The walk in space" if solid else "The walk in the plane",
        look=f"Both walks add up the {'frame' if run.scheme.canonical else 'dual'} vectors, grey with exact "
        "coefficients, blue with levels. Blue may wander within reach of the state, but it arrives next to x.",
        alt=f"Partial sums of {size} frame vectors in {run.frame.dimension} dimensions. The walk with exact "
        f"coefficients ends at x, the walk with levels ends {number(run.error)} away, "
        f"{percent(run.error / run.norm)} of its length.",
        figure=figure,
        formulas=[
            Formula(
                r"x-\tilde x=\frac dN\Bigl[\sum_{n<N}u_n\,(e_{p(n)}-e_{p(n+1)})+u_N\,e_{p(N)}\Bigr]"
                if published
                else r"x-\tilde x=F(y-q)=FHu=\sum_n u_n\,(FH)_n",
                [
                    (
                        r"\sigma(F,p)",
                        "frame variation, the length of the tour of the frame vectors",
                        number(run.walk.variation),
                    ),
                    (r"|u_n|", "at most δ/2", number(run.step / 2)),
                ],
                f"{CZAJA_NA}, proof of Theorem 3.1" if published else "H = I − h, the filter; F, the dual",
                "",
                "vector-bound" if published else "noise-shaping",
            )
        ],
        table=lambda: {
            **{f"exact_{axis}": run.true_sums[:, k] for k, axis in enumerate(names)},
            **{f"levels_{axis}": run.partial_sums[:, k] for k, axis in enumerate(names)},
        },
    )
