"""Draws a run beside its baselines: accuracy against what it costs."""

from __future__ import annotations

from collections.abc import Sequence

from sdqviz.explore.geta import formulas
from sdqviz.explore.geta.beside import Mark, beside_table, marks
from sdqviz.explore.geta.words import accuracy
from sdqviz.explore.wording import number, percent
from sdqviz.methods.geta.recording import Recording
from sdqviz.plots import theme
from sdqviz.plots.panel import Panel
from sdqviz.plots.theme import Ink, Look


def draw_beside(run: Recording, ink: Ink) -> Panel:
    """Draw accuracy against relative BOPs: the run, its baselines, and the original."""
    shown = marks(run)
    points = [one for one in shown if one.accuracy is not None]
    figure = theme.figure(ink, x="relative BOPs", y="test accuracy", height=340, showlegend=False)
    for one in points:
        figure.add_scatter(
            x=[one.relative_bops], y=[one.accuracy], mode="markers+text", text=[_short(one.label)],
            name=one.label,
            marker=_look(one).marker(ink, 13 if one is points[0] else 10)
            | {"line": {"width": 1.5, "color": _look(one).colour(ink)}},
            textposition=_side(one, points), textfont={"size": 11, "color": ink.text}, cliponaxis=False,
            hovertemplate=f"{one.label}: %{{y:.2%}} at %{{x:.3%}} of the BOPs, {number(one.bits_per_weight)} bits a "
            f"weight, {percent(one.sparsity)} pruned<extra></extra>",
        )  # fmt: skip
    low = min(one.relative_bops for one in shown)
    axis = theme.log_axis(0.6 * low, 1.6)
    figure.update_xaxes(axis | {"ticktext": [percent(value) for value in axis["tickvals"]]})
    figure.update_yaxes(tickformat=".2~%")
    figure.update_layout(margin={"t": 14, "l": 70})
    told = "; ".join(f"{one.label} {accuracy(one.accuracy)} at {percent(one.relative_bops)}" for one in shown)
    return Panel(
        name="beside",
        title="What it costs, and what it keeps",
        look="Up is better, left is cheaper. The baselines prune or round the same network; those trained were "
        "trained for as many steps.",
        alt=f"Test accuracy against relative BOPs: {told}.",
        figure=figure,
        formulas=[formulas.bops(run)],
        table=lambda: beside_table(shown),
    )


def _short(label: str) -> str:
    """Return what is done and with how many bits.

    Examples
    --------
    >>> _short("Smallest units removed, fine-tuned, 8 bits, activations 8")
    'Smallest units removed, 8 bits'
    """
    first, *rest = label.split(", ")
    return ", ".join([first, *[part for part in rest if part.endswith(("bit", "bits"))][:1]])


def _side(one: Mark, points: Sequence[Mark]) -> str:
    """Put a label where it does not run out of the picture, and not onto its neighbour's."""
    right = one.relative_bops > 0.15
    near = [
        other for other in points if other is not one and 0.5 < other.relative_bops / max(one.relative_bops, 1e-12) < 2
    ]
    lower = any((other.accuracy or 0.0) > (one.accuracy or 0.0) for other in near)
    return f"{'bottom' if lower else 'top'} {'left' if right else 'right'}"


def _look(one: Mark) -> Look:
    """Return how a way is drawn: as its method is everywhere."""
    return theme.METHODS.get(one.method, theme.ROUNDING) if one.method else theme.ORIGINAL
