"""Draws the Gram matrix of a frame."""

from __future__ import annotations

import numpy as np

from sdqviz.explore.frames import GRAM_CELLS, FrameInfo, coherence_formula
from sdqviz.explore.wording import number
from sdqviz.plots import theme
from sdqviz.plots.panel import Panel
from sdqviz.plots.theme import Ink


def draw_gram(found: FrameInfo, ink: Ink) -> Panel:
    """Draw the Gram matrix as a heat map."""
    gram, size = found.gram, found.frame.size
    block = -(-size // GRAM_CELLS)
    axis = (np.arange(len(gram)) * block).astype(np.int32)
    figure = theme.figure(
        ink, x="frame vector m", y="frame vector n", height=420, margin={"l": 62, "r": 90, "t": 30, "b": 44}
    )
    figure.add_heatmap(
        z=gram.astype(np.float32),
        x=axis,
        y=axis,
        zmin=0,
        zmax=1,
        colorscale=theme.DENSITY,
        colorbar={"title": {"text": "|⟨eₘ,eₙ⟩|"}, "thickness": 10, "outlinewidth": 0, "len": 0.8},
        hovertemplate="|⟨e%{x}, e%{y}⟩| = %{z:.3f}<extra></extra>",
    )
    figure.update_yaxes(autorange="reversed", scaleanchor="x", scaleratio=1, constrain="domain", showgrid=False)
    figure.update_xaxes(constrain="domain", showgrid=False)
    reduced = f" Each cell shows the largest of {block} by {block} products." if block > 1 else ""
    coherence = found.frame.coherence
    return Panel(
        name="gram",
        title="How alike the vectors are",
        look="Bright off the diagonal: vectors that nearly repeat each other." + reduced,
        alt=f"Gram matrix of {size} vectors. Off the diagonal the largest absolute inner product is "
        f"{number(coherence)}.",
        figure=figure,
        formulas=[coherence_formula(found)],
        table=lambda: {f"block_{axis[k]}": gram[k] for k in range(len(gram))},
    )
