"""What can be dragged through: runs at the values of one choice, their numbers, curves and trends."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Iterable, Mapping
from typing import TypeVar

import numpy as np

from sdqviz.array import Array
from sdqviz.error import InputError

T = TypeVar("T")

POSITIONS = 32
"""Values a number is dragged through, the page's own among them."""

FEWEST = 3
"""Values below which there is nothing to drag."""

POINTS = 256
"""Points of a curve at one position; of a longer walk the first ones are shown."""

WITHIN = 3.0
"""Seconds all positions may take; those farthest from the page's own are left out beyond it."""


@dataclasses.dataclass(frozen=True, eq=False)
class Moving:
    """A curve that is another at every position.

    Attributes
    ----------
    name, meaning : str
        What it is called, and what it means: a name of `sdqviz.plots.scrubber.LOOKS`.
    x, y : tuple of ndarray
        One a position, at most `POINTS` long.
    """

    name: str
    meaning: str
    x: tuple[Array, ...]
    y: tuple[Array, ...]


@dataclasses.dataclass(frozen=True, eq=False)
class Trend:
    """A number against the values that are dragged through.

    Attributes
    ----------
    name, meaning : str
        As in `Moving`.
    y : ndarray, shape (positions,)
        NaN where there is none.
    """

    name: str
    meaning: str
    y: Array


@dataclasses.dataclass(frozen=True, eq=False)
class Scrubbed:
    """Everything a scrubber shows.

    Attributes
    ----------
    symbol : str
        What is dragged: ``"N"``.
    values : ndarray, shape (positions,)
        Its values, increasing.
    own : int
        The position of the page's choice.
    numbers : mapping of str to tuple of str
        The headline numbers by name, one text a position.
    curves : tuple of Moving
        Drawn above.
    across, up : str
        Titles of their axes.
    trends : tuple of Trend
        Drawn below, on logarithmic axes.
    trend : str
        Title of their axis.
    left_out : int
        Values for which there was no time.
    powers, square : bool
        Whether the axes above are logarithmic; whether they have the same scale.
    """

    symbol: str
    values: Array
    own: int
    numbers: Mapping[str, tuple[str, ...]]
    curves: tuple[Moving, ...]
    across: str
    up: str
    trends: tuple[Trend, ...]
    trend: str
    left_out: int = 0
    powers: bool = False
    square: bool = False


def spread(low: float, high: float, own: float, *, whole: bool = False, count: int = POSITIONS) -> list[float]:
    """Return values from ``low`` to ``high`` by equal factors, with ``own`` in place of the one nearest to it.

    Examples
    --------
    >>> [round(value, 9) for value in spread(1, 16, 5, count=5)]
    [1.0, 2.0, 5.0, 8.0, 16.0]
    """
    low, high = min(low, own), max(high, own)
    values = np.geomspace(low, high, count)
    if whole:
        values = np.unique(values.round())
    values[np.abs(np.log(values / own)).argmin()] = own
    return [float(value) for value in values]


def visited(
    values: Iterable[float], own: float, run: Callable[[float], T], seconds: float = WITHIN
) -> tuple[list[float], list[T], int]:
    """Run the engine at every value, those near the page's own first, as long as there is time.

    Returns
    -------
    values, runs, left_out
        What has been run, in increasing order, and how many values there was no time for. Values the engine refuses
        are passed over.
    """
    wanted = sorted(set(values), key=lambda value: (abs(np.log(value / own)), value))
    begun, tried = time.monotonic(), 0
    found: dict[float, T] = {}
    for value in wanted:
        if found and time.monotonic() - begun > seconds:
            break
        tried += 1
        try:
            found[value] = run(value)
        except InputError:
            continue
    kept = sorted(found)
    return kept, [found[value] for value in kept], len(wanted) - tried
