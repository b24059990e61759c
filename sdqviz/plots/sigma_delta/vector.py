"""Draws the vector before and after, and the panels of the page in their order."""

from __future__ import annotations

import numpy as np

from sdqviz.bounds.statement import CZAJA_NA
from sdqviz.explore.formula import Formula
from sdqviz.explore.vector import VectorRun
from sdqviz.explore.wording import number, percent
from sdqviz.plots import theme
from sdqviz.plots.panel import Panel
from sdqviz.plots.sigma_delta.error import draw_error
from sdqviz.plots.sigma_delta.future import draw_filter
from sdqviz.plots.sigma_delta.spectrum import draw_spectrum
from sdqviz.plots.sigma_delta.walk import draw_walk
from sdqviz.plots.theme import Ink


def draw_vector(run: VectorRun, ink: Ink) -> Panel:
    """Draw the vector before and after, and plain rounding of it at the same bits per weight."""
    index = np.arange(1, run.frame.dimension + 1)
    figure = theme.figure(ink, x="entry of the vector", y="value", height=368)
    figure.update_layout(margin={"t": 76})  # on a phone the names stand below each other
    mode = "lines+markers" if len(index) <= 32 else "lines"
    curves = [
        (run.vector, "original", theme.ORIGINAL),
        (run.reconstruction, f"{run.called}, {number(run.level_bits)} bits a weight", theme.COMPRESSED),
    ]
    if run.plain_bits >= 1:
        curves.insert(1, (run.plain, f"plain rounding, {run.plain_bits} bits", theme.ROUNDING))
    for values, name, look in curves:
        figure.add_scatter(
            x=index, y=values.astype(np.float32), name=name, mode=mode, line=look.line(ink), marker=look.marker(ink, 6)
        )
    plain = (
        f"{percent(run.plain_error / run.norm)} for plain rounding" if run.plain_bits >= 1 else "no whole bit a weight"
    )
    canonical = run.scheme.canonical
    source = f"{CZAJA_NA}, eq. (10)" if canonical else f"F is the dual called {run.scheme.dual}"
    return Panel(
        name="vector",
        title="Before and after",
        look="Where grey is hidden, nothing was lost. Orange spends no more bits, without a frame.",
        alt=f"The vector of {len(index)} entries, its reconstruction and plain rounding. Relative error: "
        f"{percent(run.error / run.norm)} for {run.called}, {plain}.",
        figure=figure,
        formulas=[
            Formula(
                r"\tilde x=\frac dN\sum_n q_n\,e_{p(n)}" if canonical else r"\tilde x=Fq,\quad FE=I",
                [
                    ("d", "length of the vector", str(run.frame.dimension)),
                    ("N", "frame vectors", str(run.frame.size)),
                    (r"\|x-\tilde x\|/\|x\|", "relative error", percent(run.error / run.norm)),
                ],
                f"{source}. Plain rounding: the entries themselves, midrise levels that just fit the largest.",
            )
        ],
        table=lambda: {"original": run.vector, "sigma_delta": run.reconstruction, "plain_rounding": run.plain},
    )


def panels(run: VectorRun, ink: Ink) -> list[Panel]:
    """Return the page's panels after the first, those that can be drawn for this vector."""
    first = [draw_walk(run, ink)] if run.frame.dimension in (2, 3) else []
    shaped = [draw_filter(run, ink)] if len(run.taps.lags) > 1 else []
    return [*first, draw_error(run, ink), draw_vector(run, ink), draw_spectrum(run, ink), *shaped]
