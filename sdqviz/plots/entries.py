"""What the Compare page works on: figures of runs, runs averaged over seeds, filters, and the brush on the axes."""

from __future__ import annotations

import dataclasses
import functools
import json
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from sdqviz.array import Array
from sdqviz.error import InputError
from sdqviz.experiments.run import Run
from sdqviz.explore.wording import number, percent, size
from sdqviz.methods import METHODS
from sdqviz.report import LayerReport, Report

BASELINE = "round-to-nearest"
"""The method that stands beside all others."""

SHIPPED, SESSION = "shipped", "this session"
"""Where a run comes from; imported runs carry the name of their file."""

ALL = "all"
AVERAGED = "averaged"
"""Values of the filters: every network or seed; runs that differ in their seeds alone as one point."""


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


@dataclasses.dataclass(frozen=True, eq=False)
class Entry:
    """One point: a run, or the mean of runs that differ in their seeds alone.

    Attributes
    ----------
    runs : tuple of Run
        At least one.
    origin : str
        Where they come from.
    """

    runs: tuple[Run, ...]
    origin: str

    @property
    def run(self) -> Run:
        """The first run."""
        return self.runs[0]

    @property
    def key(self) -> str:
        """Key of the first run."""
        return self.run.key

    @property
    def network(self) -> str:
        """Name of the network."""
        return str(self.run.network.get("name", ""))

    @property
    def method(self) -> str:
        """Name of the method."""
        return str(self.run.method.get("name", ""))

    @property
    def failed(self) -> bool:
        """Whether there are no figures."""
        return all(run.report is None for run in self.runs)

    @functools.cached_property
    def values(self) -> Mapping[str, float]:
        """Mean of each figure by name."""
        return {name: _mean(self._of(name)) for name in FIGURES}

    def spread(self, name: str) -> float:
        """Return the standard deviation of a figure, n − 1 in the denominator; NaN for a single run."""
        values = self._of(name)
        return float(np.std(values, ddof=1)) if len(values) > 1 else math.nan

    def _of(self, name: str) -> list[float]:
        return [FIGURES[name].read(run.report) for run in self.runs if run.report is not None]

    @functools.cached_property
    def settings(self) -> str:
        """The method's fields that are not at their default, as people read them."""
        return (
            ", ".join(f"{name} {_plain(value)}" for name, value in changed_fields(self.run.method).items()) or "as is"
        )

    @functools.cached_property
    def title(self) -> str:
        """Method and settings, and what the network and the seeds are."""
        seeds = f"{len(self.runs)} seeds" if len(self.runs) > 1 else f"seed {self.run.seed}"
        return f"{self.method}: {self.settings} · {self.network} {self.run.network.get('seed', '')}, {seeds}"


def _mean(values: Sequence[float]) -> float:
    return float(np.mean(values)) if values else math.nan


def _plain(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, Mapping):
        return " ".join(f"{name}:{number(float(entry))}" for name, entry in value.items())
    return str(value)


def changed_fields(method: Mapping[str, Any]) -> dict[str, Any]:
    """Return a method's fields that differ from the defaults of its class; ``bits`` always; all of an unknown method.

    Parameters
    ----------
    method : mapping
        As a choice's ``to_dict`` gives it.
    """
    name = str(method.get("name"))
    defaults: Mapping[str, Any] = METHODS[name].defaults() if name in METHODS else {}
    return {
        field: value
        for field, value in method.items()
        if field != "name"
        and value is not None
        and value != {}
        and (field == "bits" or value != defaults.get(field, {}))
    }


def entries(runs: Iterable[tuple[Run, str]], averaged: bool) -> tuple[Entry, ...]:
    """Return the points of runs, each given with its origin; a run that comes twice is taken once.

    Parameters
    ----------
    runs : iterable of (Run, str)
        Runs and their origins.
    averaged : bool
        Join the runs that differ in their seeds alone, those of the network and of the run; failed runs stay alone.
    """
    groups: dict[str, tuple[list[Run], str]] = {}
    seen: set[str] = set()
    for run, origin in runs:
        if run.key in seen:
            continue
        seen.add(run.key)
        network = {name: value for name, value in run.network.items() if name != "seed"}
        alike = json.dumps([network, dict(run.method), run.calibration, run.version, origin], sort_keys=True)
        group = alike if averaged and run.report is not None else run.key
        groups.setdefault(group, ([], origin))[0].append(run)
    return tuple(Entry(tuple(found), origin) for found, origin in groups.values())


# -- filters ----------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Filter:
    """Which runs are looked at.

    Attributes
    ----------
    network : str
        Name, or `ALL`.
    methods : tuple of str
        Names; empty for every method.
    seed : str
        A number, `ALL`, or `AVERAGED`.
    text : str
        Words that must all occur in a run's network, method, settings, label or origin.
    """

    network: str = ALL
    methods: tuple[str, ...] = ()
    seed: str = ALL
    text: str = ""

    def chosen(self, runs: Iterable[tuple[Run, str]]) -> tuple[Entry, ...]:
        """Return the points of the runs that pass, the smallest first, failed ones last."""
        passing = [(run, origin) for run, origin in runs if self._passes(run, origin)]
        found = entries(passing, self.seed == AVERAGED)
        return tuple(sorted(found, key=lambda one: (one.failed, one.values["bits"])))

    def _passes(self, run: Run, origin: str) -> bool:
        if self.network not in (ALL, run.network.get("name")):
            return False
        if self.methods and run.method.get("name") not in self.methods:
            return False
        if self.seed not in (ALL, AVERAGED, str(run.seed)):
            return False
        words = self.text.lower().split()
        if not words:
            return True
        one = Entry((run,), origin)
        about = f"{one.title} {run.label} {origin} {run.problem} {run.key}".lower()
        return all(word in about for word in words)


# -- the brush --------------------------------------------------------------------------------------

BRUSHED = ("method", "bits", "zeros", "error", "accuracy", "seconds")
"""The axes of the parallel coordinates, from left to right."""

Range = tuple[float, float]
Brush = Mapping[str, Range | frozenset[str]]
"""By axis: a closed range, or the names that may pass."""


def parse_brush(text: str) -> dict[str, Range | frozenset[str]]:
    """Read a brush as the link carries it.

    Raises
    ------
    InputError
        If it is not written like ``bits=1..2.5; method=frame,gpfq``.

    Examples
    --------
    >>> parse_brush("bits=1..2.5; accuracy=0.97..")
    {'bits': (1.0, 2.5), 'accuracy': (0.97, inf)}
    """
    found: dict[str, Range | frozenset[str]] = {}
    for part in filter(None, (piece.strip() for piece in text.split(";"))):
        name, _, value = (piece.strip() for piece in part.partition("="))
        try:
            if name == "method":
                found[name] = frozenset(piece.strip() for piece in value.split(",") if piece.strip())
            elif name in FIGURES:
                first, dots, last = value.partition("..")
                low, high = float(first or "-inf"), float(last or "inf")
                if not dots or not low <= high:
                    raise ValueError
                found[name] = (low, high)
            else:
                raise ValueError
        except ValueError:
            names = ", ".join(("method", *FIGURES))
            raise InputError(
                f"brush must be written like bits=1..2.5; method=frame,gpfq with the names {names}, got {part[:40]!r}"
            ) from None
    return found


def write_brush(brush: Brush) -> str:
    """Write a brush as the link carries it; `parse_brush` inverts it.

    Examples
    --------
    >>> write_brush({"bits": (1.0, 2.5), "method": frozenset(["gpfq", "frame"])})
    'bits=1..2.5; method=frame,gpfq'
    """
    parts = []
    for name, value in brush.items():
        if isinstance(value, frozenset):
            parts.append(f"{name}={','.join(sorted(value))}")
        else:
            low, high = ("" if math.isinf(end) else f"{end:.4g}" for end in value)
            parts.append(f"{name}={low}..{high}")
    return "; ".join(parts)


def brushed(points: Sequence[Entry], brush: Brush) -> tuple[Entry, ...]:
    """Return the points inside every range of a brush; one without a figure is outside its range."""

    def inside(one: Entry, name: str, wanted: Range | frozenset[str]) -> bool:
        if isinstance(wanted, frozenset):
            return one.method in wanted
        return wanted[0] <= one.values[name] <= wanted[1]

    return tuple(one for one in points if all(inside(one, name, wanted) for name, wanted in brush.items()))


def thinned(places: Sequence[int], most: int, kept: Iterable[int] = ()) -> list[int]:
    """Choose at most about ``most`` of the places of points, evenly, and all of those that must be ``kept``."""
    if len(places) <= most:
        return list(places)
    even = {places[round(k)] for k in np.linspace(0, len(places) - 1, most)}
    return sorted(even | (set(kept) & set(places)))


# -- axes -------------------------------------------------------------------------------------------

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


MOST_LAYERS = 2000
"""Layers of a run from a file."""


def _drawable(row: LayerReport) -> bool:
    sizes = all(isinstance(length, int) and 0 < length < 2**40 for length in row.shape)
    return sizes and len(row.name) <= 300 and all(abs(v) < 1e18 for v in (row.levels, row.overload, row.size))


def check(runs: Sequence[Run]) -> None:
    """Refuse runs of a stranger's file whose figures cannot be shown.

    Raises
    ------
    InputError
        Naming the first such run.
    """
    for run in runs:
        try:
            one = Entry((run,), "")
            values = [*one.values.values(), float(run.seed), float(run.calibration), float(run.seconds)]
            said = [one.title, run.label, run.problem, run.version]
            fine = not any(math.isinf(value) or abs(value) > 1e18 for value in values) and max(map(len, said)) < 2000
            accuracy = one.values["accuracy"]
            fine = fine and (math.isnan(accuracy) or 0 <= accuracy <= 1)
            layers = () if run.report is None else run.report.layers
            fine = fine and len(layers) <= MOST_LAYERS and all(map(_drawable, layers))
        except (TypeError, ValueError, OverflowError, AttributeError):
            fine = False
        if not fine:
            raise InputError(f"runs must have figures that can be drawn, got others in the run {run.key[:12]!r}")
