"""Draws the frame coefficients of a structured vector before and after random signs."""

from __future__ import annotations

import numpy as np

from sdqviz.explore.formula import Formula
from sdqviz.explore.signs import FAILURE, Spread
from sdqviz.explore.wording import number, percent
from sdqviz.plots import theme
from sdqviz.plots.panel import Panel
from sdqviz.plots.theme import Ink


def draw_signs(found: Spread, ink: Ink) -> Panel:
    """Draw |⟨w, e_n⟩| before and after, and the lemma's line above which hardly any may lie after."""
    figure = theme.figure(ink, x="frame vector n", y="|⟨w, eₙ⟩|, ‖w‖ = 1", height=340)
    shown = {"as they are": (found.before, theme.ORIGINAL), "behind signs": (found.after, theme.COMPRESSED)}
    for name, (values, look) in shown.items():
        at = theme.decimate(values)
        figure.add_scatter(
            x=at + 1, y=values[at].astype(np.float32), name=name, mode="markers", marker=look.marker(ink, 4)
        )
    limit = found.limit.value
    figure.add_scatter(x=[1, len(found.after)], y=[limit] * 2, name="bound", mode="lines", line=theme.BOUND.line(ink))
    before, after, over = found.before.max(), found.after.max(), int((found.after > limit).sum())
    figure.update_yaxes(range=[0, 1.08 * max(before, after, limit)])
    return Panel(
        name="signs",
        title="Random signs spread a vector",
        look=f"{found.what}: the largest coefficient is {number(before)} as the entries are, "
        f"{number(after)} behind signs; {over} lie above the lemma's line, which holds for {percent(1 - FAILURE)} of "
        "all signs.",
        alt=f"Coefficients of {len(found.after)} vectors: largest {number(before)} before, {number(after)} after, line "
        f"at {number(limit)}.",
        figure=figure,
        formulas=[
            Formula(found.limit.formula, [(r"\gamma", "share of signs that may fail", number(FAILURE))],
                    found.limit.reference, found.limit.substituted, found.limit.text)
        ],
        table=lambda: {"before": found.before, "after": found.after},
    )  # fmt: skip
