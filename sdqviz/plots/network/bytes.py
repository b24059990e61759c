"""Draws the real size of a compressed network: what is stored, beside the original and plain rounding."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from sdqviz.explore.network import formulas
from sdqviz.explore.network.table import PART_NAMES, bytes_info
from sdqviz.explore.network.words import bits_text
from sdqviz.explore.rounding_beside import Comparison
from sdqviz.explore.wording import number, size
from sdqviz.plots import theme
from sdqviz.plots.network.looks import look_of
from sdqviz.plots.panel import Panel
from sdqviz.plots.theme import Ink

LEGEND_LINE = 19
"""Pixels of a line of the legend."""


NAMED = 3
"""Parts that were kept as they are, by name; more are counted."""


def draw_bytes(found: Comparison, ink: Ink) -> Panel:
    """Draw the real size: stacked bars of what is stored, beside the original and plain rounding."""
    info = bytes_info(found)
    rows = list(info)
    kinds = list(dict.fromkeys(part for parts in info.values() for part in parts))
    ground = (theme.ORIGINAL, look_of(found.report), theme.ROUNDING)
    pattern = {"float32": "", "levels": "", "step": "/", "parameters": "x", "kept": "."}
    figure = theme.figure(ink, height=230, barmode="stack", bargap=0.35)
    for kind in kinds:
        values = np.array([info[row].get(kind, 0.0) for row in rows])
        if values.any():
            colours = [(theme.ORIGINAL if kind == "kept" else one).colour(ink) for one in ground]
            figure.add_bar(
                y=rows, x=values, orientation="h", name=PART_NAMES.get(kind, kind),
                marker={
                    "color": colours, "line": {"width": 0.5, "color": ink.page},
                    "pattern": {"shape": pattern.get(kind, "+"), "fillmode": "overlay", "fgcolor": ink.page},
                },
                customdata=[size(value) for value in values],
                hovertemplate="%{y}: %{customdata}<extra>%{fullData.name}</extra>",
            )  # fmt: skip
    totals = {row: sum(parts.values()) for row, parts in info.items()}
    largest = max(totals.values())
    for row, total in totals.items():
        figure.add_annotation(
            x=total, y=row, text=size(total), xanchor="left", xshift=6, showarrow=False, font={"color": ink.text}
        )
    unit = 1 << (20 if largest >= 1 << 21 else 10)
    ticks = _round_ticks(largest / unit)
    figure.update_xaxes(
        range=[0, 1.18 * largest],
        tickvals=[t * unit for t in ticks],
        ticktext=[f"{number(t)} {'MiB' if unit > 1024 else 'KiB'}" for t in ticks],
    )
    figure.update_yaxes(autorange="reversed", showgrid=False, type="category", automargin=False)
    more = LEGEND_LINE * max(0, math.ceil(figure.count / 2) - 2)  # the legend is two names wide, two lines are usual
    left = 20 + 8 * max(map(len, rows))  # automargin cuts the names of stacked bars
    top, height = figure.given("margin", "t") + more, figure.given("height") + more
    figure.update_layout(margin={"l": left, "t": top}, height=height)
    report = found.report
    kept = f" Kept as they are: {_listed(report.left_alone)}." if report.left_alone else ""
    ratio = report.original_bytes / report.bytes
    listed = ", ".join(f"{PART_NAMES.get(kind, kind)} {size(v)}" for kind, v in found.parts.items() if v > 0)
    return Panel(
        name="bytes",
        title="Real size",
        look=f"{size(report.original_bytes)} become {size(report.bytes)}, {number(ratio)} times less. "
        f"Everything a decoder needs is counted; the packed file adds only its header.{kept}",
        alt=f"Sizes: original {size(report.original_bytes)}, compressed {size(report.bytes)} "
        f"({listed}), "
        f"rounding at {bits_text(found.rounding)} {size(found.rounding.best.bytes)}.",
        figure=figure,
        formulas=[formulas.stored(found)],
        table=lambda: {
            "stored as": np.array(rows),
            **{PART_NAMES.get(k, k): np.array([info[row].get(k, 0.0) for row in rows]) for k in kinds},
        },
    )


def _listed(names: Sequence[str]) -> str:
    """Write names one after the other, of many the first and how many more."""
    shown = "; ".join(names[:NAMED])
    return shown if len(names) <= NAMED else f"{shown} and {len(names) - NAMED} more"


def _round_ticks(largest: float) -> list[float]:
    rough = largest / 5
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(m * power for m in (1, 2, 5, 10) if m * power >= rough)
    return [step * k for k in range(int(largest / step) + 1)]
