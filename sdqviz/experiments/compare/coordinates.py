"""Runs on parallel axes: where each crosses every axis, and what a box drawn over the axes keeps."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from sdqviz.array import Array
from sdqviz.experiments.compare.entry import Entry
from sdqviz.experiments.compare.figures import FIGURES, place, value_at
from sdqviz.experiments.compare.filters import BRUSHED, Range
from sdqviz.explore.formula import Formula


@dataclasses.dataclass(frozen=True, eq=False)
class Coordinates:
    """Where every point crosses every axis.

    Attributes
    ----------
    points : tuple of Entry
        One a line.
    axes : tuple of str
        ``"method"`` or names of figures, from left to right.
    heights : ndarray, shape (points, axes)
        0 … 1 along each axis; NaN where a point has no such figure.
    ends : mapping of str to (float, float)
        The positions of each axis's ends, see `sdqviz.experiments.compare.figures.place`.
    methods : tuple of str
        Names on the axis of methods, from below.
    """

    points: tuple[Entry, ...]
    axes: tuple[str, ...]
    heights: Array
    ends: Mapping[str, Range]
    methods: tuple[str, ...]


def coordinates_info(points: Sequence[Entry], order: Callable[[str], Any]) -> Coordinates:
    """Place points on the axes that can be brushed; one on which none has a figure is left out.

    Parameters
    ----------
    points : sequence of Entry
        Failed ones are left out.
    order : callable
        By which names of methods are sorted, from above.
    """
    drawn = tuple(one for one in points if not one.failed)
    methods = tuple(sorted({one.method for one in drawn}, key=order, reverse=True))
    columns: dict[str, Array] = {}
    ends: dict[str, Range] = {}
    for name in BRUSHED:
        if name == "method":
            values = np.array([float(methods.index(one.method)) for one in drawn])
            low, high = -0.5, max(len(methods) - 0.5, 0.5)
        else:
            values = place(name, [one.values[name] for one in drawn])
            if not len(values) or np.isnan(values).all():
                continue
            low, high = float(np.nanmin(values)), float(np.nanmax(values))
            low, high = (low - 0.5, high + 0.5) if high - low < 1e-9 else (low, high)
        columns[name], ends[name] = (values - low) / (high - low), (low, high)
    heights = np.array(list(columns.values())).T if columns else np.zeros((0, 0))
    return Coordinates(drawn, tuple(columns), heights, ends, methods)


def brush_of(boxes: Sequence[Mapping[str, Any]], info: Coordinates) -> dict[str, Range | frozenset[str]]:
    """Turn boxes drawn over the axes into a brush: every axis a box reaches over is limited to the box's heights.

    Parameters
    ----------
    boxes : sequence of mapping
        Each with ``x`` and ``y``, two corners in the figure's coordinates, as Plotly reports a selection.
    info : Coordinates
        What was drawn. Two boxes over one axis leave the range that holds both.
    """
    limits: dict[str, Range] = {}
    for box in boxes:
        left, right = sorted(float(value) for value in box["x"][:2])
        low, high = sorted(float(value) for value in box["y"][:2])
        for position, name in enumerate(info.axes):
            if left <= position <= right:
                before = limits.get(name, (low, high))
                limits[name] = (min(low, before[0]), max(high, before[1]))
    found: dict[str, Range | frozenset[str]] = {}
    for name, (low, high) in limits.items():
        first, last = info.ends[name]
        at = (first + low * (last - first), first + high * (last - first))
        if name == "method":
            found[name] = frozenset(method for k, method in enumerate(info.methods) if at[0] <= k <= at[1])
        else:
            found[name] = (
                value_at(name, at[0]) if low > 0 else -math.inf,
                value_at(name, at[1]) if high < 1 else math.inf,
            )
    return found


def formula(shown: int) -> Formula:
    """Return where a value lies on its axis."""
    return Formula(
        r"h=\frac{p(v)-p_{\min}}{p_{\max}-p_{\min}}",
        [
            ("h", "height on an axis", ""),
            ("p", "log of a size, an error or a time; −log of the misclassified share for accuracy", ""),
            ("n", "lines drawn", str(shown)),
        ],
        "Each axis runs from the smallest to the largest value of the runs that pass the filters.",
    )


def table(info: Coordinates) -> dict[str, Array]:
    """Return every figure of every point."""
    columns = {"method": np.array([one.method for one in info.points])}
    columns["settings"] = np.array([one.settings for one in info.points])
    for name in FIGURES:
        columns[name] = np.array([one.values[name] for one in info.points])
    return columns
