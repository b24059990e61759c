"""Gives two figures the same axes, so that what looks larger is larger."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import plotly.graph_objects as go

from sdqviz.plots import theme
from sdqviz.plots.panel import Panel

PAD = 0.04
"""Share of the range left free at either end."""


def pair(one: Panel | None, other: Panel | None) -> tuple[Panel | None, Panel | None]:
    """Return two panels with copies of their figures on the same axes; one that is alone stays as it is."""
    if one is None or other is None:
        return one, other
    figures = go.Figure(one.figure), go.Figure(other.figure)
    share(*figures)
    return dataclasses.replace(one, figure=figures[0]), dataclasses.replace(other, figure=figures[1])


def share(one: go.Figure, other: go.Figure) -> None:
    """Give every axis that both figures have one range; both figures are changed.

    Axes of words get the words of both, in the order in which they come.
    """
    names = [name for name in one.layout if name[1:5] == "axis" and name in other.layout]
    for name in names:
        axes = one.layout[name], other.layout[name]
        spans = [_span(figure, axis, name) for figure, axis in zip((one, other), axes, strict=True)]
        if any(span is None for span in spans) or axes[0].type != axes[1].type:
            continue
        if all(isinstance(span, list) for span in spans):
            words = list(dict.fromkeys(spans[0] + spans[1]))
            found: dict[str, Any] = {"categoryorder": "array", "categoryarray": words}
            low, high = -0.5, len(words) - 0.5
        elif any(isinstance(span, list) for span in spans):
            continue
        else:
            found = {}
            low, high = _joined(spans)
        found |= {"range": [high, low] if _reversed(axes) else [low, high], "autorange": None}
        if axes[0].type == "log" and axes[0].tickvals is not None:  # what is written was chosen for one range alone
            found = theme.log_axis(10.0 ** found["range"][0], 10.0 ** found["range"][1]) | found
        elif all(axis.tickvals for axis in axes) and not isinstance(spans[0], list):
            farthest = max(axes, key=lambda axis: max(axis.tickvals))
            found |= {"tickvals": farthest.tickvals, "ticktext": farthest.ticktext}
        for axis in axes:
            axis.update(found)


def _joined(spans: list[Any]) -> tuple[float, float]:
    """Return the range that holds all, with some room at an end that was not given and is no foot of bars."""
    low, high = min(span[0] for span in spans), max(span[1] for span in spans)
    room = PAD * ((high - low) or abs(high) or 1.0)
    given = [end for span in spans if span[2] for end in span[:2]]
    return low - room * (low != 0 and low not in given), high + room * (high not in given)


def _reversed(axes: tuple[Any, Any]) -> bool:
    return any(axis.autorange == "reversed" or (axis.range and axis.range[0] > axis.range[1]) for axis in axes)


def _span(figure: go.Figure, axis: Any, name: str) -> Any:
    """Return what an axis shows: (low, high, given), in powers of ten if logarithmic; a list of words; or None."""
    if axis.range is not None and all(isinstance(end, int | float) for end in axis.range):
        return float(min(axis.range)), float(max(axis.range)), True
    letter, reference = name[0], name.replace("axis", "")
    drawn = [t for t in figure.data if letter in t and (getattr(t, f"{letter}axis", None) or letter) == reference]
    found = [np.asarray(trace[letter]) for trace in drawn if trace[letter] is not None]
    found = [values.ravel() for values in found if values.size]
    if not found:
        return None
    if any(values.dtype.kind in "USO" for values in found):
        words = (word for values in found for word in values.tolist() if word is not None)
        return [str(word) for word in dict.fromkeys(words)]
    numbers = np.concatenate([values.astype(float) for values in found])
    if axis.type == "log":
        numbers = np.log10(numbers[numbers > 0])
    numbers = numbers[np.isfinite(numbers)]
    if not len(numbers):
        return None
    bars = any(trace.type == "bar" and (trace.orientation or "v") == {"y": "v", "x": "h"}[letter] for trace in drawn)
    low, high = float(numbers.min()), float(numbers.max())
    if axis.type != "log" and (bars or axis.rangemode == "tozero"):
        low, high = min(low, 0.0), max(high, 0.0)
    return low, high, False
