"""What a quantizer of path following is: a rule that takes a value, and perhaps a random number, to a level."""

from __future__ import annotations

import dataclasses
from typing import ClassVar

import numpy as np
from numpy.typing import ArrayLike

from sdqviz.array import Array
from sdqviz.choice import Choice, field
from sdqviz.error import InputError
from sdqviz.quantizers.alphabet import MAXIMUM_BITS, check_bits

UNLIMITED = 2.0**52
"""Largest index of an infinite alphabet: all that float64 can tell apart."""

ALPHABETS = {
    "midtread": "Midtread: with a zero",
    "midrise": "Midrise: without a zero",
    "twos-complement": "Two's complement",
    "affine": "Affine: zero anywhere",
}
"""Kinds of levels, and what people call them."""


@dataclasses.dataclass(frozen=True, eq=False)
class Grid:
    """Alphabets of neurons, or of blocks of their inputs: levels (k + offset)·δ with ``lowest`` ≤ k ≤ ``highest``.

    Attributes
    ----------
    step : ndarray, shape (M,) or (B, M)
        δ of each neuron, or of each of B blocks of each neuron's inputs; 0 makes every level 0.
    offset : float
        0 for alphabets that have a zero, ½ for midrise ones, which have none.
    lowest, highest : float, or ndarray of the shape of ``step``
        Whole numbers; ±`UNLIMITED` for an infinite alphabet. An affine alphabet has its own for each step.
    block : int
        Inputs that share a step, where ``step`` has two axes; 0 otherwise.
    """

    step: Array
    offset: float
    lowest: float | Array
    highest: float | Array
    block: int = 0

    @classmethod
    def finite(cls, alphabet: str, bits: int, step: ArrayLike, zero: ArrayLike = 0.0, block: int = 0) -> Grid:
        """Return the alphabet of at most 2^bits levels.

        Parameters
        ----------
        alphabet : {"midtread", "midrise", "twos-complement", "affine"}
            Midtread: 2K+1 levels kδ, |k| ≤ K = 2^(bits−1) − 1. Midrise: all 2^bits levels ±δ/2, ±3δ/2, …. Two's
            complement: the midtread one and one level more below. Affine: 2^bits levels kδ with −z ≤ k < 2^bits − z.
            All but midrise have a zero, and need 2 bits.
        bits : int
            1 to 16.
        step : array_like, shape (M,) or (B, M)
            δ of each neuron, or of each block of its inputs.
        zero : array_like, shape of ``step``
            z of an affine alphabet: the place of its zero, 0 ≤ z < 2^bits.
        block : int
            Inputs that share a step, for a step of two axes.
        """
        offset, lowest, highest = limits(alphabet, bits)
        steps = np.atleast_1d(np.asarray(step, float))
        if alphabet != "affine":
            return cls(steps, offset, lowest, highest, block)
        place = np.broadcast_to(np.asarray(zero, float), steps.shape)
        return cls(steps, offset, lowest - place, highest - place, block)

    @classmethod
    def infinite(cls, alphabet: str, step: ArrayLike, block: int = 0) -> Grid:
        """Return the alphabet that goes on for ever."""
        offset = 0.5 if alphabet == "midrise" else 0.0
        return cls(np.atleast_1d(np.asarray(step, float)), offset, -UNLIMITED, UNLIMITED, block)

    @property
    def count(self) -> int:
        """Number of levels; 0 if there is no end to them."""
        highest, lowest = np.ravel(self.highest)[:1], np.ravel(self.lowest)[:1]
        return 0 if highest.size == 0 or highest[0] >= UNLIMITED else int(highest[0] - lowest[0]) + 1

    @property
    def radius(self) -> Array:
        """Largest magnitude up to which no value is clipped on either side, of the shape of ``step``."""
        reach = np.minimum(self.highest + self.offset, -(self.lowest + self.offset))
        return np.maximum(reach, 0.0) * self.step

    @property
    def widest(self) -> Array:
        """Largest δ of each neuron, shape (M,)."""
        widest: Array = self.step if self.step.ndim == 1 else self.step.max(axis=0)
        return widest

    def part(self, neurons: slice) -> Grid:
        """Return the alphabets of some neurons."""
        step, lowest, highest = (_part(values, neurons) for values in (self.step, self.lowest, self.highest))
        return Grid(np.asarray(step), self.offset, lowest, highest, self.block)

    def at(self, place: int) -> Grid:
        """Return the alphabets, one for each neuron, of the input at a place."""
        if self.step.ndim == 1:
            return self
        step, lowest, highest = (_row(values, place // self.block) for values in (self.step, self.lowest, self.highest))
        return Grid(np.asarray(step), self.offset, lowest, highest)

    def spread(self, inputs: int) -> Grid:
        """Return the alphabets with a row for each of so many inputs, for values of shape (inputs, M)."""
        if self.step.ndim == 1:
            return self
        rows = np.arange(inputs) // self.block
        step, lowest, highest = (_row(values, rows) for values in (self.step, self.lowest, self.highest))
        return Grid(np.asarray(step), self.offset, lowest, highest)

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


def _part(values: float | Array, neurons: slice) -> float | Array:
    return values[..., neurons] if isinstance(values, np.ndarray) else values


def _row(values: float | Array, place: int | Array) -> float | Array:
    return values[place] if isinstance(values, np.ndarray) else values


def limits(alphabet: str, bits: int) -> tuple[float, float, float]:
    """Return the offset, the lowest and the highest k of an alphabet of 2^bits levels or one less, zero point 0.

    Raises
    ------
    InputError
        If there is no such alphabet, or no room in it for a zero.
    """
    check_bits(bits)
    if alphabet not in ALPHABETS:
        raise InputError(f"alphabet must be one of {', '.join(ALPHABETS)}, got {alphabet!r}")
    half = 2.0 ** (bits - 1)
    if alphabet == "midrise":
        return 0.5, -half, half - 1
    if bits < 2:
        article = "an" if alphabet == "affine" else "a"
        raise InputError(
            f"bits must be between 2 and {MAXIMUM_BITS} for {article} {alphabet} alphabet, got {bits}: one bit has no "
            "room for a zero between two signs; use midrise"
        )
    if alphabet == "affine":
        return 0.0, 0.0, 2 * half - 1
    return 0.0, 1 - half if alphabet == "midtread" else -half, half - 1


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


@dataclasses.dataclass(frozen=True)
class Thresholded(QuantizerChoice):
    """Base of an operator that treats small values differently."""

    threshold: float = field(
        0.0, label="Threshold c", help="Values below c become 0 or ±c at random.", minimum=0.0, maximum=3e38
    )

    @property
    def cut(self) -> float:
        """The threshold."""
        return self.threshold
