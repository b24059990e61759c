"""The numbers of a run that can be an axis: how each is read, written and placed."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Sequence

import numpy as np

from sdqviz.array import Array
from sdqviz.explore.wording import number, percent, size
from sdqviz.report import Report


@dataclasses.dataclass(frozen=True)
class Figure:
    """One number of a run that can be an axis.

    Attributes
    ----------
    title : str
        For axes, with the unit.
    short : str
        For headings and narrow places.
    read : callable
        Takes it from a report; NaN where the run does not have it.
    scale : str
        ``"log"``, ``"linear"``, or ``"share"`` for shares near 1, whose distance from 1 is drawn logarithmically.
    text : callable
        Writes a value.
    grows : bool
        Whether more is better.
    help : str
        How it is counted.
    """

    title: str
    short: str
    read: Callable[[Report], float]
    scale: str
    text: Callable[[float], str]
    grows: bool
    help: str


def _or_nan(value: float | None) -> float:
    return math.nan if value is None else float(value)


def _lost(report: Report) -> float:
    return _or_nan(report.accuracy_before) - _or_nan(report.accuracy_after)


def accuracy_text(value: float) -> str:
    """Write a test accuracy with two decimals, or say that there is none."""
    return "not tested" if math.isnan(value) else f"{100 * value:.2f} %"


def _points_text(value: float) -> str:
    return "not tested" if math.isnan(value) else f"{100 * value:.2f} points"


FIGURES: dict[str, Figure] = {
    "bits": Figure(
        "bits per original weight",
        "bits per weight",
        lambda one: one.bits_per_weight,
        "log",
        number,
        False,
        "Everything stored (levels, scales, masks, frame parameters, kept tensors) per original number.",
    ),
    "bytes": Figure(
        "bytes stored", "bytes", lambda one: float(one.bytes), "log", size, False, "Size of the packed tensors."
    ),
    "bops": Figure(
        "bit operations, relative to the original",
        "bit operations",
        lambda one: one.relative_bops,
        "log",
        percent,
        False,
        "Multiply-accumulates times the bits of both factors, over those of the original in 32 × 32 bits.",
    ),
    "accuracy": Figure(
        "accuracy on the test inputs",
        "accuracy",
        lambda one: _or_nan(one.accuracy_after),
        "share",
        accuracy_text,
        True,
        "Share of all test inputs that are classified rightly.",
    ),
    "lost": Figure(
        "accuracy lost, points",
        "accuracy lost",
        _lost,
        "linear",
        _points_text,
        False,
        "Accuracy in float minus accuracy after; below zero where the compressed network is better.",
    ),
    "error": Figure(
        "relative output error",
        "output error",
        lambda one: one.relative_output_error,
        "log",
        percent,
        False,
        "‖f − f_Q‖_F/‖f‖_F over the calibration inputs.",
    ),
    "zeros": Figure(
        "share of zero weights", "zeros", lambda one: one.sparsity, "linear", percent, True, "Exact zeros."
    ),
    "seconds": Figure(
        "seconds to compress", "seconds", lambda one: one.seconds, "log", number, False, "Measurement excluded."
    ),
}
"""Every figure by the name the link uses."""

SIZES, LOSSES = ("bits", "bytes", "bops"), ("accuracy", "error", "lost")
"""Figures for the two axes of the Pareto plot."""

_NEAREST_ONE = 1e-4
"""Distance from 1 below which a share is drawn as this: 10,000 test inputs tell no more."""


def place(name: str, values: Array | Sequence[float]) -> Array:
    """Return where values of a figure lie on an even axis: log10, or −log10(1 − share), or as they are."""
    array = np.asarray(values, float)
    scale = FIGURES[name].scale
    if scale == "log":
        return np.log10(np.where(array > 0, array, np.nan))
    if scale == "share":
        return -np.log10(np.maximum(1 - array, _NEAREST_ONE))
    return array


def value_at(name: str, position: float) -> float:
    """Invert `place`."""
    scale = FIGURES[name].scale
    if scale == "log":
        return float(10**position)
    return float(1 - 10**-position) if scale == "share" else position


def ticks(name: str, low: float, high: float, most: int = 9) -> tuple[list[float], list[str]]:
    """Return positions and texts of the ticks of a figure's axis between two positions."""
    scale = FIGURES[name].scale
    if scale == "log":
        return _log_ticks(name, low, high, most)
    if scale == "share":
        shares = (0.0, 0.5, 0.8, 0.9, 0.95, 0.97, 0.98, 0.985, 0.99, 0.995, 0.998, 0.999)
        found = [(float(place(name, [share])[0]), f"{100 * share:g} %") for share in shares]
        found = [(position, text) for position, text in found if low <= position <= high]
        return [position for position, _ in found], [text for _, text in found]
    span = max(high - low, 1e-12)
    raw = span / max(most - 1, 1)
    power = 10 ** math.floor(math.log10(raw))
    step = next(m * power for m in (1, 2, 5, 10) if m * power >= raw * 0.999)
    positions = [k * step for k in range(math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9) + 1)]
    shown = 100.0 if name in ("lost", "zeros") else 1.0
    unit = " %" if name == "zeros" else ""
    return positions, [f"{number(shown * position)}{unit}" for position in positions]


def _log_ticks(name: str, low: float, high: float, most: int) -> tuple[list[float], list[str]]:
    powers = range(math.floor(low) - 1, math.ceil(high) + 1)
    for mantissas in ((1, 1.5, 2, 3, 4, 5, 6, 8), (1, 2, 3, 5), (1, 2, 5), (1, 3), (1,)):
        values = [m * 10.0**k for k in powers for m in mantissas if low <= math.log10(m * 10.0**k) <= high]
        if len(values) <= most:
            break
    text = FIGURES[name].text if name in ("bytes", "error", "bops") else number
    return [math.log10(value) for value in values], [_short(text(value)) for value in values]


def _short(text: str) -> str:
    return text.replace(".0 %", " %")
