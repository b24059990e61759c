"""Which runs are looked at: filters, and the brush on the axes."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from sdqviz.error import InputError
from sdqviz.experiments.compare.entry import Entry, entries
from sdqviz.experiments.compare.figures import FIGURES
from sdqviz.experiments.run import Run

ALL = "all"

AVERAGED = "averaged"
"""Values of the filters: every network or seed; runs that differ in their seeds alone as one point."""


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
        about = f"{one.title} {one.names} {run.label} {origin} {run.problem} {run.key}".lower()
        return all(word in about for word in words)


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
                if not found[name]:
                    raise ValueError
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
