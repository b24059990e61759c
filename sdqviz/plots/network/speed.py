"""Draws what inference in the frame's domain takes, part by part, beside the dense layers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from sdqviz.explore.network import formulas
from sdqviz.explore.wording import number, percent, size
from sdqviz.plots import theme
from sdqviz.plots.panel import Panel
from sdqviz.plots.theme import Ink

if TYPE_CHECKING:  # drawing must not load torch
    from sdqviz.compression.speed import LayerSpeed

DRAWN_LAYERS, WIDEST = 5, 2.5
"""Layers that are drawn, the largest ones; and times that fit on the axis, in units of dense float32."""

PARTS = {"float32": "dense, float32", "int8": "dense, 8 bits", "transform": "transform E x",
         "tables": "rounding and tables", "product": "product with the levels"}  # fmt: skip
PATTERN = {"transform": "/", "tables": "x"}


def draw_speed(found: Sequence[LayerSpeed], batch: int, ink: Ink) -> Panel:
    """Draw times as shares of dense float32, the frame's in its three parts; what is slower goes past the line at 1."""
    drawn = sorted(found, key=lambda one: -one.float32_bytes)[:DRAWN_LAYERS]
    kinds = {"float32": "float32", "int8": "8 bits"} | dict.fromkeys(("transform", "tables", "product"), "frame")
    looks = {"float32": theme.ORIGINAL, "int8": theme.ROUNDING}
    figure = theme.figure(
        ink, height=110 + 75 * len(drawn), barmode="stack", bargap=0.15, x="time in units of dense float32"
    )
    names = [one.name if len(one.name) < 24 else one.name.replace(", ", ",<br>") for one in drawn]
    begun = dict.fromkeys(kinds.values(), np.zeros(len(drawn)))
    for part, title in PARTS.items():
        begin = begun[kinds[part]]
        begun[kinds[part]] = end = begin + [getattr(one, part) / one.float32 for one in drawn]
        figure.add_bar(
            y=[names, [kinds[part]] * len(drawn)], x=np.minimum(end, WIDEST) - np.minimum(begin, WIDEST),
            orientation="h", name=title, customdata=[told(getattr(one, part)) for one in drawn],
            hovertemplate="%{customdata}<extra>%{fullData.name}</extra>",
            marker={
                "color": looks.get(part, theme.METHODS["frame-calibrated"]).colour(ink),
                "pattern": {"shape": PATTERN.get(part, ""), "fillmode": "overlay", "fgcolor": ink.page},
            },
        )  # fmt: skip
    for name, one in zip(names, drawn, strict=True):
        for part, kind in {"float32": "float32", "int8": "8 bits", "frame": "frame"}.items():
            taken, kept = getattr(one, part), getattr(one, f"{part}_bytes")
            figure.add_annotation(
                x=min(taken / one.float32, WIDEST), y=[name, kind], xanchor="left", showarrow=False,
                text=f" {'… ' if taken > WIDEST * one.float32 else ''}{told(taken)}, {size(kept)}",
            )  # fmt: skip
    figure.add_vline(1, line={"color": ink.text, "width": 1, "dash": "dash"})
    figure.update_xaxes(range=[0, WIDEST + 1.1], tickvals=[0, 0.5, 1, 1.5, 2, 2.5])
    figure.update_yaxes(autorange="reversed", showgrid=False)
    figure.update_layout(margin={"l": 190, "t": 66}, legend_traceorder="normal")
    large = found[-1]
    slower = sum(one.frame > one.float32 for one in found[:-1])
    return Panel(
        name="speed",
        title="Inference in the frame's domain",
        look=f"Measured here just now, one thread, batch {batch}. In {slower} of {len(found) - 1} layers of this "
        f"network the frame is slower than dense float32; at {large.name}, it takes "
        f"{percent(large.frame / large.float32)} of its time and {percent(large.frame / large.int8)} of that in 8 "
        f"bits. Bars end at {WIDEST:g}.",
        alt="; ".join(
            f"{one.name}: {', '.join(f'{title} {told(getattr(one, part))}' for part, title in PARTS.items())}"
            for one in drawn
        ),
        figure=figure,
        formulas=[formulas.frame_domain(large)],
        table=lambda: {
            "layer": np.array([one.name for one in found]),
            **{f"{title}, seconds": np.array([getattr(one, part) for one in found]) for part, title in PARTS.items()},
            **{f"{kind}, bytes": np.array([getattr(one, f"{kind}_bytes") for one in found])
               for kind in ("float32", "int8", "frame")},
        },
    )  # fmt: skip


def told(seconds: float) -> str:
    """Write a short time in microseconds."""
    return f"{number(1e6 * seconds)} µs"
