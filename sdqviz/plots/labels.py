"""Labels at the ends of curves, moved apart where they would overlap."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence

import plotly.graph_objects as go

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
    figure.update_layout(annotations=[*(figure.given("annotations") or ()), *labels])


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
