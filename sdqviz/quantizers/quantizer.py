"""What a quantizer of path following is: a rule that takes a value, and perhaps a random number, to a level."""

from __future__ import annotations

import dataclasses
from typing import ClassVar

import numpy as np
from numpy.typing import ArrayLike

from sdqviz.array import Array
from sdqviz.choice import Choice
from sdqviz.error import InputError
from sdqviz.quantizers.alphabet import MAXIMUM_BITS, check_bits

UNLIMITED = 2.0**52
"""Largest index of an infinite alphabet: all that float64 can tell apart."""

ALPHABETS = ("midtread", "midrise")


@dataclasses.dataclass(frozen=True, eq=False)
class Grid:
    """An alphabet for each neuron: levels (k + offset)·δ with ``lowest`` ≤ k ≤ ``highest``.

    Attributes
    ----------
    step : ndarray, shape (M,)
        δ of each neuron; 0 makes every level 0.
    offset : float
        0 for midtread alphabets, which have a zero, ½ for midrise ones, which have none.
    lowest, highest : float
        Whole numbers; ±`UNLIMITED` for an infinite alphabet.
    """

    step: Array
    offset: float
    lowest: float
    highest: float

    @classmethod
    def finite(cls, alphabet: str, bits: int, step: ArrayLike) -> Grid:
        """Return the alphabet of at most 2^bits levels.

        Parameters
        ----------
        alphabet : {"midtread", "midrise"}
            Midtread: 2K+1 levels kδ, |k| ≤ K = 2^(bits−1) − 1, so at least 2 bits. Midrise: all 2^bits levels
            ±δ/2, ±3δ/2, ….
        bits : int
            1 to 16.
        step : array_like, shape (M,)
            δ of each neuron.
        """
        half = half_levels(alphabet, bits)
        if alphabet == "midtread":
            return cls(np.atleast_1d(np.asarray(step, float)), 0.0, -half, half)
        return cls(np.atleast_1d(np.asarray(step, float)), 0.5, -half, half - 1)

    @classmethod
    def infinite(cls, alphabet: str, step: ArrayLike) -> Grid:
        """Return the alphabet that goes on for ever."""
        offset = 0.0 if alphabet == "midtread" else 0.5
        return cls(np.atleast_1d(np.asarray(step, float)), offset, -UNLIMITED, UNLIMITED)

    @property
    def count(self) -> int:
        """Number of levels; 0 if there is no end to them."""
        return 0 if self.highest >= UNLIMITED else int(self.highest - self.lowest) + 1

    @property
    def radius(self) -> Array:
        """Largest level of each neuron, shape (M,)."""
        return (self.highest + self.offset) * self.step

    def index(self, values: Array) -> Array:
        """Return k of values that are levels, shape (..., M)."""
        return np.rint(values / np.where(self.step > 0, self.step, 1.0) - self.offset)

    def nearest(self, values: Array) -> Array:
        """Round values of shape (..., M) to the nearest level, ties upwards."""
        return self._level(np.floor(self._scaled(values) + 0.5))

    def stochastic(self, values: Array, uniform: Array) -> Array:
        """Round values of shape (..., M) to one of the two levels around them, so that the mean is the value."""
        scaled = self._scaled(values)
        below = np.floor(scaled)
        return self._level(below + (uniform < scaled - below))

    def _scaled(self, values: Array) -> Array:
        return np.where(self.step > 0, values / np.where(self.step > 0, self.step, 1.0) - self.offset, 0.0)

    def _level(self, index: Array) -> Array:
        return (np.clip(index, self.lowest, self.highest) + self.offset) * self.step


def half_levels(alphabet: str, bits: int) -> int:
    """Return K: 2^(bits−1) − 1 for a midtread alphabet of 2K+1 levels, 2^(bits−1) for a midrise one of 2K."""
    check_bits(bits)
    if alphabet not in ALPHABETS:
        raise InputError(f"alphabet must be one of {', '.join(ALPHABETS)}, got {alphabet!r}")
    if alphabet == "midtread" and bits < 2:
        raise InputError(
            f"bits must be between 2 and {MAXIMUM_BITS} for a midtread alphabet, got {bits}: one bit has no room for "
            "a zero between two signs; use midrise"
        )
    return 2 ** (bits - 1) - (alphabet == "midtread")


@dataclasses.dataclass(frozen=True)
class Rule:
    """A quantizer as `sdqviz.kernels.follow_path.follow_path` knows it.

    Attributes
    ----------
    shrink, rounding : int
        One of the kernel's ``SHRINK_`` and ``ROUND_`` numbers.
    """

    shrink: int
    rounding: int


@dataclasses.dataclass(frozen=True)
class QuantizerChoice(Choice):
    """The operator T that turns a value of the walk into what is kept.

    Attributes
    ----------
    random : bool
        Whether it draws; then E T(z) = z in range.
    rounds : bool
        Whether large values go to a level of the alphabet; otherwise they stay as they are.
    rule : Rule or None
        The same as a compiled rule; with None the walk calls `apply` row by row.
    """

    random: ClassVar[bool] = False
    rounds: ClassVar[bool] = True
    rule: ClassVar[Rule | None] = None

    @property
    def cut(self) -> float:
        """The threshold below which values are pruned; 0 if there is none."""
        return 0.0

    def apply(self, values: Array, grid: Grid, uniform: Array) -> Array:
        """Quantize values.

        Parameters
        ----------
        values : ndarray, shape (..., M)
            What to quantize; the last axis goes over neurons.
        grid : Grid
            Their alphabets.
        uniform : ndarray, broadcast against ``values``
            Numbers in [0, 1).

        Returns
        -------
        ndarray, shape (..., M)
        """
        raise NotImplementedError

    def overloaded(self, values: Array, grid: Grid) -> Array:
        """Return which values lie where the alphabet has to clip them, bool of shape (..., M)."""
        reach = 0.0 if self.random else 0.5
        scaled = grid._scaled(values)
        outside = (scaled < grid.lowest - reach) | (scaled > grid.highest + reach)
        return outside & self.rounds

    def error_limit(self, grid: Grid) -> Array:
        """Return M ≥ |T(z) − z| in range, for each neuron, shape (M,)."""
        raise NotImplementedError
